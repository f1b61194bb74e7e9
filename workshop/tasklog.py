"""Keep what tasks log, by task and try, and keep it out of the notebook's cells.

In production Airflow writes a log file a try; `dag.test()` writes none and prints instead.
"""

import io
import logging
import os
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import structlog
from airflow.listeners import hookimpl
from airflow.sdk._shared.secrets_masker import redact
from airflow.sdk.listener import get_listener_manager

Key = tuple[str, str, int, int]  # run_id, task_id, map_index, try_number
Line = tuple[str, str]  # level, message
SECONDS_TO_STOP = 3
# What Airflow logs when a task lets go before it ends: for this a listener has no method.
LETS_GO = {
    "Rescheduling task, marking task as UP_FOR_RESCHEDULE": "up_for_reschedule",
    "Pausing task as DEFERRED. ": "deferred",
}

observers: list[Callable[[Any, str], None]] = []  # called with a task instance and its new state
_lines: dict[Key, list[Line]] = defaultdict(list)
_early: list[Line] = []  # errors since the last task: its own, if it then fails without running
_running: Key | None = None
_instance: Any = None  # the task instance that runs
_stdout: Any = None


def of_run(run_id: str) -> dict[Key, list[Line]]:
    """Return the captured lines of one DagRun, by task and try, sorted."""
    return {key: _lines[key] for key in sorted(_lines) if key[0] == run_id}


def install() -> None:
    """Capture structlog, logging and print of running tasks; call once, after airflow's import."""
    # In place, because loggers made earlier hold this very list.
    structlog.get_config()["processors"].insert(0, _from_structlog)
    handler = _Handler(level=logging.INFO)
    names = list(logging.root.manager.loggerDict)
    for logger in [logging.getLogger(), *map(logging.getLogger, names)]:
        if logger.handlers:
            logger.handlers = [handler]
    get_listener_manager().add_listener(_Listener())


def restore_stdout() -> None:
    """Give the cell its stdout back: the task ended, or an interrupt ended it without a word."""
    global _running, _stdout
    if isinstance(sys.stdout, _Printed):
        sys.stdout.write("\n")
    if _stdout is not None:
        sys.stdout, _stdout, _running = _stdout, None, None


def plain(message: str) -> str:
    """Return a log message without a webhook's secret, and without folders and ports."""
    message = re.sub(r"/services/[\w/-]+", "/services/…", message)
    for folder in (tempfile.gettempdir(), str(Path.home())):
        message = re.sub(rf"{re.escape(folder)}(?=/|$)", "…", message)
    message = re.sub(r"/(?:\S+/)?bin/bash\b", "bash", message)
    message = re.sub(r"…/gcp_spy-\w+", "…", message)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", message)


def _keep(level: str, message: str) -> None:
    if message.startswith(("::group::", "::endgroup::")):
        return
    # Airflow masks its secrets where it writes a log; here nothing is written.
    lines = [(level, line) for line in str(redact(message)).splitlines() if line.strip()]
    if _running:
        _lines[_running] += lines
    elif level in ("error", "critical"):
        _early.extend(lines)


def _cause(error: Any) -> str:
    """Return the last line of a traceback: the error's name and message."""
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    return f"\n{type(error).__name__}: {error}" if isinstance(error, BaseException) else ""


def _from_structlog(logger: Any, method: str, event: Any) -> Any:
    level = "error" if method == "exception" else method
    if level != "debug":
        _keep(level, str(event.get("event", "")) + _cause(event.get("exc_info")))
    state = LETS_GO.get(str(event.get("event")))
    if state and _running:
        restore_stdout()
        _tell(_instance, state)
    raise structlog.DropEvent


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _keep(record.levelname.lower(), record.getMessage() + _cause(record.exc_info))


class _Printed(io.TextIOBase):
    """What a task prints, line by line, goes to its log, as it does in production."""

    def __init__(self) -> None:
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            _keep("info", line)
        return len(text)


class Interrupted(KeyboardInterrupt):
    """A cell was interrupted while a task ran; shown as one sentence."""

    def _render_traceback_(self) -> list[str]:
        return [str(self), "The DAG is as it was; run the cell again."]


class _Listener:
    """Airflow calls these in this process, around the execution of each task."""

    @hookimpl
    def on_task_instance_running(self, task_instance: Any) -> None:
        global _running, _instance, _stdout
        _early.clear()
        restore_stdout()
        _running, _instance = _key(task_instance), task_instance
        _stdout, sys.stdout = sys.stdout, _Printed()
        _tell(task_instance, "running")

    @hookimpl
    def on_task_instance_success(self, task_instance: Any) -> None:
        restore_stdout()
        _tell(task_instance, "success")

    @hookimpl
    def on_task_instance_skipped(self, task_instance: Any) -> None:
        restore_stdout()
        _tell(task_instance, "skipped")

    @hookimpl
    def on_task_instance_failed(self, task_instance: Any, error: Any) -> None:
        if not _running:  # it failed before it ran, for example in its template
            _lines[_key(task_instance)] += _early
        restore_stdout()
        again = task_instance.try_number <= task_instance.max_tries
        _tell(task_instance, "up_for_retry" if again else "failed")
        if isinstance(error, KeyboardInterrupt):
            # Airflow takes an interrupt for a failure, tries the task again and leaves its process
            # alone. Whoever interrupts a cell wants both to end.
            with suppress(Exception):  # its command may just have ended, and all are ended below
                task_instance.task.on_kill()
            _end_commands_of(task_instance)
            raise Interrupted(f"Interrupted: the task '{task_instance.task_id}' was stopped.")


def _end_commands_of(task_instance: Any) -> None:
    """End the processes that a task started, also those that its operator does not know (yet).

    Airflow gives them the task's context as environment variables.
    """
    context = {
        "AIRFLOW_HOME": os.environ["AIRFLOW_HOME"],
        "AIRFLOW_CTX_DAG_RUN_ID": task_instance.run_id,
        "AIRFLOW_CTX_TASK_ID": task_instance.task_id,
    }
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and context.items() <= process.environ().items():
                process.terminate()
                found.append(process)
    for process in psutil.wait_procs(found, timeout=SECONDS_TO_STOP)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _tell(task_instance: Any, state: str) -> None:
    for observer in observers:
        observer(task_instance, state)


def of_task(ti: Any) -> list[Line]:
    """Return the captured lines of one try of a task."""
    return _lines.get(_key(ti), [])


def _key(ti: Any) -> Key:
    return (ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index, ti.try_number)
