"""Exercises with a DAG or a function: right answers are right, of wrong ones it is said why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workshop import show
from workshop.exercises import Verdict, check, every, progress
from workshop.exercises.judging import Ran, Wrong
from workshop.ground.cells import read_attempts, read_steps
from workshop.ground.learner import solved
from workshop.lab import dagcell
from workshop.sandbox import arrived, enter, fault, faults_now
from workshop.slides import Builder

STUBS = read_attempts("exercise")
SOLUTIONS = read_attempts("solution")
NOTEBOOK = {name: notebook for notebook, name, _ in every()}
UP_TO = {"03_list_instances": 31, "04_slack": 37, "05_email": 43, "06_the_whole_dag": 47}
Attempt = Callable[..., Verdict]


@pytest.fixture
def attempt(builder: Builder) -> Attempt:
    """Return a function that solves an exercise as a learner does, and checks it."""

    def attempt(name: str, **parts: str) -> Verdict:
        builder.catch_up(UP_TO[NOTEBOOK[name]])
        for part, source in parts.items():
            builder.attempt(name, part, source, given=False)
        return check(name)

    return attempt


def changed(name: str, old: str, new: str, part: str = "") -> dict[str, str]:
    """Return the parts of an exercise's solution with a piece of text in its place."""
    parts = dict(SOLUTIONS[name])
    part = part or next(iter(parts))
    assert old in parts[part]
    return parts | {part: parts[part].replace(old, new)}


def stub(name: str, old: str, new: str) -> dict[str, str]:
    """Return the parts of an exercise as set, with a piece of text in its place."""
    part, source = next(iter(STUBS[name].items()))
    assert old in source
    return {part: source.replace(old, new)}


ASK = 'os.popen("gcloud config get-value project").read()'
SLEEPY = """\
from airflow.providers.standard.sensors.python import PythonSensor


def web_1_is_there():
    return "web-1\\n" in os.popen("gcloud compute instances list --format='value(name)'")


waits = PythonSensor(
    task_id="waits", python_callable=web_1_is_there, timeout=20, poke_interval=1, dag=dag
)
waits >> dag.get_task("gcp_service_list_instances_compute")
prepare_email_task >> send_email_task
"""
POST = next(
    step.source for step in read_steps() if step.slide == 37 and step.part == "send_slack_msg"
)
SHAPED = "    data = slack_data(results)\n"
RETURNS = SOLUTIONS["returns"]
RIGHT: list[tuple[str, dict[str, str]]] = [
    ("weekdays", stub("weekdays", '"0 16 * * *"', '"30 8 * * MON-FRI"')),
    ("weekdays", stub("weekdays", '"0 16 * * *"', '"30 8 * * 1,2,3,4,5"')),
    ("fifth", changed("fifth", '"Filestore"', '"Files"')),
    ("fifth", stub("fifth", "]", ']\nGCP_SERVICES += [("filestore", "Filestore")]')),
    ("count", changed("count", "{title} ({len(names)})", "{len(names)} in {title}")),
    ("project", {"send_slack_msg": POST.replace(
        SHAPED, f"{SHAPED}    data['text'] = {ASK}.strip()\n")}),
    ("day", changed("day", "{{ ds }}", "{{ logical_date.strftime('%Y-%m-%d') }}")),
    ("returns", {
        "prepare_email": RETURNS["prepare_email"].replace("return email", "html = email").rstrip()
        + "\n    return html\n",
        "send_email_task": RETURNS["send_email_task"].replace(
            "'prepare_email_task'", "'prepare_email_task', key='return_value'")}),
    ("pipefail", changed("pipefail", "(grep -oE '^[^ ]+' || true)", "sed 's/ .*//'")),
    ("sensor", {"dependencies": SLEEPY}),
]  # fmt: skip
WRONG: list[tuple[str, dict[str, str], str]] = [
    ("weekdays", stub("weekdays", '"0 16 * * *"', '"30 8 * * *"'), "also runs on a Saturday"),
    ("weekdays", stub("weekdays", '"0 16 * * *"', '"0 8 * * 1-5"'), "It runs at 08:00"),
    ("weekdays", stub("weekdays", '"0 16 * * *"', '"30 8 * * 1-4"'), "look at Friday"),
    ("weekdays", stub("weekdays", '"0 16 * * *"', "None"), "has no schedule"),
    ("fifth", stub("fifth", '("compute", "Compute Engine")', '("filestore", "Filestore")'),
     "The task for compute is gone"),
    ("fifth", changed("fifth", '"filestore"', '"file"'), "the word for the command is filestore"),
    ("fifth", stub("fifth", '"Cloud SQL"', '"SQL"'), "There are 0 new tasks"),
    ("count", changed("count", "len(names)", "len(title)"), "instances"),
    ("count", changed("count", "({len(names)})", "(3)"), "a title reads"),
    ("count", changed("count", "{len(names)}", "{len(nams)}"), "failed: NameError"),
    ("project", changed("project", "f\"Instances in {project}:\"", '"Instances in spy-demo:"'),
     "still does not say so"),
    ("project", changed("project", "config get-value project", "config get-value zone"),
     "does not name the project"),
    ("project", {"title": f"import os\n\nINSTANCES_IN_PROJECT_TITLE = {ASK}"},
     "when the task runs, not when the file is read"),
    ("project", {"send_slack_msg": "def send_slack_msg(**context):\n    return 1\n"},
     "No message arrived"),
    ("day", changed("day", "{{ ds }}", "2026-01-02"), "use a template"),
    ("day", changed("day", "{{ ds }}", "{{ dag.dag_id }}"), "use a template"),
    ("day", changed("day", "html_content=", "html_content='{{ ds }}' or "), "lost its text"),
    ("returns", stub("returns", "value=html_content)", "value=html_content)\n    return 1"),
     "still pushes an XCom"),
    ("returns", {"prepare_email": SOLUTIONS["returns"]["prepare_email"]},
     "which key does the template ask for"),
    ("returns", {"prepare_email": "def prepare_email(**context):\n    pass\n"}, "leaves nothing"),
    ("pipefail", stub("pipefail", '"gcloud {}', '"set -o pipefail; gcloud {}'),
     "an empty list is no error"),
    ("pipefail", stub("pipefail", '"gcloud {}', '"set -e; gcloud {}'), "and the task does not"),
    ("pipefail", stub("pipefail", '"gcloud {}', '"false; exit 1; gcloud {}'), "nothing is wrong"),
    ("sensor", {"dependencies": "prepare_email_task >> send_email_task >> BashOperator("
                                "task_id='t', bash_command='echo', dag=dag)\n"}, "no sensor"),
    ("sensor", changed("sensor", "wait_for_web_1 >> ", ""), "draw the arrow"),
    ("sensor", changed("sensor", "    timeout=30,\n", ""), "at most 60"),
    ("sensor", changed("sensor", "grep -qx web-1", "grep -qx web-7"), "does not see it"),
    ("sensor", changed("sensor", "grep -qx web-1", "true"), "is content all the same"),
]  # fmt: skip


def test_every_exercise_with_a_dag_has_a_stub_a_solution_and_cases() -> None:
    assert set(STUBS) == set(SOLUTIONS) == {name for name, _ in RIGHT} <= set(NOTEBOOK)
    for name in STUBS:
        assert set(STUBS[name]) == set(SOLUTIONS[name])
        assert sum(wrong == name for wrong, _, _ in WRONG) >= 3, name


@pytest.mark.parametrize("name", sorted(STUBS))
def test_as_set_it_is_not_attempted(attempt: Attempt, name: str) -> None:
    assert attempt(name).kind == "open"
    parts = {part: f"# a thought\n{source}\n" for part, source in STUBS[name].items()}
    assert attempt(name, **parts).kind == "open"


@pytest.mark.parametrize("name", sorted(SOLUTIONS))
def test_the_solution_is_right(attempt: Attempt, name: str) -> None:
    assert attempt(name, **SOLUTIONS[name]).kind == "right"
    assert solved(Path.cwd()) == {name}
    assert list(progress()["solved"]).count("✓") == 1


@pytest.mark.parametrize(("name", "parts"), RIGHT)
def test_another_right_answer_is_right(attempt: Attempt, name: str, parts: dict[str, str]) -> None:
    verdict = attempt(name, **parts)
    assert verdict.kind == "right", verdict


@pytest.mark.parametrize(("name", "parts", "sentence"), WRONG)
def test_a_wrong_answer_says_why(
    attempt: Attempt, name: str, parts: dict[str, str], sentence: str
) -> None:
    verdict = attempt(name, **parts)
    assert verdict.kind == "not yet", verdict
    assert sentence in verdict.sentence
    assert "\n" not in verdict.sentence
    assert solved(Path.cwd()) == set()


def test_the_workbook_s_own_solution_is_no_progress(builder: Builder) -> None:
    builder.catch_up(31)
    for part, source in SOLUTIONS["weekdays"].items():
        builder.attempt("weekdays", part, source, given=True)
    assert check("weekdays").sentence.startswith("This is the workbook's own solution")
    assert solved(Path.cwd()) == set()


def test_the_learner_s_world_stays_as_it_was(attempt: Attempt) -> None:
    enter("denied")
    fault(slack=500)
    attempt("count", **SOLUTIONS["count"])
    assert faults_now() == {"spanner": "denied", "slack": 500}
    assert arrived().empty


HALVES = """\
from airflow.sdk import DAG, task

with DAG("halves") as halves:

    @task
    def half(x):
        return 10 / x

    half.expand(x=[0, 1])
"""


def test_a_mapped_task_with_one_failed_instance_is_no_success(builder: Builder) -> None:
    names: dict[str, Any] = {}
    dagcell.write("halves", HALVES, names)
    with pytest.raises(Wrong, match=r"The task half failed: ZeroDivisionError"):
        Ran(names["halves"], "talk").expect_success()


CLEANING = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("cleaning") as cleaning:
    work = BashOperator(task_id="work", bash_command="exit 1")
    tidy = BashOperator(task_id="tidy", bash_command="echo tidy")
    work >> tidy
"""


TOWNS = """
from airflow.sdk import DAG, task


@task
def cities():
    return ["Gdansk", "Krakow", "Warszawa"]


@task
def length(city):
    return len(city)


@task
def total(lengths):
    return sum(lengths)


with DAG("towns") as towns:
    BODY
"""


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        ("total(length.expand(city=cities()))", "right", ""),
        ("found = cities(); lengths = length.expand(city=found); total(lengths)", "right", ""),
        ("cities(); total([length('Gdansk'), length('Krakow'), length('Warszawa')])",
         "not yet", "not mapped"),
        ("cities(); total([length('Gdansk')])", "not yet", "not mapped"),
        ("cities(); total(length.expand(city=['Gdansk']))", "not yet", "has 1 instances"),
        ("cities(); total(length.expand(city=['Gdansk', 'Krakow', 'Warszawa']))",
         "not yet", "stand in the DAG file"),
        ("length.expand(city=cities()); total([1])", "not yet", "total returned 1"),
        ("cities()", "not yet", "no task length"),
    ],
)  # fmt: skip
def test_expand(builder: Builder, body: str, kind: str, sentence: str) -> None:
    names: dict[str, Any] = {}
    dagcell.write("towns", TOWNS.replace("BODY", body), names)
    verdict = check("expand", names["towns"])
    assert verdict.kind == kind, verdict
    assert sentence in verdict.sentence


@pytest.mark.parametrize(
    ("old", "new", "kind", "sentence"),
    [
        ("", "", "not yet", "tidy is upstream_failed"),
        ('echo tidy"', 'echo tidy", trigger_rule="all_done"', "right", ""),
        ('echo tidy"', 'echo tidy", trigger_rule="one_failed"', "right", ""),
        ("exit 1", "exit 0", "not yet", "it must still fail"),
        ("    work >> tidy\n", "", "not yet", "no longer waits for work"),
        ('"tidy"', '"clean"', "not yet", "has no task tidy"),
    ],
)
def test_come_what_may(builder: Builder, old: str, new: str, kind: str, sentence: str) -> None:
    names: dict[str, Any] = {}
    dagcell.write("cleaning", CLEANING.replace(old, new, 1), names)
    verdict = check("tidy", names["cleaning"])
    assert verdict.kind == kind, verdict
    assert sentence in verdict.sentence
    assert check("tidy", "cleaning").sentence.startswith("Hand over the DAG, not a str")


DIARY = """\
import os
from pathlib import Path

from airflow.sdk import DAG, task


@task
def note(ds=None):
    folder = Path(os.environ["AIRFLOW_HOME"]) / "diary"
    folder.mkdir(exist_ok=True)
    BODY


with DAG("diary") as diary:
    note()
"""
APPEND = 'open(folder / "diary.txt", "a").write(f"{ds}\\n")'
UNLESS = f'ds in (folder / "diary.txt").read_text() or {APPEND}'


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        (APPEND, "not yet", "After 3 runs of 2018-12-01 the diary has 3 lines"),
        ('(folder / f"{ds}.txt").write_text(ds)', "right", ""),
        (f'(folder / "diary.txt").touch()\n    {UNLESS}', "right", ""),
        ('(folder / "diary.txt").write_text(ds)', "not yet", "After 1 runs of 2018-12-02"),
        ("pass", "not yet", "has 0 lines"),
        ("raise ValueError('no')", "not yet", "failed: ValueError: no"),
    ],
)
def test_once_is_enough(builder: Builder, body: str, kind: str, sentence: str) -> None:
    names: dict[str, Any] = {}
    dagcell.write("diary", DIARY.replace("BODY", body), names)
    verdict = check("once", names["diary"])
    assert verdict.kind == kind, verdict
    assert sentence in verdict.sentence


DIGEST = """\
from datetime import date

from airflow.sdk import DAG, Param, task

with DAG("digest", params={"team": TEAM}) as digest:

    @task
    def title(ds=None, params=None):
        return TITLE

    title()
"""
A_TEXT = 'Param("platform", type="string")'
OF_BOTH = "f\"Report of {ds} for {params['team']}\""


@pytest.mark.parametrize(
    ("team", "title", "kind", "sentence"),
    [
        (A_TEXT, OF_BOTH, "right", ""),
        ('Param("platform", enum=["platform", "data"])', OF_BOTH, "right", ""),
        (A_TEXT, "'Report of ' + ds + ' for ' + params['team']", "right", ""),
        ("'platform'", OF_BOTH, "not yet", "say the type of the parameter"),
        (A_TEXT, "f'Report of {date.today()} for platform'", "not yet", "the day of the clock"),
        (A_TEXT, "f'Report of {ds} for platform'", "not yet", "With run_conf={'team': 'data'}"),
        (A_TEXT, "f'Report of 2018-12-01 for platform'", "not yet", "In the run of 2018-12-02"),
        ("'data'", OF_BOTH, "not yet", "run the DAG's cell again"),
        (A_TEXT, "ds.nothing", "not yet", "The task title failed: AttributeError"),
    ],
)
def test_testable(builder: Builder, team: str, title: str, kind: str, sentence: str) -> None:
    names: dict[str, Any] = {}
    text = DIGEST.replace("TEAM", team).replace("TITLE", title)
    dagcell.write("digest", text, names)
    for _ in range(2):  # a check leaves no value of its own in the DAG
        verdict = check("testable", names["digest"])
        assert verdict.kind == kind, verdict
        assert sentence in verdict.sentence
    assert check("testable", 3).sentence.startswith("Hand over the DAG, not a int")


def looks_at_everything(invoice: Any) -> None:
    run = invoice.test()
    found = {ti.task_id: (ti.state, ti.xcom_pull(ti.task_id)) for ti in run.get_task_instances()}
    assert found["total"] == ("success", 12)
    assert found["send"][0] == "success"


def looks_by_the_workbook_s_tables(invoice: Any) -> None:
    run = invoice.test()
    assert set(show.tasks(run)["state"]) == {"success"}
    assert 12 in list(show.xcoms(run)["value"])


def looks_at_the_run(invoice: Any) -> None:
    assert invoice.test().state == "success"


def looks_at_the_states(invoice: Any) -> None:
    assert set(show.tasks(invoice.test())["state"]) == {"success"}


def looks_at_the_sum(invoice: Any) -> None:
    assert 12 in list(show.xcoms(invoice.test())["value"])


def expects_something_else(invoice: Any) -> None:
    assert show.xcoms(invoice.test())["value"][0] == 3


@pytest.mark.parametrize(
    ("test", "kind", "sentence"),
    [
        (None, "open", "in place of None"),
        (looks_at_everything, "right", ""),
        (looks_by_the_workbook_s_tables, "right", ""),
        (looks_at_the_run, "not yet", "though send was skipped"),
        (looks_at_the_states, "not yet", "though total left out a price"),
        (looks_at_the_sum, "not yet", "though send failed"),
        (expects_something_else, "not yet", "your test fails with AssertionError"),
        (lambda: None, "not yet", "your test fails with TypeError"),
        (True, "not yet", "Hand over a function"),
    ],
)
def test_catches(builder: Builder, test: Any, kind: str, sentence: str) -> None:
    verdict = check("catches", test)
    assert verdict.kind == kind, verdict
    assert sentence in verdict.sentence
    assert arrived().empty


LISTS = {
    f"gcp_service_list_instances_{service}": "success"
    for service in ("sql", "spanner", "bigtable", "compute")
}
PREDICTED = {
    **LISTS, "gcp_service_list_instances_spanner": "failed",
    **dict.fromkeys(("send_slack_msg_task", "prepare_email_task", "send_email"), "upstream_failed"),
}  # fmt: skip
RED = {
    **dict.fromkeys(("there is no gcloud", "Spanner is denied", "Slack answers 500"), "green"),
    **dict.fromkeys(("nobody listens at Slack", "the mail server is down"), "red"),
}


@pytest.mark.parametrize(
    ("name", "answer", "kind", "sentence"),
    [
        ("could_be_read", None, "open", "in place of None"),
        ("could_be_read", lambda s, e: not s and "WARNING" not in e, "right", ""),
        ("could_be_read", lambda s, e: s == 0, "not yet", "denied list of Compute Engine"),
        ("could_be_read", lambda s, e: not e, "not yet", "For an empty list"),
        ("could_be_read", lambda s, e: e.nothing, "not yet", "raises AttributeError"),
        ("could_be_read", True, "not yet", "Hand over a function"),
        ("red", RED, "right", ""),
        ("red", dict.fromkeys(RED, "green"), "not yet", "2 of 5"),
        ("red", RED | {"Spanner is denied": "blue"}, "not yet", "'blue' is neither"),
        ("red", "green", "not yet", "Answer with a dict"),
        ("predict", None, "open", "in place of None"),
        ("predict", PREDICTED, "right", ""),
        ("predict", dict(reversed(PREDICTED.items())), "right", ""),
        ("predict", "failed", "not yet", "Answer with a dict"),
        ("predict", LISTS, "not yet", "says nothing about prepare_email_task"),
        ("predict", PREDICTED | {"send_mail": "failed"}, "not yet", "no task 'send_mail'"),
        ("predict", dict.fromkeys(PREDICTED, "success"), "not yet", "4 of 7 states"),
    ],
)
def test_answers_that_are_tried_out(
    builder: Builder, name: str, answer: Any, kind: str, sentence: str
) -> None:
    verdict = check(name, answer)
    assert verdict.kind == kind, verdict
    assert sentence in verdict.sentence
