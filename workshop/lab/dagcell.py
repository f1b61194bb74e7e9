"""A cell that is a DAG file: `%%dag name` writes it, runs it, and gives the notebook its names."""

import ast
import graphlib
import json
import linecache
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from workshop.ground import DAGS, Problem, count
from workshop.lab import inside
from workshop.lab.session import current

MAIN = ("__name__ == '__main__'", "'__main__' == __name__")


@dataclass(frozen=True)
class DagText:
    """The text of a DAG file, and at which line each of the cells that it is made of begins."""

    text: str
    first_line: dict[str, int]

    def where(self, line: int) -> tuple[str, int]:
        """Return the part that a line of the file belongs to, and the line within its cell."""
        part = max(
            (part for part in self.first_line if self.first_line[part] <= line),
            key=lambda part: self.first_line[part],
        )
        return part, line - self.first_line[part] + 2  # the magic is the cell's first line


class DagFolder:
    """The folder of DAG files that this process's Airflow reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.observers: list[Callable[[str, str], None]] = []  # a file's name, its new text
        self.is_saving = False  # the cell that writes a file runs now
        self.ran_while_saving = False  # it ran a DAG

    @contextmanager
    def saving(self, name: str, text: str) -> Iterator[Path]:
        """Write a file, and yield its path; it stays only where the block comes to its end.

        So a DAG may run in the very cell that writes its file.
        """
        path = self.folder / name
        before = path.read_bytes() if path.exists() else None
        self._write(path, text.encode())
        self.is_saving, self.ran_while_saving = True, False
        try:
            yield path
        except BaseException:
            if before is None:
                path.unlink()
            else:
                self._write(path, before)
            raise
        finally:
            self.is_saving = False
        for observer in self.observers:
            observer(name, text)

    @staticmethod
    def _write(path: Path, text: bytes) -> None:
        """Write with a new time: Python's bytecode cache compares whole seconds."""
        last = path.stat().st_mtime if path.exists() else 0.0
        path.write_bytes(text)
        if path.stat().st_mtime < last + 1:
            os.utime(path, (last + 1, last + 1))


def write(name: str, source: str, namespace: dict[str, Any]) -> str:
    """Write a cell as a file of the dags folder, execute it, and return what it holds.

    Args:
        name: the file's name without its ending.
        source: the cell without its magic.
        namespace: where the file's names go.

    Raises:
        Problem: the cell is not Python, holds no DAG, or one that Airflow would not take.
        Exception: whatever the file raises, shown at the cell's own line.
    """
    folder, file = current()[DagFolder], f"{name}.py"
    check_syntax(source, file)
    with folder.saving(file, source) as path:
        names, dags = execute(DagText(source, {name: 1}), path, name)
        if not dags:
            raise Problem(_no_dag(name, names))
        for dag in dags:
            if problem := inside.why_not(dag):
                raise Problem(f"{problem} {file} stays as it was.")
    namespace.update(names)
    held = ", ".join(f"{dag.dag_id} with {count(len(dag.tasks), 'task')}" for dag in dags)
    said = f"{file} · {count(len(source.strip().splitlines()), 'line')} · {held}"
    hints = [_how_to_bind(dag, names) for dag in dags]
    if folder.ran_while_saving:
        hints.append(
            "Airflow runs a file whenever it reads it: write .test() into another cell, or under "
            'if __name__ == "__main__":'
        )
    return "\n".join([said, *filter(None, hints)])


def _how_to_bind(dag: Any, names: dict[str, Any]) -> str:
    """Return how a DAG that Airflow takes gets a name in the notebook, if it has none."""
    if any(value is dag for value in names.values()):
        return ""
    made = names.get(dag.dag_id)
    if made is None:
        return f"To run it here, give it a name: with DAG('{dag.dag_id}') as my_dag:"
    if inside.makes_a_dag(made):
        return f"To run it here, give it a name: my_dag = {dag.dag_id}()"
    return ""


def _no_dag(name: str, names: dict[str, Any]) -> str:
    """Return a sentence on a cell without a DAG."""
    for made, value in names.items():
        if inside.makes_a_dag(value):
            return f"'{made}' makes a DAG when it is called, and nobody calls it: add {made}()."
    return f"There is no DAG in this cell: write, for example, {name} = DAG('{name}')."


def load(name: str) -> Any:
    """Take a file of the folder dags into this notebook's Airflow, and return its DAG.

    Args:
        name: the file's name without its ending, which is the DAG's id too.

    Raises:
        Problem: there is no such file, or the notebook has not started.
        Exception: whatever the file raises.
    """
    path = DAGS / f"{name}.py"
    if not path.is_file():
        there = ", ".join(sorted(path.stem for path in DAGS.glob("*.py")))
        raise Problem(f"There is no DAG file '{name}', only {there}.")
    namespace: dict[str, Any] = {}
    write(name, path.read_text(encoding="utf-8"), namespace)
    return next(value for value in namespace.values() if getattr(value, "dag_id", "") == name)


def magic(line: str, cell: str) -> None:
    """Write a DAG file of its own: `%%dag name`.

    What stands under `if __name__ == "__main__":` runs last, as in `python name.py`.
    """
    from IPython import get_ipython

    name = line.strip()
    if not re.fullmatch(r"[a-z]\w*", name):
        raise Problem("Write '%%dag name', for example '%%dag hello'.")
    shell = get_ipython()
    print(write(name, cell, shell.user_ns))
    path = str(current()[DagFolder].folder / f"{name}.py")
    for node in ast.parse(cell).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) in MAIN:
            exec(compile(ast.Module(node.body, []), path, "exec"), shell.user_ns)


def execute(
    file: DagText, path: Path, part: str, maker: Callable[[str], str | None] = lambda name: None
) -> tuple[dict[str, Any], list[Any]]:
    """Execute a DAG file as a module; return its names, and its DAGs as Airflow finds them.

    An error is shown at the line of its cell.

    Args:
        file: the text, and which of its lines came from which part.
        path: where it will lie.
        part: what the cell that runs now writes.
        maker: returns a sentence on who makes a name that is missing.

    Raises:
        Problem: it was interrupted, or its arrows lead in a circle.
        Exception: whatever the file raises.
    """
    module = ModuleType(_module_name(path))
    module.__file__ = str(path)
    lines = file.text.splitlines(keepends=True)
    # Without a time linecache does not look at the disk, where another text may lie later.
    kept: list[tuple[dict[str, Any], str, Any]] = [
        (sys.modules, module.__name__, module),
        (linecache.cache, str(path), (len(file.text), None, lines, str(path))),
    ]
    before = [place.get(key) for place, key, _ in kept]
    for place, key, value in kept:
        place[key] = value
    try:
        with inside.registering(module) as registered:
            exec(compile(file.text, str(path), "exec"), vars(module))
        named = [value for value in vars(module).values() if _is_dag(value)]
        dags = list({id(dag): dag for dag in [*named, *registered]}.values())
        for dag in dags:
            if problem := circle(dag):
                raise Problem(f"{problem} The file stays as it was.")
    except BaseException as error:
        for (place, key, _), old in zip(kept, before, strict=True):
            if old is None:
                del place[key]
            else:
                place[key] = old
        if type(error) is KeyboardInterrupt:
            raise Problem(f"Interrupted; {path.name} stays as it was.") from None
        if isinstance(error, Exception) and not isinstance(error, Problem):
            _show_at_cell(error, file, path, part, maker)
        raise
    names = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    return names, dags


def _module_name(path: Path) -> str:
    """Return the name under which a DAG file is a module: its own, unless another one has that."""
    name, other = path.stem, f"dag_{path.stem}"
    if name in sys.modules:
        return name if getattr(sys.modules[name], "__file__", None) == str(path) else other
    found = find_spec(name)
    return name if found is None or found.origin in (None, str(path)) else other


def _is_dag(value: Any) -> bool:
    return hasattr(value, "dag_id") and hasattr(value, "tasks")


def circle(dag: Any) -> str:
    """Return a sentence on arrows of a DAG that lead back, or an empty text.

    Airflow itself finds them when it reads a file. A run of a DAG that is stored otherwise would
    fail without a word.
    """
    above = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    try:
        graphlib.TopologicalSorter(above).prepare()
    except graphlib.CycleError as error:
        return (
            f"These arrows lead in a circle: {' >> '.join(error.args[1])}. A DAG has none: "
            "take one of them out."
        )
    return ""


def check_syntax(source: str, file: str) -> None:
    """Raise Problem when a cell is not Python; the message shows its line."""
    try:
        compile("\n" + source, "cell", "exec")
    except SyntaxError as error:
        line = (error.text or "").rstrip()
        mark = " " * ((error.offset or 1) - 1) + "^"
        raise Problem(
            f"SyntaxError: {error.msg}\nin line {error.lineno} of this cell:\n{line}\n{mark}\n"
            f"{file} stays as it was."
        ) from None


def todays_names(error: BaseException, source: str) -> list[str]:
    """Return where the names are today that a program imports from an older Airflow, by ruff.

    Args:
        error: what stopped the program; only a failed import of Airflow's is looked at.
        source: the program.
    """
    if not isinstance(error, ImportError) or not (error.name or "").startswith("airflow."):
        return []
    words = ["-m", "ruff", "check", "--isolated", "--no-cache", "--select", "AIR3", "-"]
    words += ["--output-format", "json"]
    names = [
        alias.asname or alias.name
        for node in ast.parse(source).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    used = "".join(f"\n{name}()" for name in names)  # ruff judges a name where it is used
    done = subprocess.run(
        [sys.executable, *words], input=source + used, capture_output=True, text=True
    )
    found = json.loads(done.stdout or "[]")
    told = [(it["fix"] or {}).get("message") or it["message"] for it in found]
    return list(dict.fromkeys(told))


def show_todays_names(error: ImportError) -> None:
    """Let IPython show, of an import from an older Airflow in a plain cell, where its names are."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    source = "".join(linecache.getlines(files[-1]))
    if lines := todays_names(error, source):
        lines.insert(0, f"{type(error).__name__}: {error}")
        error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]


def _show_at_cell(
    error: Exception, file: DagText, path: Path, part: str, maker: Callable[[str], str | None]
) -> None:
    """Make IPython show an error at the line of the cell that it came from."""
    lines = [f"{type(error).__name__}: {error}"]
    frames = traceback.extract_tb(error.__traceback__)
    of_file = [frame for frame in frames if frame.filename == str(path)]
    if of_file and of_file[0].lineno:
        written, line = file.where(of_file[0].lineno)
        source = file.text.splitlines()[of_file[0].lineno - 1]
        cell = "this cell" if written == part else f"the part {written}"
        lines.append(f"in line {line} of {cell}: {source.strip()}")
    if isinstance(error, NameError) and error.name and (made := maker(error.name)):
        lines.append(made)
    lines += todays_names(error, file.text)
    lines.append(f"{path.name} stays as it was.")
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
