"""How a message and a mail that arrived look in a notebook: HTML in which nothing foreign runs."""

import html
import re
from typing import Any


def message_card(payload: dict[str, Any], answered: str) -> str:
    """Return a Slack message as HTML.

    Args:
        payload: what was posted.
        answered: status and text of the answer.
    """
    # Where there are blocks, the text is for notifications alone.
    parts = [_paragraph(text) for text in block_texts(payload) or [payload.get("text", "")]]
    for attachment in payload.get("attachments", []):
        parts.append(_paragraph(attachment.get("pretext", "")))
        fields = "".join(
            f'<div style="margin:4px 24px 4px 0"><b>{_escaped(field.get("title", ""))}</b>'
            f"<br>{_mrkdwn(field.get('value', ''))}</div>"
            for field in attachment.get("fields", [])
        )
        color = _color(attachment.get("color"))
        text = _paragraph(attachment.get("text", ""))
        if fields or text:
            parts.append(
                f'<div style="border-left:4px solid {color};padding-left:12px;display:flex;'
                f'flex-wrap:wrap">{text}{fields}</div>'
            )
    return _card(f"<b>gcp_spy</b> · answered {_escaped(answered)}", "".join(parts))


def mail_card(subject: str, sender: str, recipients: str, body: str) -> str:
    """Return a mail as HTML; its body's bold text and line breaks stay."""
    # Everything is escaped; then the two marks that this mail needs are let through.
    body = re.sub(r"&lt;(/?b|br)&gt;", r"<\1>", _escaped(body))
    body = re.sub(r"(<br>)+$", "", body)
    people = f"From {_escaped(sender)} to {_escaped(recipients)}"
    return _card(f"<b>{_escaped(subject)}</b><br>{people}", body)


def block_texts(payload: dict[str, Any]) -> list[str]:
    """Return the texts of a message's blocks, in order."""
    blocks = payload.get("blocks") or []
    texts = [it for block in blocks for it in (block.get("text"), *block.get("elements", [])) if it]
    return [html.unescape(str(it.get("text", ""))) for it in texts]


def _escaped(text: Any) -> str:
    return html.escape(str(text), quote=True)


def _mrkdwn(text: Any) -> str:
    code = '<code style="background:#f1f1f1;color:#1b1b1b;padding:0 3px">\\1</code>'
    lines = [re.sub(r"`([^`]+)`", code, line) for line in _escaped(text).strip().splitlines()]
    return "<br>".join(re.sub(r"^\*(.+)\*$", r"<b>\1</b>", line) for line in lines)


def _paragraph(text: Any) -> str:
    return f'<div style="margin:4px 0">{_mrkdwn(text)}</div>' if text else ""


def _color(value: Any) -> str:
    known = isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value)
    return str(value) if known else "#dddddd"


def _card(head: str, body: str) -> str:
    return (
        '<div style="background:#ffffff;color:#1b1b1b;border:1px solid #d0d0d0;border-radius:8px;'
        'padding:12px 16px;max-width:640px;font-family:Helvetica,Arial,sans-serif;font-size:14px">'
        f'<div style="color:#5f6368;border-bottom:1px solid #eeeeee;padding-bottom:6px;'
        f'margin-bottom:6px">{head}</div>{body}</div>'
    )
