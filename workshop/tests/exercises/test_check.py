"""`check` and `progress`: every exercise of a notebook is found in the file with its name."""

import json
import re
from typing import Any

import pytest

from workshop.exercises import Verdict, check, every, progress
from workshop.ground import Problem, notebooks
from workshop.slides import Builder

CHECK = re.compile(r'^check\("(\w+)"', re.MULTILINE)


def checked(cells: list[dict[str, Any]]) -> list[str]:
    """Return what a notebook checks, in its order; each heading of an exercise must check one."""
    names: list[str] = []
    for cell in cells:
        source = "".join(cell["source"])
        if "### Exercise · " in source:
            names.append("")
        if cell["cell_type"] == "code" and (found := CHECK.search(source)):
            assert names[-1] in ("", found[1])
            names[-1] = found[1]
    return names


def test_every_heading_of_an_exercise_has_its_judge_in_the_file_of_its_notebook() -> None:
    asked = {
        path.stem: checked(json.loads(path.read_text(encoding="utf-8"))["cells"])
        for path in notebooks()
    }
    assert [(notebook, name) for notebook, names in asked.items() for name in names] == [
        (notebook, name) for notebook, name, _ in every()
    ]


def test_progress_has_a_row_for_each_exercise(builder: Builder) -> None:
    rows = progress()
    assert list(rows["notebook"]) == [notebook for notebook, _, _ in every()]
    assert list(rows["exercise"]) == [made.title for _, _, made in every()]
    check("how_many", 22)
    assert list(progress()["solved"]).count("✓") == 1


def test_an_unknown_exercise_names_the_nearest(builder: Builder) -> None:
    with pytest.raises(Problem, match="Did you mean 'weekdays'"):
        check("weekday")


def test_a_verdict_is_escaped() -> None:
    assert "&lt;b&gt;no" in Verdict("not yet", "<b>no</b>")._repr_html_()
