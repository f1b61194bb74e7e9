"""papermill runs each notebook in other worlds; what it did there is known beforehand."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from workshop.authoring.checking.headless import read, run_in_world
from workshop.ground import NOTEBOOKS
from workshop.ground.cells import read_steps

NOTHING = "Listed 0 items."
DENIED = (
    "ERROR: (gcloud.spanner.instances.list) [spy@example.com] does not have permission to access "
    "projects instance [spy-demo] (or it may not exist): Caller is missing IAM permission "
    "spanner.instances.list on resource projects/spy-demo. This command is authenticated as "
    "spy@example.com which is the active account specified by the [core/account] property."
)
TITLES = {
    "sql": "Cloud SQL",
    "spanner": "Spanner",
    "bigtable": "BigTable",
    "compute": "Compute Engine",
}
# What each list task pushes in each world.
WORLDS = {
    "quiet": {"sql": "orders-db", "spanner": NOTHING, "bigtable": NOTHING, "compute": "web-1"},
    "denied": {"sql": "orders-db", "spanner": DENIED, "bigtable": "events-bt", "compute": "web-1"},
    "empty": dict.fromkeys(TITLES, NOTHING),
    "busy": {
        "sql": "orders-db",
        "spanner": "ledger",
        "bigtable": "events-bt",
        "compute": " ".join(sorted(f"worker-{number}" for number in range(1, 501))),
    },
}
SPIES = sorted({step.notebook.removesuffix(".ipynb") for step in read_steps()})
WEEKLY = pytest.mark.weekly
# In every check the whole DAG of 2018 meets a service that cannot be read; 05 has it, too.
QUIET_AND_DENIED = [pytest.param(world, marks=WEEKLY) for world in ("quiet", "denied")]
DAILY = ("05_email", "denied")
RUNS = [(name, world) for name in ("00_index", *SPIES) for world in ("quiet", "denied")]
RUNS += [("06_the_whole_dag", "empty"), ("06_the_whole_dag", "busy")]


END = "## What you have now"


def expected_fields(world: str) -> list[tuple[str, list[str]]]:
    """Return each service's title and names, those with instances first."""
    pushed = [(TITLES[service], line) for service, line in WORLDS[world].items()]
    fields = [(title, [] if line == NOTHING else line.split(" ")) for title, line in pushed]
    return sorted(fields, key=lambda field: not field[1])


def without_exercises(path: Path, folder: Path, end: str = END) -> Path:
    """Write a copy without the exercises: they bring worlds of their own in any case."""
    notebook = read(path)
    ends = [number for number, cell in enumerate(notebook.cells) if cell.source.startswith(end)]
    notebook.cells = notebook.cells[: ends[0]] if ends else notebook.cells
    nbformat.write(notebook, folder / path.name)
    return folder / path.name


@pytest.mark.parametrize(
    ("notebook", "world"),
    [pytest.param(*run, marks=() if run == DAILY else WEEKLY) for run in RUNS],
)
def test_a_notebook_in_another_world(notebook: str, world: str, tmp_path: Path) -> None:
    results = run_in_world(
        without_exercises(NOTEBOOKS / f"{notebook}.ipynb", tmp_path), world, tmp_path / "ran.ipynb"
    )
    runs = [run for run in json.loads(results.read_text("utf-8")) if run["world"] == world]
    runs = [run for run in runs if not run["switches"]]
    last: dict[str, Any] = runs[-1]

    assert {run["state"] for run in runs} == {"success"}
    assert set(last["tasks"].values()) == {"success"}
    pushed = {xcom["task_id"]: xcom["value"] for xcom in last["xcoms"]}
    for service, line in WORLDS[world].items():
        assert pushed[f"gcp_service_list_instances_{service}"] == line

    fields = expected_fields(world)
    if "send_slack_msg_task" in last["tasks"]:
        green, blue = last["slack"][-1]["attachments"]
        assert [(f["title"], f["value"]) for f in green["fields"] + blue["fields"]] == [
            (title, "".join(f"`{name}`\n" for name in names) or "-") for title, names in fields
        ]
        assert len(blue["fields"]) == sum(not names for _, names in fields)
    if "send_email" in last["tasks"]:
        mail = last["mails"][-1]
        assert mail["to"] == ["ops@example.com"]
        assert mail["html"] == "".join(
            f"<b>{title}</b>:<br>" + "".join(f"{name}<br>" for name in names or ["-"]) + "<br>"
            for title, names in fields
        )
    assert len(last["tasks"]) == {"03_list_instances": 4, "04_slack": 5}.get(notebook, 7)


@pytest.mark.parametrize("world", QUIET_AND_DENIED)
def test_concepts_in_another_world(world: str, tmp_path: Path) -> None:
    """It stops one machine, which these worlds do not show; all else is the same in each world."""
    copy = without_exercises(NOTEBOOKS / "02_concepts.ipynb", tmp_path)
    results = run_in_world(copy, world, tmp_path / "ran.ipynb")
    runs = json.loads(results.read_text("utf-8"))
    assert {run["world"] for run in runs} == {world}
    states = [run["tasks"] for run in runs]
    assert {"never": "skipped", "this_file": "success"} in states
    assert {"moment": "success"} in states
    assert {"stop": "failed", "stopped": "upstream_failed"} in states
    assert {"copy": "success"} in states
    assert {"in_place": "failed", "atomic": "failed"} in states


@pytest.mark.parametrize("world", QUIET_AND_DENIED)
def test_why_airflow_in_another_world(world: str, tmp_path: Path) -> None:
    """It lists Cloud SQL alone, which both worlds have."""
    name = "01_why_airflow"
    copy = without_exercises(NOTEBOOKS / f"{name}.ipynb", tmp_path)
    results = run_in_world(copy, world, tmp_path / "ran.ipynb")
    runs = json.loads(results.read_text("utf-8"))
    assert {run["world"] for run in runs} == {world}
    (nightly,) = [run for run in runs if "slack" in run["tasks"]]
    assert nightly["tasks"] == {"databases": "success", "slack": "success", "mail": "success"}
    assert [message["text"] for message in nightly["slack"]] == ["orders-db"]
    assert len(nightly["mails"]) == 1


@pytest.mark.parametrize("world", QUIET_AND_DENIED)
def test_complex_dags_in_another_world(world: str, tmp_path: Path) -> None:
    """Few instances: the branch goes the other way; what fails in a pipe stays green."""
    # What slide 50 measures does not look at the world, and takes long.
    copy = without_exercises(NOTEBOOKS / "07_complex_dags.ipynb", tmp_path, "## Slide 50")
    runs = json.loads(run_in_world(copy, world, tmp_path / "ran.ipynb").read_text("utf-8"))
    assert {run["world"] for run in runs} == {world}
    states = [run["tasks"] for run in runs]
    (ways,) = [found for found in states if "alarm" in found]
    assert (ways["alarm"], ways["note"], ways["send"]) == ("skipped", "success", "success")
    assert {"rent_a_machine": "success", "train": "failed", "give_it_back": "success"} in states
    (company,) = [found for found in states if "report" in found]
    assert set(company.values()) == {"success"}


@WEEKLY
@pytest.mark.parametrize(("world", "unread"), [("quiet", False), ("denied", True)])
def test_today_in_another_world(world: str, unread: bool, tmp_path: Path) -> None:
    """It says what it could not read, in every message and mail."""
    # The tests that follow bring their own worlds.
    copy = without_exercises(NOTEBOOKS / "12_gcp_spy_today.ipynb", tmp_path, "## Its tests")
    runs = json.loads(run_in_world(copy, world, tmp_path / "ran.ipynb").read_text("utf-8"))
    whole = [run for run in runs if "complete" in run["tasks"]]
    assert {run["world"] for run in whole} == {world}
    last = whole[-1]
    assert last["state"] == ("failed" if unread else "success")
    for told in (json.dumps(last["slack"][-1]), last["mails"][-1]["html"]):
        assert ("could not be read" in told) == unread


@pytest.mark.parametrize("world", QUIET_AND_DENIED)
def test_composer_in_another_world(world: str, tmp_path: Path) -> None:
    """It runs no DAG: the bundle is the same in each world."""
    copy = without_exercises(NOTEBOOKS / "11_composer.ipynb", tmp_path)
    run_in_world(copy, world, tmp_path / "ran.ipynb")
    said = (tmp_path / "ran.ipynb").read_text("utf-8")
    assert f"world '{world}'" in said and "It imports in an Airflow of its own" in said


@pytest.mark.parametrize("world", QUIET_AND_DENIED)
def test_test_your_dags_in_another_world(world: str, tmp_path: Path) -> None:
    """It looks at no instance: each run is the same in each world."""
    # Two programs of pytest follow, each with an Airflow of its own that knows no world.
    copy = without_exercises(NOTEBOOKS / "14_test_your_dags.ipynb", tmp_path, "## Tests for pytest")
    runs = json.loads(run_in_world(copy, world, tmp_path / "ran.ipynb").read_text("utf-8"))
    assert {run["world"] for run in runs} == {world}
    states = [run["tasks"] for run in runs]
    assert states[:3] == [{"look_up": state} for state in ("failed", "success", "success")]
    assert {"wait_for_prices": "success", "look_up": "success"} in states
    assert {"texts": "success", "post": "upstream_failed"} in states
    assert [found["post"] for found in states if set(found) == {"post"}] == [
        "success", "success", "failed",
    ]  # fmt: skip
    assert states[-1] == {"total": "success"}
    assert not runs[-1]["slack"]


@pytest.mark.parametrize("world", QUIET_AND_DENIED)
def test_from_2_to_3_in_another_world(world: str, tmp_path: Path) -> None:
    """It looks at no instance: each run is the same in each world."""
    # What follows shows what Airflow's classes say, and runs nothing.
    until = "## The date of a cron run"
    copy = without_exercises(NOTEBOOKS / "15_from_2_to_3.ipynb", tmp_path, until)
    runs = json.loads(run_in_world(copy, world, tmp_path / "ran.ipynb").read_text("utf-8"))
    assert {run["world"] for run in runs} == {world}
    first, second, counted, undated, dated = (run["tasks"] for run in runs)
    assert first == {"export": "success", "tell": "failed", "count_runs": "upstream_failed"}
    assert set(second.values()) == set(counted.values()) == {"success"}
    assert undated == dated | {"in_a_template": "failed"}
    assert set(dated.values()) == {"success"}
