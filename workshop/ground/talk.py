"""The talk's slides and the workbook's notebooks as data, and the texts made of them."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workshop.ground.problem import Problem

HERE = Path(__file__).parent
# The parts of gcp_spy.py, in the file's order. The talk shows operators before the functions they
# call; a file needs the functions first.
PARTS = tuple((HERE / "parts.txt").read_text(encoding="utf-8").split())


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


def last_slide() -> int:
    """Return the number of the talk's last slide."""
    return read_slides()[-1].number


def slide_of(number: int) -> Slide:
    """Return a slide by its number.

    Raises:
        Problem: the talk has none of this number.
    """
    if not 1 <= number <= last_slide():
        raise Problem(f"There is no slide {number}: the talk has the slides 1 to {last_slide()}.")
    return read_slides()[number - 1]


@cache
def read_slides() -> tuple[Slide, ...]:
    """Return the slides in order."""
    return tuple(
        Slide(
            int(row["slide"]), row["title"], row["notebook"], row["how"], float(row["minutes"]),
            float(row["short"] or 0), row["short how"], row["note"],
        )
        for row in _rows("slides.csv")
    )  # fmt: skip


# Their cells take minutes: `make check-weekly` runs them. Every check runs the LocalExecutor's,
# and tests of the KubernetesExecutor and of the faults.
WEEKLY = ("09_celery_executor", "10_kubernetes_executor", "13_when_things_break")


def with_clusters() -> list[str]:
    """Return the notebooks that start clusters."""
    return [row["notebook"] for row in read_notebooks() if row["clusters"] == "yes"]


def read_notebooks() -> list[dict[str, str]]:
    """Return the notebooks in order, each a row of `notebooks.csv`.

    `minutes` are those of the live plan. `alone` is an estimate in minutes: 150 words a minute,
    half a minute for a cell with code, five for an exercise.
    """
    return _rows("notebooks.csv")


def prerequisites() -> list[tuple[str, str]]:
    """Return which notebook builds on which: pairs of what is needed and what needs it."""
    rows = read_notebooks()
    return [(needed, row["notebook"]) for row in rows for needed in row["needs"].split()]


def _rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


LINK = "[{0}]({0}.ipynb)"  # to a notebook, whose name stands for {0}


def notebooks_table(link: str = LINK) -> str:
    """Return the notebooks as a Markdown table.

    Args:
        link: what leads to a notebook, whose name stands for {0}.
    """
    lines = ["| notebook | slides | minutes live | alone | what happens |", "|" + " --- |" * 5]
    for row in read_notebooks():
        cells = (row[name] for name in ("slides", "minutes", "alone", "what happens"))
        lines.append(f"| {link.format(row['notebook'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


COURSE = "course"  # what stands for the whole course among the objectives


def objectives(of: str = COURSE) -> list[str]:
    """Return what a learner can do after a notebook, or after the talk's pipeline is whole.

    Args:
        of: the notebook's name without the ending, or COURSE.
    """
    return [row["objective"] for row in _rows("objectives.csv") if row["notebook"] == of]


def objectives_list() -> str:
    """Return what a learner can do after the course as a Markdown list."""
    return "\n".join(f"- {objective}" for objective in objectives())


def objectives_table(link: str = LINK) -> str:
    """Return what a learner can do after each notebook as a Markdown table.

    Args:
        link: what leads to a notebook, whose name stands for {0}.
    """
    lines = ["| notebook | after it you can |", "| --- | --- |"]
    for row in read_notebooks():
        name = row["notebook"]
        lines.append(f"| {link.format(name)} | {'; '.join(objectives(name))} |")
    return "\n".join(lines)


def slides_table(title: str = "{0.title}", link: str = LINK) -> str:
    """Return the slides as a Markdown table.

    Args:
        title: how a slide's title is shown; the `Slide` stands for {0}.
        link: what leads to its notebook, whose name stands for {0}.
    """
    lines = ["| slide | title | notebook | what happens |", "| --- | --- | --- | --- |"]
    for slide in read_slides():
        shown, page = title.format(slide), link.format(slide.notebook)
        lines.append(f"| {slide.number} | {shown} | {page} | {slide.how} |")
    return "\n".join(lines)
