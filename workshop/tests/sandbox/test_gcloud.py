"""The stand-in for gcloud prints what the real one printed, and refuses what it does not know."""

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest

from workshop import sandbox
from workshop.ground import ROOT, Problem
from workshop.lab import Home
from workshop.tests.sandbox.tools import RECORDED, WORLD, ask


@pytest.mark.parametrize("service", RECORDED)
def test_gcloud_prints_what_the_real_one_printed(enter: Any, service: str) -> None:
    enter(WORLD)
    assert ask(service, "instances", "list") == (RECORDED[service], "", 0)


@pytest.mark.parametrize("service", RECORDED)
def test_gcloud_prints_names_and_json(enter: Any, service: str) -> None:
    enter(WORLD)
    names = [line.split()[0] for line in RECORDED[service].splitlines()[1:]]
    out, err, status = ask(service, "instances", "list", "--format=value(name)")
    assert (out.split(), err, status) == (names, "", 0)
    out, err, status = ask("--project=recorded", service, "instances", "list", "--format", "json")
    listed = json.loads(out)
    assert [instance["name"].rsplit("/", 1)[-1] for instance in listed] == names
    assert (err, status) == ("", 0)
    if service in ("spanner", "bigtable"):
        assert listed[0]["name"].startswith("projects/recorded/instances/")


@pytest.mark.parametrize("service", RECORDED)
def test_gcloud_with_nothing_there(lab: Any, service: str) -> None:
    sandbox.enter("empty")
    assert ask(service, "instances", "list") == ("", "Listed 0 items.\n", 0)
    assert ask(service, "instances", "list", "--format=json") == ("[]\n", "", 0)
    assert ask(service, "instances", "list", "--format=value(name)")[0] == ""


def test_gcloud_denied(enter: Any) -> None:
    faults = ", ".join(f"{service}: denied" for service in RECORDED)
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


def test_gcloud_that_is_killed_says_nothing(enter: Any) -> None:
    enter(WORLD + "faults: {sql: killed}\n")
    assert ask("sql", "instances", "list") == ("", "", -9)
    assert ask("spanner", "instances", "list")[2] == 0


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


LINK = "https://www.googleapis.com/compute/v1/projects/recorded/zones/us-east1-c/instances/web-2"
STOPPED = f"Stopping instance(s) web-2...\n.....done.\nUpdated [{LINK}].\n"
STOP = "ERROR: (gcloud.compute.instances.stop)"
AS = (
    "This command is authenticated as spy@example.com which is the active account specified by the "
    "[core/account] property"
)


@pytest.mark.parametrize(
    ("line", "err", "status"),
    [
        ("web-2 --zone=us-east1-c", STOPPED, 0),
        ("web-2", f"{STOP} Underspecified resource [web-2]. Specify the [--zone] flag.\n", 1),
        (
            "web-2 --zone=asia-east1-a",
            f"{STOP} HTTPError 404: The resource 'projects/recorded/zones/asia-east1-a/instances/"
            f"web-2' was not found. {AS}\n",
            1,
        ),
        (
            "web-2 --zone=us-east1-c --project=other",
            f"{STOP} HTTPError 403: Required 'compute.instances.list' permission for "
            f"'projects/other'. {AS}\n",
            1,
        ),
    ],
)  # fmt: skip
def test_what_stopping_says(printed: Any, line: str, err: str, status: int) -> None:
    assert printed(WORLD, f"compute instances stop {line}") == ("", err, status)
    listed = printed(WORLD, "compute instances list '--format=value(name,status)'")[0]
    assert listed == f"bastion\tTERMINATED\nweb-2\t{'RUNNING' if status else 'TERMINATED'}\n"


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("denied", "Required 'compute.instances.list' permission for 'projects/recorded'"),
        ("partial", "The zone 'us-east1-c' is not reachable."),
    ],
)
def test_compute_fails_for_a_part_when_told_so(
    printed: Any, monkeypatch: Any, fault: str, cause: str
) -> None:
    """The words are those of gcloud 528.0.0; test_real_gcloud.py compares."""
    monkeypatch.setenv("CLOUDSDK_COMPUTE_ALLOW_PARTIAL_ERROR", "false")
    _, err, status = printed(f"{WORLD}faults: {{compute: {fault}}}\n", "compute instances list")
    said = "ERROR: (gcloud.compute.instances.list) Some requests did not succeed:"
    assert (err, status) == (f"{said}\n - {cause}\n\n", 1)


def test_a_description_that_needs_a_zone_says_so(printed: Any) -> None:
    world = "services: {filestore: [{name: home}], compute: [{name: gate}]}"
    out, err, status = printed(world, "filestore instances describe home")
    assert (out, status) == ("", 1)
    assert "names its instances with a zone: give --zone" in err
    said = "ERROR: (gcloud.compute.instances.describe) Underspecified resource [gate]. "
    said += "Specify the [--zone] flag.\n"
    assert printed(world, "compute instances describe gate") == ("", said, 1)


@pytest.mark.parametrize("line", ["", "sql instances list x", "sql instances list --format=yaml"])
def test_gcloud_says_that_it_is_a_stand_in(lab: Any, line: str) -> None:
    sandbox.enter("talk")
    out, err, status = ask(*line.split())
    assert (out, status) == ("", 2)
    assert "stand-in" in err


def test_gcloud_sees_an_edit_at_once(enter: Any, work_in: Path) -> None:
    enter(WORLD)
    path = work_in / "worlds" / "mine.yaml"
    for name in ("events-bt", "events-bt", "events-xx", "events-xx", "events-bt"):
        # As long as before and as old: some programs copy a file with its time.
        path.write_text(WORLD.replace("events-bt", name), encoding="utf-8")
        os.utime(path, (1e9, 1e9))
        assert ask("bigtable", "instances", "list", "--format=value(name)")[0] == f"{name}\n"
    path.write_text("services: [", encoding="utf-8")
    out, err, status = ask("bigtable", "instances", "list")
    assert (out, status) == ("", 1)
    assert "mine.yaml, line " in err


@pytest.mark.parametrize("odd", ["made: 2018-11-05", "2018-11-05: made", "of: &of [*of]"])
def test_what_only_yaml_has_is_no_hindrance(enter: Any, odd: str) -> None:
    enter(f"services: {{bigtable: [{{name: a, labels: {{{odd}}}}}]}}")
    for _ in range(2):
        assert ask("bigtable", "instances", "list", "--format=value(name)") == ("a\n", "", 0)


def test_a_copy_that_was_cut_off_is_made_again(enter: Any, lab: Home) -> None:
    enter(WORLD)
    for _ in range(2):
        assert ask("bigtable", "instances", "list", "--format=value(name)")[0] == "events-bt\n"
        (lab.folder / "world.json").write_text('["', encoding="utf-8")


def test_the_project_is_that_of_the_world(enter: Any) -> None:
    enter(WORLD)
    assert ask("config", "get-value", "project")[0] == "recorded\n"


PROJECTS = """\
project: recorded
services:
  compute: [{name: lamp}]
projects:
  shop:
    compute: [{name: "till-{n}", zone: europe-west1-b, repeat: 2}]
  empty: {}
"""


def test_further_projects_have_instances_of_their_own(enter: Any) -> None:
    enter(PROJECTS)

    def named(service: str, project: str) -> tuple[str, str, int]:
        line = (service, "instances", "list", f"--project={project}", "--format=value(name)")
        return ask(*line)

    assert named("compute", "recorded") == ("lamp\n", "", 0)
    assert named("compute", "shop") == ("till-1\ntill-2\n", "", 0)
    assert named("compute", "empty") == ("", "", 0)
    assert named("spanner", "shop") == ("", "", 0)
    refused = named("spanner", "shop-2")
    assert refused[0] == "" and refused[2] == 1 and "[shop-2] (or it may not exist)" in refused[1]
    stop = ("compute", "instances", "stop", "--zone=europe-west1-b")
    assert ask(*stop, "till-2", "--project=shop")[2] == 0
    assert ask(*stop, "till-2")[2] == 1
    stopped = ("compute", "instances", "list", "--filter=status=TERMINATED")
    assert ask(*stopped, "--project=shop", "--format=value(name)")[0] == "till-2\n"
    assert ask("config", "get-value", "project")[0] == "recorded\n"


@pytest.mark.parametrize("projects", ["[shop]", "{shop: [a]}", "{shop: {disks: []}}"])
def test_a_world_whose_projects_are_none_is_one_sentence(enter: Any, projects: str) -> None:
    with pytest.raises(Problem, match=r"mine.yaml: ('projects' has services|there is no service)"):
        enter(f"services: {{}}\nprojects: {projects}\n")


NEEDED = set(sandbox.Service._fields) - set(sandbox.Service._field_defaults)


@pytest.mark.parametrize("field", sorted(NEEDED))
def test_a_service_that_lacks_something_cannot_be_made(field: str) -> None:
    fields: dict[str, Any] = sandbox.SERVICES["spanner"]._asdict()
    assert sandbox.Service(**fields) == sandbox.SERVICES["spanner"]
    del fields[field]
    with pytest.raises(TypeError, match=field):
        sandbox.Service(**fields)


def test_an_unknown_service_is_refused(lab: Any) -> None:
    """In a world: see test_world.py."""
    sandbox.enter("talk")
    out, err, status = ask("dataproc", "instances", "list")
    assert (out, status) == ("", 2)
    assert f"for {', '.join(sandbox.SERVICES)}, with" in err


@pytest.mark.parametrize("service", sandbox.SERVICES)
def test_each_service_is_listed_and_can_fail(enter: Any, service: str) -> None:
    enter(f"services: {{{service}: [{{name: b}}, {{name: a}}]}}")
    heads, *rows = ask(service, "instances", "list")[0].splitlines()
    assert heads.split() == list(sandbox.SERVICES[service].columns)
    assert sorted(row.split()[0] for row in rows) == ["a", "b"]
    sandbox.set_faults({service: "denied"})
    refusal = sandbox.SERVICES[service].refusal.format("spy-demo")
    assert refusal in ask(service, "instances", "list")[1]
    out, err, status = ask(service, "instances", "list", "--format=json")
    others = {"compute": ("[]\n", 0), "filestore": ("", 1)}  # as the real gcloud prints it
    assert (out, status) == others.get(service, ("[]\n", 1))
    assert refusal in err


def test_the_services_of_the_talk_are_those_that_its_dags_list() -> None:
    in_talk = {name: it.title for name, it in sandbox.SERVICES.items() if it.in_talk}
    tree = ast.parse((ROOT / "dags" / "gcp_spy_today.py").read_text(encoding="utf-8"))
    (listed,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SERVICES"
    ]
    assert list(in_talk.items()) == list(listed.items())
