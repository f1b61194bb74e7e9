"""Airflow's own example DAGs: a run in a cell leaves what a run of the file leaves.

So do cells as a learner types them in the first hour. Each runs with bare Airflow (`bare.py`), as
a `%%dag` cell, and as a plain cell. What the metadata database holds afterwards is compared.
`left_out.csv` says which examples do not run, and why.

What bare Airflow leaves of those that run in every check is recorded in `bare.json`, with its
version: its start and its runs cost more than those of the cells. Another version runs anew, and so
does each once a week.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from workshop.ground import BUILD
from workshop.lab import Home
from workshop.lab.home import prepared_database, settings, without_airflow
from workshop.tests.lab import bare

AIRFLOW = Path(str(getattr(find_spec("airflow"), "origin", ""))).parent
FILES = {
    path.stem: path
    for folder in ("example_dags", "providers/standard/example_dags")
    for path in sorted((AIRFLOW / folder).glob("*.py"))
    if path.stem != "__init__"
}
with Path(__file__).with_name("left_out.csv").open(encoding="utf-8", newline="") as table:
    LEFT_OUT = {row["file"]: row["reason"] for row in csv.DictReader(table)}
# A file that runs after another one, whose DAGs it needs.
AFTER = {
    "example_inlet_event_extra": "example_outlet_event_extra",
    "example_trigger_controller_dag": "example_trigger_target_dag",
}
# These run in every check, one of each kind, the first three also as a `%%dag` cell; the others
# once a week.
DAILY = (
    "example_asset_state_store",  # assets and their state
    "example_bash_operator",  # bash
    "example_branch_labels",  # labels
    "example_branch_python_dop_operator_3",  # a branch, and a look at the run before
    "example_dynamic_task_mapping_with_no_taskflow_operators",  # mapped tasks
    "example_measurement_correction_operator",  # Python
    "example_nested_branch_dag",  # trigger rules
    "example_params_ui_tutorial",  # params
    "example_passing_params_via_test_command",  # a template that fails
    "example_sensor_decorator",  # a sensor that reschedules
    "example_setup_teardown",  # setup and teardown
    "example_short_circuit_operator",  # short circuit
    "example_task_group",  # groups
    "example_time_delta_sensor_async",  # a task that defers
    "example_xcom",  # XComs
)
REST = sorted(FILES.keys() - LEFT_OUT.keys() - {*DAILY, *AFTER.values()})
# What a learner types in the first hour: a file for each cell.
HOUR = TemporaryDirectory()
for number, text in enumerate(
    Path(__file__).with_name("first_hour.txt").read_text(encoding="utf-8").split("# ---\n")
):
    FILES[f"hour_{number}"] = Path(HOUR.name) / f"hour_{number}.py"
    FILES[f"hour_{number}"].write_text(text, encoding="utf-8")
TYPED = [name for name in FILES if name.startswith("hour_")]
OFTEN = TYPED[:22]  # in every check
# Those of a group share a process of bare Airflow.
WEEKLY = [*REST, *TYPED[len(OFTEN) :]]
GROUPS = [[*DAILY, *OFTEN], *(WEEKLY[at : at + 15] for at in range(0, len(WEEKLY), 15))]
CASES = [name for group in GROUPS for name in group]
RECORDED = Path(__file__).with_name("bare.json")
# Of a plain cell there is no file: such a DAG wants its name, what lies beside it, or its folder.
OF_A_FILE = re.compile(r"__file__|\.sql\"|AIRFLOW_HOME/dags")
# What differs from run to run: the time that it is, numbers that a file draws by lot, and what
# Airflow takes out of a set, in the XCom of a task that branches.
NOW = re.compile(
    r"(?!2026-01-07)\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*( ?[+-]\d\d:?\d\d)?"
    r"|\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \w+ \d{4}"
)
DRAWN = re.compile(r"\b[1-9]\d{2,4}\b")
SETS = ("skipped", "followed")


def files_of(name: str) -> list[Path]:
    return [FILES[each] for each in (AFTER.get(name), name) if each]


def source_of(name: str) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in files_of(name))


def cases(names: list[str], daily: Collection[str]) -> list[Any]:
    return [pytest.param(name, marks=() if name in daily else pytest.mark.weekly) for name in names]


def comparable(found: dict[str, Any], name: str, home: Path) -> Any:
    """Return what runs left, without what differs from run to run."""

    def in_order(held: dict[str, Any]) -> dict[str, Any]:
        return {key: sorted(held[key]) if key in SETS else held[key] for key in held}

    assert found, "there is no DAG"
    text = NOW.sub("now", json.dumps(found).replace(str(home), "HOME"))
    if "import random" in source_of(name):
        text = DRAWN.sub("0", text)
    return json.loads(text, object_hook=in_order)


def recorded() -> dict[str, Any]:
    """Return what bare Airflow of this version left when it was recorded."""
    held = json.loads(RECORDED.read_text(encoding="utf-8"))
    found: dict[str, Any] = held["found"] if held["airflow"] == version("apache-airflow") else {}
    return found


def left_by_bare_airflow(names: list[str], folder: Path) -> dict[str, Any]:
    """Return what the runs of files leave with bare Airflow, all in one process."""
    home, asked, left = Home(folder / "home"), folder / "asked.json", folder / "left.json"
    home.dags.mkdir(parents=True)
    shutil.copyfile(prepared_database(), home.database)
    asked.write_text(json.dumps({name: [*map(str, files_of(name))] for name in names}))
    done = subprocess.run(
        [sys.executable, bare.__file__, asked, left], cwd=folder, timeout=900,
        env=without_airflow() | settings(home), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(left.read_text())
    return {name: comparable(found[name], name, home.folder) for name in names}


@pytest.fixture(scope="module")
def of_the_file(tmp_path_factory: Any) -> Callable[[str], Any]:
    """Return a function that gives what the runs of a file leave with bare Airflow.

    Some files share a process, which starts when the first of them is asked for.
    """
    known = recorded()

    @cache
    def some(number: int) -> dict[str, Any]:
        return left_by_bare_airflow(GROUPS[number], tmp_path_factory.mktemp("bare"))

    def one(name: str) -> Any:
        number = next(n for n, group in enumerate(GROUPS) if name in group)
        return known[name] if name in known else some(number)[name]

    return one


@pytest.fixture
def of_cells(
    cell: Any, lab: Any, own_environment: None, monkeypatch: Any, tmp_path: Path
) -> Iterator[Callable[[str, str], Any]]:
    """Return a function that gives what the runs of the DAGs of cells leave.

    It takes the cells' first line, and the name of a case. The folder of DAG files is empty then:
    what other tests left in it would be counted and read. What a cell puts into the environment
    goes with it.
    """
    from airflow.sdk import DAG

    made: list[Any] = []  # the DAGs, as some have no name
    init = DAG.__attrs_post_init__

    def note(dag: Any) -> None:
        init(dag)
        made.append(dag)

    def run(first: str, name: str) -> Any:
        files = files_of(name)
        bare.lay_out(files, lab.dags)
        for path in files:
            names = cell(first.format(path.stem) + path.read_text(encoding="utf-8"))
        found = {}
        for dag in bare.in_order(made, files):
            names |= {"one": dag, "words": bare.words(dag.dag_id)}
            with bare.limited():
                found[dag.dag_id] = bare.outcome(cell("run = one.test(**words)")["run"])
        return comparable(found, name, lab.folder)

    others = tmp_path / "others"
    lab.dags.rename(others)
    lab.dags.mkdir()
    monkeypatch.setattr(DAG, "__attrs_post_init__", note)
    yield run
    shutil.rmtree(lab.dags)
    others.rename(lab.dags)


@pytest.mark.parametrize("name", cases(CASES, DAILY[:3]))
def test_a_dag_cell_leaves_what_the_file_leaves(name: str, of_cells: Any, of_the_file: Any) -> None:
    assert of_cells("%%dag {}\n", name) == of_the_file(name)


@pytest.mark.parametrize(
    "name",
    cases([name for name in CASES if not OF_A_FILE.search(source_of(name))], [*DAILY, *OFTEN]),
)
def test_a_plain_cell_leaves_what_the_file_leaves(
    name: str, of_cells: Any, of_the_file: Any
) -> None:
    assert of_cells("", name) == of_the_file(name)


def test_each_example_runs_or_is_left_out_with_a_reason() -> None:
    assert len(REST) > 30 and len(TYPED) > 40 and all(LEFT_OUT.values())
    assert {*DAILY, *AFTER, *AFTER.values(), *LEFT_OUT} <= FILES.keys()


@pytest.mark.weekly
def test_the_recorded_runs_are_those_of_bare_airflow(tmp_path: Path) -> None:
    found = left_by_bare_airflow(GROUPS[0], tmp_path)
    now = {"airflow": version("apache-airflow"), "found": found}
    text = json.dumps(now, indent=1, ensure_ascii=False) + "\n"
    (BUILD / RECORDED.name).write_text(text, encoding="utf-8")
    assert json.loads(RECORDED.read_text(encoding="utf-8")) == now, (
        f"if bare Airflow is right, copy {BUILD / RECORDED.name} over {RECORDED.name}"
    )
