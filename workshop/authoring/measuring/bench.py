"""`make bench`: what the workbook costs beside bare Airflow, as ratios measured in one run.

A figure of a kernel is the median of five rounds; in each round every contestant runs once, so
that a busy minute of the machine hits all of them. What takes minutes, the installations, a real
Airflow, a room of kernels and `make check`, is measured once. All talk to the same stand-ins.
"""

import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import psutil

from workshop import sandbox
from workshop.authoring.checking.generated import DAG_FILE
from workshop.authoring.checking.headless import force_sandbox
from workshop.authoring.upkeep.server import start_components, wait_until_healthy
from workshop.cluster.components import last_line
from workshop.ground import ROOT, Problem
from workshop.ground.talk import last_slide
from workshop.kernels import PROVISIONER
from workshop.kernels.warmth import FOLDER, OWNER
from workshop.lab.home import Home, prepared_database, settings

PYTHON = sys.executable
ROUNDS = 5
WARM_RUNS = 5
SEATS = 30  # of a room
ORDINARY = "local-provisioner"  # jupyter_client's name
STARTS = {"ordinary": ORDINARY, "forked": PROVISIONER}

TESTS = "workshop/tests"
PARTS = {
    "style and types": [f"{TESTS}/authoring/test_style.py"],
    "guard": [f"{TESTS}/authoring/test_notebooks.py", f"{TESTS}/ground", f"{TESTS}/test_house.py"],
    "cells of notebooks": ["notebooks"],
    "other worlds": [f"{TESTS}/authoring/test_worlds.py"],
}
IN_PARTS = [f"--ignore={path}" for paths in PARTS.values() for path in paths]
PR_SET_CHILD_SUBREAPER = 36  # of prctl: who has lost its parent becomes a child of this process
STAGES = {**PARTS, "the rest": [*IN_PARTS, "workshop"]}  # of make check

# Each program prints, as JSON, when its first run was over, the seconds of that run, the median of
# its warm ones, and the memory in MiB that is its own (USS).
MEASURE = f"""
import json, statistics, time
def seconds_of(run):
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun
def show(green, first, warm):
    import psutil
    memory = psutil.Process().memory_full_info().uss / 2**20
    print("MEASURED", json.dumps([green, first, warm, memory]))
def measure(run):
    first, green = seconds_of(run), time.time()
    show(green, first, statistics.median(seconds_of(run) for _ in range({WARM_RUNS})))
"""
BEGIN = f"""
from workshop import catch_up, start
start("talk")
catch_up({last_slide()})
"""
WORKBOOK = BEGIN + "measure(lambda: dag.test())\n"
ONCE = BEGIN + "first = seconds_of(dag.test)\nshow(time.time(), first, 0)\n"
UNWARMED = """
import airflow.sdk, runpy
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
from workshop.lab import Home, current
start("talk")
from airflow.providers.standard.operators.python import PythonOperator
import runpy
source = '''
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
with DAG("many") as dag:
    for number in range(COUNT):
        PythonOperator(task_id=f"t{number}", python_callable=print)
'''
path = current()[Home].dags / "many.py"
path.write_text(source.replace("COUNT", str(COUNT)))
dag = runpy.run_path(str(path))["dag"]
dag.test()
show(0, seconds_of(dag.test) / COUNT, 0)
"""


class Kernel(NamedTuple):
    """What one kernel took."""

    green: float  # seconds from its start to its first green run
    first: float  # seconds of that run
    warm: float  # seconds of a later run
    memory: float  # MiB of its own


def _in_kernel(code: str, environment: dict[str, str], starts: str = ORDINARY) -> Kernel:
    """Let a kernel run a program that measures, and return what it took.

    Args:
        code: the program.
        environment: its variables.
        starts: the provisioner that starts the kernel.
    """
    from jupyter_client.manager import run_kernel
    from jupyter_client.provisioning.factory import KernelProvisionerFactory

    KernelProvisionerFactory.instance().default_provisioner_name = starts
    shown: list[str] = []
    begun = time.time()
    with run_kernel(env=environment) as client:
        client.execute_interactive(
            MEASURE + code,
            output_hook=lambda message: shown.append(message["content"].get("text", "")),
            timeout=900,
        )
    green, *others = json.loads("".join(shown).partition("MEASURED ")[2].splitlines()[0])
    return Kernel(green - begun, *others)


def _room(starts: str) -> tuple[float, float]:
    """Let thirty kernels start at once, each to run gcp_spy.

    Args:
        starts: the provisioner that starts them.

    Returns:
        Seconds until the last has its first green run, and MiB of its own of the middle one.
    """
    with ThreadPoolExecutor(SEATS) as seats:
        asked = [seats.submit(_in_kernel, ONCE, dict(os.environ), starts) for _ in range(SEATS)]
        kernels = [kernel.result() for kernel in asked]
    memory = statistics.median(kernel.memory for kernel in kernels)
    return max(kernel.green for kernel in kernels), memory


def bare(home: Path) -> dict[str, str]:
    """Return the environment of a bare Airflow whose database is ready and whose DAG is there."""
    (home / "dags").mkdir(parents=True)
    shutil.copy(prepared_database(), home / "airflow.db")
    shutil.copy(DAG_FILE, home / "dags" / "gcp_spy.py")
    return dict(os.environ) | settings(Home(home))


def _standalone(home: Path) -> float:
    """Return the seconds from the start of all components to the first green run."""
    home.mkdir()
    begun = time.perf_counter()
    airflow = start_components(home)
    try:
        with redirect_stdout(None):
            wait_until_healthy(airflow, threading.Event())
        airflow.call("PATCH", "dags/gcp_spy", {"is_paused": False})
        state = "queued"
        while state in ("queued", "running"):
            time.sleep(0.2)
            runs = airflow.call("GET", "dags/gcp_spy/dagRuns").json()["dag_runs"]
            state = runs[0]["state"] if runs else "queued"
        if state != "success":
            raise RuntimeError(f"the run ended as {state}")
        return time.perf_counter() - begun
    finally:
        airflow.stop()


def _seconds(*words: object, env: dict[str, str] | None = None) -> float:
    """Return the seconds that a command takes."""
    begun = time.perf_counter()
    subprocess.run([*map(str, words)], env=env, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - begun


def _round(folder: Path) -> dict[str, float]:
    """Let every contestant run once, and return its seconds."""
    here, without = dict(os.environ), bare(folder / "bare")
    definitions = f"DAG_FILE = {str(folder / 'bare/dags/gcp_spy.py')!r}\nHOME = {str(folder)!r}\n"
    # Bare Airflow has our settings too.
    kernels = {
        "bare Airflow, database ready": _in_kernel(definitions + UNWARMED, without),
        "workbook, an ordinary kernel": _in_kernel(WORKBOOK, here),
        "workbook, a forked kernel": _in_kernel(WORKBOOK, here, PROVISIONER),
    }
    plain = _in_kernel(definitions + PLAIN, here)
    test = _seconds(PYTHON, "-m", "airflow", "dags", "test", "gcp_spy", env=bare(folder / "cli"))
    many = {count: _in_kernel(f"COUNT = {count}\n{MANY}", here).first for count in (10, 50, 200)}
    return {
        **{f"a first green: {name}": kernel.green for name, kernel in kernels.items()},
        "a first green: airflow dags test": test,
        **{f"b first run: {name}": kernel.first for name, kernel in kernels.items()},
        **{f"c warm run: {name}": kernel.warm for name, kernel in kernels.items()},
        "c warm run: plain Python": plain.warm,
        **{f"d a task, of {count}": seconds for count, seconds in many.items()},
        **{f"e memory, MiB: {name}": kernel.memory for name, kernel in kernels.items()},
    }


def _rooms() -> dict[str, float]:
    """Return what a room of kernels takes, of each kind."""
    rooms = {kind: _room(starts) for kind, starts in STARTS.items()}
    return {
        **{f"f {SEATS} {kind} kernels at once, all green": rooms[kind][0] for kind in rooms},
        **{f"g memory of each of {SEATS} {kind} kernels, MiB": rooms[kind][1] for kind in rooms},
    }


def _installations(folder: Path) -> dict[str, float]:
    """Return the seconds that set-up takes, by who installs.

    Raises:
        Problem: it cannot be measured, as without a network.
    """
    lock = ["--require-hashes", "--requirement", "requirements.lock"]
    for name in ("pip", "uv"):
        _seconds(PYTHON, "-m", "venv", folder / name)
    pip, uv = (folder / name / "bin" / "python" for name in ("pip", "uv"))
    into = [Path(PYTHON).with_name("uv"), "pip", "install", "--python", uv, "--compile-bytecode"]
    try:
        return {
            "h install with pip": _seconds(pip, "-m", "pip", "install", *lock),
            "h install with uv": _seconds(*into, *lock),
        }
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode().strip().splitlines()[-1:]
        raise Problem(f"The installations cannot be measured: {' '.join(said)}") from None


def _orphans(kept: set[psutil.Process]) -> list[psutil.Process]:
    """Return this process's children but for some; take note of those that have ended."""
    others = {*psutil.Process().children()} - kept
    return [process for process in others if not os.waitpid(process.pid, os.WNOHANG)[0]]


def _check_by_stage(environment: dict[str, str]) -> dict[str, float]:
    """Return the CPU seconds of each stage of `make check`, and of all together.

    A run's warm process outlives it for a moment, and with it the seconds of its forks. The warm
    process of the bench itself lives on. Tests wait until what they killed is gone, so an orphan
    is taken note of while a run goes on.

    Args:
        environment: of `make bench` before its sandbox, and without a warm process, so that each
            run has its own.

    Raises:
        Problem: a stage is red; its seconds would say nothing.
    """
    if sys.platform == "linux":  # elsewhere nothing is forked
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    its_own = {*psutil.Process().children()}
    spent: dict[str, float] = {}
    for stage, paths in STAGES.items():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        words = [PYTHON, "-m", "pytest", "-q", *paths]
        with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as errors:
            run = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=printed, stderr=errors)
            kept = its_own | {psutil.Process(run.pid)}
            is_over = False
            while _orphans(kept) or not is_over:
                time.sleep(0.2)
                is_over = run.poll() is not None  # looked at before its orphans
            for file in (printed, errors):
                file.seek(0)
            said = printed.read() or errors.read()
        if run.returncode:
            failed = [line for line in said.splitlines() if line.startswith("FAILED")]
            raise Problem("\n".join([f"{stage}: the check is red.", *failed, last_line(said)]))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent[stage] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    stages = {"i CPU seconds: all of make check": sum(spent.values())}
    return stages | {f"i CPU seconds: {stage}": seconds for stage, seconds in spent.items()}


def run_rounds() -> None:
    """Run the rounds and print one table in Markdown: seconds, and the ratio to the row above."""
    before = {name: value for name, value in os.environ.items() if name not in (FOLDER, OWNER)}
    force_sandbox()
    rounds = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder) / "stand-ins"
        home.mkdir()
        sandbox.enter("talk", home)
        airflow = {
            "a first green: scheduler and api-server (make airflow)": _standalone(home / "a")
        }
        for number in range(1, ROUNDS + 1):
            print(f"round {number} of {ROUNDS}", file=sys.stderr, flush=True)
            rounds.append(_round(Path(folder) / str(number)))
            shutil.rmtree(Path(folder) / str(number), ignore_errors=True)
        print("| what | s or MiB | ratio to the first of its kind |\n| --- | --- | --- |")
        medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        _show(dict(sorted((medians | airflow).items(), key=lambda figure: figure[0][0])))
        _show(_rooms())
        _show(_installations(Path(folder)))
        _show(_check_by_stage(before))


def _show(figures: dict[str, float]) -> None:
    """Print a row for each figure; the first letter of its name is its kind."""
    firsts: dict[str, float] = {}
    for name, figure in figures.items():
        first = firsts.setdefault(name[0], figure)
        print(f"| {name} | {figure:.3f} | {figure / first:.2f} |", flush=True)
