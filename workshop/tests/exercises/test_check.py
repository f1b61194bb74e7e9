"""`check` and `progress`: every exercise of a notebook is found in the file with its name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from workshop.authoring.checking.links import anchors
from workshop.exercises import Verdict, check, every, judging, progress
from workshop.exercises.judging import Exercise
from workshop.ground import NOTEBOOKS, Problem, notebooks
from workshop.ground.cells import CHECK
from workshop.lab import TaskLogs, current
from workshop.show import Progress
from workshop.slides import Builder, Cells, follow, load_ipython_extension
from workshop.tests.exercises.answers import SOLUTIONS, TABLE


def prose(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def checked(cells: list[dict[str, Any]]) -> list[str]:
    """Return what a notebook checks, in its order; each heading of an exercise must check one."""
    names: list[str] = []
    for cell in cells:
        source = "".join(cell["source"])
        if "### Exercise · " in source:
            names.append("")
        if cell["cell_type"] == "code" and (found := CHECK.search(source)):
            assert names[-1] in ("", found[1])
            names[-1] = found[1]
    return names


def test_every_heading_of_an_exercise_has_its_judge_in_the_file_of_its_notebook() -> None:
    asked = {
        path.stem: checked(json.loads(path.read_text(encoding="utf-8"))["cells"])
        for path in notebooks()
    }
    assert [(notebook, name) for notebook, names in asked.items() for name in names] == [
        (notebook, name) for notebook, name, _ in every()
    ]


def test_progress_has_a_row_for_each_exercise(builder: Builder) -> None:
    rows = progress()
    assert list(rows["notebook"]) == [notebook for notebook, _, _ in every()]
    assert list(rows["what it asks"]) == [made.title for _, _, made in every()]
    check("how_many", 22)
    assert list(progress()["solved"]).count("✓") == 1
    assert set(progress()["solved"]) == {"", "✓"}


def test_progress_has_the_titles_of_the_headings_and_leads_to_them() -> None:
    headings = [
        (path.stem, heading)
        for path in notebooks()
        for heading in re.findall(r"^#+ Exercise · (.+)$", prose(path), re.MULTILINE)
    ]
    rows = progress()
    assert list(zip(rows["notebook"], rows["exercise"], strict=True)) == headings
    links = re.findall(r'<a href="(\w+\.ipynb)#([^"]+)">([^<]+)</a>', rows._repr_html_())
    assert [(file, title) for file, _, title in links] == [
        (f"{name}.ipynb", heading) for name, heading in headings
    ]
    assert all(anchor in anchors(NOTEBOOKS / file) for file, anchor, _ in links)


def test_a_title_in_the_table_of_progress_is_escaped(monkeypatch: Any) -> None:
    monkeypatch.setattr(judging, "exercise_headings", lambda: {"x": ("01_why_airflow", "<b>", "c")})
    row = {"notebook": "01_why_airflow", "exercise": "<b>", "what it asks": "<i>", "solved": ""}
    shown = judging.Exercises([row])._repr_html_()
    assert "&lt;b&gt;" in shown and "&lt;i&gt;" in shown
    assert "<b>" not in shown and "<i>" not in shown


def test_an_unknown_exercise_names_the_nearest(builder: Builder) -> None:
    with pytest.raises(Problem, match="Did you mean 'weekdays'"):
        check("weekday")


def test_a_verdict_is_escaped() -> None:
    assert "&lt;b&gt;no" in Verdict("not yet", "<b>no</b>")._repr_html_()


@pytest.mark.parametrize(
    ("kind", "mark", "color"),
    [
        ("right", "✓ Right.", "#008000"),
        ("not yet", "✗ Not yet.", "#c62828"),
        ("open", "… Not attempted yet.", "#8c8c8c"),
    ],
)
def test_a_verdict_is_told_by_its_mark_and_by_its_colour(kind: str, mark: str, color: str) -> None:
    verdict = Verdict(kind, "Why.")
    assert repr(verdict) == f"{mark} Why."
    line = f'<div style="border-left:4px solid {color};padding:4px 12px"><b>{mark}</b> Why.</div>'
    assert verdict._repr_html_() == line


@pytest.fixture
def notebook(builder: Builder) -> Iterator[Any]:
    """Return a shell with the magics and the names of a notebook, in the world `talk`."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    load_ipython_extension(shell)
    follow(shell)
    shell.user_ns["check"] = check
    yield shell
    InteractiveShell.clear_instance()


def accept_all(monkeypatch: Any) -> None:
    """Let every judge take any answer: what is asked here is whether one is called."""
    made = [(book, name, Exercise(it.title, lambda answer: None)) for book, name, it in every()]
    monkeypatch.setattr(judging, "every", lambda: made)


SCHEDULE = "%%exercise weekdays dag\n" + SOLUTIONS["weekdays"]["dag"]
CLEANING = f"%%dag cleaning\n{TABLE['tidy'].right[0]}"
READ = "def could_be_read(status, stderr):\n    return not status and 'WARNING' not in stderr\n"


HOW_MANY = "answer = 22"
# Of each: what check is called with, a cell that is right, those that do not run, what is said.
REFUSED = [
    ('"weekdays"', SCHEDULE, {
        "a string that is not closed": SCHEDULE.replace('5"', "5"),
        "an error in the file": SCHEDULE + "nobody.knows()\n",
        "a comment above the magic": "# eight thirty\n" + SCHEDULE,
        "one %": SCHEDULE[1:],
        "no %": SCHEDULE[2:],
        "a blank behind the %%": SCHEDULE.replace("%%", "%% "),
        "another magic": SCHEDULE.replace("exercise", "excercise"),
        "another exercise": SCHEDULE.replace("weekdays", "weekday"),
        "another part": SCHEDULE.replace(" dag", " dags"),
        "no part": SCHEDULE.replace(" dag", ""),
        "two parts": SCHEDULE.replace(" dag\n", " dag email\n"),
    }, " weekda"),
    ('"tidy", cleaning', CLEANING, {
        "a string that is not closed": CLEANING.replace('tidy"', "tidy"),
        "a comment above the magic": "# mine\n" + CLEANING,
        "one %": CLEANING[1:],
        "no name": CLEANING.replace("%%dag cleaning", "%%dag"),
        "a circle": CLEANING + "    tidy >> work\n",
    }, "that makes cleaning"),
    ('"could_be_read", could_be_read', READ, {
        "no Python": READ.replace(":", ""),
        "a name that is not there": "could_be_read = nobody",
        "an import": "from nowhere import could_be_read",
        "a second": "%%time\ncould_be_read = nobody",
    }, "that makes could_be"),
    ('"how_many", answer', HOW_MANY, {
        "no Python": "answer = 22 +",
        "a pair": "answer, more = nobody",
        "a type": "answer: int = nobody",
        "a loop": "for answer in nobody:\n    pass",
        "a block": "if 1:\n    answer = nobody",
        "after an error": "nobody\nanswer = 23",
        "over lines": "answer = max(\n    nobody,\n)",
        "a command before": "!true\nanswer = nobody",
        "no Python, with a pair": "answer, more = 22, (",
        "a null byte": "answer = 22\0",
    }, "that makes answer"),
    ('"how_many", int(answer)', HOW_MANY, {"an error": "answer = nobody"}, "that makes answer"),
    ('"how_many", answer=answer', HOW_MANY, {"an error": "answer = 1 / 0"}, "that makes answer"),
]  # fmt: skip


def test_what_may_take_seconds_says_that_it_is_tried(
    notebook: Any, builder: Builder, monkeypatch: Any
) -> None:
    accept_all(monkeypatch)
    monkeypatch.setattr(Progress, "is_seen", staticmethod(lambda: True))
    notebook.run_cell(READ)
    with capture_output() as captured:
        check("could_be_read", notebook.user_ns["could_be_read"])
    shown = [output.data.get("text/html") for output in captured.outputs]
    assert shown == ["check tries your work on &#x27;could_be_read&#x27;.", None]


@pytest.mark.parametrize(("call", "cell", "sources", "said"), REFUSED)
def test_a_cell_that_did_not_run_has_no_verdict_of_an_earlier_one(
    notebook: Any, builder: Builder, monkeypatch: Any, call: str, cell: str, sources: Any, said: str
) -> None:
    def verdict() -> Verdict:
        notebook.run_cell(f"said = check({call})")
        verdict = notebook.user_ns["said"]
        assert isinstance(verdict, Verdict)
        return verdict

    accept_all(monkeypatch)
    builder.catch_up(31)
    for what, source in sources.items():
        notebook.run_cell(cell)
        assert verdict().kind == "right", what
        notebook.run_cell(source)
        notebook.run_cell("1 + 1")
        for _ in range(2):
            assert verdict().kind == "not yet", what
            assert said in verdict().sentence, what
            assert "did not run" in verdict().sentence, what
    notebook.run_cell(cell)
    assert verdict().kind == "right"


# What raised, and left what is handed over as it had made it, or never meant to make it.
MADE = {
    "a check with a wrong name": 'answer = 22\ncheck("how_manny", answer)',
    "an error behind it": "answer = 22\nnobody",
    "an argument": "answer = 22\nmax(\n    answer=3,\n)",
    "a local name": "answer = 22\ndef f():\n    answer = 3\n    return nobody\nf()",
    "a comparison": "answer = 22\nanswer == nobody",
    "a check that is not closed": 'check("how_many", answer',
    "a check with a keyword that is not closed": 'check("how_many", answer=answer',
    "an attribute": "answer = 22\nanswer.nothing",
    "a magic": "%nothing answer",
}


def test_an_answer_that_was_made_is_judged_whatever_else_raised(
    notebook: Any, monkeypatch: Any
) -> None:
    accept_all(monkeypatch)
    for what, source in MADE.items():
        notebook.run_cell("answer = 22")
        notebook.run_cell(source)
        notebook.run_cell('said = check("how_many", answer)')
        assert notebook.user_ns["said"].kind == "right", what


MAKES = [
    "answer, more = 22, 0", "for answer in [22]:\n    pass", "(answer := 22)", "if 1: answer = 22",
    "%%time\nanswer = 22", "import math as answer", "answer: int = 22", "class answer: pass",
    "    answer = 22", "!true\nanswer = 22",
]  # fmt: skip


def test_an_answer_may_be_made_in_any_way_after_a_cell_that_did_not_run(
    notebook: Any, monkeypatch: Any
) -> None:
    accept_all(monkeypatch)
    for source in MAKES:
        notebook.run_cell("answer = nobody")
        notebook.run_cell(source)
        notebook.run_cell('said = check("how_many", answer)')
        assert notebook.user_ns["said"].kind == "right", source


def test_a_cell_of_another_exercise_that_did_not_run_counts_there(
    notebook: Any, builder: Builder, monkeypatch: Any
) -> None:
    accept_all(monkeypatch)
    builder.catch_up(37)
    notebook.run_cell("%%exercise project slack_data\n" + SOLUTIONS["project"]["slack_data"])
    notebook.run_cell("%%exercise count slack_field\nnobody")
    notebook.run_cell("%%slide 37 slack_data\nnobody")
    assert check("project").kind == "right"
    assert "did not run" in check("count").sentence


def test_each_refused_part_counts_until_it_runs_or_was_never_asked_for(
    notebook: Any, builder: Builder, monkeypatch: Any
) -> None:
    accept_all(monkeypatch)

    def run(part: str, source: str) -> str:
        notebook.run_cell(f"%%exercise returns {part}\n{source}")
        return check("returns").sentence

    builder.catch_up(43)
    assert "returns title did not run" in run("title", "TITLE = '")
    assert "did not run" in run("prepare_email", "def (")
    mail = SOLUTIONS["returns"]["send_email_task"]
    assert "returns prepare_email did not run" in run("send_email_task", mail)
    assert "did not run" not in run("prepare_email", "def prepare_email(**context):\n    pass\n")
    assert "returns prepare did not run" in run("prepare", "def prepare_email():\n    pass\n")
    assert "did not run" not in run("prepare_email", "def prepare_email(**context):\n    pass\n")


def test_the_solution_s_cell_that_did_not_run_is_named(notebook: Any, builder: Builder) -> None:
    builder.catch_up(31)
    notebook.run_cell(SCHEDULE)
    notebook.run_cell("%%solution weekdays dag\nnobody")
    assert "The cell %%solution weekdays dag did not run" in check("weekdays").sentence
    notebook.run_cell(SCHEDULE.replace("exercise", "solution"))
    assert "workbook's own solution" in check("weekdays").sentence


def test_a_cell_on_which_ipython_gave_up_did_not_run(notebook: Any) -> None:
    notebook.run_cell("answer = 22")
    cells = current()[Cells]
    cells.begin(SimpleNamespace(raw_cell=f"answer = 2{' + 1' * 3000}"))
    cells.end(None)  # as after an error of Python's compiler
    notebook.run_cell('said = check("how_many", answer)')
    assert "The cell that makes answer did not run" in notebook.user_ns["said"].sentence


def test_the_cell_with_the_check_may_make_the_answer_itself(notebook: Any) -> None:
    notebook.run_cell("answer = nobody")
    notebook.run_cell('answer = 22\nsaid = check("how_many", answer)')
    assert notebook.user_ns["said"].kind == "right"


class Thorny:
    """An answer that raises whenever it is looked at."""

    def __getattr__(self, name: str) -> Any:
        raise LookupError("a thorn")

    def __eq__(self, other: object) -> bool:
        raise LookupError("a thorn")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise LookupError("a thorn")


class Mute(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError


def raises(error: BaseException) -> Any:
    def function(*args: Any) -> None:
        raise error

    return function


THORNS = {
    "itself": Thorny(), "in a list": [Thorny()] * 3, "in a dict": {"nights": Thorny()},
    "lists": [[]], "dicts": [{}], "keys": {(): {}}, "bytes": b"waits", "nan": float("nan"),
    "mute": raises(Mute()), "exit": raises(SystemExit(1)), "end": raises(GeneratorExit()),
    "type": type, "dots": ...,
}  # fmt: skip


@pytest.mark.parametrize("thorn", THORNS)
def test_whatever_an_answer_raises_is_a_verdict(builder: Builder, thorn: str) -> None:
    for _, name, _ in every():
        if name not in SOLUTIONS:
            verdict = check(name, THORNS[thorn])
            assert verdict.kind == "not yet", (name, verdict)
            assert "\n" not in repr(verdict)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("first\nsecond."), "It stops with ValueError: first second."),
        (ValueError(), "It stops with ValueError."),
        (Problem("The DAG is gone."), "The DAG is gone."),
    ],
)
def test_what_an_answer_raises_is_told_in_one_line(
    builder: Builder, error: Exception, words: str
) -> None:
    said = f"For a list with machines your function does not answer. {words}"
    assert check("could_be_read", raises(error)) == Verdict("not yet", said)


def test_an_interrupt_of_a_check_is_no_verdict(builder: Builder) -> None:
    with pytest.raises(KeyboardInterrupt):
        check("could_be_read", raises(KeyboardInterrupt()))


def test_a_verdict_shows_no_secret(builder: Builder, monkeypatch: Any) -> None:
    cleaners = [lambda message: message.replace("s3cret", "***")]
    monkeypatch.setattr(current()[TaskLogs], "cleaners", cleaners)
    assert "***" in check("could_be_read", raises(ValueError("s3cret"))).sentence
