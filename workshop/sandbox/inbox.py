"""What arrived in the sandbox: for cells that show it, and as plain data for tests."""

from typing import Any

import pandas as pd

from workshop.ground import Problem
from workshop.lab import current
from workshop.sandbox.mailserver import Mail
from workshop.sandbox.slack import SlackMessage
from workshop.sandbox.world import Sandbox, is_real


def slack_message() -> Any:
    """Return the last message that the sandbox's Slack got; in the real world say where it is.

    Raises:
        Problem: none arrived.
    """
    return _last(SlackMessage, "message")


def mail() -> Any:
    """Return the last mail that the sandbox's mail server took; in the real world say where it is.

    Raises:
        Problem: none arrived.
    """
    return _last(Mail, "mail")


def _last(kind: type[Any], what: str) -> Any:
    if is_real():
        # Said, not raised: the notebook's other cells still have their turn.
        print(f"This is the real world: look for the {what} where it was sent.")
        return None
    there = [it for it in arrivals() if isinstance(it, kind)]
    if not there:
        raise Problem(f"No {what} has arrived in this world. Run the DAG first.")
    return there[-1]


def arrived() -> pd.DataFrame:
    """Return all that arrived in this world: Slack messages, then mails; title, answer, lines."""
    rows = [
        ("mail", f"{it.subject}\n{it.text}", "250 OK")
        if isinstance(it, Mail)
        else ("Slack", it.text, f"{it.status} {it.answer}")
        for it in arrivals()
    ]
    frame = pd.DataFrame(rows, columns=["kind", "title", "answer"])
    frame["lines"] = frame["title"].str.count("\n") + 1
    frame["title"] = frame["title"].str.split("\n").str[0]
    return frame


def arrivals() -> list[SlackMessage | Mail]:
    """Return the messages, then the mails, that arrived in this world."""
    box = current().find(Sandbox)
    return [*box.slack.messages, *box.mail.mails] if box else []


def received() -> dict[str, Any]:
    """Return the world's name and all that arrived in it, as plain data."""
    box = current()[Sandbox]
    return {
        "world": box.world,
        "switches": box.switches,
        "slack": [message.payload for message in box.slack.messages],
        "mails": [
            {
                "to": it.to,
                "cc": list(it.cc),
                "bcc": list(it.bcc),
                "subject": it.subject,
                "html": it.html,
            }
            for it in box.mail.mails
        ],
    }
