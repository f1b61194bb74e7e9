"""Fork Airflow's components from one process that has imported Airflow, on Linux.

Each of them imports the same modules first, which is half of its start. Run as a process of its
own, with a socket as argument, the launcher does so once. Then it runs in a fork what it is asked
for, as `python -m airflow` would: the same modules, nothing of Airflow's replaced.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

# What more than one component imports.
MODULES = (
    "airflow.cli.cli_parser",
    "airflow.jobs.scheduler_job_runner",
    "airflow.dag_processing.manager",
    "airflow.api_fastapi.app",
)
LONGEST = 2**20  # of a request, in bytes: an environment


class Fork:
    """A forked component, with what is used here of `subprocess.Popen`.

    Args:
        pid: of the process.
        status: a file descriptor; the launcher writes the exit status to its other end.
    """

    def __init__(self, pid: int, status: int) -> None:
        self.pid, self._status = pid, status
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status as Popen does; None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            # Without a word the launcher was killed: nobody knows more of its forks.
            self.returncode = int(os.read(self._status, 16) or -signal.SIGKILL)
            os.close(self._status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status when it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not after `timeout` seconds.
        """
        if self.returncode is None:
            select.select([self._status], [], [], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return status


def fork(
    launcher: socket.socket, words: Sequence[str], environment: dict[str, str], log: int
) -> Fork:
    """Ask a launcher for a component.

    Args:
        launcher: a socket to one that is ready.
        words: the command line behind `airflow`.
        environment: of the component.
        log: a file descriptor for what it prints.

    Raises:
        OSError: there is no launcher any more, or the request is too long for it.
        ValueError: the same.
    """
    status, other_end = os.pipe()
    try:
        request = json.dumps([*words, environment]).encode()
        socket.send_fds(launcher, [request], [log, other_end])
        return Fork(int(launcher.recv(16)), status)
    except (OSError, ValueError):
        os.close(status)
        raise
    finally:
        os.close(other_end)


def serve(asked: socket.socket) -> tuple[list[str], dict[str, str]] | None:
    """Fork for each request, and tell how each fork ended, until nobody asks and all have ended.

    Args:
        asked: brings requests.

    Returns:
        In a fork its command line and its environment. None: the end.
    """
    forks: dict[int, tuple[int, int]] = {}  # by a descriptor of the process: its id, its pipe
    watched = {asked.fileno()}
    while watched:
        for ready in select.select(watched, [], [])[0]:
            if ready in forks:
                pid, pipe = forks.pop(ready)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with suppress(BrokenPipeError):  # whoever asked has left
                    os.write(pipe, str(status).encode())
                os.close(pipe)
                os.close(ready)
                watched.remove(ready)
                continue
            request, given, _, _ = socket.recv_fds(asked, LONGEST, 2)
            if not request:
                watched.remove(ready)
                continue
            log, pipe = given
            pid = os.fork()
            if not pid:
                os.setsid()
                os.dup2(log, 1)
                os.dup2(log, 2)
                asked.send(str(os.getpid()).encode())
                asked.close()
                for descriptor in (*given, *forks, *(pipe for _, pipe in forks.values())):
                    os.close(descriptor)
                *words, environment = json.loads(request)
                return words, environment
            os.close(log)
            process = os.pidfd_open(pid)
            forks[process] = pid, pipe
            watched.add(process)
    return None


def main() -> None:
    """Import Airflow, say so, and fork; in a fork be a component."""
    asked = socket.socket(fileno=int(sys.argv[1]))
    sys.path[0] = str(Path.cwd())  # as `python -m` has it, in place of this file's folder
    for name in MODULES:
        import_module(name)
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208
        sys.exit(
            "Something in this Airflow starts a thread when it is imported: nothing is forked."
        )
    gc.freeze()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Whoever ends all of a group ends the forks too; this ends after them, and takes note of each.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    asked.send(b"ready")
    component = serve(asked)
    if component:
        signal.signal(signal.SIGTERM, before)
        words, environment = component
        # No more than differs: the keeper reads the rest where it is, and setproctitle, with which
        # Airflow names its processes, has to find it there.
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment.items() - os.environ.items())
        sys.argv = ["airflow", *words]
        runpy.run_module("airflow", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
