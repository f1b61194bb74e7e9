"""`watch(dag)`: the graph of a DAG that changes colour while `dag.test()` runs in another cell.

Each run shows a bar while it takes long. Airflow's listeners run in the
notebook's own process and tell each change of a task. The states that no listener hears of, those
of tasks that never ran, come from the DagRun when the cell ends.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anywidget
import traitlets

from workshop.ground import Problem
from workshop.lab import TaskLogs, current, inside
from workshop.show.graphs import PRIORITY, STATE_COLORS, draw, layout, source, states, worst
from workshop.show.pictures import render
from workshop.show.progress import SECONDS_A_STEP, Progress

LAST_LINES = 12
LONGEST = 400  # characters of a log line or an XCom that travel to the browser
FOLDER = Path(__file__).parent
ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")  # State.finished of Airflow


class Stored:
    """A widget that is stored as text and HTML: a saved widget without a kernel shows nothing."""

    stored_text: str
    stored_html: str

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: Any = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        data = bundle[0] if isinstance(bundle, tuple) else bundle  # anywidget adds metadata
        return {**data, "text/plain": self.stored_text, "text/html": self.stored_html}


class Watched(Stored, anywidget.AnyWidget):  # type: ignore[misc]  # traitlets has no types
    """The graph of one DAG, in one cell's output."""

    _esm = (FOLDER / "live.js").read_text(encoding="utf-8")
    _css = (FOLDER / "live.css").read_text(encoding="utf-8")
    graphs = traitlets.Dict().tag(sync=True)  # "unfolded" and, with task groups, "folded": SVG
    boxes = traitlets.Dict().tag(sync=True)  # the tasks in each box
    tasks = traitlets.Dict().tag(sync=True)  # what is known of each task
    run = traitlets.Unicode("").tag(sync=True)  # the state of the DagRun
    colors = traitlets.Dict(STATE_COLORS).tag(sync=True)
    order = traitlets.List(list(PRIORITY)).tag(sync=True)  # which state stands for several

    def __init__(self, dag: Any) -> None:
        super().__init__()
        self.dag_id: str = dag.dag_id
        picture = draw(dag)
        self.stored_text, self.stored_html = picture.text, picture._repr_html_()
        self.run_id = ""
        self._last = ""
        self._instances: dict[str, dict[int, str]] = {}
        self._begun: dict[tuple[str, int], float] = {}
        self._draw(dag)

    def _draw(self, dag: Any) -> None:
        graphs: dict[str, str] = {}
        boxes: dict[str, list[str]] = {}
        sources = ""
        for name, fold in (("unfolded", False), ("folded", True)):
            nodes, edges = layout(dag, fold=fold)
            boxes |= {box: list(node.tasks) for box, node in nodes.items()}
            small = {box: [node.kind, "upstream_failed"] for box, node in nodes.items()}
            graph = source(dag, nodes, edges, small, {})
            if graph not in sources:  # without groups the two are the same
                graphs[name] = render(graph)
            sources += graph
        if sources != self._last:
            self._last, self.boxes, self.graphs = sources, boxes, graphs

    def changed(self, ti: Any, state: str) -> None:
        """Take a change of a task: show its state and, when it ended, what it left behind."""
        if ti.dag_id != self.dag_id:
            return
        if ti.run_id != self.run_id:
            self.run_id, self._instances, self.tasks = ti.run_id, {}, {}
            self._draw(ti.task.dag)
            self.run = "running"
        index = -1 if ti.map_index is None else ti.map_index
        self._instances.setdefault(ti.task_id, {})[index] = state
        key = (ti.task_id, index)
        self._begun.setdefault(key, time.monotonic())
        known = {
            "state": worst(self._instances[ti.task_id].values()),
            "tries": ti.try_number,
            "seconds": round(time.monotonic() - self._begun[key], 1),
        }
        if state != "running":
            del self._begun[key]
            logs = current()[TaskLogs]
            lines = logs.of_task(ti)[-LAST_LINES:]
            known["log"] = [f"{level}: {logs.plain(line)[:LONGEST]}" for level, line in lines]
            left = inside.xcoms(ti, ti.task_id)
            known["xcom"] = [
                f"{key}: {logs.plain(str(value))[:LONGEST]}"
                for key, value in zip(left["key"], left["value"], strict=True)
            ]
        # Without a second dict of all tasks for each change: only the message travels now.
        self.tasks.setdefault(ti.task_id, {}).update(known)
        self.send({"task": ti.task_id, "known": known})

    def settle(self) -> None:
        """Show the states that the DagRun has when the cell ends."""
        if self.run != "running":
            return
        run = SimpleNamespace(dag_id=self.dag_id, run_id=self.run_id)
        known = {name: dict(values) for name, values in self.tasks.items()}
        stored = states(run)
        for task, state in stored.items():
            known.setdefault(task, {"tries": 0})["state"] = state
        self.tasks = known
        # Somebody may have deleted the run: the picture then keeps what was told of its tasks.
        self.run = inside.run_state(run) if stored else "deleted"


class RunBar:
    """How far the run of one DAG is, and what it waits for, in the cell that runs it.

    Args:
        dag: the DAG.
        progress: where it is shown.
        patience: seconds before it is shown.
    """

    def __init__(self, dag: Any, progress: Progress, patience: float) -> None:
        self.dag = dag
        self.waits = ""
        self._told: dict[tuple[str, int], str] = {}  # what was told of each task instance
        self._changes = 0
        self._over = threading.Event()
        # In a thread: a task that takes long changes nothing meanwhile.
        self._thread = threading.Thread(target=self._show, args=(progress, patience), daemon=True)
        self._thread.start()

    def changed(self, ti: Any, state: str) -> None:
        """Take a change of a task."""
        self._told[ti.task_id, -1 if ti.map_index is None else ti.map_index] = state
        self._run = SimpleNamespace(dag_id=ti.dag_id, run_id=ti.run_id)
        self._changes += 1
        self.waits = f"'{ti.task_id}' waits for its trigger" if state == "deferred" else ""

    def end(self) -> None:
        """Take the bar away."""
        self._over.set()
        self._thread.join()

    def _show(self, progress: Progress, pause: float) -> None:
        begun = time.monotonic()
        states: dict[tuple[str, int], str] = {}
        seen = 0
        with progress:
            while not self._over.wait(pause):
                pause = min(pause, SECONDS_A_STEP)
                # Once a step and not at each change: a mapped task may have a thousand instances.
                if seen != self._changes:
                    seen = self._changes
                    there = inside.task_instances(self._run).itertuples()
                    states = {(row.task, row.map_index): row.state for row in there}
                ended = sum(state in ENDED for state in (states | self._told).values())
                total = len(states) or len(self.dag.tasks)  # a mapped one has many instances
                text = (
                    f"{self.dag.dag_id}: {ended} of {total} tasks have ended, "
                    f"{time.monotonic() - begun:.0f} s\n{self.waits}"
                )
                progress.show(text.rstrip(), ended, total)


class Graphs:
    """The graphs that are watched in this process, and the bar of the DAG that runs.

    Args:
        progress: makes what shows the bar.
        patience: seconds before a run has a bar.
    """

    def __init__(self, progress: Callable[[], Progress] = Progress, patience: float = 1.0) -> None:
        self._progress, self._patience = progress, patience
        self._watched: dict[str, Watched] = {}
        self._bar: RunBar | None = None
        self._told = ""

    @contextmanager
    def run(self, dag: Any) -> Iterator[None]:
        """Show a bar while a DAG runs, where somebody looks."""
        progress = self._progress()
        if not progress.is_seen():
            yield
            return
        self._bar = bar = RunBar(dag, progress, self._patience)
        try:
            yield
        finally:
            self._bar = None
            bar.end()

    def waits(self, what: str, ends: bool) -> None:
        """Show what the run waits for; without a bar say it once, unless time alone ends it."""
        if self._bar:
            self._bar.waits = what
        elif not ends and what != self._told:
            print(what)
            self._told = what

    def watch(self, dag: Any) -> Watched:
        """Return the graph of a DAG, and follow its runs; a later one takes the place of this."""
        self._watched[dag.dag_id] = Watched(dag)
        return self._watched[dag.dag_id]

    def changed(self, ti: Any, state: str) -> None:
        """Take a change of a task of any DAG."""
        if ti.dag_id in self._watched:
            self._watched[ti.dag_id].changed(ti, state)
        if self._bar:
            self._bar.changed(ti, state)

    def settle(self) -> None:
        """Bring all graphs to what their DagRuns are; called after each cell."""
        for watched in self._watched.values():
            watched.settle()


def watch(dag: Any) -> Watched:
    """Return the graph of a DAG; it changes colour while `dag.test()` runs in a later cell.

    Choose a task in it, by mouse or with Tab and Enter, to see its state, its tries, its seconds,
    the last lines of its log and its XComs.

    Args:
        dag: the DAG. A later `watch` of the same DAG takes the place of this one.

    Raises:
        Problem: it is no DAG, or the notebook has not started.
    """
    if not hasattr(dag, "tasks"):
        raise Problem(f"watch() shows a DAG, not a {type(dag).__name__}: write watch(dag).")
    return current()[Graphs].watch(dag)
