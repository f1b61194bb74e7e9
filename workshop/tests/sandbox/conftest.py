"""A world that a test writes itself, and what the stand-in for gcloud prints in it."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from workshop import sandbox
from workshop.sandbox.gcloud.program import main
from workshop.tests.sandbox.real_gcloud import Printed


@pytest.fixture
def enter(lab: Any, work_in: Path) -> Any:
    """Return a function that enters a world given as YAML."""

    def enter(text: str) -> str:
        (work_in / "worlds").mkdir(exist_ok=True)
        (work_in / "worlds" / "mine.yaml").write_text(text, encoding="utf-8")
        return sandbox.enter("mine")

    return enter


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: Any, capsys: Any) -> Any:
    """Return a function that runs the stand-in in this process, for a world and a command line."""

    def printed(world: str, line: str) -> Printed:
        (tmp_path / "world.yaml").write_text(world, encoding="utf-8")
        (tmp_path / "faults.json").write_text("{}", encoding="utf-8")
        monkeypatch.setenv("CLOUDSDK_CONFIG", "CONFIG")
        files = [str(tmp_path / "world.yaml"), str(tmp_path / "faults.json")]
        monkeypatch.setattr("sys.argv", ["gcloud", *files, *shlex.split(line)])
        status = main()
        out, err = capsys.readouterr()
        return out, err, status

    return printed
