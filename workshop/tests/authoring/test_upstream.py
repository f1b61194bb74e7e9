"""`make bench-upstream`: both ways run, and its table names them."""

from typing import Any

import pytest

from workshop.authoring.measuring.upstream import PROPOSAL, WAYS, compare_versions


@pytest.mark.weekly
@pytest.mark.usefixtures("own_environment")
def test_both_ways_run_and_stand_in_the_table_above_the_proposal(capsys: Any) -> None:
    compare_versions(rounds=1)
    said = capsys.readouterr().out
    first, second = [line.split(" | ") for line in said.splitlines()[2:4]]
    assert [first[0], second[0]] == [f"| {way}" for way in WAYS.values()]
    assert first[2] == "1.00"
    assert float(second[1]) > 0
    assert said.endswith(f"\n\n{PROPOSAL.read_text(encoding='utf-8')}\n")
