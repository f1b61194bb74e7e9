"""What arrived: as plain data, and as pictures in which nothing foreign runs."""

import json
from typing import Any

import pytest

from workshop import sandbox
from workshop.ground import Problem
from workshop.tests.sandbox.tools import post, webhook


def test_looking_too_early_is_one_sentence(lab: Any) -> None:
    sandbox.enter("talk")
    for look in (sandbox.slack_message, sandbox.mail):
        with pytest.raises(Problem, match="Run the DAG first"):
            look()


def test_blocks_are_shown_and_escaped(lab: Any) -> None:
    sandbox.enter("talk")
    text = "*Cloud SQL:*\n`a&lt;b&gt;`"
    post(json.dumps({"text": "x", "blocks": [
        {"type": "section", "text": {"type": "mrkdwn", "text": text}},
        {"type": "context", "elements": [{"type": "plain_text", "text": "<script>"}]},
    ]}))  # fmt: skip
    message = sandbox.slack_message()
    assert message.text == "Cloud SQL:\n`a<b>`\n<script>"
    shown = message._repr_html_()
    assert "<b>Cloud SQL:</b>" in shown and "a&lt;b&gt;</code>" in shown
    assert "<script>" not in shown


def test_slack_s_secret_is_in_no_picture(lab: Any) -> None:
    sandbox.enter("talk")
    post(json.dumps({"text": "x"}))
    secret = webhook().rsplit("/", 1)[-1]
    message = sandbox.slack_message()
    assert secret not in repr(message) + message._repr_html_()
    assert secret not in json.dumps(sandbox.received())


def test_what_arrives_is_escaped(lab: Any) -> None:
    sandbox.enter("talk")
    bad = "<script>alert(1)</script> <img src=x onerror=alert(1)> <!channel> `<b>`"
    post(json.dumps({"text": bad, "attachments": [
        {"color": "red;background:url(x)", "pretext": bad, "fields": [{"title": bad, "value": bad}]}
    ]}))  # fmt: skip
    shown = sandbox.slack_message()._repr_html_()
    mail = sandbox.Mail("<b>a@example.com", ("o@example.com",), bad, f"<b>fine</b><br>{bad}")
    for markup in (shown, mail._repr_html_()):
        assert "<script" not in markup
        assert "<img" not in markup
        assert "&lt;script&gt;" in markup
    assert "url(x)" not in shown
    assert "<b>fine</b><br>" in mail._repr_html_()


def test_a_message_of_a_strange_shape_is_shown_all_the_same(lab: Any) -> None:
    sandbox.enter("talk")
    for payload in ({"text": 3}, {"text": "x", "attachments": [{"fields": [{}]}]}):
        assert post(json.dumps(payload)) == (200, "ok")
        assert "<div" in sandbox.slack_message()._repr_html_()
