"""The exercises of the notebook 01_why_airflow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workshop.exercises.judging import Ran, expect, expect_dag


def tidy(dag: Any) -> None:
    """Expect a task that runs after another one, whatever became of that."""
    expect_dag(dag, 'check("tidy", cleaning)', "tidy", "work")
    waits = dag.task_dict["tidy"]
    above = waits.get_flat_relative_ids(upstream=True)
    expect("work" in above, "tidy no longer waits for work: it would clean up while work goes on.")
    # dag.test() runs one task after the other: it cannot show that this rule waits for nothing.
    wrong = "With the trigger rule always tidy does not wait: it would clean up while work goes on."
    expect(waits.trigger_rule != "always", wrong)
    ran = Ran(dag, "talk")
    expect(ran.states["work"] == "failed", f"work is {ran.states['work']}, and it must still fail.")
    _expect_tidied(ran)
    for state in ("success", "skipped"):
        with _ending_as(dag.task_dict["work"], state):
            _expect_tidied(Ran(dag, "talk"))


def _expect_tidied(ran: Ran) -> None:
    wrong = f"Where work is {ran.states['work']}, tidy {ran.end('tidy')}"
    expect(ran.states["tidy"] != "failed", f"{wrong}.")
    expect(ran.states["tidy"] == "success", f"{wrong}: look at its trigger rule.")


@contextmanager
def _ending_as(task: Any, state: str) -> Iterator[None]:
    """Let a task end in another state, success or skipped, without doing its work."""
    from airflow.sdk.exceptions import AirflowSkipException

    def execute(context: Any) -> None:
        if state == "skipped":
            raise AirflowSkipException("for the check")

    task.execute = execute
    try:
        yield
    finally:
        del task.execute
