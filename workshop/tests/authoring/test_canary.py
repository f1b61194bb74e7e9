"""The canary's table and exit status, from small reports as pytest writes them."""

from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from workshop.authoring.upkeep.canary import Explanation, judge_report, read_explanations
from workshop.ground import Problem

CELL = """#x1B[91mNotebook cell execution failed#x1B[0m
#x1B[94mCell 3: Cell outputs differ

Input:
#x1B[0mprint("- a source line is no difference")

#x1B[94mTraceback:#x1B[0m
#x1B[94m mismatch 'stdout'#x1B[91m

 assert reference_output == test_output failed:

  'an old | sentence\\n' == 'a new sentence\\n'

  - a new sentence
  ?  - ^^
  + an old | sentence
#x1B[0m
"""
CRASH = """#x1B[94mTraceback:#x1B[0m
#x1B[31mZeroDivisionError#x1B[39m          Traceback (most recent call last)
#x1B[32m----&gt; #x1B[39m#x1B[32m1#x1B[39m/#x1B[32m0#x1B[39m

#x1B[31mZeroDivisionError#x1B[39m: division by zero
"""
TEST = """def test_a():
&gt;   raise RuntimeError('no such column')
E   RuntimeError: no such column
E   a second line

workshop/tests/test_show.py:7: RuntimeError"""


def case(where: str, name: str, failure: str = "", tag: str = "failure") -> str:
    told = f'<{tag} message="m">{failure}</{tag}>' if failure else ""
    return f"<testcase classname={quoteattr(where)} name={quoteattr(name)}>{told}</testcase>"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Return a report with one green notebook and one whose output changed."""
    green = case("notebooks.00_index.ipynb", "Cell 0") + case("notebooks.04_slack.ipynb", "Cell 2")
    return write(tmp_path, green, case("notebooks.04_slack.ipynb", "Cell 3", CELL))


def write(folder: Path, *cases: str) -> Path:
    path = folder / "report.xml"
    suite = f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"
    path.write_text(suite, encoding="utf-8")
    return path


def explanation(pattern: str, airflow: str = "3.4", where: str = "04_slack") -> Explanation:
    return Explanation(where, airflow, pattern, "Airflow says it anew")


def test_a_difference_that_nobody_explained_fails(report: Path) -> None:
    table, status = judge_report(report, "3.4.0b2", [])
    assert table.splitlines() == [
        "| notebook or test | Airflow 3.4.0b2 |",
        "| --- | --- |",
        "| 00_index | green |",
        "| 04_slack | Cell 3: now a new sentence; stored an old \\| sentence |",
    ]
    assert status == 1


def test_an_explained_difference_does_not_fail(report: Path) -> None:
    table, status = judge_report(report, "3.4.0b2", [explanation(r"Cell 3: now a new .*")])
    assert "| 04_slack | explained: Airflow says it anew |" in table
    assert "No longer there" not in table
    assert status == 0


@pytest.mark.parametrize(
    "other",
    [
        explanation("Cell 3: now a new sentence"),  # a part of the difference alone
        explanation(".*", airflow="3.5"),
        explanation(".*", where="00_index"),
    ],
)
def test_an_explanation_of_something_else_does_not_help(report: Path, other: Explanation) -> None:
    table, status = judge_report(report, "3.4.0b2", [other])
    assert status == 1
    assert ("No longer there" in table) == (other.airflow == "3.4")


def test_an_explained_difference_hides_no_other(tmp_path: Path) -> None:
    known = case("notebooks.04_slack.ipynb", "Cell 3", CELL)
    both = write(tmp_path, known, case("notebooks.04_slack.ipynb", "Cell 4", CRASH))
    table, status = judge_report(both, "3.4.0", [explanation("Cell 3: .*")])
    assert "| 04_slack | Cell 4: ZeroDivisionError: division by zero |" in table
    assert status == 1
    assert "No longer there" not in table


def test_an_explained_crash_hides_no_cell_that_was_not_run(tmp_path: Path) -> None:
    crash = case("notebooks.04_slack.ipynb", "Cell 4", CRASH)
    after = case("notebooks.04_slack.ipynb", "Cell 5", "plugin.py:1: not run", tag="skipped")
    other = case("workshop.tests.sandbox.test_real_gcloud", "test_a", "no gcloud", tag="skipped")
    known = [explanation("Cell 4: ZeroDivisionError: .*")]
    table, status = judge_report(write(tmp_path, crash, after, other), "3.4.0", known)
    assert "| 04_slack | Cell 5: m |" in table
    assert "| sandbox.test_real_gcloud | green |" in table
    assert status == 1


def test_an_explanation_that_is_no_longer_needed_is_named(tmp_path: Path) -> None:
    green = write(tmp_path, case("notebooks.04_slack.ipynb", "Cell 3"))
    table, status = judge_report(green, "3.4.1", [explanation("Cell 3: .*")])
    assert table.endswith("remove its row from canary.csv: 04_slack, Airflow says it anew")
    assert status == 0


def test_tests_and_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = write(
        tmp_path, case("workshop.tests.show.test_tables", "test_a", TEST),
        case("", "workshop.tests.lab.test_home", "E   ImportError: no name x", "error"),
    )  # fmt: skip
    table, status = judge_report(path, "3.4.0", [])
    assert "| show.test_tables | test_a: RuntimeError: no such column |" in table
    assert "| lab.test_home | workshop.tests.lab.test_home: ImportError: no name x |" in table
    assert status == 1


def test_a_long_difference_is_cut_in_the_table_alone(tmp_path: Path) -> None:
    path = write(tmp_path, case("notebooks.04_slack.ipynb", "Cell 3", f"E   {'x' * 400}z"))
    table, status = judge_report(path, "3.4.0", [])
    assert "xx… |" in table and len(table.splitlines()[-1]) < 200
    assert status == 1
    assert judge_report(path, "3.4.0", [explanation("Cell 3: x+z")])[1] == 0


def test_a_run_of_nothing_is_not_green(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no notebook and no test"):
        judge_report(write(tmp_path), "3.4.0", [])


def test_the_explanations_are_whole() -> None:
    for known in read_explanations():
        assert known.where and known.airflow and known.why
        known.explains(known.where, "")  # its pattern is one
