"""Progress on the screen: the one bar of the workbook."""

import html
import os
import threading
import time
from types import TracebackType
from typing import Any, Self

from IPython import get_ipython

from workshop.ground import Problem

WARMING_SECONDS = 5.0  # about what it takes on two cores; only the length of the bar depends on it
SECONDS_A_STEP = 0.2


class Progress:
    """A line, or a bar, that is gone at the end of its `with` block; nothing where nobody looks.

    Args:
        interrupted: what to say when the cell is interrupted in the block.

    Raises:
        Problem: it was interrupted, and `interrupted` says what that means.
    """

    def __init__(self, interrupted: str | None = None) -> None:
        self._interrupted = interrupted
        self._shown = ""
        self._handle: Any = None

    @staticmethod
    def is_seen() -> bool:
        """Return whether somebody looks."""
        return bool(get_ipython()) and "WORKSHOP_HEADLESS" not in os.environ

    def show(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Show a text, with a bar where there is a total.

        Args:
            text: some lines, not HTML.
            done: how much of the total is done.
            total: what will be done.
        """
        bar = "" if total is None else f'<progress max="{total}" value="{done}"></progress> '
        self._draw(bar + "<br>".join(map(html.escape, text.splitlines())))

    def _draw(self, markup: str) -> None:
        from IPython.display import display

        if markup == self._shown or not self.is_seen():
            return
        self._shown = markup
        data = {"text/html": markup} if markup else {}
        if self._handle:
            self._handle.update(data, raw=True)
        else:
            self._handle = display(data, raw=True, display_id=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._draw("")
        if kind is KeyboardInterrupt and self._interrupted:
            raise Problem(self._interrupted) from None


def wait_for_airflow(warm: threading.Event) -> None:
    """Wait until Airflow has started, with a bar.

    Args:
        warm: set when it has.
    """
    begun = time.monotonic()
    with Progress("Interrupted; Airflow goes on starting. Run the cell again.") as progress:
        while not warm.wait(SECONDS_A_STEP):
            done = round(min(time.monotonic() - begun, WARMING_SECONDS), 1)
            progress.show("Airflow starts, once a notebook", done, WARMING_SECONDS)
