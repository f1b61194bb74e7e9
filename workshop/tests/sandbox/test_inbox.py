"""What arrived: as plain data, and as pictures in which nothing foreign runs."""

import json
import re
from typing import Any

import pytest

from workshop import sandbox
from workshop.ground import Problem
from workshop.lab import current
from workshop.sandbox import inbox
from workshop.sandbox.world import Sandbox
from workshop.tests.sandbox.tools import post, webhook


def test_looking_too_early_is_one_sentence(lab: Any) -> None:
    sandbox.enter("talk")
    for look, what in ((sandbox.slack_message, "message"), (sandbox.mail, "mail")):
        wrong = f"^No {what} has arrived in this world. Run the DAG first.$"
        with pytest.raises(Problem, match=wrong):
            look()
    assert sandbox.arrived().empty


def test_in_the_real_world_it_is_said_where_to_look(
    lab: Any, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr(inbox, "is_real", lambda: True)
    for look, what in ((sandbox.slack_message, "message"), (sandbox.mail, "mail")):
        assert look() is None
        said = f"This is the real world: look for the {what} where it was sent.\n"
        assert capsys.readouterr().out == said


def test_all_that_arrived_is_a_table_and_plain_data(lab: Any) -> None:
    sandbox.enter("talk")
    sandbox.set_faults({"slack": 500})
    post(json.dumps({"text": "first\nsecond\nthird"}))
    post(json.dumps({"text": "last"}))
    box = current()[Sandbox]
    whom = ("b@example.com", "c@example.com", "d@example.com")
    sent = sandbox.Mail("a@example.com", whom, "Costs", "one<br>two", "", whom[1:2], whom[2:])
    box.mail.mails.append(sent)
    assert sandbox.slack_message().text == "last"
    assert sandbox.mail() is sent
    table = sandbox.arrived()
    assert list(table.columns) == ["kind", "title", "answer", "lines"]
    assert table.to_numpy().tolist() == [
        ["Slack", "first", "500 rollup_error", 3],
        ["Slack", "last", "500 rollup_error", 1],
        ["mail", "Costs", "250 OK", 3],
    ]
    assert sandbox.received() == {
        "world": "talk",
        "switches": {"slack": 500},
        "slack": [{"text": "first\nsecond\nthird"}, {"text": "last"}],
        "mails": [
            {
                "to": ["b@example.com"],
                "cc": ["c@example.com"],
                "bcc": ["d@example.com"],
                "subject": "Costs",
                "html": "one<br>two",
            }
        ],
    }


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
        assert "<img src" not in markup and "<img onerror" not in markup
        assert "&lt;script&gt;" in markup
    assert "url(x)" not in shown
    assert "<b>fine</b><br>" in mail._repr_html_()
    assert "alert" not in mail._repr_html_().split("<b>fine")[1]


def test_a_message_of_a_strange_shape_is_shown_all_the_same(lab: Any) -> None:
    sandbox.enter("talk")
    for payload in ({"text": 3}, {"text": "x", "attachments": [{"fields": [{}]}]}):
        assert post(json.dumps(payload)) == (200, "ok")
        assert "<div" in sandbox.slack_message()._repr_html_()


@pytest.mark.parametrize(
    ("text", "markup", "words"),
    [
        ("a &lt;b&gt; &amp;amp; c", "a &lt;b&gt; &amp;amp; c", "a <b> &amp; c"),
        ("so *very bold* it is", "so <b>very bold</b> it is", "so very bold it is"),
        ("_slanted_ ~gone~", "<i>slanted</i> <s>gone</s>", "slanted gone"),
        ("2*3*4 and my_own_name", "2*3*4 and my_own_name", "2*3*4 and my_own_name"),
        ("`*raw*`", ">*raw*</code>", "`*raw*`"),
        ("*`inside`*", "</code></b>", "`inside`"),
        ("<https://a.example/?b=1&amp;c=2|docs>", 'href="https://a.example/?b=1&amp;c=2"', "docs"),
        ("<mailto:ops@example.org>", 'href="mailto:ops@example.org"', "ops@example.org"),
        ("<javascript:alert(1)|no>", "&lt;javascript:alert(1)|no&gt;", "<javascript:alert(1)|no>"),
        ("<!here> <@U7> <#C3|ops> <!date^1^{date}|then>", "@here</span>", "@here @U7 ops then"),
        ("<!here> <@U7> <#C3>", ">#C3</span>", "@here @U7 #C3"),
        ("on <!date^1^{date}|Friday>", ">on Friday</div>", "on Friday"),
        ("<!date^1^{date}>", ">!date^1^{date}</div>", "!date^1^{date}"),
        ("<|>", "&lt;|&gt;", "<|>"),
        ("> said\nanswered", "said</blockquote>answered", "said\n\nanswered"),
        ("```if x:\n  y```", "if x:\n  y</pre>", "if x:\n  y"),
    ],
)  # fmt: skip
def test_mrkdwn_is_shown_as_slack_shows_it(lab: Any, text: str, markup: str, words: str) -> None:
    sandbox.enter("talk")
    assert post(json.dumps({"text": text})) == (200, "ok")
    message = sandbox.slack_message()
    assert markup in message._repr_html_()
    assert message.text == words


def _plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


def _rich(kind: str, *pieces: Any, **more: Any) -> dict[str, Any]:
    return {"type": "rich_text", "elements": [{"type": kind, "elements": [*pieces], **more}]}


def _button(text: str) -> dict[str, Any]:
    return {"type": "button", "text": _plain(text)}


BOLD = {"type": "text", "text": "heavy", "style": {"bold": True}}
ITEM = {"type": "rich_text_section", "elements": [BOLD]}
STYLED = [
    {"type": "text", "text": style[0], "style": {style: True}}
    for style in ("bold", "italic", "strike", "code")
] + [{"type": "text", "text": "all"}]
PICTURE = {"type": "image", "image_url": "https://example.org/p.png", "alt_text": "a plot"}


@pytest.mark.parametrize(
    ("block", "markup", "words"),
    [
        ({"type": "header", "text": _plain("*Night*")}, "font-weight:bold", "*Night*"),
        ({"type": "section", "fields": [_plain("left"), _plain("right")]}, "flex", "left\nright"),
        ({"type": "context", "elements": [PICTURE, _plain("now")]}, "12px", "[image: a plot] now"),
        ({**PICTURE, "title": _plain("Costs")}, "Costs", "Costs\n[image: a plot]"),
        (
            {"type": "actions", "elements": [_button("Stop it"), _button("Go on")]},
            '<button type="button" disabled',
            "Stop it Go on",
        ),
        ({"type": "section", "text": _plain("a\nb"), "accessory": _button("Open")},
         '>a<br>b</div><div style="margin:4px 0"><button type="button" disabled', "a\nb\nOpen"),
        ({"type": "context", "elements": [{"type": "mrkdwn", "text": "*bold*"}]}, "<b>bold</b>",
         "bold"),
        ({"type": "divider"}, "<hr>", ""),
        ({"type": "rich_text", "elements": [ITEM, ITEM]},
         '<div style="margin:4px 0"><b>heavy</b></div><div style="margin:4px 0">', "heavy\nheavy"),
        ({"type": "actions", "elements": [{"type": "timepicker"}]}, "[timepicker]", "[timepicker]"),
        (_rich("rich_text_section", BOLD), "<b>heavy</b>", "heavy"),
        (_rich("rich_text_section", {"type": "link", "url": "https://a.example", "text": "there"}),
         'href="https://a.example"', "there"),
        (_rich("rich_text_list", ITEM, style="bullet"),
         "<li><b>heavy</b></li>", "- heavy"),
        (_rich("rich_text_list", ITEM, ITEM,
               style="ordered", offset=3, indent=2),
         '<ol start="4" style="margin:4px 0 4px 48px"><li><b>heavy</b></li><li>',
         "- heavy\n- heavy"),
        (_rich("rich_text_list", ITEM, style="ordered"),
         '<ol start="1" style="margin:4px 0 4px 0px">', "- heavy"),
        (_rich("rich_text_list", ITEM, style="bullet",
               offset=3), '<ul style="margin:4px 0 4px 0px">', "- heavy"),
        (_rich("rich_text_quote", {"type": "text", "text": "a\nb"}), ">a<br>b</blockquote>",
         "a\nb"),
        (_rich("rich_text_section", *STYLED), "<b>b</b><i>i</i><s>s</s>", "bis`c`all"),
        (_rich("rich_text_section", {"type": "text", "text": "all", "style": {"bold": True,
               "italic": True, "strike": False}}), "<i><b>all</b></i>", "all"),
        (_rich("rich_text_section", {"type": "link", "url": "https://a.example?x=1&y=<>"}),
         ">https://a.example?x=1&amp;y=&lt;&gt;</a>", "https://a.example?x=1&y=<>"),
        (_rich("rich_text_section", {"type": "link", "url": "javascript:x"}),
         ">javascript:x<", "javascript:x"),
        (_rich("rich_text_section", {"type": "link", "url": "javascript:x", "text": "<no>"}),
         ">&lt;no&gt;<", "<no>"),
        (_rich("rich_text_section", {"type": "emoji", "name": "wave<"}), ">:wave&lt;:<", ":wave<:"),
        (_rich("rich_text_section", {"type": "user", "user_id": "U7<"}), ">@U7&lt;</span>", "@U7<"),
        (_rich("rich_text_section", {"type": "channel", "channel_id": "C3"}), ">#C3</span>", "#C3"),
        (_rich("rich_text_section", {"type": "date", "timestamp": 1}), ">[date]<", "[date]"),
        (_rich("rich_text_preformatted", {"type": "text", "text": "a\n  b"}), "<pre", "a\n  b"),
        (_rich("rich_text_section", {"type": "broadcast", "range": "here"}), "@here", "@here"),
        ({"type": "table", "rows": []}, "block table:",
         "[block table: Slack shows it, this stand-in does not]"),
    ],
)  # fmt: skip
def test_a_block_is_shown(lab: Any, block: Any, markup: str, words: str) -> None:
    sandbox.enter("talk")
    bar = {"color": "danger", "blocks": [block]}
    for payload in ({"text": "unseen", "blocks": [block]}, {"attachments": [bar]}):
        assert post(json.dumps(payload)) == (200, "ok")
        message = sandbox.slack_message()
        assert markup in message._repr_html_()
        assert message.text == words
    assert "solid #a30200" in message._repr_html_()


def test_an_attachment_is_shown_with_all_its_parts(lab: Any) -> None:
    sandbox.enter("talk")
    whole = {
        "color": "#12ab34", "pretext": "before", "author_name": "Ada", "title": "Title & more",
        "title_link": "https://example.org", "text": "*words*", "footer": "project spy",
        "fields": [{"title": "zone", "value": "`eu`", "short": True}], "thumb_url": "x",
    }  # fmt: skip
    assert post(json.dumps({"attachments": [whole, {"fallback": "in short"}]})) == (200, "ok")
    message = sandbox.slack_message()
    note = "[attachment's thumb_url: Slack shows it, this stand-in does not]"
    assert message.text.splitlines() == [
        "before", "Ada", "Title & more", "words", "zone:", "`eu`", note, "project spy", "in short",
    ]  # fmt: skip
    assert "solid #12ab34" in message._repr_html_()


@pytest.mark.parametrize(("part", "key"), [("author_name", "author_link"), ("title", "title_link")])
def test_the_link_of_an_attachment_s_part_is_that_part_s(lab: Any, part: str, key: str) -> None:
    sandbox.enter("talk")
    whole = {"author_name": "Ada", "title": "Costs", key: "https://example.org"}
    assert post(json.dumps({"attachments": [whole]})) == (200, "ok")
    shown = sandbox.slack_message()._repr_html_()
    assert shown.count("<a href") == 1
    assert re.search(f'<a href="https://example.org"[^>]*>{whole[part]}</a>', shown)


@pytest.mark.parametrize(
    ("field", "markup", "words"),
    [
        ({"title": "disk"}, "</span></b><br></div>", "disk:"),
        ({"value": "20"}, "<b></b><br>20</div>", "20"),
        ({}, "<b></b><br></div>", ""),
    ],
)
def test_a_field_needs_no_title_and_no_value(lab: Any, field: Any, markup: str, words: str) -> None:
    sandbox.enter("talk")
    assert post(json.dumps({"attachments": [{"fields": [field]}]})) == (200, "ok")
    message = sandbox.slack_message()
    assert markup in message._repr_html_()
    assert ("display:none" in message._repr_html_()) == ("title" in field)
    assert message.text == words
