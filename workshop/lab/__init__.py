"""One private Airflow per process: its home, its metadata database, its logs and its warming.

Nothing of the reader's own Airflow is read or written: `AIRFLOW_HOME` is a new folder in the
system's temporary folder, which goes when the process ends. Settings are environment variables,
because Airflow reads them when it is imported.
"""

import atexit
import fcntl
import gc
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from workshop.lab.session import NOT_STARTED
from workshop.problem import Problem

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build"
PREFIX = "gcp_spy-"
WARMING_SECONDS = 5.0  # about what it takes on two cores; only a progress bar depends on it
BAR_STEP = 0.2
REAL = "GCPSPY_WORLD"
DAG_VARIABLES = ("GCPSPY_SLACK_WEBHOOK", "GCPSPY_RECIPIENT_EMAIL", "AIRFLOW_CONN_SMTP_DEFAULT")
# What gcp_spy_today reads beside the last; made of the first two.
TODAY_VARIABLES = ("AIRFLOW_CONN_SLACK_DEFAULT", "AIRFLOW_VAR_GCP_SPY_RECIPIENT")


@dataclass(frozen=True)
class Lab:
    """Where this process's Airflow lives."""

    home: Path

    @property
    def dags(self) -> Path:
        return self.home / "dags"

    @property
    def database(self) -> Path:
        return self.home / "airflow.db"


_lab: Lab | None = None
_alive = None  # the open lock file that tells other processes that this home is in use
_warming: threading.Thread | None = None


def is_real() -> bool:
    """Return whether the reader asked for the real gcloud, Slack and mail server."""
    return os.environ.get(REAL) == "real"


def sandbox_environment() -> dict[str, str]:
    """Return this environment for a child that must stay in the sandbox: nothing real in it."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "GCPSPY_", "CLOUDSDK_"))
    }


def tell_today() -> None:
    """Give gcp_spy_today the webhook and the recipient as a connection and a variable."""
    webhook, recipient = (os.environ[name] for name in DAG_VARIABLES[:2])
    connection = {"conn_type": "slackwebhook", "password": webhook, "extra": {"timeout": 3}}
    values = (json.dumps(connection), recipient)
    os.environ.update(zip(TODAY_VARIABLES, values, strict=True))


def open_lab() -> Lab:
    """Make this process's private Airflow, once, and start warming it in the background.

    Raises:
        Problem: airflow was imported before, or the temporary folder cannot be written.
    """
    global _lab, _warming
    if _lab:
        return _lab
    if "airflow" in sys.modules:
        raise Problem(
            "Airflow was imported before the workbook could give it a home of its own. "
            "Restart the kernel and run the notebook's first cells first."
        )
    prepared = prepared_database()
    _sweep()
    try:
        made = Lab(_new_home())
        atexit.register(shutil.rmtree, made.home, ignore_errors=True)
        made.dags.mkdir()
        shutil.copyfile(prepared, made.database)
        _record_changes(made.database)
    except OSError as error:
        raise Problem(
            f"The temporary folder cannot be written ({error.strerror}). "
            "Free some space there, or set TMPDIR to a folder of yours, then restart the kernel."
        ) from None
    _lab = made
    _set_environment(_lab)
    _warming = threading.Thread(target=_warm, name="warm-airflow", daemon=True)
    _warming.start()
    return _lab


def _record_changes(database: Path) -> None:
    """Let the metadata database keep every state of a task instance; Airflow keeps the newest."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            # Not by the task instance's id: it is a new one for each try.
            "create table workshop_changes (dag_id, run_id, task_id, map_index, before, after);"
            "create trigger workshop_changed after update of state on task_instance "
            "when old.state is not new.state and new.state is not null "
            "begin insert into workshop_changes values "
            "(new.dag_id, new.run_id, new.task_id, new.map_index, old.state, new.state); end"
        )


def current() -> Lab:
    """Return the private Airflow of this process.

    Raises:
        Problem: there is none yet.
    """
    if not _lab:
        raise Problem(NOT_STARTED)
    return _lab


def is_warming() -> bool:
    """Return whether Airflow is being imported and warmed in the background now."""
    return bool(_warming and _warming.is_alive())


def wait_until_warm() -> None:
    """Return when Airflow is warm: a second run in that time would disturb the warming."""
    if not is_warming():
        return
    assert _warming
    if "WORKSHOP_HEADLESS" in os.environ:
        _warming.join()
        return
    from IPython.display import clear_output, display
    from ipywidgets import IntProgress, Layout

    bar = IntProgress(
        description="Airflow starts, once a notebook",
        max=round(WARMING_SECONDS / BAR_STEP),
        style={"description_width": "initial"},
        layout=Layout(width="32em"),
    )
    display(bar)
    while _warming.is_alive():
        _warming.join(timeout=BAR_STEP)
        bar.value += 1
    bar.close()
    clear_output(wait=True)


def prepared_database() -> Path:
    """Return a migrated metadata database to copy, made first where there is none (about 4 s)."""
    prepared = BUILD / f"airflow-{version('apache-airflow-core')}.db"
    if prepared.exists():
        return prepared
    home = Path(tempfile.mkdtemp(prefix="gcp_spy_prepare-"))
    try:
        environment = sandbox_environment() | settings(Lab(home))
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise Problem(f"Airflow could not make its metadata database: {' '.join(last)}")
        BUILD.mkdir(exist_ok=True)
        part = prepared.with_suffix(f".{os.getpid()}.part")
        # VACUUM INTO also takes what is still in the write-ahead log, which a copy would miss.
        with sqlite3.connect(Lab(home).database) as connection:
            connection.execute("VACUUM INTO ?", (str(part),))
        connection.close()
        part.replace(prepared)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return prepared


def settings(lab: Lab) -> dict[str, str]:
    """Return Airflow's settings for a private home, as environment variables."""
    return {
        "AIRFLOW_HOME": str(lab.home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(lab.dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # The talk's one retry waits five minutes by default; a notebook does not.
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "0",
        "GCPSPY_RETRY_SECONDS": "0",
        # Without this a DAG changed within 30 seconds stays the old one in the database.
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{lab.database}",
        # By default all users of a machine share one folder for what git bundles fetch.
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(lab.home / "bundles"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(lab.home / "logs"),
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "MPLCONFIGDIR": str(BUILD / "matplotlib"),
    }


def _set_environment(lab: Lab) -> None:
    kept = {name: os.environ[name] for name in DAG_VARIABLES if is_real() and name in os.environ}
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        del os.environ[name]
    os.environ.update(kept | settings(lab))
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join([*hosts, "127.0.0.1", "localhost"])


def _new_home() -> Path:
    """Return a new home that is locked as long as this process lives.

    Raises:
        OSError: the temporary folder cannot be written.
    """
    global _alive
    draft = Path(tempfile.mkdtemp(prefix="gcp_spy_new-"))
    _alive = (draft / "alive").open("w")
    fcntl.flock(_alive, fcntl.LOCK_EX)
    # Locked first, then named: another process never sees a home that looks abandoned.
    return draft.rename(draft.with_name(draft.name.replace("gcp_spy_new-", PREFIX)))


def _sweep() -> None:
    """Remove what killed processes of this user left behind: homes, and commands of tasks."""
    for home in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), (home / "alive").open("r+") as alive:
            if home.stat().st_uid == os.getuid():
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _end_processes_of(home)
                shutil.rmtree(home, ignore_errors=True)


def _end_processes_of(home: Path) -> None:
    """End the processes that have this home: a killed kernel's task may still run a command."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("AIRFLOW_HOME", "").startswith(str(home)):
                process.kill()


def _warm() -> None:
    """Do now, while the reader reads, what the first `dag.test()` would do."""
    # About a million objects are made here, and stay. Without the collector that takes two thirds
    # of the time; frozen, they hold up neither a later run nor the end of the kernel.
    gc.disable()
    try:
        _import_airflow()
    finally:
        gc.freeze()
        gc.enable()


def _import_airflow() -> None:
    import airflow.settings  # noqa: F401  (reads the settings, configures logging)

    from workshop import live, tasklog

    tasklog.install()
    tasklog.observers.append(live.tell)
    with suppress(Exception):  # Airflow's own business, like the API below
        _run_triggers_in_a_thread()
    # The in-process API builds its many versions at the first request. The import is Airflow's
    # own business and may move; then the first run is slower, and nothing else changes.
    with suppress(Exception):
        import httpx
        from airflow.sdk.execution_time.supervisor import in_process_api_server

        api = in_process_api_server()
        httpx.Client(transport=api.transport, base_url="http://in-process.invalid./").get("/health")


def _run_triggers_in_a_thread() -> None:
    """Let `dag.test()` run deferred tasks: it uses asyncio.run, which a notebook's loop forbids."""
    from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor

    run = InProcessTestSupervisor.run_trigger_in_process

    def in_a_thread(**what: Any) -> Any:
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(run, **what).result()
        finally:
            pool.shutdown(wait=False)

    InProcessTestSupervisor.run_trigger_in_process = in_a_thread
