"""The cell magic `%%dag name`: a cell that is a DAG file of its own, and the notebook its names."""

import re
from pathlib import Path
from typing import Any

from workshop.lab import ROOT, current, wait_until_warm
from workshop.problem import Problem

MAGIC = re.compile(r"%%dag[ \t]+(\w+)[ \t]*\n")


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
    from workshop import slides, workcopy

    path = current().dags / f"{name}.py"
    slides.check_syntax(source, path.name)
    names: dict[str, Any] = {"__name__": name, "__file__": str(path)}
    # The empty line stands for the magic: so a line's number is that of the cell.
    file = slides.DagFile(f"\n{source}", {name: 2})
    slides.execute(file, path, names, name)
    dags = [
        value for value in names.values() if hasattr(value, "dag_id") and hasattr(value, "tasks")
    ]
    if not dags:
        raise Problem(
            f"There is no DAG in this cell: bind it to a name, for example {name} = DAG(…)."
        )
    slides.save(path, source)
    workcopy.mirror(Path.cwd(), path.name, source)
    namespace.update({key: value for key, value in names.items() if not key.startswith("__")})
    held = ", ".join(f"{dag.dag_id} with {slides.count(len(dag.tasks), 'task')}" for dag in dags)
    return f"{path.name} · {slides.count(len(source.strip().splitlines()), 'line')} · {held}"


def load(name: str) -> Any:
    """Take a file of the folder dags into this notebook's Airflow, and return its DAG.

    Args:
        name: the file's name without its ending, which is the DAG's id too.

    Raises:
        Problem: there is no such file, or the notebook has not started.
        Exception: whatever the file raises.
    """
    dags = ROOT / "dags"
    if not (dags / f"{name}.py").is_file():
        there = ", ".join(sorted(path.stem for path in dags.glob("*.py")))
        raise Problem(f"There is no DAG file '{name}', only {there}.")
    current()
    wait_until_warm()
    namespace: dict[str, Any] = {}
    write(name, (dags / f"{name}.py").read_text(encoding="utf-8"), namespace)
    return next(value for value in namespace.values() if getattr(value, "dag_id", "") == name)


def magic(line: str, cell: str) -> None:
    """Write a DAG file of its own: `%%dag name`."""
    from IPython import get_ipython

    if not re.fullmatch(r"[a-z]\w*", line.strip()):
        raise Problem("Write '%%dag name', for example '%%dag hello'.")
    current()
    wait_until_warm()
    print(write(line.strip(), cell, get_ipython().user_ns))
