"""`make bench-upstream`: what bare Airflow gains when its in-process API has one version.

Each round runs both in new processes, one after the other, with the same settings; what is compared
are CPU seconds, which a busy machine changes little. The text for Airflow is `upstream.md`.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from workshop.authoring.checking.headless import force_sandbox
from workshop.authoring.measuring.bench import ROUNDS, bare

PROPOSAL = Path(__file__).with_name("upstream.md")
DAG = """\
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

with DAG("one") as dag:
    PythonOperator(task_id="task", python_callable=print)
"""
# It prints, as JSON, the state, the CPU seconds of the first run, and the memory of its own in MiB.
PROGRAM = """\
import json, runpy, sys, time
import airflow.sdk, psutil
from workshop.lab.inside import build_newest_api
path, versions = sys.argv[1:]
dag = runpy.run_path(path)["dag"]
begun = time.process_time()
if versions == "newest":
    build_newest_api()
state = dag.test().state
spent = time.process_time() - begun
print(json.dumps([state, spent, psutil.Process().memory_full_info().uss / 2**20]))
"""
WAYS = {"all": "as it is, all versions", "newest": "the newest version alone"}


def _first_run(versions: str) -> tuple[float, float]:
    """Return CPU seconds and MiB of a process whose first run this is.

    Raises:
        RuntimeError: the run did not succeed.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder) / "home"
        environment = bare(home)
        path = home / "dags" / "one.py"
        path.write_text(DAG, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(path), versions],
            env=environment, capture_output=True, text=True, timeout=600, check=True,
        )  # fmt: skip
    state, spent, memory = json.loads(done.stdout.splitlines()[-1])
    if state != "success":
        raise RuntimeError(f"the run ended as {state}")
    return spent, memory


def compare_versions(rounds: int = ROUNDS) -> None:
    """Run the rounds, print a table in Markdown, and the text for Airflow.

    Args:
        rounds: how often each runs.
    """
    force_sandbox()
    found: dict[str, list[tuple[float, float]]] = {versions: [] for versions in WAYS}
    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
        for versions, figures in found.items():
            figures.append(_first_run(versions))
    medians = {
        versions: [statistics.median(column) for column in zip(*figures, strict=True)]
        for versions, figures in found.items()
    }
    print("| the API of dag.test() | first run, CPU s | ratio | memory, MiB |")
    print("| --- | --- | --- | --- |")
    whole = medians["all"][0]
    for versions, (spent, memory) in medians.items():
        print(f"| {WAYS[versions]} | {spent:.2f} | {spent / whole:.2f} | {memory:.0f} |")
    print(f"\n{PROPOSAL.read_text(encoding='utf-8')}")
