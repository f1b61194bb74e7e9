"""The cells of the workbook's own notebooks, from their files: slides, exercises, DAG files."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from workshop.ground.paths import notebooks
from workshop.ground.problem import Problem
from workshop.ground.talk import PARTS, slide_of
from workshop.ground.words import known

SLIDE = re.compile(r"%%slide[ \t]+(\d+)[ \t]+(\w+)[ \t]*\n")
EXERCISE = re.compile(r"%%(exercise|solution)[ \t]+(\w+)[ \t]+(\w+)[ \t]*\n")
OWN_FILE = re.compile(r"%%dag[ \t]+(\w+)[ \t]*\n")
CELL_MAGIC = re.compile(r"\A%%.*\n?")
# A cell whose magic takes something else than Python.
NO_PYTHON = re.compile(r"%%(?!dag\b|slide\b|exercise\b|solution\b|writefile \S+\.py\n)")
CHECK = re.compile(r'^check\("(\w+)"', re.MULTILINE)
EXERCISE_HEADING = re.compile(r"^### (Exercise · (.+?)) *$", re.MULTILINE)
HEADING = re.compile(r"^## Slides? (\d+)(?:–(\d+))? · \S", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """One `%%slide` cell: what it writes, and where it stands."""

    slide: int
    part: str
    source: str
    notebook: str = ""
    cell: int = 0


def code_cells() -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Return file, number and content of each code cell of the workbook's own notebooks.

    Raises:
        Problem: a notebook cannot be read.
    """
    for path in notebooks():
        for number, cell in enumerate(_cells(path)):
            if cell["cell_type"] == "code":
                yield path.name, number, cell


def _cells(path: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["cells"])
    except (OSError, ValueError, KeyError) as error:
        raise Problem(f"The notebook {path.name} cannot be read: {error}") from None


def exercise_headings() -> dict[str, tuple[str, str, str]]:
    """Return of each exercise where its heading is: its notebook, its title, and its cell's id.

    Raises:
        Problem: a notebook cannot be read.
    """
    found: dict[str, tuple[str, str, str]] = {}
    for path in notebooks():
        heading = None
        for cell in _cells(path):
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                if titled := EXERCISE_HEADING.search(source):
                    heading = path.stem, titled[2], cell["id"]
            elif heading and (checked := CHECK.search(source)):
                found.setdefault(checked[1], heading)
    return found


def python_of(source: str) -> str:
    """Return a cell's Python, its commands and magics as the calls that IPython makes of them.

    Args:
        source: the cell; of a magic that takes something else than Python nothing is returned.
    """
    if NO_PYTHON.match(source):
        return ""
    return str(TransformerManager().transform_cell(CELL_MAGIC.sub("", source)))


def read_steps() -> list[Step]:
    """Return the `%%slide` cells of the workbook's own notebooks, in the talk's order.

    Raises:
        Problem: a notebook cannot be read, or a cell's magic names no slide or part.
    """
    steps = []
    for name, number, cell in code_cells():
        source = "".join(cell["source"])
        if source.startswith("%%slide"):
            magic = SLIDE.match(source)
            if not magic:
                raise Problem(f"{name}, cell {number}: write '%%slide N part' first.")
            slide, part = parse_slide(magic[1] + " " + magic[2])
            steps.append(Step(slide, part, source[magic.end() :], name, number))
    return steps


def read_attempts(kind: str) -> dict[str, dict[str, str]]:
    """Return the parts of the workbook's exercises by name: as set, or as solved.

    Args:
        kind: "exercise" or "solution".
    """
    found: dict[str, dict[str, str]] = {}
    for _, _, cell in code_cells():
        source = "".join(cell["source"])
        magic = EXERCISE.match(source)
        if magic and magic[1] == kind:
            found.setdefault(magic[2], {})[magic[3]] = source[magic.end() :]
    return found


def parse_slide(line: str) -> tuple[int, str]:
    """Return slide and part of the words behind `%%slide`.

    Raises:
        Problem: they are not a slide's number and a part's name.
    """
    words = line.split()
    if len(words) != 2 or not words[0].isdigit():
        raise Problem("Write '%%slide N part', for example '%%slide 24 dag'.")
    return slide_of(int(words[0])).number, known(words[1], PARTS, "part")


def parse_exercise(line: str) -> tuple[str, str]:
    """Return exercise and part of the words behind `%%exercise`.

    Raises:
        Problem: they are not an exercise's and a part's name.
    """
    words = line.split()
    if len(words) != 2:
        raise Problem("Write '%%exercise NAME part', for example '%%exercise weekdays dag'.")
    name = known(words[0], list(read_attempts("exercise")), "exercise")
    return name, known(words[1], PARTS, "part")


def slides_of(heading: re.Match[str]) -> range:
    """Return the slides that a heading names."""
    return range(int(heading[1]), int(heading[2] or heading[1]) + 1)


def is_solution(cell: Any) -> bool:
    """Return whether a cell belongs to the workbook's solution of an exercise."""
    return "solution" in cell["metadata"].get("tags", [])
