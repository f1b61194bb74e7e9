"""The talk's 57 slides and the workbook's notebooks as data, and the texts made of them."""

import csv
import json
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from workshop.problem import Problem
from workshop.slides import HEADING, NOTEBOOKS, slides_of

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Slide:
    """A slide of the talk: where it is in the workbook, and what happens there."""

    number: int
    title: str
    notebook: str
    how: str  # live: a cell runs; shown: repeats the slide before; told: prose
    minutes: float  # in the plan of ninety minutes
    short: float  # in the plan of forty-five; none: left out
    short_how: str
    note: str  # for the presenter

    @property
    def is_built(self) -> bool:
        """Whether its notebook is there already."""
        return notebook_path(self.notebook).exists()


def which_are_built() -> str:
    """Return a sentence that says which slides have a notebook."""
    built = [slide.number for slide in read_slides() if slide.is_built]
    return f"the notebooks that are there cover the slides {built[0]} to {built[-1]}."


def notebook_path(name: str) -> Path:
    """Return the file of a notebook, by its name without an ending."""
    return NOTEBOOKS / f"{name}.ipynb"


def read_slides() -> list[Slide]:
    """Return the 57 slides in order."""
    return [
        Slide(
            int(row["slide"]),
            row["title"],
            row["notebook"],
            row["how"],
            float(row["minutes"]),
            float(row["short"] or 0),
            row["short how"],
            row["note"],
        )
        for row in _rows("slides.csv")
    ]


def page_of(slide: int) -> str:
    """Return the notebook's file that has a slide, with the heading to scroll to.

    Raises:
        Problem: no notebook is built for that slide.
    """
    row = next((row for row in read_slides() if row.number == slide), None)
    if not row or not row.is_built:
        raise Problem(f"There is no notebook for slide {slide}: {which_are_built()}")
    for cell in json.loads(notebook_path(row.notebook).read_text(encoding="utf-8"))["cells"]:
        for heading in HEADING.finditer("".join(cell["source"])):
            if slide in slides_of(heading):
                line = "".join(cell["source"])[heading.start() :].splitlines()[0]
                # JupyterLab's own names for headings: their text, with a dash for each blank.
                anchor = urllib.parse.quote(line.removeprefix("## ").replace(" ", "-"))
                return f"{row.notebook}.ipynb#{anchor}"
    raise Problem(f"The notebook {row.notebook} has no heading for slide {slide}.")


def read_notebooks() -> list[dict[str, str]]:
    """Return the notebooks in order: notebook, slides, minutes, what happens."""
    return _rows("notebooks.csv")


def _rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def notebooks_table(folder: str = "") -> str:
    """Return the notebooks as a Markdown table; those that exist are links.

    Args:
        folder: what stands before a file's name in a link.
    """
    lines = ["| notebook | slides | minutes live | what happens |", "| --- | --- | --- | --- |"]
    for row in read_notebooks():
        name, what = row["notebook"], row["what happens"]
        if notebook_path(name).exists():
            name = f"[{name}]({folder}{name}.ipynb)"
        else:
            what += " (not yet built)"
        lines.append(f"| {name} | {row['slides']} | {row['minutes']} | {what} |")
    return "\n".join(lines)


def slides_table() -> str:
    """Return the slides as a Markdown table; the notebooks that exist are links."""
    lines = ["| slide | title | notebook | what happens |", "| --- | --- | --- | --- |"]
    for slide in read_slides():
        link = f"[{slide.notebook}]({slide.notebook}.ipynb)" if slide.is_built else slide.notebook
        how = slide.how if slide.is_built else "not yet built"
        lines.append(f"| {slide.number} | {slide.title} | {link} | {how} |")
    return "\n".join(lines)
