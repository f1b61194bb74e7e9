"""Forked kernels from outside: they live and end as ordinary kernels do."""

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from workshop.ground import ROOT
from workshop.kernels.provisioner import Forked, WarmProvisioner
from workshop.kernels.warmth import FOLDER, OWNER
from workshop.lab.home import PREFIX
from workshop.tests.lab.test_surroundings import wait_for

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="Kernels are forked on Linux alone."
)
FACTS = Path(__file__).with_name("facts.txt")
SECONDS = 600  # far away: it ends a test that would hang
RUN = """\
from workshop import start
start("talk")
from workshop.slides import Builder
names = {}
Builder(names).catch_up(47)
print(names["dag"].test().state)
"""


class Kernel:
    """A kernel that a test drives.

    Args:
        provisioner: who starts it.
        folder: where it works.
        environment: its variables; None means those of this process.
    """

    def __init__(self, provisioner: type[Any], folder: Path, environment: Any = None) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.provisioner = provisioner(
            kernel_id="", kernel_spec=self.manager.kernel_spec, parent=self.manager
        )
        self.manager.start_kernel(cwd=str(folder), env=environment or dict(os.environ))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=SECONDS)

    @property
    def is_forked(self) -> bool:
        return isinstance(self.process, Forked)

    @property
    def process(self) -> Any:
        assert self.manager.provisioner
        return self.manager.provisioner.process

    def run(self, code: str, seen: Callable[[str], None] = lambda text: None) -> str:
        """Run a cell, and return what it printed, or its error's name."""
        said = []

        def hear(message: Any) -> None:
            if message["msg_type"] in ("stream", "error"):
                content = message["content"]
                said.append(content.get("text") or f"{content['ename']}: {content['evalue']}")
                seen(said[-1])

        self.client.execute_interactive(code, timeout=SECONDS, output_hook=hear)
        return "".join(said)

    def end(self) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernels(tmp_path: Path) -> Iterator[Callable[..., Kernel]]:
    """Return a function that starts a kernel; all end with the test."""
    made = []

    def start(provisioner: type[Any] = WarmProvisioner, environment: Any = None) -> Kernel:
        made.append(Kernel(provisioner, tmp_path, environment))
        return made[-1]

    yield start
    for kernel in made:
        kernel.end()


def test_a_fork_is_what_an_ordinary_kernel_is(kernels: Any) -> None:
    """Before the start, after it, and after a run; with all that must be its own."""
    names = ("before", "after start", "after run")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))  # not as the warm process has it
    look = FACTS.read_text(encoding="utf-8")
    all_facts = []
    for provisioner in (LocalProvisioner, WarmProvisioner, WarmProvisioner):
        kernel = kernels(provisioner)
        assert kernel.is_forked == (provisioner is WarmProvisioner)
        facts = []
        for cell in ("", "from workshop import start\nstart()\nimport airflow", RUN):
            kernel.run(cell)
            facts.append(json.loads(kernel.run(look)))
        all_facts.append(dict(zip(names, facts, strict=True)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    ordinary, fork, other = all_facts
    for name in names:
        its, others = fork[name].pop("own"), other[name].pop("own")
        ordinary[name].pop("own")
        assert {key for key in its if its[key] == others[key]} == set()
        for facts in (fork[name], other[name]):
            assert facts.keys() == ordinary[name].keys()
            told = {key: (facts[key], value) for key, value in ordinary[name].items()}
            assert {key: pair for key, pair in told.items() if pair[0] != pair[1]} == {}, name


def test_it_runs_the_talk_s_dag_and_leaves_nothing(kernels: Any, tmp_path: Path) -> None:
    kernel = kernels(environment=dict(os.environ) | {"TMPDIR": str(tmp_path)})
    assert kernel.is_forked
    assert kernel.run(RUN).endswith("success\n")
    assert [path.name[: len(PREFIX)] for path in tmp_path.iterdir()] == [PREFIX]
    kernel.client.shutdown()
    wait_for(lambda: not kernel.manager.is_alive())
    assert list(tmp_path.iterdir()) == []


def test_interrupt_restart_and_kill_are_as_with_an_ordinary_kernel(kernels: Any) -> None:
    kernel = kernels()
    assert kernel.is_forked

    def interrupt(text: str) -> None:
        if "begun" in text:
            kernel.manager.interrupt_kernel()

    slow = "import time\nprint('begun', flush=True)\nfor _ in range(6000):\n    time.sleep(0.1)"
    assert kernel.run(slow, interrupt).endswith("KeyboardInterrupt: ")
    assert kernel.run("print(6 * 7)") == "42\n"

    first = kernel.process
    kernel.manager.restart_kernel()
    kernel.client.wait_for_ready(timeout=SECONDS)
    assert first.poll() is not None
    assert kernel.run("print('slow' in globals(), 'time' in globals())") == "False False\n"

    os.kill(kernel.process.pid, signal.SIGKILL)
    wait_for(lambda: not kernel.manager.is_alive())
    kernel.manager.restart_kernel(now=True)
    kernel.client.wait_for_ready(timeout=SECONDS)
    assert kernel.is_forked
    assert kernel.run("print(6 * 7)") == "42\n"


def test_what_a_fork_could_not_follow_gives_an_ordinary_kernel(kernels: Any) -> None:
    for name, value in (("PYTHONUTF8", "1"), ("OMP_NUM_THREADS", "2")):
        kernel = kernels(environment=dict(os.environ) | {name: value})
        assert not kernel.is_forked
        assert kernel.run(f"import os\nprint(os.environ['{name}'])") == f"{value}\n"


def test_a_notebook_that_imports_airflow_by_itself_has_its_own(
    kernels: Any, tmp_path: Path
) -> None:
    own = tmp_path / "airflow"
    kernel = kernels(environment=dict(os.environ) | {"AIRFLOW_HOME": str(own)})
    assert kernel.is_forked
    said = kernel.run("from airflow.configuration import AIRFLOW_HOME\nprint(AIRFLOW_HOME)")
    assert said == f"{own}\n"
    assert "Restart the kernel" in kernel.run("import workshop\nworkshop.start()")


ASKER = """\
import os, sys
from workshop.kernels import keep_warm
keep_warm()
from jupyter_client.manager import KernelManager
from workshop.kernels.warmth import FOLDER
manager = KernelManager(kernel_name="python3")
manager.start_kernel()
print(manager.provisioner.process.pid, os.environ[FOLDER], flush=True)
sys.stdin.read()
"""


def test_all_ends_with_a_killed_owner(tmp_path: Path) -> None:
    environment = {name: os.environ[name] for name in os.environ if name not in (FOLDER, OWNER)}
    environment["TMPDIR"] = str(tmp_path)
    asker = subprocess.Popen(
        [sys.executable, "-c", ASKER], env=environment, cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert asker.stdout
        pid, folder = asker.stdout.readline().split()
        kernel = psutil.Process(int(pid))
        warm = kernel.parent()
        assert warm
        assert "workshop.kernels.warm" in " ".join(warm.cmdline())
        assert Path(folder).stat().st_mode & 0o077 == 0
    finally:
        asker.kill()
        asker.communicate(timeout=SECONDS)
    for process in (kernel, warm):
        process.wait(timeout=SECONDS)
    assert not Path(folder).exists()


@pytest.mark.weekly
def test_a_killed_warm_process_is_followed_by_another_and_its_kernels_live_on(
    tmp_path: Path,
) -> None:
    environment = {name: os.environ[name] for name in os.environ if name not in (FOLDER, OWNER)}
    code = textwrap.dedent("""\
        import os, psutil, signal
        from workshop.kernels import keep_warm
        keep_warm()
        from workshop.tests.kernels.test_kernels import Kernel, WarmProvisioner
        from pathlib import Path
        first = Kernel(WarmProvisioner, Path.cwd())
        warm = psutil.Process(first.process.pid).parent()
        os.kill(warm.pid, signal.SIGKILL)
        warm.wait(600)
        second = Kernel(WarmProvisioner, Path.cwd())
        print(first.is_forked, second.is_forked, first.run("print(6 * 7)").strip())
        first.end()
        second.end()
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"TMPDIR": str(tmp_path)}, cwd=ROOT,
        capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True", "42"], done.stderr


def test_the_lessons_give_the_same_outputs_in_ordinary_kernels() -> None:
    """03 and 06 here, in kernels that start Airflow by themselves; the check runs all forked."""
    lessons = [f"notebooks/{name}.ipynb" for name in ("03_list_instances", "06_the_whole_dag")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--numprocesses=0", "-q", *lessons], cwd=ROOT, text=True,
        env=dict(os.environ) | {"JUPYTER_DEFAULT_PROVISIONER_NAME": "local-provisioner"},
        capture_output=True, timeout=3 * SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
