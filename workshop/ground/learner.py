"""The learner's progress: a file in the working copy, which also marks a folder as one."""

import json
from contextlib import suppress
from pathlib import Path

PROGRESS = "progress.json"


def is_copy(folder: Path) -> bool:
    """Return whether a folder is a working copy."""
    return (folder / PROGRESS).is_file()


def solved(folder: Path) -> set[str]:
    """Return the names of the exercises that are solved in a working copy."""
    with suppress(OSError, ValueError):
        return set(json.loads((folder / PROGRESS).read_text(encoding="utf-8")).get("solved", []))
    return set()


def note_solved(folder: Path, exercise: str) -> None:
    """Remember in a working copy that an exercise is solved; elsewhere do nothing."""
    if is_copy(folder):
        names = sorted(solved(folder) | {exercise})
        text = json.dumps({"solved": names}, indent=1) + "\n"
        (folder / PROGRESS).write_text(text, encoding="utf-8")
