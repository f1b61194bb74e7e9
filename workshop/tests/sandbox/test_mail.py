"""The mail server, and how a mail is shown."""

import email.policy
import logging
import os
import re
import smtplib
import urllib.parse
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any

import pytest

from workshop import sandbox
from workshop.lab import current
from workshop.sandbox import mailcard, mailserver
from workshop.sandbox.cards import as_text, card


def send(content: EmailMessage | bytes, *recipients: str) -> Any:
    """Send a mail, and return what arrived."""
    address = urllib.parse.urlsplit(os.environ["AIRFLOW_CONN_SMTP_DEFAULT"])
    assert address.hostname == "127.0.0.1"
    with smtplib.SMTP(address.hostname, address.port or 0, timeout=600) as server:
        data = content if isinstance(content, bytes) else content.as_bytes(policy=email.policy.SMTP)
        server.sendmail("a@example.com", recipients or ["b@example.com"], data)
    return sandbox.mail()


def letter(markup: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["To"] = "Żółw", "b@example.com"
    message.set_content("plain")
    message.add_alternative(markup, subtype="html")
    return message


def test_the_mail_server_takes_a_mail(lab: Any) -> None:
    sandbox.enter("talk")
    got = send(letter("<b>Cloud SQL</b>:<br>gęś<br>"))
    assert (got.sender, got.recipients) == ("a@example.com", ("b@example.com",))
    assert (got.subject, got.html) == ("Żółw", "<b>Cloud SQL</b>:<br>gęś<br>")
    people = "from a@example.com to b@example.com"
    assert repr(got) == f"Mail {people}\nŻółw\n\nCloud SQL:\ngęś"


def test_one_of_two_mailboxes_is_not_there(enter: Any) -> None:
    enter("services: {}\nfaults: {mail: one_refused}\n")
    both = os.environ["GCPSPY_RECIPIENT_EMAIL"]
    assert both == os.environ["AIRFLOW_VAR_GCP_SPY_RECIPIENT"]
    there, gone = both.split(", ")
    box = current()[sandbox.Sandbox]
    port = urllib.parse.urlsplit(box.mail.connection).port
    with smtplib.SMTP("127.0.0.1", port or 0) as server:
        refused = server.sendmail("a@example.com", [there, gone], "Subject: hello\n\nhello")
    assert refused == {gone: (550, b"5.1.1 No such mailbox")}
    assert box.mail.mails[-1].recipients == (there,)
    sandbox.set_faults({"mail": None})
    assert os.environ["GCPSPY_RECIPIENT_EMAIL"] == there


def test_a_mailbox_that_is_not_there_is_refused(enter: Any) -> None:
    enter("services: {}\nfaults: {mail: refused}\n")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(letter("x"))
    assert refused.value.recipients == {"b@example.com": (550, b"5.1.1 No such mailbox")}
    assert sandbox.arrived().empty


def test_a_slow_server_takes_the_first_mail_too_late(enter: Any, monkeypatch: Any) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    enter("services: {}\nfaults: {mail: slow}\n")
    monkeypatch.setattr(mailserver, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(letter("x"))
    assert len(sandbox.arrivals()) == 1
    send(letter("x"))
    assert len(sandbox.arrivals()) == 2 and waited == [mailserver.SLOW_MAIL_SECONDS]
    assert "timeout" not in os.environ["AIRFLOW_CONN_SMTP_DEFAULT"], "a busy machine is no fault"


def test_a_port_that_nobody_listens_on_is_one_that_anybody_may_take() -> None:
    assert mailserver.unused_port() > 1023


def test_headers_and_text_are_read_as_they_were_written(lab: Any) -> None:
    sandbox.enter("talk")
    got = send(
        b"Message-ID: <one\r\n two@example.com>\r\nCc: \xff <c@example.com>\r\n"
        b"Content-Type: text/html; charset=iso-8859-2\r\n\r\nza\xbf\xf3\xb3\xe6",
        "c@example.com",
    )
    assert (got.message_id, got.cc, got.text) == (
        "<one two@example.com>", ("c@example.com",), "zażółć",
    )  # fmt: skip


def test_each_mail_server_keeps_its_own() -> None:
    one, other = sandbox.MailServer(), sandbox.MailServer()
    address = urllib.parse.urlsplit(one.connection)
    with smtplib.SMTP(address.hostname or "", address.port or 0, timeout=600) as server:
        server.sendmail("a@example.com", "b@example.com", "Subject: mine\n\nwords")
    assert [(it.subject, it.text) for it in one.mails] == [("mine", "words")]
    assert other.mails == [] and other.fault is None


def test_the_mail_server_says_only_in_a_task_s_log_what_is_wrong() -> None:
    log = logging.getLogger("mail.log")
    log.setLevel(logging.INFO)
    sandbox.MailServer()
    assert not log.isEnabledFor(logging.INFO)
    assert log.isEnabledFor(logging.WARNING)


def test_a_mail_is_shown_as_html(lab: Any) -> None:
    sandbox.enter("talk")
    page = (
        "<html><head><title>t</title><style>p {color: red}</style></head><body><h2>Report</h2>"
        "<table><tr><th>disk</th><th>size</th></tr><tr><td>logs</td><td>20</td></tr></table>"
        "<p>one<br/>two</p><ol><li><a href='https://example.org/?a=1&amp;b=2'>more</a></li></ol>"
    )
    got = send(letter(page))
    shown = got._repr_html_()
    for markup in ("<h2>Report</h2>", "<th>disk</th>", "<td>20</td>", "<p>one<br>two</p>", "<li>"):
        assert markup in shown
    assert 'href="https://example.org/?a=1&amp;b=2"' in shown
    assert got.text == "Report\n\ndisk size\nlogs 20\n\none\ntwo\n\n- more"


def test_a_part_that_should_have_parts_and_has_none_breaks_nothing(lab: Any) -> None:
    sandbox.enter("talk")
    got = send(
        b"Subject: odd\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
        b"--x\r\nContent-Type: multipart/related\r\n\r\nnothing\r\n--x--\r\n"
    )
    assert (got.subject, got.html) == ("odd", "")


@pytest.mark.parametrize(
    "attack",
    [
        "<script>steal()</script>",
        "<img src=x onerror='steal()'>",
        "<a href='javascript:steal()'>x</a>",
        "<a href='JaVaScRiPt:steal()'>x</a>",
        "<a href='data:text/html,steal'>x</a>",
        "<a href='/lab?steal'>x</a>",
        "<iframe src='https://example.org/steal'></iframe>",
        "<form action='https://example.org/steal'><input></form>",
        "<img src='https://example.org/steal.png'>",
        "<img src='data:image/svg+xml,steal'>",
        "<p style='background:url(https://example.org/steal)'>x</p>",
        "<p style='position:fixed;top:0' id=steal class=steal onclick='steal()'>x</p>",
        "<svg onload='steal()'></svg><style>@import 'steal'</style><!-- steal -->",
    ],
)
def test_nothing_foreign_runs_or_is_loaded(lab: Any, attack: str) -> None:
    sandbox.enter("talk")
    shown = send(letter(f"<b>kept</b>{attack}"))._repr_html_()
    assert "<b>kept</b>" in shown
    assert "steal" not in shown and "fixed" not in shown


def test_pictures_and_attachments(lab: Any) -> None:
    sandbox.enter("talk")
    message = letter("<img src='cid:plot' alt='costs'><img src='cid:lost'><img src='cid:drawn'>")
    page: Any = message.get_payload(1)
    page.add_related(b"\x89PNG", "image", "png", cid="<plot>")
    page.add_related(b"<svg/>", "image", "svg+xml", cid="<drawn>", filename="drawn.svg")
    message.add_attachment(b"a;b", maintype="text", subtype="csv", filename="<i>sizes.csv")
    got = send(message)
    shown = got._repr_html_()
    assert '<img src="data:image/png;base64,iVBORw==" alt="costs">' in shown
    assert "svg+xml" not in shown and "A picture is left out." in shown
    foot = ["Attached: drawn.svg (6 bytes)", "Attached: &lt;i&gt;sizes.csv (3 bytes)",
            "A picture is left out."]  # fmt: skip
    gray = '<div style="color:#5f6368;margin-top:6px">{}</div>'.format
    assert shown.endswith("".join(map(gray, foot)) + "</div>")
    attached = ["Attached: drawn.svg (6 bytes)", "Attached: <i>sizes.csv (3 bytes)"]
    assert repr(got).splitlines()[-2:] == attached


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("https://example.org/a.png", ["A picture from another address is not loaded."]),
        (" HTTPS://example.org/a.png", ["A picture from another address is not loaded."]),
        ("//example.org/a.png", ["A picture from another address is not loaded."]),
        ("cid:lost", ["A picture is left out."]),
        ("data:image/png;base64,iVBORw==", ["A picture is left out."]),
        ("plots/a.png", ["A picture is left out."]),
        ("", ["A picture is left out."]),
        (
            "cid:lost'><img src='http://example.org/a.png",
            ["A picture is left out.", "A picture from another address is not loaded."],
        ),
    ],
)
def test_a_picture_that_is_not_shown_is_said(lab: Any, source: str, said: list[str]) -> None:
    sandbox.enter("talk")
    shown = send(letter(f"<img src='{source}'>"))._repr_html_()
    assert re.findall("A picture [a-z ]+[.]", shown) == said


def test_a_picture_that_would_fill_the_page_is_left_out(lab: Any, monkeypatch: Any) -> None:
    sandbox.enter("talk")
    monkeypatch.setattr(mailcard, "MOST_BYTES", 3 * 4)
    message = letter("<img src='cid:plot'>" * 5)
    page: Any = message.get_payload(1)
    page.add_related(b"\x89PNG", "image", "png", cid="<plot>")
    shown = send(message)._repr_html_()
    assert shown.count("data:image/png") == 3
    assert shown.count("A picture is left out.") == 1


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        ("x<br><br> <br>", "x"),
        ("x<br>y", "x<br>y"),
        ("<a href=' HTTPS://example.org/'>x</a>",
         '<a href=" HTTPS://example.org/" rel="noopener noreferrer">x</a>'),
        ("<a href='mailto:a@example.org'>x</a>",
         '<a href="mailto:a@example.org" rel="noopener noreferrer">x</a>'),
        ("<a href='tel:112'>x</a>", '<a href="tel:112" rel="noopener noreferrer">x</a>'),
        ("<q cite='https://example.org/'>x</q>", '<q cite="https://example.org/">x</q>'),
        ("<q cite='lab'>x</q>", "<q>x</q>"),
        ("<b style='color:red;position:fixed'>x</b>", '<b style="color:red">x</b>'),
        ("<td colspan=2>x", "x"),
    ],
)  # fmt: skip
def test_what_is_harmless_is_shown_as_it_was_sent(lab: Any, markup: str, shown: str) -> None:
    sandbox.enter("talk")
    head, _, body = send(letter(markup))._repr_html_().rpartition("b@example.com</div>")
    assert head.endswith("<b>Żółw</b><br>From a@example.com to ")
    assert body == f"{shown}</div>"


def test_a_card_is_readable_on_a_dark_page() -> None:
    shown = card("<b>head</b>", "<i>body</i>")
    assert shown.startswith('<div style="background:#ffffff;color:#1b1b1b;border:1px solid #d0d0d0')
    assert shown.endswith("><b>head</b></div><i>body</i></div>")
    assert shown.count('<div style="') == 2


@pytest.mark.parametrize(
    ("kind", "more", "shown"),
    [
        ("plain", {"filename": "notes.txt"}, "notes.txt (5 bytes)"),
        ("plain", {"filename": "notes.txt", "disposition": "inline"}, "notes.txt (5 bytes)"),
        ("plain", {"disposition": "attachment"}, "text/plain (5 bytes)"),
        ("html", {"filename": "page.html"}, "page.html (5 bytes)"),
        ("csv", {"disposition": "inline"}, "text/csv (5 bytes)"),
        ("calendar", {"params": {"method": "REQUEST"}}, "text/calendar (5 bytes)"),
    ],
)
def test_a_text_that_is_a_file_is_listed(lab: Any, kind: str, more: Any, shown: str) -> None:
    sandbox.enter("talk")
    message = letter("words")
    message.add_attachment("spy\n", subtype=kind, **more)
    got = send(message)
    assert repr(got).splitlines()[-2:] == ["words", f"Attached: {shown}"]
    assert f"Attached: {shown}" in got._repr_html_()


def test_a_second_text_of_the_mail_s_own_is_no_file(lab: Any) -> None:
    sandbox.enter("talk")
    message = letter("words")
    message.make_mixed()
    second = EmailMessage()
    second.set_content("more", subtype="html")
    message.attach(second)
    assert repr(send(message)).splitlines()[-1] == "words"


def test_an_invitation_beside_the_text_is_listed(lab: Any) -> None:
    sandbox.enter("talk")
    message = letter("words")
    message.add_alternative("BEGIN:VCALENDAR", subtype="calendar")
    assert repr(send(message)).splitlines()[-1] == "Attached: text/calendar (17 bytes)"


@pytest.mark.parametrize("header", ["To: @@,<", "Subject: \u017c", "Content-Type: text/html; ="])
def test_a_mail_in_a_mail_is_one_file(lab: Any, header: str) -> None:
    sandbox.enter("talk")
    inner = f'{header}\r\nContent-Disposition: attachment; filename="inside.txt"\r\n\r\nwords'
    got = send(
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nouter\r\n--x\r\n"
        b"Content-Type: message/rfc822; name=old.eml\r\n\r\n" + inner.encode() + b"\r\n--x--"
    )
    assert got.text == "outer"
    (part,) = got.parts
    assert part.name == "old.eml"


def test_cc_and_bcc_are_told_apart(lab: Any) -> None:
    sandbox.enter("talk")
    message = letter("x")
    message["Cc"] = "Cecil <C@example.com>"
    got = send(message, "b@example.com", "c@example.com", "d@example.com")
    people = ["from a@example.com to b@example.com", "cc c@example.com",
              "bcc d@example.com, whom the others do not see"]  # fmt: skip
    assert repr(got).splitlines()[:3] == [f"Mail {people[0]}", *people[1:]]
    assert f"From{people[0][4:]}<br>{people[1]}<br>{people[2]}" in got._repr_html_()
    (plain,) = sandbox.received()["mails"]
    whom = {"to": ["b@example.com"], "cc": ["c@example.com"], "bcc": ["d@example.com"]}
    assert whom.items() <= plain.items()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"Subject: s\r\n\r\n1 < 2\r\n<b>3</b>", "1 < 2\n<b>3</b>"),
        (b"Content-Type: text/html; charset=none-such\r\n\r\n<i>a</i> b", "a b"),
        (b"Content-Type: text/html; charset=none-such\r\n\r\na\xffb", "a\ufffdb"),
        (b'Content-Type: text/html; charset="\0"\r\n\r\n<i>a</i> b', "a b"),
        (b"Content-Type: text/html; charset=utf-8\r\n\r\na\xffb", "a\ufffdb"),
        (b"Subject: \xff\r\nTo: @@,<\r\nMessage-ID: [<>]\r\n\r\nkept", "kept"),
        (b"Content-Type: multipart/mixed\r\n\r\nno border", ""),
        (b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!", ""),
    ],
)
def test_a_malformed_mail_is_shown(lab: Any, content: bytes, text: str) -> None:
    sandbox.enter("talk")
    got = send(content)
    assert got.text == text
    assert (repr(got) + got._repr_html_()).encode()


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<div>a<div>b</div></div>c", "a\nb\nc"),
        ("<div>a<br></div><div>b</div>", "a\nb"),
        ("a<br><br><br><br>b", "a\n\nb"),
        ("<p>a\n  b</p> <p>c</p>", "a b\n\nc"),
        ("<pre>a\n   b</pre>", "a\n   b"),
        ("un<b>broken</b> &lt;word&gt;&nbsp;&amp;", "unbroken <word> &"),
        ("<img alt=plot src=x><img src=y>", "[plot][image]"),
        ("<table><td>not closed<td>twice <b>bold", "not closed twice bold"),
    ],
)
def test_html_as_text_keeps_words_apart(markup: str, text: str) -> None:
    assert as_text(markup) == text


@pytest.mark.weekly
def test_html_with_very_many_blanks_is_text(lab: Any) -> None:
    """So many that whoever looks again from each of them does not come to an end."""
    many = 300_000
    assert as_text("a" + "<br> " * many + "b") == "a\n\nb"
    assert as_text("<p>a</p>" + "<div> </div>" * many + "<p>b</p>") == "a\n\nb"
    assert as_text(f"<pre>a{' ' * many}b</pre>") == f"a{' ' * many}b"


@pytest.mark.parametrize("nested", ["<div>", "<b>", "<p><b class={}>", "<table><tr><td>", "<x-y>"])
def test_a_page_that_is_nested_too_deeply_is_not_shown(lab: Any, nested: str) -> None:
    sandbox.enter("talk")
    got = send(letter("kept" + "".join(nested.format(each) for each in range(600))))
    sentence = "This HTML has more than 512 elements in each other: it is not shown."
    assert got.text == sentence
    assert sentence in got._repr_html_()


def test_the_first_element_that_is_too_deep_is_the_513th() -> None:
    assert as_text("<div>" * 512 + "kept") == "kept"
    assert "kept" not in as_text("<div>" * 513 + "kept")


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 512 + "kept",
        "<p>kept<br>" * 2000,
        "<table><tr><td>kept" * 2 + "<tr><td>kept<td>kept" * 2000,
        "<ul>" + "<li>kept" * 2000,
        "<B>kept</b >" * 2000,
        "kept<img src=x><br/><hr>" * 2000,
        "<!-- <div> -->kept" * 2000,
    ],
)
def test_a_page_that_is_long_is_shown(lab: Any, page: str) -> None:
    sandbox.enter("talk")
    got = send(letter(page))
    assert got.text.count("kept") == got._repr_html_().count("kept") == page.count("kept")


def test_a_mail_server_that_is_down_refuses(enter: Any) -> None:
    enter("services: {}\nfaults: {mail: down}\n")
    address = urllib.parse.urlsplit(os.environ["AIRFLOW_CONN_SMTP_DEFAULT"])
    with pytest.raises(ConnectionRefusedError):
        smtplib.SMTP(address.hostname or "", address.port or 0, timeout=5)
