"""`make airflow`: a real Airflow with its UI on the folder dags, beside the sandbox."""

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from workshop import lab, sandbox
from workshop.components import COMPONENTS, Components


def wait_until_healthy(server: Components, stop: threading.Event) -> None:
    """Return when every component is healthy and gcp_spy is there; print each on the way.

    Args:
        server: the components.
        stop: ends the waiting.

    Raises:
        Problem: a component ended, or three minutes went by.
    """
    begun, waiting = time.monotonic(), set(COMPONENTS)
    while waiting and not stop.wait(0.5):
        for name in sorted(waiting & server.healthy()):
            print(f"{name} is healthy after {time.monotonic() - begun:.0f} s", flush=True)
            waiting.remove(name)
        server.check(begun)
    while not stop.wait(0.5) and server.call("GET", "dags/gcp_spy").status_code != 200:
        server.check(begun)


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
    entered = sandbox.enter(world, home)
    server = Components(home, lab.ROOT / "dags")
    try:
        print(entered)
        print("Airflow is starting; that takes about half a minute.", flush=True)
        shutil.copyfile(lab.prepared_database(), lab.Lab(home).database)
        for name in COMPONENTS:
            server.airflow(name)
        wait_until_healthy(server, stop)
        if not stop.is_set():
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
