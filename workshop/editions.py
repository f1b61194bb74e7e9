"""The notebooks' other editions: the site, as static HTML, and the presenter's notes."""

import html
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat

from workshop import talk
from workshop.lab import BUILD
from workshop.slides import NOTEBOOKS
from workshop.workcopy import is_solution

SITE = BUILD / "site"
NOTES = BUILD / "present" / "notes.html"
# nbconvert writes JupyterLab's light colours; these are the dark ones, where the reader wants them.
STYLE = """
<style>
.gcp-spy-nav { display: flex; justify-content: space-between; gap: 16px; padding: 8px 16px;
  font-family: Helvetica, Arial, sans-serif; font-size: 15px; }
.gcp-spy-nav a { color: #1a66c2; }
main, .jp-Notebook { max-width: 1000px; margin: 0 auto; }
img { max-width: 100%; }
@media (prefers-color-scheme: dark) {
  :root, body[data-jp-theme-light] {
    color-scheme: dark;
    --jp-layout-color0: #16191d; --jp-layout-color1: #16191d; --jp-layout-color2: #23272d;
    --jp-cell-editor-background: #1f2329; --jp-cell-editor-border-color: #3a4048;
    --jp-rendermime-table-row-background: #1f2329;
    --jp-rendermime-table-row-hover-background: #2a3038;
    --jp-rendermime-error-background: #4a1f1f;
    --jp-content-font-color0: #f2f2f2; --jp-content-font-color1: #e4e4e4;
    --jp-content-font-color2: #c4c4c4; --jp-content-font-color3: #a0a0a0;
    --jp-ui-font-color0: #f2f2f2; --jp-ui-font-color1: #e4e4e4;
    --jp-ui-font-color2: #c4c4c4; --jp-ui-font-color3: #a0a0a0;
    --jp-border-color1: #4a5058; --jp-border-color2: #3a4048; --jp-border-color3: #2e333a;
    --jp-content-link-color: #7db4f5;
    --jp-mirror-editor-keyword-color: #6fcf7f; --jp-mirror-editor-string-color: #e8a0a0;
    --jp-mirror-editor-comment-color: #7fb0b0; --jp-mirror-editor-number-color: #8fd694;
    --jp-mirror-editor-operator-color: #d9a5ff; --jp-mirror-editor-variable-color: #e4e4e4;
    --jp-mirror-editor-builtin-color: #8fd694; --jp-mirror-editor-def-color: #8ab4ff;
    --jp-mirror-editor-punctuation-color: #8ab4ff; --jp-mirror-editor-meta-color: #d9a5ff;
    --jp-mirror-editor-property-color: #e4e4e4; --jp-mirror-editor-attribute-color: #8ab4ff;
  }
  body { background: #16191d !important; color: #e4e4e4; }
  .gcp-spy-nav a { color: #7db4f5; }
}
</style>
"""
NOTES_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>gcp_spy: notes for the presenter</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font-family: Helvetica, Arial, sans-serif; line-height: 1.4; max-width: 1000px;
  margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ border-bottom: 1px solid #8888; padding: 4px 8px; text-align: left;
  vertical-align: top }}
td.number {{ text-align: right; white-space: nowrap }}
</style>
</head>
<body>
<h1>Notes for the presenter</h1>
<p>Two plans: {long:g} minutes and {short:g} minutes, without set-up and questions. The clock says
when the slide begins. In the short plan a slide without minutes is left out.</p>
<table>
<tr><th>slide</th><th>title</th><th>long plan</th><th>short plan</th><th>notes</th></tr>
{rows}
</table>
</body>
</html>
"""


def site(folder: Path = SITE) -> Path:
    """Write the stored notebooks as HTML that works from disk, and return its first page."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    names = [html_name(path) for path in paths]
    for number, path in enumerate(paths):
        before = names[number - 1] if number else ""
        after = names[number + 1] if number + 1 < len(names) else ""
        as_html(path, folder / names[number], navigation(before, after))
    return folder / "index.html"


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
    text = text.replace("</head>", f"{STYLE}</head>", 1)
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
            code = f"```python\n{cell.source}\n```"
            source = f"<details><summary>Solution</summary>\n\n{code}\n\n</details>"
            cell = nbformat.v4.new_markdown_cell(source)
        elif is_solution(cell) and "folded" in cell.source:
            cell.source = "The workbook's solution unfolds here. Try first."
        kept.append(cell)
    notebook.cells = kept


def notes(out: Path = NOTES) -> Path:
    """Write the presenter's notes, slide by slide, and return the page."""
    slides = talk.read_slides()
    rows, clocks = [], [0.0, 0.0]
    for slide in slides:
        cells = [str(slide.number), slide.title]
        for number, minutes in enumerate((slide.minutes, slide.short)):
            how = slide.how if number == 0 else slide.short_how
            begins = f"{int(clocks[number])}:{clocks[number] % 1 * 60:02.0f}"
            cells.append(f"{begins} · {minutes:g} min · {how}" if minutes else "–")
            clocks[number] += minutes
        cells.append(slide.note)
        kinds = (" class=number", "", " class=number", " class=number", "")
        columns = zip(cells, kinds, strict=True)
        row = "".join(f"<td{kind}>{html.escape(cell)}</td>" for cell, kind in columns)
        rows.append(f'<tr id="slide-{slide.number}">{row}</tr>')
    page = NOTES_PAGE.format(long=clocks[0], short=clocks[1], rows="\n".join(rows))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out
