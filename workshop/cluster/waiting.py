"""The one loop that waits for something, shows what it is, and gives up with a sentence."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from workshop.ground import Problem
from workshop.show import Progress

Answer = TypeVar("Answer")
GOES_ON = "Interrupted; the cluster goes on. Run the cell again, or stop it."
SECONDS = 600  # far away, so that a busy machine is no fault; an interrupt ends any wait
PAUSE = 0.2  # seconds between two questions: each costs the API server some work


def wait_for(
    ask: Callable[[], Answer],
    right: Callable[[Answer], Any],
    late: Callable[[Answer], str],
    *,
    show: Callable[[Answer], str] | None = None,
    seconds: float = SECONDS,
    interrupted: str = GOES_ON,
) -> Answer:
    """Ask until the answer is right, and return it.

    Args:
        ask: returns the answer of now, or raises to end the waiting.
        right: says whether an answer is the one waited for.
        late: returns the sentence for when the time is over, from the last answer.
        show: returns the text to show meanwhile, with the seconds; without it nothing is shown.
        seconds: how long to wait.
        interrupted: the sentence for when the cell is interrupted.

    Raises:
        Problem: the time is over, or the cell was interrupted.
    """
    begun = time.monotonic()
    with Progress(interrupted) as progress:
        while not right(answer := ask()):
            waited = time.monotonic() - begun
            if waited > seconds:
                raise Problem(late(answer))
            if show:
                progress.show(f"{show(answer)}\n{waited:.0f} s")
            time.sleep(PAUSE)
    return answer
