"""The exercises of the notebook 02_concepts."""

import shutil
from pathlib import Path
from typing import Any

from workshop.exercises.judging import Ran, Wrong, expect, expect_dag
from workshop.lab import Home, current


def once(dag: Any) -> None:
    """Expect one line for each day in the diary, after several runs of the same day."""
    import pendulum

    expect_dag(dag, 'check("once", diary)')
    folder = current()[Home].folder / "diary"
    shutil.rmtree(folder, ignore_errors=True)
    days = ["2018-12-01", "2018-12-01", "2018-12-02", "2018-12-01"]
    for day in days:
        Ran(dag, "talk", logical_date=pendulum.parse(day)).expect_success()
    texts = [_read(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    for day in sorted(set(days)):
        found = sum(day in line for text in texts for line in text.splitlines())
        wrong = f"After {days.count(day)} runs of {day} the diary has {found} lines for it."
        expect(found == 1, wrong)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        wrong = f"In the folder diary the file {path.name} is no text: write lines into text files."
        raise Wrong(wrong) from None
