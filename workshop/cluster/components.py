"""Airflow's components as processes on loopback, with a home, a password and a key of their own.

Used by `make airflow` and by the clusters of the notebooks. `airflow standalone` cannot be
used: its scheduler and triggerer serve logs on every interface of the machine.
"""

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import psutil
import requests
import yaml

from workshop.cluster.keeper import alive
from workshop.cluster.launcher import fork
from workshop.cluster.waiting import PAUSE, SECONDS, answer_of, wait_for
from workshop.ground import Problem
from workshop.lab.home import Home, settings
from workshop.sandbox import handed_on, is_real, unused_port

COMPONENTS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
HERE = Path(__file__).parent
SETTINGS: dict[str, dict[str, str]] = yaml.safe_load((HERE / "settings.yaml").read_text("utf-8"))
FERNET_KEY = "AIRFLOW__CORE__FERNET_KEY"
SECONDS_TO_START = 900
SECONDS_TO_STOP = 30
STOPPED = "It was stopped while it started."


def last_line(text: str) -> str:
    """Return the last line that a program printed."""
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def world_environment() -> dict[str, str]:
    """Return this environment for DAGs: all of it in the real world, else nothing real in it."""
    return dict(os.environ) if is_real() else handed_on()


class Components:
    """Processes that share a home, an address and keys of their own, and end together.

    Args:
        home: an empty folder; it is removed at the end.
        dags: the folder of DAG files.
        inherited: the environment that all processes begin with, and all that the DAGs need of it.
        address: where the API server listens, on loopback; it has a path where a proxy adds one.
        password: of the user admin; by default a new one.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        inherited: dict[str, str],
        *,
        address: str = "",
        password: str = "",
    ) -> None:
        self.home = home
        self.address = address or f"http://127.0.0.1:{unused_port()}"
        self.password = password or secrets.token_urlsafe(12)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.token = ""
        self._is_over = False
        self._starts = threading.Lock()  # nothing starts once all is being ended
        self._launcher: socket.socket | None = None
        (home / "logs").mkdir()
        # A killed worker leaves its temporary files: here they go with the home. The name is short
        # because sockets lie there, and their paths may have a hundred characters.
        (home / "t").mkdir()
        passwords = home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({"admin": self.password}), encoding="utf-8")
        self.environment = (
            inherited
            | settings(Home(home))
            | SETTINGS["components"]
            | {
                "AIRFLOW__API__BASE_URL": self.address,
                "AIRFLOW__API__PORT": str(urlsplit(self.address).port),
                "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
                "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.address}/execution/",
                # Otherwise, where the tables were made before, the first fork makes one, for
                # airflow.cfg, and the other forks have none.
                FERNET_KEY: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
                "TMPDIR": str(home / "t"),
            }
        )
        self._keeper = self._new_keeper()

    def _new_keeper(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", str(HERE / "keeper.py"), str(self.home)],
            stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def _tell_keeper(self, process: subprocess.Popen[bytes]) -> None:
        assert self._keeper.stdin
        with suppress(BrokenPipeError):  # somebody killed it; `stop` looks
            self._keeper.stdin.write(f"{process.pid}\n".encode())
            self._keeper.stdin.flush()

    def start(self, name: str, words: list[str], **options: Any) -> None:
        """Start a program under a name; what it prints goes to its log.

        Args:
            name: of the process, and of its log.
            words: the command line.
            options: more for Popen; `env` is added to the environment of all.

        Raises:
            Problem: everything is being ended.
        """
        environment = self.environment | options.pop("env", {})
        with self._log_for(name) as log:
            self.processes[name] = subprocess.Popen(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, **options,
            )  # fmt: skip

    @contextmanager
    def _log_for(self, name: str) -> Iterator[BinaryIO]:
        """Open the log of a process, and let nothing else start or end meanwhile."""
        with self._starts:
            if self._is_over:
                raise Problem(STOPPED)
            with (self.home / "logs" / f"{name}.log").open("ab") as log:
                yield log
            self._tell_keeper(self.processes[name])

    def airflow(self, name: str, *words: str, env: dict[str, str] | None = None) -> None:
        """Start a component of Airflow.

        Args:
            name: of the process; by it alone, one of COMPONENTS.
            words: the command line behind `airflow`.
            env: added to the environment of all.

        Raises:
            Problem: everything is being ended.
        """
        words, env = words or COMPONENTS[name], env or {}
        # What Airflow reads of its settings when it is imported is the same for all forks.
        own = any(variable.startswith("AIRFLOW") for variable in env)
        if sys.platform == "linux" and not own:
            # Without a launcher an ordinary start says what is wrong.
            with suppress(OSError, ValueError):
                launcher = self._ready_launcher()
                with self._log_for(name) as log:
                    forked = fork(launcher, words, self.environment | env, log.fileno())
                    self.processes[name] = forked  # type: ignore[assignment]  # it has what is used
                return
        self.start(name, [sys.executable, "-m", "airflow", *words], env=env)

    def _ready_launcher(self) -> socket.socket:
        """Return the way to the launcher; start it first, and wait until it has imported Airflow.

        Raises:
            OSError: it does not answer.
        """
        if not self._launcher:
            self._launcher, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._launcher.settimeout(SECONDS)
            with its:
                words = [sys.executable, str(HERE / "launcher.py"), str(its.fileno())]
                self.start("launcher", words, pass_fds=[its.fileno()])
            process = self.processes.pop("launcher")  # where it cannot import Airflow it may end
            if self._launcher.recv(16):
                self.processes["launcher"] = process
        return self._launcher

    def healthy(self) -> set[str]:
        """Return the components that Airflow itself calls healthy."""
        with suppress(requests.RequestException, ValueError):
            health = self._http("GET", "api/v2/monitor/health", timeout=10).json()
            states = {"api-server": "healthy"} | {
                name.replace("_", "-"): part["status"] for name, part in health.items()
            }
            return {name for name, status in states.items() if status == "healthy"}
        return set()

    def ensure_running(self, *needed: str) -> None:
        """Raise when a process has ended, or one that is needed is not there.

        Args:
            needed: the names of processes.

        Raises:
            Problem: with the last line of its log, or with the way to start it.
        """
        for name, process in list(self.processes.items()):  # a start in the background adds to it
            if process.poll() is not None:
                said = last_line(self.printed(name))
                raise Problem(f"{name} ended with status {process.returncode}: {said}")
        for name in needed:
            if name not in self.processes:
                raise Problem(
                    f"There is no {name} now: wait() for the start of all, or start it again with "
                    f"airflow('{name}')."
                )

    def started(
        self, ask: Callable[[], Any], right: Callable[[Any], Any] = bool, **options: Any
    ) -> None:
        """Wait for a part of the start, as `wait_for` does, while every process runs.

        Args:
            ask: returns the answer of now.
            right: says whether an answer is the one waited for; by default any that is true.
            options: more for `wait_for`.

        Raises:
            Problem: a process ended, or the time is over.
        """

        def ask_while_running() -> Any:
            self.ensure_running()
            return ask()

        late = (
            f"Airflow was not healthy after {SECONDS_TO_START} s. Is the machine busy? "
            "Close other programs, then start it again."
        )
        wait_for(ask_while_running, right, lambda _: late, seconds=SECONDS_TO_START, **options)

    def printed(self, name: str) -> str:
        """Return what a process printed until now: nothing before its start."""
        log = self.home / "logs" / f"{name}.log"
        return log.read_text("utf-8", "replace") if log.exists() else ""

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Return the answer of Airflow's REST API; a question is asked again until it has one.

        Args:
            method: GET, POST or PATCH.
            path: behind `/api/v2/`.
            body: sent as JSON.

        Raises:
            Problem: a process ended, there is no API server, or it does not answer.
        """
        end = time.monotonic() + SECONDS
        while True:
            self.ensure_running("api-server")
            try:
                answer = self._request(method, path, body)
            except requests.RequestException as error:
                wrong = type(error).__name__
            else:
                if answer.status_code < 500:
                    return answer
                wrong = f"{answer.status_code} {answer.reason}"
            # What changes something may have been done without an answer.
            if method != "GET" or time.monotonic() > end:
                self.ensure_running()
                raise Problem(f"The api-server did not answer {method} {path}: {wrong}.")
            time.sleep(PAUSE)

    def _request(self, method: str, path: str, body: Any) -> requests.Response:
        if not self.token:
            login = {"username": "admin", "password": self.password}
            answer = self._http("POST", "auth/token", json=login)
            if answer.status_code >= 500:
                return answer
            self.token = answer.json()["access_token"]
        headers = {"Authorization": f"Bearer {self.token}"}
        return self._http(method, f"api/v2/{path}", json=body, headers=headers)

    def _http(
        self, method: str, path: str, *, timeout: float = SECONDS, **options: Any
    ) -> requests.Response:
        return answer_of(
            lambda: requests.request(method, f"{self.address}/{path}", timeout=timeout, **options),
            "Waiting for the api-server's answer",
        )

    def tree(self) -> dict[str, list[psutil.Process]]:
        """Return each process that was started, with those it started."""
        found: dict[str, list[psutil.Process]] = {}
        for name, started in self.processes.items():
            if started.poll() is not None:  # its number may be another's by now
                continue
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(started.pid)
                its = [] if name == "launcher" else parent.children(recursive=True)
                found[name] = [parent, *its]
        return found

    def stop(self) -> None:
        """End every process that was started here and all they started; remove the home.

        Raises:
            Problem: something is left, though it was killed.
        """
        with self._starts:
            self._is_over = True
            if self._launcher:
                self._launcher.close()
        tree = [process for part in self.tree().values() for process in part]
        with _deaf():
            self._end()
            left = [process for process in tree if alive(process)]
            if left or self.home.exists():  # somebody killed the keeper
                self._keeper = self._new_keeper()
                for process in self.processes.values():
                    self._tell_keeper(process)
                self._end()
        for process in self.processes.values():
            process.poll()
        if left := [process for process in tree if alive(process)]:
            names = ", ".join(f"{process.pid} ({process.name()})" for process in left)
            raise Problem(f"These processes did not end: {names}. End them by hand.")

    def _end(self) -> None:
        assert self._keeper.stdin
        with suppress(BrokenPipeError):
            self._keeper.stdin.close()
        with suppress(Problem):  # who called looks at what is left
            wait_for(
                self._keeper.poll,
                lambda status: status is not None,
                lambda _: "It took too long.",
                show=lambda _: "Everything that was started ends.",
                seconds=SECONDS_TO_STOP,
            )


@contextmanager
def _deaf() -> Iterator[None]:
    """Hear no interrupt: what is being ended is ended all the same."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
