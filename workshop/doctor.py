"""One line a fact: is everything here that the workbook needs, and if not, what to do."""

import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version

from workshop import lab, sandbox, show
from workshop.problem import Problem

MEGABYTES_FREE = 200  # an Airflow home with its logs stays under a tenth of that


def _python() -> None:
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        raise Problem(
            "needs Python 3.11 to 3.14: remove .venv, install one of them, run make setup"
        )


def _airflow() -> None:
    if not version("apache-airflow-core").startswith("3.3."):
        raise Problem("is not version 3.3: run make setup")


def _graph_drawing() -> None:
    if 'class="edge"' not in show.render("digraph { a -> b }"):
        raise Problem("draws no edge: run make setup")


def _disk() -> None:
    for folder in (tempfile.gettempdir(), lab.ROOT):
        if shutil.disk_usage(folder).free < MEGABYTES_FREE * 1_000_000:
            raise Problem(
                f"has under {MEGABYTES_FREE} MB free in {folder}: free some, or set TMPDIR"
            )


def _ports() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), timeout=2):
            pass


def _world() -> None:
    if lab.is_real():
        sandbox.use_real()


FACTS: dict[str, Callable[[], None]] = {
    "Python": _python,
    "Airflow": _airflow,
    "graph drawing": _graph_drawing,
    "disk": _disk,
    "loopback ports": _ports,
    "world": _world,
}


def doctor() -> bool:
    """Print each fact with OK or with what to do, and return whether all are OK."""
    well = True
    for name, check in FACTS.items():
        try:
            check()
            said = "OK"
        except Exception as error:
            well, said = False, str(error) or type(error).__name__
        if name == "world" and said == "OK":
            said = "OK, the REAL one" if lab.is_real() else "OK, the sandbox"
        print(f"{name:16}{said}")
    return well
