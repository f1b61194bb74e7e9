"""The exercises of the notebook 02_concepts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workshop.exercises.judging import Ran, Wrong, expect, expect_dag
from workshop.lab import Home, current


def once(dag: Any) -> None:
    """Expect one line for each day in the diary, after several runs of the same day."""
    import pendulum

    expect_dag(dag, 'check("once", diary)')
    folder = current()[Home].folder / "diary"
    days = ["2018-12-01", "2018-12-01", "2018-12-02", "2018-12-01"]
    with _put_aside(folder):
        for day in days:
            Ran(dag, "talk", logical_date=pendulum.parse(day)).expect_success()
        texts = [_read(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    for day in sorted(set(days)):
        found = sum(day in line for text in texts for line in text.splitlines())
        wrong = f"After {days.count(day)} runs of {day} the diary has {found} lines for it."
        expect(found == 1, wrong)


@contextmanager
def _put_aside(path: Path) -> Iterator[None]:
    """Let a file or folder be away, then back in place of what came there meanwhile."""
    with TemporaryDirectory(dir=path.parent) as other:
        mine, tried = Path(other) / "mine", Path(other) / "tried"
        if path.exists():
            path.rename(mine)
        try:
            yield
        finally:
            if path.exists():
                path.rename(tried)
            if mine.exists():
                mine.rename(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        wrong = f"In the folder diary the file {path.name} is no text: write lines into text files."
        raise Wrong(wrong) from None
