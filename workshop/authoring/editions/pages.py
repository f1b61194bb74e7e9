"""Single pages: an executed notebook as HTML, a page from a template, solutions that unfold."""

import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

import nbformat

from workshop.ground.cells import is_solution

STYLE = Path(__file__).with_name("pages.css")
FOLDED = "<details><summary>Solution</summary>\n\n{}\n\n</details>"
FOLD = re.compile(r"<details><summary>.*?</summary>\n(.*)\n</details>", re.DOTALL)


def write_page(template: str, out: Path, **words: str) -> Path:
    """Write an HTML page from a template beside this file, and return the page."""
    text = Path(__file__).with_name(template).read_text(encoding="utf-8")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(Template(text).substitute(words), encoding="utf-8")
    return out


def as_html(notebook: Path, out: Path) -> Path:
    """Write an executed notebook as one HTML file that fetches nothing.

    Args:
        notebook: the notebook, with its outputs.
        out: the file to write.
    """
    from nbconvert import HTMLExporter

    content = nbformat.read(notebook, as_version=4)
    fold_solutions(content)
    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="")
    exporter.exclude_anchor_links = True
    title = {"metadata": {"name": notebook.stem}}
    text, _ = exporter.from_notebook_node(content, resources=title)
    text = text.replace('href="00_index.ipynb"', 'href="index.html"')
    text = re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.html"', text)
    style = f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n"
    out.write_text(text.replace("</head>", f"{style}</head>", 1), encoding="utf-8")
    return out


def fold_solutions(notebook: Any) -> None:
    """Make one cell of each solution, to unfold: on a page nobody can run or open its cells.

    Args:
        notebook: as nbformat reads it; it is changed.
    """
    cells: list[Any] = []
    for solved, group in groupby(notebook.cells, key=is_solution):
        if solved:
            cells.append(_folded(group))
        else:
            cells += group
    notebook.cells = cells


def _folded(cells: Iterable[Any]) -> Any:
    """Return a solution's words and code as one cell; what says that it is folded goes."""
    parts = []
    for cell in cells:
        if cell.cell_type == "code" and not cell.source.startswith("check("):
            parts.append(f"```ipython3\n{cell.source}\n```")
        elif unfolded := FOLD.search(cell.source):
            parts.append(unfolded[1].strip())
    return nbformat.v4.new_markdown_cell(FOLDED.format("\n\n".join(parts)))
