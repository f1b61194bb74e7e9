"""Tests of gcp_spy_today that need no Airflow to run: its shape, its parts, its promises.

Written to be copied: beside pytest they need Hypothesis, and the DAG file at DAG_FILE.
"""

import html
import importlib.util
import json
import os
import re
import stat
import sys
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HERE = Path(__file__)
DAG_FILE = Path(os.environ.get("DAG_FILE", HERE.parents[2] / "dags" / "gcp_spy_today.py"))
EXAMPLES = int(os.environ.get("EXAMPLES", "200"))


@pytest.fixture(scope="module")
def spy() -> Any:
    """Return the DAG file as a module."""
    return load()


def load() -> Any:
    if "gcp_spy_today" not in sys.modules:
        spec = importlib.util.spec_from_file_location("gcp_spy_today", DAG_FILE)
        assert spec and spec.loader
        sys.modules["gcp_spy_today"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["gcp_spy_today"]


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
        assert task.execution_timeout and task.retries == 2 and task.owner != "airflow"
        assert task.retry_policy


def test_it_runs_once_at_a_time_and_catches_nothing_up(spy: Any) -> None:
    dag = spy.gcp_spy_today
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    assert dag.dagrun_timeout and dag.doc_md and dag.tags


# --- its parts


@pytest.mark.parametrize(
    ("service", "api", "expected"),
    [
        ("compute", {"name": "a", "machineType": "x/n1", "status": "RUNNING"}, ("a", "n1")),
        ("compute", {"name": "a", "machineType": "x/n1", "status": "TERMINATED"}, ("a", "")),
        ("sql", {"name": "b", "settings": {"tier": "t"}}, ("b", "t")),
        ("sql", {"name": "b", "settings": {"tier": "t", "activationPolicy": "NEVER"}}, ("b", "")),
        ("spanner", {"name": "projects/p/instances/c", "nodeCount": 2}, ("c", "2 x spanner node")),
        ("bigtable", {"name": "projects/p/instances/d"}, ("d", "")),
    ],
)
def test_an_instance_has_its_short_name(spy: Any, service: str, api: Any, expected: Any) -> None:
    assert tuple(spy.instance(service, api).values()) == expected


@pytest.fixture
def gcloud(spy: Any, tmp_path: Path, monkeypatch: Any) -> Any:
    """Return a function that calls the DAG's gcloud() with a program that is a shell script."""

    def call(script: str, seconds: float = 5) -> Any:
        program = tmp_path / "gcloud"
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return spy.gcloud("sql", seconds)

    return call


def test_gcloud_s_answer_and_its_errors(gcloud: Any) -> None:
    assert gcloud("echo '[]'; echo noise >&2") == ([], "")
    assert gcloud("echo '[]'; echo 'ERROR: no' >&2; exit 1") == ([], "ERROR: no")
    assert gcloud("exit 3") == ([], "no reason")
    assert gcloud("echo oops") == ([], "gcloud's answer is no JSON")
    assert gcloud("true") == ([], "gcloud's answer is no JSON")  # of an empty list it prints []
    assert gcloud("echo oops; echo 'ERROR: crash' >&2; exit 1") == ([], "ERROR: crash")
    said = "WARNING: Some requests did not succeed.\\n - why\\n"
    assert gcloud(f"echo '[1]'; printf '{said}' >&2") == (
        [1],
        "WARNING: Some requests did not succeed. - why",
    )
    said = "WARNING: The following instances were unreachable: projects/p/instances/a."
    assert gcloud(f"echo '[1]'; echo '{said}' >&2") == ([1], said)


def test_a_hanging_gcloud_is_ended_with_what_it_started(gcloud: Any, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="no answer in 2 seconds"):
        gcloud(f"sleep 3600 & echo $! > '{tmp_path}/child'; wait", 2)
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 600
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end


def test_no_gcloud(spy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        spy.gcloud("sql", 1)


class Store(dict[str, Any]):
    """A task's own store, as a dict."""

    set = dict.__setitem__
    delete = dict.__delitem__


def test_what_was_sent_is_not_sent_again(spy: Any) -> None:
    sent: list[bool] = []
    store = Store()
    assert spy.send_once(store, sent.append) == "sent"
    assert spy.send_once(store, sent.append) == "an earlier try has sent it"
    assert sent == [False]


def test_what_was_refused_is_sent_as_if_for_the_first_time(spy: Any) -> None:
    sent: list[bool] = []
    store = Store()

    def refuse(again: bool) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        spy.send_once(store, refuse)
    assert spy.send_once(store, sent.append) == "sent"
    assert sent == [False]


def test_what_got_no_answer_is_sent_again_and_says_so(spy: Any) -> None:
    sent: list[bool] = []
    store = Store()

    def silent(again: bool) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        spy.send_once(store, silent)
    assert spy.send_once(store, sent.append) == "sent again"
    assert sent == [True]


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
            lambda names, problem: {
                "service": title,
                "instances": [{"name": name, "size": ""} for name in names],
                "problem": problem,
            },
            names,
            problems,
        )

    return st.tuples(*map(service, titles)).map(list)


PROPERTY = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES <= 200
)


@PROPERTY
@given(report=reports(), again=st.booleans())
def test_a_message_is_true_and_valid_for_slack(report: Any, again: bool) -> None:
    spy = load()
    message = spy.slack_message(report, again)
    blocks = message["blocks"]
    assert len(blocks) <= 50 and json.loads(json.dumps(message)) == message
    sections = [block["text"]["text"] for block in blocks if block["type"] == "section"]
    assert len(sections) == len(report)
    for text in sections:
        assert len(text) <= 3000 and not re.search("[<>]", text)
        title, *lines = text.splitlines()
        found = next(it for it in report if title == f"*{it['service']}:*")
        unread = [line for line in lines if line.startswith(":warning: could not be read")]
        assert len(unread) == bool(found["problem"])
        rest = lines[len(unread) :]
        more = [int(n) for line in rest[-1:] for n in re.findall(r"^… and (\d+) more;", line)]
        shown = Counter(html.unescape(line[1:-1]) for line in rest if line[0] == line[-1] == "`")
        real = Counter(spy.shown(it["name"]) for it in found["instances"])
        assert shown <= real
        assert shown.total() + sum(more) == real.total()
        assert shown or unread or rest == ["-"]
    assert (spy.AGAIN in json.dumps(message, ensure_ascii=False)) == again


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
@given(report=reports(), again=st.booleans())
def test_a_mail_is_true_and_safe(report: Any, again: bool) -> None:
    spy = load()
    read = Reader(spy.mail_html(report, again))
    assert read.tags <= {"b", "br"}
    expected = [spy.AGAIN, ""] if again else []
    for found in spy.in_order(report):
        names = [spy.shown(it["name"]) for it in found["instances"]]
        said = [f"{spy.unread(found)}: {spy.shown_reason(found)}"] if found["problem"] else []
        expected += [f"{found['service']}:", *(said + names or ["-"]), ""]
    assert read.lines == [*expected, ""]
