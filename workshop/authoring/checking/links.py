"""Where a notebook's links lead: to a notebook that is there, its heading, its title, the next."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from workshop.authoring.checking.headless import read
from workshop.ground import NOTEBOOKS
from workshop.ground.talk import read_notebooks

INDEX = "00_index"
# Pages outside that a notebook may lead to; whoever adds one has opened it.
PAGES = Path(__file__).with_name("pages.txt")
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
            if target not in PAGES.read_text(encoding="utf-8").split():
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
    yield from _next(notebook, name)


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
    """Return where links can lead: JupyterLab and nbconvert write a heading's blanks as `-`."""
    own = {anchor for cell in notebook.cells for anchor in OWN_ANCHORS.findall(cell.source)}
    return own | {heading.replace(" ", "-") for heading in _headings(notebook)}


@cache
def anchors(path: Path) -> set[str]:
    """Return where links into a notebook's file can lead."""
    return _anchors_of(read(path))


@cache
def _title(path: Path) -> str:
    return _headings(read(path))[0]
