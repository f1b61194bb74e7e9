"""What a kernel can tell of itself; a test runs this in forked and in ordinary kernels."""


def facts():
    """Return all that must be equal in two kernels, and under "own" what must not."""
    import gc
    import locale
    import logging
    import os
    import random
    import resource
    import signal
    import sys
    import tempfile
    import threading
    import warnings

    import numpy
    import pandas
    import structlog

    def name(thing):
        return str(thing).split(" at ")[0].partition(" (")[0]

    def own(text):
        """Replace this kernel's own home."""
        return text.replace(os.environ.get("AIRFLOW_HOME", "no home"), "HOME")

    limits = [each for each in dir(resource) if each.startswith("RLIMIT")]
    links = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
    open_files = [os.readlink(each) for each in links if os.path.lexists(each)]
    umask = os.umask(0)
    os.umask(umask)
    of_one = ("AIRFLOW_CTX", "AIRFLOW_CONN", "GCPSPY_SLACK", "JPY_", "JUPYTER_DEFAULT")
    loggers = [
        logger
        for logger in map(logging.getLogger, list(logging.root.manager.loggerDict))
        if logger.handlers and not logger.name.startswith("IPKernelApp")
    ]
    told = {
        "airflow": "airflow" in sys.modules,
        "encodings": [sys.getfilesystemencoding(), sys.stdout.encoding, sys.__stdout__.encoding],
        "environment": {
            key: own(value) for key, value in os.environ.items() if not key.startswith(of_one)
        },
        "folder": os.getcwd(),
        "foreign files": [each for each in open_files if "gcp_spy-" in own(each)],
        "gc": [gc.isenabled(), gc.get_threshold()],
        "handlers": {logger.name: [name(each) for each in logger.handlers] for logger in loggers},
        "hooks": [
            name(each) for each in (sys.excepthook, threading.excepthook, warnings.showwarning)
        ],
        "leader": os.getsid(0) == os.getpgrp() == os.getpid(),
        "limits": [resource.getrlimit(getattr(resource, each)) for each in limits],
        "locale": locale.setlocale(locale.LC_ALL),
        "nice": os.nice(0),
        "options": pandas.get_option("display.max_columns"),
        "path": sorted(own(each) for each in sys.path if not own(each).endswith("HOME/dags")),
        "root": [logging.root.level, [name(each) for each in logging.root.handlers]],
        "signals": {int(each): name(signal.getsignal(each)) for each in signal.valid_signals()},
        "structlog": structlog.is_configured(),
        "temporary": tempfile.gettempdir(),
        "umask": umask,
        "warnings": sorted(map(str, warnings.filters)),
        "words": sys.argv[:-1],
        "own": {"pid": os.getpid(), "random": random.random(), "numpy": numpy.random.rand()},
    }
    if "airflow" in sys.modules:
        from airflow.configuration import SECRET_KEY, conf
        from airflow.models import Connection
        from airflow.settings import engine

        settings = conf.as_dict(display_sensitive=True)
        settings["api"].pop("secret_key")
        told["settings"] = {
            f"{section}.{key}": own(str(value))
            for section, options in settings.items()
            for key, value in options.items()
        }
        told["database"] = own(str(engine.url))
        told["encrypted"] = Connection(conn_id="one", password="hidden").is_encrypted
        told["own"] |= {"home": os.environ["AIRFLOW_HOME"], "secret": SECRET_KEY}
        told["foreign names"] = [
            f"{module.__name__}.{key}"
            for module in list(sys.modules.values())
            if str(getattr(module, "__name__", "")).startswith("airflow")
            for key, value in list(vars(module).items())
            if type(value) in (str, dict, list) and not key.startswith("__")
            and key != "_SERIALIZERS" and "gcp_spy-" in own(str(value))
        ]  # fmt: skip
    return told


import json  # noqa: E402

print(json.dumps(facts(), default=str))
