"""Keep what tasks log, by task and try, and keep it out of the notebook's cells.

In production Airflow writes a log file for each try; `dag.test()` writes none and prints instead.
"""

import graphlib
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workshop.lab import inside
from workshop.lab.interrupts import end_task
from workshop.lab.process import Output, debugging_at, put_back

Key = tuple[str, str, int, int]  # run_id, task_id, map_index, try_number
Line = tuple[str, str]  # level, message


class TaskLogs:
    """What the tasks of this process logged, and who wants to hear of their changes."""

    def __init__(self) -> None:
        self.observers: list[Callable[[Any, str], None]] = []  # a task instance, its new state
        self.cleaners: list[Callable[[str], str]] = []  # what takes secrets out of a message
        self._lines: dict[Key, list[Line]] = defaultdict(list)
        self._depths: dict[str, dict[str, int]] = {}  # of each task, by run
        self._key: Key | None = None  # of the task that has this process
        self._output: Output | None = None
        self._running: Any = None  # the task instance that told last that it runs

    def forget(self) -> None:
        """Forget all lines."""
        self._lines.clear()
        self._depths.clear()

    def of_run(self, run_id: str) -> dict[Key, list[Line]]:
        """Return the captured lines of one DagRun, by task and try.

        A task comes after those that it waits for; tasks that could run in any order are sorted.
        """
        depths = self._depths.get(run_id, {})
        keys = sorted(key for key in self._lines if key[0] == run_id)
        return {key: self._lines[key] for key in sorted(keys, key=lambda key: depths[key[1]])}

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

    @contextmanager
    def process_of(self, ti: Any, dag: Any) -> Iterator[None]:
        """Be the process of a task: what is printed goes to its log, what it changes is put back.

        Args:
            ti: anything with a task instance's ids.
            dag: its DAG.
        """
        depths = self._depths.setdefault(ti.run_id, {})
        if ti.task_id not in depths:  # a run of another DAG may have the same id
            depths.update(_depths(dag))
        self._key = _key(ti)
        self._lines.setdefault(self._key, [])  # it ran, whatever it logs
        try:
            with put_back(), debugging_at(sys.stdout), Output(self._keep_line) as self._output:
                yield
        finally:
            self._key = self._output = self._running = None

    def keep(self, level: str, message: str) -> None:
        """Keep what was logged while a task has this process."""
        if self._output and not message.startswith(("::group::", "::endgroup::")):
            self._output.end_line()
            self._keep_line(level, message)

    def _keep_line(self, level: str, text: str) -> None:
        if self._key:
            lines = inside.redact(text).splitlines()
            self._lines[self._key] += [(level, line) for line in lines if line.strip()]

    def pause(self, state: str) -> None:
        """Take note that the running task pauses, in `state`: no listener is called for that."""
        if self._running:
            self._tell(self._running, state)

    def changed(self, ti: Any, state: str, error: Any = None) -> None:
        """Take a change of a task; Airflow's listener calls this in this process.

        Args:
            ti: the task instance.
            state: running, success, skipped or failed.
            error: what made it fail.
        """
        if state == "running":
            self._running = ti
        elif state == "failed" and ti.try_number <= ti.max_tries:
            state = "up_for_retry"
        self._tell(ti, state)
        if isinstance(error, KeyboardInterrupt):
            end_task(ti)

    def _tell(self, ti: Any, state: str) -> None:
        for observer in self.observers:
            observer(ti, state)


def _key(ti: Any) -> Key:
    return (ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index, ti.try_number)


def _depths(dag: Any) -> dict[str, int]:
    """Return how many tasks stand before each task, on the longest way to it."""
    above = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    depths: dict[str, int] = {}
    for task_id in graphlib.TopologicalSorter(above).static_order():
        depths[task_id] = max((depths[each] + 1 for each in above[task_id]), default=0)
    return depths
