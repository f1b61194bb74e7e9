"""`make doctor`: whether everything is here that the workbook needs, a line for each fact."""

import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version

from workshop.ground import ROOT
from workshop.kernels import keep_warm
from workshop.kernels.provisioner import way
from workshop.sandbox import use_real, wants_real
from workshop.show import render

MEGABYTES_FREE = 200  # an Airflow home with its logs stays under a tenth of that


def _python() -> str:
    fits = (3, 11) <= sys.version_info[:2] <= (3, 14)
    cure = "needs Python 3.11 to 3.14: remove .venv, install one of them, run make setup"
    return "OK" if fits else cure


def _airflow() -> str:
    major, minor, *_ = version("apache-airflow-core").split(".")
    fits = (int(major), int(minor)) >= (3, 3)
    return "OK" if fits else "is not version 3.3 or later: run make setup"


def _graph_drawing() -> str:
    drawn = 'class="edge"' in render("digraph { a -> b }")
    return "OK" if drawn else "draws no edge: run make setup"


def _disk() -> str:
    for folder in (tempfile.gettempdir(), ROOT):
        if shutil.disk_usage(folder).free < MEGABYTES_FREE * 1_000_000:
            return f"has under {MEGABYTES_FREE} MB free in {folder}: free some, or set TMPDIR"
    return "OK"


def _ports() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=2).close()
    return "OK"


def _world() -> str:
    if not wants_real():
        return "OK, the sandbox"
    use_real()
    return "OK, the REAL one in JupyterLab"


FACTS: dict[str, Callable[[], str]] = {
    "Python": _python,
    "Airflow": _airflow,
    "graph drawing": _graph_drawing,
    "disk": _disk,
    "loopback ports": _ports,
    "world": _world,
}


def kernels() -> str:
    """Return how kernels start here; one is tried."""
    keep_warm()
    return way()


def doctor() -> bool:
    """Print each fact with OK or with what to do, and return whether all are OK."""
    well = True
    for name, look in FACTS.items():
        try:
            said = look()
        except Exception as error:
            said = str(error) or type(error).__name__
        well = well and said.startswith("OK")
        print(f"{name:16}{said}")
    return well
