"""The check of the checks: each of these changes must turn `make check` red, and name the cure."""

import base64
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval.plugin import comment_markers, metadata_tags

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


def write_a_long_file(notebook: Any) -> None:
    code_of(notebook)[5].source = "%%writefile test_mine.py\n" + "x = 1\n" * 26


def write_a_file_elsewhere(notebook: Any) -> None:
    code_of(notebook)[5].source = "%%writefile ../test_mine.py\nx = 1\n"


def write_many_cells(notebook: Any) -> None:
    notebook.cells[3:3] = [new_code_cell("1", outputs=[]) for _ in range(31)]


def write_middling_cells(notebook: Any) -> None:
    for cell in code_of(notebook):
        cell.source = "\n".join("x" * 9)


def save_in_jupyterlab(notebook: Any) -> None:
    code_of(notebook)[5].metadata["execution"] = {"iopub.execute_input": "2018-12-01T16:00:00Z"}


def lose_the_parameters(notebook: Any) -> None:
    code_of(notebook)[0].metadata = {}


def tag_with(tag: str) -> Callable[[Any], None]:
    def mutate(notebook: Any) -> None:
        code_of(notebook)[5].metadata["tags"] = [tag]

    mutate.__name__ = f"tag with {tag}"
    return mutate


def comment_with(comment: str) -> Callable[[Any], None]:
    def mutate(notebook: Any) -> None:
        code_of(notebook)[5].source += f"\n{comment}"

    mutate.__name__ = f"comment with {comment}"
    return mutate


def compare_no_figures(notebook: Any) -> None:
    code_of(notebook)[5].source += "\nfigure(axes, 'Some bars', measured=True)"


def take_another_kernel(notebook: Any) -> None:
    notebook.metadata.kernelspec.name = "mine"


def leave_a_path_in_the_metadata(notebook: Any) -> None:
    notebook.metadata["papermill"] = {"input_path": "/home/somebody/06.ipynb"}


def first_picture(notebook: Any) -> Any:
    """Return the first output that is a picture: the graph of a run."""
    outputs = [output for cell in code_of(notebook) for output in cell.outputs]
    return next(o for o in outputs if "<img" in o.get("data", {}).get("text/html", ""))


def redraw(old: str, new: str) -> Callable[[Any], None]:
    """Return a change of a stored picture alone, in all places that a pattern matches."""

    def mutate(notebook: Any) -> None:
        data = first_picture(notebook).data
        (encoded,) = re.findall(r"base64,([^\"]+)", data["text/html"])
        drawn = re.sub(old, new, base64.b64decode(encoded).decode(), flags=re.DOTALL)
        changed = base64.b64encode(drawn.encode()).decode()
        assert changed != encoded
        data["text/html"] = data["text/html"].replace(encoded, changed)

    mutate.__name__ = f"draw {new or 'nothing'} in place of {old}"
    return mutate


def break_the_picture(notebook: Any) -> None:
    data = first_picture(notebook).data
    data["text/html"] = data["text/html"].replace("base64,PD", "base64,AA")


def drop_the_text_form(notebook: Any) -> None:
    del first_picture(notebook).data["text/plain"]


def store_a_bitmap(notebook: Any) -> None:
    first_picture(notebook).data["image/png"] = "iVBORw0KGgo="


def link_a_bitmap(notebook: Any) -> None:
    data = first_picture(notebook).data
    data["text/html"] = data["text/html"].replace("image/svg+xml", "image/png")


def shorten_the_alt_text(notebook: Any) -> None:
    data = first_picture(notebook).data
    data["text/html"] = re.sub(r'alt="[^"]*"', 'alt="Nine long"', data["text/html"])


def lose_the_alt_text(notebook: Any) -> None:
    data = first_picture(notebook).data
    data["text/html"] = re.sub(r'alt="[^"]*"', "", data["text/html"])


def picture_in_the_prose(notebook: Any) -> None:
    notebook.cells[3].source += " ![](attachment:graph.png)"


def prose(text: str) -> Callable[[Any], None]:
    def mutate(notebook: Any) -> None:
        notebook.cells[3].source += f" {text}"

    mutate.__name__ = text
    return mutate


def lead_to_another_notebook(notebook: Any) -> None:
    last = notebook.cells[-1]
    last.source = last.source.replace("07_complex_dags", "08_local_executor")


def bear_another_number(notebook: Any) -> None:
    first = notebook.cells[0]
    first.source = first.source.replace("# 6 · ", "# 5 · ", 1)


def lead_nowhere_from_an_output(notebook: Any) -> None:
    data = {"text/plain": "gone", "text/html": '<a href="99_gone.ipynb">gone</a>'}
    code_of(notebook)[5].outputs = [new_output("display_data", data)]


def be_silent_on_a_live_slide(notebook: Any) -> None:
    first, last = (
        next(
            n for n, cell in enumerate(notebook.cells) if cell.source.startswith(f"## Slide {it} ")
        )
        for it in (45, 46)
    )
    notebook.cells[first:last] = [notebook.cells[first]]


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
    (write_a_long_file, "has 27 lines, at most 26: split it"),
    (write_a_file_elsewhere, "has an unknown magic"),
    (write_many_cells, "code cells beside whole DAG files, at most 30: split the notebook"),
    (write_middling_cells, "its median cell has 9 lines, at most 3: shorten some"),
    (write_middling_cells, "0% of its cells have at most 8 lines, at least 85%: shorten some"),
    (save_in_jupyterlab, "make record"),
    (lose_the_parameters, "it needs one cell tagged 'parameters'"),
    *(
        (tag_with(tag), f"has {tag}, which needs a row")
        for tag in (
            "nbval-ignore-output",
            "nbval-skip",
            "nbval-raises-exception",
            "raises-exception",
            "skip-execution",
            "remove-output",
        )
    ),
    *(
        (comment_with(f"# {marker}"), f"has {marker}, which needs a row")
        for marker in (
            "NBVAL_IGNORE_OUTPUT",
            "NBVAL_SKIP",
            "PYTEST_VALIDATE_IGNORE_OUTPUT",
        )
    ),
    (comment_with("x = 1\n   ##  NBVAL_RAISES_EXCEPTION"), "has NBVAL_RAISES_EXCEPTION, which"),
    (compare_no_figures, "has measured=True, which needs a row"),
    (take_another_kernel, "left in ['kernelspec']: make record"),
    (leave_a_path_in_the_metadata, "left in ['papermill']: make record"),
    (redraw("<g id=.node1.*?</g>", ""), "lacks 1 of its text's 16"),
    (redraw("<g id=.edge1.*?</g>", ""), "lacks 1 of its text's 16"),
    (redraw("&#45;&gt;send_email<", "&#45;&gt;nowhere<"), "shows 1 that its text lacks, such as"),
    (redraw("· success", "· failed"), "lacks 7 of its text's 16"),
    (redraw("<title>prepare_email_task<", "<title>other<"), "such as 'other [success]'"),
    (shorten_the_alt_text, "has a picture with 9 characters of alt text, at least 10: use draw"),
    (lose_the_alt_text, "has a picture with 0 characters of alt text, at least 10: use draw"),
    (break_the_picture, "has a picture that cannot be read: make record"),
    (drop_the_text_form, "without a text form: use draw or figure"),
    (store_a_bitmap, "not compared, as image/png: use draw or figure"),
    (link_a_bitmap, "not compared, as it is no SVG: use draw or figure"),
    (picture_in_the_prose, "has a picture in its prose"),
    (prose('<a href="99_gone.ipynb">gone</a>'), "leads to 99_gone.ipynb, which is not there"),
    (prose("[gone][1]\n\n[1]: 99_gone.ipynb"), "leads to 99_gone.ipynb, which is not there"),
    (prose("[out](../README.md)"), "../README.md, which a working copy lacks"),
    (prose("[far](https://example.com/)"), "which pages.csv does not list"),
    (prose("[here](#Nowhere)"), "leads to the heading #Nowhere, which is not there"),
    (prose("[there](05_email.ipynb#Nowhere)"), "leads to the heading #Nowhere"),
    (prose("[4 · Tell Teams](04_slack.ipynb)"), "its title is '4 · Tell Slack': correct one"),
    (lead_nowhere_from_an_output, "leads to 99_gone.ipynb, which is not there"),
    (be_silent_on_a_live_slide, "no cell runs on the slides [45], which are live: write one"),
    (prose("<img src='far.png'>"), "has a picture in its prose, which has no text form"),
    (lead_to_another_notebook, "next is 07_complex_dags.ipynb"),
    (bear_another_number, "begin it with '# 6 · '"),
]


# pytest escapes other characters, and a list of ids that it takes twice twice (make mutants does).
IDS = [re.sub(r"[^ -\[\]-~]", "_", mutate.__name__) for mutate, _ in MUTATIONS]


@pytest.mark.parametrize(("mutate", "cure"), MUTATIONS, ids=IDS)
def test_the_guard_sees_it(mutate: Callable[[Any], None], cure: str) -> None:
    notebook = read(NOTEBOOKS / f"{NAME}.ipynb")
    assert guard.complaints(notebook, NAME) == []
    mutate(notebook)
    found = guard.complaints(notebook, NAME)
    assert any(cure in complaint for complaint in found), found
    assert all(complaint.startswith(f"{NAME}: ") for complaint in found)


def test_a_complaint_is_one_sentence_that_names_the_cell_what_is_wrong_and_the_cure() -> None:
    notebook = read(NOTEBOOKS / f"{NAME}.ipynb")
    first, second, third, fourth = code_of(notebook)[4:8]
    first.execution_count = 99
    second.source, second.outputs = "", []
    third.outputs = [new_output("stream", name="stderr", text="a warning")]
    fourth.outputs = [new_output("stream", text="xoxb-1, at /home/somebody/")]
    named, empty = f"the cell '{first.source.splitlines()[0][:50]}'", "the cell ''"
    third_named, fourth_named = (
        f"the cell '{it.source.splitlines()[0][:50]}'" for it in (third, fourth)
    )
    for sentence in (
        f"{named} bears the number 99, not 5: the cells were not run from the top: make record",
        f"{empty} has no output: make record",
        f"{third_named} stores an error or a warning: correct the cell",
        f"{fourth_named} shows a secret: take it out of the cell, and renew the secret",
        f"{fourth_named} shows '/home/', a place of one machine: print something stable",
    ):
        assert f"{NAME}: {sentence}" in guard.complaints(notebook, NAME)


def test_the_letters_of_a_picture_are_no_place_of_a_machine() -> None:
    notebook = read(NOTEBOOKS / f"{NAME}.ipynb")
    html = '<img alt="a" src="data:image/svg+xml;base64,PHN2Zz4/tmp/PC9zdmc+">'
    for shown, found in ((html, []), (f"{html} /tmp/", ["/tmp/"])):
        data = {"text/plain": "a", "text/html": shown}
        code_of(notebook)[5].outputs = [new_output("display_data", data)]
        said = "\n".join(guard.complaints(notebook, NAME))
        assert re.findall("shows '(.*?)', a place of one machine", said) == found


def test_links_to_a_heading_are_fine() -> None:
    notebook = read(NOTEBOOKS / f"{NAME}.ipynb")
    notebook.cells[3].source += " [here](#What-you-have-now) [there](05_email.ipynb#Return-it)"
    assert [said for said in guard.complaints(notebook, NAME) if "Return-it" not in said] == []
    notebook.cells[3].source = notebook.cells[3].source.replace("Return-it", "What-you-have-now")
    assert guard.complaints(notebook, NAME) == []


def test_a_listed_page_outside_is_fine() -> None:
    notebook = read(NOTEBOOKS / f"{NAME}.ipynb")
    page = "https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/dag-run.html"
    notebook.cells[3].source += f" [Dag runs]({page})"
    assert guard.complaints(notebook, NAME) == []
    notebook.cells[3].source = notebook.cells[3].source.replace("stable", "2.11.0")
    assert "which pages.csv does not list" in "\n".join(guard.complaints(notebook, NAME))


def test_code_in_prose_has_no_links_and_may_have_numbers() -> None:
    notebook = read(NOTEBOOKS / f"{NAME}.ipynb")
    code = "`[a](99_gone.ipynb)`\n```\n[b](98_gone.ipynb) ![](c.png)\n42\n```\n"
    notebook.cells[3].source += f"\n{code}\nAirflow 3.3, Airflow 2, slide 47, in 2018.\n"
    assert guard.complaints(notebook, NAME) == []


def test_a_notebook_without_cells_is_no_traceback() -> None:
    notebook = new_notebook()
    found = guard.complaints(notebook, NAME)
    assert f"{NAME}: its title is []: begin it with '# 6 · '" in found
    assert any("its last cell leads to []" in text for text in found)


def test_a_notebook_leads_to_what_it_needs() -> None:
    notebook = read(NOTEBOOKS / f"{NAME}.ipynb")
    notebook.cells[0].source = notebook.cells[0].source.replace("05_email", "04_slack")
    (found,) = [text for text in guard.complaints(notebook, NAME) if "needs" in text]
    assert found.endswith("it needs 05_email, its first cell does not: correct one")


def test_every_switch_of_nbval_is_known() -> None:
    for marker in comment_markers:
        assert guard.SWITCH.findall(f"#{marker}") == [(marker, "")]
    assert not guard.TAGS & set(metadata_tags)


def test_what_is_not_compared_has_a_reason_and_is_there() -> None:
    rows = guard.read_uncompared()
    assert all(row["notebook"] and row["cell"] and len(row["reason"]) > 10 for row in rows)
    assert {row["switch"] for row in rows} == {"nbval-ignore-output", "measured=True"}
    name = "07_complex_dags"
    notebook = read(NOTEBOOKS / f"{name}.ipynb")
    for cell in code_of(notebook):
        cell.metadata.pop("tags", None)
        cell.source = cell.source.replace(", measured=True", "")
    named = [row for row in rows if row["notebook"] == name]
    assert len(named) == 2
    for row in named:
        where = f"uncompared.csv names '{row['cell']}' with {row['switch']}"
        gone = f"{name}: {where}, which is not there: remove that row"
        assert gone in guard.complaints(notebook, name)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("01_why_airflow", "✗", "✓"),  # a grid: another state
        ("01_why_airflow", ">count<", ">other<"),  # another task
        ("01_why_airflow", ">07<", ">08<"),  # another run
        ("03_list_instances", "<!-- Spanner -->", ""),  # a bar without its name
        ("08_local_executor", "<title>scheduler<", "<title>other<"),  # a graph of one's own
        ("08_local_executor", "<g id=.edge1.*?</g>", ""),
    ],
)
def test_every_kind_of_picture_is_compared(name: str, old: str, new: str) -> None:
    notebook = read(NOTEBOOKS / f"{name}.ipynb")
    for cell in code_of(notebook):
        for output in cell.outputs:
            html = output.get("data", {}).get("text/html", "")
            for encoded in re.findall(r"base64,([A-Za-z0-9+/=]+)", html):
                drawn = re.sub(old, new, base64.b64decode(encoded).decode(), flags=re.DOTALL)
                changed = base64.b64encode(drawn.encode()).decode()
                output.data["text/html"] = html.replace(encoded, changed)
    found = guard.complaints(notebook, name)
    assert found and all("has a picture that" in text for text in found), found


def test_the_guard_names_all_at_once() -> None:
    notebook = read(NOTEBOOKS / f"{NAME}.ipynb")
    for number, lines in ((4, 17), (5, 18)):
        code_of(notebook)[number].source = "\n".join(f"x = {n}" for n in range(lines))
    notebook.cells[0].source += " [gone](99_gone.ipynb)"
    found = "\n".join(guard.complaints(notebook, NAME))
    for words in ("has 17 lines, at most 15", "has 18 lines, at most 15", "99_gone.ipynb"):
        assert words in found


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"text/plain": "a <svg>"}, ""),
        ({"text/plain": "a graph", "text/html": "<svg></svg>"}, "is not compared, as <svg>"),
        ({"text/plain": "a", "image/png": "AAAA"}, "is not compared, as image/png"),
        ({"text/plain": "a", "text/html": f'<img alt="{"a" * 40}" src="data:image/png;base64,AA">'},
         "is not compared, as it is no SVG"),
    ],
)  # fmt: skip
def test_a_picture_that_is_not_compared_is_named(data: dict[str, str], sentence: str) -> None:
    notebook = read(NOTEBOOKS / f"{NAME}.ipynb")
    code_of(notebook)[5].outputs = [new_output("display_data", data)]
    found = [text for text in guard.complaints(notebook, NAME) if "has a picture" in text]
    assert bool(found) == bool(sentence)
    assert all(
        text.endswith(f"' has a picture that {sentence}: use draw or figure") for text in found
    )


def test_a_dag_file_edited_by_hand() -> None:
    committed = DAG_FILE.read_text(encoding="utf-8")
    edited = committed.replace('"retries": 1', '"retries": 2')
    (complaint,) = guard.dag_file_complaints(read_steps(), edited)
    (line,) = [line for line in edited.splitlines() if '"retries": 2' in line]
    number, made = edited.splitlines().index(line) + 1, line.replace('"retries": 2', '"retries": 1')
    differs = f"its line {number} is {line!r}, from the cells comes {made!r}"
    assert complaint == f"dags/gcp_spy.py: {differs}: change the cells, then make dags"


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


@pytest.mark.weekly
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
    done = run_pytest(tmp_path)
    failed = set(re.findall(r"^FAILED \S*?(\w+)\.ipynb", done, re.MULTILINE))
    assert failed == {"output", "edge", "fails", "passes"}, done
    assert "7 passed, 1 skipped" in done, "the cell after the one that raised is not run"


def run_pytest(folder: Path, *words: str) -> str:
    """Run the notebooks of a folder with the project's own settings, and return what was said."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-c", str(ROOT / "pyproject.toml"),
         "--color=no", "--rootdir", str(ROOT), *words, str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_a_cell_that_fails_is_one_red_line_and_the_last_lines_say_the_cure(tmp_path: Path) -> None:
    lines = [f"line {number}: the same before and after, at both ends" for number in range(40)]
    other = [*lines[:20], "line twenty: now it is this", *lines[21:]]
    stored = [new_output("stream", text="\n".join(other) + "\n")]
    cells = [
        new_code_cell(f"lines = {lines!r}\nprint(*lines, sep='\\n')", outputs=stored),
        new_code_cell("1", outputs=[]),
        new_code_cell("raise ValueError('no')", outputs=[]),
        *(new_code_cell(f"missing_{number}", outputs=[]) for number in range(6)),
    ]
    waits = [
        new_code_cell("import threading\nthreading.Event().wait()", outputs=[]),
        *(new_code_cell("2", outputs=[]) for _ in range(6)),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for name, held in (("03_raises", cells), ("05_waits", waits)):
        for number, cell in enumerate(held, 1):
            cell.execution_count = number
        nbformat.write(new_notebook(cells=held, metadata=kernel), tmp_path / f"{name}.ipynb")
    said = run_pytest(tmp_path, "--nbval-cell-timeout=30")
    assert re.findall(r"^FAILED \S*?(\w+\.ipynb::Cell \d+)", said, re.MULTILINE) == [
        "03_raises.ipynb::Cell 0", "03_raises.ipynb::Cell 1", "03_raises.ipynb::Cell 2",
        "05_waits.ipynb::Cell 0",
    ]  # fmt: skip
    assert "4 failed, 12 skipped" in said
    for line in lines + other:
        assert re.search(rf"^ +[-+]? *{re.escape(line)}", said, re.MULTILINE), "a whole difference"
    last = said.split("short test summary info")[1]
    assert "Cells that differ: 03_raises [1] [2]. If they are meant to: make record " in last
    assert 'make record NOTEBOOK="03_raises"\n' in last
    assert "Cells that raised: 03_raises [3]. Correct them" in last
    assert "Cells that ran out of time: 05_waits [1]. Look what each waits for" in last
