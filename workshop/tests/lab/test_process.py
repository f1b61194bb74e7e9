"""A task's process: what it prints goes to its log in order, what it changes is put back."""

import asyncio
import io
import locale
import logging
import signal
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from workshop import show
from workshop.lab import TaskLogs, current, dagcell
from workshop.lab.process import Debugger, Output, no_running_loop

TASK = """\
import asyncio, logging, os, subprocess, sys
from airflow.sdk import DAG, task

with DAG("{name}") as {name}:

    @task
    def work():
{body}

    work()
"""


def run(name: str, *body: str) -> Any:
    """Run a DAG with one task, while an event loop runs as in a kernel."""
    names: dict[str, Any] = {}
    lines = "\n".join(f"        {line}" for line in body)
    dagcell.write(name, TASK.format(name=name, body=lines), names)

    async def within() -> Any:
        return names[name].test()

    return asyncio.run(within())


def logged(run: Any) -> list[tuple[str, str]]:
    """Return what the task itself logged and printed."""
    (lines,) = current()[TaskLogs].of_run(run).values()
    return lines[: next(n for n, (_, text) in enumerate(lines) if text.startswith("Done."))]


def test_stdout_and_stderr_stand_in_the_log_in_order(lab: Any, capfd: Any) -> None:
    done = run(
        "speaks",
        "print('one')",
        "print('two', file=sys.stderr)",
        "print('half a line', end='')",
        "logging.getLogger('mine').warning('three')",
        "sys.stderr.write('no end')",
        "sys.stdout.write('four')",
        "print(' and more')",
        "os.write(1, b'five\\n')",
        "sys.stdout.buffer.write(b'six\\n')",
    )
    assert logged(done) == [
        ("info", "one"), ("error", "two"), ("info", "half a line"), ("warning", "three"),
        ("error", "no end"), ("info", "four and more"), ("info", "five"), ("info", "six"),
    ]  # fmt: skip
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_child_writes_to_the_log_whatever_it_is_given(lab: Any, capfd: Any) -> None:
    done = run(
        "parent",
        "print('before')",
        "subprocess.run(['echo', 'by default'], check=True)",
        "subprocess.run(['echo', 'given'], stdout=sys.stdout, check=True)",
        "print('between')",
        "subprocess.run(['sh', '-c', 'echo aside >&2'], stderr=sys.stderr, check=True)",
        "print('after')",
        "subprocess.run(['seq', '30000'], stdout=sys.stdout.fileno(), check=True)",
    )
    lines = logged(done)
    assert lines[:6] == [
        ("info", "before"), ("info", "by default"), ("info", "given"), ("info", "between"),
        ("error", "aside"), ("info", "after"),
    ]  # fmt: skip
    assert lines[6:] == [("info", str(number)) for number in range(1, 30001)], "more than a pipe"
    assert tuple(capfd.readouterr()) == ("", "")


def test_streams_are_what_programs_expect(lab: Any) -> None:
    done = run(
        "looks",
        "assert sys.stdout.encoding.lower() == 'utf-8' and not sys.stdout.isatty()",
        "assert sys.stdout.fileno() == 1 and sys.stderr.fileno() == 2",
        "sys.stdout.buffer.write('zażółć\\n'.encode())",
        "print('\\udce9')",
    )
    assert done.state == "success"
    assert logged(done) == [("info", "zażółć"), ("info", "\\udce9")]


def type_in(monkeypatch: Any, *commands: str) -> None:
    """Answer the debugger's questions, as a learner does in the cell."""
    left = iter(commands)

    def answer(prompt: str) -> str:
        print(prompt)
        return next(left)

    monkeypatch.setattr("builtins.input", answer)


def test_a_breakpoint_asks_at_the_cell_and_not_in_the_log(
    lab: Any, capsys: Any, monkeypatch: Any
) -> None:
    type_in(monkeypatch, "p amounts", "!amounts.append(5)", "n", "p result", "c")
    before = sys.breakpointhook
    done = run(
        "stops",
        "amounts = [3, 4]",
        "print('before')",
        "breakpoint()",
        "result = sum(amounts)",
        "print(result)",
    )
    assert logged(done) == [("info", "before"), ("info", "12")]
    said = capsys.readouterr().out
    assert said.splitlines() == [
        "> stops.py(11)work()", "-> result = sum(amounts)",
        "(Pdb) ", "[3, 4]", "(Pdb) ", "(Pdb) ",
        "> stops.py(12)work()", "-> print(result)",
        "(Pdb) ", "12", "(Pdb) ",
    ]  # fmt: skip
    assert sys.breakpointhook is before


def test_an_interrupt_after_a_breakpoint_is_the_cell_s_and_not_the_debugger_s(
    lab: Any, monkeypatch: Any
) -> None:
    type_in(monkeypatch, "c")
    done = run(
        "goes_by",
        "import signal",
        "before = signal.getsignal(signal.SIGINT)",
        "breakpoint()",
        "assert signal.getsignal(signal.SIGINT) is before",
    )
    assert done.state == "success"


def test_the_debugger_runs_no_file_of_the_reader_s(
    lab: Any, work_in: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HOME", str(work_in))
    (work_in / ".pdbrc").write_text("continue\n", encoding="utf-8")
    assert Debugger(io.StringIO()).rcLines == []


def test_to_quit_the_debugger_fails_the_task_alone(lab: Any, monkeypatch: Any) -> None:
    type_in(monkeypatch, "q")
    done = run("quits", "breakpoint()", "print('never')")
    assert done.state == "failed"
    assert run("goes_on", "print('still here')").state == "success"


def test_a_breakpoint_is_left_to_jupyterlab_s_debugger_and_can_be_switched_off(
    lab: Any, monkeypatch: Any
) -> None:
    asked: list[Any] = []
    attached = types.SimpleNamespace(is_client_connected=lambda: True)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "debugpy", attached)
        patched.setattr(sys, "breakpointhook", lambda *words: asked.append(words))
        assert run("attached", "breakpoint('x')").state == "success"
    assert asked == [("x",)]
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    assert run("off", "breakpoint()").state == "success"


def test_a_stream_that_is_kept_still_takes_what_comes_late() -> None:
    lines: list[tuple[str, str]] = []
    with Output(lambda level, line: lines.append((level, line))):
        kept = sys.stdout
    print("late", file=kept)
    assert lines == [("info", "late")]
    assert sys.stdout is not kept


def surroundings() -> dict[str, Any]:
    """Return what a task may change of its process."""
    return {
        "folder": Path.cwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "signals": [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)],
        "handlers": list(logging.root.handlers),
    }


def test_what_a_task_changes_is_put_back(lab: Any, work_in: Path) -> None:
    before = surroundings()
    done = run(
        "guest",
        "import locale, signal, tempfile",
        "with tempfile.TemporaryDirectory() as folder:",
        "    os.chdir(folder)",
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "locale.setlocale(locale.LC_ALL, 'C')",
        "logging.basicConfig(level=logging.DEBUG, force=True)",
        "logging.getLogger('airflow').setLevel(logging.CRITICAL)",
    )
    assert done.state == "success"
    assert surroundings() == before
    assert logging.getLogger("airflow").level != logging.CRITICAL


def test_coroutines_run_though_the_notebook_s_loop_runs(lab: Any) -> None:
    names: dict[str, Any] = {}
    dagcell.write(
        "loops",
        "import asyncio\nfrom airflow.sdk import DAG, task\n"
        "async def number():\n    await asyncio.sleep(0)\n    return 7\n"
        "with DAG('loops') as loops:\n"
        "    @task\n    async def is_one():\n        return await number()\n"
        "    @task\n    def runs_one():\n        return asyncio.run(number())\n"
        "    is_one(), runs_one()\n",
        names,
    )

    async def within() -> Any:
        mine = asyncio.current_task()
        done = names["loops"].test()
        assert asyncio.current_task() is mine
        await asyncio.sleep(0)
        return done

    done = asyncio.run(within())
    assert dict(zip(show.xcoms(done)["task"], show.xcoms(done)["value"], strict=True)) == {
        "is_one": 7, "runs_one": 7,
    }  # fmt: skip


def test_without_a_loop_nothing_is_hidden() -> None:
    with no_running_loop(), pytest.raises(RuntimeError):
        asyncio.get_running_loop()
