"""How a message and a mail look: a frame in a notebook, and HTML as text."""

import html
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import nh3

# Between the texts of such elements a browser begins a line, or leaves one out.
LINES = {
    "address", "article", "dd", "div", "dl", "dt", "figcaption", "footer", "header", "hr", "li",
    "main", "section", "tr",
}  # fmt: skip
PARAGRAPHS = {"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"}
LINE, PARAGRAPH = "\x1f", "\x1e"
EDGES = dict.fromkeys(LINES, LINE) | dict.fromkeys(PARAGRAPHS, PARAGRAPH)
BEGINS = {"br": "\n", "code": "`", "li": "- "}
ENDS = {"code": "`", "td": " ", "th": " "}
INVISIBLE = {"script", "style", "template", "title"}
TAG = re.compile(r"<!--.*?(?:-->|\Z)|<(/?)([a-z][^\s/>]*)", re.DOTALL)
# Elements that have no end, or that the next of their kind ends.
ENDLESS = {
    "area", "br", "col", "dd", "dt", "hr", "img", "input", "li", "link", "meta", "option", "p",
    "rp", "rt", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "wbr",
}  # fmt: skip
DEEPEST = 512  # as Chromium; to read such HTML takes long, ten times as deep a hundred times longer
TOO_DEEP = f"This HTML has more than {DEEPEST} elements in each other: it is not shown."


def card(head: str, body: str) -> str:
    """Return a frame that is readable on a light and on a dark page.

    Args:
        head: HTML of what is known about the message.
        body: HTML of what it says.
    """
    return (
        '<div style="background:#ffffff;color:#1b1b1b;border:1px solid #d0d0d0;border-radius:8px;'
        'padding:12px 16px;max-width:640px;font-family:Helvetica,Arial,sans-serif;font-size:14px">'
        f'<div style="color:#5f6368;border-bottom:1px solid #eeeeee;padding-bottom:6px;'
        f'margin-bottom:6px">{head}</div>{body}</div>'
    )


def escaped(text: Any) -> str:
    """Return a text from outside as HTML that shows it."""
    return html.escape(str(text), quote=True)


def cleaned(markup: str, **options: Any) -> str:
    """Return HTML from outside without what could run, or TOO_DEEP where it is nested too deeply.

    Args:
        markup: the HTML.
        options: what else nh3 shall know.
    """
    return (
        TOO_DEEP
        if _too_deep(markup)
        else nh3.clean(markup, clean_content_tags=INVISIBLE, **options)
    )


def _too_deep(markup: str) -> bool:
    begun: Counter[str] = Counter()
    deep = 0
    for end, name in TAG.findall(markup.lower()):
        if name and name not in ENDLESS and (not end or begun[name]):
            step = -1 if end else 1
            begun[name] += step
            deep += step
            if deep > DEEPEST:
                return True
    return False


def as_text(markup: str) -> str:
    """Return HTML as text: its words as far apart as a browser shows them, code in backticks."""
    reader = _Reader()
    reader.feed(cleaned(markup))
    reader.close()
    # A run is looked at from its beginning alone: else its length would count twice.
    text = re.sub(r"(?<![ \n\x1e\x1f])[ \n\x1f]*\x1e[ \n\x1e\x1f]*", "\n\n", "".join(reader.read))
    text = re.sub(r"(?<! ) *(\n *)?\x1f[ \x1f]*", "\n", text)
    lines = [re.sub(" +", " ", line).strip(" ") for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n").replace("\xa0", " ")


class _Reader(HTMLParser):
    """Collects texts of well-formed HTML, and marks between them."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._preformatted += tag == "pre"
        image = f"[{dict(attrs).get('alt') or 'image'}]" if tag == "img" else ""
        self.read += [EDGES.get(tag, ""), BEGINS.get(tag, ""), image]

    def handle_endtag(self, tag: str) -> None:
        self._preformatted -= tag == "pre"
        self.read += [ENDS.get(tag, ""), EDGES.get(tag, "")]

    def handle_data(self, data: str) -> None:
        # A blank that counts must outlive those that do not.
        spaced = r"[ \t\r\n\f]+"
        self.read.append(
            data.replace(" ", "\xa0") if self._preformatted else re.sub(spaced, " ", data)
        )
