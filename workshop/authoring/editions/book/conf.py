"""Sphinx's settings for `make site`."""

import os
import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

import workshop
from workshop.ground import ROOT

project = "gcp_spy workbook"
author = "The gcp_spy workbook contributors"
release = workshop.__version__
extensions = ["myst_nb", "sphinx_copybutton"]
nb_execution_mode = "off"  # the pages show what is stored
nb_merge_streams = True
suppress_warnings = ["misc.highlighting_failure"]  # a cell can write a file that is no Python

html_theme = "sphinx_book_theme"
html_title = "gcp_spy, slide by slide"
html_static_path = ["site.css", str(ROOT / "workshop/show/live.css")]
html_css_files = ["live.css", "site.css"]
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # it would fetch pages, which no browser does from disk
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme_options = {
    "navbar_persistent": [],  # the search is above the list of notebooks
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
}
if repository := os.environ.get("REPOSITORY_URL"):
    html_theme_options |= {
        "repository_url": repository,
        "repository_branch": "main",
        "path_to_docs": "notebooks",
        "use_repository_button": True,
        "use_source_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        },
    }


def link_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Let the first use of each of the glossary's terms in a notebook's prose lead there."""
    if not page[0].isdigit():
        return
    anchors = {
        name.lower(): (there, anchor)
        for name, _, kind, there, anchor, _ in app.env.domains.standard_domain.get_objects()
        if kind == "term"
    }
    longest_first = sorted(map(re.escape, anchors), key=len, reverse=True)
    terms = re.compile(rf"\b({'|'.join(longest_first)})s?\b", re.IGNORECASE)
    for text in list(doctree.findall(nodes.Text)):
        holder = text.parent
        if isinstance(holder, nodes.emphasis | nodes.strong):
            holder = holder.parent  # it may stand in a link, which holds no other
        if not isinstance(holder, nodes.paragraph):
            continue
        pieces: list[nodes.Node] = []
        end = 0
        for found in terms.finditer(text):
            if where := anchors.pop(found[1].lower(), None):
                word = nodes.inline("", found[0])
                link = make_refnode(app.builder, page, *where, word)
                pieces += [nodes.Text(text[end : found.start()]), link]
                end = found.end()
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(text[end:])])


def leave_out_sources(
    app: Sphinx, page: str, template: str, context: dict[str, object], doctree: object
) -> None:
    """Let no page but the notebooks lead to its source: the others are made for the site."""
    if not page[0].isdigit():
        context["page_source_suffix"] = ""


def setup(app: Sphinx) -> None:
    """Register what this file adds to Sphinx."""
    app.connect("html-page-context", leave_out_sources, priority=400)  # before the theme's buttons
    app.connect("doctree-resolved", link_terms)
