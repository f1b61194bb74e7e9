"""`switches()`: the sandbox's faults as drop-down lists; the same as `fault(...)` in code."""

import html
from functools import partial
from typing import Any

import ipywidgets

from workshop.sandbox.world import FAULTS, faults_now, set_faults
from workshop.show import Stored

WORKS = "works"


class Switches(Stored, ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """One drop-down list for each service, for Slack and for the mail server."""

    def __init__(self) -> None:
        now = faults_now()
        self.said = ipywidgets.Label()
        rows = []
        for what, kinds in FAULTS.items():
            row = ipywidgets.Dropdown(
                options=[(str(kind), kind) for kind in (WORKS, *kinds)],
                value=now.get(what, WORKS),
                description=what,
            )
            row.observe(partial(self._switch, what), names="value")
            rows.append(row)
        super().__init__([*rows, self.said])
        lines = [f"{what}: {now.get(what, WORKS)}" for what in FAULTS]
        self.stored_text = "\n".join(["Switches of the sandbox", *lines])
        self.stored_html = f"<pre>{html.escape(self.stored_text)}</pre>"

    def _switch(self, what: str, change: Any) -> None:
        kind = change["new"]
        set_faults({what: None if kind == WORKS else kind})
        self.said.value = f"{what}: {kind}. Run the DAG again."


def switches() -> Switches:
    """Return switches for the sandbox's faults; move one, then run the DAG again.

    Raises:
        Problem: this is the real world, or the notebook has not started.
    """
    return Switches()
