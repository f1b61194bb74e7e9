"""An SMTP server on loopback that keeps what it gets."""

import asyncio
import email.policy
import html
import logging
import re
import socket
import threading
import urllib.parse
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP

from workshop.sandbox.cards import mail_card

MAIL_FAULTS = ("down", "refused", "slow")
SENDER = "airflow@example.com"
MAIL_TIMEOUT = 5  # seconds
SLOW_MAIL_SECONDS = MAIL_TIMEOUT + 1


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
        return mail_card(self.subject, self.sender, ", ".join(self.recipients), self.html)


class MailServer:
    """An SMTP server that keeps what it gets; down means that nobody listens."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.fault: str | None = None  # one of MAIL_FAULTS
        logging.getLogger("mail.log").setLevel(logging.WARNING)  # else it talks into tasks' logs
        loop = asyncio.new_event_loop()
        # A thread of our own: aiosmtpd's controllers want one that keeps the kernel from ending.
        threading.Thread(target=loop.run_forever, name="mail", daemon=True).start()
        served = loop.create_server(lambda: SMTP(self, loop=loop), "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(served, loop).result(timeout=600)
        self._port: int = server.sockets[0].getsockname()[1]

    @property
    def connection(self) -> str:
        """The Airflow connection to it, as a URI: no TLS, one attempt, five seconds."""
        port = unused_port() if self.fault == "down" else self._port
        sender = urllib.parse.quote(SENDER)
        limits = f"timeout={MAIL_TIMEOUT}&retry_limit=0"
        options = f"disable_ssl=true&disable_tls=true&{limits}&from_email={sender}"
        return f"smtp://127.0.0.1:{port}?{options}"

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
        if self.fault == "slow":
            self.fault = None  # the first mail alone: so it is seen what a second try does
            await asyncio.sleep(SLOW_MAIL_SECONDS)
        return "250 OK"


def unused_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
