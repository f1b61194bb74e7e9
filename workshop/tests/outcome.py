"""What the run says last of notebooks: which cells differ, raised, or ran out of time; the cure."""

import re
from collections.abc import Iterable

CELL = re.compile(r"(?:.*/)?(\w+)\.ipynb::Cell (\d+)$")
DIFFERS, OUT_OF_TIME = "Cell outputs differ", "Timeout of "  # nbval's words
NOT_RUN = "the cells after it were not run"


def differs(told: str) -> bool:
    """Return whether a cell only printed something else: the cells after it can still be judged.

    Args:
        told: what nbval says of the cell.
    """
    return DIFFERS in told


def last_lines(failures: Iterable[tuple[str, str]]) -> list[str]:
    """Return a sentence for each kind of failure of cells, with the numbers JupyterLab shows.

    Args:
        failures: what failed, as pytest names it, and what was said of it.
    """
    found: dict[str, dict[str, list[str]]] = {"differ": {}, "raised": {}, "ran out of time": {}}
    for node, told in failures:
        if cell := CELL.match(node):
            late = "ran out of time" if OUT_OF_TIME in told else "raised"
            kind = "differ" if differs(told) else late
            found[kind].setdefault(cell[1], []).append(f"[{int(cell[2]) + 1}]")
    names = " ".join(found["differ"])
    cures = {
        "differ": f'If they are meant to: make record NOTEBOOK="{names}"',
        "raised": f"Correct them; {NOT_RUN}.",
        "ran out of time": f"Look what each waits for; {NOT_RUN}.",
    }
    return [
        f"Cells that {kind}: {'; '.join(' '.join([name, *cells[name]]) for name in cells)}. {cure}"
        for (kind, cells), cure in zip(found.items(), cures.values(), strict=True)
        if cells
    ]
