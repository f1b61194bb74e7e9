"""The check of the checks: each of these changes must turn `make check` red, and name the cure."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workshop.authoring.checking import guard
from workshop.authoring.checking.generated import DAG_FILE
from workshop.authoring.checking.headless import code_of, read
from workshop.authoring.upkeep import locks
from workshop.ground import NOTEBOOKS, ROOT
from workshop.ground.cells import Step, read_steps

NAME = "06_the_whole_dag"


def slide_cell(notebook: Any) -> Any:
    return next(cell for cell in code_of(notebook) if cell.source.startswith("%%slide 44"))


def clear_an_output(notebook: Any) -> None:
    code_of(notebook)[5].outputs = []


def delete_a_code_cell(notebook: Any) -> None:
    notebook.cells.remove(code_of(notebook)[5])


def delete_the_last_code_cell(notebook: Any) -> None:
    notebook.cells.remove(code_of(notebook)[-1])


def delete_prose(notebook: Any) -> None:
    notebook.cells.pop(10 if notebook.cells[10].cell_type == "markdown" else 11)


def do_not_run_a_cell(notebook: Any) -> None:
    code_of(notebook)[5].execution_count = None


def shuffle_the_counts(notebook: Any) -> None:
    first, second = code_of(notebook)[4:6]
    first.execution_count, second.execution_count = second.execution_count, first.execution_count


def write_an_unknown_magic(notebook: Any) -> None:
    slide_cell(notebook).source = "%%slid 44 list_instances\nraise SystemExit\n"


def lose_a_slide(notebook: Any) -> None:
    notebook.cells = [cell for cell in notebook.cells if "## Slide 45" not in cell.source]


def move_a_slide(notebook: Any) -> None:
    cell = slide_cell(notebook)
    cell.source = cell.source.replace("%%slide 44", "%%slide 45")


def store_an_error(notebook: Any) -> None:
    code_of(notebook)[5].outputs.append(
        new_output("error", ename="E", evalue="e", traceback=["Traceback"])
    )


def show_a_path(notebook: Any) -> None:
    code_of(notebook)[5].outputs.append(new_output("stream", text="/home/somebody/airflow\n"))


def show_a_secret(notebook: Any) -> None:
    webhook = "https://hooks.slack.com/" + "services/T0/B0/x"
    code_of(notebook)[5].outputs.append(new_output("stream", text=webhook))


def write_a_secret(notebook: Any) -> None:
    code_of(notebook)[5].source += (
        "\nSLACK_WEBHOOK = 'https://hooks.slack.com/" + "services/T0/B0/x'"
    )


def lead_nowhere(notebook: Any) -> None:
    notebook.cells[0].source += " [gone](99_gone.ipynb)"


def type_a_number(notebook: Any) -> None:
    notebook.cells[3].source += " The DAG has 8 tasks."


def drop_the_alt_text(notebook: Any) -> None:
    for cell in code_of(notebook):
        for output in cell.outputs:
            if "<img" in output.get("data", {}).get("text/html", ""):
                html = output.data["text/html"]
                output.data["text/html"] = re.sub(r'alt="[^"]*"', 'alt=""', html)


def write_a_long_cell(notebook: Any) -> None:
    code_of(notebook)[5].source = "\n".join(f"x = {number}" for number in range(16))


def write_many_cells(notebook: Any) -> None:
    notebook.cells[3:3] = [new_code_cell("1", outputs=[]) for _ in range(31)]


def write_middling_cells(notebook: Any) -> None:
    for cell in code_of(notebook):
        cell.source = "\n".join("x" * 9)


def save_in_jupyterlab(notebook: Any) -> None:
    code_of(notebook)[5].metadata["execution"] = {"iopub.execute_input": "2018-12-01T16:00:00Z"}


def lose_the_parameters(notebook: Any) -> None:
    code_of(notebook)[0].metadata = {}


MUTATIONS: list[tuple[Callable[[Any], None], str]] = [
    (clear_an_output, "make record"),
    (delete_a_code_cell, "make record"),
    (delete_the_last_code_cell, "restore them, or make record"),
    (delete_prose, "restore them, or make record"),
    (do_not_run_a_cell, "make record"),
    (shuffle_the_counts, "make record"),
    (write_an_unknown_magic, "write '%%slide N part'"),
    (lose_a_slide, "correct one of them"),
    (move_a_slide, "correct one"),
    (store_an_error, "correct the cell"),
    (show_a_path, "print something stable"),
    (show_a_secret, "renew the secret"),
    (write_a_secret, "renew it"),
    (lead_nowhere, "correct the link"),
    (type_a_number, "let a cell print it"),
    (drop_the_alt_text, "use draw or figure"),
    (write_a_long_cell, "has 16 lines, at most 15: split it"),
    (write_many_cells, "code cells beside whole DAG files, at most 30: split the notebook"),
    (write_middling_cells, "its median cell has 9 lines, at most 3: shorten some"),
    (write_middling_cells, "0% of its cells have at most 8 lines, at least 85%: shorten some"),
    (save_in_jupyterlab, "make record"),
    (lose_the_parameters, "it needs one cell tagged 'parameters'"),
]


@pytest.mark.parametrize(("mutate", "cure"), MUTATIONS, ids=[m.__name__ for m, _ in MUTATIONS])
def test_the_guard_sees_it(mutate: Callable[[Any], None], cure: str) -> None:
    notebook = read(NOTEBOOKS / f"{NAME}.ipynb")
    assert guard.complaints(notebook, NAME) == []
    mutate(notebook)
    found = guard.complaints(notebook, NAME)
    assert any(cure in complaint for complaint in found), found
    assert all(complaint.startswith(f"{NAME}: ") for complaint in found)


def test_the_guard_names_all_at_once() -> None:
    notebook = read(NOTEBOOKS / f"{NAME}.ipynb")
    for number, lines in ((4, 17), (5, 18)):
        code_of(notebook)[number].source = "\n".join(f"x = {n}" for n in range(lines))
    notebook.cells[0].source += " [gone](99_gone.ipynb)"
    found = "\n".join(guard.complaints(notebook, NAME))
    for words in ("has 17 lines, at most 15", "has 18 lines, at most 15", "99_gone.ipynb"):
        assert words in found


def test_a_dag_file_edited_by_hand() -> None:
    edited = DAG_FILE.read_text(encoding="utf-8").replace('"retries": 1', '"retries": 2')
    (complaint,) = guard.dag_file_complaints(read_steps(), edited)
    assert "make dags" in complaint


def test_a_lost_slide_cell_changes_the_dag_file() -> None:
    committed = DAG_FILE.read_text(encoding="utf-8")
    steps = [step for step in read_steps() if step.slide != 45]
    assert steps != read_steps()
    assert isinstance(steps[0], Step)
    (complaint,) = guard.dag_file_complaints(steps, committed)
    assert "make dags" in complaint


def test_a_lock_out_of_step() -> None:
    text = locks.LOCK.read_text(encoding="utf-8")
    assert locks.complaints(text, locks.wanted()) == []
    without = re.sub(r"^papermill==.*\n(?: .*\n)*", "", text, flags=re.MULTILINE)
    older = re.sub(r"^pandas==[^ ]+", "pandas==1.0.0", text, flags=re.MULTILINE)
    addressed = "--index-url https://example.com/simple\n" + text
    unhashed = re.sub(r"^(papermill==\S+).*\n(?: .*\n)*", r"\1\n", text, flags=re.MULTILINE)
    for mutated in (without, older, addressed, unhashed):
        found = locks.complaints(mutated, locks.wanted())
        assert found
        assert all("make lock" in complaint for complaint in found)


def notebook_with(path: Path, picture: str, stored: str, shown: str) -> None:
    """Write a notebook of two cells with stored outputs: a line, and a picture with its text."""
    html = f'<img alt="Graph of a DAG" src="data:image/svg+xml;base64,{picture}">'
    show = (
        "class Shown:\n    def __repr__(self): return 'edges\\n  a -> b'\n"
        f"    def _repr_html_(self): return '{html.replace(picture, 'AAAA')}'\nShown()"
    )
    cells = [
        new_markdown_cell("# A lesson"),
        new_code_cell("print('as stored')", execution_count=1,
                      outputs=[new_output("stream", text=stored)]),
        new_code_cell(show, execution_count=2, outputs=[
            new_output("execute_result", execution_count=2,
                       data={"text/plain": shown, "text/html": html})]),
    ]  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), path)


def change(path: Path, **first: Any) -> None:
    """Change the first code cell of a notebook."""
    notebook = read(path)
    code_of(notebook)[0].update(first)
    nbformat.write(notebook, path)


def test_nbval_sees_what_changed_and_what_unexpectedly_fails_or_passes(tmp_path: Path) -> None:
    """With the project's own settings; bytes of a picture are the machine's, and may differ."""
    said, drawn = "as stored\n", "edges\n  a -> b"
    notebook_with(tmp_path / "same.ipynb", "AAAA", said, drawn)
    notebook_with(tmp_path / "other_fonts.ipynb", "BBBB", said, drawn)
    notebook_with(tmp_path / "output.ipynb", "AAAA", "as it was\n", drawn)
    notebook_with(tmp_path / "edge.ipynb", "AAAA", said, "edges\n  a -> c")
    notebook_with(tmp_path / "fails.ipynb", "AAAA", said, drawn)
    change(tmp_path / "fails.ipynb", source="raise ValueError")
    notebook_with(tmp_path / "passes.ipynb", "AAAA", said, drawn)
    failed_before = [new_output("error", ename="ValueError", evalue="", traceback=[])]
    change(tmp_path / "passes.ipynb", source="x = 1", outputs=failed_before)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-c", str(ROOT / "pyproject.toml"),
         "--rootdir", str(ROOT), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    failed = set(re.findall(r"^FAILED \S*?(\w+)\.ipynb", done.stdout, re.MULTILINE))
    assert failed == {"output", "edge", "fails", "passes"}, done.stdout
    assert "8 passed" in done.stdout
