"""Prepare pytest for all forks of `make mutants`."""

import os
from typing import Any

import pytest

from workshop.kernels.warm import make_ready

COUNTED = "MUTANT_UNDER_TEST"  # mutmut's variable; it says what a process counts or changes
JUDGES = "workshop.exercises.notebooks."


def pytest_sessionstart() -> None:
    """Count in this process alone: a program that a test starts would ask for mutmut's settings."""
    if os.environ.get(COUNTED) == "stats":
        del os.environ[COUNTED]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: Any) -> None:
    """Let a weekly test count for the judges alone: most of their answers are weekly.

    Else each fault in what runs a DAG would have all of them run.
    """
    if item.get_closest_marker("weekly"):
        from mutmut.state import state

        reached = state()._stats
        reached -= {name for name in reached if not name.startswith(JUDGES)}


def pytest_sessionfinish(session: Any) -> None:
    """Put a warm Airflow aside, when nothing was run and so nothing is there yet."""
    if session.config.option.collectonly:
        make_ready()
