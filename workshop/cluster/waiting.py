"""The one loop that waits for something, shows what it is, and gives up with a sentence."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from workshop.ground import Problem
from workshop.show import Progress

Answer = TypeVar("Answer")
GOES_ON = "Interrupted; the cluster goes on. Run the cell again, or stop it."
SECONDS = 600  # far away, so that a busy machine is no fault; an interrupt ends any wait
PAUSE = 0.2  # seconds between two questions: each costs the API server some work
TICK = 1  # second: of one answer that takes longer, the seconds are shown


@dataclass
class Place:
    """Where a wait shows what it waits for, and the text that it shows now."""

    progress: Progress
    text: str = ""


# Of the innermost wait of this thread: an answer that takes long is told below its text.
_place: ContextVar[Place | None] = ContextVar("place", default=None)


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
        before = _place.set(place := Place(progress))
        try:
            while not right(answer := ask()):
                waited = time.monotonic() - begun
                if waited > seconds:
                    raise Problem(late(answer))
                if show:
                    place.text = f"{show(answer)}\n{waited:.0f} s"
                    progress.show(place.text)
                time.sleep(PAUSE)
        finally:
            _place.reset(before)
    return answer


def answer_of(ask: Callable[[], Answer], show: str) -> Answer:
    """Return what a call answers; while it takes long, show what is waited for.

    Args:
        ask: the call. It goes on in its thread when the cell is interrupted.
        show: the text, without the seconds.

    Raises:
        Exception: what the call raises.
    """
    future: Future[Answer] = Future()

    def run() -> None:
        try:
            future.set_result(ask())
        except BaseException as error:
            future.set_exception(error)

    begun = time.monotonic()
    threading.Thread(target=run, name="answer", daemon=True).start()
    with Progress() as own:
        place = _place.get() or Place(own)
        while not wait([future], TICK).done:
            line = f"{show}: {time.monotonic() - begun:.0f} s"
            place.progress.show(f"{place.text}\n{line}".lstrip())
    return future.result()
