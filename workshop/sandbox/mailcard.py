"""A mail as HTML: what a mail program shows; nothing foreign runs in it or is loaded."""

import base64
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import nh3

from workshop.sandbox.cards import card, cleaned, escaped

PICTURES = {"image/gif", "image/jpeg", "image/png", "image/webp"}
# Of these properties none can load something or leave the mail's frame.
STYLES = {
    "background-color", "border", "border-bottom", "border-collapse", "border-left", "border-right",
    "border-top", "color", "font-family", "font-size", "font-style", "font-weight", "line-height",
    "list-style-type", "padding", "text-align", "text-decoration", "vertical-align", "white-space",
}  # fmt: skip
ATTRIBUTES = deepcopy(nh3.ALLOWED_ATTRIBUTES) | {"*": {"style"}}
LINKS = ("http://", "https://", "mailto:", "tel:")
ELSEWHERE = ("http://", "https://", "//")
MOST_BYTES = 25_000_000  # of pictures that are shown: as much as Gmail takes in one mail


@dataclass(frozen=True)
class Part:
    """A file in a mail: a picture of its text, or an attachment."""

    name: str
    kind: str  # such as image/png
    content: bytes
    content_id: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({len(self.content):,} bytes)"


def mail_card(subject: str, people: str, body: str, parts: Sequence[Part]) -> str:
    """Return a mail as HTML in a frame.

    Args:
        subject: of the mail.
        people: who sent it to whom, a line a kind.
        body: the mail's own HTML.
        parts: its pictures and attachments.
    """
    shown, left_out = _clean(body, {_address(it): it for it in parts})
    foot = [f"Attached: {escaped(it)}" for it in attached(body, parts)]
    foot += left_out
    lines = "".join(f'<div style="color:#5f6368;margin-top:6px">{line}</div>' for line in foot)
    people = "<br>".join(map(escaped, people.splitlines()))
    return card(f"<b>{escaped(subject)}</b><br>{people}", shown + lines)


def attached(body: str, parts: Sequence[Part]) -> list[Part]:
    """Return the parts that the mail's own HTML does not show as a picture."""
    return [it for it in parts if it.kind not in PICTURES or _address(it) not in body]


def _address(part: Part) -> str:
    return f"cid:{part.content_id or '?'}"


def _clean(body: str, parts: dict[str, Part]) -> tuple[str, list[str]]:
    """Return HTML that is safe to show, and a sentence for each way to leave out a picture."""
    left_out: dict[str, None] = {}
    room = MOST_BYTES

    def keep(tag: str, attribute: str, value: str) -> str | None:
        nonlocal room
        if attribute == "src":
            part = parts.get(value)
            if part is None or part.kind not in PICTURES or len(part.content) > room:
                foreign = value.strip().lower().startswith(ELSEWHERE)
                where, verb = (
                    ("from another address ", "not loaded") if foreign else ("", "left out")
                )
                left_out[f"A picture {where}is {verb}."] = None
                return None
            room -= len(part.content)
            return f"data:{part.kind};base64,{base64.b64encode(part.content).decode()}"
        if attribute in ("href", "cite"):  # an address without a host would lead to Jupyter
            return value if value.strip().lower().startswith(LINKS) else None
        return value

    shown = cleaned(
        body,
        attributes=ATTRIBUTES,
        attribute_filter=keep,
        filter_style_properties=STYLES,
        url_schemes={"cid", "data", "http", "https", "mailto", "tel"},
    ).rstrip()
    while shown.endswith("<br>"):
        shown = shown.removesuffix("<br>").rstrip()
    return shown, list(left_out)
