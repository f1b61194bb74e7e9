"""The one door to Airflow's inside: a test for each thing that the workbook needs of it."""

import ast
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workshop.ground import ROOT
from workshop.ground.cells import code_cells, python_of
from workshop.lab import Home, TaskLogs, current, inside
from workshop.lab.dagcell import write
from workshop.tests.lab.test_lab import RUN, START, python

PACKAGE = ROOT / "workshop"
# Airflow's default of the delay does not reach a mapped task: it is named here.
THREE = """\
from datetime import timedelta

from airflow.sdk import DAG, task

with DAG("three") as three:

    @task
    def numbers():
        return [4, 5]

    @task(retries=1, retry_delay=timedelta(0))
    def again(number, ti=None):
        if number == 5 and ti.try_number == 1:
            raise ValueError("not at the first try")
        return {"number": number}

    @task(trigger_rule="all_failed")
    def never():
        pass

    again.expand(number=numbers()) >> never()
"""
# Airflow's public interface, as its documentation lists it ("Public Interface for Airflow 3").
PUBLIC = ("airflow.sdk", "airflow.providers.", "airflow.listeners", "airflow.exceptions")
# What a notebook imports all the same, and why.
PRIVATE = {
    "airflow.dag_processing.dagbag": "Airflow's own page on testing DAGs reads files with it",
    "airflow.serialization.serialized_objects": "nothing public tells how large a stored DAG is",
    "": "15 asks the package itself for its version",
    "airflow.configuration": "15 asks which auth manager is set",
    "airflow.plugins_manager": "a plugin is made from a class of it",
    "airflow.timetables.base": "a timetable of one's own is made from a class of it",
    "airflow.timetables.interval": "15 compares the two timetables of cron",
    "airflow.timetables.trigger": "15 compares the two timetables of cron",
}
# What stands in the DAG file of Airflow 2 that 15 brings up to date.
OF_AIRFLOW_2 = {
    "airflow", "airflow.decorators", "airflow.models", "airflow.operators.bash_operator",
    "airflow.operators.python", "airflow.operators.subdag", "airflow.utils.session",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(lab: Any) -> Any:
    names: dict[str, Any] = {}
    write("three", THREE, names)
    return names["three"].test()


def test_task_instances_come_once_each_with_the_newest_try(run: Any) -> None:
    rows = inside.task_instances(run).drop(columns="seconds").to_dict("records")
    assert rows == [
        {"task": "again", "map_index": 0, "state": "success", "tries": 1},
        {"task": "again", "map_index": 1, "state": "success", "tries": 2},
        {"task": "never", "map_index": -1, "state": "skipped", "tries": 0},
        {"task": "numbers", "map_index": -1, "state": "success", "tries": 1},
    ]


def test_xcoms_are_python_objects(run: Any) -> None:
    frame = inside.xcoms(run)
    found = {(row.task, row.map_index, row.key): row.value for row in frame.itertuples()}
    assert found["numbers", -1, "return_value"] == [4, 5]
    assert found["again", 1, "return_value"] == {"number": 5}
    assert set(inside.xcoms(run, "again")["task"]) == {"again"}


def test_a_whole_column_of_numbers_stays_python_s(lab: Any) -> None:
    names: dict[str, Any] = {}
    source = (
        "from airflow.sdk import DAG, task\nwith DAG('one') as one:\n"
        "    @task\n    def zero():\n        return 0\n    zero()\n"
    )
    write("one", source, names)
    (value,) = inside.xcoms(names["one"].test())["value"]
    assert (value, type(value)) == (0, int)


def test_the_state_of_a_run_and_the_newest_run(run: Any, lab: Any) -> None:
    assert inside.run_state(run) == run.state == "success"
    newest = inside.newest_run()
    again = SimpleNamespace(dag_id=newest.dag_id, run_id=newest.run_id)
    assert inside.run_state(again) == newest.state


def test_every_change_of_state_is_kept(run: Any) -> None:
    frame = inside.state_changes(run)
    assert frame is not None
    second = frame[(frame["task"] == "again") & (frame["map_index"] == 1)]["after"]
    assert list(second) == [
        "scheduled", "queued", "running", "up_for_retry",
        "scheduled", "queued", "running", "success",
    ]  # fmt: skip


def test_another_database_tells_the_state_of_a_task(run: Any, lab: Any) -> None:
    address = f"sqlite:///{current()[Home].database}"
    assert inside.task_state(address, run, "numbers") == "success"


def test_changes_that_cannot_be_recorded_stop_no_run(tmp_path: Path) -> None:
    done = python(
        "from workshop.lab import inside\n"
        "def refuse():\n    raise RuntimeError('no such column')\n"
        "from workshop import lab\nlab.OPTIONAL = (refuse, inside.build_api)\n" + RUN
        + "from workshop.lab.dagcell import write\nnames = {}\n"
        f"write('three', {THREE!r}, names)\n"
        "run = names['three'].test()\nprint(run.state)\nfrom workshop import changes\n"
        "from workshop.ground.problem import Problem\n"
        "try:\n    changes(run)\nexcept Problem as problem:\n    print(problem)\n",
        tmp_path,
    )  # fmt: skip
    assert "success\nThe changes of state are not recorded" in done.stdout, done.stderr


BUILT = """\
import cadwyn.applications
built = []
build = cadwyn.applications.generate_versioned_routers
def count(*args, **kwargs):
    built.append(1)
    return build(*args, **kwargs)
cadwyn.applications.generate_versioned_routers = count
"""


ASKED = """\
import asyncio
from airflow import settings
from airflow.api_fastapi.execution_api.versions import bundle
from airflow.sdk.execution_time.supervisor import in_process_api_server
from sqlalchemy import text
versions_built = [version.value for version in in_process_api_server().app.versions]
query = text("PRAGMA synchronous")
async def ask():
    async with settings.AsyncSession() as session:
        return await session.scalar(query)
asked = [
    versions_built == [bundle.versions[0].value],
    len(versions_built) == len(bundle.versions) > 5,
    settings.Session().scalar(query),
    asyncio.run(ask()),
]
"""


@pytest.fixture(scope="module")
def warmed(tmp_path_factory: Any) -> dict[str, Any]:
    """Start, import Airflow at once, and run a DAG; return what was so at each step."""
    done = python(
        BUILT + START + "import builtins, json\nfrom workshop.lab import Warming, current\n"
        "before = current()[Warming].is_over\nimport airflow\n"
        "after, hook, versions = current()[Warming].is_over, builtins.__import__, len(built)\n"
        f"from workshop.lab.dagcell import write\nnames = {{}}\nwrite('three', {THREE!r}, names)\n"
        "state = names['three'].test().state\n"
        + ASKED
        + "print(json.dumps({'before': before, 'after': after, 'hook': hook.__name__,"
        " 'state': state, 'versions': [versions, len(built)], 'asked': asked}))\n",
        tmp_path_factory.mktemp("warmed"),
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_after_the_warming_the_first_run_builds_no_version_of_the_api(
    warmed: dict[str, Any],
) -> None:
    assert warmed["state"] == "success"
    assert warmed["versions"] == [1, 1]


def test_whoever_imports_airflow_waits_until_it_is_warm(warmed: dict[str, Any]) -> None:
    assert (warmed["before"], warmed["after"]) == (False, True)
    assert warmed["hook"] == "__import__"


def test_the_api_has_its_newest_version_alone_and_nothing_waits_for_the_disk(
    warmed: dict[str, Any],
) -> None:
    """Both versions and both connections are looked at where tasks and notebooks use them."""
    newest_alone, all_are_left, *waits = warmed["asked"]
    assert (newest_alone, all_are_left, waits) == (True, False, [0, 0])


OLDER = """\
import airflow.sdk.api.datamodels._generated as client
client.API_VERSION = "2030-01-01"
"""
SILENT = """\
ask = inside._ask
def fail_once(api):
    ask(api)
    inside._ask = ask
    raise OSError("it does not answer")
inside._ask = fail_once
"""


@pytest.mark.weekly
@pytest.mark.parametrize("change", [OLDER, SILENT], ids=["an older server", "built by half"])
def test_where_airflow_has_changed_the_api_is_built_its_own_way(
    change: str, tmp_path: Path
) -> None:
    changed = "".join(f"    {line}\n" for line in change.splitlines())
    done = python(
        f"from workshop.lab import inside\nbuild = inside.build_newest_api\n"
        f"def changed():\n{changed}    build()\ninside.build_newest_api = changed\n"
        + RUN + ASKED + "from workshop.lab.dagcell import write\nnames = {}\n"
        f"write('three', {THREE!r}, names)\nprint(*asked[:2], names['three'].test().state)\n",
        tmp_path,
    )  # fmt: skip
    assert done.stdout.endswith("False True success\n"), done.stdout + done.stderr


def test_secrets_that_airflow_knows_are_masked(lab: Any) -> None:
    from airflow.sdk.log import mask_secret

    mask_secret("opensesame")
    assert inside.redact("the word is opensesame") == "the word is ***"


def test_logs_of_a_task_are_captured_and_states_are_told(lab: Any) -> None:
    told: list[tuple[str, str]] = []
    logs = current()[TaskLogs]

    def observer(ti: Any, state: str) -> None:
        told.append((ti.task_id, state))

    logs.observers.append(observer)
    names: dict[str, Any] = {}
    write("three", THREE, names)
    run = names["three"].test()
    logs.observers.remove(observer)
    assert told[:2] == [("numbers", "running"), ("numbers", "success")]
    assert ("again", "up_for_retry") in told
    lines = logs.of_run(run)["again", 1, 1]
    assert ("error", "ValueError: not at the first try") in lines


def test_a_schedule_s_first_ticks(lab: Any) -> None:
    from airflow.sdk import DAG

    ticks = inside.first_ticks(DAG("noon", schedule="0 12 * * *"), 2)
    assert [f"{tick:%Y-%m-%d %H:%M}" for tick in ticks] == ["2018-12-01 12:00", "2018-12-02 12:00"]
    assert inside.first_ticks(DAG("never", schedule=None), 2) == []


def test_dag_files_are_read_with_their_errors(lab: Any, tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text("from airflow.sdk import DAG\nright = DAG('right')\n")
    (tmp_path / "wrong.py").write_text("from airflow.sdk import DAG\nwrong = DAG('wrong')\n1 / 0\n")
    found, errors = inside.read_dag_files(str(tmp_path))
    assert found == 1
    assert [Path(path).name for path in errors] == ["wrong.py"]


def imported(code: str) -> set[str]:
    """Return what a program imports of Airflow, also a program in one of its strings."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            modules = re.findall(r"^\s*(?:from|import) (airflow\.[\w.]+)", node.value, re.M)
            names |= {f"{module}.*" for module in modules}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.partition(".")[0] == "airflow"}


@pytest.mark.parametrize(
    "path",
    [path for path in PACKAGE.rglob("*.py") if "tests" not in path.parts],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_nothing_else_imports_airflow_s_private_names(path: Path) -> None:
    if path == Path(inside.__file__):
        return
    private = {name for name in imported(path.read_text("utf-8")) if not name.startswith(PUBLIC)}
    assert private == set(), "it belongs into workshop/lab/inside.py"


def test_no_table_of_airflow_is_named(lab: Any) -> None:
    from airflow.models.base import Base

    tables = "|".join(Base.metadata.tables)
    assert "task_instance" in tables
    sql = re.compile(rf"\b(?:select|insert|update|delete|lock)\b.*\b(?:{tables})\b", re.S)
    for path in PACKAGE.rglob("*.py"):
        if "tests" not in path.parts:
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
            found = [text for text in texts if isinstance(text, str) and sql.match(text)]
            assert not found, path.name


def test_the_notebooks_import_the_public_interface() -> None:
    found = set()
    for _, _, cell in code_cells():
        found |= imported(python_of("".join(cell["source"])))
    private = {name.rpartition(".")[0] for name in found if not name.startswith(PUBLIC)}
    assert private == PRIVATE.keys() | OF_AIRFLOW_2
