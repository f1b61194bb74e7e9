"""`%%dag name`: a cell that is a DAG file of its own."""

from pathlib import Path
from typing import Any

import pytest

from workshop.ground import Problem
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
        ("with DAG(", "SyntaxError: '\\(' was never closed\nin line 2 of this cell"),
        ("x = 1", "There is no DAG in this cell"),
        (SOURCE + "greet >> greet.dag.get_task('greet')\n", "lead in a circle|cycle"),
    ],
)
def test_what_is_no_dag_is_one_sentence(lab: Any, source: str, sentence: str) -> None:
    (lab.dags / "broken.py").unlink(missing_ok=True)
    with pytest.raises(Problem, match=sentence):
        dagcell.write("broken", source, {})
    assert not (lab.dags / "broken.py").exists()


def test_an_error_is_shown_at_the_cell_s_line(lab: Any) -> None:
    with pytest.raises(NameError) as raised:
        dagcell.write("broken", SOURCE + "greet >> nobody\n", {})
    lines = raised.value._render_traceback_()  # type: ignore[attr-defined]
    assert lines == [
        "NameError: name 'nobody' is not defined",
        "in line 7 of this cell: greet >> nobody",
        "broken.py stays as it was.",
    ]


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
