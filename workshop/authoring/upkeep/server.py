"""`make airflow`, and Airflow in JupyterLab's launcher: a real one on the folder dags."""

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from workshop import sandbox
from workshop.authoring.checking.headless import force_sandbox
from workshop.cluster import COMPONENTS, Components, world_environment
from workshop.ground import BUILD, DAGS
from workshop.lab.home import Home, prepared_database

PASSWORD = "GCPSPY_AIRFLOW_PASSWORD"


def start_components(home: Path, address: str = "", password: str = "") -> Components:
    """Return an Airflow whose components are starting, on the folder dags.

    Args:
        home: an empty folder.
        address: where it listens, as in `Components`.
        password: of the user admin, as in `Components`.
    """
    server = Components(home, DAGS, world_environment(), address=address, password=password)
    shutil.copyfile(prepared_database(), Home(home).database)
    for name in COMPONENTS:
        server.airflow(name)
    return server


def wait_until_healthy(server: Components, stop: threading.Event) -> None:
    """Return when every component is healthy and gcp_spy is there; print each on the way.

    Args:
        server: the components.
        stop: ends the waiting.

    Raises:
        Problem: a component ended, or the time is over.
    """
    begun, waiting = time.monotonic(), set(COMPONENTS)

    def all_healthy() -> bool:
        for name in sorted(waiting & server.healthy()):
            print(f"{name} is healthy after {time.monotonic() - begun:.0f} s", flush=True)
            waiting.remove(name)
        return not waiting or stop.is_set()

    server.started(all_healthy)
    server.started(lambda: stop.is_set() or server.call("GET", "dags/gcp_spy").status_code == 200)


def run_airflow(world: str = "talk", address: str = "") -> None:
    """Run Airflow until Ctrl-C, the end of the terminal, or SIGTERM; print what arrives.

    Args:
        world: the sandbox's world.
        address: where it listens, as in `Components`; the password is then in the environment.

    Raises:
        Problem: it did not become healthy.
    """
    password = os.environ.pop(PASSWORD, "")  # DAGs do not see it
    force_sandbox()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    BUILD.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="airflow-", dir=BUILD))
    print(sandbox.enter(world, home))
    print("Airflow is starting; that takes about half a minute.", flush=True)
    server = start_components(home, address, password)
    try:
        wait_until_healthy(server, stop)
        if not stop.is_set():
            if not address:  # in a tab of JupyterLab one is signed in
                print(f"Airflow is at {server.address}; user admin, password {server.password}")
            print("The DAGs are paused: nothing runs by itself. Ctrl-C ends Airflow.", flush=True)
        _print_arrivals(stop)
    finally:
        with suppress(OSError):  # the terminal may be gone
            print("Airflow is ending.", flush=True)
        server.stop()


def _print_arrivals(stop: threading.Event) -> None:
    shown = 0
    while not stop.wait(0.5):
        arrivals = sandbox.arrivals()
        for arrival in arrivals[shown:]:
            print(f"\n{arrival!r}", flush=True)
        shown = len(arrivals)
        if path := os.environ.get("WORKSHOP_RESULTS"):
            Path(path).write_text(json.dumps(sandbox.received()), encoding="utf-8")
