"""The exercises of the notebook 03_list_instances."""

from typing import Any

from workshop.exercises.judging import LIST, SERVICES, Ran, expect
from workshop.lab.inside import first_ticks


def weekdays(dag: Any) -> None:
    """Expect a schedule from Monday to Friday at half past eight."""
    ticks = first_ticks(dag, 8)
    expect(ticks, "This DAG has no schedule: it never runs by itself. Write schedule=…")
    for tick in ticks:
        wrong = f"It also runs on a {tick:%A}; look at the last of the five fields."
        expect(tick.isoweekday() <= 5, wrong)
        wrong = f"It runs at {tick:%H:%M}, and it should at 08:30; the first field is the minute."
        expect((tick.hour, tick.minute) == (8, 30), wrong)
    days = [tick.isoweekday() for tick in ticks]
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
    missed = [name for day, name in enumerate(names, 1) if day not in days] or names
    wrong = f"It does not run once on every weekday: look at {missed[0]}."
    expect(days == [1, 2, 3, 4, 5, 1, 2, 3], wrong)


def fifth(dag: Any) -> None:
    """Expect one more list task, that of Filestore."""
    ran = Ran(dag, "talk")
    old = {LIST.format(service): service for service in SERVICES}
    for task, service in old.items():
        wrong = f"The task for {service} is gone: the spy should look at it still."
        expect(task in ran.states, wrong)
    new = [task for task in ran.states if task not in old]
    wrong = f"There are {len(new)} new tasks, and it should be one: one more line of data."
    expect(len(new) == 1, wrong)
    kept = str(ran.expect_success().kept(new[0])).strip()
    wrong = f"The task {new[0]} kept '{kept[:60]}': the word for the command is filestore."
    expect(kept == "shared-home", wrong)
    kept = Ran(dag, "quiet").kept(new[0])
    wrong = f"In the world 'quiet' there is no Filestore, and {new[0]} still kept '{kept}'."
    expect(kept == "Listed 0 items.", wrong)
