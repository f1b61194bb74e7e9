"""`check` and `progress`: every exercise of a notebook is found in the file with its name."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from workshop.exercises import Verdict, check, every, progress
from workshop.ground import Problem, notebooks
from workshop.lab import TaskLogs, current
from workshop.slides import Builder, follow, load_ipython_extension
from workshop.tests.exercises.answers import SOLUTIONS, TABLE

CHECK = re.compile(r'^check\("(\w+)"', re.MULTILINE)


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
    assert list(rows["exercise"]) == [made.title for _, _, made in every()]
    check("how_many", 22)
    assert list(progress()["solved"]).count("✓") == 1


def test_an_unknown_exercise_names_the_nearest(builder: Builder) -> None:
    with pytest.raises(Problem, match="Did you mean 'weekdays'"):
        check("weekday")


def test_a_verdict_is_escaped() -> None:
    assert "&lt;b&gt;no" in Verdict("not yet", "<b>no</b>")._repr_html_()


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


SCHEDULE = "%%exercise weekdays dag\n" + SOLUTIONS["weekdays"]["dag"]
CLEANING = f"%%dag cleaning\n{TABLE['tidy'].right[0]}"
READ = "def could_be_read(status, stderr):\n    return not status and 'WARNING' not in stderr\n"


@pytest.mark.parametrize(
    ("call", "cell", "refused", "which"),
    [
        ('"weekdays"', SCHEDULE, SCHEDULE.replace('5"', "5"), "%%exercise weekdays dag"),
        ('"weekdays"', SCHEDULE, SCHEDULE + "nobody.knows()\n", "%%exercise weekdays dag"),
        ('"tidy", cleaning', CLEANING, CLEANING.replace('tidy"', "tidy"), "that makes cleaning"),
        ('"could_be_read", could_be_read', READ, READ.replace(":", ""), "that makes could_be"),
        ('"could_be_read", could_be_read', READ, "could_be_read = nobody", "that makes could_be"),
    ],
)
def test_a_cell_that_was_refused_has_no_verdict_of_an_earlier_one(
    notebook: Any, builder: Builder, call: str, cell: str, refused: str, which: str
) -> None:
    def verdict() -> Verdict:
        notebook.run_cell(f"said = check({call})")
        said = notebook.user_ns["said"]
        assert isinstance(said, Verdict)
        return said

    builder.catch_up(31)
    notebook.run_cell(cell)
    assert verdict().kind == "right"
    notebook.run_cell(refused)
    notebook.run_cell("1 + 1")
    for _ in range(2):
        assert verdict().kind == "not yet"
        assert f"The cell {which}" in verdict().sentence
        assert "did not run" in verdict().sentence
    notebook.run_cell(cell)
    assert verdict().kind == "right"


def test_each_refused_part_counts_until_it_runs_or_was_never_asked_for(
    notebook: Any, builder: Builder
) -> None:
    def run(part: str, source: str) -> str:
        notebook.run_cell(f"%%exercise returns {part}\n{source}")
        return check("returns").sentence

    builder.catch_up(43)
    assert "returns title did not run" in run("title", "TITLE = '")
    assert "did not run" in run("prepare_email", "def (")
    mail = SOLUTIONS["returns"]["send_email_task"]
    assert "returns prepare_email did not run" in run("send_email_task", mail)
    assert "did not run" not in run("prepare_email", "def prepare_email(**context):\n    pass\n")


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


def test_an_interrupt_of_a_check_is_no_verdict(builder: Builder) -> None:
    with pytest.raises(KeyboardInterrupt):
        check("could_be_read", raises(KeyboardInterrupt()))


def test_a_verdict_shows_no_secret(builder: Builder, monkeypatch: Any) -> None:
    cleaners = [lambda message: message.replace("s3cret", "***")]
    monkeypatch.setattr(current()[TaskLogs], "cleaners", cleaners)
    assert "***" in check("could_be_read", raises(ValueError("s3cret"))).sentence
