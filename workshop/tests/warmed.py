"""Warm Airflow once for all forks of `make mutants`: pytest collects, then the process forks."""

from typing import Any

from workshop.kernels.warm import make_ready


def pytest_sessionfinish(session: Any) -> None:
    """Put a warm Airflow aside, when nothing was run and so nothing is there yet."""
    if session.config.option.collectonly:
        make_ready()
