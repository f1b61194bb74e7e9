"""Prepare pytest for all forks of `make mutants`."""

import os
from typing import Any

from workshop.kernels.warm import make_ready

COUNTED = "MUTANT_UNDER_TEST"  # mutmut's variable; it says what a process counts or changes


def pytest_sessionstart() -> None:
    """Count in this process alone: a program that a test starts would ask for mutmut's settings."""
    if os.environ.get(COUNTED) == "stats":
        del os.environ[COUNTED]


def pytest_sessionfinish(session: Any) -> None:
    """Put a warm Airflow aside, when nothing was run and so nothing is there yet."""
    if session.config.option.collectonly:
        make_ready()
