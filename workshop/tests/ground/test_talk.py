"""The table of the slides, and the texts made of it."""

import re

import pytest

from workshop.authoring.checking.generated import INDEX, PICTURE, documents, index, picture
from workshop.authoring.checking.headless import read
from workshop.ground import NOTEBOOKS, Problem, talk
from workshop.ground.cells import read_steps
from workshop.ground.talk import PARTS


def test_the_slides_are_numbered_without_a_gap() -> None:
    slides = talk.read_slides()
    assert [slide.number for slide in slides] == list(range(1, len(slides) + 1))
    assert {slide.how for slide in slides} == {"live", "shown", "told"}


def test_every_slide_has_a_notebook_of_the_table() -> None:
    known = [row["notebook"] for row in talk.read_notebooks()]
    assert {slide.notebook for slide in talk.read_slides()} <= set(known)
    assert known == sorted(known)


def test_the_course_and_every_notebook_have_objectives_and_the_index_shows_them() -> None:
    known = [talk.COURSE, *(row["notebook"] for row in talk.read_notebooks())]
    shown = "\n".join(cell.source for cell in read(INDEX).cells)
    for name in known:
        found = talk.objectives(name)
        assert found and all(objective in shown for objective in found), name
    assert {row["notebook"] for row in talk._rows("objectives.csv")} == set(known)


def test_a_notebook_builds_on_earlier_ones_and_each_can_be_reached() -> None:
    known = [row["notebook"] for row in talk.read_notebooks()]
    for needed, by in talk.prerequisites():
        assert known.index(needed) < known.index(by)
    assert {by for _, by in talk.prerequisites()} == set(known[1:])


def test_the_minutes_alone_are_what_they_are_said_to_be_an_estimate_of() -> None:
    for row in talk.read_notebooks():
        cells = read(NOTEBOOKS / f"{row['notebook']}.ipynb").cells
        prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
        words = sum(len(re.sub(r"\]\([^)]*\)", "]", text).split()) for text in prose)
        exercises = sum("### Exercise · " in text for text in prose)
        estimate = words / 150 + (len(cells) - len(prose)) / 2 + 5 * exercises
        assert abs(int(row["alone"]) - estimate) <= 5, f"{row['notebook']}: about {estimate:.0f}"


@pytest.mark.parametrize("number", [0, -1, 1000])
def test_a_slide_that_is_not_there_is_one_sentence(number: int) -> None:
    last = talk.last_slide()
    with pytest.raises(Problem, match=f"There is no slide {number}: the talk has .* 1 to {last}."):
        talk.slide_of(number)
    assert talk.slide_of(last).number == last


def test_every_part_of_the_file_is_written() -> None:
    assert {step.part for step in read_steps()} == set(PARTS)


def test_what_is_made_in_documents_is_there_and_so_is_the_picture() -> None:
    for path, text in documents().items():
        assert path.read_text(encoding="utf-8") == text, "run make dags"
    assert PICTURE.read_text(encoding="utf-8") == picture(), "run make dags"


def test_the_index_is_generated() -> None:
    by_hand, made = (
        [(cell.cell_type, cell.source) for cell in notebook.cells]
        for notebook in (read(INDEX), index())
    )
    assert by_hand == made, "run make dags"
