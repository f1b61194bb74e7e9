"""What the tests of the exercises share."""

from pathlib import Path
from typing import Any

import pytest

from workshop import sandbox
from workshop.lab import current
from workshop.slides import Builder, workcopy


@pytest.fixture
def builder(lab: Any, work_in: Path) -> Builder:
    """Start the workbook in a new working copy, in the world `talk`, with no slide run yet."""
    workcopy.make(work_in)
    sandbox.enter("talk")
    return current().put(Builder({}))
