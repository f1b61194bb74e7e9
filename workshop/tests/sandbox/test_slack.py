"""The Slack endpoint accepts and refuses what Slack's incoming webhooks do."""

import http.client
import json
import re
import sys
import threading
import urllib.parse
from typing import Any

import pytest
import requests

from workshop import sandbox
from workshop.sandbox import slack
from workshop.sandbox.slack import FAULT_ANSWERS, MOST_BYTES
from workshop.tests.sandbox.tools import post, webhook


def test_slack_takes_messages(lab: Any) -> None:
    sandbox.enter("talk")
    assert post(json.dumps({"text": "hello"})) == (200, "ok")
    assert post(json.dumps({"attachments": [{"text": "a"}] * 100})) == (200, "ok")
    form = urllib.parse.urlencode({"payload": json.dumps({"text": "form"})})
    assert post(form, kind="application/x-www-form-urlencoded") == (200, "ok")
    assert sandbox.slack_message().text == "form"
    assert list(sandbox.arrived()["title"]) == ["hello", "a", "form"]
    assert "answered 200 ok" in sandbox.slack_message()._repr_html_()


def test_each_slack_has_a_secret_of_its_own() -> None:
    one, other = slack.Slack(), slack.Slack()
    address = r"http://127\.0\.0\.1:\d+/services/T0SPY/B0SPY/[0-9a-f]{24}"
    assert re.fullmatch(address, one.webhook)
    assert post(json.dumps({"text": "y"}), one.webhook) == (200, "ok")
    mixed = one.webhook.rsplit("/", 1)[0] + "/" + other.webhook.rsplit("/", 1)[1]
    assert post(json.dumps({"text": "z"}), mixed) == (403, "invalid_token")
    assert [it.text for it in one.messages] == ["y"] and other.messages == []
    one.set_fault(429)
    answer = requests.post(one.webhook, json={"text": "y"}, timeout=600)
    assert (answer.headers["Retry-After"], answer.headers["Content-Length"]) == ("1", "12")
    one.set_fault("refused")
    with pytest.raises(requests.ConnectionError):
        post("{}", one.webhook)


def test_slack_says_nothing_of_its_own(capfd: Any) -> None:
    """The webhook's secret is in the path of each request."""
    endpoint = slack.Slack()
    post(json.dumps({"text": "y"}), endpoint.webhook)
    post("{", endpoint.webhook)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("around", ["{}", "POST {} failed", '{{"url": "{}"}}', "{}\n{}"])
def test_a_text_without_the_webhook_has_no_secret(around: str) -> None:
    url = slack.Slack().webhook
    whole = around.format(url, url)
    left = sandbox.without_webhook(whole)
    assert left == around.format(*[url.split("/services/")[0] + "/services/…"] * 2)


def test_no_stand_in_keeps_a_program_from_ending() -> None:
    before = set(threading.enumerate())
    slack.Slack(), sandbox.MailServer()
    begun = set(threading.enumerate()) - before
    assert len(begun) == 2 and all(thread.daemon for thread in begun)


def test_slack_refuses_what_is_wrong(lab: Any) -> None:
    sandbox.enter("talk")
    assert post("{") == (400, "invalid_payload")
    assert post("[]") == (400, "invalid_payload")
    assert post("nothing", kind="application/x-www-form-urlencoded") == (400, "invalid_payload")
    assert post("{}") == (400, "no_text")
    assert post(json.dumps({"text": "x"}), webhook() + "x") == (403, "invalid_token")
    other = webhook().replace("/services/T0SPY", "/services/T1")
    assert post(json.dumps({"text": "x"}), other) == (404, "no_service")
    assert sandbox.arrived().empty


@pytest.mark.parametrize("status", sorted(FAULT_ANSWERS))
def test_slack_fails_on_demand(enter: Any, status: int) -> None:
    enter(f"services: {{}}\nfaults: {{slack: {status}}}\n")
    answer = requests.post(webhook(), json={"text": "x"}, timeout=600)
    assert (answer.status_code, answer.text) == (status, FAULT_ANSWERS[status])
    assert ("Retry-After" in answer.headers) == (status == 429)


def test_a_limit_of_the_rate_passes(enter: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(slack, "RETRY_AFTER", 3600)
    enter("services: {}\nfaults: {slack: 429}\n")
    assert post(json.dumps({"text": "x"}))[0] == 429
    assert post(json.dumps({"text": "x"}))[0] == 429
    monkeypatch.setattr(slack, "RETRY_AFTER", 0)
    assert post(json.dumps({"text": "x"})) == (200, "ok")


def test_slack_takes_a_message_and_is_silent_once(enter: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(slack, "SILENT_SECONDS", 0)
    enter("services: {}\nfaults: {slack: silent}\n")
    with pytest.raises(requests.ConnectionError):
        post(json.dumps({"text": "x"}))
    assert post(json.dumps({"text": "x"})) == (200, "ok")
    assert list(sandbox.arrived()["answer"]) == ["0 no answer", "200 ok"]


def test_slack_refuses_connections_until_they_work_again(lab: Any) -> None:
    sandbox.enter("talk")
    sandbox.set_faults({"slack": "refused"})
    with pytest.raises(requests.ConnectionError):
        post(json.dumps({"text": "x"}))
    sandbox.set_faults({"slack": None})
    assert post(json.dumps({"text": "x"})) == (200, "ok")


def _section(length: int) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": "x" * length}}


def _plain(length: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": "x" * length}


def _button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "text": _plain(1), **more}


def _actions(*buttons: Any) -> list[Any]:
    return [{"type": "actions", "elements": [*buttons]}]


@pytest.mark.parametrize(
    ("blocks", "most"),
    [
        (lambda n: [{"type": "divider"}] * n, 50),
        (lambda n: [_section(n)], 3000),
        (lambda n: [{"type": "header", "text": _plain(n)}], 150),
        (lambda n: [{"type": "section", "fields": [_plain(n)]}], 2000),
        (lambda n: [{"type": "section", "fields": [_plain(1)] * n}], 10),
        (lambda n: [{"type": "context", "elements": [_plain(1)] * n}], 10),
        (lambda n: _actions(*[_button()] * n), 25),
        (lambda n: _actions(_button(text=_plain(n))), 75),
        (lambda n: _actions(_button(value="x" * n)), 2000),
        (lambda n: [{"type": "divider", "block_id": "x" * n}], 255),
        (lambda n: [{"type": "markdown", "text": "x" * n}], 12000),
    ],
)
def test_slack_s_limits_of_blocks(lab: Any, blocks: Any, most: int) -> None:
    sandbox.enter("talk")
    assert post(json.dumps({"blocks": blocks(most)})) == (200, "ok")
    more = blocks(most + 1)
    assert post(json.dumps({"blocks": more})) == (400, "invalid_blocks")
    assert post(json.dumps({"attachments": [{"blocks": more}]})) == (400, "invalid_attachments")
    assert len(sandbox.arrived()) == 1


@pytest.mark.parametrize(
    "blocks",
    [
        "divider", 7, None, {"type": "divider"}, ["divider"], [None], [[]], [{}], [{"type": 1}],
        [{"type": None}], [{"type": ["divider"]}], [{"type": "dividre"}], [{"type": "section"}],
        [{"text": {"type": "mrkdwn", "text": "y"}}],
        [{"type": "section", "text": "y"}],
        [_section(0)],
        [{"type": "section", "text": None}],
        [{"type": "section", "text": {"text": "y"}}],
        [{"type": "section", "text": {"type": "mrkdwn", "text": 7}}],
        [{"type": "section", "text": {"type": "mrkdwn", "text": "y", "emoji": True}}],
        [{"type": "section", "fields": "y"}],
        [{"type": "section", "fields": []}],
        [{"type": "section", "txt": _plain(1), "fields": [_plain(1)]}],
        [{"type": "header", "text": {"type": "mrkdwn", "text": "y"}}],
        [{"type": "context", "elements": {}}],
        [{"type": "context", "elements": [None]}],
        [{"type": "image", "alt_text": "y"}],
        [{"type": "image", "image_url": "https://example.org"}],
        [{"type": "actions", "elements": [{"type": "knob"}]}],
        _actions(_button(style="green")),
        [{"type": "rich_text", "elements": ["y"]}],
        [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{}]}]}],
        [{"type": "rich_text", "elements": [{"type": "rich_text_list", "elements": []}]}],
    ],
)  # fmt: skip
def test_malformed_blocks_are_refused_and_nothing_breaks(lab: Any, blocks: Any) -> None:
    sandbox.enter("talk")
    assert post(json.dumps({"text": "kept"})) == (200, "ok")
    assert post(json.dumps({"text": "z", "blocks": blocks})) == (400, "invalid_blocks")
    assert sandbox.slack_message().text == "kept"


@pytest.mark.parametrize(
    "attachments",
    [
        "red", 7, None, {"text": "y"}, ["y"], [None], [{"text": ["y"]}], [{"title": None}],
        [{"pretext": {}}], [{"color": 7}], [{"fields": "y"}], [{"fields": {"title": "y"}}],
        [{"fields": ["y"]}], [{"fields": [{"title": "y", "value": ["z"]}]}], [{"blocks": [{}]}],
        [{"footer": "y", "blocks": [{"type": "divider"}]}],
    ],
)  # fmt: skip
def test_malformed_attachments_are_refused_and_nothing_breaks(lab: Any, attachments: Any) -> None:
    sandbox.enter("talk")
    assert post(json.dumps({"text": "kept"})) == (200, "ok")
    answer = post(json.dumps({"text": "z", "attachments": attachments}))
    assert answer == (400, "invalid_attachments")
    assert sandbox.slack_message().text == "kept"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ('{"text": ["y"]}', "invalid_payload"),
        ('{"text": NaN}', "invalid_payload"),
        ('{"text": "\\ud83d"}', "invalid_payload"),
        ("[" * 100_000, "invalid_payload"),
        ('{"attachments": [{"color": "good"}]}', "no_text"),
        ('{"text": "", "blocks": []}', "no_text"),
        (json.dumps({"attachments": [{"text": "y"}] * 101}), "too_many_attachments"),
    ],
)
def test_what_is_no_message_is_refused(lab: Any, body: str, answer: str) -> None:
    sandbox.enter("talk")
    assert post(body) == (400, answer)
    assert sandbox.arrived().empty


def test_a_message_that_is_nested_too_deeply_is_refused(lab: Any) -> None:
    """Close to Python's limit, JSON is read, and what looks at it next finds no room."""
    sandbox.enter("talk")
    deepest = range(sys.getrecursionlimit() - 60, sys.getrecursionlimit())
    for deep in deepest:
        status, _ = post('{"blocks": ' + "[" * deep + "]" * deep + "}")
        assert status == 400


@pytest.mark.weekly
def test_a_long_list_is_taken(lab: Any) -> None:
    """So long that whoever compares each item with all that it could be does not come to an end."""
    sandbox.enter("talk")
    item = {"type": "rich_text_section", "elements": [{"type": "text", "text": "y"}]}
    listed = {"type": "rich_text_list", "style": "bullet", "elements": [item] * 200_000}
    assert post(json.dumps({"blocks": [{"type": "rich_text", "elements": [listed]}]}))[0] == 200
    assert sandbox.slack_message()._repr_html_().count("<li>y</li>") == 200_000


def test_a_request_that_is_too_large_is_refused(lab: Any) -> None:
    sandbox.enter("talk")
    message = json.dumps({"text": "y"})
    assert post(message.rjust(MOST_BYTES)) == (200, "ok")
    assert post(message.rjust(MOST_BYTES + 1)) == (400, "invalid_payload")
    assert list(sandbox.arrived()["title"]) == ["y"]


def test_slack_cuts_a_long_text(lab: Any) -> None:
    sandbox.enter("talk")
    assert post(json.dumps({"text": "x" * 40_001})) == (200, "ok")
    assert sandbox.slack_message().text == "x" * 40_000


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [
        ("/services/T0SPY/B0SPY/\u00e9", "2", 403),
        ("", "two", 400),
        ("", "-1", 400),
        ("", "9" * 5000, 400),  # more digits than Python makes a number of
        ("", "", 400),
        ("", None, 400),
    ],
)
def test_a_malformed_request_is_answered(
    lab: Any, path: str, length: str | None, status: int
) -> None:
    sandbox.enter("talk")
    url = urllib.parse.urlsplit(webhook())
    line = http.client.HTTPConnection(url.hostname or "", url.port or 0, timeout=600)
    line.putrequest("POST", url.path, skip_accept_encoding=True)
    if path:
        line._buffer[0] = f"POST {path} HTTP/1.1".encode("latin-1")  # type: ignore[attr-defined]
    if length is not None:
        line.putheader("Content-Length", length)
    line.endheaders(b"{}")
    assert line.getresponse().status == status
