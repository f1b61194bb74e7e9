"""Airflow is imported and warmed in the background, while the reader reads."""

import builtins
import gc
import importlib
import threading
from collections.abc import Callable
from typing import Any


class Warming:
    """A thread that warms Airflow; whoever imports Airflow meanwhile waits until it has ended.

    An import statement always calls `builtins.__import__`, also for a module that is there half
    made, and takes no lock before that; `importlib.import_module` is the other door. So nothing of
    Airflow is seen before all of it is warm. What Airflow itself imports passes: whoever let it in
    has waited.

    Args:
        work: what to do; it imports Airflow.
        wait: waits for an event, with progress on the screen.
    """

    def __init__(self, work: Callable[[], None], wait: Callable[[threading.Event], None]) -> None:
        self._work, self._wait = work, wait
        self._import, self._import_module = builtins.__import__, importlib.import_module
        # Not the thread's end: an interrupted join takes a living thread for a dead one.
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warm-airflow", daemon=True)
        builtins.__import__ = self._import_when_warm
        importlib.import_module = self._import_module_when_warm
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether Airflow can be used."""
        return self._over.is_set()

    def wait(self) -> None:
        """Return when Airflow is warm."""
        if not self.is_over:
            self._wait(self._over)

    def _run(self) -> None:
        # About a million objects are made here, and stay. Without the collector that takes two
        # thirds of the time; frozen, they hold up neither a later run nor the end of the kernel.
        gc.disable()
        try:
            self._work()
        finally:
            gc.freeze()
            gc.enable()
            builtins.__import__ = self._import
            importlib.import_module = self._import_module
            self._over.set()

    def _import_when_warm(self, name: str, globals: Any = None, *rest: Any, **more: Any) -> Any:
        if not _is_airflow((globals or {}).get("__name__") or ""):
            self._wait_for(name)
        return self._import(name, globals, *rest, **more)

    def _import_module_when_warm(self, name: str, package: str | None = None) -> Any:
        self._wait_for(name)
        return self._import_module(name, package)

    def _wait_for(self, name: str) -> None:
        if _is_airflow(name) and threading.current_thread() is not self._thread:
            self.wait()


def _is_airflow(module: str) -> bool:
    return module.partition(".")[0] == "airflow"
