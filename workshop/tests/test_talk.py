"""The table of the slides, and the texts made of it."""

from workshop import headless, record, talk
from workshop.slides import PARTS, read_steps


def test_there_are_57_slides() -> None:
    assert [slide.number for slide in talk.read_slides()] == list(range(1, 58))
    assert {slide.how for slide in talk.read_slides()} == {"live", "shown", "told"}


def test_every_slide_has_a_notebook_of_the_table() -> None:
    known = [row["notebook"] for row in talk.read_notebooks()]
    assert {slide.notebook for slide in talk.read_slides()} <= set(known)
    assert known == sorted(known)


def test_slides_that_are_not_built_say_so() -> None:
    table = talk.slides_table()
    for slide in talk.read_slides():
        row = next(line for line in table.splitlines() if line.startswith(f"| {slide.number} |"))
        assert row.endswith("| not yet built |") != slide.is_built


def test_every_part_of_the_file_is_written() -> None:
    assert {step.part for step in read_steps()} == set(PARTS)


def test_the_readme_has_the_table() -> None:
    assert record.README.read_text(encoding="utf-8") == record.readme(), "run make dags"


def test_the_index_is_generated() -> None:
    stored = record.sources(headless.read(record.INDEX))
    assert stored == record.sources(record.index()), "run make record"
