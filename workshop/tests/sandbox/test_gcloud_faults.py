"""What a list of gcloud lacks with status 0, as switches of the sandbox."""

import json
from typing import Any

import pytest

from workshop import sandbox
from workshop.ground import Problem
from workshop.tests.sandbox.tools import ask

WORLD = """\
services:
  sql: [{name: a-db}, {name: b-db}]
  spanner: [{name: a-span}, {name: b-span}]
  bigtable: [{name: a-bt}, {name: b-bt}]
  compute: [{name: a-vm, zone: asia-east1-a}, {name: b-vm, zone: us-east1-c}]
  filestore: [{name: a-fs}]
"""
NAMES = "--format=value(name)"
UNREACHABLE = (
    "WARNING: The following instances were unreachable: projects/spy-demo/instances/b-span.\n"
)


@pytest.mark.parametrize(
    ("service", "said"), [("sql", ""), ("bigtable", ""), ("spanner", UNREACHABLE)]
)
def test_a_part_that_does_not_answer_is_left_out(enter: Any, service: str, said: str) -> None:
    enter(WORLD)
    before = ask(service, "instances", "list", NAMES)
    sandbox.set_faults({service: "partial"})
    out, err, status = ask(service, "instances", "list", NAMES)
    assert (out, err, status) == (before[0].splitlines(keepends=True)[0], said, 0)
    sandbox.set_faults({service: None})
    assert ask(service, "instances", "list", NAMES) == before


def test_of_an_empty_list_nothing_is_lost(printed: Any) -> None:
    faults = "faults: {sql: partial, spanner: partial}"
    for service in ("sql", "spanner"):
        said = printed(f"services: {{}}\n{faults}", f"{service} instances list --format=json")
        assert said == ("[]\n", "", 0)


@pytest.mark.parametrize("service", sandbox.SERVICES)
def test_a_silent_list_is_no_answer(printed: Any, service: str) -> None:
    world = WORLD + f"faults: {{{service}: silent}}\n"
    for line in ("list", "list --format=json", "list --filter=nothing=x"):
        assert printed(world, f"{service} instances {line}") == ("", "", 0)


def test_a_database_without_settings_is_listed_without_what_they_tell(printed: Any) -> None:
    """A stopped one, too: that it is stopped stands in the settings."""
    world = "services: {sql: [{name: a, state: STOPPED}, {name: b}]}\nfaults: {sql: malformed}"
    form = "--format='value(name,settings.tier,state)'"
    told = ("a\t\tRUNNABLE\nb\tdb-f1-micro\tRUNNABLE\n", "", 0)
    assert printed(world, f"sql instances list {form}") == told
    listed = json.loads(printed(world, "sql instances list --format=json")[0])
    assert ["settings" in it for it in listed] == [False, True]
    none = "services: {}\nfaults: {sql: malformed}"
    assert printed(none, "sql instances list --format=json") == ("[]\n", "", 0)


@pytest.mark.parametrize("fault", ["partial", "malformed"])
def test_filestore_loses_nothing(enter: Any, fault: str) -> None:
    enter(WORLD)
    with pytest.raises(Problem, match=f"There is no fault 'filestore: {fault}'"):
        sandbox.set_faults({"filestore": fault})
