"""The lab from outside: one private Airflow a process, nothing left behind, nothing touched."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from workshop.lab import TaskLogs, current, dagcell
from workshop.lab.home import PREFIX
from workshop.sandbox import DAG_VARIABLES, sandbox_environment

START = "from workshop import start\nstart('talk')\n"
SECONDS = 600
RUN = START + "from workshop.lab import Warming, current\ncurrent()[Warming].wait()\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a temporary folder of the test's own, with a blank and a ż in its name."""
    made = tmp_path / "a blank and ż"
    made.mkdir()
    return made


def environment(folder: Path, **more: str) -> dict[str, str]:
    return sandbox_environment() | {"TMPDIR": str(folder), "WORKSHOP_HEADLESS": "1"} | more


def python(code: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program whose temporary folder is the given one."""
    return subprocess.run(
        [sys.executable, "-c", code], env=environment(folder, **more), cwd=folder,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


class Kernel:
    """A Jupyter kernel in a folder, as JupyterLab starts one."""

    def __init__(self, folder: Path, **more: str) -> None:
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(
            SECONDS, env=environment(folder, **more), cwd=str(folder)
        )
        self.manager.shutdown_wait_time = SECONDS

    def run(self, code: str) -> str:
        """Run a cell to its end, and return all that it showed."""
        shown: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            content = message["content"]
            shown.append(content.get("text", "") + "\n".join(content.get("traceback", [])))
            shown.append(content.get("data", {}).get("text/plain", ""))

        self.client.execute_interactive(code, output_hook=keep, timeout=600)
        return "".join(shown)

    def begin(self, code: str) -> None:
        """Run a cell, and return at once."""
        # Without this the kernel drops what comes within a tenth of a second after an error.
        self.client.execute(code, stop_on_error=False)

    def end(self) -> None:
        """Kill the kernel, as JupyterLab's restart of a busy one does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def close(self) -> None:
        """Let the kernel end by itself, as JupyterLab's shutdown does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()


def homes(folder: Path) -> list[str]:
    """Return the homes in a temporary folder, those of running processes too."""
    return sorted(path.name for path in folder.glob(f"{PREFIX}*"))


class Started(NamedTuple):
    """A process that started in a reader's surroundings, ran the DAG, and ended."""

    folder: Path  # its temporary folder
    own: Path  # the reader's own Airflow
    before: list[tuple[Path, int]]  # the files of the reader's own Airflow
    environment: dict[str, str]  # what it saw
    state: str  # of the run
    answer: str  # of Slack


def files_of(own: Path) -> list[tuple[Path, int]]:
    return [(path, path.stat().st_mtime_ns) for path in sorted(own.rglob("*"))]


@pytest.fixture(scope="module")
def started(tmp_path_factory: Any) -> Started:
    """Run the whole DAG where a reader has an Airflow, credentials and a proxy."""
    top = tmp_path_factory.mktemp("reader")
    folder, own = top / "a blank and ż", top / "airflow"
    folder.mkdir()
    own.mkdir()
    (own / "airflow.cfg").write_text("[core]\n")
    before = files_of(own)
    done = python(
        RUN + "import json, os, requests\nfrom workshop.slides import Builder\n"
        "seen = dict(os.environ)\nnames = {}\nBuilder(names).catch_up(47)\n"
        "run = names['dag'].test()\nurl = os.environ['GCPSPY_SLACK_WEBHOOK']\n"
        "answer = requests.post(url, json={'text': 'x'}, timeout=600).text\n"
        "print(json.dumps([seen, run.state, answer]))",
        folder,
        HOME=str(own), AIRFLOW_HOME=str(own), AIRFLOW__CORE__EXECUTOR="CeleryExecutor",
        GCPSPY_SLACK_WEBHOOK="https://hooks.example.com/services/real",
        GCPSPY_RECIPIENT_EMAIL="real@example.com",
        AIRFLOW_CONN_SMTP_DEFAULT="smtp://mail.example.com",
        http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9",
        NO_PROXY="intranet.example.com",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Started(folder, own, before, *json.loads(done.stdout.splitlines()[-1]))


def test_it_runs_in_a_folder_with_a_blank_and_leaves_nothing(started: Started) -> None:
    assert started.state == "success"
    assert Path(started.environment["AIRFLOW_HOME"]).parent == started.folder
    assert list(started.folder.iterdir()) == []


def test_airflow_imported_first_is_one_sentence(folder: Path) -> None:
    done = python(
        "import os\nos.environ['AIRFLOW_HOME'] = os.getcwd()\nimport airflow\n"
        "from workshop import start\nfrom workshop.ground.problem import Problem\n"
        "try:\n    start()\nexcept Problem as problem:\n    print(problem)",
        folder,
    )
    assert "Restart the kernel" in done.stdout, done.stderr
    assert homes(folder) == []


def test_the_reader_s_own_airflow_is_not_touched(started: Started) -> None:
    assert started.environment["AIRFLOW_HOME"] != str(started.own)
    assert "AIRFLOW__CORE__EXECUTOR" not in started.environment
    assert files_of(started.own) == started.before


def test_what_a_killed_process_left_goes_with_the_next(folder: Path) -> None:
    code = START + "print('ready', flush=True)\nimport time\ntime.sleep(3600)"
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment(folder), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        while "ready" not in (line := process.stdout.readline()):
            assert line, "it ended early"
        (running,) = homes(folder)
        # Another process starts and ends meanwhile: it must leave this home alone.
        assert python(START, folder).returncode == 0
        assert homes(folder) == [running]
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=600)
    assert homes(folder) == [running]
    assert python(START, folder).returncode == 0
    assert homes(folder) == []


def test_real_credentials_do_not_reach_the_sandbox(started: Started) -> None:
    values = [started.environment[name] for name in DAG_VARIABLES]
    assert "real" not in str(values)
    assert "mail.example.com" not in str(values)


def test_loopback_never_goes_through_a_proxy(started: Started) -> None:
    assert started.environment["HTTP_PROXY"] == "http://127.0.0.1:9"
    assert started.answer == "ok"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_temporary_folder_that_cannot_be_written_is_one_sentence(folder: Path) -> None:
    folder.chmod(0o500)
    code = (
        "import tempfile\ntempfile.tempdir = "
        f"{str(folder)!r}\nfrom workshop import start\n"
        "from workshop.ground.problem import Problem\n"
        "try:\n    start()\nexcept Problem as problem:\n    print(problem)"
    )
    done = python(code, Path(tempfile.gettempdir()))
    folder.chmod(0o700)
    assert "set TMPDIR" in done.stdout, done.stderr


def test_a_failing_task_is_tried_again_at_once(dag_with: Any) -> None:
    """The talk's one retry waits five minutes by default; the workbook's runs do not."""
    from workshop import show

    task = 'bash_task = BashOperator(task_id="fails", bash_command="exit 3", dag=dag)\n'
    run = dag_with(25, "list_instances", task).test()
    assert run.state == "failed"
    assert show.tasks(run).to_dict("records") == [{"task": "fails", "state": "failed", "tries": 2}]


async def as_in_a_notebook(dag: Any) -> Any:
    """Run a DAG while an event loop runs, as a kernel's does."""
    return dag.test()


@pytest.mark.parametrize("options", ['mode="reschedule"', "deferrable=True"])
def test_a_sensor_that_lets_go_gives_the_cell_its_output_back(
    lab: Any, work_in: Path, capsys: Any, options: str
) -> None:
    """Without the task's end no listener is called, and print once went to the task's log."""
    there = work_in / "there.txt"
    names: dict[str, Any] = {}
    dagcell.write(
        "waits",
        "from airflow.providers.standard.sensors.filesystem import FileSensor\n"
        "from airflow.sdk import DAG\n"
        "with DAG('waits') as waits:\n"
        f"    FileSensor(task_id='t', filepath={str(there)!r}, poke_interval=1, {options})\n",
        names,
    )
    lets_go = "deferred" if "deferrable" in options else "up_for_reschedule"
    told: list[str] = []

    def observer(ti: Any, state: str) -> None:
        told.append(state)
        if state == lets_go:
            there.touch()

    current()[TaskLogs].observers.append(observer)
    try:
        with patch.dict(os.environ, AIRFLOW_CONN_FS_DEFAULT="fs:///"):
            run = asyncio.run(as_in_a_notebook(names["waits"]))
    finally:
        current()[TaskLogs].observers.remove(observer)
    print("after")
    assert run.state == "success"
    assert capsys.readouterr().out.endswith("after\n")
    assert told == ["running", lets_go, "running", "success"]


def test_the_real_world_is_used_when_asked_for(folder: Path) -> None:
    """The reader's own gcloud, Slack and mail server; here played by this test."""
    from workshop.sandbox import MailServer, Slack

    slack, mail = Slack(), MailServer()
    programs = folder / "bin"
    programs.mkdir()
    (programs / "gcloud").write_text("#!/bin/sh\necho NAME\necho my-$1\n")
    (programs / "gcloud").chmod(0o755)
    kernel = Kernel(
        folder, GCPSPY_WORLD="real", GCPSPY_SLACK_WEBHOOK=slack.webhook,
        GCPSPY_RECIPIENT_EMAIL="me@example.com", AIRFLOW_CONN_SMTP_DEFAULT=mail.connection,
        PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
        JPY_SESSION_NAME="03_list_instances.ipynb",
    )  # fmt: skip
    said = kernel.run(
        START + "from workshop.slides import Builder\nnames = {}\nBuilder(names).catch_up(47)\n"
        "run = names['dag'].test()\nfrom workshop import arrived, mail, slack_message\n"
        "slack_message()\nmail()\nassert arrived().empty\nprint(run.state)\n"
    )
    kernel.close()
    assert said.startswith("REAL WORLD")
    assert said.endswith("success\n")
    assert said.count("look for the") == 2
    assert "`my-sql`" in slack.messages[0].text
    assert mail.mails[0].recipients == ("me@example.com",)


def test_a_cell_run_before_the_start_is_one_sentence(folder: Path) -> None:
    done = python(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\nshell.extension_manager.load_extension("
        "'workshop.slides')\nshell.run_cell('%%slide 24 dag\\nx = 1')",
        folder,
    )
    assert "run the notebook's first cells" in done.stdout, done.stderr
    assert "Traceback" not in done.stdout


CELLS = """\
import shutil
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="nocolor")
file = "%%dag gone\\nfrom airflow.sdk import DAG\\ngone = DAG('gone')"
for cell in ["from workshop import *", "start('talk')", file, "run = gone.test()", "1 / 0"]:
    print(cell.split()[0], shell.run_cell(cell).success)
print("now it is removed")
shutil.rmtree(os.environ["AIRFLOW_HOME"])
for cell in [file, "gone.test()", "xcoms(run)", "start('quiet')"]:
    shell.run_cell(cell)
"""


@pytest.mark.weekly
def test_where_something_removed_its_folder_each_cell_says_so(folder: Path) -> None:
    """As systemd's clean-up of old temporary files may do."""
    done = python("import os\n" + CELLS, folder)
    before, after = done.stdout.split("now it is removed")
    assert "run True" in before and "1 False" in before
    assert before.count("ZeroDivisionError: division by zero") == 1, "and no word of a folder"
    said = " ".join(after.split())
    assert said.count("where this notebook's Airflow was: a clean-up") == 4, done.stderr
    assert said.count("Restart the kernel, and run the notebook from its top.") == 4
    assert "Traceback" not in after
