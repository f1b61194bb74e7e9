"""The stand-in for gcloud against a real one, byte for byte, where one is installed."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from workshop import sandbox
from workshop.sandbox import gcloud, isolation
from workshop.sandbox.world import install_gcloud
from workshop.slides import Builder
from workshop.tests.sandbox import forking, recorded
from workshop.tests.sandbox.google_apis import GoogleApis
from workshop.tests.sandbox.real_gcloud import Forked, run

REAL = shutil.which("gcloud")  # asked on import, before a sandbox puts its own on PATH
pytestmark = pytest.mark.skipif(
    not REAL, reason="no real gcloud is installed: the stand-in was not compared with it"
)
# Every check compares one group of recorded answers, the stops, and one forked call.
WEEKLY = pytest.mark.weekly
GROUPS = recorded.read()["groups"]  # of command lines
FORMATS: tuple[tuple[str, ...], ...] = ((), ("--format=json",), ("--format=value(name)",))


def with_all(fault: str) -> str:
    """Return the line of a world in which each service has a fault."""
    return f"faults: {{{', '.join(f'{service}: {fault}' for service in gcloud.SERVICES)}}}\n"


WORLDS = {path.stem: path.read_text(encoding="utf-8") for path in sandbox.WORLDS.glob("*.yaml")}
WORLDS["all denied"] = WORLDS["talk"] + with_all("denied")
LOSE = [name for name, service in gcloud.SERVICES.items() if service.loses]
WORLDS["parts"] = WORLDS["talk"] + f"faults: {{{', '.join(f'{name}: partial' for name in LOSE)}}}\n"
WORLDS["malformed"] = WORLDS["talk"] + "faults: {sql: malformed}\n"
MANY = WORLDS["busy"].replace("repeat: 500", "repeat: 3000")
WORLDS["3000 machines"] = MANY
WORLDS["two of each"] = json.dumps(
    {"services": {service: [{"name": "b"}, {"name": "a"}] for service in gcloud.SERVICES}}
)
# The longest names that the services allow, and display names that are no plain letters.
WORLDS["names at the limits"] = f"""\
project: a23456789-123456789-123456789
services:
  sql:
    - {{name: {"s" * 98}, state: STOPPED, privateAddress: 10.0.0.1}}
    - {{name: a, state: MAINTENANCE}}
  spanner:
    - {{name: {"s" * 64}, displayName: "Zażółć 東京 & <b>co</b> 'x'", nodeCount: 30}}
    - {{name: s2, displayName: "e\\u0301te\\u200b"}}
  bigtable: [{{name: {"b" * 33}, displayName: "\\"🦄\\""}}, {{name: b2, displayName: "1 2"}}]
  compute:
    - {{name: {"c" * 63}, zone: northamerica-northeast1-a, machineType: n2d-highmem-96}}
    - {{name: web, zone: us-east1-c, preemptible: true}}
    - {{name: web, zone: europe-west1-b, externalIP: 35.205.0.4}}
    - {{name: web-10}}
    - {{name: web-9}}
  filestore:
    - {{name: {"f" * 63}, zone: northamerica-northeast1-a, tier: ENTERPRISE, capacityGb: 102400}}
    - {{name: a, state: CREATING}}
"""


class Google(NamedTuple):
    """The imitation of the APIs, a real gcloud, and its variables with which it uses them."""

    apis: GoogleApis
    real: Forked
    variables: dict[str, str]


def stand_in(home: Path, world: Path) -> str:
    """Return the program that stands in for gcloud, with no fault but the world's own."""
    install_gcloud(home, home, world)
    (home / "faults.json").write_text("{}")
    return str(home / "gcloud")


@pytest.fixture(scope="module")
def google(tmp_path_factory: Any) -> Iterator[Google]:
    home = tmp_path_factory.mktemp("google")
    (home / "world.yaml").write_text(WORLDS["talk"], encoding="utf-8")
    apis = GoogleApis(home / "world.yaml")
    variables = apis.environment(home, str(REAL))
    real = Forked(str(REAL), variables)
    yield Google(apis, real, variables)
    real.end()


def both(google: Google, home: Path, world: str) -> Any:
    """Return what the real gcloud and the stand-in print for each service and format."""
    apis, real, variables = google
    apis.world.write_text(world, encoding="utf-8")
    ours = stand_in(home, apis.world)
    variables |= {"CLOUDSDK_CORE_PROJECT": gcloud.read_world(apis.world)["project"]}
    asked: list[tuple[str, ...]] = [("compute", "instances", "list")]
    if world != MANY:  # so many are asked for once
        asked = [
            (service, "instances", "list", *form) for service in gcloud.SERVICES for form in FORMATS
        ]
        asked.append(("config", "get-value", "project"))
    with ThreadPoolExecutor(4) as pool:
        theirs = pool.map(lambda words: real.run(words, variables), asked)
        answers = pool.map(lambda words: run(ours, words, {}), asked)
        return dict(zip(asked, theirs, strict=True)), dict(zip(asked, answers, strict=True))


@WEEKLY
@pytest.mark.parametrize("world", sorted(WORLDS))
def test_the_stand_in_prints_what_the_real_one_prints(
    google: Google, tmp_path: Path, world: str
) -> None:
    real, ours = both(google, tmp_path, WORLDS[world])
    assert ours == real


@pytest.mark.parametrize(
    "group", [pytest.param(name, marks=() if name == "denied" else WEEKLY) for name in GROUPS]
)
def test_the_recorded_answers_are_those_of_this_one(google: Google, group: str) -> None:
    apis, real, variables = google
    content = recorded.read()
    apis.world.write_text(recorded.world(content, group), encoding="utf-8")
    lines = dict(recorded.answers(content, group))
    project = {"CLOUDSDK_CORE_PROJECT": content["world"]["project"]}
    with ThreadPoolExecutor(4) as pool:
        said = pool.map(lambda line: recorded.told(real, line, variables | project), lines)
        assert dict(zip(lines, said, strict=True)) == lines


def test_stopping_machines(google: Google, tmp_path: Path) -> None:
    apis, real, variables = google
    apis.world.write_text(WORLDS["talk"], encoding="utf-8")
    ours = stand_in(tmp_path, apis.world)
    api = variables["CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"]
    stop = ("compute", "instances", "stop")
    for words in (
        (*stop, "training-of-may", "--zone=us-central1-a"),
        (*stop, "training-of-may", "--zone", "us-central1-a"),
        (*stop, "nobody", "--zone=us-central1-a"),
        (*stop, "web-1"),
        ("compute", "instances", "list"),
    ):
        out, err, status = real.run(words, variables)
        err = re.sub(r"\n\.+done", "\n.....done", err)  # a dot for each look at the operation
        err = err.replace(f"{api}projects", gcloud.COMPUTE)  # the address that is overridden
        assert run(ours, words, {}) == (out, err, status)
    apis.stopped.clear()


@WEEKLY
@pytest.mark.parametrize("fault", ["partial", "denied"])
def test_compute_fails_for_a_part_when_told_so(google: Google, tmp_path: Path, fault: str) -> None:
    apis, real, variables = google
    strict = {"CLOUDSDK_COMPUTE_ALLOW_PARTIAL_ERROR": "false"}
    apis.world.write_text(WORLDS["talk"] + f"faults: {{compute: {fault}}}\n", encoding="utf-8")
    ours = stand_in(tmp_path, apis.world)
    for form in FORMATS:
        words = ("compute", "instances", "list", *form)
        printed = real.run(words, variables | strict)
        assert printed[2] == 1
        assert run(ours, words, strict) == printed


@WEEKLY
def test_without_credentials(google: Google, tmp_path: Path) -> None:
    (tmp_path / "nobody").mkdir()
    nobody = google.variables | {"CLOUDSDK_CONFIG": str(tmp_path / "nobody")}
    forked = Forked(str(REAL), nobody)
    try:
        real, ours = both(
            Google(google.apis, forked, nobody),
            tmp_path,
            WORLDS["talk"] + with_all("no_credentials"),
        )
    finally:
        status = forked.end()
    assert ours == real
    assert status == 0 or not forked.forks


def test_what_calls_note_while_it_is_read_stays_whole() -> None:
    """Names that were cut in two have ended the process that forks."""
    names = forking.names_file()
    os.write(names, b"json\n")
    os.lseek(names, 0, os.SEEK_SET)  # whoever reads goes back to the beginning
    os.write(names, b".cut\n")
    assert os.pread(names, 100, 0) == b"json\n.cut\n"
    with pytest.raises(TypeError, match="relative import"):
        forking.learn(names, 0)  # such a name is no module's: it must not come about
    os.close(names)


def test_what_calls_note_is_new_and_is_read_once() -> None:
    """Read whole before each call, it has made hundreds of calls take hours on a busy machine."""
    names = forking.names_file()
    forking.note(names, {*sys.modules} - {"json"})
    assert os.pread(names, 100, 0) == b"json\n"
    assert forking.learn(names, 0) == 5
    os.write(names, b".cut\n")
    assert forking.learn(names, 10) == 10
    os.close(names)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("sql", "instances", "list"), 0),
        pytest.param(("spanner", "instances", "list", "--format=json"), 1, marks=WEEKLY),
        pytest.param(
            ("compute", "instances", "stop", "nobody", "--zone=us-central1-a"), 1, marks=WEEKLY
        ),
        pytest.param(("sql", "instances", "lost"), 2, marks=WEEKLY),
    ],
)
def test_a_forked_call_prints_what_an_ordinary_start_prints(
    google: Google, words: tuple[str, ...], status: int
) -> None:
    apis, real, variables = google
    if not real.forks:
        pytest.skip("this gcloud cannot be forked: each call was an ordinary start")
    apis.world.write_text(WORLDS["denied"], encoding="utf-8")
    ordinary = run(str(REAL), words, variables)
    assert ordinary[2] == status
    assert real.run(words, variables) == ordinary
    assert real.run(words, variables) == ordinary, "with all imported beforehand"


@WEEKLY
@pytest.mark.parametrize("world", ["talk", "denied"])
def test_the_dag_says_the_same_with_either(
    lab: Any, google: Google, monkeypatch: Any, world: str
) -> None:
    """Run gcp_spy with the stand-in, then with the real program, and compare what arrived."""
    names: dict[str, Any] = {}
    Builder(names).catch_up(47)
    sandbox.enter(world)
    arrived = []
    for program in ("stand-in", "real"):
        if program == "real":
            sandbox.enter(world)
            apis, _, variables = google
            apis.world.write_text(WORLDS[world], encoding="utf-8")
            rest = os.environ["PATH"].split(os.pathsep)[1:]
            for name, value in (variables | {"PATH": os.pathsep.join(rest)}).items():
                monkeypatch.setenv(name, value)
            for name in isolation.walls(Path()).keys() - variables.keys():
                monkeypatch.delenv(name)
            monkeypatch.setenv("GCPSPY_WORLD", "real")  # else the run would be refused
            monkeypatch.setenv("JPY_SESSION_NAME", "06_the_whole_dag.ipynb")
            monkeypatch.setenv("JPY_PARENT_PID", str(os.getpid()))
            assert shutil.which("gcloud") == REAL
        assert names["dag"].test().state == "success"
        arrived.append(sandbox.arrivals()[-2:])
    assert [type(it) for it in arrived[0]] == [sandbox.SlackMessage, sandbox.Mail]
    assert arrived[0] == arrived[1]
