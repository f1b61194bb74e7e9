"""`make dags`: the files that are made from the notebooks and the tables of the talk."""

import base64
import re
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
BOOK = ROOT / "workshop" / "authoring" / "editions" / "book"
STAND_INS = BOOK / "stand_ins.md"
PICTURE = BOOK / "gcp_spy.svg"  # the README shows it
PICTURED = "06_the_whole_dag"
DRAWN = re.compile(
    r'alt="Graph of the DAG gcp_spy \[success\].*?data:image/svg\+xml;base64,([^"]+)'
)
# What stands in a document before and behind a text that is made.
NOTEBOOKS_MARKS = ("<!-- notebooks: made by `make record` -->\n", "\n<!-- end of notebooks -->")
WORLDS_MARKS = ("<!-- worlds: made by `make record` -->", "<!-- end of worlds -->")


def dag_file(steps: list[Step]) -> str:
    """Return gcp_spy.py as these `%%slide` cells make it."""
    return assemble({step.part: step.source for step in steps}).text


def documents() -> dict[Path, str]:
    """Return each document that holds a text that is made, with that text made anew."""
    made = {
        README: (NOTEBOOKS_MARKS, notebooks_table("[{0}](notebooks/{0}.ipynb)")),
        STAND_INS: (WORLDS_MARKS, worlds()),
    }
    texts = {}
    for path, (marks, new) in made.items():
        before, begin, rest = path.read_text(encoding="utf-8").partition(marks[0])
        _, end, after = rest.partition(marks[1])
        texts[path] = before + begin + new + end + after
    return texts


def picture() -> str:
    """Return the graph of the whole DAG after a run, as its notebook shows it, as SVG."""
    cells = read(NOTEBOOKS / f"{PICTURED}.ipynb").cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    shown = (str(output.get("data", {}).get("text/html", "")) for output in outputs)
    drawn = next(found for html in shown if (found := DRAWN.search(html)))
    return base64.b64decode(drawn[1]).decode()


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
    """Write dags/gcp_spy.py, the index, and what is made in documents; print what changed."""
    texts = {DAG_FILE: dag_file(read_steps()), INDEX: nbformat.writes(index()) + "\n"}
    for path, text in (texts | documents() | {PICTURE: picture()}).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
