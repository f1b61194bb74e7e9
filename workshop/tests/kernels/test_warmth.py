"""The warm process, step by step: whom it refuses, when it ends, and what it never gets."""

import fcntl
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workshop.kernels import keep_warm, warm, warmth
from workshop.kernels.provisioner import _fork
from workshop.kernels.warmth import FOLDER, OWNER, NoForkError, ask

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="Kernels are forked on Linux alone."
)
WORDS = [sys.executable, "-m", "ipykernel_launcher", "-f", "none.json"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: Any) -> Path:
    """Return the folder of a warm process that is not there; its path is long for a socket."""
    made = tmp_path / ("long" * 40)
    made.mkdir()
    monkeypatch.setenv(FOLDER, str(made))
    monkeypatch.setenv(OWNER, str(os.getpid()))
    return made


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Return two file descriptors: the first becomes readable when something comes."""
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def lock() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def ask_for_one() -> Any:
    return ask([], "/", {}, (1, 2), warmth.patience())


def test_a_change_of_the_package_ends_it(folder: Path, ends: Any, monkeypatch: Any) -> None:
    begun = []
    monkeypatch.setattr(warmth, "begin", lambda: begun.append("again"))
    monkeypatch.setattr(warmth, "_is_there", lambda: not begun)
    server = threading.Thread(target=warm.serve, args=(folder, 0, lock(), ends[0]))
    server.start()
    while not (folder / warmth.SOCKET).exists():
        time.sleep(0.01)
        assert server.is_alive()
    with pytest.raises(NoForkError, match="could not be warmed"):
        ask_for_one()  # told of the change, it begins another one: here there is none
    server.join(timeout=600)
    assert not server.is_alive()
    assert begun == ["again"]


def test_with_two_threads_it_does_not_fork(folder: Path, ends: Any) -> None:
    code = warm.newest_change()
    server = threading.Thread(target=warm.serve, args=(folder, code, lock(), ends[0]))
    server.start()
    with pytest.raises(NoForkError, match="more than one thread"):
        ask_for_one()
    os.write(ends[1], b"the owner has ended")
    server.join(timeout=600)
    assert not server.is_alive()


def test_another_user_is_refused(monkeypatch: Any) -> None:
    mine, other = socket.socketpair()
    with mine, other:
        monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
        assert warm._reason_against(mine) == "another user asked"


def test_it_ends_after_some_idle_time(folder: Path, ends: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(warm, "SECONDS_IDLE", 0)
    assert warm.serve(folder, 0, lock(), ends[0]) is None


def test_one_that_is_not_warm_in_time_is_not_waited_for(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("WORKSHOP_HEADLESS")
    monkeypatch.setattr(warmth, "SECONDS_TO_ANSWER", 0)
    with (folder / warmth.LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NoForkError, match="not warm in time"):
            ask_for_one()


def test_one_that_does_not_answer_is_not_waited_for(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("WORKSHOP_HEADLESS")
    monkeypatch.setattr(warmth, "SECONDS_TO_ANSWER", 0)
    with socket.socket(socket.AF_UNIX) as silent:
        with warmth.short_path(folder) as short:
            silent.bind(f"{short}/{warmth.SOCKET}")
        silent.listen()
        with pytest.raises(NoForkError, match="did not answer in time"):
            ask_for_one()


def test_one_that_cannot_be_warmed_says_why(folder: Path, monkeypatch: Any) -> None:
    broken = folder / "python"
    broken.write_text("#!/bin/sh\necho There is no memory >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(NoForkError, match="could not be warmed: There is no memory"):
        ask_for_one()


def test_an_owner_that_has_ended_is_one_sentence(monkeypatch: Any) -> None:
    monkeypatch.setenv(FOLDER, "/nowhere")
    with pytest.raises(NoForkError, match="has ended"):
        ask_for_one()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["/usr/bin/env", *WORDS[1:]], "another Python"),
        (["no-such-program", *WORDS[1:]], "another Python"),
        ([sys.executable, "-m", "another_kernel"], "another program"),
        ([sys.executable, "-X", "dev", *WORDS[1:]], "another program"),
    ],
)
def test_other_kernels_are_left_to_jupyter(words: list[str], why: str) -> None:
    with pytest.raises(NoForkError, match=why):
        _fork(words, {}, 0)


def test_a_folder_is_that_of_whoever_asks(monkeypatch: Any, tmp_path: Path) -> None:
    asked = []
    monkeypatch.setattr("workshop.kernels.provisioner.ask", lambda *words: asked.append(words))
    monkeypatch.chdir(tmp_path)
    _fork(WORDS, {"cwd": "notebooks"}, 0)
    assert asked[0][1] == str(tmp_path / "notebooks")


def test_it_gets_no_secret(folder: Path, monkeypatch: Any) -> None:
    for name in ("HOME_TOKEN", "LANGUAGE_KEY", "OTEL_EXPORTER_OTLP_HEADERS", "SLACK_TOKEN"):
        monkeypatch.setenv(name, "hidden")
    passed_on = warmth._environment() | warmth.read_once(os.environ)
    assert "hidden" not in passed_on.values()


def test_without_a_way_to_watch_processes_nothing_is_kept_warm(monkeypatch: Any) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.delattr(os, "pidfd_open")
    keep_warm()
    assert FOLDER not in os.environ
