"""Worlds, their faults, and the way to the real world."""

import json
import os
import shutil
from typing import Any

import pytest

from workshop import sandbox
from workshop.ground import Problem
from workshop.tests.sandbox.tools import RECORDED, WORLD, ask, post


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


def test_no_gcloud_is_left_on_path(lab: Any) -> None:
    sandbox.enter("talk")
    sandbox.set_faults({"gcloud": "missing"})
    assert shutil.which("gcloud") is None
    assert shutil.which("bash") and shutil.which("grep")
    sandbox.set_faults({"gcloud": None})
    assert shutil.which("gcloud")


def test_the_real_world_says_what_is_missing(lab: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("GCPSPY_WORLD", "real")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("GCPSPY_SLACK_WEBHOOK")
    with pytest.raises(Problem, match="no GCPSPY_SLACK_WEBHOOK") as raised:
        sandbox.use_real()
    assert "GCPSPY_WORLD" in str(raised.value)


def test_the_dags_are_told_of_the_sandbox(lab: Any, monkeypatch: Any) -> None:
    for name in sandbox.TODAY_VARIABLES:
        monkeypatch.delenv(name)
    sandbox.enter("talk")
    connection, recipient = (os.environ[name] for name in sandbox.TODAY_VARIABLES)
    assert json.loads(connection)["password"] == os.environ["GCPSPY_SLACK_WEBHOOK"]
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
