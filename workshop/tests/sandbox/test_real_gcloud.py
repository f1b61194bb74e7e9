"""The stand-in for gcloud against a real one, byte for byte, where one is installed."""

import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from workshop import sandbox
from workshop.sandbox import gcloud
from workshop.sandbox.world import install_gcloud
from workshop.slides import Builder
from workshop.tests.sandbox.google_apis import GoogleApis

REAL = shutil.which("gcloud")  # asked on import, before a sandbox puts its own on PATH
pytestmark = pytest.mark.skipif(
    not REAL, reason="no real gcloud is installed: the stand-in was not compared with it"
)
FORMATS: tuple[tuple[str, ...], ...] = ((), ("--format=json",), ("--format=value(name)",))


def with_all(fault: str) -> str:
    """Return the line of a world in which each service has a fault."""
    return f"faults: {{{', '.join(f'{service}: {fault}' for service in gcloud.SERVICES)}}}\n"


WORLDS = {path.stem: path.read_text(encoding="utf-8") for path in sandbox.WORLDS.glob("*.yaml")}
WORLDS["all denied"] = WORLDS["talk"] + with_all("denied")
WORLDS["a part of compute"] = WORLDS["talk"] + "faults: {compute: partial}\n"
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


def run(program: str, words: tuple[str, ...], variables: dict[str, str]) -> tuple[str, str, int]:
    """Return what a program prints on stdout and stderr, and its exit status."""
    done = subprocess.run(
        [program, *words], env=variables, capture_output=True, encoding="utf-8", timeout=600
    )
    return done.stdout, done.stderr, done.returncode


def stand_in(home: Path, world: Path) -> str:
    """Return the program that stands in for gcloud, with no fault but the world's own."""
    install_gcloud(home, world)
    (home / "faults.json").write_text("{}")
    return str(home / "bin" / "gcloud")


@pytest.fixture(scope="module")
def google(tmp_path_factory: Any) -> tuple[GoogleApis, dict[str, str]]:
    """Return the imitation of the APIs, and the variables of a gcloud that uses it."""
    home = tmp_path_factory.mktemp("google")
    (home / "world.yaml").write_text(WORLDS["talk"], encoding="utf-8")
    apis = GoogleApis(home / "world.yaml")
    return apis, apis.environment(home, str(REAL))


def both(google: tuple[GoogleApis, dict[str, str]], home: Path, world: str) -> Any:
    """Return what the real gcloud and the stand-in print for each service and format."""
    apis, variables = google
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
        theirs = pool.map(lambda words: run(str(REAL), words, variables), asked)
        answers = pool.map(lambda words: run(ours, words, {}), asked)
        return dict(zip(asked, theirs, strict=True)), dict(zip(asked, answers, strict=True))


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_the_stand_in_prints_what_the_real_one_prints(
    google: Any, tmp_path: Path, world: str
) -> None:
    real, ours = both(google, tmp_path, WORLDS[world])
    assert ours == real


def test_stopping_machines(google: Any, tmp_path: Path) -> None:
    apis, variables = google
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
        out, err, status = run(str(REAL), words, variables)
        err = re.sub(r"\n\.+done", "\n.....done", err)  # a dot for each look at the operation
        err = err.replace(f"{api}projects", gcloud.COMPUTE)  # the address that is overridden
        assert run(ours, words, {}) == (out, err, status)
    apis.stopped.clear()


@pytest.mark.parametrize("fault", ["partial", "denied"])
def test_compute_fails_for_a_part_when_told_so(google: Any, tmp_path: Path, fault: str) -> None:
    apis, variables = google
    strict = {"CLOUDSDK_COMPUTE_ALLOW_PARTIAL_ERROR": "false"}
    apis.world.write_text(WORLDS["talk"] + f"faults: {{compute: {fault}}}\n", encoding="utf-8")
    ours = stand_in(tmp_path, apis.world)
    for form in FORMATS:
        words = ("compute", "instances", "list", *form)
        real = run(str(REAL), words, variables | strict)
        assert real[2] == 1
        assert run(ours, words, strict) == real


def test_without_credentials(google: Any, tmp_path: Path) -> None:
    apis, variables = google
    (tmp_path / "nobody").mkdir()
    nobody = variables | {"CLOUDSDK_CONFIG": str(tmp_path / "nobody")}
    real, ours = both((apis, nobody), tmp_path, WORLDS["talk"] + with_all("no_credentials"))
    assert ours == real


@pytest.mark.parametrize("world", ["talk", "denied"])
def test_the_dag_says_the_same_with_either(
    lab: Any, google: Any, monkeypatch: Any, world: str
) -> None:
    """Run gcp_spy with the stand-in, then with the real program, and compare what arrived."""
    names: dict[str, Any] = {}
    Builder(names).catch_up(47)
    sandbox.enter(world)
    arrived = []
    for program in ("stand-in", "real"):
        if program == "real":
            sandbox.enter(world)
            apis, variables = google
            apis.world.write_text(WORLDS[world], encoding="utf-8")
            rest = os.environ["PATH"].split(os.pathsep)[1:]
            for name, value in (variables | {"PATH": os.pathsep.join(rest)}).items():
                monkeypatch.setenv(name, value)
            assert shutil.which("gcloud") == REAL
        assert names["dag"].test().state == "success"
        arrived.append(sandbox.arrivals()[-2:])
    assert [type(it) for it in arrived[0]] == [sandbox.SlackMessage, sandbox.Mail]
    assert arrived[0] == arrived[1]
