"""`make bench-upstream`: both ways run, and its table names them."""

from typing import Any

import pytest

from workshop.authoring.measuring import upstream


def table(said: str) -> list[list[str]]:
    return [[field.strip() for field in line.split("|")[1:-1]] for line in said.splitlines()[2:4]]


@pytest.mark.usefixtures("own_environment")
def test_the_table_has_medians_and_their_ratio_above_the_proposal(
    monkeypatch: Any, capsys: Any
) -> None:
    figures = {"all": iter([(4.0, 90), (5.0, 100), (9.0, 110)]), "newest": iter([(1.0, 60)] * 3)}
    monkeypatch.setattr(upstream, "_first_run", lambda versions: next(figures[versions]))
    upstream.compare_versions(rounds=3)
    said = capsys.readouterr().out
    assert table(said) == [
        [upstream.WAYS["all"], "5.00", "1.00", "100"],
        [upstream.WAYS["newest"], "1.00", "0.20", "60"],
    ]
    assert said.endswith(f"\n\n{upstream.PROPOSAL.read_text(encoding='utf-8')}\n")


@pytest.mark.weekly
@pytest.mark.usefixtures("own_environment")
def test_both_ways_run(capsys: Any) -> None:
    upstream.compare_versions(rounds=1)
    assert all(float(spent) > 0 for _, spent, _, _ in table(capsys.readouterr().out))
