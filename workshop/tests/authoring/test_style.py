"""Style and types; each red check names the command that corrects it."""

import ast
import subprocess
import sys
from pathlib import Path

from workshop.ground import ROOT, notebooks
from workshop.ground.cells import read_steps
from workshop.tests.slides.test_steps import own_dag_files


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=900
    )


def brought_names() -> list[str]:
    """Return the names that `%%slide` cells bring into a notebook, for ruff, which skips them."""
    names = {"dag"}
    for source in [step.source for step in read_steps()] + list(own_dag_files().values()):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.alias):
                names.add((node.asname or node.name).split(".")[0])
    return sorted(names)


def test_lint() -> None:
    done = run("ruff", "check", ".")
    assert done.returncode == 0, done.stdout + "\ncorrect it: .venv/bin/ruff check --fix ."


def test_no_dag_file_asks_for_a_variable_when_it_is_read(tmp_path: Path) -> None:
    """AIR003 is a preview, so ruff's settings do not have it."""
    asks = 'from airflow.sdk import DAG, Variable\n\nwith DAG(Variable.get("name")):\n    pass\n'
    (tmp_path / "asks.py").write_text(asks, encoding="utf-8")
    words = ("ruff", "check", "--preview", "--select", "AIR003")
    assert "outside of a task" in run(*words, str(tmp_path)).stdout
    done = run(*words, "dags")
    assert done.returncode == 0, done.stdout


def test_format() -> None:
    done = run("ruff", "format", "--check", ".")
    assert done.returncode == 0, done.stdout + "\ncorrect it: .venv/bin/ruff format ."


def test_notebooks() -> None:
    """Ruff skips %%slide cells, so it is told the names that they bring."""
    names = f"builtins = {brought_names()!r}"
    paths = [str(path) for path in notebooks()]
    done = run("ruff", "check", "--config", names, "--ignore", "B018,RUF001,RUF003", *paths)
    assert done.returncode == 0, done.stdout


def test_types() -> None:
    done = run("mypy")
    assert done.returncode == 0, done.stdout
