"""`make bench`: what the workbook costs beside bare Airflow, as ratios measured in one run.

Every figure is the median of five rounds; in each round every contestant runs once, so that a
busy minute of the machine hits all of them. All talk to the same stand-ins.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from workshop import components, headless, lab, record, sandbox, server

ROUNDS = 5
WARM_RUNS = 5

# Each program prints, as JSON, the seconds of its first run and the median of its warm ones.
MEASURE = f"""
import json, statistics, time
def measure(run):
    seconds = []
    for _ in range({WARM_RUNS} + 1):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    print("MEASURED", json.dumps([seconds[0], statistics.median(seconds[1:])]))
"""
WORKBOOK = """
from workshop import catch_up, start
start("talk")
catch_up(47)
measure(lambda: dag.test())
"""
UNWARMED = """
import airflow.settings, runpy
dag = runpy.run_path(DAG_FILE)["dag"]
measure(lambda: dag.test())
"""
PLAIN = """
import os, runpy, smtplib, subprocess, urllib.parse
from email.message import EmailMessage
import requests
os.environ["AIRFLOW_HOME"] = HOME
source = open(DAG_FILE).read()
head = source[:source.index("dag = DAG(")]
lines = [line for line in head.splitlines() if "airflow" not in line or line.startswith('"')]
names = {}
exec("\\n".join(lines), names)
server = urllib.parse.urlsplit(os.environ["AIRFLOW_CONN_SMTP_DEFAULT"])
def run():
    results = []
    for service, title in names["GCP_SERVICES"]:
        command = f"gcloud {service} instances list | tail -n +2 | grep -oE '^[^ ]+' "
        command += "| tr '\\\\n' ' '"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        results.append((title, names["instance_names"](done.stdout.strip())))
    requests.post(names["SLACK_WEBHOOK"], json=names["slack_data"](results))
    message = EmailMessage()
    message["Subject"], message["To"] = names["INSTANCES_IN_PROJECT_TITLE"], "ops@example.com"
    message["From"] = "airflow@example.com"
    message.set_content(names["email_html"](results), subtype="html")
    with smtplib.SMTP(server.hostname, server.port) as smtp:
        smtp.send_message(message)
measure(run)
"""
MANY = """
from pathlib import Path
from workshop import start
from workshop.lab import current, wait_until_warm
start("talk")
wait_until_warm()
from airflow.providers.standard.operators.python import PythonOperator
import runpy
source = '''
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
with DAG("many") as dag:
    for number in range(COUNT):
        PythonOperator(task_id=f"t{number}", python_callable=int)
'''
path = current().dags / "many.py"
path.write_text(source.replace("COUNT", str(COUNT)))
dag = runpy.run_path(str(path))["dag"]
dag.test()
begun = time.perf_counter()
dag.test()
print("MEASURED", json.dumps([(time.perf_counter() - begun) / COUNT, 0]))
"""


def _in_kernel(code: str, environment: dict[str, str]) -> tuple[float, float, float]:
    """Return seconds: from a kernel's start to its first green run, that run, a warm run."""
    from jupyter_client.manager import start_new_kernel

    shown: list[str] = []
    begun = time.perf_counter()
    manager, client = start_new_kernel(env=environment)
    client.execute_interactive(
        MEASURE + code,
        output_hook=lambda message: shown.append(message["content"].get("text", "")),
        timeout=300,
    )
    total = time.perf_counter() - begun
    client.stop_channels()
    manager.shutdown_kernel()
    line = next(line for line in "".join(shown).splitlines() if line.startswith("MEASURED"))
    first, warm = json.loads(line.removeprefix("MEASURED "))
    return total - WARM_RUNS * warm, first, warm


def _bare(home: Path) -> dict[str, str]:
    """Return the environment of a bare Airflow whose database is ready and whose DAG is there."""
    (home / "dags").mkdir(parents=True)
    shutil.copy(lab.prepared_database(), home / "airflow.db")
    shutil.copy(record.DAG_FILE, home / "dags" / "gcp_spy.py")
    return dict(os.environ) | lab.settings(lab.Lab(home))


def _standalone(home: Path) -> float:
    """Return the seconds from the start of all components to the first green run."""
    begun, stop = time.perf_counter(), threading.Event()
    shutil.copyfile(lab.prepared_database(), lab.Lab(home).database)
    airflow = components.Components(home, lab.ROOT / "dags")
    try:
        for name in components.COMPONENTS:
            airflow.airflow(name)
        with redirect_stdout(None):
            server.wait_until_healthy(airflow, stop)
        airflow.call("PATCH", "dags/gcp_spy", {"is_paused": False})
        runs: list[Any] = []
        while not runs or runs[0]["state"] in ("queued", "running"):
            time.sleep(0.2)
            runs = airflow.call("GET", "dags/gcp_spy/dagRuns").json()["dag_runs"]
        if runs[0]["state"] != "success":
            raise RuntimeError(f"the run ended as {runs[0]['state']}")
        return time.perf_counter() - begun
    finally:
        airflow.stop()


def _set_up(words: list[str], folder: Path) -> float:
    """Return the seconds that installing the whole lock into a new environment takes."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    begun = time.perf_counter()
    python = str(folder / "bin" / "python")
    subprocess.run(
        [word.replace("PYTHON", python) for word in words] + ["--requirement", "requirements.lock"],
        cwd=lab.ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - begun


def _round(seconds: dict[str, list[float]], folder: Path) -> None:
    """Let every contestant run once."""
    definitions = f"DAG_FILE = {str(folder / 'bare/dags/gcp_spy.py')!r}\nHOME = {str(folder)!r}\n"
    start, first, warm = _in_kernel(WORKBOOK, dict(os.environ))
    seconds["a workbook"].append(start)
    seconds["b warmed"].append(first)
    seconds["c workbook"].append(warm)
    bare = _bare(folder / "bare")
    start, first, warm = _in_kernel(definitions + UNWARMED, bare)
    seconds["a bare Airflow, database ready"].append(start)
    seconds["b not warmed"].append(first)
    seconds["c bare dag.test()"].append(warm)
    seconds["c plain Python"].append(_in_kernel(definitions + PLAIN, dict(os.environ))[2])
    begun = time.perf_counter()
    test = [sys.executable, "-m", "airflow", "dags", "test", "gcp_spy"]
    subprocess.run(test, env=_bare(folder / "cli"), check=True, capture_output=True)
    seconds["a airflow dags test"].append(time.perf_counter() - begun)
    (folder / "standalone").mkdir()
    seconds["a scheduler and api-server (make airflow)"].append(_standalone(folder / "standalone"))
    for count in (10, 50, 200):
        many = _in_kernel(f"COUNT = {count}\n" + MANY, dict(os.environ))
        seconds[f"d a task, of {count}"].append(many[1])
    uv = str(Path(sys.executable).with_name("uv"))
    seconds["e pip"].append(
        _set_up(["PYTHON", "-m", "pip", "install", "--require-hashes"], folder / "pip")
    )
    install = [uv, "pip", "install", "--python", "PYTHON", "--compile-bytecode"]
    seconds["e uv"].append(_set_up([*install, "--require-hashes"], folder / "uv"))


def _check_by_stage() -> dict[str, float]:
    """Return the seconds of each file of tests in one `make check`, and its wall time."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        begun = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]
        subprocess.run(command, cwd=lab.ROOT, check=True, capture_output=True)
        stages = {"make check, all of it": time.perf_counter() - begun}
        for case in ElementTree.parse(report).iter("testcase"):
            stage = case.get("classname", "").split(".")[-1]
            stages[stage] = stages.get(stage, 0) + float(case.get("time", 0))
    return stages


def run() -> None:
    """Run the rounds and print one table in Markdown: seconds, and the ratio to the row above."""
    headless.force_sandbox()
    seconds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder) / "stand-ins"
        home.mkdir()
        sandbox.enter("talk", home)
        for number in range(1, ROUNDS + 1):
            print(f"round {number} of {ROUNDS}", file=sys.stderr, flush=True)
            _round(seconds, Path(folder) / str(number))
            shutil.rmtree(Path(folder) / str(number), ignore_errors=True)
    print("| what | median, s | ratio to the first of its kind |\n| --- | --- | --- |")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name in sorted(medians, key=lambda name: name[0]):
        first = next(medians[other] for other in medians if other[0] == name[0])
        print(f"| {name} | {medians[name]:.3f} | {medians[name] / first:.2f} |")
    stages = _check_by_stage()
    whole = next(iter(stages.values()))
    for stage, spent in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"| f {stage} | {spent:.1f} | {spent / whole:.2f} |")
