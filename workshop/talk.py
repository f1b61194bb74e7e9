"""The talk's 57 slides and the workbook's notebooks as data, and the texts made of them."""

import csv
from dataclasses import dataclass
from pathlib import Path

from workshop.slides import NOTEBOOKS

HERE = Path(__file__).parent
# They start clusters and need packages of their own: `make check-executors` runs them.
WITH_CLUSTERS = (
    "08_local_executor",
    "09_celery_executor",
    "10_kubernetes_executor",
    "13_when_things_break",
)


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
    ranges: list[str] = []
    for row in read_notebooks():
        if notebook_path(row["notebook"]).exists():
            ranges.append(row["slides"])
    return f"the notebooks that are there cover the slides {', '.join(ranges)}."


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
