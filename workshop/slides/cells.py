"""The cells of a notebook as they run: the one now, the one before, and what those that raised
would have made.
"""

import ast
import re
import symtable
import textwrap
import traceback
from collections.abc import Callable
from typing import Any

from workshop.ground.cells import EXERCISE, read_attempts
from workshop.ground.talk import PARTS
from workshop.lab import Warming, current
from workshop.show import Graphs

SHELL = re.compile(r"^\s*(?:\w+\s*=\s*)?!", re.MULTILINE)  # !command, name = !command
COMMAND = re.compile(r"^([ \t]*)[%!].*", re.MULTILINE)  # a line for IPython or for a shell
# The line with a cell's magic, wherever it stands: only in the first line does it run.
MAGIC = re.compile(r"^[^\w\n]*%.*|^(?:exercise|solution)\b.*", re.MULTILINE)
# The names that a cell binds, as far as its text shows; for a cell that is no Python.
BINDS = re.compile(r"^def (\w+)|^([\w, ]+)(?::[^=\n]+)?=(?!=)|\bas (\w+)", re.MULTILINE)


class Cells:
    """The cells of this notebook: the one that runs now, and the one before."""

    def __init__(self) -> None:
        self.before, self.now = "", ""
        self.observers: list[Callable[[str], None]] = []  # called with a cell's source at its end
        self.unbound: set[str] = set()  # names that the cell which raised last did not bind
        self._refused: list[str] = []  # the magics of cells that raised

    def begin(self, info: Any) -> None:
        """Take a cell that begins; IPython calls this."""
        self.before, self.now = self.now, info.raw_cell or ""
        self.unbound -= _bound(self.now)
        # IPython loses what a short command prints while a thread keeps the interpreter busy:
        # pexpect takes a command that ended in that moment for one that printed nothing.
        if SHELL.search(self.now):
            current()[Warming].wait()

    def end(self, result: Any) -> None:
        """Take a cell that has ended; IPython calls this, with None where it gave up itself."""
        if not result or not result.success:
            self.unbound |= _bound(self.now, _line(result and result.error_in_exec))
            self._refused += MAGIC.findall(self.now)
        elif ran := EXERCISE.match(f"{self.now.lstrip()}\n"):
            self._refused = [line for line in self._refused if not _replaces(ran[2], ran[3], line)]
        current()[Graphs].settle()
        for observer in self.observers:
            observer(self.now)

    def refused(self, exercise: str) -> str:
        """Return the magic of a cell that raised in place of writing a part of an exercise."""
        lines = [line.strip(" \t#") for line in self._refused if _is_of(exercise, line)]
        return lines[0] if lines else ""


def as_python(source: str) -> ast.Module:
    """Return a cell as Python reads it, without its magics and commands.

    Raises:
        SyntaxError: it is no Python.
    """
    text = textwrap.dedent(source).lstrip("\n")  # as IPython does
    try:
        return ast.parse(COMMAND.sub(r"\1pass", text))
    except (ValueError, RecursionError, MemoryError) as error:  # a null byte; nested too deeply
        raise SyntaxError(str(error)) from None


def _bound(source: str, line: int = 0) -> set[str]:
    """Return the names that the statements of a cell bind, of those that end at a line or later."""
    try:
        body = [each for each in as_python(source).body if (each.end_lineno or 0) >= line]
        table = symtable.symtable(ast.unparse(ast.Module(body, [])), "cell", "exec")
    except (SyntaxError, RecursionError):
        found = " ".join(name for names in BINDS.findall(textwrap.dedent(source)) for name in names)
        return set(re.findall(r"\w+", found))
    made = [each for each in table.get_symbols() if each.is_assigned() or each.is_imported()]
    return {each.get_name() for each in made}


def _line(error: BaseException | None) -> int:
    """Return the line of a cell at which it raised, or 0 where it did not begin to run."""
    frames = traceback.walk_tb(error.__traceback__ if error else None)
    return next((line for frame, line in frames if frame.f_code.co_name == "<module>"), 0)


def _is_of(exercise: str, line: str) -> bool:
    """Return whether a magic meant this exercise: it names it, or no other and one of its parts."""
    asked = read_attempts("exercise")
    magic, *words = re.findall(r"\w+", line) or [""]
    if named := asked.keys() & words:
        return exercise in named
    parts = set(words).intersection(PARTS)
    return magic in ("exercise", "solution") and (not parts or bool(parts & asked[exercise].keys()))


def _replaces(exercise: str, part: str, line: str) -> bool:
    """Return whether what an exercise's cell wrote stands in place of what another one did not.

    A part that nobody asked for may have been given up; every other one counts until it runs.
    """
    words = re.findall(r"\w+", line)
    others = read_attempts("exercise").get(exercise, {}).keys() - {part}
    return _is_of(exercise, line) and (part in words or others.isdisjoint(words))
