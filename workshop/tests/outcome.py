"""One red line for a cell that fails, and at the end of a run which cells failed, and the cure."""

import re
from collections.abc import Generator, Iterable
from typing import Any

import pytest
from nbval import plugin as nbval
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell

from workshop.authoring.checking.headless import SECONDS_A_CELL

CELL = re.compile(r"(?:.*/)?(\w+)\.ipynb::Cell (\d+)$")
DIFFERS, OUT_OF_TIME = "Cell outputs differ", "Timeout of "  # nbval's words
NOT_RUN = "the cells after it were not run"
STOPPED = pytest.StashKey[str]()  # of a notebook: its cell that raised or ran out of time


class PatientKernel(RunningKernel):  # type: ignore[misc]  # nbval has no types
    """nbval's, which waits ten seconds for a new kernel's first answer: a busy one takes longer."""

    is_new = False

    def _ensure_iopub_up(self) -> None:
        self.is_new = True
        super()._ensure_iopub_up()
        self.is_new = False

    def get_message(self, stream: str, timeout: float | None = None) -> Any:
        """Return a kernel's next message; raise queue.Empty where none comes in time.

        Args:
            stream: `shell`, on which a kernel answers, or `iopub`.
            timeout: in seconds; a new kernel has longer for its answer.
        """
        is_first = self.is_new and stream == "shell"
        return super().get_message(stream, SECONDS_A_CELL if is_first else timeout)


def pytest_configure() -> None:
    """Let nbval start patient kernels: it has an option for some of its limits alone."""
    nbval.RunningKernel = PatientKernel


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Let a cell's output come as late as its answer; nbval gives it five seconds."""
    for item in items:
        if isinstance(item, IPyNbCell):
            item.output_timeout = SECONDS_A_CELL


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: Any) -> None:
    """Do not run the cells after one that raised or ran out of time: each would fail with it.

    nbval marks them as expected to fail, which a strict pytest calls a failure where they pass.
    """
    if isinstance(item, IPyNbCell) and STOPPED in item.parent.stash:
        pytest.skip(f"{item.path.stem}, {item.parent.stash[STOPPED]} failed: {NOT_RUN}")


def pytest_exception_interact(node: Any, call: Any) -> None:
    """Remember a cell that failed otherwise than by another output."""
    if isinstance(node, IPyNbCell) and not differs(str(call.excinfo.value)):
        node.parent.stash[STOPPED] = node.name


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Generator[None, Any, Any]:
    """Say after all else which cells of notebooks failed, and what to do."""
    result = yield
    failed = [*terminalreporter.stats.get("failed", []), *terminalreporter.stats.get("error", [])]
    for line in last_lines((report.nodeid, report.longreprtext) for report in failed):
        terminalreporter.write_line(line, red=True)
    return result


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
