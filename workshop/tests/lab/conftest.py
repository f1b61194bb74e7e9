"""A shell of IPython that runs cells."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from workshop.slides import magics


@pytest.fixture
def cell(lab: Any) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Return a function that runs a cell in a shell of IPython, and returns the shell's names."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    magics.load_ipython_extension(shell)

    def run(source: str) -> dict[str, Any]:
        # As in a kernel: while a cell runs, an event loop runs.
        async def within() -> None:
            shell.run_cell(source, store_history=True).raise_error()

        asyncio.run(within())
        names: dict[str, Any] = shell.user_ns
        return names

    yield run
    InteractiveShell.clear_instance()
