"""Style and types; each red check names the command that mends it."""

import subprocess
import sys

from workshop import record
from workshop.lab import ROOT
from workshop.slides import NOTEBOOKS


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=900
    )


def test_lint() -> None:
    done = run("ruff", "check", ".")
    assert done.returncode == 0, done.stdout + "\nmend it: .venv/bin/ruff check --fix ."


def test_format() -> None:
    done = run("ruff", "format", "--check", ".")
    assert done.returncode == 0, done.stdout + "\nmend it: .venv/bin/ruff format ."


def test_notebooks() -> None:
    """Ruff skips %%slide cells, so it is told the names that they bring."""
    names = f"builtins = {record.brought_names()!r}"
    paths = [str(path) for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    done = run("ruff", "check", "--config", names, "--ignore", "B018,RUF001,RUF003", *paths)
    assert done.returncode == 0, done.stdout


def test_types() -> None:
    done = run("mypy")
    assert done.returncode == 0, done.stdout
