"""Keep what tasks log, by task and try, and keep it out of the notebook's cells.

In production Airflow writes a log file for each try; `dag.test()` writes none and prints instead.
"""

import graphlib
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workshop.lab import inside
from workshop.lab.interrupts import end_task
from workshop.lab.process import Output, debugging_at, put_back

Key = tuple[str, int, int]  # task_id, map_index, try_number
Line = tuple[str, str]  # level, message


@dataclass
class _Run:
    """What one DagRun logged."""

    depths: dict[str, int] = field(default_factory=dict)  # of each task
    lines: dict[Key, list[Line]] = field(default_factory=dict)


class TaskLogs:
    """What the tasks of this process logged, and who wants to hear of their changes."""

    def __init__(self) -> None:
        self.observers: list[Callable[[Any, str], None]] = []  # a task instance, its new state
        self.cleaners: list[Callable[[str], str]] = []  # what takes secrets out of a message
        self._runs: dict[tuple[str, str], _Run] = {}  # by dag_id and run_id
        self._newest: dict[str, str] = {}  # the run_id of each DAG's run that goes on
        self._lines: list[Line] | None = None  # of the task that has this process
        self._output: Output | None = None
        self._running: Any = None  # the task instance that told last that it runs

    def forget(self) -> None:
        """Forget all lines."""
        self._runs.clear()

    @contextmanager
    def run(self, dag: Any) -> Iterator[None]:
        """Be around a run of a DAG: it may have the id of an earlier one, in whose place it comes.

        Args:
            dag: the DAG.
        """
        self._newest.pop(dag.dag_id, None)
        yield

    def of_run(self, run: Any) -> dict[Key, list[Line]]:
        """Return the captured lines of one DagRun, by task and try.

        A task comes after those that it waits for; tasks that could run in any order are sorted.

        Args:
            run: anything with a dag_id and a run_id.
        """
        kept = self._runs.get((run.dag_id, run.run_id), _Run())
        keys = sorted(kept.lines, key=lambda key: (kept.depths[key[0]], key))
        return {key: kept.lines[key] for key in keys}

    def of_task(self, ti: Any) -> list[Line]:
        """Return the captured lines of one try of a task."""
        return self.of_run(ti).get(_key(ti), [])

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
        if self._newest.get(ti.dag_id) != ti.run_id:
            self._newest[ti.dag_id] = ti.run_id
            self._runs[ti.dag_id, ti.run_id] = _Run(_depths(dag))
        lines = self._runs[ti.dag_id, ti.run_id].lines
        self._lines = lines.setdefault(_key(ti), [])  # it ran, whatever it logs
        try:
            with put_back(), debugging_at(sys.stdout), Output(self._keep_line) as self._output:
                yield
        finally:
            self._lines = self._output = self._running = None

    def keep(self, level: str, message: str) -> None:
        """Keep what was logged while a task has this process."""
        if self._output and not message.startswith(("::group::", "::endgroup::")):
            self._output.end_line()
            self._keep_line(level, message)

    def _keep_line(self, level: str, text: str) -> None:
        if self._lines is not None:
            lines = inside.redact(text).splitlines()
            self._lines += [(level, line) for line in lines if line.strip()]

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
    return (ti.task_id, -1 if ti.map_index is None else ti.map_index, ti.try_number)


def _depths(dag: Any) -> dict[str, int]:
    """Return how many tasks stand before each task, on the longest way to it."""
    above = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    depths: dict[str, int] = {}
    for task_id in graphlib.TopologicalSorter(above).static_order():
        depths[task_id] = max((depths[each] + 1 for each in above[task_id]), default=0)
    return depths
