"""Every step of the DAG file: it is clean, it loads without a connection, and it runs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workshop import show
from workshop.ground import ROOT
from workshop.ground.cells import OWN_FILE, Step, code_cells, read_steps
from workshop.slides import Builder, assemble

STEPS = read_steps()
FIRST_SLIDE = min(step.slide for step in STEPS)


def prefixes() -> list[dict[str, str]]:
    """Return the sources of the file after each step."""
    sources: dict[str, str] = {}
    return [sources := sources | {step.part: step.source} for step in STEPS]


def own_dag_files() -> dict[str, str]:
    """Return the `%%dag` cells of the notebooks, by notebook, number and name."""
    found = {}
    for notebook, number, cell in code_cells():
        source = "".join(cell["source"])
        if magic := OWN_FILE.match(source):
            found[f"{notebook}-{number}-{magic[1]}"] = source[magic.end() :].rstrip() + "\n"
    return found


def test_steps_follow_the_talk() -> None:
    slides = [step.slide for step in STEPS]
    assert slides == sorted(slides)


def test_each_step_changes_the_file() -> None:
    texts = [assemble(sources).text for sources in prefixes()]
    same = [
        step
        for step, text, before in zip(STEPS[1:], texts[1:], texts, strict=False)
        if text == before
    ]
    assert not same, "these cells write what stood there already"


def test_each_step_is_in_the_usual_style(tmp_path: Path) -> None:
    texts = {f"step_{n:02}": assemble(sources).text for n, sources in enumerate(prefixes())}
    # Until a later slide uses it an import or a constant stands alone: no F401 here.
    for name, text in (texts | own_dag_files()).items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache", str(tmp_path)]
    rules = ["--ignore", "F401,UP032,INP001,AIR001"]
    narrow = ["--config", "line-length = 88"]  # what a projector shows without scrolling
    for command in (
        [*ruff, "check", *rules, *config],
        [*ruff, "format", "--check", *config, *narrow],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.weekly
def test_each_step_runs(lab: Any, monkeypatch: Any) -> None:
    names: dict[str, Any] = {}
    builder = Builder(names)
    for step in STEPS:
        said = builder.write(step.slide, step.part, step.source)
        assert said.startswith("gcp_spy.py · "), step
        if "dag" in names:
            run = names["dag"].test()
            assert run.state == "success", (step, show.tasks(run).to_string())
            assert set(show.tasks(run)["task"]) == set(names["dag"].task_ids)


@pytest.mark.parametrize("slide", range(FIRST_SLIDE, 48))
def test_catching_up_gives_the_file_of_that_slide(lab: Any, slide: int) -> None:
    builder = Builder({})
    said = builder.catch_up(slide)
    assert said.startswith(f"As after slide {slide}: gcp_spy.py")
    expected = assemble({s.part: s.source for s in STEPS if s.slide <= slide}).text
    assert (lab.dags / "gcp_spy.py").read_text(encoding="utf-8") == expected


def test_no_step_connects_or_queries_when_it_is_read(lab: Any, monkeypatch: Any) -> None:
    import socket

    import sqlalchemy.engine

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a DAG file connected while it was being read")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(sqlalchemy.engine.Engine, "connect", refuse)
    for sources in prefixes():
        exec(compile(assemble(sources).text, "step.py", "exec"), {"__name__": "step"})


def test_steps_name_their_cell() -> None:
    assert all(step.notebook.endswith(".ipynb") and step.cell > 0 for step in STEPS)
    assert isinstance(STEPS[0], Step)
