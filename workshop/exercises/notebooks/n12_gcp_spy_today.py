"""The exercises of the notebook 12_gcp_spy_today."""

from typing import Any

from workshop.exercises.judging import expect, trying
from workshop.sandbox.gcloud.program import NO_CREDENTIALS, denied, not_succeeded, unreachable


def could_be_read(answer: Any) -> None:
    """Expect a function that knows a list that can be trusted by gcloud's status and words."""
    expect(callable(answer), "Hand over a function: def could_be_read(status, stderr): …")
    project = "spy-demo"
    lists = {
        "a list with machines": ("", 0, True),
        "an empty list": ("Listed 0 items.\n", 0, True),
        "a denied list of Spanner": (*denied("spanner", project, "table")[1:], False),
        "a denied list of Compute Engine": (*denied("compute", project, "json")[1:], False),
        "missing credentials": (f"ERROR: (gcloud.sql) {NO_CREDENTIALS}\n", 1, False),
        "a zone that does not answer": (*not_succeeded("The zone 'z' is not …"), False),
        "an instance of Spanner that does not answer": (unreachable("projects/p/…"), 0, False),
        "a gcloud that was killed before it said a word": ("", 137, False),
    }
    for what, (stderr, status, expected) in lists.items():
        with trying(f"For {what} your function does not answer. "):
            got = answer(status, stderr)
            expect(bool(got) is expected, f"For {what} your function returns {got!r}.")
