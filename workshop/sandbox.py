"""The sandbox: a gcloud, a Slack endpoint and a mail server on this machine, and what arrived.

The servers are stand-ins. They listen on loopback, on free ports, and end with the process.
Slack's answers are those of its documentation on incoming webhooks.
"""

import asyncio
import email.policy
import html
import json
import logging
import os
import re
import secrets
import shlex
import shutil
import socket
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from aiosmtpd.smtp import SMTP

from workshop import gcloud
from workshop.lab import DAG_VARIABLES, NOT_STARTED, current, is_real, tell_today
from workshop.problem import Problem

WORLDS = Path(__file__).parent / "worlds"
RECIPIENT = "ops@example.com"
SENDER = "airflow@example.com"
MAIL_TIMEOUT = 5  # seconds
SLOW_MAIL_SECONDS = MAIL_TIMEOUT + 1


@dataclass(frozen=True)
class SlackMessage:
    """A message that the Slack endpoint got, and its answer."""

    payload: dict[str, Any]
    status: int
    answer: str

    @property
    def text(self) -> str:
        """The message as a person reads it, without formatting."""
        lines = [str(self.payload.get("text", ""))]
        for attachment in self.payload.get("attachments", []):
            lines.append(str(attachment.get("pretext", "")))
            lines.append(str(attachment.get("text", "")))
            for one in attachment.get("fields", []):
                lines += [f"{one.get('title', '')}:", *str(one.get("value", "")).splitlines()]
        shown = [text.strip("*") for block in _blocks(self.payload) for text in block.splitlines()]
        return "\n".join(line for line in shown or lines if line)

    def __repr__(self) -> str:
        return f"Slack message, answered {self.status} {self.answer}\n{self.text}"

    def _repr_html_(self) -> str:
        blocks = _blocks(self.payload)
        # Where there are blocks, the text is for notifications alone.
        parts = [_paragraph(text) for text in blocks or [self.payload.get("text", "")]]
        for attachment in self.payload.get("attachments", []):
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
        head = f"<b>gcp_spy</b> · answered {self.status} {_escaped(self.answer)}"
        return _card(head, "".join(parts))


@dataclass(frozen=True)
class Mail:
    """A mail that the mail server took."""

    sender: str
    recipients: tuple[str, ...]
    subject: str
    html: str
    message_id: str = ""

    @property
    def text(self) -> str:
        """The mail's body without formatting."""
        lines = self.html.replace("<br>", "\n")
        return html.unescape(re.sub(r"<[^>]*>", "", lines)).rstrip()

    def __repr__(self) -> str:
        people = f"Mail from {self.sender} to {', '.join(self.recipients)}"
        return f"{people}\n{self.subject}\n\n{self.text}"

    def _repr_html_(self) -> str:
        # Everything is escaped; then the two marks that this mail needs are let through.
        body = re.sub(r"&lt;(/?b|br)&gt;", r"<\1>", _escaped(self.html))
        body = re.sub(r"(<br>)+$", "", body)
        people = f"From {_escaped(self.sender)} to {_escaped(', '.join(self.recipients))}"
        return _card(f"<b>{_escaped(self.subject)}</b><br>{people}", body)


def _escaped(text: Any) -> str:
    return html.escape(str(text), quote=True)


def _mrkdwn(text: Any) -> str:
    code = '<code style="background:#f1f1f1;color:#1b1b1b;padding:0 3px">\\1</code>'
    lines = [re.sub(r"`([^`]+)`", code, line) for line in _escaped(text).strip().splitlines()]
    return "<br>".join(re.sub(r"^\*(.+)\*$", r"<b>\1</b>", line) for line in lines)


def _blocks(payload: dict[str, Any]) -> list[str]:
    """Return the texts of a message's blocks, in order."""
    blocks = payload.get("blocks") or []
    texts = [it for block in blocks for it in (block.get("text"), *block.get("elements", [])) if it]
    return [html.unescape(str(it.get("text", ""))) for it in texts]


def _paragraph(text: Any) -> str:
    return f'<div style="margin:4px 0">{_mrkdwn(text)}</div>' if text else ""


def _color(value: Any) -> Any:
    return (
        value if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value) else "#dddddd"
    )


def _card(head: str, body: str) -> str:
    return (
        '<div style="background:#ffffff;color:#1b1b1b;border:1px solid #d0d0d0;border-radius:8px;'
        'padding:12px 16px;max-width:640px;font-family:Helvetica,Arial,sans-serif;font-size:14px">'
        f'<div style="color:#5f6368;border-bottom:1px solid #eeeeee;padding-bottom:6px;'
        f'margin-bottom:6px">{head}</div>{body}</div>'
    )


class Slack:
    """An HTTP endpoint that accepts and refuses what Slack's incoming webhooks do."""

    def __init__(self) -> None:
        self.messages: list[SlackMessage] = []
        self.fault: int | str | None = None
        self._since = 0.0  # when it failed first, of time.monotonic()
        self._listens = True
        self._secret = secrets.token_hex(12)
        self._listen(0)

    @property
    def webhook(self) -> str:
        """The webhook's address; its last part is a secret, as a real one's is."""
        return f"http://127.0.0.1:{self._server.server_port}/services/T0SPY/B0SPY/{self._secret}"

    def take(self, path: str, content_type: str, body: bytes) -> tuple[int, str]:
        """Return status and body of the answer to a request, and keep the message."""
        kind, *ids = path.strip("/").split("/")
        if kind != "services" or len(ids) != 3 or ids[:2] != ["T0SPY", "B0SPY"]:
            return 404, "no_service"
        if not secrets.compare_digest(ids[2], self._secret):
            return 403, "invalid_token"
        try:
            if content_type.startswith("application/x-www-form-urlencoded"):
                body = urllib.parse.parse_qs(body.decode())["payload"][0].encode()
            payload = json.loads(body)
        except (ValueError, KeyError):
            return 400, "invalid_payload"
        if not isinstance(payload, dict):
            return 400, "invalid_payload"
        if not any(payload.get(key) for key in ("text", "attachments", "blocks")):
            return 400, "no_text"
        if len(payload.get("attachments") or []) > 100:
            return 400, "too_many_attachments"
        if not _fits(payload.get("blocks") or []):
            return 400, "invalid_blocks"
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
        """Fail from now on as one of FAULTS says; None mends it."""
        self.fault, self._since = fault, 0.0
        if fault == REFUSED and self._listens:
            self._server.shutdown()
            self._server.server_close()
        elif fault != REFUSED and not self._listens:
            self._listen(self._server.server_port)
        self._listens = fault != REFUSED

    def _listen(self, port: int) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        serve = partial(self._server.serve_forever, poll_interval=0.05)
        threading.Thread(target=serve, name="slack", daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        slack = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                kind = self.headers.get("Content-Type", "")
                status, answer = slack.take(self.path, kind, body)
                if status == NO_STATUS:
                    time.sleep(SILENT_SECONDS)
                    self.close_connection = True
                    return
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", str(RETRY_AFTER))
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: the webhook's secret is in the path."""

        return Handler


def _fits(blocks: list[Any]) -> bool:
    """Return whether blocks are within Slack's limits: how many, and how long their texts are.

    Source: Slack's reference of blocks: 50 in a message, 3000 characters in a section, 150 in a
    header.
    """
    longest = {"section": 3000, "header": 150}
    texts = [
        (block.get("type"), str((block.get("text") or {}).get("text", ""))) for block in blocks
    ]
    return len(blocks) <= 50 and all(len(text) <= longest.get(kind, 3000) for kind, text in texts)


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


class MailServer:
    """An SMTP server that keeps what it gets; down means that nobody listens."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.fault: str | None = None
        self._was_slow = False
        logging.getLogger("mail.log").setLevel(logging.WARNING)  # else it talks into tasks' logs
        loop = asyncio.new_event_loop()
        # A thread of our own: aiosmtpd's controllers want one that keeps the kernel from ending.
        threading.Thread(target=loop.run_forever, name="mail", daemon=True).start()
        served = loop.create_server(lambda: SMTP(self, loop=loop), "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(served, loop).result(timeout=10)
        self._port: int = server.sockets[0].getsockname()[1]

    @property
    def connection(self) -> str:
        """The Airflow connection to it, as a URI: no TLS, one attempt, five seconds."""
        port = unused_port() if self.fault == "down" else self._port
        sender = urllib.parse.quote(SENDER)
        limits = f"timeout={MAIL_TIMEOUT}&retry_limit=0"
        options = f"disable_ssl=true&disable_tls=true&{limits}&from_email={sender}"
        return f"smtp://127.0.0.1:{port}?{options}"

    def set_fault(self, fault: str | None) -> None:
        """Fail from now on as one of FAULTS says; None mends it."""
        self.fault, self._was_slow = fault, False

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        """Take or refuse a recipient; aiosmtpd calls this."""
        if self.fault == "refused":
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep a mail; aiosmtpd calls this."""
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        body = message.get_body(("html", "plain"))
        self.mails.append(
            Mail(
                sender=str(envelope.mail_from),
                recipients=tuple(envelope.rcpt_tos),
                subject=str(message["subject"]),
                html=str(body.get_content()).replace("\r\n", "\n").rstrip("\n") if body else "",
                message_id=str(message["Message-ID"] or ""),
            )
        )
        if self.fault == "slow" and not self._was_slow:
            self._was_slow = True  # the first mail alone: so it is seen what a second try does
            await asyncio.sleep(SLOW_MAIL_SECONDS)
        return "250 OK"


def unused_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Sandbox:
    """The stand-ins of this process."""

    slack: Slack
    mail: MailServer
    world: str = ""
    path: Path = Path()
    home: Path = Path()
    world_faults: dict[str, Any] = field(default_factory=dict)
    switches: dict[str, Any] = field(default_factory=dict)  # None: mended

    @property
    def faults(self) -> dict[str, Any]:
        """What fails now, and how."""
        both = self.world_faults | self.switches
        return {what: kind for what, kind in both.items() if kind is not None}


_sandbox: Sandbox | None = None


def enter(name: str, home: Path | None = None) -> str:
    """Make the stand-ins answer as a world says, forget what arrived, and return a sentence.

    Args:
        name: a world: a file of the folder worlds beside the notebook, else one of the package's.
        home: where the program `gcloud` is put; by default this process's private Airflow.

    Raises:
        Problem: there is no such world, or its file is not right.
    """
    global _sandbox
    path = _find(name)
    try:
        world = gcloud.read_world(path)
        if not isinstance(world["faults"], dict):
            raise ValueError(f"{path.name}: write the faults as 'faults: {{slack: 500}}'.")
        for what, kind in world["faults"].items():
            _check_fault(what, kind)
    except (OSError, ValueError) as error:
        raise Problem(f"The world '{name}' cannot be used. {error}") from None
    _sandbox = _sandbox or Sandbox(Slack(), MailServer())
    _sandbox.world, _sandbox.path, _sandbox.home = name, path, home or current().home
    _sandbox.slack.messages.clear()
    _sandbox.mail.mails.clear()
    _install_gcloud(_sandbox.home, path)
    (_sandbox.home / "stopped.txt").unlink(missing_ok=True)
    _sandbox.world_faults, _sandbox.switches = world["faults"], {}
    _apply(_sandbox)
    count = sum(len(instances) for instances in world["services"].values())
    faults = _in_words(world["faults"])
    own = "" if path.parent == WORLDS else f" (your file worlds/{path.name})"
    return (
        f"Sandbox, world '{name}'{own}: {count} instances"
        f"{', faults: ' + faults if faults else ''}.\n"
        "gcloud, Slack and the mail server are stand-ins on this machine; nothing leaves it."
    )


@contextmanager
def visit(name: str) -> Iterator[Sandbox]:
    """Be in one of the package's own worlds, or at a world's file, then back, as if never away.

    Args:
        name: a world's name, or the path of its file.

    Raises:
        Problem: this is the real world, or the notebook has not started.
    """
    box = _switchable()
    before = replace(box)
    messages, mails = list(box.slack.messages), list(box.mail.mails)
    try:
        enter(str(WORLDS / f"{name}.yaml") if "/" not in name else name, box.home)
        yield box
    finally:
        box.slack.messages[:], box.mail.mails[:] = messages, mails
        box.world, box.path = before.world, before.path
        box.world_faults, box.switches = before.world_faults, before.switches
        _install_gcloud(box.home, box.path)
        _apply(box)


def _find(name: str) -> Path:
    if "/" in name and Path(name).is_file():
        return Path(name)
    for folder in (Path.cwd() / "worlds", WORLDS):
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    known = sorted({path.stem for path in WORLDS.glob("*.yaml")})
    raise Problem(f"There is no world '{name}'. The worlds are: {', '.join(known)}.")


FAULTS: dict[str, tuple[Any, ...]] = {
    **{
        service: ("denied", "no_credentials", "slow", "hanging", "empty")
        + (("partial",) if service == "compute" else ())
        for service in gcloud.COLUMNS
    },
    "gcloud": ("missing",),
    "slack": (*FAULT_ANSWERS, SILENT, REFUSED),
    "mail": ("down", "refused", "slow"),
}


def _check_fault(what: str, kind: Any) -> None:
    """Raise ValueError when there is no such fault."""
    if kind not in FAULTS.get(what, ()):
        can = "; ".join(f"{key}: {', '.join(map(str, FAULTS[key]))}" for key in FAULTS)
        raise ValueError(f"there is no fault '{what}: {kind}', only {can}.")


def _in_words(faults: dict[str, Any]) -> str:
    return ", ".join(f"{what} {kind}" for what, kind in sorted(faults.items()))


def _apply(box: Sandbox) -> None:
    """Make the stand-ins show the faults that are switched on; `gcloud` reads its at each call."""
    (box.home / "faults.json").write_text(json.dumps(box.switches), encoding="utf-8")
    box.slack.set_fault(box.faults.get("slack"))
    box.mail.set_fault(box.faults.get("mail"))
    _put_on_path(box.home, missing=box.faults.get("gcloud") == "missing")
    values = (box.slack.webhook, RECIPIENT, box.mail.connection)
    os.environ.update(zip(DAG_VARIABLES, values, strict=True))
    tell_today()


def fault(**switches: Any) -> None:
    """Switch faults of the sandbox on and off, and say which are on.

    Args:
        switches: what shall fail and how, for example `spanner="denied"`, `compute="slow"`,
            `sql="empty"`, `slack=500`, `mail="down"` or `gcloud="missing"`; None mends it.

    Raises:
        Problem: there is no such fault, or this is the real world.
    """
    set_faults(switches)
    print(f"Faults: {_in_words(faults_now()) or 'none'}.")


def set_faults(switches: dict[str, Any]) -> None:
    """Switch faults on and off; raises as `fault`, which says more."""
    box = _switchable()
    for what, kind in switches.items():
        if kind is not None or what not in FAULTS:
            try:
                _check_fault(what, kind)
            except ValueError as error:
                raise Problem(f"T{str(error)[1:]}") from None
    box.switches |= switches
    _apply(box)


def faults_now() -> dict[str, Any]:
    """Return the faults that are switched on; raise Problem where there are none to switch."""
    return _switchable().faults


def _switchable() -> Sandbox:
    if is_real():
        raise Problem("This is the real world: it has no switches. Leave GCPSPY_WORLD out for one.")
    if not _sandbox:
        raise Problem(NOT_STARTED)
    return _sandbox


def _install_gcloud(home: Path, world: Path) -> None:
    """Put a `gcloud` first on PATH that answers from a world's file."""
    folder = home / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / "gcloud"
    words = shlex.join([sys.executable, "-I", "-X", "utf8", gcloud.__file__, str(world),
                        str(home / "faults.json")])  # fmt: skip
    # A shell between them, because an interpreter's path with a blank cannot follow `#!`.
    program.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
    program.chmod(0o755)


_path: list[str] = []  # the folders of PATH before any stand-in was put there


def _put_on_path(home: Path, *, missing: bool) -> None:
    """Put the stand-in for `gcloud` first on PATH, or leave no gcloud there at all."""
    if not _path:
        _path.extend(os.environ.get("PATH", "").split(os.pathsep))
    folders = [str(home / "bin"), *_path]
    if missing:
        folders = [_without_gcloud(home, folder) for folder in _path]
    os.environ["PATH"] = os.pathsep.join(folders)


def _without_gcloud(home: Path, folder: str) -> str:
    """Return a folder of programs; one with a gcloud in it as a copy of links without that one."""
    if not shutil.which("gcloud", path=folder):
        return folder
    copy = home / "without" / folder.strip("/").replace("/", "-")
    if not copy.exists():
        copy.mkdir(parents=True)
        for program in Path(folder).iterdir():
            if program.name != "gcloud":
                (copy / program.name).symlink_to(program)
    return str(copy)


def use_real() -> str:
    """Check that everything real is there, and return a sentence that says so.

    Raises:
        Problem: gcloud or a variable is missing.
    """
    missing = [name for name in DAG_VARIABLES if not os.environ.get(name)]
    if not shutil.which("gcloud"):
        missing.insert(0, "the program gcloud")
    if missing:
        raise Problem(
            f"GCPSPY_WORLD=real asks for the real world, but there is no {', no '.join(missing)}. "
            "Set what is missing and restart JupyterLab, or leave GCPSPY_WORLD out for the sandbox."
        )
    tell_today()
    return "REAL WORLD: your own gcloud, Slack and mail server. Messages leave this machine."


def slack_message() -> Any:
    """Return the last message that the sandbox's Slack got; in the real world say where it is.

    Raises:
        Problem: none arrived.
    """
    return _last(lambda box: box.slack.messages, "message")


def mail() -> Any:
    """Return the last mail that the sandbox's mail server took; in the real world say where it is.

    Raises:
        Problem: none arrived.
    """
    return _last(lambda box: box.mail.mails, "mail")


T = TypeVar("T")


def _last(pick: Callable[[Sandbox], list[T]], what: str) -> T | None:
    if is_real():
        # Said, not raised: the notebook's other cells still have their turn.
        print(f"This is the real world: look for the {what} where it was sent.")
        return None
    arrived = pick(_sandbox) if _sandbox else []
    if not arrived:
        raise Problem(f"No {what} has arrived in this world. Run the DAG first.")
    return arrived[-1]


def arrived() -> pd.DataFrame:
    """Return all that arrived in this world: Slack messages, then mails; title, answer, lines."""
    slack = _sandbox.slack.messages if _sandbox else []
    mails = _sandbox.mail.mails if _sandbox else []
    rows = [("Slack", message.text, f"{message.status} {message.answer}") for message in slack]
    rows += [("mail", f"{mail.subject}\n{mail.text}", "250 OK") for mail in mails]
    frame = pd.DataFrame(rows, columns=["kind", "title", "answer"])
    frame["lines"] = frame["title"].str.count("\n") + 1
    frame["title"] = frame["title"].str.split("\n").str[0]
    return frame


def arrivals() -> list[SlackMessage | Mail]:
    """Return the messages, then the mails, that arrived in this world."""
    return [*_sandbox.slack.messages, *_sandbox.mail.mails] if _sandbox else []


def received() -> dict[str, Any]:
    """Return the world's name and all that arrived in it, as plain data."""
    assert _sandbox
    return {
        "world": _sandbox.world,
        "switches": _sandbox.switches,
        "slack": [message.payload for message in _sandbox.slack.messages],
        "mails": [
            {"to": list(mail.recipients), "subject": mail.subject, "html": mail.html}
            for mail in _sandbox.mail.mails
        ],
    }
