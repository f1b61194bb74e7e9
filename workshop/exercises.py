"""The exercises: `check(name)` looks at the learner's DAG and at what its runs do, not at its text.

Each checker gets the DAG that the exercise's cells make, or the answer, and returns a sentence
that says what is wrong, or None. It runs the DAG in worlds of its own; the learner's world, and
what arrived in it, stay as they were.
"""

import ast
import html
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from workshop import gcloud, sandbox, show, slides, workcopy
from workshop.lab import current, wait_until_warm

SERVICES = ("sql", "spanner", "bigtable", "compute")
LIST = "gcp_service_list_instances_{}"
OTHER_PROJECT = """\
project: nightly-build
services: {sql: [{name: orders-db}], spanner: [], bigtable: [], compute: [{name: web-1}]}
"""
LONGEST_WAIT = 60  # seconds that a learner's sensor may wait


@dataclass(frozen=True)
class Exercise:
    """An exercise: where it stands, what it asks, and how its answer is judged."""

    name: str
    notebook: str
    title: str
    judge: Callable[[Any], str | None]
    wants_dag: bool


@dataclass(frozen=True)
class Verdict:
    """What `check` says, as text and as a line of HTML."""

    kind: str  # a key of MARKS
    sentence: str

    def __repr__(self) -> str:
        return f"{MARKS[self.kind][0]} {self.sentence}"

    def _repr_html_(self) -> str:
        mark, color = MARKS[self.kind]
        return (
            f'<div style="border-left:4px solid {color};padding:4px 12px">'
            f"<b>{mark}</b> {html.escape(self.sentence)}</div>"
        )


MARKS = {
    "right": ("✓ Right.", "#008000"),
    "not yet": ("✗ Not yet.", "#c62828"),
    "open": ("… Not attempted yet.", "#8c8c8c"),
}
EXERCISES: dict[str, Exercise] = {}


def exercise(name: str, notebook: str, title: str, *, dag: bool = True) -> Callable[[Any], Any]:
    """Register a function as the judge of an exercise.

    Args:
        name: what the learner writes in `check(name)`.
        notebook: its file's name without the ending.
        title: what the exercise asks, in a few words.
        dag: it judges a DAG; else the answer that `check(name, answer)` hands over.
    """

    def register(judge: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
        EXERCISES[name] = Exercise(name, notebook, title, judge, dag)
        return judge

    return register


def check(name: str, answer: Any = None) -> Verdict:
    """Say whether an exercise is solved; if not, what is wrong with the learner's DAG or answer.

    Args:
        name: the exercise, as in its cell.
        answer: for an exercise that asks a question.

    Raises:
        Problem: there is no such exercise, the notebook has not started, or this is the real world.
    """
    task = EXERCISES[slides.known(name, EXERCISES, "exercise")]
    builder = slides.builder()
    sandbox.faults_now()  # a sentence in the real world, where nothing is tried out
    if task.wants_dag:
        attempt = builder.attempts.get(name)
        if not attempt or _same(attempt.parts, slides.read_attempts("exercise")[name]):
            what = f"Change the cell %%exercise {name}, run it, then run this one again."
            return Verdict("open", what)
        given = attempt.given
        wait_until_warm()
        wrong = task.judge(builder.use_attempt(name))
        builder.use_attempt(name)  # a judge may have built another file
    else:
        if answer is None:
            return Verdict("open", "Write your answer in place of None, and run this cell again.")
        wait_until_warm()
        wrong = task.judge(answer)
        given = _is_solution(slides.now_running())
    if wrong:
        return Verdict("not yet", wrong)
    if given:
        return Verdict("right", "This is the workbook's own solution; yours may be another one.")
    workcopy.note_solved(Path.cwd(), name)
    return Verdict("right", task.title)


def _is_solution(source: str) -> bool:
    return any(
        "".join(cell["source"]).strip() == source.strip() and workcopy.is_solution(cell)
        for _, _, cell in slides.code_cells()
    )


def _same(parts: dict[str, str], stub: dict[str, str]) -> bool:
    """Return whether two sources mean the same to Python: comments and blanks do not count."""
    return {part: ast.dump(ast.parse(text)) for part, text in parts.items()} == {
        part: ast.dump(ast.parse(stub[part])) for part in parts if part in stub
    }


def progress() -> pd.DataFrame:
    """Return the exercises of all notebooks, and which of them are solved in this working copy."""
    solved = workcopy.solved(Path.cwd())
    return pd.DataFrame(
        {
            "notebook": task.notebook,
            "exercise": task.title,
            "solved": "✓" if name in solved else "",
        }
        for name, task in EXERCISES.items()
    )


class Ran:
    """What one run of a DAG in a world left behind."""

    def __init__(self, dag: Any, world: str, **options: Any) -> None:
        with sandbox.visit(world) as box:
            run = dag.test(**options)
            tasks, xcoms = show.tasks(run), show.xcoms(run)
            self.messages, self.mails = list(box.slack.messages), list(box.mail.mails)
        self.states: dict[str, str] = dict(zip(tasks["task"], tasks["state"], strict=True))
        self.xcoms: dict[tuple[str, str], Any] = {
            (task, key): value
            for task, key, value in zip(
                xcoms["task"], xcoms["key"], xcoms["value"], strict=True
            )
        }  # fmt: skip
        self.log = _last_words(run)

    @property
    def failed(self) -> str | None:
        """A sentence about a task that did not succeed, or None."""
        for task, state in sorted(self.states.items()):
            if state == "failed":
                return f"The task {task} failed: {self.log.get(task, 'its log says no more')}."
        blocked = [task for task, state in sorted(self.states.items()) if state != "success"]
        return f"The task {blocked[0]} is {self.states[blocked[0]]}." if blocked else None


def _last_words(run: Any) -> dict[str, str]:
    from workshop import tasklog

    said: dict[str, str] = {}
    for (_, task, _, _), lines in tasklog.of_run(run.run_id).items():
        errors = [line for level, line in lines if level in ("error", "critical")]
        if errors:
            said[task] = tasklog.plain(errors[-1]).rstrip(".")
    return said


def first_ticks(dag: Any, count: int) -> list[Any]:
    """Return the first times after November 2018 at which a DAG's schedule makes it run."""
    import pendulum
    from airflow.serialization.encoders import coerce_to_core_timetable  # Airflow's own business
    from airflow.timetables.base import TimeRestriction

    timetable = coerce_to_core_timetable(dag.timetable)
    when = TimeRestriction(pendulum.datetime(2018, 12, 1, tz="UTC"), None, True)
    ticks: list[Any] = []
    last = None
    for _ in range(count):
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=when)
        if info is None:
            break
        ticks.append(info.run_after)
        last = info.data_interval
    return ticks


@exercise("tidy", "01_why_airflow", "A task cleans up, whatever happened before it.", dag=False)
def _tidy(dag: Any) -> str | None:
    if not hasattr(dag, "task_dict"):
        return f'Hand over the DAG, not a {type(dag).__name__}: check("tidy", cleaning).'
    missing = {"work", "tidy"} - set(dag.task_dict)
    if missing:
        return f"The DAG has no task {missing.pop()}."
    if "work" not in dag.task_dict["tidy"].get_flat_relative_ids(upstream=True):
        return "tidy no longer waits for work: it would clean up while work goes on."
    states = Ran(dag, "talk").states
    if states["work"] != "failed":
        return f"work is {states['work']}, and it must still fail."
    if states["tidy"] != "success":
        return f"tidy is {states['tidy']}: look at its trigger rule."
    return None


@exercise("three_nights", "01_why_airflow", "What a new run repeats.", dag=False)
def _three_nights(answer: Any) -> str | None:
    if not (isinstance(answer, tuple | list) and len(answer) == 2):
        return "Answer with a pair of numbers: (script, DAG)."
    if answer[0] != 3:
        return "The script posts before it dies, each time it is started."
    if answer[1] != 3:
        return "Each new run of the DAG starts from its beginning. Try it with nightly.test()."
    return None


@exercise("once", "02_concepts", "A note for each day, however often it is written.", dag=False)
def _once(dag: Any) -> str | None:
    import pendulum

    if not hasattr(dag, "task_dict"):
        return f'Hand over the DAG, not a {type(dag).__name__}: check("once", diary).'
    folder = current().home / "diary"
    shutil.rmtree(folder, ignore_errors=True)
    days = ["2018-12-01", "2018-12-01", "2018-12-02", "2018-12-01"]
    for day in days:
        failed = Ran(dag, "talk", logical_date=pendulum.parse(day)).failed
        if failed:
            return failed
    lines = sorted(
        line
        for path in folder.rglob("*")
        if path.is_file()
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    for day in sorted(set(days)):
        found = sum(day in line for line in lines)
        if found != 1:
            return f"After {days.count(day)} runs of {day} the diary has {found} lines for it."
    return None


@exercise("types", "02_concepts", "Action, sensor or transfer.", dag=False)
def _types(answer: Any) -> str | None:
    right = {"S3KeySensor": "sensor", "RedshiftToS3Operator": "transfer", "EmailOperator": "action"}
    if not isinstance(answer, dict):
        return f"Answer with a dict: yours is a {type(answer).__name__}."
    for name, kind in right.items():
        if answer.get(name) != kind:
            return f"{name}: not {answer.get(name)!r}. Ask what it does, and to how many systems."
    return None


@exercise("weekdays", "03_list_instances", "The spy reports on weekdays at half past eight.")
def _weekdays(dag: Any) -> str | None:
    ticks = first_ticks(dag, 8)
    if not ticks:
        return "This DAG has no schedule: it never runs by itself. Write schedule=…"
    for tick in ticks:
        if tick.isoweekday() > 5:
            return f"It also runs on a {tick:%A}; look at the last of the five fields."
        if (tick.hour, tick.minute) != (8, 30):
            return (
                f"It runs at {tick:%H:%M}, and it should at 08:30; the first field is the minute."
            )
    days = [tick.isoweekday() for tick in ticks]
    if days != [1, 2, 3, 4, 5, 1, 2, 3]:
        names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
        missed = [name for day, name in enumerate(names, 1) if day not in days]
        return f"It does not run once on every weekday: look at {(missed or names)[0]}."
    return None


@exercise("empty_list", "03_list_instances", "What an empty list leaves behind.", dag=False)
def _empty_list(answer: Any) -> str | None:
    if not isinstance(answer, str):
        return f"A BashOperator keeps text, and your answer is a {type(answer).__name__}."
    if answer.strip().rstrip(".").lower() != "listed 0 items":
        return 'Call start("quiet"), run the DAG, and copy what the task of Spanner kept.'
    return None


@exercise("fifth", "03_list_instances", "The spy lists a fifth service, Filestore.")
def _fifth(dag: Any) -> str | None:
    ran = Ran(dag, "talk")
    missing = [service for service in SERVICES if LIST.format(service) not in ran.states]
    if missing:
        return f"The task for {missing[0]} is gone: the spy shall look at it still."
    new = [task for task in ran.states if task not in map(LIST.format, SERVICES)]
    if len(new) != 1:
        return f"There are {len(new)} new tasks, and it should be one: one more line of data."
    if ran.failed:
        return ran.failed
    kept = str(ran.xcoms.get((new[0], "return_value"))).strip()
    if kept != "shared-home":
        return f"The task {new[0]} kept '{kept[:60]}': the word for the command is filestore."
    again = Ran(dag, "quiet").xcoms.get((new[0], "return_value"))
    if again != "Listed 0 items.":
        return f"In the world 'quiet' there is no Filestore, and {new[0]} still kept '{again}'."
    return None


def _fields(ran: Ran) -> list[dict[str, Any]]:
    attachments = ran.messages[-1].payload.get("attachments", []) if ran.messages else []
    return [one for attachment in attachments for one in attachment.get("fields", [])]


@exercise("count", "04_slack", "The message counts the instances of each service.")
def _count(dag: Any) -> str | None:
    for world in ("talk", "quiet"):
        ran = Ran(dag, world)
        if ran.failed:
            return ran.failed
        fields = _fields(ran)
        if len(fields) != len(SERVICES):
            return (
                f"The message has {len(fields)} fields in the world '{world}', not one a service."
            )
        for one in fields:
            title, value = str(one.get("title")), str(one.get("value"))
            number = value.count("`") // 2
            found = [word for word in "".join(c if c.isdigit() else " " for c in title).split()]
            if str(number) not in found:
                return (
                    f"In the world '{world}' a title reads '{title}', and its service has "
                    f"{number} instances."
                )
    return None


@exercise("project", "04_slack", "The message names the project.")
def _project(dag: Any) -> str | None:
    ran = Ran(dag, "talk")
    if ran.failed:
        return ran.failed
    if not ran.messages:
        return "No message arrived: the function must still post it."
    if "spy-demo" not in ran.messages[-1].text:
        return (
            "The message does not name the project spy-demo; gcloud config get-value project does."
        )
    path = current().home / "other-project.yaml"
    path.write_text(OTHER_PROJECT, encoding="utf-8")
    ran = Ran(dag, str(path))
    if "nightly-build" not in ran.messages[-1].text:
        return (
            "In a project called nightly-build the message still does not say so: ask gcloud "
            "when the task runs, not when the file is read."
        )
    return None


@exercise("day", "05_email", "The mail's subject has the day of the run.")
def _day(dag: Any) -> str | None:
    import pendulum

    for day in ("2026-01-02", "2026-03-04"):
        ran = Ran(dag, "talk", logical_date=pendulum.parse(day))
        if ran.failed:
            return ran.failed
        if not ran.mails:
            return "No mail arrived: the operator must still send it."
        if day not in ran.mails[-1].subject:
            said = ran.mails[-1].subject
            return f"The run of {day} sent a mail with the subject '{said}'; use a template."
        if "orders-db" not in ran.mails[-1].html:
            return "The mail has lost its text: only the subject should change."
    return None


@exercise("returns", "05_email", "The function returns its text, and the mail still has it.")
def _returns(dag: Any) -> str | None:
    ran = Ran(dag, "talk")
    if ran.failed:
        return ran.failed
    keys = sorted(key for task, key in ran.xcoms if task == "prepare_email_task")
    if "email" in keys:
        return "prepare_email_task still pushes an XCom with the key email: return the text."
    if keys != ["return_value"]:
        return "prepare_email_task leaves nothing behind: the function must return its text."
    if not ran.mails or "orders-db" not in ran.mails[-1].html:
        return "The mail arrived without its text: which key does the template ask for?"
    return None


@exercise("pipefail", "06_the_whole_dag", "A list task fails when gcloud fails, and only then.")
def _pipefail(dag: Any) -> str | None:
    ran = Ran(dag, "talk")
    if ran.failed:
        return f"In the world 'talk' nothing is wrong, and yet: {ran.failed}"
    if ran.xcoms.get((LIST.format("sql"), "return_value")) != (
        "orders-db orders-db-replica reporting-pg"
    ):
        return "The list task of sql no longer keeps the three names in one line."
    ran = Ran(dag, "denied")
    if ran.states.get(LIST.format("spanner")) != "failed":
        return "In the world 'denied' gcloud fails for spanner, and the task does not."
    ran = Ran(dag, "quiet")
    if ran.failed:
        return f"In the world 'quiet' an empty list is no error: grep finds no line. {ran.failed}"
    return None


@exercise("predict", "06_the_whole_dag", "What one denied service does to the report.", dag=False)
def _predict(answer: Any) -> str | None:
    if not isinstance(answer, dict):
        return f"Answer with a dict, task by task: yours is a {type(answer).__name__}."
    names: dict[str, Any] = {}
    builder = slides.Builder(names)
    builder.catch_up(47)
    for part, source in slides.read_attempts("solution")["pipefail"].items():
        builder.attempt("pipefail", part, source, given=True)
    states = Ran(names["dag"], "denied").states
    slides.builder().use()
    unknown = sorted(set(answer) - set(states))
    if unknown:
        return f"There is no task '{unknown[0]}'."
    missing = sorted(set(states) - set(answer))
    if missing:
        return f"Your answer says nothing about {missing[0]}."
    wrong = sum(answer[task] != state for task, state in states.items())
    if wrong:
        return f"{wrong} of {len(states)} states are not what the run gave. Run it and compare."
    return None


@exercise("sensor", "06_the_whole_dag", "The spy waits until a machine is there.")
def _sensor(dag: Any) -> str | None:
    from airflow.sdk import BaseSensorOperator

    listing = dag.task_dict.get(LIST.format("compute"))
    if listing is None:
        return "The list task of compute is gone: the sensor comes before it, not in its place."
    sensors = [task for task in dag.tasks if isinstance(task, BaseSensorOperator)]
    if not sensors:
        return "There is no sensor in the DAG: a BashSensor runs a command until it succeeds."
    above = listing.get_flat_relative_ids(upstream=True)
    sensors = [sensor for sensor in sensors if sensor.task_id in above]
    if not sensors:
        return f"Nothing makes {listing.task_id} wait for the sensor: draw the arrow."
    sensor = sensors[0]
    if sensor.timeout > LONGEST_WAIT:
        return (
            f"The sensor {sensor.task_id} would wait for {sensor.timeout:.0f} seconds: give it a "
            f"timeout of at most {LONGEST_WAIT}."
        )
    for world, wanted in (("talk", True), ("empty", False)):
        with sandbox.visit(world):
            try:
                found = bool(sensor.poke({}))
            except Exception as error:
                return f"In the world '{world}' the sensor does not look, it raises: {error}"
        if wanted and not found:
            return "web-1 is there in the world 'talk', and the sensor does not see it."
        if found and not wanted:
            return (
                "In the world 'empty' there is no machine, and the sensor is content all the same."
            )
    return Ran(dag, "talk").failed


@exercise("expand", "07_complex_dags", "A mapped task in place of a loop.", dag=False)
def _expand(dag: Any) -> str | None:
    if not hasattr(dag, "task_dict"):
        return f'Hand over the DAG, not a {type(dag).__name__}: check("expand", towns).'
    missing = {"cities", "length", "total"} - set(dag.task_dict)
    if missing:
        return f"The DAG has no task {sorted(missing)[0]}."
    with sandbox.visit("talk"):
        run = dag.test()
        states, xcoms = show.tasks(run), show.xcoms(run)
    failed = states[states["state"] != "success"]
    if len(failed):
        return f"The task {failed['task'].iloc[0]} is {failed['state'].iloc[0]}."
    if (
        "map_index" not in states
        or not (states[states["task"] == "length"]["map_index"] >= 0).all()
    ):
        return "length is not mapped: its instances shall come from expand."
    values = {task: value for task, value in zip(xcoms["task"], xcoms["value"], strict=True)}
    count = int((states["task"] == "length").sum())
    if count != len(values["cities"]):
        return f"length has {count} instances, and cities returned {len(values['cities'])} names."
    if values.get("total") != sum(map(len, values["cities"])):
        return f"total returned {values.get('total')}: it does not get all the lengths."
    if "cities" not in dag.task_dict["length"].get_flat_relative_ids(upstream=True):
        return "The names stand in the DAG file: hand over what cities returns."
    return None


@exercise("how_many", "07_complex_dags", "The instances of a mapped task.", dag=False)
def _how_many(answer: Any) -> str | None:
    if not isinstance(answer, int):
        return f"Answer with a number: yours is a {type(answer).__name__}."
    if answer != 22:
        return "Every pair of a project and a service is an instance, and two tasks stand beside."
    return None


@exercise("missing", "08_local_executor", "Which component is down.", dag=False)
def _missing(answer: Any) -> str | None:
    right = {
        "a changed DAG file is not seen": "dag-processor",
        "nothing new starts": "scheduler",
        "tasks fail": "api-server",
    }
    if not isinstance(answer, dict):
        return f"Answer with a dict: yours is a {type(answer).__name__}."
    for complaint, component in right.items():
        if answer.get(complaint) != component:
            return f"'{complaint}': not {answer.get(complaint)!r}. Take it away, and look."
    return None


@exercise("order", "08_local_executor", "The order in a pool of one slot.", dag=False)
def _order(answer: Any) -> str | None:
    if not isinstance(answer, list | tuple) or sorted(answer) != ["alarm", "copy", "note"]:
        return "Answer with a list of the three names."
    if list(answer) != ["alarm", "note", "copy"]:
        return f"Not {answer[0]} first: the weight decides among those who wait."
    return None


@exercise("queues", "09_celery_executor", "Which worker takes which task.", dag=False)
def _queues(answer: Any) -> str | None:
    right = {"none": {"a", "b"}, "gpu": {"b"}, "tpu": set()}
    if not isinstance(answer, dict):
        return f"Answer with a dict: yours is a {type(answer).__name__}."
    for queue, workers in right.items():
        if queue not in answer or set(answer[queue]) != workers:
            return f"'{queue}': look which worker listens there."
    return None


@exercise("silent", "09_celery_executor", "How long a task may be silent.", dag=False)
def _silent(answer: Any) -> str | None:
    if answer not in ("waits", "tries it again elsewhere", "fails the run"):
        return "Answer with one of the three phrases."
    if answer != "waits":
        return "Three minutes are less than the five that a task may be silent by default."
    return None


@exercise("merge", "10_kubernetes_executor", "What a pod_override replaces.", dag=False)
def _merge(answer: Any) -> str | None:
    if str(answer).lower() not in ("1gi", "2gi", "none"):
        return "Answer with one of the three."
    if str(answer).lower() != "none":
        return "The override brings a whole block resources, and it has no limits."
    return None


@exercise("which", "10_kubernetes_executor", "Which executor for which work.", dag=False)
def _which(answer: Any) -> str | None:
    right = {"nights": "local", "seconds": "celery", "months": "kubernetes"}
    if not isinstance(answer, dict):
        return f"Answer with a dict: yours is a {type(answer).__name__}."
    for work, executor in right.items():
        if answer.get(work) != executor:
            return f"'{work}': not {answer.get(work)!r}. Think of a task's start, and of the idle."
    return None


@exercise("travel", "11_composer", "What keeps a DAG file from being read elsewhere.", dag=False)
def _travel(answer: Any) -> str | None:
    if not isinstance(answer, set | list | tuple):
        return f"Answer with a set of numbers: yours is a {type(answer).__name__}."
    if 1 in answer:
        return "pendulum comes with Airflow, wherever that is."
    for line, why in (
        (2, "it opens a file that only Anna has"),
        (3, "the variable need not be there when the file is read"),
        (4, "nothing has imported os"),
    ):
        if line not in answer:
            return f"Look at line {line} again: {why}."
    return None


@exercise("yours", "11_composer", "What a managed service leaves to you.", dag=False)
def _yours(answer: Any) -> str | None:
    if not isinstance(answer, set | list | tuple):
        return f"Answer with a set: yours is a {type(answer).__name__}."
    for task in ("upgrade the database", "restart a dead scheduler"):
        if task in answer:
            return f"To {task} is what you pay for."
    for task in ("write tests", "renew the webhook"):
        if task not in answer:
            return f"Who but you can {task}?"
    return None


@exercise("could_be_read", "12_gcp_spy_today", "A list that can be trusted.", dag=False)
def _could_be_read(answer: Any) -> str | None:
    if not callable(answer):
        return "Hand over a function: def could_be_read(status, stderr): …"
    project = "spy-demo"
    lists = {
        "a list with machines": ("", 0, True),
        "an empty list": ("Listed 0 items.\n", 0, True),
        "a denied list of Spanner": (*gcloud.denied("spanner", project, "table")[1:], False),
        "a denied list of Compute Engine": (*gcloud.denied("compute", project, "json")[1:], False),
        "missing credentials": (f"ERROR: (gcloud.sql) {gcloud.NO_CREDENTIALS}\n", 1, False),
        "a zone that does not answer": (*gcloud.not_succeeded("The zone 'z' is not …"), False),
    }
    for what, (stderr, status, expected) in lists.items():
        try:
            got = answer(status, stderr)
        except Exception as error:
            return f"For {what} your function raises {type(error).__name__}: {error}."
        if got is not expected:
            return f"For {what} your function returns {got!r}."
    return None


@exercise("who_finds_it", "12_gcp_spy_today", "Who finds what is out of date.", dag=False)
def _who_finds_it(answer: Any) -> str | None:
    first = {
        "schedule_interval": ("ruff", "The table of findings has it."),
        "xcom_push=True": ("load", "It is not in the table of findings; an operator refuses it."),
        "execution_date": ("run", "The file loads with it, and a task asks for it."),
        "no pipefail": ("nobody", "The first step ran with Spanner denied. What was red?"),
    }
    if not isinstance(answer, dict) or set(answer) != set(first):
        return f"Answer with a dict that names somebody for each of: {', '.join(first)}."
    for what, (who, hint) in first.items():
        if answer[what] != who:
            return f"{what}: not {answer[what]}. {hint}"
    return None


@exercise("red", "13_when_things_break", "Which faults the DAG of 2018 notices.", dag=False)
def _red(answer: Any) -> str | None:
    from workshop import laboratory

    faults: dict[str, dict[str, Any]] = {
        "there is no gcloud": {"gcloud": "missing"},
        "Spanner is denied": {"spanner": "denied"},
        "Slack answers 500": {"slack": 500},
        "nobody listens at Slack": {"slack": "refused"},
        "the mail server is down": {"mail": "down"},
    }
    if not isinstance(answer, dict) or set(answer) != set(faults):
        return f"Answer with a dict that says red or green for each of: {', '.join(faults)}."
    unknown = [colour for colour in answer.values() if colour not in ("red", "green")]
    if unknown:
        return f"'{unknown[0]}' is neither red nor green."
    colours = {}
    for what, switches in faults.items():
        run = laboratory.run_both(what, switches=switches)["2018"]["run"]
        colours[what] = "green" if run == "success" else "red"
    wrong = sum(answer[what] != colour for what, colour in colours.items())
    if wrong:
        return f"{wrong} of {len(faults)} are not what a run just gave. Go on, and see which."
    return None


@exercise("promise", "13_when_things_break", "What can arrive twice.", dag=False)
def _promise(answer: Any) -> str | None:
    faults = ("refused", "silent", "killed before", "killed after")
    if not isinstance(answer, list) or not set(answer) <= set(faults):
        return f"Answer with a list of some of these: {', '.join(faults)}."
    if "refused" in answer or "killed before" in answer:
        return "Nothing had arrived there when the next try began: it is the first message."
    if set(answer) != {"silent", "killed after"}:
        return "There is another moment at which the message is there and the note of it is not."
    return None
