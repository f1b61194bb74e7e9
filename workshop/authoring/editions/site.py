"""`make site`: the stored notebooks as a book of pages, built by Sphinx; no cell is run."""

import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

import nbformat

from workshop.authoring.checking.headless import read
from workshop.authoring.editions.pages import fold_solutions
from workshop.authoring.editions.replays import RUNS, graph_of, replay
from workshop.ground import BUILD, NOTEBOOKS, ROOT, Problem, notebooks
from workshop.ground.cells import HEADING, slides_of
from workshop.ground.packages import SITE_LOCK, install
from workshop.ground.talk import (
    notebooks_table,
    objectives_list,
    objectives_table,
    read_notebooks,
    slides_table,
)

SITE = BUILD / "site"
BOOK = Path(__file__).with_name("book")  # Sphinx's settings, and the pages that are no notebook
# The first page shows the run of this notebook.
SHOWN = "06_the_whole_dag"
TITLED = "[]({0}.ipynb)"  # a link that Sphinx shows with the title of its page


def write_site(folder: Path = SITE) -> Path:
    """Build the pages in a folder, and return the first.

    Raises:
        Problem: Sphinx cannot be fetched, or it complains of a page.
    """
    _sphinx_ready()
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="gcp_spy-site-") as work:
        source = Path(work) / "source"
        write_sources(source)
        sphinx = [
            sys.executable, "-m", "sphinx", "--builder", "html", "--quiet",
            "--fail-on-warning", "--conf-dir", BOOK, "--doctree-dir", Path(work) / "doctrees",
            source, folder,
        ]  # fmt: skip
        if subprocess.call([*map(str, sphinx)], cwd=ROOT):
            raise Problem("The site is not complete: correct what Sphinx says above.")
    return folder / "index.html"


def _sphinx_ready() -> None:
    """Install Sphinx from its own lock where it is not there yet.

    Raises:
        Problem: it cannot be fetched.
    """
    if not find_spec("myst_nb"):
        print("Installing what builds the site, once.", flush=True)
        if not install(SITE_LOCK):
            raise Problem("Sphinx could not be fetched; the reason stands above.")


def write_sources(folder: Path) -> None:
    """Write what Sphinx reads: a page for each notebook, and those that are no notebook.

    The index notebook has no page: the first page and that of the slides stand in its place.
    """
    folder.mkdir(parents=True)
    for path in notebooks()[1:]:
        nbformat.write(as_page(read(path), path.stem), folder / path.name)
    rows = read_notebooks()
    made = {
        "notebooks": notebooks_table(TITLED),
        "course": objectives_list(),
        "objectives": objectives_table(TITLED),
        "slides": slides_table("[{0.title}](#slide-{0.number})", TITLED),
        "replay": _first_replay(),
        "prerequisites": _prerequisites(),
        "talk": "\n".join(row["notebook"] for row in rows if row["slides"] != "beyond"),
        "beyond": "\n".join(row["notebook"] for row in rows if row["slides"] == "beyond"),
    }
    for page in BOOK.glob("*.md"):
        text = Template(page.read_text(encoding="utf-8")).substitute(made)
        (folder / page.name).write_text(text, encoding="utf-8")


def as_page(notebook: Any, name: str) -> Any:
    """Return a notebook as Sphinx shall show it.

    Its solutions are folded, its slides are places to link to, and its graph replays a run.

    Args:
        notebook: as nbformat reads it; it is changed.
        name: its file's name without the ending.
    """
    fold_solutions(notebook)
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            source = HEADING.sub(_with_anchors, cell.source)
            cell.source = source.replace("(00_index.ipynb)", "(index.md)")
    if name in RUNS:
        shown = graph_of(notebook, name)
        shown["text/html"] = replay(name, shown["text/html"])
    return notebook


def _with_anchors(heading: re.Match[str]) -> str:
    return "".join(f"(slide-{slide})=\n" for slide in slides_of(heading)) + heading[0]


def _prerequisites() -> str:
    """Return the picture in the index of which notebook builds on which, as HTML."""
    drawn = next(cell for cell in read(notebooks()[0]).cells if "prerequisites" in cell.source)
    return str(drawn.outputs[0].data["text/html"])


def _first_replay() -> str:
    """Return what replays the run that the first page shows, as HTML."""
    shown = graph_of(read(NOTEBOOKS / f"{SHOWN}.ipynb"), SHOWN)
    return replay(SHOWN, shown["text/html"])
