"""`make record` and `make dags`: what they store, and what they leave as it was."""

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workshop.authoring.checking import generated
from workshop.authoring.checking.headless import code_of, read
from workshop.authoring.checking.recording import MEASURED, record_notebook
from workshop.ground import NOTEBOOKS

DRAW = """\
class Shown:
    def __repr__(self): return "edges"
    def _repr_html_(self): return '<img src="data:image/svg+xml;base64,NEW">'
Shown()"""
SECONDS = "import time\ntime.perf_counter_ns()"
PLOT = "figure = dict(measured=True)\ntime.perf_counter_ns()"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lesson.ipynb"


def write(path: Path, *cells: Any) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_markdown_cell("# L"), *cells], metadata=kernel), path)


def picture(form: str, text: str = "edges") -> Any:
    """Return a cell that draws, and what it has stored."""
    html = f'<img src="data:image/svg+xml;base64,{form}">'
    data = {"text/plain": text, "text/html": html}
    return new_code_cell(DRAW, outputs=[new_output("execute_result", data, execution_count=9)])


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
    change(path, 3, "catch_up(1)")
    after = [str([dict(o) for o in cell.outputs]) for cell in code_of(generated.index())]
    assert after == [*before[:3], "[]", *before[4:]]
    assert all(before[i] != "[]" for i in (0, 2, 3, 4))
