"""A message that Slack took, as HTML: what Slack shows, and the names of what is not shown here."""

import re
from collections.abc import Iterable
from typing import Any

from workshop.sandbox.cards import card, escaped

CODE = '<code style="background:#f1f1f1;color:#1b1b1b;padding:0 3px">{}</code>'
PRE = '<pre style="background:#f1f1f1;color:#1b1b1b;padding:4px 8px;white-space:pre-wrap">{}</pre>'
LINK = '<a href="{}" rel="noopener noreferrer" target="_blank" style="color:#1264a3">{}</a>'
MENTION = '<span style="background:#e8f5fa;color:#0b4c8c">{}</span>'
SMALL = '<div style="margin:4px 0;color:#5f6368;font-size:12px">{}</div>'
QUOTE = (
    '<blockquote style="border-left:4px solid #dddddd;margin:4px 0;padding-left:8px">{}'
    "</blockquote>"
)
BUTTON = (
    '<button type="button" disabled style="background:#ffffff;color:#1b1b1b;border:1px solid '
    '#b0b0b0;border-radius:4px;padding:4px 12px">{}</button>'
)
NAMED = {"good": "#2eb886", "warning": "#daa038", "danger": "#a30200"}
STYLES = {"bold": "<b>{}</b>", "italic": "<i>{}</i>", "strike": "<s>{}</s>", "code": CODE}
# Marks of mrkdwn that stand around words, not inside one, as the _ of a name does.
MARKS = [
    (re.compile(rf"(?<![\w{mark}])\{mark}(?=\S)([^{mark}\n]+)(?<=\S)\{mark}(?![\w{mark}])"), style)
    for mark, style in (("*", "bold"), ("_", "italic"), ("~", "strike"))
]
SPECIAL = re.compile(r"```(?P<pre>.+?)```|`(?P<code>[^`\n]+)`|<(?P<angle>[^<>\n]+)>", re.DOTALL)
# What an attachment has beside what is shown, and what a person would not miss.
UNSEEN = {"author_icon", "color", "fallback", "footer_icon", "mrkdwn_in", "ts"}


def message_card(payload: dict[str, Any], answered: str) -> str:
    """Return a message as HTML in a frame.

    Args:
        payload: what was posted, and taken.
        answered: status and text of the answer.
    """
    return card(f"<b>gcp_spy</b> · answered {escaped(answered)}", message_html(payload))


def message_html(payload: dict[str, Any]) -> str:
    """Return what a message that was taken shows, as HTML in which nothing foreign runs."""
    # Where there are blocks, the text is for notifications alone.
    shown = _blocks(payload.get("blocks", [])) or _paragraph(mrkdwn(payload.get("text", "")))
    return shown + "".join(_attachment(it) for it in payload.get("attachments", []))


def mrkdwn(text: Any) -> str:
    """Return a text in Slack's mrkdwn as HTML.

    Source: https://docs.slack.dev/messaging/formatting-message-text
    """
    special: list[str] = []

    def keep(found: re.Match[str]) -> str:
        if found["angle"]:
            special.append(_angle(found["angle"]))
        else:
            form, code = (PRE, found["pre"]) if found["pre"] else (CODE, found["code"])
            special.append(form.format(_plain(code.strip("\n"))))
        return f"\0{len(special) - 1}\0"

    kept = _plain(SPECIAL.sub(keep, str(text).strip().replace("\0", "")))
    for mark, style in MARKS:
        kept = mark.sub(STYLES[style].format(r"\1"), kept)
    kept = re.sub(r"(?m)^&gt; ?(.*)$\n?", QUOTE.format(r"\1"), kept).replace("\n", "<br>")
    return re.sub(r"\0(\d+)\0", lambda found: special[int(found[1])], kept)


def _plain(text: Any) -> str:
    """Return a text without marks as HTML; Slack's three entities are what they stand for."""
    text = str(text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return escaped(text)


def _angle(inside: str) -> str:
    """Return what stands in angle brackets: a link, a mention, a date, or only a text."""
    target, _, label = inside.partition("|")
    if target.startswith("!date^"):
        return _plain(label or target)
    if target.startswith(("@", "#", "!")):
        sign = "@" if target[0] == "!" else target[0]
        return MENTION.format(_plain(label or sign + target[1:]))
    return _link(target, label) or _plain(f"<{inside}>")


def _link(target: str, label: str) -> str:
    """Return a link; nothing where the address is of a kind that Slack does not open."""
    if not re.match(r"(https?://|mailto:|tel:)", target, re.IGNORECASE):
        return ""
    return LINK.format(_plain(target), _plain(label or re.sub("^(mailto|tel):", "", target)))


def _blocks(blocks: Iterable[dict[str, Any]]) -> str:
    return "".join(_block(block) for block in blocks)


def _block(block: dict[str, Any]) -> str:
    match block["type"]:
        case "section":
            text = _paragraph(_text(block.get("text")))
            fields = _fields(_text(field) for field in block.get("fields", []))
            return text + fields + _elements([block["accessory"]] if "accessory" in block else [])
        case "header":
            bold = '<div style="margin:4px 0;font-size:18px;font-weight:bold">{}</div>'
            return bold.format(_text(block["text"]))
        case "context":
            return SMALL.format(" ".join(map(_element, block["elements"])))
        case "divider":
            return "<hr>"
        case "image":
            return _paragraph(_text(block.get("title"))) + _paragraph(_element(block))
        case "actions":
            return _elements(block["elements"])
        case "rich_text":
            return "".join(map(_rich, block["elements"]))
        case other:
            return _not_shown(f"block {other}")


def _text(text: dict[str, Any] | None) -> str:
    """Return a text object as HTML."""
    if not text:
        return ""
    if text["type"] == "mrkdwn":
        return mrkdwn(text["text"])
    return _plain(text["text"]).replace("\n", "<br>")


def _elements(elements: list[dict[str, Any]]) -> str:
    return _paragraph(" ".join(map(_element, elements)))


def _element(element: dict[str, Any]) -> str:
    match element["type"]:
        case "button":
            return BUTTON.format(_text(element["text"]))
        case "image":  # from an address that is not loaded
            return f"[image: {escaped(element['alt_text'])}]"
        case "mrkdwn" | "plain_text":
            return _text(element)
        case other:
            return f"[{escaped(other)}]"


def _rich(element: dict[str, Any]) -> str:
    """Return a part of a rich text as HTML.

    Source: https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
    """
    if element["type"] == "rich_text_list":
        tag = "ol" if element["style"] == "ordered" else "ul"
        items = "".join(f"<li>{_pieces(item)}</li>" for item in element["elements"])
        start = f' start="{element.get("offset", 0) + 1}"' if tag == "ol" else ""
        margin = 24 * element.get("indent", 0)
        return f'<{tag}{start} style="margin:4px 0 4px {margin}px">{items}</{tag}>'
    shown = _pieces(element)
    if element["type"] == "rich_text_preformatted":
        return PRE.format(shown)
    return QUOTE.format(shown) if element["type"] == "rich_text_quote" else _paragraph(shown)


def _pieces(element: dict[str, Any]) -> str:
    return "".join(_piece(piece) for piece in element["elements"])


def _piece(piece: dict[str, Any]) -> str:
    match piece["type"]:
        case "text":
            shown = escaped(piece["text"]).replace("\n", "<br>")
        case "link":
            text = piece.get("text", "")
            shown = _link(piece["url"], text) or escaped(text or piece["url"])
        case "emoji":
            shown = f":{escaped(piece['name'])}:"
        case "user" | "channel":
            sign = "@" if piece["type"] == "user" else "#"
            shown = MENTION.format(sign + escaped(piece[f"{piece['type']}_id"]))
        case "broadcast":
            shown = MENTION.format(f"@{piece['range']}")
        case other:
            shown = f"[{escaped(other)}]"
    for style, form in STYLES.items():
        shown = form.format(shown) if piece.get("style", {}).get(style) else shown
    return shown


def _attachment(it: dict[str, Any]) -> str:
    """Return an attachment: a text above, and the rest beside a bar in its colour."""
    seen = {key: _plain(it.get(key, "")) for key in ("author_name", "title", "footer")}
    for key, link in (("author_name", "author_link"), ("title", "title_link")):
        seen[key] = _link(str(it.get(link, "")), str(it.get(key, ""))) or seen[key]
    fields = (_field(field) for field in it.get("fields", []))
    drawn = {"pretext", "author_name", "author_link", "title", "title_link", "text", "fields"}
    rest = sorted(set(it) - drawn - UNSEEN - {"footer", "blocks"})
    parts = [
        _paragraph(seen["author_name"]),
        _paragraph(f"<b>{seen['title']}</b>" if seen["title"] else ""),
        _paragraph(mrkdwn(it.get("text", ""))),
        _fields(fields),
        _blocks(it.get("blocks", [])),
        *[_not_shown(f"attachment's {key}") for key in rest],
        SMALL.format(seen["footer"]) if seen["footer"] else "",
    ]
    above = _paragraph(mrkdwn(it.get("pretext", "")))
    inside = "".join(parts)
    if not above and not inside:
        inside = _paragraph(_plain(it.get("fallback", "")))
    bar = f"border-left:4px solid {_color(it.get('color', ''))};padding-left:12px"
    return above + (f'<div style="{bar}">{inside}</div>' if inside else "")


def _field(field: dict[str, Any]) -> str:
    # The colon stands for the bold type where there is none: in the message as text.
    colon = '<span style="display:none">:</span>' if "title" in field else ""
    title = _plain(field.get("title", "")) + colon
    return f"<b>{title}</b><br>{mrkdwn(field.get('value', ''))}"


def _fields(fields: Iterable[str]) -> str:
    shown = "".join(f'<div style="margin:4px 24px 4px 0">{field}</div>' for field in fields)
    return f'<div style="display:flex;flex-wrap:wrap">{shown}</div>' if shown else ""


def _paragraph(shown: str) -> str:
    return f'<div style="margin:4px 0">{shown}</div>' if shown else ""


def _not_shown(what: str) -> str:
    return SMALL.format(f"[{escaped(what)}: Slack shows it, this stand-in does not]")


def _color(value: str) -> str:
    known = re.fullmatch(r"#[0-9a-fA-F]{6}", value)
    return value if known else NAMED.get(value, "#dddddd")
