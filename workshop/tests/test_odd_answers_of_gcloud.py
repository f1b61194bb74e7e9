"""Odd answers of gcloud, and what gcp_spy_today makes of each: names, reason, state, tries.

Nothing is invented, nothing is lost without a word, nothing is green wrongly, every red has its
reason, and no secret is shown. The words are those of Google Cloud CLI 528 where it has some.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from workshop.tests.test_gcp_spy_today import load

GREEN, FINAL, AGAIN = "green", "red at once", "red after all tries"
SECRET = "correct-horse-7"
LIST = "ERROR: (gcloud.{}.instances.list) "
SQL, SPANNER, COMPUTE = (LIST.format(it) for it in ("sql", "spanner", "compute"))
CUT_SHORT = "WARNING: Some requests did not succeed.\n - The zone 'z-b' is not available.\n\n"
OLD_PYTHON = "WARNING:  Python 3.8.x is no longer officially supported\nby the Google Cloud CLI.\n"
LOGIN = "Please run:\n\n  $ gcloud auth login\n\nto obtain new credentials.\n"
METADATA = (
    "There was a problem refreshing your current auth tokens: ('Failed to retrieve http://metadata."
    "google.internal/computeMetadata/v1/instance/service-accounts/default/ from the Google Compute "
    "Engine metadata service.', <Response>)\n" + LOGIN
)


@dataclass
class Answer:
    """What gcloud says, and what must become of it."""

    stdout: str
    stderr: str = ""
    status: int = 0
    service: str = "sql"
    state: str = GREEN
    names: list[str] = field(default_factory=list)
    says: str = ""  # words of the reason
    warns: str = ""  # words of a warning that makes nothing red
    hides: str = ""


def listed(*apis: Any) -> str:
    return json.dumps(apis)


def red(says: str, stderr: str, state: str = FINAL, status: int = 1, **more: Any) -> Answer:
    return Answer(more.pop("stdout", ""), stderr, status, state=state, says=says, **more)


ONE = listed({"name": "ledger"})
ANSWERS: dict[str, Answer] = {
    # Lists that are whole.
    "none": Answer("[]\n", "Listed 0 items.\n"),
    "one": Answer(ONE, names=["ledger"]),
    "full name": Answer(listed({"name": "projects/p/instances/led"}), names=["led"]),
    "blank lines": Answer(f"\n\n{ONE}\n\n", "\n\n", names=["ledger"]),
    "noise": Answer(ONE, "Updates are available for some components.\n", names=["ledger"]),
    "name of an error": Answer(listed({"name": "error-db"}), names=["error-db"]),
    "name with a tick": Answer(listed({"name": "a`b\u202e\n"}), names=["a?b??"]),
    "name with half a letter": Answer('[{"name": "a\\ud800"}]', names=["a?"]),
    "name with a nothing": Answer('[{"name": "a\\u0000"}]', names=["a?"]),
    "long name": Answer(listed({"name": "n" * 5000}), names=["n" * 99 + "…"]),
    "two zones": Answer(
        listed({"name": "w", "zone": "x/z-a"}, {"name": "w", "zone": "x/z-b"}),
        service="compute",
        names=["w z-a", "w z-b"],
    ),
    "stopped": Answer(
        listed({"name": "w", "zone": "x/z-a", "status": "TERMINATED"}),
        service="compute",
        names=["w z-a, TERMINATED"],
    ),
    # Objects that miss what the report does without.
    "settings null": Answer(
        listed({"name": "a", "settings": None}, {"name": "b"}), names=["a", "b"]
    ),
    "settings a list": Answer(listed({"name": "a", "settings": [1]}), names=["a"]),
    "no nodes": Answer(listed({"name": "a", "nodeCount": None}), service="spanner", names=["a"]),
    "nodes in words": Answer(
        listed({"name": "a", "nodeCount": "x"}), service="spanner", names=["a"]
    ),
    "no machine type": Answer(
        listed({"name": "a", "status": "RUNNING", "machineType": None}),
        service="compute",
        names=["a"],
    ),
    "zone a number": Answer(listed({"name": "a", "zone": 7}), service="compute", names=["a"]),
    "state a list": Answer(listed({"name": "a", "state": ["READY"]}), names=["a"]),
    # Objects that are no instances, beside one that is.
    **{
        what: red(
            "1 of 2 objects have no name", "", AGAIN, 0,
            stdout=listed(api, {"name": "b"}), names=["b"],
        )
        for what, api in {
            "null in the list": None,
            "number in the list": 3,
            "text in the list": "a",
            "object without a name": {"id": 1},
            "empty name": {"name": ""},
            "name a number": {"name": 5},
        }.items()
    },
    # Status 0 and no list.
    **{
        what: red("gcloud's answer is no list", "", AGAIN, 0, stdout=stdout)
        for what, stdout in {
            "nothing": "",
            "blanks": " \n",
            "null": "null",
            "object": '{"name": "a"}',
            "number": "7",
            "text": '"a"',
            "no JSON": "NAME  STATUS\na     READY",
            "half a list": '[{"name": "a"}',
            "two lists": "[]\n[]",
            "very deep": "[" * 100_000,
        }.items()
    },
    # Status 0 and warnings.
    "a zone is missing": red(
        "did not succeed. - The zone 'z-b'", CUT_SHORT, AGAIN, 0,
        stdout=ONE, names=["ledger"], service="compute",
    ),
    "an instance is unreachable": red(
        "were unreachable: projects/p/instances/x.",
        "WARNING: The following instances were unreachable: projects/p/instances/x.\n",
        AGAIN, 0, stdout=ONE, names=["ledger"], service="spanner",
    ),
    "two warnings": red(
        "Some requests did not succeed.", OLD_PYTHON + CUT_SHORT, AGAIN, 0, stdout=ONE,
        names=["ledger"], service="compute",
    ),
    "old Python": Answer(ONE, OLD_PYTHON, names=["ledger"], warns="no longer officially supported"),
    "old Python, none": Answer("[]", f"{OLD_PYTHON}Listed 0 items.\n", warns="Google Cloud CLI."),
    "a name as a sentence": Answer(
        listed({"name": "WARNING: Some requests did not succeed."}),
        names=["WARNING: Some requests did not succeed."],
    ),
    "a secret in a warning": Answer(
        ONE, "WARNING: the proxy http://ann:pa/s@s@proxy:3128 is slow\n", names=["ledger"],
        warns="http://***@proxy:3128", hides="pa/s",
    ),
    # Refusals: another try is of no use.
    "denied, sql": red("HTTPError 403", f"{SQL}HTTPError 403: The client is not authorized.\n"),
    "denied, spanner": red(
        "does not have permission",
        f"{SPANNER}[a@b.c] does not have permission to access projects instance [p] (or it may "
        "not exist): Caller is missing IAM permission\n",
        stdout="[]", service="spanner",
    ),
    "denied, compute": red(
        "Required 'compute.instances.list' permission",
        f"{COMPUTE}Some requests did not succeed:\n - Required 'compute.instances.list' permission "
        "for 'projects/p'\n\n",
        stdout="[]", service="compute",
    ),
    "no such project, sql": red("HTTPError 404", f"{SQL}HTTPError 404: not found.\n"),
    "no such project, spanner": red(
        "Projects instance [p] not found", f"{SPANNER}Projects instance [p] not found: no.\n",
        service="spanner",
    ),
    "no such project, compute": red(
        "was not found",
        f"{COMPUTE}Some requests did not succeed:\n - The resource 'projects/p' was not found\n",
        service="compute",
    ),
    "API is off": red(
        "has not been used", f"{COMPUTE}Some requests did not succeed:\n - Compute Engine API has "
        "not been used in project 1 before or it is disabled.\n",
        service="compute",
    ),
    "no account": red(
        "active account selected. Please run: $ gcloud auth login",
        f"{SQL}You do not currently have an active account selected.\n{LOGIN}",
    ),
    "no credentials": red(
        "any valid credentials",
        f"{SQL}Your current active account [a@b.c] does not have any valid credentials\n{LOGIN}",
    ),
    "grant withdrawn": red(
        "invalid_grant",
        f"{SQL}There was a problem refreshing your current auth tokens: ('invalid_grant: Token has "
        f"been expired or revoked.', {{}})\n{LOGIN}",
    ),
    "no project": red("[project]", f"{SQL}The required property [project] is not currently set.\n"),
    "bad flag": red("unrecognized", f"{SQL}unrecognized arguments: --x\n", status=2),
    # What may pass by itself, though it names accounts and permissions.
    **{
        what: red(says, f"{SQL}{words}\n", AGAIN)
        for what, says, words in (
            ("503 of an accounting", "503", "HTTPError 503: projects/accounting-prod is busy."),
            ("500 of a permission", "500", "HTTPError 500: no permission service."),
            ("429", "429", "HTTPError 429: Quota exceeded."),
            ("403 of a quota", "403", "HTTPError 403: Rate Limit Exceeded"),
            ("metadata server", "metadata", METADATA),
            ("no network", "gaierror", "There was a problem refreshing your tokens: gaierror"),
            ("crash", "crashed", "gcloud crashed (ConnectionError): account refused [Errno 111]"),
        )
    },
    "denied in a list of names": red(
        "503", f"{SQL}HTTPError 503: see [x] does not have permission to access y\n", AGAIN
    ),
    "half of it": red(
        "HTTPError 503", f"{SPANNER}HTTPError 503: later\n", AGAIN, stdout=ONE, names=["ledger"],
        service="spanner",
    ),
    # It did not end by itself, or not with an error of gcloud.
    "killed": red("ended by SIGKILL; perhaps the worker lacks memory", "", AGAIN, 137),
    "terminated": red("ended by SIGTERM", "noise\n", AGAIN, 143),
    "without a word": red("ended with status 3 and without a word", "", AGAIN, 3),
    "traceback": red(
        "status 1: ModuleNotFoundError: No module named 'x'",
        "Traceback (most recent call last):\n  File \"gcloud.py\", line 1, in <module>\n"
        "ModuleNotFoundError: No module named 'x'\n",
        AGAIN,
    ),
    "shell": red("status 127: exec: python3: not found", "exec: python3: not found\n", AGAIN, 127),
    # Secrets.
    "secret that Airflow knows": red("***", f"{SQL}HTTPError 401: {SECRET}\n", hides=SECRET),
    "login in an address": red(
        "https://***@proxy:8080", f"{SQL}cannot reach https://ann:hunter2@proxy:8080\n", AGAIN,
        hides="hunter2",
    ),
    "access token": red("***", f"{SQL}bad header ya29.a0Ab_c-D\n", AGAIN, hides="a0Ab_c"),
    "markup": red("<!channel>", f"{SQL}<!channel> <b>no</b> `x`\n", AGAIN),
}  # fmt: skip


@pytest.fixture
def program(tmp_path: Path, monkeypatch: Any) -> Iterator[Callable[[Answer], None]]:
    """Give what makes gcloud, for this process, a program that answers so."""

    def make(answer: Answer) -> None:
        (tmp_path / "stdout").write_text(answer.stdout, "utf-8")
        (tmp_path / "stderr").write_text(answer.stderr, "utf-8")
        cat = f"cat '{tmp_path}/stdout'; cat '{tmp_path}/stderr' >&2; exit {answer.status}"
        path = tmp_path / "gcloud"
        path.write_text(f"#!/bin/sh\n{cat}\n", "utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    yield make


class Pushed(dict[str, Any]):
    """Stands for a task instance: keeps what is pushed."""

    def xcom_push(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))


def listed_by_the_task(spy: Any, service: str) -> tuple[dict[str, Any], str, str]:
    """Return what a list task pushed, its state, and the error that it raised."""
    from airflow.sdk import RetryAction

    pushed = Pushed()
    params = {"gcloud_seconds": 60, "project": ""}
    try:
        spy.list_instances.function(service, ti=pushed, params=params)
    except Exception as error:
        action = spy.POLICY.evaluate(error, try_number=1, max_tries=2).action
        return pushed["found"], FINAL if action == RetryAction.FAIL else AGAIN, str(error)
    return pushed["found"], GREEN, ""


@pytest.mark.parametrize("what", ANSWERS)
def test_an_odd_answer(what: str, lab: Any, program: Any, monkeypatch: Any) -> None:
    from airflow.sdk.log import mask_secret

    answer, spy = ANSWERS[what], load()
    program(answer)
    mask_secret(SECRET)
    logged: list[str] = []
    monkeypatch.setattr(spy.log, "info", lambda text, *values: logged.append(text % values))
    found, state, error = listed_by_the_task(spy, answer.service)
    assert state == answer.state
    assert [f"{name} {note}".strip() for name, _, note in found["instances"]] == answer.names
    assert answer.says in found["problem"] and bool(answer.says) == bool(found["problem"])
    assert answer.warns in found["warning"] and bool(answer.warns) == bool(found["warning"])
    assert error == found["problem"]
    assert f"status {answer.status}" in logged[0]
    report = {"title": "T", "rows": [found]}
    slack, mail = spy.slack_message(report), spy.mail_html(report)
    (section,) = (it["text"]["text"] for it in slack["blocks"] if it["type"] == "section")
    for told in (section, mail):
        assert (told.count("could not be read") == 1) == (state != GREEN)
        assert ("gcloud warns" in told) == bool(answer.warns)
        assert "<!" not in told and "<b>no" not in told
    shown = json.dumps([found, slack, mail, error, logged])
    assert not answer.hides or answer.hides not in shown
    assert spy.costs_of(report)


def test_there_are_sixty() -> None:
    assert len(ANSWERS) >= 60
