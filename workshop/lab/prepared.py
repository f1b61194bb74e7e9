"""An Airflow that is warm before its process forks, put aside until a fork asks for it.

A fork that has not started sees no module of Airflow, no path of the home in which it was warmed,
and logging as it was before. `take_up` gives it all that back, in a home of its own.
"""

import atexit
import logging
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from workshop.lab import dagcell, inside
from workshop.lab.home import Home
from workshop.lab.process import Logger, loggers, set_loggers
from workshop.lab.session import Session
from workshop.lab.tasklog import TaskLogs

FIRST_RUN = Path(__file__).with_name("first_run.txt")
NEW: Logger = (logging.NOTSET, [], [], True, False)


class Prepared:
    """Made before Airflow is imported; it takes note of how the process is then.

    Attributes:
        logs: what listens to the tasks of this Airflow.
    """

    logs: TaskLogs

    def __init__(self) -> None:
        self._loggers, self._path = loggers(), list(sys.path)
        self._warnings = list(warnings.filters), warnings.showwarning

    def put_aside(self, session: Session) -> None:
        """Run a DAG once, close what Airflow holds open, and hide it.

        Args:
            session: with the home in which Airflow was warmed. That home goes, and of the
                session's parts this one alone stays.

        Raises:
            RuntimeError: the DAG failed.
        """
        home = session[Home]
        names: dict[str, Any] = {}
        dagcell.write("first_run", FIRST_RUN.read_text(encoding="utf-8"), names)
        if (run := names["dag"].test()).state != "success":
            raise RuntimeError(f"The DAG of the warm process is {run.state}.")
        self.logs = session[TaskLogs]
        self.logs.forget()
        del names, run
        self._kept = inside.settle()
        self._home = str(home.folder)
        self._places = inside.names_with(self._home)
        self._hide()
        atexit.unregister(shutil.rmtree)
        shutil.rmtree(home.folder)
        if home.alive:
            home.alive.close()
        session.clear()
        session.put(self)

    def _hide(self) -> None:
        self._modules = {}
        for name, module in list(sys.modules.items()):
            if self._home in str(getattr(module, "__file__", "")):  # the DAG file
                del sys.modules[name]
            elif name.partition(".")[0] == "airflow":
                self._modules[name] = sys.modules.pop(name)
        self._own_path = [path for path in sys.path if path not in self._path]
        sys.path[:] = [path for path in sys.path if path in self._path]
        for path in [path for path in sys.path_importer_cache if self._home in path]:
            del sys.path_importer_cache[path]
        self._own_loggers = {
            name: state
            for name, state in loggers().items()
            if state != self._loggers.get(name, NEW)
        }
        set_loggers({name: self._loggers.get(name, NEW) for name in self._own_loggers})
        self._structlog = structlog.get_config()
        structlog.reset_defaults()
        self._own_warnings = list(warnings.filters), warnings.showwarning
        _set_warnings(*self._warnings)

    def take_up(self, home: Home) -> None:
        """Give this process the Airflow that was put aside, as if it had been imported now.

        Args:
            home: its own, which the environment names already.
        """
        # The same list of processors: loggers made earlier hold it.
        structlog.configure(**self._structlog)
        captured = self._own_loggers[""][1]
        for name, state in loggers().items():
            if state[1]:  # the kernel's own, for example
                logging.getLogger(name).handlers = list(captured)
        set_loggers(self._own_loggers)
        added = [each for each in self._own_warnings[0] if each not in self._warnings[0]]
        _set_warnings([*added, *warnings.filters], self._own_warnings[1])
        new = str(home.folder)
        sys.path += [path.replace(self._home, new) for path in self._own_path]
        sys.modules.update(self._modules)
        inside.move(self._places, self._home, new)


def _set_warnings(filters: Sequence[Any], show: Callable[..., None]) -> None:
    warnings.resetwarnings()
    warnings.filters.extend(filters)  # type: ignore[attr-defined]  # typed as read-only
    warnings.showwarning = show
