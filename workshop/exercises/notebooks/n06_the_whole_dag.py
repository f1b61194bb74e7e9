"""The exercises of the notebook 06_the_whole_dag."""

from typing import Any

from workshop.exercises.judging import LIST, Ran, Wrong, expect
from workshop.ground.cells import read_attempts
from workshop.lab import current
from workshop.sandbox import visit
from workshop.slides import Builder

LONGEST_WAIT = 60  # seconds that a learner's sensor may wait


def pipefail(dag: Any) -> None:
    """Expect a list task that fails when gcloud fails, and not for an empty list."""
    ran = Ran(dag, "talk").expect_success("In the world 'talk' nothing is wrong, and yet: ")
    wrong = "The list task of sql no longer keeps the three names in one line."
    expect(ran.kept(LIST.format("sql")) == "orders-db orders-db-replica reporting-pg", wrong)
    denied = Ran(dag, "denied").states.get(LIST.format("spanner"))
    wrong = "In the world 'denied' gcloud fails for spanner, and the task does not."
    expect(denied == "failed", wrong)
    wrong = "In the world 'quiet' an empty list is no error: grep finds no line. "
    Ran(dag, "quiet").expect_success(wrong)


def predict(answer: Any) -> None:
    """Expect the states that a run of the workbook's own solution of pipefail now gives."""
    kind = type(answer).__name__
    expect(kind == "dict", f"Answer with a dict, task by task: yours is a {kind}.")
    names: dict[str, Any] = {}
    solution = Builder(names)
    solution.catch_up(47)
    for part, source in read_attempts("solution")["pipefail"].items():
        solution.attempt("pipefail", part, source, given=True)
    tasks = names["dag"].task_ids
    try:
        for task in sorted(answer):
            expect(task in tasks, f"There is no task '{task}'.")
        for task in sorted(tasks):
            expect(task in answer, f"Your answer says nothing about {task}.")
        states = Ran(names["dag"], "denied").states
    finally:
        current()[Builder].use()
    count = sum(answer[task] != state for task, state in states.items())
    wrong = f"{count} of {len(states)} states are not what the run gave. Run it and compare."
    expect(not count, wrong)


def sensor(dag: Any) -> None:
    """Expect a sensor before the list of Compute Engine that sees whether web-1 is there."""
    from airflow.sdk import BaseSensorOperator

    listing = dag.task_dict.get(LIST.format("compute"))
    wrong = "The list task of compute is gone: the sensor comes before it, not in its place."
    expect(listing, wrong)
    sensors = [task for task in dag.tasks if isinstance(task, BaseSensorOperator)]
    wrong = "There is no sensor in the DAG: a BashSensor runs a command until it succeeds."
    expect(sensors, wrong)
    above = listing.get_flat_relative_ids(upstream=True)
    sensors = [task for task in sensors if task.task_id in above]
    expect(sensors, f"Nothing makes {listing.task_id} wait for the sensor: draw the arrow.")
    waits = sensors[0]
    wrong = (
        f"The sensor {waits.task_id} would wait for {waits.timeout:.0f} seconds: give it a "
        f"timeout of at most {LONGEST_WAIT}."
    )
    expect(waits.timeout <= LONGEST_WAIT, wrong)
    wrong = "web-1 is there in the world 'talk', and the sensor does not see it."
    expect(_finds(waits, "talk"), wrong)
    wrong = "In the world 'empty' there is no machine, and the sensor is content all the same."
    expect(not _finds(waits, "empty"), wrong)
    Ran(dag, "talk").expect_success()


def _finds(waits: Any, world: str) -> bool:
    with visit(world):
        try:
            return bool(waits.poke({}))
        except Exception as error:
            wrong = f"In the world '{world}' the sensor does not look, it raises: {error}"
            raise Wrong(wrong) from None
