"""`make dags`: the files that are made from the notebooks and the tables of the talk."""

from pathlib import Path
from string import Template
from typing import Any

import nbformat

from workshop.authoring.checking.headless import read
from workshop.authoring.checking.recording import normalise
from workshop.ground import NOTEBOOKS, ROOT
from workshop.ground.cells import Step, read_steps
from workshop.ground.talk import (
    notebooks_table,
    objectives_list,
    objectives_table,
    read_slides,
    slides_table,
)
from workshop.sandbox import known_worlds
from workshop.slides import assemble
from workshop.slides.assembly import FILE_NAME

DAG_FILE = ROOT / "dags" / FILE_NAME
README = ROOT / "README.md"
INDEX = NOTEBOOKS / "00_index.ipynb"
INDEX_TEMPLATE = Path(__file__).with_name("index.md")
# What stands in the README before and behind a text that is made.
NOTEBOOKS_MARKS = ("<!-- notebooks: made by `make record` -->\n", "\n<!-- end of notebooks -->")
WORLDS_MARKS = ("<!-- worlds: made by `make record` -->", "<!-- end of worlds -->")


def dag_file(steps: list[Step]) -> str:
    """Return gcp_spy.py as these `%%slide` cells make it."""
    return assemble({step.part: step.source for step in steps}).text


def readme() -> str:
    """Return the README with its table of notebooks, and its list of worlds, made anew."""
    text = README.read_text(encoding="utf-8")
    made = {NOTEBOOKS_MARKS: notebooks_table("[{0}](notebooks/{0}.ipynb)"), WORLDS_MARKS: worlds()}
    for marks, new in made.items():
        before, begin, rest = text.partition(marks[0])
        _, end, after = rest.partition(marks[1])
        text = before + begin + new + end + after
    return text


def worlds() -> str:
    """Return the names of the worlds as a part of a sentence."""
    *names, last = [f"`{name}`" for name in known_worlds()]
    return f"{', '.join(names)} and {last}"


def index() -> Any:
    """Return the index notebook; a cell has its stored outputs while its source is the same."""
    import jupytext

    last = Path(read_steps()[-1].notebook).stem  # here the DAG file becomes whole
    template = Template(INDEX_TEMPLATE.read_text(encoding="utf-8"))
    text = template.substitute(
        whole=max(slide.number for slide in read_slides() if slide.notebook == last),
        notebooks=notebooks_table(),
        course=objectives_list(),
        objectives=objectives_table(),
        worlds=worlds(),
        slides=slides_table(),
    )
    notebook = jupytext.reads(text, "md")
    normalise(notebook)
    if INDEX.exists():
        stored = {(cell.id, cell.source): cell.get("outputs") for cell in read(INDEX).cells}
        for cell in notebook.cells:
            if outputs := stored.get((cell.id, cell.source)):
                cell.outputs = outputs
        normalise(notebook)  # their numbers too
    return notebook


def write_generated() -> None:
    """Write dags/gcp_spy.py, the README's table and the index; print the files that changed."""
    notebook = nbformat.writes(index()) + "\n"
    for path, text in ((DAG_FILE, dag_file(read_steps())), (README, readme()), (INDEX, notebook)):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
