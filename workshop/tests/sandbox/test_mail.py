"""The mail server."""

import os
import smtplib
import urllib.parse
from email.message import EmailMessage
from typing import Any

import pytest

from workshop import sandbox


def test_the_mail_server_takes_a_mail(lab: Any) -> None:
    sandbox.enter("talk")
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Żółw", "a@example.com", "b@example.com"
    message.set_content("plain")
    message.add_alternative("<b>Cloud SQL</b>:<br>gęś<br>", subtype="html")
    address = urllib.parse.urlsplit(os.environ["AIRFLOW_CONN_SMTP_DEFAULT"])
    assert address.hostname == "127.0.0.1"
    with smtplib.SMTP(address.hostname, address.port or 0, timeout=600) as server:
        server.send_message(message)
    got = sandbox.mail()
    assert (got.sender, got.recipients) == ("a@example.com", ("b@example.com",))
    assert (got.subject, got.html) == ("Żółw", "<b>Cloud SQL</b>:<br>gęś<br>")
    assert repr(got).splitlines()[-2:] == ["Cloud SQL:", "gęś"]


def test_a_mail_server_that_is_down_refuses(enter: Any) -> None:
    enter("services: {}\nfaults: {mail: down}\n")
    address = urllib.parse.urlsplit(os.environ["AIRFLOW_CONN_SMTP_DEFAULT"])
    with pytest.raises(ConnectionRefusedError):
        smtplib.SMTP(address.hostname or "", address.port or 0, timeout=5)
