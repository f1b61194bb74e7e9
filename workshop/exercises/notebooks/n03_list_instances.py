"""The exercises of the notebook 03_list_instances."""

import re
import textwrap
from typing import Any

from workshop.exercises.judging import LIST, SERVICES, Ran, Wrong, expect
from workshop.lab.inside import first_ticks

# A stream may be named to say that the text does not come from there.
CLAUSE = re.compile(
    r"[.,;()\n]|:(?=\s*(?:std|standard ))|\b(?:and|but|while)\b|(?=\b(?:not|instead|rather|nor)\b)"
)
DENIAL = re.compile(
    r"\b(?:not|instead|rather|nor|never)\b|n't\b|\b(?:nothing|none)(?: \w+)? (?:on|in|from|to)\b"
    r"|(?:err|out)(?:\W|is|has|keeps)*\b(?:empty|nothing)\b"
)


def weekdays(dag: Any) -> None:
    """Expect a schedule from Monday to Friday at half past eight, on its own zone's clock."""
    try:
        ticks = first_ticks(dag, 200)  # winter and summer
    except ValueError as error:
        fields = "the first field is the minute, up to 59, and the second the hour, up to 23"
        raise Wrong(f"Airflow refuses this schedule: {error}; {fields}.") from None
    expect(ticks, "This DAG has no schedule: it never runs by itself. Write schedule=…")
    for tick in ticks:
        wrong = f"It also runs on a {tick:%A}; look at the last of the five fields."
        expect(tick.isoweekday() <= 5, wrong)
        minute = "the first field is the minute" if tick.minute != 30 else ""
        hour = "the second field is the hour" if tick.hour != 8 else ""
        fields = ", ".join(filter(None, (minute, hour)))
        clock = f"{tick:%H:%M} ({tick.timezone_name})"
        expect(not fields, f"It runs at {clock}, and it should at 08:30; {fields}.")
    days = [tick.isoweekday() for tick in ticks]
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
    missed = [name for day, name in enumerate(names, 1) if day not in days] or names
    wrong = f"It does not run once on every weekday: look at {missed[0]}."
    expect(days == [(days[0] - 1 + number) % 5 + 1 for number in range(200)], wrong)


def empty_list(answer: Any) -> None:
    """Expect a text that says what the task keeps, and from which stream."""
    expect(isinstance(answer, str), f"Answer with a text: yours is a {type(answer).__name__}.")
    said = answer.lower()
    wrong = 'Call start("quiet"), run the DAG, and copy what the task of Spanner kept.'
    expect("listed 0 items" in said, wrong)
    clauses = [clause for clause in CLAUSE.split(said) if not DENIAL.search(clause)]
    streams = set(re.findall(r"(?:std|standard )(err|out)", " ".join(clauses)))
    wrong = "Name the one stream that the text comes from: stdout or stderr?"
    expect(len(streams) == 1, wrong)
    expect(streams == {"err"}, "Run it with 2>/dev/null: stdout is empty there.")


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
    short = textwrap.shorten(kept, 60, placeholder=" …")  # gcloud's refusals fill a screen
    wrong = f"The task {new[0]} kept '{short}': the word for the command is filestore."
    expect(kept == "shared-home", wrong)
    kept = Ran(dag, "quiet").kept(new[0])
    wrong = f"In the world 'quiet' there is no Filestore, and {new[0]} still kept '{kept}'."
    expect(kept == "Listed 0 items.", wrong)
