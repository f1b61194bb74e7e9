"""Drop-down lists as faults."""

from typing import Any

from workshop import sandbox
from workshop.sandbox.dropdowns import switches


def test_a_moved_switch_is_a_fault(lab: Any) -> None:
    sandbox.enter("denied")
    shown = switches()
    rows = {row.description: row for row in shown.children[:-1]}
    assert rows["spanner"].value == "denied"
    rows["slack"].value = 429
    rows["spanner"].value = "works"
    assert sandbox.faults_now() == {"slack": 429}
    assert shown.said.value == "spanner: works. Run the DAG again."
    data = shown._repr_mimebundle_()
    assert "spanner: denied" in data["text/plain"]
