"""`make bench-executors`: the same DAGs on dag.test() and on three executors, in one run.

What it says: what an executor costs on this machine, beside the others. What it does not say: how
any of them behaves on a real cluster. There the workers have machines of their own, a pod brings an
image, and the KubernetesExecutor's pods run on nodes, which here are processes.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from workshop import dagfile, headless, lab, show, slides, start
from workshop.cluster import EXECUTORS, Cluster

FIFTY = """\
from airflow.sdk import DAG, task

with DAG("fifty") as fifty:
    for number in range(50):

        @task(task_id=f"add_{number}")
        def add(this):
            return this + 1

        add(number)
"""
TEST = """\
import time
begun = time.monotonic()
import os, psutil
from workshop import start
start("talk")
from workshop import lab, dagfile, race, slides
lab.wait_until_warm()
names = {}
slides.Builder(names).catch_up(47)
dagfile.write("fifty", race.FIFTY, names)
assert names["dag"].test().state == "success"
cold = time.monotonic() - begun
begun = time.monotonic()
assert names["fifty"].test().state == "success"
seconds = time.monotonic() - begun
print(cold, seconds, psutil.Process().memory_info().rss / 2**20)
"""
PICTURE = lab.BUILD / "executors.svg"


class Peak:
    """The most memory and processes that a cluster had, looked at every half second."""

    def __init__(self, cluster: Cluster) -> None:
        self.memory, self.processes = 0, 0
        self._cluster, self._end = cluster, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(0.5):
            found = self._cluster.memory()
            self.memory = max(self.memory, int(found["MiB"].sum()))
            self.processes = max(self.processes, int(found["processes"].sum()))

    def stop(self) -> None:
        """End the looking."""
        self._end.set()
        self._thread.join()


def run() -> pd.DataFrame:
    """Let every contestant run, print the table, and draw it.

    Returns:
        Seconds from nothing to gcp_spy's first success; tasks a second of fifty that only add; and
        the peak of memory, in MiB, and of processes.
    """
    headless.force_sandbox()
    done = subprocess.run([sys.executable, "-c", TEST], capture_output=True, text=True, timeout=300)
    cold, seconds, memory = map(float, done.stdout.split("\n")[-2].split())
    rows: list[dict[str, Any]] = [_row("dag.test()", cold, seconds, int(memory), 1)]
    start("talk")
    lab.wait_until_warm()
    names: dict[str, Any] = {}
    slides.Builder(names).catch_up(47)
    dagfile.write("fifty", FIFTY, names)
    for executor, name in EXECUTORS.items():
        begun = time.monotonic()
        cluster = Cluster(executor)
        peak = Peak(cluster)
        try:
            cluster.wait()
            states = [cluster.run("gcp_spy").state]
            cold, begun = time.monotonic() - begun, time.monotonic()
            fifty = cluster.run("fifty")
            ran = cluster.tasks(fifty, times=True)
            seconds = (ran["end"].max() - ran["begin"].min()).total_seconds()
            if [*states, fifty.state] != ["success", "success"]:
                raise RuntimeError(f"{name} did not succeed")
        finally:
            peak.stop()
            cluster.stop()
        rows.append(_row(name, cold, seconds, peak.memory, peak.processes))
    table = pd.DataFrame(rows).set_index("executor")
    print(f"\n{table.to_string()}\n\n{__doc__.split(chr(10) * 2)[1]}")
    print(f"\n{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB.")
    _draw(table)
    return table


def _row(name: str, cold: float, seconds: float, memory: int, processes: int) -> dict[str, Any]:
    return {
        "executor": name if name != "KubernetesExecutor" else f"{name} (imitation)",
        "cold start, s": round(cold, 1),
        "tasks a second": round(50 / seconds, 1),
        "peak MiB": memory,
        "peak processes": processes,
    }


def _draw(table: pd.DataFrame) -> Path:
    """Draw the table's columns side by side, and return the picture's file."""
    import matplotlib

    matplotlib.use("agg")
    sides = {"subplots": True, "layout": (1, 4), "sharex": False, "sharey": True, "legend": False}
    axes = table[::-1].plot.barh(**sides, ylabel="", figsize=(12, 2.6), color="#4a7ebb")
    picture = show.figure(axes[0][0], "Four executors beside each other", measured=True)
    PICTURE.write_text(picture.svg, encoding="utf-8")
    print(f"The picture is {PICTURE}")
    return PICTURE
