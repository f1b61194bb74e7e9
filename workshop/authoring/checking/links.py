"""Where a notebook's links lead: to a notebook that is there, its heading, the next, a page."""

import csv
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import requests

from workshop.authoring.checking.headless import read
from workshop.ground import NOTEBOOKS
from workshop.ground.talk import prerequisites, read_notebooks

INDEX = "00_index"
# Pages outside that a notebook may lead to, and where each address is from.
PAGES = Path(__file__).with_name("pages.csv")
SECONDS = 60.0  # a page has this long to answer
NOT_FOR_PROGRAMS = (401, 403, 429)  # a site that wants a person says so
LINK = re.compile(r"\[([^]]*)\]\(([^)\s]+)[^)]*\)")
TARGETS = (LINK, re.compile(r"^\[([^]]+)\]:\s*(\S+)", re.MULTILINE),
           re.compile(r"<a\b([^>]*?)\bhref=[\"']?([^\"'\s>]+)"))  # fmt: skip
TITLE = re.compile(r"\d+ · .*")
HEADINGS = re.compile(r"^#+ (.+?) *$", re.MULTILINE)
OWN_ANCHORS = re.compile(r"<\w+\b[^>]*\b(?:id|name)=[\"']?([^\"'\s>]+)")


def link_flaws(notebook: Any, name: str) -> Iterator[str]:
    """Return which links of a notebook lead nowhere, or elsewhere than they say.

    Args:
        notebook: as nbformat reads it.
        name: its file's name without the ending.
    """
    title, number = _headings(notebook)[:1], name.partition("_")[0].lstrip("0")
    if name != INDEX and not (title and title[0].startswith(f"{number} · ")):
        yield f"its title is {title}: begin it with '# {number} · '"
    for label, target in _links(notebook):
        file, _, anchor = target.partition("#")
        path = NOTEBOOKS / (file or f"{name}.ipynb")
        if re.match(r"\w+:", target):
            if target not in read_pages():
                where = f"a link leads to {target}, which {PAGES.name} does not list"
                yield f"{where}: name it in words, or open the page and add it"
        elif not path.resolve().is_relative_to(NOTEBOOKS):
            yield f"a link leads to {target}, which a working copy lacks: correct the link"
        elif not path.exists():
            yield f"a link leads to {target}, which is not there: correct the link"
        elif anchor and anchor not in (anchors(path) if file else _anchors_of(notebook)):
            yield f"a link leads to the heading #{anchor}, which is not there: correct the link"
        elif TITLE.match(label) and label != (there := _title(path)):
            yield f"a link calls {file} '{label}', its title is '{there}': correct one"
    yield from _needed(notebook, name)
    yield from _next(notebook, name)


@cache
def read_pages() -> dict[str, str]:
    """Return the source of each page's address: the talk, a file, a package, or the page itself."""
    with PAGES.open(encoding="utf-8", newline="") as file:
        return {row["address"]: row["source"] for row in csv.DictReader(file)}


def open_pages() -> bool:
    """Open each page outside, print what is wrong, and return whether each could be opened.

    A site that lets no program in is named, so that a person opens its page.
    """
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(read_pages(), pool.map(_ask, read_pages()), strict=True))
    gone = {page: answer for page, answer in answers.items() if answer}
    for page, answer in gone.items():
        if answer in NOT_FOR_PROGRAMS:
            print(f"Open it yourself, the site lets no program in ({answer}): {page}")
        else:
            print(f"{answer}: {page}, from {read_pages()[page]}")
    broken = [page for page, answer in gone.items() if answer not in NOT_FOR_PROGRAMS]
    print(f"{len(answers) - len(gone)} of {len(answers)} pages answer.")
    if broken:
        print(f"Correct those above in the notebooks and in {PAGES.name}, or name them in words.")
    return not broken


def _ask(page: str) -> int | str:
    """Return what is wrong with a page's answer: its status, or why there is none; else nothing."""
    words = {"User-Agent": "gcp_spy workbook, check of links"}
    try:
        with requests.get(page, headers=words, timeout=SECONDS, stream=True) as answer:
            return "" if answer.ok else answer.status_code
    except requests.RequestException as error:
        return type(error).__name__


def _needed(notebook: Any, name: str) -> Iterator[str]:
    """Return which of the notebooks that this one builds on its first cell does not lead to."""
    first = notebook.cells[0].source if notebook.cells else ""
    for needed, by in prerequisites():
        if by == name and f"({needed}.ipynb)" not in first:
            yield f"notebooks.csv says that it needs {needed}, its first cell does not: correct one"


def _next(notebook: Any, name: str) -> Iterator[str]:
    """Return whether the last cell leads to another notebook than the one that follows."""
    order = [row["notebook"] for row in read_notebooks()]
    if name not in order:
        return
    after = [*order, INDEX][order.index(name) + 1]
    last = notebook.cells[-1].source if notebook.cells else ""
    leads = [target for line in last.splitlines() if line.startswith("Next: ")
             for _, target in LINK.findall(line)]  # fmt: skip
    if leads != [f"{after}.ipynb"]:
        yield f"its last cell leads to {leads}, next is {after}.ipynb: write 'Next: ' and its link"


def _links(notebook: Any) -> Iterator[tuple[str, str]]:
    """Return words and target of each link, in prose and in what cells show."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", cell.source, flags=re.M | re.S)
            yield from (found for pattern in TARGETS for found in pattern.findall(prose))
        for output in cell.get("outputs", []):
            yield from TARGETS[-1].findall(str(output.get("data", {}).get("text/html", "")))


def _headings(notebook: Any) -> list[str]:
    prose = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return [heading for source in prose for heading in HEADINGS.findall(source)]


def _anchors_of(notebook: Any) -> set[str]:
    """Return where links can lead: a heading's words, with `-` for blanks, or a cell's id."""
    own = {anchor for cell in notebook.cells for anchor in OWN_ANCHORS.findall(cell.source)}
    cells = {f"cell-id={cell.get('id')}" for cell in notebook.cells}
    return own | cells | {heading.replace(" ", "-") for heading in _headings(notebook)}


@cache
def anchors(path: Path) -> set[str]:
    """Return where links into a notebook's file can lead."""
    return _anchors_of(read(path))


@cache
def _title(path: Path) -> str:
    return _headings(read(path))[0]
