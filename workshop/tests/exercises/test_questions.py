"""Questions with one right answer: it is right, and each hint is said of a wrong one."""

import re
from typing import Any

import pytest

from workshop.exercises import check, every
from workshop.exercises.judging import Question
from workshop.slides import Builder

QUESTIONS = {name: made for _, name, made in every() if isinstance(made, Question)}
TYPES = {"S3KeySensor": "sensor", "RedshiftToS3Operator": "transfer", "EmailOperator": "action"}
MISSING = {
    "a changed DAG file is not seen": "dag-processor",
    "nothing new starts": "scheduler",
    "tasks fail": "api-server",
}
FINDS = {
    "schedule_interval": "ruff",
    "xcom_push=True": "load",
    "execution_date": "run",
    "no pipefail": "nobody",
}
WHICH = {"nights": "local", "seconds": "celery", "months": "kubernetes"}
CASES: list[tuple[str, Any, str, str]] = [
    ("three_nights", None, "open", "in place of None"),
    ("three_nights", (3, 3), "right", ""),
    ("three_nights", [3, 3], "right", ""),
    ("three_nights", 3, "not yet", "a pair"),
    ("three_nights", (3, 3, 3), "not yet", "a pair"),
    ("three_nights", (1, 3), "not yet", "each time it is started"),
    ("three_nights", (3, 1), "not yet", "starts from its beginning"),
    ("types", None, "open", "in place of None"),
    ("types", TYPES, "right", ""),
    ("types", dict(reversed(TYPES.items())), "right", ""),
    ("types", ["sensor"], "not yet", "Answer with a dict"),
    ("types", TYPES | {"EmailOperator": "transfer"}, "not yet", "not 'transfer'"),
    ("types", {}, "not yet", "S3KeySensor: not None"),
    ("how_many", 22, "right", ""),
    ("how_many", 20, "not yet", "two tasks stand beside"),
    ("how_many", "22", "not yet", "Answer with a number"),
    ("missing", MISSING, "right", ""),
    ("missing", dict(reversed(MISSING.items())), "right", ""),
    ("missing", MISSING | {"tasks fail": "scheduler"}, "not yet", "not 'scheduler'"),
    ("missing", "scheduler", "not yet", "Answer with a dict"),
    ("order", ["alarm", "note", "copy"], "right", ""),
    ("order", ("alarm", "note", "copy"), "right", ""),
    ("order", ["copy", "note", "alarm"], "not yet", "Not copy first"),
    ("order", ["note", "note", "copy"], "not yet", "the three names"),
    ("order", ["alarm"], "not yet", "the three names"),
    ("queues", {"none": {"a", "b"}, "gpu": {"b"}, "tpu": set()}, "right", ""),
    ("queues", {"none": ["b", "a"], "gpu": ["b"], "tpu": []}, "right", ""),
    ("queues", {"none": {"a"}, "gpu": {"b"}, "tpu": set()}, "not yet", "'none'"),
    ("queues", {"none": {"a", "b"}, "gpu": {"b"}}, "not yet", "'tpu'"),
    ("queues", 3, "not yet", "Answer with a dict"),
    ("silent", "waits", "right", ""),
    ("silent", "fails the run", "not yet", "less than the five"),
    ("silent", "sleeps", "not yet", "one of the three"),
    ("merge", "none", "right", ""),
    ("merge", "None", "right", ""),
    ("merge", "2Gi", "not yet", "it has no limits"),
    ("merge", "4Gi", "not yet", "one of the three"),
    ("which", WHICH, "right", ""),
    ("which", WHICH | {"months": "celery"}, "not yet", "'months': not 'celery'"),
    ("which", {}, "not yet", "'nights': not None"),
    ("which", "local", "not yet", "Answer with a dict"),
    ("travel", {2, 3, 4}, "right", ""),
    ("travel", [4, 3, 2], "right", ""),
    ("travel", {1, 2, 3, 4}, "not yet", "pendulum comes with Airflow"),
    ("travel", {3, 4}, "not yet", "line 2 again"),
    ("travel", {2, 4}, "not yet", "line 3 again"),
    ("travel", {2, 3}, "not yet", "line 4 again"),
    ("travel", 2, "not yet", "Answer with a set"),
    ("yours", {"write tests", "renew the webhook"}, "right", ""),
    ("yours", ["renew the webhook", "write tests"], "right", ""),
    ("yours", {"write tests", "upgrade the database"}, "not yet", "To upgrade the database"),
    ("yours", {"restart a dead scheduler"}, "not yet", "To restart a dead scheduler is what you"),
    ("yours", {"renew the webhook"}, "not yet", "Who but you can write"),
    ("yours", {"write tests"}, "not yet", "Who but you can renew"),
    ("yours", "all", "not yet", "Answer with a set"),
    ("empty_list", None, "open", "in place of None"),
    ("empty_list", "Listed 0 items.", "right", ""),
    ("empty_list", " listed 0 items", "right", ""),
    ("empty_list", [], "not yet", "keeps text, and your answer is a list"),
    ("empty_list", "", "not yet", "copy what the task"),
    ("empty_list", "nothing", "not yet", "copy what the task"),
    ("who_finds_it", FINDS, "right", ""),
    ("who_finds_it", dict(reversed(FINDS.items())), "right", ""),
    ("who_finds_it", FINDS | {"schedule_interval": "run"}, "not yet", "not run. The table"),
    ("who_finds_it", FINDS | {"execution_date": "load"}, "not yet", "The file loads with it"),
    ("who_finds_it", FINDS | {"a fifth": "ruff"}, "not yet", "names somebody for each of"),
    ("who_finds_it", FINDS | {"xcom_push=True": "ruff"}, "not yet", "an operator refuses it"),
    ("who_finds_it", FINDS | {"no pipefail": "run"}, "not yet", "What was red?"),
    ("who_finds_it", {}, "not yet", "names somebody for each of"),
    ("promise", ["silent", "killed after"], "right", ""),
    ("promise", ["killed after", "silent"], "right", ""),
    ("promise", ["silent"], "not yet", "another moment"),
    ("promise", ["killed after"], "not yet", "another moment"),
    ("promise", ["silent", "killed before"], "not yet", "Nothing had arrived"),
    ("promise", ["silent", "killed"], "not yet", "killed before, killed after"),
    ("promise", ["refused", "silent"], "not yet", "Nothing had arrived"),
    ("promise", "all", "not yet", "Answer with a list"),
]


@pytest.mark.parametrize(("name", "answer", "kind", "sentence"), CASES)
def test_questions(builder: Builder, name: str, answer: Any, kind: str, sentence: str) -> None:
    verdict = check(name, answer)
    assert verdict.kind == kind, verdict
    assert sentence in verdict.sentence


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_each_right_answer_each_hint_and_each_refusal_has_a_case(
    builder: Builder, name: str
) -> None:
    question = QUESTIONS[name]
    verdicts = [check(name, answer) for case, answer, _, _ in CASES if case == name]
    assert any(verdict.kind == "right" for verdict in verdicts)
    said = [verdict.sentence for verdict in verdicts if verdict.kind == "not yet"]
    hints = {".*": question.hints} if isinstance(question.hints, str) else question.hints
    for part, hint in [*hints.items(), ("", question.refusal)]:
        pattern = re.escape(hint).replace(r"\{part\}", str(part))
        pattern = re.sub(r"\\{.*?\\}", ".*", pattern)
        assert any(re.fullmatch(pattern, sentence) for sentence in said), (part, hint)
