"""A task's process: in production each task has one of its own, here it borrows this one.

What a task prints goes to its log, as in production. What it changes of the process is put back.
"""

import asyncio
import io
import locale
import logging
import os
import pdb
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, Self, TextIO

Logger = tuple[int, list[logging.Handler], list[Any], bool, bool]
LEVELS = {1: "info", 2: "error"}  # by file descriptor, as Airflow's supervisor logs the two


class Output:
    """Takes what is printed, in this process and by what it starts, until its block ends.

    Args:
        keep: called with the level and each line.
    """

    def __init__(self, keep: Callable[[str, str], None]) -> None:
        self._keep = keep
        self._level, self._rest = LEVELS[1], b""  # of a line that has no end yet
        self._lock = threading.RLock()  # a task may print in threads of its own

    def __enter__(self) -> Self:
        self._texts = sys.stdout, sys.stderr
        for text in self._texts:
            with suppress(Exception):  # somebody's own may be closed
                text.flush()
        # Files and no pipes: a child writes while nobody reads.
        self._files = {
            number: tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (closed when the block ends)
            for number in LEVELS
        }
        self._read = dict.fromkeys(LEVELS, 0)
        self._before = {number: os.dup(number) for number in LEVELS}
        for number, file in self._files.items():
            os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = (_text(_Stream(number, self._write)) for number in LEVELS)
        return self

    def __exit__(self, *error: object) -> None:
        sys.stdout, sys.stderr = self._texts
        self.end_line()
        for number, file in self._files.items():
            os.dup2(self._before[number], number)
            os.close(self._before[number])
            file.close()
        self._files = {}  # somebody may have kept the stream

    def end_line(self) -> None:
        """Hand on a line that has no end yet: something else follows it."""
        with self._lock:
            self._drain()
            if self._rest:
                self._take(self._level, b"\n")

    def _write(self, number: int, data: bytes) -> None:
        with self._lock:
            self._drain()
            self._take(LEVELS[number], data)

    def _drain(self) -> None:
        """Take what was written to the file descriptors: by children, and by code in C."""
        for number, file in self._files.items():
            while data := os.pread(file.fileno(), 2**16, self._read[number]):
                self._read[number] += len(data)
                self._take(LEVELS[number], data)

    def _take(self, level: str, data: bytes) -> None:
        if level != self._level:
            if self._rest:
                self._hand_on(self._rest)
            self._level, self._rest = level, b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hand_on(line)

    def _hand_on(self, line: bytes) -> None:
        self._keep(self._level, line.decode("utf-8", "replace"))


class _Stream(io.RawIOBase):
    """What lies under `sys.stdout` or `sys.stderr`: bytes go on at once, in order."""

    def __init__(self, number: int, write: Callable[[int, bytes], None]) -> None:
        self._number, self._write = number, write

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def write(self, data: Any) -> int:
        taken = bytes(data)
        self._write(self._number, taken)
        return len(taken)


def _text(stream: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, "utf-8", "backslashreplace", newline="", write_through=True)


class Debugger(pdb.Pdb):
    """Reads and writes at the cell that runs the DAG: a task's own output is its log.

    Args:
        cell: where the cell's output goes.
    """

    def __init__(self, cell: TextIO) -> None:
        super().__init__(stdout=cell, nosigint=True, readrc=False)
        self.use_rawinput = True  # a kernel asks with input(), and has no stdin
        self._cell = cell

    def cmdloop(self, intro: Any = None) -> None:
        """Ask for commands until the task goes on."""
        with redirect_stdout(self._cell):  # else the prompt goes to the log
            super().cmdloop(intro)

    def _cmdloop(self) -> None:
        self.cmdloop()  # Python's own would ask again after an interrupt

    def format_stack_entry(self, frame_lineno: Any, lprefix: str = ": ") -> str:
        """Return where the task stands; a cell's file is a number that says nothing."""
        path = self.canonic(frame_lineno[0].f_code.co_filename)
        return super().format_stack_entry(frame_lineno, lprefix).replace(path, place_of(path))


def place_of(filename: str) -> str:
    """Return how a learner knows a file: by its name, or as a cell."""
    return Path(filename).name if Path(filename).exists() else "a cell"


@contextmanager
def debugging_at(cell: TextIO) -> Iterator[None]:
    """Let `breakpoint()` stop a task; a kernel ignores it while JupyterLab's debugger is off.

    Args:
        cell: where the cell's output goes.
    """
    before = sys.breakpointhook

    def stop(*args: Any, **options: Any) -> None:
        if os.environ.get("PYTHONBREAKPOINT") == "0":
            return
        jupyterlab_s = sys.modules.get("debugpy")
        if jupyterlab_s and jupyterlab_s.is_client_connected():
            before(*args, **options)
        else:
            Debugger(cell).set_trace(sys._getframe(1))

    sys.breakpointhook = stop
    try:
        yield
    finally:
        sys.breakpointhook = before


@contextmanager
def put_back() -> Iterator[None]:
    """Put back what a task or a run changes: folder, signals, locale and logging.

    Not the environment: bare `dag.test()` keeps it too, and `fault()` in a task has to stay.
    """
    with ExitStack() as stack:
        with suppress(FileNotFoundError):  # the folder is gone already
            stack.callback(_into, Path.cwd())
        stack.callback(locale.setlocale, locale.LC_ALL, locale.setlocale(locale.LC_ALL))
        stack.callback(set_loggers, loggers())
        if threading.current_thread() is threading.main_thread():
            stack.callback(_set_signals, signal_handlers())
        yield


def _into(folder: Path) -> None:
    with suppress(OSError):  # it went meanwhile
        os.chdir(folder)


def signal_handlers() -> dict[int, Any]:
    """Return what each signal does now, of those that Python knows of."""
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _set_signals(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        if signal.getsignal(number) is not handler and handler is not None:
            signal.signal(number, handler)


def loggers() -> dict[str, Logger]:
    """Return level, handlers, filters, propagate and disabled of each logger; '' is the root."""
    made = logging.root.manager.loggerDict.items()
    names = [name for name, logger in made if isinstance(logger, logging.Logger)]
    return {name: _state(logging.getLogger(name)) for name in ["", *names]}


def _state(logger: logging.Logger) -> Logger:
    handlers, filters = list(logger.handlers), list(logger.filters)
    return logger.level, handlers, filters, logger.propagate, logger.disabled


def set_loggers(before: dict[str, Logger]) -> None:
    """Give each of these loggers the state that it had."""
    for name, state in before.items():
        logger = logging.getLogger(name)
        if _state(logger) != state:
            level, handlers, filters, logger.propagate, logger.disabled = state
            logger.setLevel(level)
            logger.handlers, logger.filters = list(handlers), list(filters)


@contextmanager
def no_running_loop() -> Iterator[None]:
    """Let `asyncio.run` work, and `asyncio.get_event_loop`, though a notebook's own loop runs."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        yield
        return
    task = asyncio.current_task(loop)
    if task:
        asyncio.tasks._leave_task(loop, task)
    asyncio._set_running_loop(None)
    own = asyncio.new_event_loop()
    asyncio.set_event_loop(own)
    try:
        yield
    finally:
        own.close()
        asyncio.set_event_loop(loop)
        asyncio._set_running_loop(loop)
        if task:
            asyncio.tasks._enter_task(loop, task)
