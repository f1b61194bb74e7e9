"""Import the real gcloud's program once, and fork for each call of it.

gcloud's own start script runs this in place of its program, in its own Python, so this uses the
standard library alone: `forking.py PROGRAM.py SOCKET VARIABLE…`, with the names of the variables
that the start script was given. A message on the socket is a call: its standard streams, and a
socket of its own on which its words, environment and folder come, and on which its exit status
goes back. `READY` is sent once, and this ends when the other side closes.
"""

import atexit
import fcntl
import gc
import importlib
import json
import os
import runpy
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ARGUMENTS = "CLOUDSDK_PYTHON_ARGS"
READY = b"ready"


def added(given: list[str]) -> dict[str, str]:
    """Return what the start script adds to the environment that it was given."""
    ordinary = os.environ[ARGUMENTS].replace(Path(__file__).name, "").strip()
    names = os.environ.keys() - set(given)
    return {name: os.environ[name] for name in names} | {ARGUMENTS: ordinary}


def load(program: str) -> Callable[[], None]:
    """Import what every call needs, and return the program's main function."""
    sys.path[0] = str(Path(program).parent)
    main: Callable[[], None] = runpy.run_path(program, run_name="gcloud")["main"]
    importlib.import_module("googlecloudsdk.gcloud_main")
    return main


def names_file() -> int:
    """Return a file for the names of modules, to which several calls at once can only add."""
    with tempfile.TemporaryFile() as file:
        names = os.dup(file.fileno())
    fcntl.fcntl(names, fcntl.F_SETFL, os.O_APPEND)
    return names


def learn(names: int, known: int) -> int:
    """Import what earlier calls have imported, so that the next one finds it.

    Args:
        names: the file of `names_file`.
        known: how many of its bytes were read before.

    Returns:
        how many are read now.
    """
    # Calls have the same place in the file, so nobody may go back to its beginning.
    text = os.pread(names, os.fstat(names).st_size - known, known).decode()
    for name in dict.fromkeys(text.split()):
        if name not in sys.modules:
            with suppress(ImportError):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each fork would copy what its collector touches
    return known + len(text.encode())


def note(names: int, before: set[str]) -> None:
    """Write down what this call has imported, beside what was there before it."""
    os.write(names, "".join(f"{name}\n" for name in sys.modules if name not in before).encode())


def reap(options: int) -> None:
    """Wait for calls that have ended, or for all."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def report(call: socket.socket) -> None:
    """Go on in a new process; in this one wait for its end, send its exit status, and end."""
    process = os.fork()
    if process:
        _, status = os.waitpid(process, 0)
        call.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)


def enter(call: socket.socket, streams: list[int], environment: dict[str, str]) -> None:
    """Give this process what a call has: its words, environment, folder and streams."""
    with call.makefile(encoding="utf-8") as file:
        given = json.load(file)
    call.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(given["folder"])
    os.environ.clear()
    os.environ.update(given["environment"] | environment | {"PWD": given["folder"]})
    sys.argv[1:] = given["words"]


def serve(program: str, calls: socket.socket, environment: dict[str, str]) -> None:
    """Answer calls until there are no more."""
    main = load(program)
    sys.argv = [program]
    names, known = names_file(), 0
    calls.sendall(READY)
    while handles := socket.recv_fds(calls, 1, 4)[1]:
        reap(os.WNOHANG)
        known = learn(names, known)
        call = socket.socket(fileno=handles.pop())
        if os.fork() == 0:
            calls.close()
            report(call)
            enter(call, handles, environment)
            atexit.register(note, names, {*sys.modules})
            return main()
        call.close()
        for stream in handles:
            os.close(stream)
    reap(0)


if __name__ == "__main__":
    _, program, number, *given = sys.argv
    serve(program, socket.socket(fileno=int(number)), added(given))
