"""`dags/gcp_spy.py` is what the notebooks build, and does what the program of 2018 did."""

import ast
import json
import os
import runpy
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from workshop import sandbox, show
from workshop.authoring.checking.generated import DAG_FILE
from workshop.authoring.checking.guard import dag_file_complaints
from workshop.ground.cells import read_steps

RECORDED = Path(__file__).with_name("recorded-2018.json")
SCENARIOS = json.loads(RECORDED.read_text(encoding="utf-8"))["scenarios"]


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


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
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
        expected = scenario["email"] | {"to": [scenario["email"]["to"]]}
        assert got["mails"] == [expected]
