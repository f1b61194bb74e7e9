"""The warm process: it imports and warms Airflow once, then it forks kernels.

It has one thread whenever it forks. What a kernel is asked to be is read in the fork alone, so no
secret of one notebook is ever here. It ends with its owner, after some idle time, or when the
package has changed.
"""

import builtins
import gc
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

from workshop.ground import ROOT
from workshop.kernels.warmth import (
    CHANGED,
    FOLDER,
    OWNER,
    SECONDS_HEADLESS,
    SOCKET,
    read_once,
    short_path,
)
from workshop.lab import Prepared, Warming, open_lab

# What a lesson imports anyway, and what logs before Airflow tells it how.
LIBRARIES = (
    "IPython.core.completerlib", "anywidget", "graphviz", "ipykernel.debugger",
    "ipykernel.ipkernel", "ipykernel.kernelapp", "ipywidgets", "pygraphviz", "sqlalchemy",
    "traitlets.config.argcomplete_config", "tornado.platform.asyncio", "workshop.exercises",
    "workshop.sandbox", "workshop.show", "workshop.slides",
)  # fmt: skip
SECONDS_IDLE = 3600
SECONDS_TO_LOOK_ROUND = 1.0  # for forks that ended


def make_ready() -> None:
    """Import and warm everything; at the end one thread is alive and no file is open."""
    # pandas asks once, at its import, whether it is in a kernel.
    builtins.get_ipython = lambda: SimpleNamespace(kernel=None)  # type: ignore[attr-defined]
    import_module("pandas")
    del builtins.get_ipython  # type: ignore[attr-defined]
    for library in LIBRARIES:
        import_module(library)
    prepared = Prepared()
    session = open_lab()
    session[Warming].wait()
    prepared.put_aside(session)
    gc.freeze()


def serve(folder: Path, code: int, lock: int, owner: int) -> tuple[socket.socket, int] | None:
    """Fork a kernel for each connection, as long as there is an owner.

    Args:
        folder: where its socket will be.
        code: when the package had changed last, before it was imported.
        lock: the file descriptor that says that this process is there.
        owner: a file descriptor of the owner's process.

    Returns:
        In a fork its connection, and a file descriptor of the process that asked. None: the end.
    """
    server = socket.socket(socket.AF_UNIX)
    with short_path(folder) as short:
        with suppress(FileNotFoundError):
            os.unlink(f"{short}/{SOCKET}")  # noqa: PTH108
        server.bind(f"{short}/{SOCKET}")
    server.listen(64)
    end = time.monotonic() + SECONDS_IDLE
    while time.monotonic() < end:
        ready, _, _ = select.select([server.fileno(), owner], [], [], SECONDS_TO_LOOK_ROUND)
        _forget_ended_forks()
        if owner in ready:
            break
        if not ready:
            continue
        end = time.monotonic() + SECONDS_IDLE
        connection, _ = server.accept()
        if newest_change() != code:
            server.close()
            os.close(lock)  # first: whoever asked begins another one
            _refuse(connection, CHANGED)
            break
        if reason := _reason_against(connection):
            _refuse(connection, reason)
            continue
        try:
            asker = os.pidfd_open(_peer(connection)[0])
            pid = os.fork()
        except OSError as error:  # it has left, or there is no memory
            _refuse(connection, f"nothing could be forked ({error.strerror})")
            continue
        if not pid:
            server.close()
            os.close(lock)
            os.close(owner)
            return connection, asker
        os.close(asker)
        with connection, suppress(OSError):
            pidfd = os.pidfd_open(pid)
            socket.send_fds(connection, [b"F"], [pidfd])
            os.close(pidfd)
    return None


def _refuse(connection: socket.socket, reason: str) -> None:
    with connection, suppress(OSError):  # whoever asked may have left
        connection.sendall(b"R" + reason.encode())


def _forget_ended_forks() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Return process id and user id of whoever asks."""
    size = struct.calcsize("3i")
    pid, user, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return pid, user


def _reason_against(connection: socket.socket) -> str | None:
    """Return why there must be no fork now, or None."""
    if _peer(connection)[1] != os.getuid():
        return "another user asked"
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208
        return "it has more than one thread"
    return None


def newest_change() -> int:
    """Return when a file of the package changed last, its tests aside, in nanoseconds."""
    newest = 0
    for folder, folders, names in os.walk(ROOT / "workshop"):
        folders[:] = [name for name in folders if name not in ("__pycache__", "tests")]
        for name in names:
            with suppress(FileNotFoundError):  # an editor's own, for a moment
                newest = max(newest, Path(folder, name).stat().st_mtime_ns)
    return newest


def become(connection: socket.socket, asker: int) -> None:
    """Be the kernel that is asked for; in a fork.

    Args:
        connection: to whoever asked.
        asker: a file descriptor of that process; the kernel ends with it.
    """
    # A fork that hangs before it listens ends; whoever asked has another kernel by then.
    signal.alarm(SECONDS_HEADLESS)
    os.setsid()
    _, given, _, _ = socket.recv_fds(connection, 1, 2)
    with connection.makefile(encoding="utf-8") as sent:
        text = sent.read()
    if not text:  # whoever asked has left
        return
    request = json.loads(text)
    import numpy
    from ipykernel.kernelapp import IPKernelApp

    environment = request["environment"]
    if read_once(environment) != read_once(os.environ):
        different = dict(read_once(environment).items() ^ read_once(os.environ).items())
        connection.sendall(f"{', '.join(sorted(different))}: not as at its start".encode())
        return
    for descriptor, stream in zip(given, (1, 2), strict=True):
        os.dup2(descriptor, stream)
        os.close(descriptor)
    for limit, soft, hard in request["limits"]:
        with suppress(ValueError, OSError):  # higher than this process may go
            resource.setrlimit(limit, (soft, hard))
    os.umask(request["umask"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(environment)
    os.environ["PYDEVD_USE_FRAME_EVAL"] = "NO"  # as debugpy does in a kernel that imports it
    time.tzset()
    tempfile.tempdir = None
    numpy.random.seed()  # Python's own module does so itself
    words = request["words"]
    launcher = find_spec("ipykernel_launcher")
    sys.argv = [str(launcher and launcher.origin), *words]
    app = IPKernelApp.instance(parent_handle=os.getppid())
    app.initialize(words)
    app.poller = EndWith(asker)
    connection.sendall(str(os.getpid()).encode())
    connection.close()
    signal.alarm(0)
    app.start()


class EndWith(threading.Thread):
    """End this process when another one has ended, as an ordinary kernel ends with its parent.

    Args:
        process: a file descriptor of the other one.
    """

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = process

    def run(self) -> None:
        select.select([self._process], [], [])
        os._exit(1)


def main() -> None:
    """Warm up, fork kernels, and in a fork be one."""
    folder, lock = Path(os.environ[FOLDER]), int(sys.argv[1])
    owner = os.pidfd_open(int(os.environ[OWNER]))
    code = newest_change()
    if sys.path[0] == str(Path.cwd()):  # from -m; a kernel has no such folder
        del sys.path[0]
    make_ready()
    asked = serve(folder, code, lock, owner)
    if asked:
        become(*asked)
    elif select.select([owner], [], [], 0)[0]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
