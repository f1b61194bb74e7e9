"""What `make mutants` says of the results that mutmut gives."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from workshop.authoring.checking import mutants
from workshop.authoring.checking.mutants import change, report, unseen
from workshop.tests import warmed

DIFF = """\
--- workshop/one.py
+++ workshop/one.py
@@ -1,3 +1,3 @@
 def f():
     kept
-    if a and --b:
+    if a or --b:
"""
RESULTS = {f"workshop.one.x_f__mutmut_{number}": "killed" for number in range(9)} | {
    "workshop.one.x_f__mutmut_9": "survived",
    "workshop.two.xǁClassǁ_do__mutmut_10": "killed",
    "workshop.two.xǁClassǁ_do__mutmut_11": "no tests",
}
CHANGES = {
    "workshop.one.x_f__mutmut_9": change(DIFF),
    "workshop.two.xǁClassǁ_do__mutmut_11": ("x = 1", "x = 2"),
}


@pytest.fixture
def same(tmp_path: Path, monkeypatch: Any) -> Path:
    path = tmp_path / "same.csv"
    monkeypatch.setattr(mutants, "SAME", path)
    return path


@pytest.mark.parametrize("marked", [False, True])
def test_a_weekly_test_counts_for_the_judges_alone(monkeypatch: Any, marked: bool) -> None:
    judge, other = "workshop.exercises.notebooks.n01_why_airflow.x_tidy", "workshop.show.tables.x_f"
    counted = SimpleNamespace(_stats={judge, other})
    monkeypatch.setitem(sys.modules, "mutmut", ModuleType("mutmut"))
    fake = SimpleNamespace(state=lambda: counted)
    monkeypatch.setitem(sys.modules, "mutmut.state", fake)
    item = SimpleNamespace(get_closest_marker=lambda name: marked and name == "weekly")
    warmed.pytest_runtest_teardown(item)
    assert counted._stats == ({judge} if marked else {judge, other})


def write(path: Path, *rows: str) -> None:
    path.write_text("\n".join(["function,was,is,reason", *rows, ""]), encoding="utf-8")


def test_a_mutant_that_no_test_reaches_is_not_seen() -> None:
    assert unseen(RESULTS) == list(CHANGES)


@pytest.mark.parametrize("status", ["timeout", "segfault", "suspicious", "not checked"])
def test_what_ended_without_a_red_test_is_not_seen(status: str) -> None:
    """With ids that changed, mutmut called three hundred runs without a test timeouts."""
    assert unseen({"workshop.one.x_f__mutmut_1": status}) == ["workshop.one.x_f__mutmut_1"]


def test_a_module_with_too_few_seen_is_named_with_what_was_not(same: Path, capsys: Any) -> None:
    write(same)
    assert report(RESULTS, CHANGES) == 1
    assert capsys.readouterr().out.splitlines() == [
        "workshop.one: 90% of 10 seen or the same",
        "  workshop.one.f",
        "    was  if a and --b:",
        "    is   if a or --b:",
        "workshop.two: 50% of 2 seen or the same, at least 85%: write tests for these",
        "  workshop.two.Class._do",
        "    was  x = 1",
        "    is   x = 2",
    ]


def test_a_mutant_that_is_listed_counts_as_seen(same: Path, capsys: Any) -> None:
    write(same, "workshop.two.Class._do,x = 1,x = 2,because")
    assert report(RESULTS, CHANGES) == 0
    assert "workshop.two: 100% of 2 seen or the same\n" in capsys.readouterr().out


def test_a_listed_mutant_that_tests_see_is_an_error(same: Path, capsys: Any) -> None:
    write(same, "workshop.two.Class._do,x = 1,x = 2,because", "workshop.one.g,a,b,because")
    assert report(RESULTS, CHANGES) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "same.csv lists a mutant of workshop.one.g that was seen or is gone: a → b"
