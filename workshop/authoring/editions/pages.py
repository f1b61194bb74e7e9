"""The site: the stored notebooks as static HTML that works from disk."""

import html
import re
import shutil
from pathlib import Path
from string import Template
from typing import Any

import nbformat

from workshop.ground import BUILD, notebooks
from workshop.ground.cells import is_solution

SITE = BUILD / "site"
STYLE = Path(__file__).with_name("pages.css")
UNFOLDABLE = "<details><summary>Solution</summary>\n\n```python\n{}\n```\n\n</details>"


def write_site(folder: Path = SITE) -> Path:
    """Write the stored notebooks as HTML that works from disk, and return its first page."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = notebooks()
    names = [html_name(path) for path in paths]
    neighbours = zip(["", *names], names, [*names[1:], ""], strict=False)
    for path, (before, name, after) in zip(paths, neighbours, strict=True):
        as_html(path, folder / name, navigation(before, after))
    return folder / "index.html"


def write_page(template: str, out: Path, **words: str) -> Path:
    """Write an HTML page from a template beside this file, and return the page."""
    text = Path(__file__).with_name(template).read_text(encoding="utf-8")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(Template(text).substitute(words), encoding="utf-8")
    return out


def html_name(notebook: Path) -> str:
    """Return the name of a notebook's page; the index is the page that a browser looks for."""
    return "index.html" if notebook.stem == "00_index" else f"{notebook.stem}.html"


def navigation(before: str, after: str) -> str:
    """Return links to the page before, the index and the page after."""
    links = ((before, "← before"), ("index.html", "index"), (after, "next →"))
    spans = "".join(
        f'<span><a href="{html.escape(target)}">{words}</a></span>' if target else "<span></span>"
        for target, words in links
    )
    return f'<nav class="gcp-spy-nav" aria-label="Notebooks">{spans}</nav>'


def as_html(notebook: Path, out: Path, nav: str = "") -> Path:
    """Write an executed notebook as one HTML file that fetches nothing.

    Args:
        notebook: the notebook, with its outputs.
        out: the file to write.
        nav: a line of links, above and below.
    """
    from nbconvert import HTMLExporter

    content = nbformat.read(notebook, as_version=4)
    _unfoldable(content)
    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="")
    exporter.exclude_anchor_links = True
    title = {"metadata": {"name": notebook.stem}}
    text, _ = exporter.from_notebook_node(content, resources=title)
    text = text.replace('href="00_index.ipynb"', 'href="index.html"')
    text = re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.html"', text)
    style = f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n"
    text = text.replace("</head>", f"{style}</head>", 1)
    text = re.sub(r"(<body[^>]*>)", rf"\1\n{nav}\n", text, count=1)
    text = text.replace("</body>", f"{nav}\n</body>")
    out.write_text(text, encoding="utf-8")
    return out


def _unfoldable(notebook: Any) -> None:
    """Make each solution a thing to unfold: on a page nobody can run or open a folded cell."""
    kept = []
    for cell in notebook.cells:
        if is_solution(cell) and cell.cell_type == "code":
            if cell.source.startswith("check("):
                continue
            cell = nbformat.v4.new_markdown_cell(UNFOLDABLE.format(cell.source))
        elif is_solution(cell) and "folded" in cell.source:
            cell.source = "The workbook's solution unfolds here. Try first."
        kept.append(cell)
    notebook.cells = kept
