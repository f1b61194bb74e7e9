"""Every stored notebook pleases the guard."""

from pathlib import Path

import pytest

from workshop.authoring.checking.generated import INDEX
from workshop.authoring.checking.guard import complaints
from workshop.authoring.checking.headless import read
from workshop.ground import NOTEBOOKS, notebooks
from workshop.ground.talk import read_notebooks

PATHS = notebooks()
LESSONS = [path for path in PATHS if path != INDEX]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_guard_has_no_complaint(path: Path) -> None:
    assert complaints(read(path), path.stem) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_opens_and_closes_as_all_do(path: Path) -> None:
    rows = {row["notebook"]: row for row in read_notebooks()}
    row, cells = rows[path.stem], read(path).cells
    slides = f"Slide{'s' if '–' in row['slides'] else ''} {row['slides']}"
    live = f"**{slides} · {row['minutes']} minutes live**"
    beyond = "**Beyond the talk · at your own pace**"
    assert (beyond if row["slides"] == "beyond" else live) in cells[0].source
    assert "You will" in cells[0].source
    assert "You need" in cells[0].source
    assert any(cell.source.startswith("## What you have now") for cell in cells)
    exercises = [cell for cell in cells if "### Exercise · " in cell.source]
    assert 2 <= len(exercises) <= 4
    assert "Next: " in cells[-1].source


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_person_of_the_slides_stays_out(path: Path) -> None:
    text = path.read_text(encoding="utf-8").lower()
    assert "przedwojski" not in text
    assert "polidea.com" not in text


def test_what_12_breaks_is_seen_to_break() -> None:
    """It puts faults into the DAG: recording would store that nothing noticed them."""
    cells = read(NOTEBOOKS / "12_gcp_spy_today.ipynb").cells
    faulty = [cell for cell in cells if "dag_file.write_text(source.replace(" in cell.source]
    assert len(faulty) == 2
    for cell in faulty:
        assert "\nFAILED test_gcp_spy_today.py::" in cell.outputs[0].text
