"""How pytest runs here: always in the sandbox, one notebook to a worker."""

import csv
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import pytest
from xdist.scheduler import LoadScopeScheduling

from workshop import sandbox
from workshop.authoring.checking.headless import force_sandbox
from workshop.ground import BUILD, talk
from workshop.lab import Home, Warming, current
from workshop.sandbox.world import Sandbox
from workshop.slides import Builder

DURATIONS = Path(__file__).with_name("durations.csv")
MEASURE = pytest.StashKey[str]()
COPIED = "test_gcp_spy_today.py"  # a cell of notebook 12 runs it, alone as in a reader's folder


def scope(nodeid: str) -> str:
    """Return what a worker gets whole: a file, since the cells of a notebook share a kernel.

    The runs in other worlds are the long ones, and each stands alone.
    """
    path = nodeid.split("::")[0]
    return nodeid if path.endswith("test_worlds.py") else path


def read_durations() -> dict[str, float]:
    """Return how many seconds each scope took when `durations.csv` was written."""
    with DURATIONS.open(encoding="utf-8", newline="") as file:
        return {row["scope"]: float(row["seconds"]) for row in csv.DictReader(file)}


def write_durations(reports: list[Any]) -> None:
    """Write anew what each scope took, by the reports of a whole run."""
    seconds: dict[str, float] = defaultdict(float)
    for report in reports:
        seconds[scope(report.nodeid)] += report.duration
    longest_first = sorted(seconds.items(), key=lambda row: (-round(row[1]), row[0]))
    with DURATIONS.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["scope", "seconds"])
        rows.writerows((name, round(took)) for name, took in longest_first)


def pytest_configure(config: Any) -> None:
    """Forget everything real before the first test, in each worker."""
    force_sandbox()
    config.stash[MEASURE] = os.environ.pop("DURATIONS", "")  # not for the runs within tests
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(BUILD / "hypothesis")


def pytest_ignore_collect(collection_path: Path, config: Any) -> bool | None:
    """Leave the notebooks with clusters to `make check-executors`."""
    with_clusters = collection_path.stem in talk.with_clusters()
    return True if with_clusters and "WORKSHOP_EXECUTORS" not in os.environ else None


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what has another mark
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Mark what waits a week and cannot say so, and put the longest first, so that no worker waits.

    What has no duration yet counts as one of the middle. The tests of a file stay together.
    """
    for item in items:
        if item.path.stem in talk.WEEKLY or item.path.name == COPIED:
            item.add_marker("weekly")
    durations = read_durations()
    middle = median(durations.values())
    items.sort(key=lambda item: -durations.get(scope(item.nodeid), middle))


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: Any) -> None:
    """Say what did not run here; write what each scope took, if that is wanted."""
    if "WORKSHOP_EXECUTORS" not in os.environ:
        names = ", ".join(name for name in talk.with_clusters() if name not in talk.WEEKLY)
        terminalreporter.write_line(f"Not run here: the cells of {names}. make check-executors.")
    if config.option.markexpr == "not weekly":
        names = ", ".join(talk.WEEKLY)
        terminalreporter.write_line(
            f"Not run here: the cells of {names}, the tests marked weekly. make check-weekly."
        )
    if config.stash[MEASURE] and exitstatus == 0:
        kept = [report for reports in terminalreporter.stats.values() for report in reports]
        write_durations([report for report in kept if hasattr(report, "duration")])


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Give a worker whole scopes, in the order of the collection.

    (pytest-xdist 3.8 has marks for this, `--dist=loadgroup`; pytest 9.2 does not see them.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def pytest_xdist_make_scheduler(config: Any, log: Any) -> Scheduling:
    """Distribute tests as `Scheduling` says."""
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: Any) -> Any:
    """Give this worker an Airflow of its own, in the world `talk`, warm."""
    from workshop import start

    start("talk")
    current()[Warming].wait()
    return current()[Home]


@pytest.fixture(scope="module", autouse=True)
def its_own_airflow(request: Any) -> None:
    """Give the tests that readers copy, and that therefore ask for nothing, the same Airflow."""
    if request.path.name == COPIED:
        request.getfixturevalue("lab")


@pytest.fixture(scope="module", autouse=True)
def the_talk_for_the_next() -> Iterator[None]:
    """Leave the world `talk` to the file that comes next, whatever its tests entered."""
    yield
    if current().find(Sandbox):
        sandbox.enter("talk")


@pytest.fixture
def own_environment() -> Iterator[None]:
    """Give a test that runs a command in this process variables of its own.

    Commands forget all that is real; the tests after it still want the sandbox they are in.
    """
    with patch.dict(os.environ):
        yield


@pytest.fixture
def dag_with(lab: Any) -> Callable[[int, str, str], Any]:
    """Return a function that gives the DAG as after a slide, with one part written anew."""

    def build(slide: int, part: str, source: str) -> Any:
        names: dict[str, Any] = {}
        builder = Builder(names)
        builder.catch_up(slide)
        builder.write(slide, part, source)
        return names["dag"]

    return build


@pytest.fixture
def work_in(tmp_path: Path, monkeypatch: Any) -> Path:
    """Run a test in an empty folder, as a learner's working copy is one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


pytest_plugins = ["workshop.tests.outcome"]  # what a run says of cells that failed
