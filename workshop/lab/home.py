"""A home for one private Airflow: its folder, its metadata database, its settings, and its end.

Nothing of the reader's own Airflow is read or written: `AIRFLOW_HOME` is a new folder in the
system's temporary folder, which goes when the process ends. Settings are environment variables,
because Airflow reads them when it is imported.
"""

import atexit
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

import psutil

from workshop.ground import BUILD, Problem

PREFIX = "gcp_spy-"


@dataclass(frozen=True)
class Home:
    """Where a private Airflow lives."""

    folder: Path
    alive: IO[str] | None = None  # the open lock that tells other processes that it is in use

    @property
    def dags(self) -> Path:
        return self.folder / "dags"

    @property
    def database(self) -> Path:
        return self.folder / "airflow.db"


def make_home(keep: Collection[str] = ()) -> Home:
    """Make this process's private Airflow, and set the environment for it.

    Args:
        keep: the variables of the reader's own Airflow that stay.

    Raises:
        Problem: airflow was imported before, or the temporary folder cannot be written.
    """
    if "airflow" in sys.modules:
        raise Problem(
            "Airflow was imported before the workbook could give it a home of its own. "
            "Restart the kernel and run the notebook's first cells first."
        )
    prepared = prepared_database()
    _sweep()
    try:
        home = new_home()
        atexit.register(shutil.rmtree, home.folder, ignore_errors=True)
        home.dags.mkdir()
        shutil.copyfile(prepared, home.database)
    except OSError as error:
        raise Problem(
            f"The temporary folder cannot be written ({error.strerror}). "
            "Free some space there, or set TMPDIR to a folder of yours, then restart the kernel."
        ) from None
    _set_environment(home, keep)
    return home


def prepared_database() -> Path:
    """Return a migrated metadata database to copy, made first where there is none (about 4 s)."""
    prepared = BUILD / f"airflow-{version('apache-airflow-core')}.db"
    if prepared.exists():
        return prepared
    folder = Path(tempfile.mkdtemp(prefix="gcp_spy_prepare-"))
    try:
        environment = without_airflow() | settings(Home(folder))
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=environment, capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise Problem(f"Airflow could not make its metadata database: {' '.join(last)}")
        BUILD.mkdir(exist_ok=True)
        part = prepared.with_suffix(f".{os.getpid()}.part")
        # VACUUM INTO also takes what is still in the write-ahead log, which a copy would miss.
        with sqlite3.connect(Home(folder).database) as connection:
            connection.execute("VACUUM INTO ?", (str(part),))
        connection.close()
        part.replace(prepared)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return prepared


def settings(home: Home) -> dict[str, str]:
    """Return Airflow's settings for a private home, as environment variables."""
    return {
        "AIRFLOW_HOME": str(home.folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home.dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # A failed task waits five minutes for its next try by default; a notebook does not.
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "0",
        # Without this a DAG changed within 30 seconds stays the old one in the database.
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home.database}",
        # By default all users of a machine share one folder for what git bundles fetch.
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home.folder / "bundles"),
        # Otherwise each request of a task looks for the trace that it belongs to.
        "AIRFLOW__EXECUTION_API__OTEL_TRACE_PROPAGATION": "never",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home.folder / "logs"),
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "MPLCONFIGDIR": str(BUILD / "matplotlib"),
    }


def without_airflow() -> dict[str, str]:
    """Return this environment without the variables of any Airflow."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}


def _set_environment(home: Home, keep: Collection[str]) -> None:
    kept = {name: os.environ[name] for name in keep if name in os.environ}
    for name in set(os.environ) - set(without_airflow()):
        del os.environ[name]
    os.environ.update(kept | settings(home))
    reach_loopback()


def reach_loopback() -> None:
    """Let no proxy stand between this process and loopback."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        more = [host for host in ("127.0.0.1", "localhost") if host not in hosts]
        os.environ[name] = ",".join([*hosts, *more])


def new_home(where: Path | None = None) -> Home:
    """Return a new home that is locked as long as this process lives.

    Args:
        where: the folder that it is made in; by default the temporary folder.

    Raises:
        OSError: that folder cannot be written.
    """
    draft = Path(tempfile.mkdtemp(prefix="gcp_spy_new-", dir=where))
    alive = (draft / "alive").open("w")
    fcntl.flock(alive, fcntl.LOCK_EX)
    # Locked first, then named: another process never sees a home that looks abandoned.
    return Home(draft.rename(draft.with_name(draft.name.replace("gcp_spy_new-", PREFIX))), alive)


def _sweep() -> None:
    """Remove what killed processes of this user left behind: homes, and commands of tasks."""
    where = (Path(tempfile.gettempdir()), BUILD)
    for folder in (folder for place in where for folder in place.glob(f"{PREFIX}*")):
        with suppress(OSError), (folder / "alive").open("r+") as alive:
            if folder.stat().st_uid == os.getuid():
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _end_processes_of(folder)
                shutil.rmtree(folder, ignore_errors=True)


def _end_processes_of(folder: Path) -> None:
    """End the processes that have this home: a killed kernel's task may still run a command."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("AIRFLOW_HOME", "").startswith(str(folder)):
                process.kill()
