"""`%%dag name`: a cell that is a DAG file of its own."""

import os
from pathlib import Path
from typing import Any

import pytest

from workshop.ground import DAGS, Problem
from workshop.lab import dagcell
from workshop.slides import workcopy

SOURCE = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("hello") as hello:
    greet = BashOperator(task_id="greet", bash_command="echo good morning")
"""


def test_it_is_a_file_of_the_dags_folder_that_runs(lab: Any) -> None:
    names: dict[str, Any] = {}
    said = dagcell.write("hello", SOURCE, names)
    assert said == "hello.py · 5 lines · hello with 1 task"
    assert (lab.dags / "hello.py").read_text() == SOURCE
    assert names["hello"].test().state == "success"
    again = dagcell.write("hello", SOURCE.replace("good morning", "good night"), names)
    assert again == said
    assert names["hello"].test().state == "success"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "with DAG(",
            "SyntaxError: '(' was never closed\nin line 2 of this cell:\nwith DAG(\n        ^\n",
        ),
        (
            "\nhello = = DAG('a')  ",
            "SyntaxError: invalid syntax\nin line 3 of this cell:\nhello = = DAG('a')\n        ^\n",
        ),
        ("x = 1", "There is no DAG in this cell: write, for example, broken = DAG('broken')."),
        (
            SOURCE + "    greet >> BashOperator(task_id='b', bash_command='true') >> greet\n",
            "These arrows lead in a circle: greet >> b >> greet. A DAG has none: take one of them "
            "out. The file stays as it was.",
        ),
    ],
)
def test_what_is_no_dag_is_one_sentence(lab: Any, source: str, sentence: str) -> None:
    (lab.dags / "broken.py").unlink(missing_ok=True)
    with pytest.raises(Problem) as raised:
        dagcell.write("broken", source, {})
    said = str(raised.value)
    assert said.removesuffix("broken.py stays as it was.") == sentence
    assert "broken.py stays" in said or "SyntaxError" not in said
    assert not (lab.dags / "broken.py").exists()


def test_two_dags_and_a_run_in_the_cell_that_writes_them(lab: Any) -> None:
    said = dagcell.write("two", f"{SOURCE}{SOURCE.replace('hello', 'bye')}bye.test()\n", {})
    assert said.splitlines() == [
        "two.py · 11 lines · hello with 1 task, bye with 1 task",
        "Airflow runs a file whenever it reads it: write .test() into another cell, or under "
        'if __name__ == "__main__":',
    ]


def test_a_dag_file_of_the_workbook_is_taken_by_its_name(lab: Any) -> None:
    assert dagcell.load("gcp_spy").dag_id == "gcp_spy"
    assert (lab.dags / "gcp_spy.py").read_text("utf-8") == (DAGS / "gcp_spy.py").read_text("utf-8")
    with pytest.raises(Problem) as raised:
        dagcell.load("gcp_psy")
    assert str(raised.value).startswith("There is no DAG file 'gcp_psy', only gcp_spy, gcp_spy_")


@pytest.mark.parametrize("seconds", [0.0, 0.9, -5.0, -10.0])
def test_a_file_that_is_written_again_at_once_has_a_new_time(lab: Any, seconds: float) -> None:
    """Python's cache of compiled files compares whole seconds."""
    dagcell.write("hello", SOURCE, {})
    path = lab.dags / "hello.py"
    before = path.stat().st_mtime + 10 + seconds
    os.utime(path, (before, before))
    dagcell.write("hello", SOURCE + "\n", {})
    assert int(path.stat().st_mtime) > int(before)


def test_an_error_is_shown_at_the_cell_s_line(lab: Any) -> None:
    with pytest.raises(NameError) as raised:
        dagcell.write("broken", SOURCE + "greet >> nobody\n", {})
    lines = raised.value._render_traceback_()  # type: ignore[attr-defined]
    assert lines == [
        "NameError: name 'nobody' is not defined",
        "in line 7 of this cell: greet >> nobody",
        "broken.py stays as it was.",
    ]


def test_an_error_in_a_part_is_shown_at_the_line_of_its_cell(lab: Any, tmp_path: Path) -> None:
    text = dagcell.DagText("zero = 0\n\nfirst = 1\nnobody / zero\n", {"zulu": 1, "alpha": 3})
    for now, cell in [("alpha", "this cell"), ("zulu", "the part alpha")]:
        with pytest.raises(NameError) as raised:
            dagcell.execute(text, tmp_path / "parts.py", now, lambda name: f"Who makes {name}?")
        assert raised.value._render_traceback_() == [  # type: ignore[attr-defined]
            "NameError: name 'nobody' is not defined",
            f"in line 3 of {cell}: nobody / zero",
            "Who makes nobody?",
            "parts.py stays as it was.",
        ]


def test_an_interrupt_of_a_file_is_one_sentence_and_the_file_stays(lab: Any) -> None:
    dagcell.write("hello", SOURCE, {})
    with pytest.raises(Problem) as raised:
        dagcell.write("hello", f"{SOURCE}raise KeyboardInterrupt\n", {})
    assert str(raised.value) == "Interrupted; hello.py stays as it was."
    assert (lab.dags / "hello.py").read_text() == SOURCE


def test_a_file_that_ends_early_ends_and_stays_as_it_was(lab: Any) -> None:
    (lab.dags / "early.py").unlink(missing_ok=True)
    with pytest.raises(SystemExit):
        dagcell.write("early", f"{SOURCE}raise SystemExit\n", {})
    assert not (lab.dags / "early.py").exists()


@pytest.mark.parametrize("line", ["", "two words", "1st", "../up", "Upper"])
def test_a_wrong_name_is_one_sentence(lab: Any, line: str) -> None:
    with pytest.raises(Problem, match="Write '%%dag name'"):
        dagcell.magic(line, SOURCE)


def test_a_file_of_the_learner_s_own_is_never_overwritten(
    lab: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(workcopy.make(tmp_path / "copy"))
    mirrors = Path.cwd() / "dags"
    mirrors.mkdir()
    (mirrors / "hello.py").write_text("mine")
    dagcell.write("hello", SOURCE, {})
    assert (mirrors / "hello.py").read_text() == "mine"
    dagcell.write("other", SOURCE, {})
    dagcell.write("other", SOURCE + "\n", {})
    assert (mirrors / "other.py").read_text() == SOURCE + "\n"
