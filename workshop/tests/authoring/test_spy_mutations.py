"""The small faults in gcp_spy_today: they fit the file, and the table is of today."""

import ast
import csv
from pathlib import Path
from typing import Any

import pytest

from workshop.authoring.measuring import mutations
from workshop.ground import Problem

SOURCE = mutations.DAG_FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", mutations.faults(), ids=lambda fault: fault["what"])
def test_a_fault_fits_the_file_and_changes_it(fault: dict[str, str]) -> None:
    faulty = mutations.mutated(SOURCE, fault)
    assert ast.dump(ast.parse(faulty)) != ast.dump(ast.parse(SOURCE))


def test_the_table_is_of_today_and_each_fault_is_seen() -> None:
    assert mutations.is_of_today(), "gcp_spy_today or its tests changed: make mutations"
    rows = mutations.TABLE.read_text(encoding="utf-8").splitlines()[1:]
    seen = {row["fault"]: row["first red test"] for row in csv.DictReader(rows)}
    assert list(seen) == [fault["what"] for fault in mutations.faults()]
    assert len(seen) >= 40
    tests = mutations.TEST_FILE.read_text(encoding="utf-8")
    for fault, test in seen.items():
        assert f"def {test}(" in tests, fault


def test_a_fault_that_does_not_fit_is_a_sentence() -> None:
    with pytest.raises(Problem, match=r"^'x': its text stands 0 times .* Correct workshop.tests."):
        mutations.mutated(SOURCE, {"what": "x", "text": "no such text", "fault": ""})


def test_a_fault_that_no_test_sees_is_red_and_named(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    unseen, *seen = mutations.faults()
    blind = {SOURCE: "", mutations.mutated(SOURCE, unseen): ""}
    monkeypatch.setattr(mutations, "TABLE", tmp_path / "mutations.csv")
    monkeypatch.setattr(mutations, "first_red", lambda source: blind.get(source, "test_x"))
    assert mutations.run_mutations() == 1
    assert mutations.is_of_today()
    printed = capsys.readouterr().out
    assert f"NO TEST{' ' * 54}{unseen['what']}\n" in printed
    assert f"{len(seen)} of {len(seen) + 1} faults are seen." in printed
    monkeypatch.setattr(mutations, "first_red", lambda source: "test_x")
    with pytest.raises(Problem, match="test_x is red without any fault"):
        mutations.run_mutations()
