"""How tests are handed out: whole scopes, the longest first."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nbval import plugin as nbval_plugin
from nbval.kernel import RunningKernel

from workshop.authoring.checking.headless import SECONDS_A_CELL
from workshop.ground import ROOT
from workshop.tests import outcome, plugin

WORLDS = "workshop/tests/authoring/test_worlds.py"


def ordered(monkeypatch: Any, table: Path, *nodeids: str) -> list[str]:
    """Return tests in the order in which they are handed out."""
    monkeypatch.setattr(plugin, "DURATIONS", table)
    items = [SimpleNamespace(nodeid=it, path=Path(it.partition("::")[0])) for it in nodeids]
    plugin.pytest_collection_modifyitems(items)
    return [item.nodeid for item in items]


def test_the_longest_comes_first_and_what_is_new_in_the_middle(
    tmp_path: Path, monkeypatch: Any
) -> None:
    table = tmp_path / "durations.csv"
    table.write_text("scope,seconds\nshort.py,1\nlong.py,90\nother.py,5\n", encoding="utf-8")
    given = ("short.py::a", "short.py::b", "new.py::a", "new.py::b", "long.py::a", "long.py::b")
    assert ordered(monkeypatch, table, *given) == [*given[4:], *given[2:4], *given[:2]]


def test_the_cells_of_some_notebooks_wait_a_week() -> None:
    marks: list[str] = []
    for name in ("08_local_executor", "10_kubernetes_executor"):
        path = Path(f"notebooks/{name}.ipynb")
        cell = SimpleNamespace(nodeid=f"{path}::Cell 0", path=path, add_marker=marks.append)
        plugin.pytest_collection_modifyitems([cell])
    assert marks == ["weekly"]


def test_the_cells_of_a_notebook_share_a_worker_and_each_other_world_has_its_own() -> None:
    cells = {plugin.scope(f"notebooks/04_slack.ipynb::Cell {n}") for n in range(3)}
    assert cells == {"notebooks/04_slack.ipynb"}
    assert len({plugin.scope(f"{WORLDS}::test_a[{world}]") for world in ("quiet", "busy")}) == 2


def test_a_new_kernel_has_long_for_its_first_answer(monkeypatch: Any) -> None:
    waited: list[Any] = []

    def answer(timeout: Any) -> dict[str, Any]:
        waited.append(timeout)
        return {}

    patient = outcome.PatientKernel.__new__(outcome.PatientKernel)
    patient.kc = SimpleNamespace(get_shell_msg=answer)
    monkeypatch.setattr(
        RunningKernel, "_ensure_iopub_up", lambda self: self.get_message("shell", timeout=10)
    )
    patient._ensure_iopub_up()
    patient.get_message("shell", timeout=30)
    assert waited == [SECONDS_A_CELL, 30], "then the limit of a cell is what was asked for"
    assert nbval_plugin.RunningKernel is outcome.PatientKernel


def test_what_a_run_took_is_written_by_scope(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(plugin, "DURATIONS", tmp_path / "durations.csv")
    took = {"a.py::one": 1.2, "a.py::two": 0.5, f"{WORLDS}::test_a[quiet]": 30.1}
    plugin.write_durations([SimpleNamespace(nodeid=it, duration=took[it]) for it in took])
    assert plugin.read_durations() == {f"{WORLDS}::test_a[quiet]": 30, "a.py": 2}


def test_the_table_names_what_is_there() -> None:
    paths = {name.split("::")[0] for name in plugin.read_durations()}
    assert not [path for path in paths if not (ROOT / path).is_file()]
