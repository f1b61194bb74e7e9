"""Words that a learner typed, and words for numbers."""

import difflib
from collections.abc import Collection

from workshop.ground.problem import Problem

MOST = 20  # words in one sentence


def known(word: str, words: Collection[str], what: str) -> str:
    """Return a word that is one of those known.

    Raises:
        Problem: it is not; the sentence names the nearest, and the first of all.
    """
    if word in words:
        return word
    near = difflib.get_close_matches(str(word), words, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    there = ", ".join(list(words)[:MOST])
    more = f" and {len(words) - MOST} more" if len(words) > MOST else ""
    raise Problem(f"There is no {what} '{word}'. {hint}The {what}s are: {there}{more}.")


def count(number: int, what: str) -> str:
    """Return a number with its noun: 1 line, 2 lines."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
