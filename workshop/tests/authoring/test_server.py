"""`make airflow`: a real Airflow runs gcp_spy, and ends with everything it started."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from workshop.cluster.keeper import alive
from workshop.ground import BUILD
from workshop.tests.slides.test_dag_file import SCENARIOS
from workshop.tests.sockets import listening

SECONDS = 900
SERVE = "from workshop.authoring.upkeep.server import run_airflow; run_airflow('recorded')"


class Running:
    """`make airflow` in a folder with a world of its own, and what it printed."""

    def __init__(self, folder: Path) -> None:
        self.results = folder / "results.json"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"WORKSHOP_RESULTS": str(self.results)}, start_new_session=True,
        )  # fmt: skip
        self.printed: list[str] = []

    def read_until(self, words: str) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.printed.append(line)
            if words in line:
                return
        raise AssertionError("".join(self.printed))

    def tree(self) -> list[Any]:
        tree: list[Any] = psutil.Process(self.process.pid).children(recursive=True)
        return tree

    def got(self) -> dict[str, Any]:
        """Return what has arrived so far; nothing while it is being written."""
        arrived: dict[str, Any] = {"slack": [], "mails": []}
        with suppress(OSError, ValueError):
            arrived = json.loads(self.results.read_text(encoding="utf-8"))
        return arrived

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=600)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    recorded = SCENARIOS[0]["gcloud"]
    services = {
        service: [{"name": line.split()[0]} for line in answer["stdout"].splitlines()[1:]]
        for service, answer in recorded.items()
    }
    (tmp_path / "worlds").mkdir()
    world = json.dumps({"project": "recorded", "services": services})
    (tmp_path / "worlds" / "recorded.yaml").write_text(world, encoding="utf-8")
    started = Running(tmp_path)
    yield started
    if started.process.poll() is None:
        started.end(signal.SIGTERM)


def by_title(message: dict[str, Any]) -> dict[str, list[str]]:
    """Return the names of each service; today's gcloud sorts those of Compute Engine."""
    fields = [field for part in message["attachments"] for field in part["fields"]]
    return {field["title"]: sorted(field["value"].split()) for field in fields}


def run_states(session: requests.Session, dag: str) -> list[str]:
    """Return the states of a DAG's runs."""
    runs = session.get(f"{dag}/dagRuns", timeout=600).json()["dag_runs"]
    return [run["state"] for run in runs]


@pytest.mark.weekly
def test_it_runs_gcp_spy_as_recorded_and_ends(running: Running) -> None:
    homes, before = set(BUILD.glob("airflow-*/")), listening(running.tree())
    running.read_until("are paused")
    line = "".join(running.printed)
    found = re.search(r"Airflow is at (http://127\.0\.0\.1:\d+); user admin, password (\S+)", line)
    assert found
    for name in ("api-server", "scheduler", "dag-processor", "triggerer"):
        assert f"{name} is healthy" in line

    assert requests.get(f"{found[1]}/api/v2/dags", timeout=600).status_code == 401
    login = {"username": "admin", "password": found[2]}
    answer = requests.post(f"{found[1]}/auth/token", json=login, timeout=600)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    dag = f"{found[1]}/api/v2/dags/gcp_spy"
    assert session.get(f"{dag}/dagRuns", timeout=600).json()["total_entries"] == 0

    # Its schedule has a last tick, so that taking the pause away starts one run.
    session.patch(dag, json={"is_paused": False}, timeout=600).raise_for_status()
    end = time.monotonic() + SECONDS
    while not {"success", "failed"} & set(states := run_states(session, dag)):
        assert time.monotonic() < end, states
        time.sleep(1)
    assert states == ["success"]
    while not ((got := running.got())["slack"] and got["mails"]):
        assert time.monotonic() < end, f"not all has arrived: {got}"
        time.sleep(1)
    assert [by_title(message) for message in got["slack"]] == [by_title(SCENARIOS[0]["slack"])]
    assert [mail["subject"] for mail in got["mails"]] == [SCENARIOS[0]["email"]["subject"]]

    # The DAG of today, unchanged, on the same Airflow.
    dag = f"{found[1]}/api/v2/dags/gcp_spy_today"
    session.patch(dag, json={"is_paused": False}, timeout=600).raise_for_status()
    while not {"success", "failed"} & set(states := run_states(session, dag)):
        assert time.monotonic() < end, states
        time.sleep(1)
    assert states == ["success"]

    tree = running.tree()
    new = listening(tree) - before
    assert int(found[1].rsplit(":", 1)[1]) in {port for _, port in new}
    assert {address for address, _ in new} == {"127.0.0.1"}
    running.end(signal.SIGINT)
    assert running.process.returncode == 0
    assert not list(filter(alive, tree))
    assert set(BUILD.glob("airflow-*/")) <= homes


def test_a_closed_terminal_ends_it_while_it_starts(running: Running) -> None:
    running.read_until("Airflow is starting")
    end = time.monotonic() + SECONDS
    while len(tree := running.tree()) < 4:
        assert time.monotonic() < end, tree
        time.sleep(0.1)
    running.end(signal.SIGHUP)
    assert not list(filter(alive, tree))
