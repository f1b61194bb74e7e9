"""The Slack endpoint accepts and refuses what Slack's incoming webhooks do."""

import json
import urllib.parse
from typing import Any

import pytest
import requests

from workshop import sandbox
from workshop.sandbox import slack
from workshop.sandbox.slack import FAULT_ANSWERS
from workshop.tests.sandbox.tools import post, webhook


def test_slack_takes_messages(lab: Any) -> None:
    sandbox.enter("talk")
    assert post(json.dumps({"text": "hello"})) == (200, "ok")
    assert post(json.dumps({"attachments": [{"text": "a"}]})) == (200, "ok")
    form = urllib.parse.urlencode({"payload": json.dumps({"text": "form"})})
    assert post(form, kind="application/x-www-form-urlencoded") == (200, "ok")
    assert sandbox.slack_message().text == "form"
    assert list(sandbox.arrived()["title"]) == ["hello", "a", "form"]


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


def test_slack_takes_a_message_and_is_silent_once(enter: Any) -> None:
    enter("services: {}\nfaults: {slack: silent}\n")
    with pytest.raises(requests.Timeout):
        requests.post(webhook(), json={"text": "x"}, timeout=3)  # half of the silence
    assert post(json.dumps({"text": "x"})) == (200, "ok")
    assert list(sandbox.arrived()["answer"]) == ["0 no answer", "200 ok"]


def test_slack_refuses_connections_until_they_work_again(lab: Any) -> None:
    sandbox.enter("talk")
    sandbox.set_faults({"slack": "refused"})
    with pytest.raises(requests.ConnectionError):
        post(json.dumps({"text": "x"}))
    sandbox.set_faults({"slack": None})
    assert post(json.dumps({"text": "x"})) == (200, "ok")


@pytest.mark.parametrize(
    "payload",
    [
        {"blocks": [{"type": "divider"}] * 51},
        {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]},
        {"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]},
    ],
)
def test_slack_refuses_blocks_beyond_its_limits(lab: Any, payload: Any) -> None:
    sandbox.enter("talk")
    assert post(json.dumps(payload)) == (400, "invalid_blocks")
    assert post(json.dumps({"attachments": [{"text": "x"}] * 101}))[1] == "too_many_attachments"
