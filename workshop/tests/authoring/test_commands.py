"""The command line, from outside: what it prints, what it writes, and what it says when wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from workshop.__main__ import APP
from workshop.ground import NOTEBOOKS, ROOT
from workshop.slides.workcopy import make

COMMANDS = typer.main.get_command(APP).commands  # type: ignore[attr-defined]


def workshop(*words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "workshop", *words]
    return subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return make(tmp_path / "my copy ż")


def test_another_copy_is_made_where_one_says(tmp_path: Path) -> None:
    said = workshop("start", str(tmp_path / "second copy"))
    assert "Open them: .venv/bin/workshop lab --folder" in said.stdout
    assert (tmp_path / "second copy" / "03_list_instances.ipynb").exists()
    (tmp_path / "file").write_text("")
    said = workshop("start", str(tmp_path / "file"))
    assert said.returncode == 1
    assert "cannot be written" in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_a_notebook_is_put_back_and_the_learner_s_is_kept(copy: Path) -> None:
    for number, name in ((1, "04_slack-mine.ipynb"), (2, "04_slack-mine-2.ipynb")):
        (copy / "04_slack.ipynb").write_text(f"mine {number}")
        said = workshop("reset", "04_slack.ipynb", "--folder", str(copy))
        assert name in said.stdout
        assert (copy / name).read_text() == f"mine {number}"
        assert (copy / "04_slack.ipynb").read_text() == (NOTEBOOKS / "04_slack.ipynb").read_text()
    said = workshop("reset", "04_slak", "--folder", str(copy))
    assert said.stderr.startswith("There is no notebook '04_slak'. Did you mean '04_slack'?")


def test_a_slide_without_a_notebook_is_one_sentence(copy: Path) -> None:
    for slide in ("99", "0"):
        said = workshop("catch-up", slide, "--folder", str(copy))
        assert said.returncode == 1
        assert said.stderr.startswith(f"There is no slide {slide}: the talk has the slides 1 to ")
    assert "'slide': Input should be a valid integer" in workshop("catch-up", "x").stderr


def test_help_lists_the_commands_and_describes_their_words() -> None:
    said = workshop("--help")
    assert said.returncode == 0
    assert set(COMMANDS) <= set(said.stdout.split())
    assert "..." not in said.stdout.partition("Commands:")[2], "a first line is too long"
    assert "completion" not in said.stdout
    assert "Where you want to go on." in workshop("catch-up", "--help").stdout
    assert "all without a name" in workshop("record", "--help").stdout
    assert workshop().stderr == said.stdout, "a command is missing"


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["recrod"], "Did you mean 'record', 'record-ui'?"),
        (["lab", "--foldr", "work"], "--folder"),
        (["record", "11_compser"], "Did you mean '11_composer'?"),
    ],
)
def test_a_wrong_word_names_the_nearest(words: list[str], nearest: str) -> None:
    said = workshop(*words)
    assert said.returncode in (1, 2)
    assert nearest in said.stderr
    assert "Traceback" not in said.stderr
