"""`make airflow`: a real Airflow with its UI on the folder dags, beside the sandbox.

It starts the four components that `airflow standalone` starts. Standalone itself cannot be used:
its scheduler and triggerer serve logs on every interface of the machine, and this one listens on
loopback only.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import requests

from workshop import lab, sandbox
from workshop.problem import Problem

COMPONENTS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
SECONDS_TO_START = 180
SECONDS_TO_STOP = 20


class Server:
    """Airflow's components on loopback, with a home of their own under `build`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.address = f"http://127.0.0.1:{sandbox.unused_port()}"
        self.password = secrets.token_urlsafe(12)

    def start(self) -> None:
        """Start all components; they need half a minute until they are healthy."""
        passwords = self._home / "passwords.json"
        passwords.write_text(json.dumps({"admin": self.password}), encoding="utf-8")
        passwords.chmod(0o600)
        shutil.copyfile(lab.prepared_database(), lab.Lab(self._home).database)
        (self._home / "logs").mkdir()
        environment = self._environment(passwords)  # one for all: they share a signing key
        for name, words in COMPONENTS.items():
            with (self._home / "logs" / f"{name}.log").open("wb") as log:
                self._processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "airflow", *words],
                    env=environment, stdin=subprocess.DEVNULL,
                    stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip

    def _environment(self, passwords: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in lab.DAG_VARIABLES}
        return (
            lab.sandbox_environment()
            | lab.settings(lab.Lab(self._home))
            | kept
            | {
                "AIRFLOW__API__BASE_URL": self.address,
                "AIRFLOW__API__HOST": "127.0.0.1",
                "AIRFLOW__API__PORT": self.address.rsplit(":", 1)[1],
                "AIRFLOW__API__WORKERS": "1",
                "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
                "AIRFLOW__CORE__DAGS_FOLDER": str(lab.ROOT / "dags"),
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.address}/execution/",
                "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
                # More tasks at once than this, and SQLite's lock ends the scheduler.
                "AIRFLOW__CORE__PARALLELISM": "4",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
                "PYTHONDONTWRITEBYTECODE": "1",
            }
        )

    def wait_until_healthy(self, stop: threading.Event) -> None:
        """Return when every component is healthy and gcp_spy is there; print each on the way.

        Args:
            stop: ends the waiting.

        Raises:
            Problem: a component ended, or three minutes went by.
        """
        begun, waiting = time.monotonic(), set(COMPONENTS)
        while waiting and not stop.wait(0.5):
            for name in sorted(waiting & self._healthy()):
                print(f"{name} is healthy after {time.monotonic() - begun:.0f} s", flush=True)
                waiting.remove(name)
            self._check(begun)
        while not stop.wait(0.5) and self.get("dags/gcp_spy").status_code != 200:
            self._check(begun)

    def _healthy(self) -> set[str]:
        with suppress(requests.RequestException, ValueError):
            health = self.get("monitor/health", token=False).json()
            states = {"api-server": "healthy"} | {
                name.replace("_", "-"): part["status"] for name, part in health.items()
            }
            return {name for name, status in states.items() if status == "healthy"}
        return set()

    def _check(self, begun: float) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = (self._home / "logs" / f"{name}.log").read_text("utf-8", "replace")
                last = log.strip().splitlines()[-1:] or ["it said nothing"]
                raise Problem(f"Airflow's {name} ended with status {process.returncode}: {last[0]}")
        if time.monotonic() - begun > SECONDS_TO_START:
            raise Problem(
                f"Airflow was not healthy after {SECONDS_TO_START} s. Is the machine busy? "
                "Close other programs, then run make airflow again."
            )

    def get(self, path: str, *, token: bool = True) -> requests.Response:
        """Return the answer of the REST API to a GET.

        Args:
            path: behind `/api/v2/`.
            token: log in first.
        """
        headers = {"Authorization": f"Bearer {self.token()}"} if token else {}
        return requests.get(f"{self.address}/api/v2/{path}", headers=headers, timeout=10)

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run a DAG."""
        headers = {"Authorization": f"Bearer {self.token()}"}
        url = f"{self.address}/api/v2/dags/{dag_id}"
        requests.patch(url, json={"is_paused": False}, headers=headers, timeout=10)

    def token(self) -> str:
        """Return a new token of the REST API for the user admin."""
        login = {"username": "admin", "password": self.password}
        answer = requests.post(f"{self.address}/auth/token", json=login, timeout=10)
        token: str = answer.json()["access_token"]
        return token

    def stop(self) -> None:
        """End every process that was started here, and those they started."""
        tree: list[Any] = []
        for process in self._processes.values():
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                tree += [*parent.children(recursive=True), parent]
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(tree, timeout=SECONDS_TO_STOP)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=5)


def run(world: str = "talk") -> None:
    """Run Airflow until Ctrl-C, the end of the terminal, or SIGTERM; print what arrives.

    Args:
        world: the sandbox's world.

    Raises:
        Problem: it did not become healthy.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    lab.BUILD.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="airflow-", dir=lab.BUILD))
    server = Server(home)
    try:
        print(sandbox.enter(world, home))
        print("Airflow is starting; that takes about half a minute.", flush=True)
        server.start()
        server.wait_until_healthy(stop)
        if not stop.is_set():
            print(f"Airflow is at {server.address}; user admin, password {server.password}")
            print("gcp_spy is paused: nothing runs by itself. Ctrl-C ends Airflow.", flush=True)
        _print_arrivals(stop)
    finally:
        with suppress(OSError):  # the terminal may be gone
            print("Airflow is ending.", flush=True)
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def _print_arrivals(stop: threading.Event) -> None:
    shown = 0
    while not stop.wait(0.5):
        arrivals = sandbox.arrivals()
        for arrival in arrivals[shown:]:
            print(f"\n{arrival!r}", flush=True)
        shown = len(arrivals)
        if path := os.environ.get("WORKSHOP_RESULTS"):
            Path(path).write_text(json.dumps(sandbox.received()), encoding="utf-8")
