"""An SMTP server on loopback that keeps what it gets."""

import asyncio
import email.policy
import email.utils
import html
import logging
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP

from workshop.sandbox.cards import as_text
from workshop.sandbox.mailcard import Part, attached, mail_card

MAIL_FAULTS = ("down", "refused", "one_refused", "slow")
GONE = "gone@example.com"  # nobody has this mailbox
SENDER = "airflow@example.com"
SLOW_MAIL_SECONDS = 6  # then the connection is closed, without an answer


@dataclass(frozen=True)
class Mail:
    """A mail that the mail server took."""

    sender: str
    recipients: tuple[str, ...]
    subject: str
    html: str
    message_id: str = ""
    cc: tuple[str, ...] = ()  # of the recipients
    bcc: tuple[str, ...] = ()  # of the recipients: those whom the mail itself does not name
    parts: tuple[Part, ...] = ()

    @property
    def text(self) -> str:
        """The mail's body without formatting."""
        return as_text(self.html)

    @property
    def to(self) -> list[str]:
        """Those to whom it was written, without cc and bcc."""
        return [it for it in self.recipients if it not in (*self.cc, *self.bcc)]

    @property
    def people(self) -> str:
        """Who sent it to whom, a line a kind."""
        to = f" to {', '.join(self.to)}" if self.to else ""
        lines = [f"from {self.sender}{to}"]
        lines += [f"cc {', '.join(self.cc)}"] if self.cc else []
        lines += [f"bcc {', '.join(self.bcc)}, whom the others do not see"] if self.bcc else []
        return "\n".join(lines)

    def __repr__(self) -> str:
        lines = [f"Mail {self.people}", self.subject, "", self.text]
        return "\n".join(
            [*lines, *(f"Attached: {part}" for part in attached(self.html, self.parts))]
        )

    def _repr_html_(self) -> str:
        people = self.people[0].upper() + self.people[1:]
        return mail_card(self.subject, people, self.html, self.parts)


class MailServer:
    """An SMTP server that keeps what it gets; down means that nobody listens.

    Args:
        host: the address to listen on.
        port: by default a free one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.mails: list[Mail] = []
        self.fault: str | None = None  # one of MAIL_FAULTS
        logging.getLogger("mail.log").setLevel(logging.WARNING)  # else it talks into tasks' logs
        loop = asyncio.new_event_loop()
        # A thread of our own: aiosmtpd's controllers want one that keeps the kernel from ending.
        threading.Thread(target=loop.run_forever, daemon=True).start()
        served = loop.create_server(lambda: SMTP(self), host, port)
        server = asyncio.run_coroutine_threadsafe(served, loop).result(timeout=600)
        self._port: int = server.sockets[0].getsockname()[1]

    @property
    def connection(self) -> str:
        """The Airflow connection to it, as a URI: no TLS, one attempt."""
        port = unused_port() if self.fault == "down" else self._port
        sender = urllib.parse.quote(SENDER)
        # No short timeout: on a busy machine each answer takes a while, and a mail went out twice.
        options = f"disable_ssl=true&disable_tls=true&retry_limit=0&from_email={sender}"
        return f"smtp://127.0.0.1:{port}?{options}"

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        """Take or refuse a recipient; aiosmtpd calls this."""
        if self.fault == "refused" or address == GONE:
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep a mail; aiosmtpd calls this."""
        self.mails.append(_mail(envelope))
        if self.fault == "slow":
            self.fault = None  # the first mail alone: so it is seen what a second try does
            await asyncio.sleep(SLOW_MAIL_SECONDS)
            server.transport.close()
        return "250 OK"


def _mail(envelope: Any) -> Mail:
    """Return what aiosmtpd took, as a mail."""
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    try:
        body = message.get_body(("html", "plain"))
    except AttributeError:  # a multipart/related without parts
        body = None
    text = "" if body is None else _decoded(body)  # without headers it is false
    if body is not None and body.get_content_subtype() == "plain":
        text = html.escape(text).replace("\n", "<br>\n")
    to, cc = _addresses(message, "To"), _addresses(message, "Cc")
    recipients = tuple(envelope.rcpt_tos)
    return Mail(
        sender=str(envelope.mail_from),
        recipients=recipients,
        subject=str(message["Subject"] or ""),
        html=text,
        message_id="".join(_raw(message, "Message-ID")),
        cc=tuple(it for it in recipients if it.lower() in cc - to),
        bcc=tuple(it for it in recipients if it.lower() not in cc | to),
        parts=tuple(_part(it) for it in _files(message) if it is not body),
    )


def _decoded(body: Any) -> str:
    """Return a part's text; what its charset does not have, or Python does not know, is marked."""
    content = body.get_payload(decode=True)
    try:
        text = content.decode(body.get_content_charset("utf-8"), errors="replace")
    except (LookupError, ValueError):  # no such charset, or no name of one
        text = content.decode("ascii", errors="replace")
    return str(text).replace("\r\n", "\n").rstrip("\n")


def _addresses(message: EmailMessage, header: str) -> set[str]:
    pairs = email.utils.getaddresses(_raw(message, header))
    return {address.lower() for _, address in pairs}


def _raw(message: Any, header: str) -> list[str]:
    """Return a header's values as they were sent: to parse a malformed one can raise anything."""
    values = [str(it) for name, it in message.raw_items() if name.lower() == header.lower()]
    return [" ".join(value.encode(errors="replace").decode().split()) for value in values]


def _files(part: Any) -> Iterator[Any]:
    """Yield the files in a part: no text that is the mail's own, nothing out of a mail in it."""
    if part.get_content_maintype() == "multipart":
        for inner in part.get_payload() if part.is_multipart() else ():
            yield from _files(inner)
    elif (
        part.get_content_type() not in ("text/html", "text/plain")
        or part.get_filename()
        or part.get_content_disposition() == "attachment"
    ):
        yield part


def _part(part: Any) -> Part:
    kind = part.get_content_type()
    content = part.get_payload(decode=True)
    return Part(
        name=" ".join(str(part.get_filename() or kind).split()),
        kind=kind,
        content=bytes(part.get_payload(0)) if content is None else content,
        content_id="".join(_raw(part, "Content-ID")).strip("<>"),
    )


def unused_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
