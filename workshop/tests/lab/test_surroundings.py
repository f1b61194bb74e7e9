"""Bad surroundings: one clear sentence, no hang, nothing lost."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from workshop.authoring.upkeep import examination
from workshop.ground import ROOT
from workshop.tests.lab.test_lab import RUN, SECONDS, START, Kernel, homes, python

SLEEPER = "sleep 3600.5"  # a command that no other process here runs
GREEN = (
    RUN + "from workshop.slides import Builder\nfrom workshop.show import xcoms\nnames = {}\n"
    "Builder(names).catch_up(47)\nrun = names['dag'].test()\nprint(run.state)\n"
    "print(list(xcoms(run)['value'])[:4])\n"
)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    started = Kernel(tmp_path)
    yield started
    started.end()


def wait_for(condition: Callable[[], bool], seconds: float = 600) -> None:
    """Return when something holds; fail when it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.1)


def sleepers() -> int:
    """Return how many processes run the sleeping command."""
    words = SLEEPER.split()
    return sum(process.info["cmdline"] == words for process in psutil.process_iter(["cmdline"]))


def test_an_interrupted_cell_leaves_no_orphan_and_runs_again(kernel: Kernel) -> None:
    kernel.run("from workshop import *\nstart()\ncatch_up(25)")
    part = (
        "%%slide 26 list_instances\n"
        "bash_task = BashOperator(task_id='t', bash_command={!r}, dag=dag)"
    )
    kernel.run(part.format(SLEEPER))
    kernel.begin("run = dag.test()")
    wait_for(lambda: sleepers() == 1)
    kernel.manager.interrupt_kernel()
    wait_for(lambda: sleepers() == 0)
    kernel.run(part.format("echo done"))
    assert kernel.run("run = dag.test()\nprint(run.state)") == "success\n"


def test_an_interrupt_says_what_was_stopped(kernel: Kernel) -> None:
    kernel.run("from workshop import *\nstart()\ncatch_up(25)")
    kernel.run(
        "%%slide 26 list_instances\n"
        "def stop(**context):\n    raise KeyboardInterrupt\n"
        "from airflow.providers.standard.operators.python import PythonOperator\n"
        "task = PythonOperator(task_id='t', python_callable=stop, dag=dag)"
    )
    assert kernel.run("run = dag.test()") == (
        "Interrupted: the task 't' was stopped.\nThe DAG is as it was; run the cell again."
    )


def test_an_interrupt_between_two_tasks_is_a_sentence_too(kernel: Kernel) -> None:
    kernel.run("from workshop import *\nstart()\ncatch_up(31)")
    kernel.run(
        "from airflow.models.dagrun import DagRun\nupdate = DagRun.update_state\n"
        "def interrupted(*args, **kwargs):\n"
        "    DagRun.update_state = update\n"
        "    args[0].state = 'failed'\n"
        "    kwargs['session'].flush()\n"
        "    raise KeyboardInterrupt\n"
        "DagRun.update_state = interrupted"
    )
    assert kernel.run("run = dag.test()") == (
        "Interrupted: the run was stopped.\nThe DAG is as it was; run the cell again."
    )
    assert kernel.run("run = dag.test()\nprint(run.state)") == "success\n"


def test_an_interrupt_while_airflow_starts_is_a_sentence_too(
    kernel: Kernel, tmp_path: Path
) -> None:
    kernel.run(
        "import threading\nfrom workshop import *\nfrom workshop import lab\n"
        "hold = threading.Event()\n"
        "lab.OPTIONAL = lab.OF_A_DATABASE = (lambda: hold.wait(600),)\nstart()"
    )
    kernel.begin("open('waiting', 'w').close()\nimport airflow")
    wait_for((tmp_path / "waiting").exists)
    time.sleep(1)
    kernel.manager.interrupt_kernel()
    reply = kernel.client.get_shell_msg(timeout=600)["content"]
    assert reply["traceback"] == ["Interrupted; Airflow goes on starting. Run the cell again."]
    kernel.run("hold.set()")
    assert kernel.run("import airflow.sdk\nprint(airflow.sdk.DAG.__name__)") == "DAG\n"


@pytest.mark.parametrize("command", ["!echo hello", "said = !echo hello"])
def test_a_command_of_the_shell_runs_when_airflow_is_warm(kernel: Kernel, command: str) -> None:
    """While Airflow was imported beside it, what a command printed got lost now and then."""
    kernel.run(
        "import time\nfrom workshop import *\nfrom workshop import lab\n"
        "lab.OPTIONAL = lab.OF_A_DATABASE = (lambda: time.sleep(2),)\nstart()"
    )
    kernel.run("x = 1")
    shown = kernel.run(f"{command}\nprint(lab.current()[lab.Warming].is_over)")
    assert shown.endswith("True\n")
    assert ("hello" in shown) == command.startswith("!")


def test_airflow_asked_for_by_its_name_is_warm_too(kernel: Kernel) -> None:
    kernel.run("from workshop import *\nstart()")
    asked = "import importlib\nprint(importlib.import_module('airflow.sdk').DAG.__name__)"
    assert kernel.run(asked) == "DAG\n"


def test_an_interrupt_of_anything_else_shows_where_it_was(kernel: Kernel) -> None:
    kernel.run("from workshop import *\nstart()")
    shown = kernel.run("for n in range(3):\n    raise KeyboardInterrupt")
    assert "line 2" in shown and "Interrupted" not in shown


def test_an_interrupt_ends_a_command_that_its_operator_does_not_know(kernel: Kernel) -> None:
    # So it is when the interrupt comes while the operator is still starting its command.
    kernel.run("from workshop import *\nstart()\ncatch_up(25)")
    kernel.run(
        "%%slide 26 list_instances\n"
        "def stop(**context):\n"
        "    import subprocess, time\n"
        f"    subprocess.Popen({SLEEPER.split()})\n"
        "    time.sleep(0.3)\n"
        "    raise KeyboardInterrupt\n"
        "from airflow.providers.standard.operators.python import PythonOperator\n"
        "task = PythonOperator(task_id='t', python_callable=stop, dag=dag)"
    )
    assert "the task 't' was stopped" in kernel.run("run = dag.test()")
    assert sleepers() == 0


def test_the_page_s_four_cells_work_in_a_notebook_of_one_s_own(tmp_path: Path) -> None:
    page = ROOT / "workshop" / "authoring" / "editions" / "book" / "working.md"
    own = page.read_text(encoding="utf-8").partition("## In a notebook of your own")[2]
    cells = re.findall(r"```python\n(.*?)```", own, re.DOTALL)
    # This process may be in the sandbox, and have the stand-in on its PATH.
    kernel = Kernel(
        tmp_path, PATH=os.defpath,
        AIRFLOW_VAR_COLOUR="green", AIRFLOW__CORE__EXECUTOR="no.such.Executor",
    )  # fmt: skip
    try:
        shown = [kernel.run(cell) for cell in cells]
        assert len(shown) == 4
        assert shown[0].startswith("This notebook has an Airflow of its own")
        assert shown[1:3] == ["", ""]
        assert shown[3] == "mine [success]\ntasks\n  hello [success]"
        asked = "print([name for name in os.environ if name.startswith(('GCPSPY', 'AIRFLOW_V'))])"
        assert kernel.run(f"import os\n{asked}") == "['AIRFLOW_VAR_COLOUR']\n"
        assert (
            kernel.run("import shutil\nprint('gcp_spy-' in str(shutil.which('gcloud')))")
            == "False\n"
        )
        assert "again.py · 2 lines" in kernel.run(
            "%%dag again\nfrom airflow.sdk import DAG\nd = DAG('d')"
        )
        assert kernel.run("from workshop import start\nstart()").startswith("Sandbox")
        assert kernel.run("%%slide 22 imports\nx = 1").startswith("gcp_spy.py")
    finally:
        kernel.close()
    assert list(tmp_path.iterdir()) == []


def test_a_breakpoint_in_a_task_asks_in_the_kernel_s_cell(kernel: Kernel) -> None:
    kernel.run("from workshop import *\nstart()\nfrom airflow.sdk import DAG, task")
    typed, prompts, said = iter(["p amounts", "n", "p result", "c"]), [], []

    def answer(message: dict[str, Any]) -> None:
        prompts.append(message["content"]["prompt"])
        kernel.client.input(next(typed))

    kernel.client.execute_interactive(
        "with DAG('stops') as stops:\n"
        "    @task\n"
        "    def total(amounts):\n"
        "        breakpoint()\n"
        "        result = sum(amounts)\n"
        "        return result\n"
        "    total([3, 4])\n"
        "run = stops.test()\n"
        "print(run.state)",
        allow_stdin=True, timeout=SECONDS, stdin_hook=answer,
        output_hook=lambda message: said.append(message["content"].get("text", "")),
    )  # fmt: skip
    assert prompts == ["(Pdb) "] * 4
    assert "".join(said).splitlines() == [
        "> a cell(5)total()", "-> result = sum(amounts)", "[3, 4]",
        "> a cell(6)total()", "-> return result", "7", "success",
    ]  # fmt: skip


def test_an_interrupt_at_a_breakpoint_ends_the_run(kernel: Kernel) -> None:
    kernel.run("from workshop import *\nstart()\nfrom airflow.sdk import DAG, task")
    kernel.run(
        "with DAG('stops') as stops:\n    @task\n    def total():\n        breakpoint()\n"
        "        return 7\n    total()"
    )
    shown: list[str] = []
    kernel.client.execute_interactive(
        "run = stops.test()", allow_stdin=True, timeout=SECONDS,
        stdin_hook=lambda message: kernel.manager.interrupt_kernel(),
        output_hook=lambda message: shown.extend(message["content"].get("traceback", [])),
    )  # fmt: skip
    assert "Interrupted: the task 'total' was stopped." in "".join(shown)
    assert kernel.run("breakpoint = print\nrun = stops.test()\nprint(run.state)") == "success\n"


def test_an_endless_loop_in_a_part_ends_with_an_interrupt(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run("from workshop import *\nstart()\ncatch_up(25)")
    kernel.begin("%%slide 26 list_instances\nopen('looping', 'w').close()\nwhile True: pass")
    wait_for((tmp_path / "looping").exists)
    kernel.manager.interrupt_kernel()
    reply = kernel.client.get_shell_msg(timeout=600)["content"]
    assert reply["traceback"] == ["Interrupted; gcp_spy.py stays as it was."]
    assert kernel.run("print(dag.task_ids)") == "['gcp_service_list_instances_sql']\n"


def test_a_kernel_killed_in_the_middle_of_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    first = Kernel(folder)
    first.run("from workshop import *\nstart()\ncatch_up(25)")
    first.run(
        "%%slide 26 list_instances\n"
        f"bash_task = BashOperator(task_id='t', bash_command='{SLEEPER}', dag=dag)"
    )
    first.begin("run = dag.test()")
    wait_for(lambda: sleepers() == 1)
    assert len(homes(folder)) == 1
    first.end()  # SIGKILL, as JupyterLab's restart of a busy kernel
    assert len(homes(folder)) == 1
    second = Kernel(folder)
    assert second.run(GREEN).splitlines()[-2] == "success"
    assert len(homes(folder)) == 1, "its own alone"
    second.close()
    assert homes(folder) == []
    assert sleepers() == 0


@pytest.mark.weekly
def test_a_folder_on_path_that_cannot_be_looked_into(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    code = (
        START + "from workshop import sandbox\nimport shutil\nsandbox.enter('talk')\n"
        "sandbox.set_faults({'gcloud': 'missing'})\nprint(shutil.which('gcloud'))"
    )
    # Root may look into every folder; no one into one whose name is too long.
    path = os.pathsep.join([str(closed), "/" + "x" * 300, os.environ["PATH"]])
    done = python(code, tmp_path, PATH=path)
    assert done.stdout.splitlines()[-1:] == ["None"], done.stderr


def test_two_notebooks_at_once_have_two_airflows(tmp_path: Path) -> None:
    kernels = [Kernel(tmp_path) for _ in range(2)]
    for kernel in kernels:
        kernel.begin("from workshop import *\nstart()")
    kernels[0].run("catch_up(31)")
    kernels[1].run("catch_up(25)")
    runs = [kernel.run("run = dag.test()\nprint(run.state, len(tasks(run)))") for kernel in kernels]
    for kernel in kernels:
        kernel.end()
    assert runs == ["success 4\n", "success 1\n"]


@pytest.mark.weekly
def test_ten_kernels_at_once_in_several_time_zones(tmp_path: Path) -> None:
    zones = ("UTC", "Pacific/Auckland", "America/St_Johns")
    kernels = [Kernel(tmp_path, TZ=zones[number % len(zones)]) for number in range(10)]
    try:
        with ThreadPoolExecutor(len(kernels)) as pool:
            shown = list(pool.map(lambda kernel: kernel.run(GREEN), kernels))
    finally:
        for kernel in kernels:
            kernel.close()
    for text in shown:
        state, values = text.splitlines()[-2:]
        assert state == "success", text
        assert "orders-db orders-db-replica reporting-pg" in values
    assert homes(tmp_path) == []


def test_a_temporary_folder_with_no_room(tmp_path: Path) -> None:
    """A file-size limit stands in for a full disk: writing the database fails half-way."""
    code = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from workshop import start\nfrom workshop.ground.problem import Problem\n"
        "try:\n    start()\nexcept Problem as problem:\n    print(problem)"
    )
    done = python(code, tmp_path)
    assert "set TMPDIR" in done.stdout, done.stderr
    assert homes(tmp_path) == []


def fake_uv(folder: Path, install: str) -> Path:
    """Write a uv that makes a venv of nothing, and installs by a shell command."""
    program = folder / "uv"
    program.write_text(
        '#!/bin/sh\nif [ "$1" = venv ]; then mkdir -p .venv/bin; exit 0; fi\n' + install + "\n"
    )
    program.chmod(0o755)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder with a blank and a ż in its name that holds what set-up reads."""
    folder = tmp_path / "a clone ż"
    (folder / "workshop").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "workshop/setup.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def make(checkout: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    path = f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}/usr/bin:/bin"
    return subprocess.run(
        ["make", "--no-print-directory", "setup"], cwd=checkout, capture_output=True, text=True,
        env={"PATH": path, "HOME": str(checkout)}, timeout=600,
    )  # fmt: skip


def test_set_up_without_a_network_is_one_sentence_and_can_be_run_again(
    checkout: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    failed = make(checkout, fake_uv(programs, "exit 1"))
    assert failed.returncode != 0
    assert "Set-up stopped: a package could not be fetched" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (checkout / ".venv" / "ready").exists()
    # Now the packages come, and this time the database is what fails.
    again = make(checkout, fake_uv(programs, "printf '#!/bin/sh\\nexit 1\\n' > .venv/bin/python; "
                                             "chmod +x .venv/bin/python"))  # fmt: skip
    assert "the metadata database could not be prepared" in again.stderr
    assert not (checkout / ".venv" / "ready").exists()
    right = make(checkout, fake_uv(programs, "printf '#!/bin/sh\\n' > .venv/bin/python; "
                                             "chmod +x .venv/bin/python"))  # fmt: skip
    assert right.returncode == 0, right.stderr
    assert (checkout / ".venv" / "ready").read_text() == f"{checkout}\n"
    assert "nothing" in make(checkout, programs).stdout.lower()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_set_up_interrupted_in_the_middle_can_be_run_again(
    checkout: Path, tmp_path: Path, how: signal.Signals
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    fake_uv(programs, f"touch fetching; exec {SLEEPER}")
    path = f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}/usr/bin:/bin"
    process = subprocess.Popen(
        ["make", "setup"], cwd=checkout, env={"PATH": path, "HOME": str(checkout)},
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    wait_for((checkout / "fetching").exists)
    os.killpg(process.pid, how)
    _, said = process.communicate(timeout=600)
    assert "Traceback" not in said
    assert ("Set-up stopped: it was interrupted." in said) == (how == signal.SIGINT)
    wait_for(lambda: sleepers() == 0)
    right = make(checkout, fake_uv(programs, "printf '#!/bin/sh\\n' > .venv/bin/python; "
                                             "chmod +x .venv/bin/python"))  # fmt: skip
    assert right.returncode == 0, right.stderr
    assert (checkout / ".venv" / "ready").exists()


def test_set_up_from_a_bundle_asks_no_index(checkout: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (checkout / "bundle").mkdir()
    make(checkout, fake_uv(programs, 'echo "$@" > asked; exit 1'))
    asked = (checkout / "asked").read_text()
    assert f"--no-index --find-links {checkout / 'bundle'}" in asked


def test_set_up_without_venv_is_one_sentence(checkout: Path) -> None:
    code = (
        "import runpy, sys\nsetup = runpy.run_path('workshop/setup.py')\n"
        "setup['make_venv'].__globals__['run'] = lambda *words: False\n"
        "setup['make_venv'](sys.executable, None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True
    )
    assert done.stderr.startswith("Set-up stopped: this Python cannot make a virtual environment.")
    assert len(done.stderr.splitlines()) == 1


def test_the_doctor_finds_everything_here(capsys: Any) -> None:
    assert examination.doctor()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == list(examination.FACTS)
    assert all(line.endswith(("OK", "OK, the sandbox")) for line in lines)


def test_the_doctor_says_what_to_do(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("workshop.authoring.upkeep.examination.sys.version_info", (3, 10, 1))
    monkeypatch.setattr(examination, "version", lambda name: "2.11.0")
    monkeypatch.setattr("workshop.authoring.upkeep.examination.render", lambda source: "<svg/>")
    monkeypatch.setattr(examination, "MEGABYTES_FREE", 10**9)
    monkeypatch.setenv("GCPSPY_WORLD", "real")
    monkeypatch.delenv("GCPSPY_SLACK_WEBHOOK", raising=False)
    assert not examination.doctor()
    said = capsys.readouterr().out
    for cure in ("install one of them", "is not version 3.3", "draws no edge", "set TMPDIR",
                 "no GCPSPY_SLACK_WEBHOOK"):  # fmt: skip
        assert cure in said
    assert [line for line in said.splitlines() if line.endswith(" OK")] == ["loopback ports  OK"]
