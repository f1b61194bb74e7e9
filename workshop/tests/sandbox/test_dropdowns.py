"""Drop-down lists as faults."""

from typing import Any

from workshop import sandbox
from workshop.sandbox.dropdowns import switches
from workshop.sandbox.world import FAULTS


def test_a_moved_switch_is_a_fault(lab: Any) -> None:
    sandbox.enter("denied")
    shown = switches()
    rows = {row.description: row for row in shown.children[:-1]}
    assert (rows["spanner"].value, rows["sql"].value) == ("denied", "works")
    labels = [("works", "works"), ("400", 400), ("403", 403), ("404", 404)]
    assert list(rows["slack"].options)[:4] == labels
    rows["slack"].value = 429
    rows["spanner"].value = "works"
    assert sandbox.faults_now() == {"slack": 429}
    assert shown.said.value == "spanner: works. Run the DAG again."
    data = shown._repr_mimebundle_()
    now = {what: "denied" if what == "spanner" else "works" for what in FAULTS}
    lines = [f"{what}: {kind}" for what, kind in now.items()]
    assert data["text/plain"] == "\n".join(["Switches of the sandbox", *lines])
    assert data["text/html"] == f"<pre>{data['text/plain']}</pre>"
