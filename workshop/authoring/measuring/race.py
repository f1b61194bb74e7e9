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
from typing import Any

import pandas as pd
import psutil

from workshop import start
from workshop.authoring.checking.headless import force_sandbox
from workshop.cluster import EXECUTORS, Cluster, executors_ready
from workshop.ground import BUILD
from workshop.ground.talk import last_slide
from workshop.lab.dagcell import write
from workshop.show import figure
from workshop.slides import Builder

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
from workshop.authoring.measuring.race import write_dags
names = write_dags()
assert names["dag"].test().state == "success"
cold = time.monotonic() - begun
begun = time.monotonic()
assert names["fifty"].test().state == "success"
seconds = time.monotonic() - begun
print(cold, seconds, psutil.Process().memory_info().rss / 2**20)
"""
PICTURE = BUILD / "executors.svg"


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


def write_dags() -> dict[str, Any]:
    """Write the whole gcp_spy and the fifty tasks into the dags folder, and return their names."""
    names: dict[str, Any] = {}
    Builder(names).catch_up(last_slide())
    write("fifty", FIFTY, names)
    return names


def run_executors() -> None:
    """Let every contestant run, print the table, and draw it.

    The table has the seconds from nothing to gcp_spy's first success; tasks a second of fifty that
    only add; and the peak of memory, in MiB, and of processes.
    """
    import matplotlib

    force_sandbox()
    executors_ready()
    done = subprocess.run([sys.executable, "-c", TEST], capture_output=True, text=True, timeout=300)
    cold, seconds, memory = map(float, done.stdout.split("\n")[-2].split())
    rows = [("dag.test()", cold, seconds, int(memory), 1)]
    start("talk")
    write_dags()
    for executor, name in EXECUTORS.items():
        begun = time.monotonic()
        cluster = Cluster(executor)
        peak = Peak(cluster)
        try:
            cluster.wait()
            first, cold = cluster.run("gcp_spy"), time.monotonic() - begun
            fifty = cluster.run("fifty")
            ran = cluster.tasks(fifty, times=True)
            if {first.state, fifty.state} != {"success"}:
                raise RuntimeError(f"{name} did not succeed")
        finally:
            peak.stop()
            cluster.stop()
        seconds = (ran["end"].max() - ran["begin"].min()).total_seconds()
        rows.append((name, cold, seconds, peak.memory, peak.processes))
    columns = ["executor", "cold start, s", "tasks a second", "peak MiB", "peak processes"]
    table = pd.DataFrame(rows, columns=columns).set_index("executor")
    table["tasks a second"] = 50 / table["tasks a second"]
    table = table.round(1).rename({"KubernetesExecutor": "KubernetesExecutor (imitation)"})
    print(f"\n{table.to_string()}\n\n{__doc__.split(chr(10) * 2)[1]}")
    print(f"\n{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB.")
    matplotlib.use("agg")
    sides = {"subplots": True, "layout": (1, 4), "sharex": False, "sharey": True, "legend": False}
    axes = table[::-1].plot.barh(**sides, ylabel="", figsize=(12, 2.6), color="#4a7ebb")
    picture = figure(axes[0][0], "Four executors beside each other", measured=True)
    PICTURE.write_text(picture.svg, encoding="utf-8")
    print(f"The picture is {PICTURE}")
