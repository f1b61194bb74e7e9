"""A world that a test writes itself."""

from pathlib import Path
from typing import Any

import pytest

from workshop import sandbox


@pytest.fixture
def enter(lab: Any, work_in: Path) -> Any:
    """Return a function that enters a world given as YAML."""

    def enter(text: str) -> str:
        (work_in / "worlds").mkdir(exist_ok=True)
        (work_in / "worlds" / "mine.yaml").write_text(text, encoding="utf-8")
        return sandbox.enter("mine")

    return enter
