"""Each exercise's judge against the table of answers: right ones are right, wrong ones say why."""

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from workshop.cluster import trials
from workshop.exercises import Verdict, check, every, judging, progress
from workshop.exercises.judging import Exercise, Question, Ran, Wrong
from workshop.ground.learner import solved
from workshop.lab import DagFolder, Home, Runs, current, dagcell
from workshop.sandbox import arrived, enter, fault, faults_now
from workshop.slides import Builder
from workshop.tests.exercises.answers import SOLUTIONS, STUBS, TABLE, numbers

EXERCISES = {name: made for _, name, made in every()}
QUESTIONS = {name: made for name, made in EXERCISES.items() if isinstance(made, Question)}
NOTEBOOK = {name: notebook for notebook, name, _ in every()}
UP_TO = {"03_list_instances": 31, "04_slack": 37, "05_email": 43, "06_the_whole_dag": 47}
FILES = {"tidy": "cleaning", "once": "diary", "expand": "towns", "testable": "digest",
         "dateless": "inventory"}  # fmt: skip
# Judges that run a DAG or a function in several worlds: their first wrong answer is right in one.
SEVERAL = [
    "tidy", "once", "fifth", "count", "project", "day", "returns", "pipefail", "sensor", "expand",
    "could_be_read", "red", "testable", "catches", "dateless",
]  # fmt: skip
# Of these each answer is a run or more. In every check the notebooks try a right one, the solution,
# and this file a wrong one; of `red`, whose runs are those of the weekly notebook 13, none.
LONG = {*SEVERAL, "predict"} - {"could_be_read", "weekdays"}
Judged = Callable[..., Verdict]


@pytest.fixture
def judged(builder: Builder) -> Judged:
    """Return a function that answers an exercise as a learner does, and checks it."""

    def judged(name: str, answer: Any, *, given: bool = False) -> Verdict:
        if name in STUBS:
            builder.catch_up(UP_TO[NOTEBOOK[name]])
            for part, source in answer.items():
                builder.attempt(name, part, source, given=given)
            return check(name)
        if name in FILES and isinstance(answer, str):
            names: dict[str, Any] = {}
            dagcell.write(FILES[name], answer, names)
            answer = names[FILES[name]]
        return check(name, answer)

    return judged


def rows(right: bool) -> Iterator[Any]:
    """Yield the answers of the table; the long ones but for the first are for once a week."""
    for name, answers in TABLE.items():
        for number, row in enumerate(answers.right if right else answers.wrong):
            later = name in LONG and (right or number > 0 or name == "red")
            marks = [pytest.mark.weekly] if later else []
            row = (row,) if right else row
            yield pytest.param(name, *row, marks=marks, id=f"{name}-{number}")


@pytest.mark.parametrize(("name", "answer"), [*rows(right=True)])
def test_a_right_answer_is_right(judged: Judged, name: str, answer: Any) -> None:
    verdict = judged(name, answer)
    assert verdict == Verdict("right", EXERCISES[name].title)
    assert solved(Path.cwd()) == {name}
    assert list(progress()["solved"]).count("✓") == 1
    assert arrived().empty


@pytest.mark.parametrize(("name", "answer", "sentence"), [*rows(right=False)])
def test_a_wrong_answer_says_why(judged: Judged, name: str, answer: Any, sentence: str) -> None:
    verdict = judged(name, answer)
    assert verdict.kind == "not yet", verdict
    assert sentence in verdict.sentence
    assert "\n" not in verdict.sentence
    assert verdict.sentence[-1] in ".?…", "a verdict is whole sentences"
    assert solved(Path.cwd()) == set()


def test_each_judge_has_three_right_and_five_wrong_answers() -> None:
    assert set(TABLE) == set(EXERCISES)
    few = {name: each for name, each in numbers().items() if each[0] < 3 or each[1] < 5}
    assert few == {}
    assert set(STUBS) == set(SOLUTIONS)
    for name in STUBS:
        assert set(STUBS[name]) == set(SOLUTIONS[name])
        assert TABLE[name].right[0] == SOLUTIONS[name]


def accepts_all(judge: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda answer: None


def rejects_all(judge: Callable[[Any], None]) -> Callable[[Any], None]:
    def rejecting(answer: Any) -> None:
        raise Wrong("No.")

    return rejecting


class Enough(BaseException):
    """A judge came to its second world."""


def looks_at_one_world(judge: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a judge that takes the first world for all: a run, or a call of the answer."""

    def first_alone(answer: Any) -> None:
        worlds = 0

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def counting(*args: Any, **kwargs: Any) -> Any:
                nonlocal worlds
                worlds += 1
                if worlds > 1:
                    raise Enough
                return call(*args, **kwargs)

            return counting

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Ran, "__init__", counted(Ran.__init__))
            patch.setattr(trials, "run_one", counted(trials.run_one))
            try:
                judge(counted(answer) if callable(answer) else answer)
            except (Enough, Wrong):
                if worlds < 2:
                    raise

    return first_alone


def put_in_place(monkeypatch: Any, name: str, mutate: Callable[..., Any]) -> None:
    """Put a judge with a fault in the place of an exercise's own."""
    made = EXERCISES[name]
    mutant = [("", name, Exercise(made.title, mutate(made.judge)))]
    monkeypatch.setattr(judging, "every", lambda: mutant)


@pytest.mark.parametrize("name", TABLE)
def test_a_judge_that_accepts_all_is_seen(judged: Judged, monkeypatch: Any, name: str) -> None:
    put_in_place(monkeypatch, name, accepts_all)
    for answer, sentence in TABLE[name].wrong[:2]:
        with pytest.raises(AssertionError):
            test_a_wrong_answer_says_why(judged, name, answer, sentence)


@pytest.mark.parametrize("name", TABLE)
def test_a_judge_that_rejects_all_is_seen(judged: Judged, monkeypatch: Any, name: str) -> None:
    put_in_place(monkeypatch, name, rejects_all)
    with pytest.raises(AssertionError):
        test_a_right_answer_is_right(judged, name, TABLE[name].right[0])


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.weekly] * (name in LONG)) for name in SEVERAL],
)
def test_a_judge_that_looks_at_one_world_is_seen(
    judged: Judged, monkeypatch: Any, name: str
) -> None:
    put_in_place(monkeypatch, name, looks_at_one_world)
    with pytest.raises(AssertionError, match="Right"):
        test_a_wrong_answer_says_why(judged, name, *TABLE[name].wrong[0])


@pytest.mark.parametrize("name", sorted(STUBS))
def test_as_set_it_is_not_attempted(judged: Judged, name: str) -> None:
    what = f"Change the cell %%exercise {name}, run it, then run this one again."
    assert judged(name, {}) == Verdict("open", what)
    parts = {part: f"# a thought\n{source}\n" for part, source in STUBS[name].items()}
    assert judged(name, parts).kind == "open"


@pytest.mark.parametrize("name", sorted(set(TABLE) - set(STUBS)))
def test_none_is_no_answer(builder: Builder, name: str) -> None:
    what = "Write your answer in place of None, and run this cell again."
    assert check(name) == Verdict("open", what)


def test_the_workbook_s_own_solution_is_no_progress(judged: Judged) -> None:
    verdict = judged("weekdays", SOLUTIONS["weekdays"], given=True)
    what = "This is the workbook's own solution; yours may be another one."
    assert verdict == Verdict("right", what)
    assert solved(Path.cwd()) == set()


def test_the_learner_s_world_stays_as_it_was(judged: Judged) -> None:
    enter("denied")
    fault(slack=500)
    judged("count", SOLUTIONS["count"])
    assert faults_now() == {"spanner": "denied", "slack": 500}
    assert arrived().empty


def test_a_function_that_reads_gcloud_is_asked_with_words_of_gcloud(judged: Judged) -> None:
    asked: list[tuple[int, str]] = []

    def could_be_read(status: int, stderr: str) -> bool:
        asked.append((status, stderr))
        return status == 0 and "WARNING" not in stderr

    assert judged("could_be_read", could_be_read).kind == "right"
    assert [status for status, _ in asked] == [0, 0, 1, 0, 1, 0, 0, 137]
    pieces = (
        "",
        "Listed 0 items.\n",
        "projects instance [spy-demo] (",
        " for 'projects/spy-demo'\n",
        "(gcloud.sql) You do",
        " - The zone 'z' is not …\n",
        "unreachable: projects/p/….\n",
    )
    for piece, (_, stderr) in zip(pieces, asked, strict=False):
        assert piece in stderr


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_dag_is_said(builder: Builder, name: str) -> None:
    what = f'Hand over the DAG, not a int: check("{name}", {FILES[name]}).'
    assert check(name, 3) == Verdict("not yet", what)


@pytest.mark.weekly
def test_a_judge_leaves_the_learner_s_dag_as_it_was(judged: Judged, builder: Builder) -> None:
    for name in ("testable", "tidy"):
        names: dict[str, Any] = {}
        dagcell.write(FILES[name], TABLE[name].wrong[1][0], names)
        first, second = (check(name, names[FILES[name]]) for _ in range(2))
        assert first == second
    builder.catch_up(47)
    builder.attempt("sensor", "dependencies", SOLUTIONS["sensor"]["dependencies"], given=False)
    dag = builder.use_attempt("sensor")
    EXERCISES["sensor"].judge(dag)
    sensor = dag.get_task("wait_for_web_1")
    assert (sensor.timeout, sensor.poke_interval) == (30, 2)


@pytest.mark.parametrize("before", [None, "2018-12-01\n"])
def test_the_learner_s_diary_stays_as_it_was(judged: Judged, before: str | None) -> None:
    folder = current()[Home].folder / "diary"
    shutil.rmtree(folder, ignore_errors=True)
    if before:
        folder.mkdir()
        (folder / "diary.txt").write_text(before, encoding="utf-8")
    files = set(folder.parent.iterdir())
    assert judged("once", TABLE["once"].right[0]).kind == "right"
    assert set(folder.parent.iterdir()) == files
    assert [it.read_text("utf-8") for it in folder.glob("*")] == ([before] if before else [])


@pytest.mark.parametrize("slide", [0, 31])
def test_the_learner_s_file_stays_as_it_was_while_another_dag_is_tried(
    judged: Judged, builder: Builder, slide: int
) -> None:
    if slide:
        builder.catch_up(slide)
        builder.attempt("fifth", "gcp_services", SOLUTIONS["fifth"]["gcp_services"], given=False)
    folder = current()[DagFolder].folder
    before = {path: path.read_bytes() for path in folder.glob("*.py")}
    mirrored: list[str] = []
    current()[DagFolder].observers.append(lambda name, text: mirrored.append(name))
    try:
        assert judged("predict", TABLE["predict"].right[0]).kind == "right"
    finally:
        current()[DagFolder].observers.pop()
    assert {path: path.read_bytes() for path in folder.glob("*.py")} == before
    assert mirrored == []


LATER = """\
from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task

with DAG("later") as later:
    BashOperator(
        task_id="command", bash_command="exit 1", retries=1, retry_delay=timedelta(hours=1),
        retry_exponential_backoff=2.0,
    )

    @task(retries=1, retry_delay=timedelta(hours=2))
    def each(x):
        raise ValueError(x)

    each.expand(x=[1, 2])
"""


def test_a_judge_waits_for_no_retry(builder: Builder, monkeypatch: Any) -> None:
    def waits(sentence: str, ends: bool) -> None:
        raise AssertionError(sentence)

    monkeypatch.setattr(current()[Runs], "waits", [waits])
    names: dict[str, Any] = {}
    dagcell.write("later", LATER, names)
    command, each = names["later"].tasks
    ran = Ran(names["later"], "talk")
    assert list(ran.tasks["tries"]) == [2, 2, 2]
    assert set(ran.states.values()) == {"failed"}
    assert (command.retry_delay, command.retry_exponential_backoff) == (timedelta(hours=1), 2.0)
    assert each.retry_delay == timedelta(hours=2)
    assert "retry_exponential_backoff" not in each.partial_kwargs


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


def test_a_task_that_failed_is_named_before_those_that_waited_for_it(builder: Builder) -> None:
    names: dict[str, Any] = {}
    dagcell.write("cleaning", TABLE["tidy"].wrong[2][0], names)
    ran = Ran(names["cleaning"], "talk")
    assert ran.states["tidy"] == "upstream_failed"
    with pytest.raises(Wrong, match=r"^The task work failed: "):
        ran.expect_success()
    with pytest.raises(Wrong, match=r"^Here The task work failed"):
        ran.expect_success("Here ")


LOUD = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task

with DAG("loud") as loud:
    BashOperator(task_id="command", bash_command="echo one >&2; echo two; sleep 0; exit 3")
    BashOperator(task_id="long", bash_command="seq 10 30; sleep 0; exit 3")

    @task
    def function():
        raise ValueError("first line\\nsecond line")

    function()
"""


def test_a_verdict_has_all_words_of_a_failure(builder: Builder) -> None:
    names: dict[str, Any] = {}
    dagcell.write("loud", LOUD, names)
    ran = Ran(names["loud"], "talk")
    stops = "AirflowException: Bash command failed. The command returned a non-zero exit code 3"
    assert ran.errors["command"] == f"one two {stops}"
    last = " ".join(map(str, range(16, 31)))  # so many lines
    assert ran.errors["long"] == f"{last} {stops}"
    assert ran.end("function") == "failed: ValueError: first line second line"


@pytest.mark.parametrize("name", QUESTIONS)
def test_each_hint_and_each_refusal_is_said_of_an_answer(builder: Builder, name: str) -> None:
    question = QUESTIONS[name]
    said = [check(name, answer).sentence for answer, _ in TABLE[name].wrong]
    hints = {".*": question.hints} if isinstance(question.hints, str) else question.hints
    for part, hint in [*hints.items(), ("", question.refusal)]:
        pattern = re.escape(hint).replace(r"\{part\}", str(part))
        pattern = re.sub(r"\\{.*?\\}", ".*", pattern)
        assert any(re.fullmatch(pattern, sentence) for sentence in said), (part, hint)
