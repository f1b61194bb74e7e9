"""Where the warm process is, how it begins, and how it is asked for a fork.

`keep_warm` says in the environment that kernels of this process and of its children are forked.
The warm process begins with `begin`, or when it is asked first. It ends with the process that
called `keep_warm`.
"""

import atexit
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from workshop.lab import Home, new_home

FOLDER, OWNER = "WORKSHOP_WARM_FOLDER", "WORKSHOP_WARM_OWNER"
SOCKET, LOCK, LOG = "socket", "warm", "log"
PROVISIONER = "workshop"  # the name of its entry point
# What a Python reads once, when it starts: a fork keeps it.
READ_ONCE, READ_ONCE_BEGIN = ("HOME", "LANG", "LANGUAGE"), ("LC_", "LD_", "PYTHON")
# The same, but it may hold a secret, or change what all forks inherit: where one is set, no fork.
NOT_PASSED_ON_BEGIN = ("MALLOC_", "MKL_", "OMP_", "OPENBLAS_", "OTEL_", "PYDEVD_")
PASSED_ON = ("PATH", "TMPDIR", "TZ")
SECONDS_TO_ANSWER = 10
SECONDS_HEADLESS = 300  # nobody waits there, and a machine may be busy
CHANGED = "the package has changed"
_owned: list[Home] = []


class NoForkError(Exception):
    """No kernel was forked; the message says why."""


@dataclass(frozen=True)
class Fork:
    """A forked kernel.

    Attributes:
        pid: its process id.
        pidfd: a file descriptor of the process; it becomes readable when the process ends.
    """

    pid: int
    pidfd: int


def keep_warm(*, by_default: bool = True) -> None:
    """Let kernels of this process and of its children be forked, where the system can.

    Args:
        by_default: say it in the environment to everything that starts kernels. JupyterLab has an
            option instead, so that a Jupyter started in its terminal knows nothing of this.
    """
    if FOLDER in os.environ or not hasattr(os, "pidfd_open"):
        return
    home = new_home()
    if home.alive:
        os.set_inheritable(home.alive.fileno(), True)  # this process may become JupyterLab
    _owned.append(home)
    atexit.register(shutil.rmtree, home.folder, ignore_errors=True)
    os.environ.update({FOLDER: str(home.folder), OWNER: str(os.getpid())})
    if by_default:
        os.environ["JUPYTER_DEFAULT_PROVISIONER_NAME"] = PROVISIONER


def begin() -> None:
    """Begin to warm a process, where there is none; return at once."""
    with suppress(KeyError, OSError), _path(LOCK).open("w") as lock, _path(LOG).open("a") as log:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the warm process inherits it
        subprocess.Popen(
            [sys.executable, "-m", "workshop.kernels.warm", str(lock.fileno())],
            env=_environment() | read_once(os.environ), cwd="/", pass_fds=[lock.fileno()],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    here = {name: os.environ[name] for name in (FOLDER, OWNER)}
    # A pool of threads would not live on in a fork.
    return passed_on | here | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def read_once(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a Python reads once, when it starts, and that a fork may keep."""
    return {
        name: value
        for name, value in environment.items()
        if name in READ_ONCE or name.startswith(READ_ONCE_BEGIN)
    }


def patience() -> float:
    """Return how many seconds a kernel may take to be forked."""
    return SECONDS_HEADLESS if "WORKSHOP_HEADLESS" in os.environ else SECONDS_TO_ANSWER


def ask(
    words: list[str],
    folder: str,
    environment: Mapping[str, str],
    out: Iterable[int],
    seconds: float,
) -> Fork:
    """Ask for a forked kernel, and return it when it listens.

    Args:
        words: the command line of an ordinary kernel.
        folder: where it works.
        environment: its variables.
        out: the file descriptors of its stdout and stderr.
        seconds: how long to wait.

    Raises:
        NoForkError: there is none.
    """
    for name in environment:
        if name.startswith(NOT_PASSED_ON_BEGIN):
            raise NoForkError(f"{name} is set, which a fork could not follow")
    request = {
        "words": words, "folder": folder, "environment": dict(environment),
        "limits": [[limit, *resource.getrlimit(limit)] for limit in _limits()], "umask": _umask(),
    }  # fmt: skip
    end = time.monotonic() + seconds
    answer = CHANGED
    while answer == CHANGED:
        connection = _connect(end)
        connection.settimeout(max(end - time.monotonic(), 0.1))
        answer, pidfd = _talk(connection, json.dumps(request).encode(), out)
        if answer.isdecimal() and pidfd is not None:
            return Fork(int(answer), pidfd)
        if pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
    raise NoForkError(answer)


def _limits() -> list[int]:
    return [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


def _umask() -> int:
    """Return the umask; asking the system for it sets it, which other threads would meet."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("Umask:")[2].split()[0], 8)


def _talk(connection: socket.socket, request: bytes, out: Iterable[int]) -> tuple[str, int | None]:
    """Return the answer to a request, a process id or a reason, and the process if there is one."""
    pidfd = None
    with connection:
        try:
            _, given, _, _ = socket.recv_fds(connection, 1, 1)
            if given:
                (pidfd,) = given
                os.set_inheritable(pidfd, False)
                socket.send_fds(connection, [b"A"], list(out))
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            with connection.makefile(encoding="utf-8") as answer:
                said = answer.read()
        except TimeoutError:
            said = "it did not answer in time"
        except OSError as error:
            said = f"it ended while it was asked ({error.strerror})"
    return said or "the fork ended before it was a kernel", pidfd


def _connect(end: float) -> socket.socket:
    """Return a connection to the warm process, which begins where there is none.

    Args:
        end: when to give up, as `time.monotonic` counts.

    Raises:
        NoForkError: there is none then, or it ended.
    """
    if not Path(os.environ.get(FOLDER, "gone")).is_dir():
        raise NoForkError("the process that kept one warm has ended")
    begun = False
    while not (connection := _knock()):
        if not begun:
            begin()
            begun = True
        elif not _is_there():
            raise NoForkError(f"it could not be warmed: {_last_words()}")
        elif time.monotonic() > end:
            raise NoForkError("it was not warm in time")
        time.sleep(0.05)
    return connection


def _knock() -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        with short_path(_path("")) as folder:
            connection.connect(f"{folder}/{SOCKET}")
    except OSError:
        connection.close()
        return None
    return connection


def _is_there() -> bool:
    """Return whether a process is warm, or becomes warm."""
    with suppress(OSError), _path(LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    return True


def _last_words() -> str:
    with suppress(OSError):
        lines = _path(LOG).read_text(encoding="utf-8").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")
    return "it said nothing"


def _path(name: str) -> Path:
    return Path(os.environ[FOLDER], name)


@contextmanager
def short_path(folder: Path) -> Iterator[str]:
    """Give another path of a folder: a socket's has at most 107 characters."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
