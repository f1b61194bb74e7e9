"""The guard: what a stored notebook must hold, and what it must not."""

import copy
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from workshop import headless, record, talk
from workshop.lab import ROOT
from workshop.slides import NOTEBOOKS, read_steps

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
HEADING = re.compile(r"^## Slides? (\d+)(?:–(\d+))? · \S", re.MULTILINE)
OF_ONE_MACHINE = re.compile(
    r"/home/|/root/|/Users/|/tmp/|/var/folders/|gcp_spy-\w|127\.0\.0\.1:\d|localhost:\d"
)
SECRETS = re.compile(r"/services/T\w+|hooks\.slack\.com|xox[abp]-|token=|BEGIN [A-Z ]*PRIVATE KEY")

pytestmark = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[Any]:
    """Return the code cells of a notebook."""
    return [cell for cell in headless.read(path).cells if cell.cell_type == "code"]


def texts(path: Path) -> list[str]:
    """Return every text that a cell shows, in each of its forms, less the data of pictures."""
    found = []
    for cell in code_cells(path):
        for output in cell.outputs:
            forms = [output.get("text", ""), *output.get("data", {}).values()]
            found += [re.sub(r"base64,[A-Za-z0-9+/=]+", "", str(form)) for form in forms]
    return found


def slides_of(heading: re.Match[str]) -> range:
    """Return the slides that a heading names."""
    return range(int(heading[1]), int(heading[2] or heading[1]) + 1)


def test_every_cell_was_run_in_order(path: Path) -> None:
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "run make record"


def test_every_cell_shows_something(path: Path) -> None:
    silent = [c.source for c in code_cells(path) if not c.outputs and c.source != 'world = "talk"']
    assert not silent, "run make record; a cell without output teaches nothing"


def test_no_cell_failed(path: Path) -> None:
    kinds = {output.output_type for cell in code_cells(path) for output in cell.outputs}
    assert "error" not in kinds
    streams = {output.get("name") for cell in code_cells(path) for output in cell.outputs}
    assert "stderr" not in streams, "a warning is not a lesson"


def test_nothing_of_one_machine(path: Path) -> None:
    own = {str(ROOT), str(Path.home())} - {"/"}
    for text in texts(path):
        assert not OF_ONE_MACHINE.search(text), text
        assert not [name for name in own if name in text], text


def test_no_secret(path: Path) -> None:
    for text in texts(path) + [cell.source for cell in code_cells(path)]:
        assert not SECRETS.search(text), text


def test_pictures_have_words(path: Path) -> None:
    for cell in code_cells(path):
        for output in cell.outputs:
            markup = str(output.get("data", {}).get("text/html", ""))
            for image in re.findall(r"<img\b[^>]*>", markup):
                assert re.search(r'alt="[^"]{10,}"', image)
                assert output.data["text/plain"].strip()


def test_cells_are_small(path: Path) -> None:
    lengths = [len(cell.source.splitlines()) for cell in code_cells(path)]
    assert max(lengths) <= 15
    assert statistics.median(lengths) <= 3
    assert sum(length <= 8 for length in lengths) >= 0.85 * len(lengths)
    assert len(headless.read(path).cells) <= 50


def test_one_cell_of_parameters(path: Path) -> None:
    tagged = [c.source for c in code_cells(path) if "parameters" in c.metadata.get("tags", [])]
    assert tagged == ['world = "talk"']


def test_it_is_normalised(path: Path) -> None:
    notebook = headless.read(path)
    again = copy.deepcopy(notebook)
    record.normalise(again)
    assert again == notebook, "run make record"


def test_links_lead_somewhere(path: Path) -> None:
    for cell in headless.read(path).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#]+)", cell.source):
                assert (NOTEBOOKS / target).exists(), f"no {target}"


def test_every_slide_has_its_place(path: Path) -> None:
    prose = "\n".join(c.source for c in headless.read(path).cells if c.cell_type == "markdown")
    found = [number for heading in HEADING.finditer(prose) for number in slides_of(heading)]
    expected = [slide.number for slide in talk.read_slides() if slide.notebook == path.stem]
    assert found == expected


def test_cells_agree_with_their_heading(path: Path) -> None:
    current: range = range(0)
    live: set[int] = set()
    for cell in headless.read(path).cells:
        if cell.cell_type == "markdown":
            for heading in HEADING.finditer(cell.source):
                current = slides_of(heading)
        else:
            live |= set(current)
            if cell.source.startswith("%%slide"):
                assert int(cell.source.split()[1]) in current, cell.source
    for slide in talk.read_slides():
        if slide.notebook == path.stem and slide.how == "live":
            assert slide.number in live, f"slide {slide.number} is live, but no cell runs there"


def test_the_person_of_the_slides_stays_out(path: Path) -> None:
    assert "przedwojski" not in path.read_text(encoding="utf-8").lower()
    assert "polidea.com" not in path.read_text(encoding="utf-8")


def test_every_lesson_writes_the_file(path: Path) -> None:
    steps = [step for step in read_steps() if step.notebook == path.name]
    assert bool(steps) == (path != record.INDEX)
