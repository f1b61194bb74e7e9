"""The real gcloud: started in the ordinary way, or forked from one that is imported already."""

import json
import socket
import subprocess
import tempfile
from pathlib import Path

from workshop.tests.sandbox import forking

SECONDS = 600
Printed = tuple[str, str, int]  # stdout, stderr, exit status


def run(program: str, words: tuple[str, ...], variables: dict[str, str]) -> Printed:
    """Return what a program prints on stdout and stderr, and its exit status."""
    done = subprocess.run(
        [program, *words], env=variables, capture_output=True, encoding="utf-8", timeout=SECONDS
    )
    return done.stdout, done.stderr, done.returncode


class Forked:
    """A gcloud that is imported once, and forked for each call.

    gcloud reads the files in its private folder when it is imported, so all calls have the folder
    of the variables given here. Where it cannot be forked, each call starts it.
    """

    def __init__(self, program: str, variables: dict[str, str]) -> None:
        self._program = program
        self._calls, theirs = socket.socketpair()
        self._calls.settimeout(SECONDS)
        server = Path(forking.__file__)
        with theirs:
            self._process = subprocess.Popen(
                [program, str(theirs.fileno()), *variables],
                cwd=server.parent, pass_fds=[theirs.fileno()], start_new_session=True,
                # The script takes each blank for the end of a word, so no folder stands here.
                env=variables | {forking.ARGUMENTS: f"-S {server.name}"},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self.forks = self._calls.recv(len(forking.READY)) == forking.READY

    def run(self, words: tuple[str, ...], variables: dict[str, str]) -> Printed:
        """Return what gcloud prints on stdout and stderr, and its exit status."""
        if not self.forks:
            return run(self._program, words, variables)
        call, theirs = socket.socketpair()
        call.settimeout(SECONDS)
        about = {"words": words, "environment": variables, "folder": str(Path.cwd())}
        with call, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with theirs:
                streams = [0, out.fileno(), err.fileno(), theirs.fileno()]
                socket.send_fds(self._calls, [b"."], streams)
            call.sendall(json.dumps(about).encode())
            call.shutdown(socket.SHUT_WR)
            status = call.recv(16)
            assert status, "gcloud's process ended without an exit status"
            out.seek(0)
            err.seek(0)
            return out.read().decode(), err.read().decode(), int(status)

    def end(self) -> int:
        """End the process that forks, and return its exit status; it never outlives this one."""
        self._calls.close()
        return self._process.wait(SECONDS)
