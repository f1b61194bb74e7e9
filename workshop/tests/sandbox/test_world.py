"""Worlds, their faults, and the way to the real world."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import psutil
import pytest

from workshop import sandbox
from workshop.ground import Problem
from workshop.lab import current
from workshop.sandbox import world
from workshop.tests.sandbox.tools import RECORDED, WORLD, ask, post


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("talk", "Sandbox, world 'talk': 11 instances.\n"),
        ("denied", "Sandbox, world 'denied': 5 instances, faults: spanner denied.\n"),
    ],
)
def test_a_world_says_what_is_in_it(lab: Any, name: str, said: str) -> None:
    assert sandbox.enter(name) == (
        f"{said}gcloud, Slack and the mail server are stand-ins on this machine; nothing leaves it."
    )


def test_a_program_stays_where_it_is_until_the_home_is_another_one(
    lab: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    sandbox.enter("talk")
    box = current()[world.Sandbox]
    program = shutil.which("gcloud")
    before = box.programs
    sandbox.enter("quiet")
    assert box.programs is before and shutil.which("gcloud") == program
    with patch.dict(os.environ):
        sandbox.enter("talk", tmp_path)
        assert shutil.which("gcloud") == str(tmp_path / "bin" / "gcloud")
    sandbox.enter("talk", lab.folder)
    assert shutil.which("gcloud") == program


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


def test_each_fault_that_there_is_is_named_with_its_kinds(lab: Any) -> None:
    with pytest.raises(Problem) as raised:
        sandbox.fault(spaner="denied")
    _, _, known = (
        str(raised.value).rstrip(".").partition("There is no fault 'spaner: denied', only ")
    )
    kinds = {what: ", ".join(map(str, each)) for what, each in world.FAULTS.items()}
    assert dict(each.split(": ") for each in known.split("; ")) == kinds


def test_no_gcloud_is_left_on_path(lab: Any) -> None:
    sandbox.enter("talk")
    sandbox.set_faults({"gcloud": "missing"})
    assert shutil.which("gcloud") is None
    assert shutil.which("bash") and shutil.which("grep")
    sandbox.set_faults({"gcloud": None})
    assert shutil.which("gcloud")


def test_each_folder_of_path_keeps_its_other_programs(
    lab: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    sandbox.enter("talk")
    monkeypatch.chdir(tmp_path)
    folders = [str(tmp_path / "x-y"), str(tmp_path / "x" / "y"), "near"]
    for number, folder in enumerate(folders):
        Path(folder).mkdir(parents=True)
        for name in ("gcloud", f"program-{number}"):
            (Path(folder) / name).write_text("#!/bin/sh\n", encoding="utf-8")
            (Path(folder) / name).chmod(0o700)
    monkeypatch.setattr(current()[world.Sandbox], "folders", folders)
    sandbox.set_faults({"gcloud": "missing"})
    assert shutil.which("gcloud") is None
    assert all(shutil.which(f"program-{number}") for number in range(3))


def test_the_real_world_says_what_is_missing(lab: Any, monkeypatch: Any, tmp_path: Path) -> None:
    sandbox.enter("talk")
    for name in sandbox.TODAY_VARIABLES:
        monkeypatch.delenv(name)
    said = "REAL WORLD: your own gcloud, Slack and mail server. Messages leave this machine."
    assert sandbox.use_real() == said
    assert os.environ["AIRFLOW_VAR_GCP_SPY_RECIPIENT"] == "ops@example.com"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("GCPSPY_SLACK_WEBHOOK")
    with pytest.raises(Problem) as raised:
        sandbox.use_real()
    assert str(raised.value) == (
        "GCPSPY_WORLD=real asks for the real world, but there is no program gcloud, no "
        "GCPSPY_SLACK_WEBHOOK. Set what is missing and restart JupyterLab, or leave GCPSPY_WORLD "
        "out for the sandbox."
    )


@pytest.mark.parametrize(
    ("variables", "inherited", "words", "real"),
    [
        ({}, {}, ["jupyter-lab"], True),
        ({"GCPSPY_WORLD": "REAL"}, {}, ["jupyter-lab"], False),
        ({"JPY_SESSION_NAME": ""}, {}, ["jupyter-lab"], False),
        ({"JPY_PARENT_PID": "none"}, {}, ["jupyter-lab"], False),
        ({"JPY_PARENT_PID": "43"}, {}, ["jupyter-lab"], False),
        ({}, {"JPY_SESSION_NAME": "mine.ipynb"}, ["papermill"], False),
        ({}, {}, ["python", "-m", "workshop.kernels.warm"], False),
    ],
)
def test_the_real_world_opens_where_it_is_asked_for_in_a_notebook_of_a_person(
    monkeypatch: Any, variables: Any, inherited: Any, words: list[str], real: bool
) -> None:
    def process(pid: int) -> Any:
        if pid != 42:
            raise psutil.NoSuchProcess(pid)
        return SimpleNamespace(environ=lambda: inherited, cmdline=lambda: words)

    monkeypatch.setattr(psutil, "Process", process)
    opened = {"GCPSPY_WORLD": "real", "JPY_SESSION_NAME": "06.ipynb", "JPY_PARENT_PID": "42"}
    for name, value in (opened | variables).items():
        monkeypatch.setenv(name, value)
    assert world.is_real() is real


def test_a_child_keeps_its_own_python_path_behind_the_sandbox_s(lab: Any, monkeypatch: Any) -> None:
    sandbox.enter("talk")
    monkeypatch.setenv("PYTHONPATH", "/home/ada/lib")
    folders = sandbox.handed_on()["PYTHONPATH"].split(os.pathsep)
    assert folders[1:] == ["/home/ada/lib"] and Path(folders[0], "sitecustomize.py").is_file()


def test_the_dags_are_told_of_the_sandbox(lab: Any, monkeypatch: Any) -> None:
    for name in sandbox.TODAY_VARIABLES:
        monkeypatch.delenv(name)
    sandbox.enter("talk")
    connection, recipient = (os.environ[name] for name in sandbox.TODAY_VARIABLES)
    assert json.loads(connection) == {
        "conn_type": "slackwebhook",
        "password": os.environ["GCPSPY_SLACK_WEBHOOK"],
    }
    assert recipient == os.environ["GCPSPY_RECIPIENT_EMAIL"]


def test_a_visit_leaves_everything_as_it_was(lab: Any) -> None:
    sandbox.enter("denied")
    post(json.dumps({"text": "before"}))
    sandbox.set_faults({"slack": 500})
    with sandbox.visit("quiet") as box:
        assert (box.world.endswith("quiet.yaml"), sandbox.faults_now()) == (True, {})
        assert post(json.dumps({"text": "meanwhile"}))[0] == 200
        assert ask("spanner", "instances", "list")[2] == 0
    assert sandbox.faults_now() == {"spanner": "denied", "slack": 500}
    assert list(sandbox.arrived()["title"]) == ["before"]
    assert sandbox.received()["world"] == "denied"
    assert ask("spanner", "instances", "list")[2] == 1
