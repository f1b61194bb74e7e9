"""`dags/gcp_spy.py` is what the notebooks build, and does what the program of 2018 did."""

import ast
import json
import os
import runpy
import shlex
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workshop import sandbox, show
from workshop.authoring.checking.generated import DAG_FILE
from workshop.authoring.checking.guard import dag_file_complaints
from workshop.ground.cells import read_steps

RECORDED = Path(__file__).with_name("recorded-2018.json")
SCENARIOS = json.loads(RECORDED.read_text(encoding="utf-8"))["scenarios"]
# These are in every check, the others once a week.
DAILY = ("several-everywhere", "none-anywhere", "spanner-permission-denied", "slack-http-500")


def test_it_is_generated() -> None:
    committed = DAG_FILE.read_text(encoding="utf-8")
    assert dag_file_complaints(read_steps(), committed) == []


def test_it_needs_nothing_of_the_workbook() -> None:
    text = DAG_FILE.read_text(encoding="utf-8")
    imported = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not [name for name in imported if name.startswith("workshop")]
    assert "hooks.slack.com" not in text
    assert "@" not in text


def install_recorded_gcloud(folder: Path, answers: dict[str, dict[str, Any]]) -> None:
    """Put a gcloud on the lab's PATH that prints what the recording has, a service each."""
    cases = []
    for service, answer in answers.items():
        for stream in ("stdout", "stderr"):
            (folder / f"{service}.{stream}").write_text(answer[stream], encoding="utf-8")
        out, err = (shlex.quote(str(folder / f"{service}.{s}")) for s in ("stdout", "stderr"))
        cases.append(f"{service}) cat {err} >&2; cat {out}; exit {answer['rc']};;")
    program = Path(os.environ["PATH"].split(os.pathsep)[0]) / "gcloud"
    lines = ["#!/bin/sh", 'case "$1" in', *cases, "esac"]
    program.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(it, id=it["name"], marks=() if it["name"] in DAILY else pytest.mark.weekly)
        for it in SCENARIOS
    ],
)
def test_it_does_what_the_program_of_2018_did(
    lab: Any, work_in: Path, scenario: dict[str, Any]
) -> None:
    faults = {"slack": scenario["faults"].get("slack_status")}
    faults["mail"] = "down" if scenario["faults"].get("smtp_down") else None
    chosen = {what: fault for what, fault in faults.items() if fault}
    (work_in / "worlds").mkdir()
    world = {"project": "recorded", "faults": chosen, "services": {}}
    (work_in / "worlds" / "recorded.yaml").write_text(json.dumps(world), encoding="utf-8")
    sandbox.enter("recorded")
    install_recorded_gcloud(work_in, scenario["gcloud"])
    path = shutil.copy(DAG_FILE, lab.dags / "gcp_spy.py")

    run = runpy.run_path(str(path))["dag"].test()

    tasks = show.tasks(run)
    assert dict(zip(tasks["task"], tasks["state"], strict=True)) == scenario["states"]
    pushed = show.xcoms(run)[["task", "key", "value"]].rename(columns={"task": "task_id"})
    by_task = sorted(scenario["xcoms"], key=lambda xcom: xcom["task_id"])
    assert pushed.to_dict("records") == by_task
    got = sandbox.received()
    assert got["slack"] == [scenario["slack"]]
    if scenario["email"] is None:
        assert got["mails"] == []
        assert tasks.set_index("task").loc["send_email", "tries"] == 2, "one retry, as in the talk"
    else:
        expected = scenario["email"] | {"to": [scenario["email"]["to"]], "cc": [], "bcc": []}
        assert got["mails"] == [expected]


NOTHING = "Listed 0 items."
# What gcloud may print, and what Python takes for a blank and the program of 2018 did not.
KEPT = st.one_of(
    st.just(NOTHING),
    st.text("ab-<&`\t\r\f\xa0\u3000 ").map(str.rstrip),  # Airflow strips the line that it keeps
    st.text(st.characters(exclude_characters="\n")).map(str.rstrip),
)


@pytest.fixture(scope="module")
def spy(lab: Any) -> dict[str, Any]:
    """Return the names of the DAG file."""
    return runpy.run_path(str(DAG_FILE))


def by_the_rule(lines: dict[str, str], form: str, nothing: str) -> dict[str, str]:
    """Return what stands under each title: a name ends at a single space, and nowhere else."""
    names = {title: line.replace(" ", "\n").split("\n") for title, line in lines.items()}
    texts = {title: "".join(map(form.format, names[title])) for title in lines}
    return {title: nothing if lines[title] == NOTHING else texts[title] for title in lines}


@settings(deadline=None)  # a busy machine is no fault
@given(kept=st.tuples(KEPT, KEPT, KEPT, KEPT))
def test_message_and_mail_follow_the_rule_of_2018(spy: dict[str, Any], kept: list[str]) -> None:
    services = dict(spy["GCP_SERVICES"])
    lines = dict(zip(services.values(), kept, strict=True))
    by_task = {f"gcp_service_list_instances_{it}": lines[services[it]] for it in services}
    instance = Mock(xcom_pull=lambda task_ids: by_task[task_ids])
    with patch("requests.post") as post:
        spy["send_slack_msg"](task_instance=instance)
    spy["prepare_email"](task_instance=instance)

    there_first = sorted(lines, key=lambda title: lines[title] == NOTHING)
    fields = by_the_rule(lines, "`{}`\n", "-")
    green, blue = json.loads(post.call_args.kwargs["data"])["attachments"]
    shown = [(field["title"], field["value"]) for field in green["fields"] + blue["fields"]]
    assert shown == [(title, fields[title]) for title in there_first]
    assert len(blue["fields"]) == kept.count(NOTHING)
    paragraphs = by_the_rule(lines, "{}<br>", "-<br>")
    mail = "".join(f"<b>{title}</b>:<br>{paragraphs[title]}<br>" for title in there_first)
    instance.xcom_push.assert_called_once_with(key="email", value=mail)


@pytest.mark.parametrize(
    ("stdout", "names"),
    [
        ("", [""]),  # not even the sentence: with core/user_output_enabled=false
        ("NAME\na-db\tMYSQL_5_7  x\nb-db  x\n", ["a-db\tMYSQL_5_7", "b-db"]),
        ("NAME\nledger\xa0of\xa0May  x\n", ["ledger\xa0of\xa0May"]),
    ],
)
def test_a_whole_run_tells_the_names_as_2018_did(
    lab: Any, work_in: Path, stdout: str, names: list[str]
) -> None:
    sandbox.enter("talk")
    answer = {"stdout": stdout, "stderr": "", "rc": 0}
    services = ("sql", "spanner", "bigtable", "compute")
    install_recorded_gcloud(work_in, dict.fromkeys(services, answer))
    path = shutil.copy(DAG_FILE, lab.dags / "gcp_spy.py")
    assert runpy.run_path(str(path))["dag"].test().state == "success"
    (message,) = sandbox.received()["slack"]
    value = "".join(f"`{name}`\n" for name in names)
    assert [field["value"] for field in message["attachments"][0]["fields"]] == [value] * 4
    assert f"<b>Spanner</b>:<br>{'<br>'.join(names)}<br>" in sandbox.received()["mails"][0]["html"]
