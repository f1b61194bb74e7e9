"""Words that a learner typed, and words for numbers."""

import difflib
from collections.abc import Collection

from workshop.ground.problem import Problem


def known(word: str, words: Collection[str], what: str) -> str:
    """Return a word that is one of those known.

    Raises:
        Problem: it is not; the sentence names the nearest, and all.
    """
    if word in words:
        return word
    near = difflib.get_close_matches(str(word), words, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    raise Problem(f"There is no {what} '{word}'. {hint}The {what}s are: {', '.join(words)}.")


def count(number: int, what: str) -> str:
    """Return a number with its noun: 1 line, 2 lines."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
