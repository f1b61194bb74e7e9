"""The exercises of the notebook 06_the_whole_dag."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workshop.exercises.judging import LIST, Ran, expect, plain
from workshop.ground.cells import read_attempts, read_steps
from workshop.lab import Home, current
from workshop.lab.dagcell import execute
from workshop.slides import assemble

SOONEST, LATEST = 20, 40  # seconds after which a learner's sensor may give up
MACHINES = "project: spy-demo\nservices: {{sql: [], compute: [{}]}}\n"
# What the sensor should see there, the machines, and what it did not tell apart if it is wrong.
SEEN = [
    (True, "{name: web-1, zone: us-east1-c}", "web-1 runs alone, in another zone"),
    (False, "{name: web-10}, {name: web-2}, {name: my-web-1}",
     "web-10, web-2 and my-web-1 run, and no web-1"),
    (False, "{name: web-1, status: TERMINATED}, {name: web-2}",
     "web-1 has the status TERMINATED, and web-2 runs"),
    (False, "{name: web-1, status: STAGING}", "web-1 has the status STAGING"),
]  # fmt: skip


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
    parts = {step.part: step.source for step in read_steps() if step.slide <= 47}
    file = assemble(parts | read_attempts("solution")["pipefail"])
    # Beside the dags folder, and with a name of its own: what the learner has stays as it is.
    names, _ = execute(file, current()[Home].folder / "pipefail.py", "")
    names["dag"].dag_id = "pipefail"
    tasks = names["dag"].task_ids
    for task in sorted(answer):
        expect(task in tasks, f"There is no task '{task}'.")
    for task in sorted(tasks):
        expect(task in answer, f"Your answer says nothing about {task}.")
    states = Ran(names["dag"], "denied").states
    count = sum(plain(answer[task]) != state for task, state in states.items())
    wrong = f"{count} of {len(states)} states are not what the run gave. Run it and compare."
    expect(not count, wrong)


def sensor(dag: Any) -> None:
    """Expect a sensor before the list of Compute Engine that sees whether web-1 runs."""
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
    for waits in sensors:
        ends = max(waits.timeout, waits.poke_interval)  # it looks when the interval is over
        wrong = (
            f"The sensor {waits.task_id} would give up after {ends:.0f} seconds: its timeout is "
            f"{waits.timeout:.0f}, its poke_interval {waits.poke_interval:.0f}."
        )
        expect(SOONEST <= ends <= LATEST and waits.poke_interval < waits.timeout, wrong)
    names = [task.task_id for task in sensors]
    with _looking_once(sensors):
        ran = Ran(dag, "talk")
        _expect_seen(ran, names, True, "web-1 runs in the world 'talk'")
        ran.expect_success()
        others = re.compile(rf"(?!({'|'.join(map(re.escape, names))})$)")
        # Without what comes after the list: Airflow waits a second for each that never runs.
        dag = dag.partial_subset([*names, listing.task_id], include_upstream=True)
        path = current()[Home].folder / "machines.yaml"
        for seen, machines, what in SEEN:
            path.write_text(MACHINES.format(machines), encoding="utf-8")
            ran = Ran(dag, str(path), mark_success_pattern=others)
            _expect_seen(ran, names, seen, what)
            kept = ran.states[listing.task_id]
            wrong = f"Where {what}, the sensor gives up, and {listing.task_id} is {kept}."
            expect(seen or kept == "upstream_failed", wrong)


def _expect_seen(ran: Ran, sensors: list[str], seen: bool, what: str) -> None:
    states = {ran.states[name] for name in sensors}
    if seen:
        said = "; ".join(f"{name} {ran.end(name)}" for name in sensors)
        wrong = f"Where {what}, the sensor does not see it. {said}."
        expect(states == {"success"}, wrong)
    expect(seen or states != {"success"}, f"Where {what}, the sensor is content all the same.")
    wrong = f"Where {what}, the sensor is skipped, so nobody sees that it gave up: no soft_fail."
    expect(seen or "failed" in states, wrong)


@contextmanager
def _looking_once(sensors: list[Any]) -> Iterator[None]:
    """Let sensors give up after their first look."""
    before = [(task, task.timeout, task.poke_interval) for task in sensors]
    for task in sensors:
        task.timeout = task.poke_interval = 0
    try:
        yield
    finally:
        for task, timeout, poke_interval in before:
            task.timeout, task.poke_interval = timeout, poke_interval
