"""`make record` and `make dags`: what they store, and what they leave as it was."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workshop.__main__ import APP
from workshop.authoring.checking import generated, recording
from workshop.authoring.checking.guard import complaints
from workshop.authoring.checking.headless import code_of, read
from workshop.authoring.checking.recording import MEASURED, normalise, record_notebook
from workshop.ground import NOTEBOOKS
from workshop.sandbox import sandbox_environment

DRAW = """\
class Shown:
    def __repr__(self): return "edges"
    def _repr_html_(self): return '<img src="data:image/svg+xml;base64,NEW">'
Shown()"""
SECONDS = "import time\ntime.perf_counter_ns()"
RAISES = "raises-exception"  # with this tag Jupyter goes on after a cell that raised
PLOT = "figure = dict(measured=True)\ntime.perf_counter_ns()"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lesson.ipynb"


def write(path: Path, *cells: Any) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_markdown_cell("# L"), *cells], metadata=kernel), path)


def picture(form: str, text: str = "edges", source: str = DRAW) -> Any:
    """Return a cell that draws, and what it has stored."""
    html = f'<img src="data:image/svg+xml;base64,{form}">'
    data = {"text/plain": text, "text/html": html}
    return new_code_cell(source, outputs=[new_output("execute_result", data, execution_count=9)])


def shown(path: Path) -> list[str]:
    """Return what the code cells of a notebook have stored."""
    return [str([dict(o) for o in cell.outputs]) for cell in code_of(read(path))]


def change(path: Path, number: int, source: str) -> None:
    notebook = read(path)
    code_of(notebook)[number].source = source
    nbformat.write(notebook, path)


def test_it_stores_what_a_run_gives_and_a_second_run_changes_nothing(path: Path) -> None:
    write(path, new_code_cell("print(6 * 7)"), new_code_cell("6 * 7"))
    assert record_notebook(path)
    notebook = read(path)
    assert [cell.execution_count for cell in code_of(notebook)] == [1, 2]
    assert code_of(notebook)[0].outputs[0].text == "42\n"
    assert [cell.id for cell in notebook.cells] == ["l", "print-6-7", "6-7"]
    assert not record_notebook(path)


def test_a_picture_of_the_same_meaning_stays_each_cell_its_own(path: Path) -> None:
    write(path, picture("AAAA"), picture("BBBB"), picture("CCCC", "other edges"))
    assert record_notebook(path)
    first, second, third = shown(path)
    assert "AAAA" in first and "BBBB" in second and "NEW" in third
    notebook = read(path)
    notebook.cells.insert(1, new_code_cell("'a cell before them'"))
    nbformat.write(notebook, path)
    assert record_notebook(path)
    assert ["AAAA" in text for text in shown(path)] == [False, True, False, False]
    assert [cell.outputs[0].execution_count for cell in code_of(read(path))] == [1, 2, 3, 4]


def test_cells_of_equal_source_keep_each_its_own(path: Path) -> None:
    """As `run = dag.test()` and `draw(run)` do, which stand several times in a lesson."""
    again = "drawn += 1\n" + DRAW.replace('"edges"', 'f"edges {drawn}"')
    forms = ("AAAA", "BBBB", "CCCC")
    cells = [picture(form, f"edges {number}", again) for number, form in enumerate(forms, 1)]
    write(path, new_code_cell("drawn = 0\ndrawn"), *cells)
    assert record_notebook(path)
    kept = shown(path)[1:]
    assert all(form in text for form, text in zip(forms, kept, strict=True))
    notebook = read(path)
    code_of(notebook)[1].source = "'no picture here'"
    nbformat.write(notebook, path)
    assert record_notebook(path)
    texts = shown(path)[2:]
    assert all("NEW" in text for text in texts), "they mean something else now"
    assert ["edges 1" in texts[0], "edges 2" in texts[1]] == [True, True]


def test_it_sees_a_difference_and_says_so(path: Path) -> None:
    write(path, new_code_cell("print('new')", outputs=[new_output("stream", text="old\n")]))
    assert record_notebook(path)
    assert code_of(read(path))[0].outputs == [new_output("stream", text="new\n")]
    assert not record_notebook(path)


def test_it_stores_errors_and_warnings_for_the_guard_to_see(path: Path) -> None:
    warned = "import sys\nprint('beware', file=sys.stderr)\nprint('said')"
    write(path, new_code_cell(warned), new_code_cell("1 / 0", metadata={"tags": [RAISES]}))
    assert record_notebook(path)
    first, second = code_of(read(path))
    assert {output.name: output.text for output in first.outputs} == {
        "stderr": "beware\n",
        "stdout": "said\n",
    }
    assert [output.output_type for output in second.outputs] == ["error"]
    assert second.outputs[0].ename == "ZeroDivisionError"
    found = [text for text in complaints(read(path), "lesson") if "stores an error" in text]
    assert len(found) == 2


def test_what_a_run_or_a_save_adds_is_taken_out() -> None:
    view = "application/vnd.jupyter.widget-view+json"
    data = {"text/plain": "shown", view: {"model_id": "1"}}
    result = new_output("execute_result", data, execution_count=7, metadata={view: {}})
    said = [new_output("stream", name=name, text=name) for name in ("stdout", "stdout", "stderr")]
    long = "a_word_" * 10
    notebook = new_notebook(
        metadata={"papermill": {}, "kernelspec": {"name": "mine", "display_name": "Mine"}},
        cells=[
            new_markdown_cell("# One *Title*\n\nAnd prose", metadata={"collapsed": True}),
            new_code_cell("shown", outputs=[result]),
            new_code_cell("shown", outputs=said, metadata={"tags": ["solution"]}),
            new_code_cell(long),
            new_code_cell("…"),
        ],
    )
    notebook.cells[1].metadata = {"tags": [""], "execution": {}}
    normalise(notebook)
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook.metadata == {
        "kernelspec": python,
        "language_info": {"name": "python"},
        "workshop": {"cells": 5},
    }
    assert [cell.id for cell in notebook.cells] == [
        "one-title", "shown", "shown-2", long[:40], "cell",
    ]  # fmt: skip
    assert [cell.metadata for cell in notebook.cells] == [
        {}, {}, {"jupyter": {"source_hidden": True}, "tags": ["solution"]}, {}, {},
    ]  # fmt: skip
    plain, merged = (cell.outputs for cell in code_of(notebook)[:2])
    assert plain == [new_output("execute_result", {"text/plain": "shown"}, execution_count=1)]
    assert [(output.name, output.text) for output in merged] == [
        ("stdout", "stdoutstdout"), ("stderr", "stderr"),
    ]  # fmt: skip
    assert [cell.execution_count for cell in code_of(notebook)] == [1, 2, 3, 4]


@pytest.mark.usefixtures("own_environment")
def test_the_command_records_what_is_named_and_says_what_it_did(
    monkeypatch: Any, capsys: Any
) -> None:
    asked: list[tuple[str, bool]] = []

    def recorded(path: Path, *, measured: bool) -> bool:
        asked.append((path.stem, measured))
        return path.stem == "04_slack"

    monkeypatch.setattr(recording, "record_notebook", recorded)
    monkeypatch.setattr(generated, "write_generated", lambda: print("written first"))
    APP(["record", "04_slack", "notebooks/05_email.ipynb"], standalone_mode=False)
    assert asked == [("04_slack", False), ("05_email", False)]
    assert capsys.readouterr().out.splitlines() == [
        "written first",
        "notebooks/04_slack.ipynb: recorded",
        "notebooks/05_email.ipynb: as it was",
    ]
    APP(["record", "04_slack", "--measured"], standalone_mode=False)
    assert asked[2:] == [("04_slack", True)]


@pytest.mark.weekly
def test_what_one_run_measured_stays_together(path: Path) -> None:
    tagged = {"tags": [MEASURED]}
    write(path, new_code_cell(SECONDS, metadata=tagged), new_code_cell(PLOT), new_code_cell("1"))
    assert record_notebook(path)
    before = shown(path)
    assert not record_notebook(path)

    def renewed() -> list[bool]:
        nonlocal before
        record_notebook(path)
        old, before = before, shown(path)
        return [a != b for a, b in zip(old, before, strict=True)]

    change(path, 0, f"{SECONDS}  # another cell")
    assert renewed() == [True, True, False], "the source of one changed"
    change(path, 2, "2")
    assert renewed() == [True, True, True], "what the notebook prints elsewhere changed"
    notebook = read(path)
    code_of(notebook)[1].outputs = []
    nbformat.write(notebook, path)
    assert renewed() == [True, True, False], "one had nothing stored"
    assert renewed() == [False, False, False]
    assert record_notebook(path, measured=True), "on purpose"


def test_a_failing_cell_leaves_the_file_as_it_was(path: Path) -> None:
    write(path, new_code_cell("1 / 0"))
    before = path.read_bytes()
    with pytest.raises(Exception, match="A cell raised ZeroDivisionError: division by zero"):
        record_notebook(path)
    assert path.read_bytes() == before


def test_the_index_keeps_outputs_of_cells_that_are_the_same(path: Path, monkeypatch: Any) -> None:
    shutil.copy(NOTEBOOKS / "00_index.ipynb", path)
    monkeypatch.setattr(generated, "INDEX", path)
    before = shown(path)
    change(path, 4, "catch_up(1)")
    after = [str([dict(o) for o in cell.outputs]) for cell in code_of(generated.index())]
    assert after == [*before[:4], "[]", *before[5:]]
    assert all(before[i] != "[]" for i in (0, 1, 3, 4, 5))


def test_a_program_in_a_cell_writes_on_a_ci_what_it_writes_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "test_long.py").write_text(f"def test_long():\n    assert {'x' * 90!r} == ''\n")
    code = (
        "import subprocess, sys\n"
        "from workshop.authoring.checking.headless import force_sandbox\n"
        "force_sandbox()\n"
        "subprocess.run([sys.executable, '-m', 'pytest', '-qq', '--tb=no', '-c', '/dev/null',"
        " 'test_long.py'])"
    )
    quick = sandbox_environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    there = {"CI": "true", "PYTEST_ADDOPTS": "-v", "COLUMNS": "200", "FORCE_COLOR": "1"}
    here, on_a_ci = (
        subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=quick | more,
            capture_output=True, text=True, timeout=600,
        ).stdout
        for more in ({}, there)
    )  # fmt: skip
    assert "FAILED test_long.py::test_long" in here
    assert on_a_ci == here
