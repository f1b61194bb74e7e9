"""Tests of gcp_spy_today: its shape, its parts, its runs, and its promises.

Written to be copied. Beside pytest they need Hypothesis, Airflow with a metadata database of the
tests' own (AIRFLOW_HOME, `airflow db migrate`), and the DAG file: at DAG_FILE, in the folder of
Airflow's DAG files. gcloud, Slack and the mail server are fakes.
"""

import html
import importlib.util
import json
import os
import re
import smtplib
import socket
import stat
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_string
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.error import URLError

import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

HERE = Path(__file__)
DAG_FILE = Path(os.environ.get("DAG_FILE", HERE.parents[2] / "dags" / "gcp_spy_today.py"))
EXAMPLES = int(os.environ.get("EXAMPLES", "200"))


@pytest.fixture(scope="module")
def spy() -> Any:
    """Return the DAG file as a module."""
    return load()


@cache
def load() -> Any:
    """Load the DAG file, once, and apart from what else this process has loaded from it."""
    spec = importlib.util.spec_from_file_location("gcp_spy_today", DAG_FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # dag.test() waits before each retry as a scheduler does.
    with patch.dict(os.environ, AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY="0"):
        spec.loader.exec_module(module)
    return module


# --- the shape of the DAG


def test_who_waits_for_whom(spy: Any) -> None:
    below = {task.task_id: task.downstream_task_ids for task in spy.gcp_spy_today.tasks}
    assert below == {
        "list_instances": {"report", "complete"},
        "report": {"send_slack", "send_mail", "estimate_cost"},
        "send_slack": {"complete"},
        "send_mail": {"complete"},
        "estimate_cost": set(),
        "complete": set(),
    }


def test_every_task_has_a_limit_an_owner_and_retries(spy: Any) -> None:
    for task in spy.gcp_spy_today.tasks:
        assert task.execution_timeout == timedelta(minutes=15)
        assert task.retries == 2 and task.owner == "platform-team"
        assert task.retry_policy == spy.POLICY
        # The second wait is twice as long as the first, and none is longer than this.
        assert task.retry_exponential_backoff == 2.0
        assert task.max_retry_delay == timedelta(minutes=20)


def test_it_runs_once_at_a_time_and_catches_nothing_up(spy: Any) -> None:
    dag = spy.gcp_spy_today
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    assert dag.dagrun_timeout == timedelta(hours=2) and dag.doc_md and dag.tags
    assert [it.name for it in dag.get_task("complete").outlets] == ["gcp_spy_report"]


def test_it_starts_at_four_on_the_wall_in_warsaw(spy: Any) -> None:
    dag = spy.gcp_spy_today
    assert {name: param.value for name, param in dag.params.items()} == {
        "project": "",
        "gcloud_seconds": 120,
        "estimate_cost": False,
    }
    assert (dag.schedule, dag.timezone.name) == ("0 16 * * *", "Europe/Warsaw")


# --- its parts


@pytest.mark.parametrize(
    ("service", "api", "expected"),
    [
        (
            "compute",
            {"name": "a", "machineType": "x/n1", "status": "RUNNING", "zone": "x/z"},
            ["a", "n1", "z"],
        ),
        (
            "compute",
            {"name": "a", "machineType": "x/n1", "status": "TERMINATED"},
            ["a", "", "TERMINATED"],
        ),
        ("sql", {"name": "b", "settings": {"tier": "t"}, "gceZone": "z"}, ["b", "t", "z"]),
        (
            "sql",
            {"name": "b", "settings": {"tier": "t", "activationPolicy": "NEVER"}},
            ["b", "", "STOPPED"],
        ),
        ("sql", {"name": "b", "settings": None, "state": "RUNNABLE"}, ["b", "", ""]),
        (
            "spanner",
            {"name": "projects/p/instances/c", "nodeCount": 2, "state": "READY"},
            ["c", "2 x spanner node", ""],
        ),
        ("spanner", {"name": "c", "nodeCount": None}, ["c", "", ""]),
        ("bigtable", {"name": "projects/p/instances/d"}, ["d", "", ""]),
        ("bigtable", {"name": "d`e\n\u202ef"}, ["d?e??f", "", ""]),
    ],
)
def test_an_instance_has_its_short_name_and_where_it_is(
    spy: Any, service: str, api: Any, expected: Any
) -> None:
    assert spy.instance(service, api) == expected


@pytest.fixture
def gcloud(spy: Any, tmp_path: Path, monkeypatch: Any) -> Any:
    """Return a function that calls the DAG's gcloud() with a program that is a shell script."""

    def call(script: str, seconds: float = 60) -> Any:
        program = tmp_path / "gcloud"
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return spy.run_gcloud(["sql", "instances", "list"], seconds)

    return call


def test_gcloud_s_status_and_what_it_says(gcloud: Any) -> None:
    assert gcloud("echo '[]'; echo noise >&2; exit 3") == (3, "[]\n", "noise\n")
    assert gcloud('echo "$@"')[1] == "sql instances list\n"


def test_gcloud_shall_not_call_a_part_of_the_machines_all(gcloud: Any) -> None:
    assert gcloud('echo "$CLOUDSDK_COMPUTE_ALLOW_PARTIAL_ERROR"')[1] == "false\n"


def test_gcloud_can_ask_nobody(gcloud: Any) -> None:
    reads, writes = os.pipe()
    os.write(writes, b"yes")
    os.close(writes)
    before = os.dup(0)
    os.dup2(reads, 0)
    try:
        assert gcloud("cat")[1] == ""
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reads)


@pytest.mark.parametrize(
    ("status", "stdout", "stderr", "expected"),
    [
        (0, "[]", "noise", ([], "", "")),
        (0, "[1]", "WARNING: old", ([1], "", "WARNING: old")),
        (1, "[]", "noise\nERROR: no", ([], "ERROR: no", "")),
        (1, "oops", "ERROR: crash", ([], "ERROR: crash", "")),
        (3, "", "", ([], "gcloud ended with status 3 and without a word", "")),
        (1, "", "Trace\nE: x", ([], "gcloud ended with status 1: E: x", "")),
        (-15, "", "", ([], "gcloud was ended by SIGTERM", "")),
        (
            137,
            "",
            "",
            ([], "gcloud was ended by SIGKILL; perhaps the worker lacks memory", ""),
        ),
        (0, "oops", "", ([], "gcloud's answer is no list", "")),
        (0, "", "", ([], "gcloud's answer is no list", "")),  # of an empty list it prints []
        (0, "{}", "", ([], "gcloud's answer is no list", "")),
        (
            0,
            "[1]",
            "WARNING: old\nWARNING: Some requests did not succeed.\n - why\n",
            ([1], "WARNING: Some requests did not succeed. - why", ""),
        ),
        (
            0,
            "[1]",
            "WARNING: The following instances were unreachable: projects/p/instances/a.",
            ([1], "WARNING: The following instances were unreachable: projects/p/instances/a.", ""),
        ),
    ],
)
def test_what_is_read_in_an_answer(
    spy: Any, status: int, stdout: str, stderr: str, expected: Any
) -> None:
    assert spy.read(status, stdout, stderr) == expected


class Pushed(dict[str, Any]):
    """Stands for a task instance: keeps what is pushed."""

    def xcom_push(self, key: str, value: Any) -> None:
        self[key] = value


PARAMS = {"gcloud_seconds": 60, "project": ""}


@pytest.mark.parametrize(
    ("stderr", "error"),
    [
        ("ERROR: (gcloud.sql.instances.list) HTTPError 403: no", PermissionError),
        ("ERROR: (gcloud.sql.instances.list) HTTPError 404: no", PermissionError),
        ("ERROR: (gcloud.sql.instances.list) HTTPError 503: projects/accounting", RuntimeError),
        ("ERROR: (gcloud.sql.instances.list) HTTPError 403: Rate Limit Exceeded", RuntimeError),
        ("ERROR: (gcloud.compute.x) Some did not:\n - Required 'a.b' permission for 'p'",
         PermissionError),
    ],
)  # fmt: skip
def test_a_list_that_fails_says_why_and_only_what_may_pass_is_tried_again(
    spy: Any, monkeypatch: Any, stderr: str, error: type[Exception]
) -> None:
    from airflow.sdk import RetryAction

    pushed = Pushed()
    monkeypatch.setattr(spy, "run_gcloud", lambda words, seconds: (1, "", stderr))
    with pytest.raises(error) as raised:
        spy.list_instances.function("sql", ti=pushed, params=PARAMS)
    assert (
        pushed["found"]["problem"]
        == str(raised.value)
        == " ".join(line.strip() for line in stderr.splitlines())
    )
    decision = spy.POLICY.evaluate(raised.value, try_number=1, max_tries=2)
    assert (decision.action == RetryAction.FAIL) == (error is PermissionError)


def test_a_list_without_a_word_is_a_problem(spy: Any) -> None:
    nothing: Any = SimpleNamespace(xcom_pull=lambda **which: None)
    night = SimpleNamespace(logical_date=None, run_after=datetime(2026, 7, 1, 22, tzinfo=UTC))
    params = PARAMS | {"project": "spy-test"}
    made = spy.report.function(ti=nothing, params=params, dag_run=night)
    assert made["title"] == "Instances in your GCP project spy-test, 2026-07-02"
    problems = {row["service"]: row["problem"] for row in made["rows"]}
    said = "its task ended without a word; see its log"
    assert problems == dict.fromkeys(("Cloud SQL", "Spanner", "BigTable", "Compute Engine"), said)


def test_one_malformed_object_hides_no_service(spy: Any, monkeypatch: Any) -> None:
    pushed = Pushed()
    monkeypatch.setattr(spy, "run_gcloud", lambda words, seconds: (0, '[{"name": "a"}, 1]', ""))
    with pytest.raises(RuntimeError):
        spy.list_instances.function("sql", ti=pushed, params=PARAMS)
    assert pushed["found"] == {
        "service": "Cloud SQL",
        "instances": [["a", "", ""]],
        "problem": "1 of 2 objects have no name",
        "warning": "",
    }


def test_the_project_is_one_argument_and_what_is_none_is_refused(
    spy: Any, monkeypatch: Any
) -> None:
    asked: list[Any] = []

    def answer(words: list[str], seconds: int) -> tuple[int, str, str]:
        asked.append(words)
        return 0, "[]", ""

    monkeypatch.setattr(spy, "run_gcloud", answer)
    for project in ("", "spy-demo"):
        params = PARAMS | {"project": project}
        spy.list_instances.function("sql", ti=Pushed(), params=params)
    words = ["sql", "instances", "list", "--format=json"]
    assert asked == [words, [*words, "--project=spy-demo"]]
    pattern = spy.gcp_spy_today.params.get_param("project").schema["pattern"]
    for right in ("", "spy-demo", "example.com:spy"):
        assert re.search(pattern, right)
    for wrong in ("--flags-file=x", "a b", "A", "a\n", "a-"):
        assert not re.search(pattern, wrong)


def test_no_secret_is_told(gcloud: Any, spy: Any) -> None:
    from airflow.sdk.log import mask_secret

    mask_secret("correct-horse")
    said = gcloud("echo 'correct-horse http://me:p/w@x:1/ ftp://p@w@y ya29.a-B ' >&2")[2]
    assert said == "*** http://***@x:1/ ftp://***@y *** \n"


def test_ten_thousand_instances_stay_under_a_megabyte(spy: Any) -> None:
    zone = "https://www.googleapis.com/compute/v1/projects/spy-demo/zones/europe-west1-b"
    api = {"machineType": f"{zone}/machineTypes/e2-standard-4", "status": "RUNNING", "zone": zone}
    listed = [
        spy.instance("compute", {"name": f"gke-production-pool-{number:020}", **api})
        for number in range(10_000)
    ]
    assert len(json.dumps(listed)) < 1_000_000


def test_a_hanging_gcloud_is_ended_with_what_it_started(gcloud: Any, tmp_path: Path) -> None:
    begun, lived = tmp_path / "begun", tmp_path / "lived"
    with pytest.raises(TimeoutError, match="no answer in 2 seconds"):
        gcloud(f"(sleep 30; : > '{lived}') & echo $! > '{begun}'; wait", 2)
    child = int(begun.read_text())
    end = time.monotonic() + 600
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not lived.exists()


@pytest.mark.parametrize(
    ("program", "mode", "says"),
    [
        (None, 0, "No such file or directory"),
        ("#!/bin/sh\n", 0o644, "Permission denied"),
        ("#!/no/such/shell\n", 0o755, "No such file or directory"),
    ],
)
def test_a_gcloud_that_cannot_be_run(
    spy: Any, tmp_path: Path, monkeypatch: Any, program: str | None, mode: int, says: str
) -> None:
    if program is not None:
        (tmp_path / "gcloud").write_text(program, encoding="utf-8")
        (tmp_path / "gcloud").chmod(mode)
    monkeypatch.setenv("PATH", str(tmp_path))
    pushed = Pushed()
    with pytest.raises((FileNotFoundError, PermissionError)):
        spy.list_instances.function("sql", ti=pushed, params=PARAMS)
    problem = pushed["found"]["problem"]
    assert problem == f"this worker cannot run the program gcloud: {says}"


class Store(dict[str, Any]):
    """A task's own store, as a dict."""

    set = dict.__setitem__
    delete = dict.__delitem__


AGAIN = "Sent again: the first try got no answer, so this may be the second one you see."
CORRECTION = "Correction: an earlier report of this run said something else."


class Way:
    """Stands for a channel: keeps what is sent, or fails."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.numbers: list[str] = []
        self.error: Exception | None = None

    @contextmanager
    def __call__(self) -> Iterator[Any]:
        yield self.send

    def send(self, notes: list[str], number: str) -> None:
        if self.error:
            raise self.error
        self.sent.append(notes)
        self.numbers.append(number)

    def fail(self, spy: Any, store: Store, report: str, error: Exception) -> None:
        self.error = error
        with pytest.raises(type(error)):
            spy.send_once(store, report, self)
        self.error = None


def test_what_was_sent_is_not_sent_again(spy: Any) -> None:
    store, way = Store(), Way()
    assert spy.send_once(store, "a", way) == "sent."
    assert spy.send_once(store, "a", way) == "an earlier try has sent it"
    assert way.sent == [[]]


def test_another_report_of_the_same_run_is_a_correction(spy: Any) -> None:
    store, way = Store(), Way()
    for report in ("a", "b", "b", "a"):
        spy.send_once(store, report, way)
    assert way.sent == [[], [CORRECTION], [CORRECTION]]
    assert len(set(way.numbers)) == 3, "a mailbox that knows the first shows the last, too"


def test_what_was_refused_is_sent_as_if_for_the_first_time(spy: Any) -> None:
    store, way = Store(), Way()
    for error in (RuntimeError("no"), ValueError("no"), ConnectionRefusedError()):
        way.fail(spy, store, "a", error)
    assert spy.send_once(store, "a", way) == "sent."
    assert way.sent == [[]]


def test_what_got_no_answer_is_sent_again_and_says_so(spy: Any) -> None:
    store, way = Store(), Way()
    way.fail(spy, store, "a", TimeoutError())
    way.fail(spy, store, "a", RuntimeError("no"))
    spy.send_once(store, "a", way)
    assert way.sent == [[AGAIN]]
    way.fail(spy, store, "b", ConnectionResetError())
    spy.send_once(store, "b", way)
    assert way.sent == [[AGAIN], [CORRECTION, AGAIN]]
    assert way.numbers[0].startswith("0.") and way.numbers[1].startswith("1.")


def test_nothing_is_noted_before_the_way_is_open(spy: Any) -> None:
    store = Store()

    def closed() -> Any:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        spy.send_once(store, "a", closed)
    assert store == {}


def test_a_connection_that_is_missing_is_a_sentence(spy: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_NONE_OF_THESE", raising=False)
    with pytest.raises(ValueError, match="There is no connection none_of_these: add it"):
        spy.need("none_of_these")


def test_one_of_two_recipients_refused_is_red_and_the_other_has_the_mail(
    spy: Any, monkeypatch: Any
) -> None:
    ways = {to: Way() for to in ("a@x", "b@x")}
    ways["a@x"].error = ValueError("refused: 550")
    monkeypatch.setattr(spy, "mail", lambda report, to, run: ways[to]())
    monkeypatch.setattr(spy, "run_in_words", lambda ti: "r")
    monkeypatch.setattr(spy.Variable, "get", lambda name, default: "a@x; b@x")
    store = Store()
    for _ in range(2):
        with pytest.raises(ValueError, match="550"):
            spy.send_mail.function("report", task_state_store=store)
    assert (ways["a@x"].sent, ways["b@x"].sent) == ([], [[]])
    monkeypatch.setattr(spy.Variable, "get", lambda name, default: " ")
    with pytest.raises(ValueError, match="There is no variable gcp_spy_recipient"):
        spy.send_mail.function("report", task_state_store=store)


def test_a_message_id_names_dag_run_and_deployment(spy: Any) -> None:
    ti = Pushed()
    ti.__dict__ |= {
        "dag_id": "gcp_spy_today",
        "run_id": "manual__2026-11-02T15:00:00+00:00",
        "log_url": "https://airflow.example.com/team/dags/gcp_spy_today/runs/1",
    }
    said = "gcp-spy-today.manual-2026-11-02T15-00-00-00-00@airflow-example-com-team"
    assert spy.run_in_words(ti) == said


@pytest.mark.parametrize(
    ("reason", "task_id", "told"),
    [
        ("task_failure", "report", True),
        ("task_failure", "estimate_cost", True),
        ("timed_out", "list_instances", True),
        ("task_failure", "list_instances", False),
        ("task_failure", "send_slack", False),
        ("task_failure", "send_mail", False),
    ],
)
def test_no_red_run_is_silent(
    spy: Any, monkeypatch: Any, reason: str, task_id: str, told: bool
) -> None:
    notices: list[str] = []

    def broken(context: Any) -> None:
        raise TimeoutError

    def works(context: Any) -> None:
        notices.append(context["reason"])

    monkeypatch.setattr(spy, "NOTICES", [broken, works])
    ti = Pushed()
    ti.__dict__["task_id"] = task_id
    spy.gcp_spy_today.on_failure_callback({"reason": reason, "ti": ti})
    assert notices == [reason] * told


def test_a_cost_that_nobody_can_say_ends_no_run(spy: Any) -> None:
    rows = [
        {"service": "A", "instances": [["a", "2 x spanner node", ""]], "problem": ""},
        {"service": "B", "instances": [["a", "unknown", ""], ["b", "", ""]], "problem": ""},
        {"service": "C", "instances": [], "problem": "no"},
    ]
    assert spy.costs_of({"rows": rows}) == {"A": 1314.0, "B": 0.0, "C": None}


# --- its runs: gcloud, Slack and the mail server are fakes, all else is Airflow's


class Outside:
    """What a run meets: what gcloud answers, how Slack and the mail server do, what they got."""

    def __init__(self) -> None:
        # Exit status, stdout and stderr.
        self.gcloud = {"config": (0, "spy-demo\n", "")}
        self.words: list[str] = []
        self.slack = 200
        self.refuses = False  # the mail server, what has an id; a notice has none
        self.posts: list[Any] = []
        self.mails: list[tuple[Any, str, str]] = []  # Message-ID, subject, body

    def answer(self, service: str, objects: list[Any], stderr: str = "", status: int = 0) -> None:
        self.gcloud[service] = (status, json.dumps(objects), stderr)

    def run_gcloud(self, words: list[str], seconds: int) -> tuple[int, str, str]:
        self.words.append(" ".join(words))
        return self.gcloud.get(words[0], (0, "[]", ""))

    def send_dict(self, body: Any, **more: Any) -> Any:
        """Be Slack: a notice is text alone, and always welcome."""
        self.posts.append(body)
        status = self.slack if body.get("blocks") else 200
        return SimpleNamespace(status_code=status, body="no", api_url="x")

    def sendmail(self, from_addr: str, to_addrs: Any, msg: str) -> None:
        """Be the mail server."""
        mail = message_from_string(msg)
        if mail["Message-ID"] and self.refuses:
            raise smtplib.SMTPRecipientsRefused({"a@example.com": (550, b"no such mailbox")})
        body = next(part for part in mail.walk() if part.get_content_type() == "text/html")
        payload: Any = body.get_payload(decode=True)
        self.mails.append((mail["Message-ID"], mail["Subject"], payload.decode("utf-8")))


SETTINGS = {
    "AIRFLOW_CONN_SLACK_DEFAULT": '{"conn_type": "slackwebhook", "password": "http://localhost"}',
    "AIRFLOW_CONN_SMTP_DEFAULT": '{"conn_type": "smtp", "host": "localhost", '
    '"extra": {"from_email": "spy@example.com", "disable_ssl": true, "disable_tls": true}}',
    "AIRFLOW_VAR_GCP_SPY_RECIPIENT": "a@example.com",
}


@pytest.fixture
def outside(spy: Any, monkeypatch: Any) -> Outside:
    """Put fakes in the place of gcloud, Slack and the mail server."""
    outside = Outside()
    for name in SETTINGS.keys() - os.environ.keys():
        monkeypatch.setenv(name, SETTINGS[name])
    monkeypatch.setattr(spy, "run_gcloud", outside.run_gcloud)
    monkeypatch.setattr(
        "slack_sdk.webhook.WebhookClient.send_dict",
        lambda client, body, **more: outside.send_dict(body),
    )
    server = SimpleNamespace(
        sendmail=lambda **mail: outside.sendmail(**mail), close=lambda: None, login=print
    )
    monkeypatch.setattr(smtplib, "SMTP", lambda **more: server)
    return outside


def run_it(spy: Any, minute: int, **conf: Any) -> tuple[Any, dict[str, str]]:
    """Return a run, and states and tries by task; each needs a minute of its own.

    It is late in the evening in UTC, and so the next day in Warsaw.
    """
    date = datetime(2026, 11, 1, 23, minute, tzinfo=UTC)
    # dag.test() keeps the values of a run for the next one, where that has none of its own.
    conf = {"project": "", "estimate_cost": False} | conf
    run = spy.gcp_spy_today.test(logical_date=date, run_conf=conf)
    tasks = sorted(run.get_task_instances(), key=lambda ti: (ti.task_id, ti.map_index))
    names = [ti.task_id if ti.map_index < 0 else f"list {ti.map_index}" for ti in tasks]
    return run, {name: f"{ti.state} {ti.try_number}" for name, ti in zip(names, tasks, strict=True)}


NOTHING = {
    "title": "t",
    "rows": [{"service": "Spanner", "instances": [], "problem": "", "warning": ""}],
}
ZONES = "https://www.googleapis.com/compute/v1/projects/spy-demo/zones"
DATABASES = [
    {
        "name": "orders",
        "settings": {"tier": "db-f1-micro"},
        "gceZone": "europe-west1-b",
        "state": "RUNNABLE",
    },
    {
        "name": "old",
        "settings": {"tier": "db-n1-standard-1", "activationPolicy": "NEVER"},
        "state": "RUNNABLE",
    },
]
LEDGER = {"name": "projects/spy-demo/instances/ledger", "nodeCount": 2, "state": "READY"}
MACHINES = [
    {
        "name": "a&b",
        "machineType": f"{ZONES}/z-a/machineTypes/n1-standard-1",
        "status": "RUNNING",
        "zone": f"{ZONES}/z-a",
    },
    {
        "name": "web",
        "machineType": f"{ZONES}/z-b/machineTypes/n1-standard-4",
        "status": "TERMINATED",
        "zone": f"{ZONES}/z-b",
    },
]


def section(text: str) -> Any:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def test_a_good_run_names_every_instance_and_what_it_costs(spy: Any, outside: Outside) -> None:
    outside.answer("sql", DATABASES, "WARNING: Python is old.\n")
    outside.answer("spanner", [LEDGER])
    outside.answer("compute", MACHINES, "Listed 2 items.\n")
    run, states = run_it(spy, 1, estimate_cost=True)
    assert (run.state, set(states.values())) == ("success", {"success 1"})
    title = "Instances in your GCP project spy-demo, 2026-11-02"
    (post,) = outside.posts
    assert post == {
        "text": title,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": title}},
            section(
                "*Cloud SQL:*\n:warning: gcloud warns: WARNING: Python is old.\n"
                "`orders` europe-west1-b\n`old` STOPPED"
            ),
            section("*Spanner:*\n`ledger`"),
            section("*Compute Engine:*\n`a&amp;b` z-a\n`web` z-b, TERMINATED"),
            section("*BigTable:*\n-"),
        ],
    }
    body = (
        "<b>Cloud SQL</b>:<br>gcloud warns: WARNING: Python is old.<br>"
        "orders <i>europe-west1-b</i><br>old <i>STOPPED</i><br><br>"
        "<b>Spanner</b>:<br>ledger<br><br>"
        "<b>Compute Engine</b>:<br>a&amp;b <i>z-a</i><br>web <i>z-b, TERMINATED</i><br><br>"
        "<b>BigTable</b>:<br>-<br><br>"
    )
    ((message_id, *mail),) = outside.mails
    assert mail == [title, body]
    assert re.match(r"<0\.[0-9a-f]{16}\.gcp-spy-today\.manual-.*@.", message_id)
    costs = run.get_task_instance("estimate_cost").xcom_pull(task_ids="estimate_cost")
    # The stopped ones cost nothing.
    assert costs == {
        "Cloud SQL": 11.0,
        "Spanner": 2 * 657.0,
        "BigTable": 0.0,
        "Compute Engine": 34.7,
    }
    assert sorted(outside.words) == [
        "bigtable instances list --format=json",
        "compute instances list --format=json",
        "config get-value project",
        "spanner instances list --format=json",
        "sql instances list --format=json",
    ]


def test_what_could_not_be_read_is_red_and_said(spy: Any, outside: Outside) -> None:
    denied = "ERROR: (gcloud.compute.instances.list) HTTPError 403: <no>"
    cut_short = "WARNING: The following instances were unreachable: projects/p/instances/x."
    outside.answer("sql", DATABASES[:1])
    outside.answer("spanner", [LEDGER], f"{cut_short}\n")
    outside.answer("compute", MACHINES[:1], f"{denied}\n", 1)
    run, states = run_it(spy, 2, project="spy-test")
    assert run.state == "failed"
    assert states == {
        "list 0": "success 1",
        "list 1": "failed 3",
        "list 2": "success 1",
        "list 3": "failed 1",
        "report": "success 1",
        "send_slack": "success 1",
        "send_mail": "success 1",
        "estimate_cost": "skipped 1",
        "complete": "upstream_failed 0",
    }
    (post,) = outside.posts
    assert post["text"] == "Instances in your GCP project spy-test, 2026-11-02"
    assert post["blocks"][1:] == [
        section(f"*Spanner:*\n:warning: could not be read completely: {cut_short}\n`ledger`"),
        section(
            "*Compute Engine:*\n:warning: could not be read completely: "
            "ERROR: (gcloud.compute.instances.list) HTTPError 403: &lt;no&gt;\n`a&amp;b` z-a"
        ),
        section("*Cloud SQL:*\n`orders` europe-west1-b"),
        section("*BigTable:*\n-"),
    ]
    assert "HTTPError 403: &lt;no&gt;<br>" in outside.mails[0][2]
    assert "sql instances list --format=json --project=spy-test" in outside.words


def test_a_channel_that_fails_is_red_and_the_other_one_is_told(spy: Any, outside: Outside) -> None:
    outside.slack = 503
    outside.refuses = True
    run, states = run_it(spy, 3)
    assert run.state == "failed"
    assert (states["send_slack"], states["send_mail"]) == ("failed 3", "failed 1")
    reports = [post for post in outside.posts if post.get("blocks")]
    assert len(reports) == 3
    (notice,) = (post["text"] for post in outside.posts if post not in reports)
    assert notice == (
        f"gcp_spy_today: the mail was not sent. {run.run_id}: see the log of send_mail."
    )
    assert outside.mails == [
        (
            None,
            "gcp_spy_today: Slack did not get the report",
            f"{run.run_id}: see the log of send_slack.",
        )
    ]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ValueError),
        (404, ValueError),
        (429, RuntimeError),
        (500, RuntimeError),
        (503, RuntimeError),
    ],
)
def test_what_slack_refuses_for_good_is_not_tried_again(
    spy: Any, outside: Outside, status: int, error: type[Exception]
) -> None:
    outside.slack = status
    with spy.slack(NOTHING) as send, pytest.raises(error, match=f"{status} no"):
        send([], "0.x")


def test_nobody_listens_at_slack(spy: Any, outside: Outside, monkeypatch: Any) -> None:
    def refused(body: Any) -> Any:
        raise URLError(ConnectionRefusedError(111, "refused"))

    monkeypatch.setattr(outside, "send_dict", refused)
    with (
        spy.slack(NOTHING) as send,
        pytest.raises(ConnectionRefusedError),
    ):
        send([], "0.x")


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (smtplib.SMTPRecipientsRefused({"a@x": (550, b"no")}), ValueError),
        (smtplib.SMTPRecipientsRefused({"a@x": (450, b"busy")}), RuntimeError),
        (smtplib.SMTPDataError(554, b"no"), ValueError),
        (smtplib.SMTPServerDisconnected("gone"), smtplib.SMTPServerDisconnected),
        (smtplib.SMTPAuthenticationError(421, b"later"), RuntimeError),
    ],
)
def test_what_the_mail_server_refuses_for_good_is_not_tried_again(
    spy: Any, outside: Outside, monkeypatch: Any, raised: Exception, error: type[Exception]
) -> None:
    def refuse(*words: Any, **more: Any) -> None:
        raise raised

    monkeypatch.setattr(outside, "sendmail", refuse)
    with (
        pytest.raises(error),
        spy.mail(NOTHING, "a@x", "dag.run@airflow") as send,
    ):
        send([], "0.x")


def test_a_mail_has_an_id_of_its_report_and_run(spy: Any, outside: Outside) -> None:
    with spy.mail(NOTHING, "a@x", "dag.run@airflow") as send:
        send([], "0.x")
        send([CORRECTION], "1.y")
    assert [mail[0] for mail in outside.mails] == [
        "<0.x.dag.run@airflow>",
        "<1.y.dag.run@airflow>",
    ]
    assert outside.mails[1][2] == f"{CORRECTION}<br><br><b>Spanner</b>:<br>-<br><br>"


@pytest.mark.parametrize(
    ("error", "arrived"),
    [
        (ConnectionRefusedError(), False),
        (socket.gaierror(), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
    ],
)
def test_only_where_nobody_answered_a_report_is_sent_again(
    spy: Any, error: Exception, arrived: bool
) -> None:
    store, way = Store(), Way()
    way.fail(spy, store, "a", error)
    spy.send_once(store, "a", way)
    assert way.sent == [[AGAIN] if arrived else []]


# --- its promises, for any names and any mixture of failures

LINES = st.text(min_size=1, max_size=120) | st.text("&<>", min_size=90, max_size=110)


def reports() -> Any:
    """Return a strategy for reports: four services, each with any instances and any problem."""
    names = st.lists(LINES, max_size=60) | st.integers(0, 3000).map(
        lambda count: [f"worker-{number}" for number in range(count)]
    )
    problems = st.just("") | LINES
    titles = ("Cloud SQL", "Spanner", "BigTable", "Compute Engine")

    def service(title: str) -> Any:
        return st.builds(
            lambda names, problem, warning, note: {
                "service": title,
                "instances": [[load().shown(name), "", note] for name in names],
                "problem": problem,
                "warning": warning,
            },
            names,
            problems,
            problems,
            st.sampled_from(["", "z-a", "z-a, STOPPED", "<b>&"]),
        )

    rows = st.tuples(*map(service, titles)).map(list)
    return st.fixed_dictionaries({"title": LINES, "rows": rows})


NOTES = st.lists(st.sampled_from([AGAIN, CORRECTION]), unique=True, max_size=2)


# Tags and entities in every text: hardly ever does a strategy spell one.
MARKUP = {
    "title": "<b>",
    "rows": [
        {
            "service": "Spanner",
            "instances": [["<b>db</b>&lt;", "", "<i>&amp;</i>"], ["<a href=x>", "", ""]],
            "problem": "<br>&lt;no",
            "warning": "<script>&amp;",
        }
    ],
}

PROPERTY = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES <= 200
)


@PROPERTY
@given(report=reports(), notes=NOTES)
@example(report=MARKUP, notes=[AGAIN])
def test_a_message_is_true_and_valid_for_slack(report: Any, notes: list[str]) -> None:
    message = load().slack_message(report, notes)
    blocks = message["blocks"]
    assert len(blocks) <= 50 and json.loads(json.dumps(message)) == message
    assert len(blocks[0]["text"]["text"]) <= 150
    sections = [block["text"] for block in blocks if block["type"] == "section"]
    assert len(sections) == len(report["rows"])
    for text in sections:
        assert text["verbatim"] and text["type"] == "mrkdwn"
        assert len(text["text"]) <= 3000 and not re.search("[<>]", text["text"])
        title, *lines = html.unescape(text["text"]).splitlines()
        found = next(it for it in report["rows"] if title == f"*{it['service']}:*")
        unread = [line for line in lines if line.startswith(":warning: could not be read")]
        warned = [line for line in lines if line.startswith(":warning: gcloud warns: ")]
        assert (len(unread), len(warned)) == (bool(found["problem"]), bool(found["warning"]))
        rest = lines[len(unread + warned) :]
        more = [int(n) for line in rest[-1:] for n in re.findall(r"^… and (\d+) more;", line)]
        shown = Counter(line for line in rest if line[0] == "`")
        real = Counter(f"`{name}` {note}".rstrip() for name, _, note in found["instances"])
        assert shown <= real
        assert shown.total() + sum(more) == real.total()
        assert shown or unread or rest == ["-"]
    told = [it["text"] for block in blocks for it in block.get("elements", [])]
    assert told == notes


class Reader(HTMLParser):
    """Reads a mail as its reader's program does: tags, and lines of text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.lines = [""]
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.add(tag)
        assert not attributes
        if tag == "br":
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        self.lines[-1] += data


@PROPERTY
@given(report=reports(), notes=NOTES)
@example(report=MARKUP, notes=[AGAIN])
def test_a_mail_is_true_and_safe(report: Any, notes: list[str]) -> None:
    read = Reader(load().mail_html(report, notes))
    assert read.tags <= {"b", "br", "i"}
    expected = [line for note in notes for line in (note, "")]
    rows = report["rows"]
    for found in sorted(rows, key=lambda it: (not it["problem"], not it["instances"])):
        lines = load().remarks(found)
        lines += [f"{name} {note}".rstrip(" " * (not note)) for name, _, note in found["instances"]]
        none = [] if found["instances"] or found["problem"] else ["-"]
        expected += [f"{found['service']}:", *lines, *none, ""]
    assert read.lines == [*expected, ""]
