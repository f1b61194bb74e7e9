"""The one bar of the workbook: seen by people, silent elsewhere, gone at the end."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import papermill
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from workshop.authoring.checking.headless import own_folders
from workshop.ground import Problem
from workshop.show import Progress, progress, wait_for_airflow


@pytest.fixture
def seen(monkeypatch: Any) -> Any:
    """Let it look as if a person sat before a notebook."""
    monkeypatch.delenv("WORKSHOP_HEADLESS", raising=False)
    InteractiveShell.instance()
    yield
    InteractiveShell.clear_instance()


def shown(captured: Any) -> list[str]:
    """Return what one output showed, one after the other; its end leaves nothing in it."""
    *before, last = captured.outputs or [None]
    assert not last or last.data == {}
    assert len({output.transient["display_id"] for output in captured.outputs}) <= 1
    assert [output.update for output in before] == [False, True, True][: len(before)]
    return [output.data["text/html"] for output in before]


def test_a_text_and_a_bar_are_shown_and_go(seen: Any) -> None:
    with capture_output() as captured, Progress() as progress:
        progress.show("two <lines>\nof text")
        progress.show("two <lines>\nof text")
        progress.show("half", 2, 4)
    assert shown(captured) == [
        "two &lt;lines&gt;<br>of text",
        '<progress max="4" value="2"></progress> half',
    ]


def test_a_block_that_shows_nothing_leaves_nothing(seen: Any) -> None:
    with capture_output() as captured, Progress():
        pass
    assert captured.outputs == []


def test_nothing_is_shown_where_nobody_looks(seen: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("WORKSHOP_HEADLESS", "1")
    with capture_output() as captured, Progress() as progress:
        progress.show("text")
    assert shown(captured) == []


def test_an_interrupt_is_the_sentence_that_was_given() -> None:
    with pytest.raises(Problem, match="Run the cell again"), Progress("Run the cell again."):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), Progress():
        raise KeyboardInterrupt


def test_the_start_of_airflow_has_a_bar(seen: Any, monkeypatch: Any) -> None:
    warm, times, answers = threading.Event(), iter([100, 101.04, 103, 109]), iter([0, 0, 0, 1])
    monkeypatch.setattr(warm, "wait", lambda seconds: next(answers))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with capture_output() as captured:
        wait_for_airflow(warm)
    bar = '<progress max="5.0" value="{}"></progress> Airflow starts, once a notebook'
    assert shown(captured) == [*map(bar.format, [1.0, 3, 5.0])]


def test_an_interrupt_meanwhile_says_that_airflow_goes_on(seen: Any, monkeypatch: Any) -> None:
    def interrupted(seconds: float) -> bool:
        assert 0 < seconds < 1, "the bar moves"
        raise KeyboardInterrupt

    warm = threading.Event()
    monkeypatch.setattr(warm, "wait", interrupted)
    with pytest.raises((Problem, KeyboardInterrupt)) as raised:  # which pytest itself would follow
        wait_for_airflow(warm)
    assert isinstance(raised.value, Problem) and raised.value.__suppress_context__
    assert str(raised.value) == "Interrupted; Airflow goes on starting. Run the cell again."


def test_papermill_keeps_what_was_printed_around_it(monkeypatch: Any, tmp_path: Path) -> None:
    for name, value in own_folders().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WORKSHOP_HEADLESS", raising=False)
    code = """
from workshop.show import Progress
print("before")
with Progress() as progress:
    progress.show("one")
    progress.show("two")
print("after")"""
    cell = nbformat.v4.new_code_cell(code)
    source, copy = tmp_path / "source.ipynb", tmp_path / "copy.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), source)
    papermill.execute_notebook(source, copy, kernel_name="python3", progress_bar=False)
    (ran,) = nbformat.read(copy, as_version=4).cells
    assert [out.get("text", out.get("data")) for out in ran.outputs] == ["before\n", {}, "after\n"]
