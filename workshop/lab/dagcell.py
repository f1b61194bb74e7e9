"""A cell that is a DAG file: `%%dag name` writes it, runs it, and gives the notebook its names."""

import graphlib
import os
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop.ground import DAGS, Problem, count
from workshop.lab.session import current


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

    def save(self, name: str, text: str) -> None:
        """Write a file with a new time: Python's bytecode cache compares whole seconds."""
        path = self.folder / name
        last = path.stat().st_mtime if path.exists() else 0.0
        path.write_text(text, encoding="utf-8")
        if path.stat().st_mtime < last + 1:
            os.utime(path, (last + 1, last + 1))
        for observer in self.observers:
            observer(name, text)


def write(name: str, source: str, namespace: dict[str, Any]) -> str:
    """Write a cell as a file of the dags folder, execute it, and return what it holds.

    Args:
        name: the file's name without its ending.
        source: the cell without its magic.
        namespace: where the file's names go.

    Raises:
        Problem: the cell is not Python, or its arrows lead in a circle.
        Exception: whatever the file raises, shown at the cell's own line.
    """
    folder, file = current()[DagFolder], f"{name}.py"
    check_syntax(source, file)
    # The empty line stands for the magic: so a line's number is that of the cell.
    names = execute(DagText(f"\n{source}", {name: 2}), folder.folder / file, name)
    dags = list(filter(_is_dag, names.values()))
    if not dags:
        raise Problem(
            f"There is no DAG in this cell: bind it to a name, for example {name} = DAG(…)."
        )
    folder.save(file, source)
    namespace.update(names)
    held = ", ".join(f"{dag.dag_id} with {count(len(dag.tasks), 'task')}" for dag in dags)
    return f"{file} · {count(len(source.strip().splitlines()), 'line')} · {held}"


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
    """Write a DAG file of its own: `%%dag name`."""
    from IPython import get_ipython

    if not re.fullmatch(r"[a-z]\w*", line.strip()):
        raise Problem("Write '%%dag name', for example '%%dag hello'.")
    print(write(line.strip(), cell, get_ipython().user_ns))


def execute(
    file: DagText, path: Path, part: str, maker: Callable[[str], str | None] = lambda name: None
) -> dict[str, Any]:
    """Execute a DAG file, and return its names; an error is shown at the line of its cell.

    Args:
        file: the text, and which of its lines came from which part.
        path: where it will lie.
        part: what the cell that runs now writes.
        maker: returns a sentence on who makes a name that is missing.

    Raises:
        Problem: it was interrupted, or its arrows lead in a circle.
        Exception: whatever the file raises.
    """
    names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    try:
        exec(compile(file.text, str(path), "exec"), names)
        for dag in filter(_is_dag, list(names.values())):
            _check_cycle(dag)
    except KeyboardInterrupt:
        raise Problem(f"Interrupted; {path.name} stays as it was.") from None
    except Problem:
        raise
    except Exception as error:
        _show_at_cell(error, file, path, part, maker)
        raise
    return {name: value for name, value in names.items() if not name.startswith("__")}


def _is_dag(value: Any) -> bool:
    return hasattr(value, "dag_id") and hasattr(value, "tasks")


def _check_cycle(dag: Any) -> None:
    """Raise Problem when the arrows of a DAG lead back; Airflow says so only when it stores it."""
    above = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    try:
        graphlib.TopologicalSorter(above).prepare()
    except graphlib.CycleError as error:
        raise Problem(
            f"These arrows lead in a circle: {' >> '.join(error.args[1])}. A DAG has none: "
            "take one of them out. The file stays as it was."
        ) from None


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
    lines.append(f"{path.name} stays as it was.")
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
