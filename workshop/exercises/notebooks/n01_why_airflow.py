"""The exercises of the notebook 01_why_airflow."""

from typing import Any

from workshop.exercises.judging import Ran, expect, expect_dag


def tidy(dag: Any) -> None:
    """Expect a task that runs after a failed one."""
    expect_dag(dag, 'check("tidy", cleaning)', "tidy", "work")
    above = dag.task_dict["tidy"].get_flat_relative_ids(upstream=True)
    expect("work" in above, "tidy no longer waits for work: it would clean up while work goes on.")
    states = Ran(dag, "talk").states
    expect(states["work"] == "failed", f"work is {states['work']}, and it must still fail.")
    expect(states["tidy"] == "success", f"tidy is {states['tidy']}: look at its trigger rule.")
