"""What Jupyter asks for a kernel: a fork of the warm process, or else an ordinary kernel.

Jupyter finds it by its entry point, `workshop` among `jupyter_client.kernel_provisioners`.
"""

import asyncio
import os
import select
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from workshop.kernels.warmth import SECONDS_HEADLESS, Fork, NoForkError, ask, patience

LAUNCHER = ["-m", "ipykernel_launcher"]


class Forked:
    """A forked kernel, for a provisioner that knows `subprocess.Popen`.

    Its exit status stays unknown: it is no child of this process.
    """

    stdin = stdout = stderr = None

    def __init__(self, fork: Fork) -> None:
        self.pid, self._pidfd = fork.pid, fork.pidfd

    def poll(self) -> int | None:
        """Return None while it runs, else 0."""
        return 0 if select.select([self._pidfd], [], [], 0)[0] else None

    def wait(self) -> int:
        """Return when it has ended."""
        select.select([self._pidfd], [], [])
        return 0

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def __del__(self) -> None:
        os.close(self._pidfd)


class WarmProvisioner(LocalProvisioner):
    """Fork the kernels of this environment; start all others as Jupyter does."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Launch a kernel, and return how to connect to it.

        Args:
            cmd: the command line.
            kwargs: what `subprocess.Popen` takes.
        """
        try:
            forked = Forked(await asyncio.to_thread(_fork, cmd, kwargs, patience()))
        except NoForkError as reason:
            self.log.warning("This kernel starts Airflow by itself: %s.", reason)
            return await super().launch_kernel(cmd, **kwargs)
        self.process = forked  # type: ignore[assignment]  # what of a Popen is used, it has
        self.pid = self.pgid = forked.pid
        return self.connection_info


def way() -> str:
    """Start a kernel of this environment and end it; return in words how it was started."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nothing:
        words = [sys.executable, *LAUNCHER, "-f", str(Path(folder, "kernel.json"))]
        environment = dict(os.environ) | {"IPYTHONDIR": folder}
        popen = {"env": environment, "stdout": nothing, "stderr": nothing}
        try:
            fork = Forked(_fork(words, popen, SECONDS_HEADLESS))
        except NoForkError as reason:
            return f"OK, each kernel starts Airflow by itself: {reason}"
        fork.kill()
        fork.wait()
    return "OK, forked from a process in which Airflow is warm"


def _fork(cmd: list[str], kwargs: dict[str, Any], seconds: float) -> Fork:
    program = shutil.which(cmd[0])
    if not program or Path(program).parent.resolve() != Path(sys.executable).parent.resolve():
        raise NoForkError("it has another Python")
    if cmd[1:3] != LAUNCHER:
        raise NoForkError("it is another program")
    environment = kwargs.get("env") or os.environ
    # As jupyter_client's own launcher sets it.
    environment = dict(environment) | {"JPY_PARENT_PID": str(os.getpid())}
    out = [_descriptor(kwargs.get(name), number) for name, number in (("stdout", 1), ("stderr", 2))]
    return ask(cmd[3:], str(Path(kwargs.get("cwd") or ".").absolute()), environment, out, seconds)


def _descriptor(stream: Any, otherwise: int) -> int:
    if stream is None:
        return otherwise
    return stream if isinstance(stream, int) else int(stream.fileno())
