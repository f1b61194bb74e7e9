"""An HTTP endpoint on loopback that answers as Slack's documentation of incoming webhooks says."""

import json
import re
import secrets
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fastjsonschema
import yaml

from workshop.sandbox.cards import as_text
from workshop.sandbox.slackcard import message_card, message_html

RULES = yaml.safe_load(Path(__file__).with_name("slack_rules.yaml").read_text(encoding="utf-8"))
# Source: https://api.slack.com/changelog/2018-04-truncating-really-long-messages
LONGEST_TEXT = 40_000
MOST_ATTACHMENTS = 100
MOST_BYTES = 20_000_000  # of a request: more than attachments full of long blocks have
RETRY_AFTER = 1  # seconds, which the limit of the rate lasts and says
SILENT, REFUSED = "silent", "refused"
SILENT_SECONDS = 6  # then the connection is closed; a real one may stay open much longer
NO_STATUS, NO_ANSWER = 0, "no answer"
FAULT_ANSWERS = {
    400: "invalid_payload",
    403: "action_prohibited",
    404: "channel_not_found",
    410: "channel_is_archived",
    429: "rate_limited",
    500: "rollup_error",
}
SLACK_FAULTS = (*FAULT_ANSWERS, SILENT, REFUSED)


@dataclass(frozen=True)
class SlackMessage:
    """A message that the Slack endpoint got, and its answer."""

    payload: dict[str, Any]
    status: int
    answer: str

    @property
    def text(self) -> str:
        """The message as a person reads it, without formatting."""
        return as_text(message_html(self.payload))

    def __repr__(self) -> str:
        return f"Slack message, answered {self.status} {self.answer}\n{self.text}"

    def _repr_html_(self) -> str:
        return message_card(self.payload, f"{self.status} {self.answer}")


class Slack:
    """An HTTP endpoint that accepts and refuses what Slack's incoming webhooks do.

    Args:
        host: the address to listen on.
        port: by default a free one.
        secret: the last part of the webhook's path; by default a new one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, secret: str = "") -> None:
        self.messages: list[SlackMessage] = []
        self.fault: int | str | None = None
        self._since = 0.0  # when it failed first, of time.monotonic()
        self._secret = secret or secrets.token_hex(12)
        self._host = host
        self._listen(port)

    @property
    def webhook(self) -> str:
        """The webhook's address; its last part is a secret, as a real one's is."""
        return f"http://127.0.0.1:{self._server.server_port}/services/T0SPY/B0SPY/{self._secret}"

    def take(self, path: str, content_type: str, body: bytes) -> tuple[int, str]:
        """Return status and body of the answer to a request, and keep the message."""
        kind, *ids = path.strip("/").split("/")
        if kind != "services" or len(ids) != 3 or ids[:2] != ["T0SPY", "B0SPY"]:
            return 404, "no_service"
        if not secrets.compare_digest(ids[2].encode(), self._secret.encode()):
            return 403, "invalid_token"
        try:
            payload = _payload(content_type, body)
            refusal = _refusal(payload)
        except (ValueError, KeyError, RecursionError):
            refusal = "invalid_payload"
        if refusal:
            return 400, refusal
        if "text" in payload:
            payload["text"] = str(payload["text"])[:LONGEST_TEXT]
        status, answer = self._fail() if self.fault else (200, "ok")
        self.messages.append(SlackMessage(payload, status, answer))
        return status, answer

    def _fail(self) -> tuple[int, str]:
        """Return status and answer as the fault has them; a limit of the rate passes by itself."""
        first, self._since = not self._since, self._since or time.monotonic()
        if self.fault == SILENT:
            return (NO_STATUS, NO_ANSWER) if first else (200, "ok")
        if self.fault == 429 and time.monotonic() - self._since >= RETRY_AFTER:
            return 200, "ok"
        assert isinstance(self.fault, int)
        return self.fault, FAULT_ANSWERS[self.fault]

    def set_fault(self, fault: int | str | None) -> None:
        """Fail from now on as one of SLACK_FAULTS says; with None it works again."""
        before, self.fault, self._since = self.fault, fault, 0.0
        if fault == REFUSED and before != REFUSED:
            self._server.shutdown()
            self._server.server_close()
        elif fault != REFUSED and before == REFUSED:
            self._listen(self._server.server_port)

    def _listen(self, port: int) -> None:
        self._server = ThreadingHTTPServer((self._host, port), partial(_Handler, self))
        serve = partial(self._server.serve_forever, poll_interval=0.05)
        threading.Thread(target=serve, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, slack: Slack, *request: Any) -> None:
        self._slack = slack
        super().__init__(*request)  # answers it

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(int(length) if re.fullmatch("[0-9]{1,8}", length) else 0)
        kind = self.headers.get("Content-Type", "")
        status, answer = self._slack.take(self.path, kind, body)
        if status == NO_STATUS:
            time.sleep(SILENT_SECONDS)
            return
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", str(RETRY_AFTER))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the webhook's secret is in the path."""


def without_webhook(message: str) -> str:
    """Return a text without the last part of a webhook's address, which is a secret."""
    return re.sub(r"/services/[\w/-]+", "/services/…", message)


def _payload(content_type: str, body: bytes) -> dict[str, Any]:
    """Return what was posted.

    Raises:
        ValueError, KeyError, RecursionError: it is no JSON object, or holds what no text can.
    """
    if len(body) > MOST_BYTES:
        raise ValueError("Slack names no limit; this one keeps a message short enough to show")
    if content_type.startswith("application/x-www-form-urlencoded"):
        body = urllib.parse.parse_qs(body.decode())["payload"][0].encode()
    payload = json.loads(body)
    if not isinstance(payload, dict):
        raise ValueError("a message is an object")
    # NaN and halves of a character pass json.loads; no notebook could show the latter.
    json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()
    return payload


def _refusal(payload: dict[str, Any]) -> str:
    """Return Slack's word for what is wrong with a message; nothing where it takes it.

    Sources: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks for the words
    of a webhook, github.com/slackapi/java-slack-sdk/issues/415 for `invalid_attachments`.
    """
    attachments = payload.get("attachments", [])
    if not _follows("scalar", payload.get("text", "")):
        return "invalid_payload"
    if not _follows("blocks", payload.get("blocks", [])):
        return "invalid_blocks"
    if isinstance(attachments, list) and len(attachments) > MOST_ATTACHMENTS:
        return "too_many_attachments"
    if not _follows("attachments", attachments):
        return "invalid_attachments"
    return "" if message_html(payload) else "no_text"


def _follows(rule: str, value: Any) -> bool:
    """Return whether a value follows one of RULES."""
    try:
        _validator(rule)(value)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


@cache
def _validator(rule: str) -> Callable[[Any], Any]:
    """Return the function that one of RULES is compiled to: it takes long lists in milliseconds."""
    validator: Callable[[Any], Any] = fastjsonschema.compile({"$ref": f"#/$defs/{rule}", **RULES})
    return validator
