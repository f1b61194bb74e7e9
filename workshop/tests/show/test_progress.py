"""The one bar of the workbook: seen by people, silent elsewhere, gone at the end."""

import threading
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from workshop.ground import Problem
from workshop.show import Progress, wait_for_airflow


@pytest.fixture
def seen(monkeypatch: Any) -> Any:
    """Let it look as if a person sat before a notebook."""
    monkeypatch.delenv("WORKSHOP_HEADLESS", raising=False)
    InteractiveShell.instance()
    yield
    InteractiveShell.clear_instance()


def shown(captured: Any) -> list[str]:
    return [output.data["text/html"] for output in captured.outputs]


def test_a_text_and_a_bar_are_shown_and_go(seen: Any) -> None:
    with capture_output() as captured, Progress() as progress:
        progress.show("two <lines>\nof text")
        progress.show("two <lines>\nof text")
        progress.show("half", 2, 4)
    assert shown(captured) == [
        "two &lt;lines&gt;<br>of text",
        '<progress max="4" value="2"></progress> half',
        "",
    ]


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


def test_the_start_of_airflow_has_a_bar(seen: Any) -> None:
    warm = threading.Event()
    threading.Timer(1, warm.set).start()
    with capture_output() as captured:
        wait_for_airflow(warm)
    *bars, last = shown(captured)
    assert bars and all(bar.endswith("Airflow starts, once a notebook") for bar in bars)
    assert last == ""
