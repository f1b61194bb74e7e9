"""Keep what tasks log, by task and try, and keep it out of the notebook's cells.

In production Airflow writes a log file for each try; `dag.test()` writes none and prints instead.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workshop.lab import inside
from workshop.lab.interrupts import end_task
from workshop.lab.printed import Printed

Key = tuple[str, str, int, int]  # run_id, task_id, map_index, try_number
Line = tuple[str, str]  # level, message


class TaskLogs:
    """What the tasks of this process logged, and who wants to hear of their changes."""

    def __init__(self) -> None:
        self.observers: list[Callable[[Any, str], None]] = []  # a task instance, its new state
        self.cleaners: list[Callable[[str], str]] = []  # what takes secrets out of a message
        self._lines: dict[Key, list[Line]] = defaultdict(list)
        self._early: list[Line] = []  # errors since the last task: its own, if it never runs
        self._running: Any = None  # the task instance that runs
        self._printed: Printed | None = None

    def forget(self) -> None:
        """Forget all lines."""
        self._lines.clear()
        self._early.clear()

    def of_run(self, run_id: str) -> dict[Key, list[Line]]:
        """Return the captured lines of one DagRun, by task and try, sorted."""
        return {key: self._lines[key] for key in sorted(self._lines) if key[0] == run_id}

    def of_task(self, ti: Any) -> list[Line]:
        """Return the captured lines of one try of a task."""
        return self._lines.get(_key(ti), [])

    def plain(self, message: str) -> str:
        """Return a log message without secrets, and without folders and ports."""
        for clean in self.cleaners:
            message = clean(message)
        for folder in (tempfile.gettempdir(), str(Path.home())):
            message = re.sub(rf"{re.escape(folder)}(?=/|$)", "…", message)
        message = re.sub(r"/(?:\S+/)?bin/bash\b", "bash", message)
        message = re.sub(r"…/gcp_spy-\w+", "…", message)
        return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", message)

    def keep(self, level: str, message: str) -> None:
        """Keep a message: of the task that runs or, if an error, of one that fails before."""
        if message.startswith(("::group::", "::endgroup::")):
            return
        lines = [(level, line) for line in inside.redact(message).splitlines() if line.strip()]
        if self._running:
            self._lines[_key(self._running)] += lines
        elif level in ("error", "critical"):
            self._early.extend(lines)

    def pause(self, state: str) -> None:
        """Take note that the running task pauses, in `state`: no listener is called for that."""
        if ti := self._running:
            self.release()
            self._tell(ti, state)

    def changed(self, ti: Any, state: str, error: Any = None) -> None:
        """Take a change of a task; Airflow's listener calls this in this process.

        Args:
            ti: the task instance.
            state: running, success, skipped or failed.
            error: what made it fail.
        """
        if state == "failed" and not self._running:  # it never ran: its template, for example
            self._lines[_key(ti)] += self._early
        self.release()
        if state == "running":
            self._early.clear()
            self._running = ti
            self._printed = Printed(lambda line: self.keep("info", line))
        elif state == "failed" and ti.try_number <= ti.max_tries:
            state = "up_for_retry"
        self._tell(ti, state)
        if isinstance(error, KeyboardInterrupt):
            end_task(ti)

    def release(self) -> None:
        """Give the cell its stdout back: the task ended, or an interrupt ended it silently."""
        if self._printed:
            self._printed.release()
        self._printed = self._running = None

    def _tell(self, ti: Any, state: str) -> None:
        for observer in self.observers:
            observer(ti, state)


def _key(ti: Any) -> Key:
    return (ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index, ti.try_number)
