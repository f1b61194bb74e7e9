"""`make record`: the only way outputs come into the repository; also dags/, index and README."""

import configparser
import json
import re
from pathlib import Path
from typing import Any

import nbformat

from workshop import dagfile, headless, talk
from workshop.lab import ROOT
from workshop.slides import FILE_NAME, NOTEBOOKS, Step, assemble, code_cells, read_steps

DAG_FILE = ROOT / "dags" / FILE_NAME
README = ROOT / "README.md"
INDEX = NOTEBOOKS / "00_index.ipynb"
MEASURED = "nbval-ignore-output"  # the tag of a cell whose output is figures of one run
RULES = Path(__file__).with_name("nbval.cfg")
MARKS = ("<!-- notebooks: made by `make record` -->\n", "\n<!-- end of notebooks -->")


def dag_file(steps: list[Step]) -> str:
    """Return gcp_spy.py as these `%%slide` cells make it."""
    return assemble({step.part: step.source for step in steps}).text


def readme() -> str:
    """Return the README with its table of notebooks made anew."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    return before + MARKS[0] + talk.notebooks_table("notebooks/") + MARKS[1] + after


def index() -> Any:
    """Return the index notebook, without outputs."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells = [
        new_markdown_cell(
            "# gcp_spy, slide by slide\n\n"
            "This workbook builds the DAG of the talk *Manageable data pipelines with Airflow "
            "(and Kubernetes)* on the Airflow of today. Each notebook follows some of its slides, "
            "and every cell runs: no cloud, no Docker, no network.\n\n"
            "First see whether everything is here. Each line says OK, or what to do."
        ),
        new_code_cell("from workshop.doctor import doctor\n\nready = doctor()"),
        new_markdown_cell(
            "The next cells start a notebook as all others start, build the whole DAG, and run it."
        ),
        new_code_cell('world = "talk"', metadata={"tags": ["parameters"]}),
        new_code_cell("from workshop import catch_up, draw, start\n\nstart(world)"),
        new_code_cell("catch_up(47)\nrun = dag.test()\ndraw(run)"),
        new_markdown_cell(
            "Seven green tasks: Airflow, the drawing of graphs, and the stand-ins for gcloud, "
            "Slack and the mail server all work.\n\n"
            "## The way through\n\n" + talk.notebooks_table() + "\n\n"
            "Run a cell with Shift+Enter. If you fell behind, `catch_up(31)` brings you to the end "
            "of slide 31. The worlds `talk`, `quiet`, `empty`, `busy` and `denied` are files in "
            "the folder `worlds` of your working copy: change them."
        ),
        new_markdown_cell(
            "## Your progress\n\n"
            "Each notebook ends with exercises that check themselves. Run the next cell again to "
            "see which of them you have solved in this working copy."
        ),
        new_code_cell("from workshop import progress\n\nprogress()"),
        new_markdown_cell(
            "## The slides\n\n"
            "*live*: a cell runs. *shown*: the slide repeats the one before and marks something. "
            "*told*: prose.\n\n" + talk.slides_table()
        ),
    ]
    return new_notebook(cells=cells)


def write_generated() -> list[Path]:
    """Write dags/gcp_spy.py, the README's table and the index; return the files that changed."""
    changed = []
    for path, text in ((DAG_FILE, dag_file(read_steps())), (README, readme())):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    notebook = index()
    if not INDEX.exists() or sources(headless.read(INDEX)) != sources(notebook):
        normalise(notebook)
        nbformat.write(notebook, INDEX)
        changed.append(INDEX)
    return changed


def sources(notebook: Any) -> list[tuple[str, str]]:
    """Return kind and source of each cell: what is written by hand, without what a run adds."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def record(path: Path) -> bool:
    """Run a notebook in place, normalise it, and return whether the file changed."""
    before = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(before, as_version=4)
    old = {cell.source: cell.get("outputs") for cell in notebook.cells}
    measured = {cell.source for cell in notebook.cells if MEASURED in cell.metadata.get("tags", [])}
    headless.execute(notebook, path.parent)
    normalise(notebook)
    for cell in notebook.cells:
        # A picture is drawn by this machine's fonts: keep the stored one where it means the same.
        # What is measured differs each time: keep it as long as the cell is the same.
        same = cell.cell_type == "code" and (
            sanitised(cell.outputs) == sanitised(old.get(cell.source))
            or (cell.source in measured and old.get(cell.source))
        )
        if same:
            cell.outputs = old[cell.source]
    after: str = nbformat.writes(notebook) + "\n"
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


def sanitised(outputs: Any) -> str:
    """Return outputs as text without what may differ between machines."""
    rules = configparser.RawConfigParser()
    rules.read(RULES, encoding="utf-8")
    text = json.dumps(outputs, sort_keys=True)
    for section in rules.sections():
        text = re.sub(rules[section]["regex"], rules[section]["replace"], text)
    return text


def normalise(notebook: Any) -> None:
    """Remove from a notebook what a run or a save adds and no reader needs."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "workshop": {"cells": len(notebook.cells)},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    count, taken = 0, set[str]()
    for cell in notebook.cells:
        tags = [tag for tag in cell.metadata.get("tags", []) if tag]
        folded = {"jupyter": {"source_hidden": True}} if "solution" in tags else {}
        cell.metadata = nbformat.from_dict({**folded, **({"tags": tags} if tags else {})})
        cell.id = _readable_id(cell.source, taken)
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = _plain_outputs(cell.outputs, count)


def _plain_outputs(outputs: list[Any], count: int) -> list[Any]:
    plain: list[Any] = []
    for output in outputs:
        widget = output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
        if widget and "text/html" not in output.data:
            continue  # the bar while Airflow starts says nothing later
        if output.output_type == "stream" and plain and plain[-1].get("name") == output.name:
            plain[-1].text += output.text
            continue
        if "metadata" in output:
            output.metadata = {}
        if output.output_type == "execute_result":
            output.execution_count = count
        plain.append(output)
    return plain


def _readable_id(source: str, taken: set[str]) -> str:
    """Return an id for a cell made of its first words: the same as long as they are."""
    words = re.findall(r"[a-z0-9_]+", source.split("\n\n")[0].lower())
    name = base = "-".join(words)[:40].strip("-") or "cell"
    number = 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name)
    return name


def own_dag_files() -> dict[str, str]:
    """Return the `%%dag` cells of the notebooks, by notebook, number and name."""
    found = {}
    for notebook, number, cell in code_cells():
        source = "".join(cell["source"])
        if magic := dagfile.MAGIC.match(source):
            found[f"{notebook}-{number}-{magic[1]}"] = source[magic.end() :].rstrip() + "\n"
    return found


def brought_names() -> list[str]:
    """Return the names that `%%slide` cells bring into a notebook, for ruff, which skips them."""
    import ast

    names = set()
    for source in [step.source for step in read_steps()] + list(own_dag_files().values()):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.alias):
                names.add((node.asname or node.name).split(".")[0])
    return sorted(names | {"dag"})
