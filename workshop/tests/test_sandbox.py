"""The stand-ins: a gcloud, a Slack endpoint and a mail server that behave as the real ones do."""

import json
import os
import shutil
import smtplib
import subprocess
import time
import urllib.parse
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import requests

from workshop import sandbox, switches
from workshop.problem import Problem

# Printed by Google Cloud CLI 528.0.0 for one small world.
RECORDED = {
    "sql": """\
NAME               DATABASE_VERSION  LOCATION        TIER              PRIMARY_ADDRESS  PRIVATE_ADDRESS  STATUS
orders-db          MYSQL_5_7         europe-west1-b  db-n1-standard-1  35.187.10.1      -                RUNNABLE
orders-db-replica  POSTGRES_9_6      us-central1-a   db-f1-micro       35.187.10.2      -                STOPPED
""",
    "spanner": """\
NAME    DISPLAY_NAME  CONFIG                 NODE_COUNT  PROCESSING_UNITS  STATE  INSTANCE_TYPE
ledger  Ledger        regional-europe-west1  1           1000              READY
""",
    "bigtable": """\
NAME       DISPLAY_NAME  STATE
events-bt  Events Bt     READY
""",
    "compute": """\
NAME     ZONE            MACHINE_TYPE   PREEMPTIBLE  INTERNAL_IP  EXTERNAL_IP  STATUS
bastion  europe-west1-b  n1-standard-1               10.132.0.5                TERMINATED
web-2    us-east1-c      n1-standard-1  true         10.142.0.4   35.205.0.4   RUNNING
""",
}
WORLD = """\
project: recorded
services:
  sql:
    - {name: orders-db, zone: europe-west1-b, tier: db-n1-standard-1, address: 35.187.10.1}
    - {name: orders-db-replica, databaseVersion: POSTGRES_9_6, address: 35.187.10.2, state: STOPPED}
  spanner: [{name: ledger, displayName: Ledger, config: regional-europe-west1}]
  bigtable: [{name: events-bt, displayName: Events Bt}]
  compute:
    - {name: web-2, zone: us-east1-c, preemptible: true, internalIP: 10.142.0.4, externalIP: 35.205.0.4}
    - {name: bastion, zone: europe-west1-b, internalIP: 10.132.0.5, status: TERMINATED}
"""
SERVICES = ("sql", "spanner", "bigtable", "compute")


@pytest.fixture
def enter(lab: Any, work_in: Path) -> Any:
    """Return a function that enters a world given as YAML."""

    def enter(text: str) -> str:
        (work_in / "worlds").mkdir(exist_ok=True)
        (work_in / "worlds" / "mine.yaml").write_text(text, encoding="utf-8")
        return sandbox.enter("mine")

    return enter


def ask(*words: str) -> tuple[str, str, int]:
    """Return what the gcloud on PATH prints on stdout and stderr, and its exit status."""
    done = subprocess.run(["gcloud", *words], capture_output=True, text=True, timeout=600)
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize("service", SERVICES)
def test_gcloud_prints_what_the_real_one_printed(enter: Any, service: str) -> None:
    enter(WORLD)
    assert ask(service, "instances", "list") == (RECORDED[service], "", 0)


@pytest.mark.parametrize("service", SERVICES)
def test_gcloud_prints_names_and_json(enter: Any, service: str) -> None:
    enter(WORLD)
    names = [line.split()[0] for line in RECORDED[service].splitlines()[1:]]
    out, err, status = ask(service, "instances", "list", "--format=value(name)")
    assert (out.split(), err, status) == (names, "", 0)
    out, err, status = ask("--project=other", service, "instances", "list", "--format", "json")
    listed = json.loads(out)
    assert [instance["name"].rsplit("/", 1)[-1] for instance in listed] == names
    assert (err, status) == ("", 0)
    if service in ("spanner", "bigtable"):
        assert listed[0]["name"].startswith("projects/other/instances/")


@pytest.mark.parametrize("service", SERVICES)
def test_gcloud_with_nothing_there(lab: Any, service: str) -> None:
    sandbox.enter("empty")
    assert ask(service, "instances", "list") == ("", "Listed 0 items.\n", 0)
    assert ask(service, "instances", "list", "--format=json") == ("[]\n", "", 0)
    assert ask(service, "instances", "list", "--format=value(name)")[0] == ""


def test_gcloud_denied(enter: Any) -> None:
    faults = ", ".join(f"{service}: denied" for service in SERVICES)
    enter(WORLD + f"faults: {{{faults}}}\n")
    for service in ("sql", "spanner", "bigtable"):
        out, err, status = ask(service, "instances", "list")
        assert (out, status) == ("", 1)
        assert err.startswith(f"ERROR: (gcloud.{service}.instances.list) ")
        assert err.count("\n") == 1
    warning = (
        "WARNING: Some requests did not succeed.\n"
        " - Required 'compute.instances.list' permission for 'projects/recorded'\n\n"
    )
    assert ask("compute", "instances", "list") == ("", warning + "Listed 0 items.\n", 0)
    assert ask("compute", "instances", "list", "--format=json")[::2] == ("[]\n", 0)
    assert ask("spanner", "instances", "list", "--format=json")[::2] == ("[]\n", 1)


def test_gcloud_without_credentials(enter: Any) -> None:
    enter(WORLD + "faults: {sql: no_credentials}\n")
    out, err, status = ask("sql", "instances", "list")
    assert (out, status) == ("", 1)
    assert len(err.splitlines()) == 12
    assert err.endswith("to select an already authenticated account to use.\n")


def test_gcloud_stops_a_machine(lab: Any) -> None:
    """The words are those of gcloud 528.0.0; test_real_gcloud.py compares."""
    sandbox.enter("talk")
    stop = ("compute", "instances", "stop")
    assert "Specify the [--zone] flag" in ask(*stop, "training-of-may")[1]
    out, err, status = ask(*stop, "training-of-may", "--zone=us-central1-a")
    assert (out, status) == ("", 0)
    assert err.startswith("Stopping instance(s) training-of-may...\n")
    assert ask("compute", "instances", "list")[0].splitlines()[-1].endswith("TERMINATED")
    assert "was not found" in ask(*stop, "nobody", "--zone=us-central1-a")[1]
    sandbox.enter("talk")
    assert ask("compute", "instances", "list")[0].splitlines()[-1].endswith("RUNNING")


@pytest.mark.parametrize(
    "line",
    ["", "sql", "sql instances delete", "sql instances list x", "sql instances list --format=yaml"],
)
def test_gcloud_says_that_it_is_a_stand_in(lab: Any, line: str) -> None:
    sandbox.enter("talk")
    out, err, status = ask(*line.split())
    assert (out, status) == ("", 2)
    assert "stand-in" in err


def test_gcloud_sees_an_edit_at_once(enter: Any, work_in: Path) -> None:
    enter(WORLD)
    path = work_in / "worlds" / "mine.yaml"
    path.write_text(WORLD.replace("events-bt", "renamed"), encoding="utf-8")
    assert ask("bigtable", "instances", "list", "--format=value(name)")[0] == "renamed\n"
    path.write_text("services: [", encoding="utf-8")
    out, err, status = ask("bigtable", "instances", "list")
    assert (out, status) == ("", 1)
    assert "mine.yaml, line " in err


@pytest.mark.parametrize("name", ["talk", "quiet", "empty", "busy", "denied"])
def test_the_worlds_of_the_package(lab: Any, name: str) -> None:
    said = sandbox.enter(name)
    assert said.startswith(f"Sandbox, world '{name}': ")
    assert "stand-ins" in said
    assert ask("compute", "instances", "list")[2] == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("services: {sql: [\n", "mine.yaml, line 2"),
        ("just text", "a world has the keys"),
        ("services: {sqk: []}", "there is no service 'sqk'"),
        ("services: {sql: [{tier: x}]}", "needs a name"),
        ("services: {sql: [orders-db]}", "needs a name"),
        ("services: {}\nfaults: {sql: broken}", "there is no fault 'sql: broken'"),
        ("services: {}\nfaults: {slack: 418}", "there is no fault 'slack: 418'"),
        ("services: {}\nfaults: [sql]", "write the faults as"),
    ],
)
def test_a_broken_world_is_one_sentence(enter: Any, text: str, sentence: str) -> None:
    with pytest.raises(Problem, match="The world 'mine' cannot be used") as raised:
        enter(text)
    assert sentence in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_an_unknown_world_names_those_there_are(lab: Any) -> None:
    with pytest.raises(Problem, match="busy, crowd, denied, empty, odd, quiet, talk"):
        sandbox.enter("atlantis")


def test_faults_are_switched_on_and_off(enter: Any, capsys: Any) -> None:
    enter(WORLD + "faults: {spanner: denied}\n")
    capsys.readouterr()
    sandbox.fault(sql="empty", slack=500, mail="down")
    said = "Faults: mail down, slack 500, spanner denied, sql empty.\n"
    assert capsys.readouterr().out == said
    assert ask("sql", "instances", "list") == ("", "Listed 0 items.\n", 0)
    assert post(json.dumps({"text": "x"}))[0] == 500
    sandbox.fault(spanner=None, slack=None, mail=None, sql=None)
    assert capsys.readouterr().out == "Faults: none.\n"
    assert ask("spanner", "instances", "list") == (RECORDED["spanner"], "", 0)
    assert post(json.dumps({"text": "x"}))[0] == 200
    sandbox.fault(spanner="denied")
    sandbox.enter("talk")
    assert sandbox.faults_now() == {}


@pytest.mark.parametrize("switches", [{"spaner": None}, {"slack": 418}, {"sql": "down"}])
def test_an_unknown_fault_names_those_there_are(lab: Any, switches: Any) -> None:
    sandbox.enter("talk")
    with pytest.raises(Problem, match=r"There is no fault .* only sql: denied, no_credentials"):
        sandbox.fault(**switches)
    assert sandbox.faults_now() == {}


def test_a_moved_switch_is_a_fault(lab: Any) -> None:
    sandbox.enter("denied")
    shown = switches()
    rows = {row.description: row for row in shown.children[:-1]}
    assert rows["spanner"].value == "denied"
    rows["slack"].value = 429
    rows["spanner"].value = "works"
    assert sandbox.faults_now() == {"slack": 429}
    assert shown.said.value == "spanner: works. Run the DAG again."
    data = shown._repr_mimebundle_()
    assert "spanner: denied" in data["text/plain"]


def test_the_project_is_that_of_the_world(enter: Any) -> None:
    enter(WORLD)
    assert ask("config", "get-value", "project")[0] == "recorded\n"


def webhook() -> str:
    return os.environ["GCPSPY_SLACK_WEBHOOK"]


def post(data: Any, url: str | None = None, kind: str = "application/json") -> tuple[int, str]:
    """Return status and text of Slack's answer."""
    answer = requests.post(url or webhook(), data=data, headers={"Content-type": kind}, timeout=600)
    return answer.status_code, answer.text


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


@pytest.mark.parametrize("status", sorted(sandbox.FAULT_ANSWERS))
def test_slack_fails_on_demand(enter: Any, status: int) -> None:
    enter(f"services: {{}}\nfaults: {{slack: {status}}}\n")
    answer = requests.post(webhook(), json={"text": "x"}, timeout=600)
    assert (answer.status_code, answer.text) == (status, sandbox.FAULT_ANSWERS[status])
    assert ("Retry-After" in answer.headers) == (status == 429)


def test_a_limit_of_the_rate_passes(enter: Any) -> None:
    enter("services: {}\nfaults: {slack: 429}\n")
    assert post(json.dumps({"text": "x"}))[0] == 429
    assert post(json.dumps({"text": "x"}))[0] == 429
    time.sleep(sandbox.RETRY_AFTER)
    assert post(json.dumps({"text": "x"})) == (200, "ok")


def test_slack_takes_a_message_and_is_silent_once(enter: Any) -> None:
    enter("services: {}\nfaults: {slack: silent}\n")
    with pytest.raises(requests.Timeout):
        requests.post(webhook(), json={"text": "x"}, timeout=0.5)
    assert post(json.dumps({"text": "x"})) == (200, "ok")
    assert list(sandbox.arrived()["answer"]) == ["0 no answer", "200 ok"]


def test_slack_refuses_connections_until_it_is_mended(lab: Any) -> None:
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


def test_no_gcloud_is_left_on_path(lab: Any) -> None:
    sandbox.enter("talk")
    sandbox.set_faults({"gcloud": "missing"})
    assert shutil.which("gcloud") is None
    assert shutil.which("bash") and shutil.which("grep")
    sandbox.set_faults({"gcloud": None})
    assert shutil.which("gcloud")


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


def test_looking_too_early_is_one_sentence(lab: Any) -> None:
    sandbox.enter("talk")
    for look in (sandbox.slack_message, sandbox.mail):
        with pytest.raises(Problem, match="Run the DAG first"):
            look()


def test_the_real_world_says_what_is_missing(lab: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("GCPSPY_WORLD", "real")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("GCPSPY_SLACK_WEBHOOK")
    with pytest.raises(Problem, match="no GCPSPY_SLACK_WEBHOOK") as raised:
        sandbox.use_real()
    assert "GCPSPY_WORLD" in str(raised.value)
