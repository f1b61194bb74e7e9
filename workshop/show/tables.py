"""DagRuns as pandas tables: task instances, XComs, changes of state; and what tasks logged."""

import json
from typing import Any

import pandas as pd

from workshop.ground import Problem, known
from workshop.lab import TaskLogs, current, inside


def tasks(run: Any, *, times: bool = False) -> pd.DataFrame:
    """Return the task instances of a DagRun, sorted: task, state and tries.

    Args:
        run: the DagRun that `dag.test()` returned.
        times: add the seconds each took, which differ from run to run.
    """
    frame = _without_index(inside.task_instances(_run(run)))
    return frame if times else frame.drop(columns="seconds")


def xcoms(run: Any) -> pd.DataFrame:
    """Return the XComs of a DagRun, sorted: task, key, value, its Python type and its size.

    Args:
        run: the DagRun that `dag.test()` returned.

    The size is in bytes, as stored: JSON text in the metadata database. A value of a class that
    Airflow does not load is shown as stored too.
    """
    frame = inside.xcoms(_run(run))
    frame["type"] = [type(value).__name__ for value in frame["value"]]
    frame["bytes"] = [len(json.dumps(stored).encode()) for stored in frame["stored"]]
    return _without_index(frame.drop(columns="stored"))


def changes(run: Any) -> pd.DataFrame:
    """Return every change of state in a DagRun, by task and in order: task, before and after.

    Airflow keeps the newest state alone; a trigger in the workbook's own database keeps them all.

    Args:
        run: the DagRun that `dag.test()` returned.

    Raises:
        Problem: they could not be recorded.
    """
    frame = inside.state_changes(_run(run))
    if frame is None:
        raise Problem(
            "The changes of state are not recorded: this Airflow keeps its task instances in "
            "another way. tasks(run) shows the newest state of each."
        )
    frame["before"] = frame["before"].fillna("none")
    return _without_index(frame)


def _run(run: Any) -> Any:
    if not hasattr(run, "run_id"):
        raise Problem(
            "This shows a DagRun: write run = dag.test(), and give it run, "
            f"not a {type(run).__name__}."
        )
    return run


def _without_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without its map_index where no task is mapped."""
    return frame.drop(columns="map_index") if (frame["map_index"] == -1).all() else frame


def logs(run: Any, task_id: str | None = None) -> None:
    """Print what the tasks of a DagRun logged, by task and try, without times and folders.

    Args:
        run: the DagRun that `dag.test()` returned.
        task_id: only this task.

    Raises:
        Problem: the run has no such task; the sentence names the nearest.
    """
    kept = current()[TaskLogs]
    found = kept.of_run(_run(run))
    if task_id is not None:
        found = {key: lines for key, lines in found.items() if key[0] == task_id}
        there = list(dict.fromkeys(inside.task_instances(run)["task"]))
        if there and not found:  # a run of a cluster has no tasks in this notebook
            known(task_id, there, "task")
    if not found:
        nothing = f"The task {task_id} logged nothing" if task_id else "No task logged anything"
        print(f"{nothing} in this notebook.")
    for (task, map_index, tries), lines in found.items():
        index = "" if map_index == -1 else f", index {map_index}"
        print(f"── {task}{index}, try {tries}")
        for level, message in lines:
            print(f"{level:8}{kept.plain(message)}")
