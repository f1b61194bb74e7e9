"""The learner's working copy: never overwritten, and caught up."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workshop import slides
from workshop.authoring.checking.headless import execute, read
from workshop.ground import NOTEBOOKS, Problem, learner, talk
from workshop.ground.cells import read_steps
from workshop.slides import workcopy
from workshop.tests.lab.test_lab import environment

NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
ALL = [slide.number for slide in talk.read_slides()]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return workcopy.make(tmp_path / "my copy ż")


def test_a_copy_is_made_once_and_never_overwritten(copy: Path) -> None:
    assert sorted(path.name for path in copy.glob("*.ipynb")) == NAMES
    (copy / NAMES[1]).write_text("mine")
    (copy / "worlds" / "talk.yaml").write_text("mine")
    (copy / NAMES[2]).rename(copy / "renamed.ipynb")
    learner.note_solved(copy, "weekdays")
    workcopy.make(copy)
    assert (copy / NAMES[1]).read_text() == (copy / "worlds" / "talk.yaml").read_text() == "mine"
    assert (copy / "renamed.ipynb").exists()
    assert (copy / NAMES[2]).exists()
    assert learner.solved(copy) == {"weekdays"}


def test_what_jupyterlab_leaves_beside_the_notebooks_is_not_copied(
    tmp_path: Path, monkeypatch: Any
) -> None:
    source = tmp_path / "notebooks"
    (source / ".ipynb_checkpoints").mkdir(parents=True)
    (source / "one.ipynb").write_text("{}")
    monkeypatch.setattr(workcopy, "NOTEBOOKS", source)
    copy = workcopy.make(tmp_path / "copy")
    assert [path.name for path in copy.glob("*.ipynb*")] == ["one.ipynb"]


@pytest.mark.parametrize("slide", ALL)
def test_caught_up_at_each_slide_every_name_is_known(copy: Path, slide: int) -> None:
    before = (copy / "04_slack.ipynb").read_text()
    path = workcopy.catch_up(slide, copy)
    assert path.name.endswith(f"-from-{slide}.ipynb")
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in cells)
    plain = [cell.source for cell in cells if not cell.source.startswith("%%")]
    files = [cell.source for cell in cells if cell.source.startswith("%%dag")]
    files += [step.source for step in read_steps()]
    names = set(re.findall(r"\w+", "\n".join(files)))
    code = re.sub(r"^[!%].*$", "", "\n\n".join(plain), flags=re.MULTILINE)
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821",
            "--config", f"builtins = {json.dumps(sorted(names))}", "-"]  # fmt: skip
    done = subprocess.run(ruff, input=code, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert (copy / "04_slack.ipynb").read_text() == before


@pytest.mark.weekly
@pytest.mark.parametrize("slide", [7, 14, 27, 43])
def test_a_caught_up_notebook_runs(copy: Path, slide: int) -> None:
    path = workcopy.catch_up(slide, copy)
    notebook = read(path)
    execute(notebook, copy)
    assert workcopy.catch_up(slide, copy).name.endswith(f"-from-{slide}-2.ipynb")


def test_the_growing_file_stands_in_the_copy_read_only(
    lab: Any, copy: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(copy)
    builder = slides.Builder({})
    builder.catch_up(31)
    mirrored = copy / "dags" / "gcp_spy.py"
    assert mirrored.read_text() == (lab.dags / "gcp_spy.py").read_text()
    assert mirrored.stat().st_mode & 0o222 == 0
    builder.catch_up(47)
    assert mirrored.read_text() == (lab.dags / "gcp_spy.py").read_text()
    assert [path.name for path in mirrored.parent.iterdir()] == ["gcp_spy.py"]


def test_two_open_notebooks_that_write_one_file_say_so(
    lab: Any, copy: Path, monkeypatch: Any, capsys: Any
) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom workshop.slides.workcopy import mirror\n"
        "for line in sys.stdin:\n    mirror(Path.cwd(), 'gcp_spy.py', line)\n"
        "    print('written', flush=True)\n"
    )

    def write(notebook: subprocess.Popen[str]) -> list[str]:
        """Let another process write the file, and return what it says."""
        assert notebook.stdin and notebook.stdout
        notebook.stdin.write("x = 1\n")
        notebook.stdin.flush()
        said = iter(notebook.stdout.readline, "written\n")
        return list(said)

    monkeypatch.chdir(copy)
    builder = slides.Builder({})
    builder.catch_up(25)
    builder.catch_up(31)
    assert capsys.readouterr().out == ""
    words = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=copy, **pipes) as other:  # type: ignore[call-overload]
        (said,) = write(other)
        assert said.startswith("dags/gcp_spy.py was another open notebook's.")
        assert write(other) == []  # nobody wrote in between
        builder.catch_up(25)
        assert capsys.readouterr().out == said
        write(other)
        other.stdin.close()
    builder.catch_up(31)  # the other one has ended
    assert capsys.readouterr().out == ""
    assert (copy / "dags" / "gcp_spy.py").read_text() == (lab.dags / "gcp_spy.py").read_text()


def test_a_dag_file_of_the_learner_s_own_stays(lab: Any, copy: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(copy)
    mine = copy / "dags" / "gcp_spy.py"
    mine.parent.mkdir()
    for mode in (0o644, 0o464, 0o446):  # the user, the group, or others may write it
        mine.write_text("mine")
        mine.chmod(mode)
        slides.Builder({}).catch_up(31)
        assert mine.read_text() == "mine"
    mine.chmod(0o444)
    slides.Builder({}).catch_up(31)
    assert "GCP_SERVICES" in mine.read_text()


@pytest.mark.parametrize("slide", [14, 31, 44])
def test_a_caught_up_notebook_begins_as_its_lesson_and_goes_on_at_the_slide(
    copy: Path, slide: int
) -> None:
    row = talk.slide_of(slide)
    lesson, made = read(copy / f"{row.notebook}.ipynb"), read(workcopy.catch_up(slide, copy))
    sources = [[cell.source for cell in notebook.cells] for notebook in (lesson, made)]
    headed = [[n for n, text in enumerate(texts) if text.startswith("## Slide")]
              for texts in sources]  # fmt: skip
    bridge = f"This notebook goes on at slide {slide}."
    begun = headed[0][0]
    assert sources[1][: begun + 1] == [*sources[0][:begun], bridge]
    first = headed[1][0]
    assert slide in workcopy.slides_headed(made.cells[first])
    assert sources[1][first:] == sources[0][sources[0].index(sources[1][first]) :]
    assert not any(cell.source.startswith("## ") for cell in made.cells[begun:first])


def test_no_file_of_the_checkout_is_a_mirror(lab: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(NOTEBOOKS)
    slides.Builder({}).catch_up(31)
    assert not (NOTEBOOKS / "dags").exists()


STAGE = """\
from workshop import start, stored
start()
from IPython import get_ipython
cell = "run = dag.test()\\ndraw(run)"
for source in (cell, "stored()", "stored()"):
    get_ipython().run_cell(source, store_history=True)
"""


def test_a_cell_that_fails_on_stage_shows_what_is_stored(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--colors=nocolor", "--no-banner", "-c", STAGE],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert "NameError: name 'dag' is not defined" in done.stdout
    assert "Stored in 03_list_instances.ipynb, not run now:" in done.stdout
    assert "gcp_service_list_instances_sql [success]" in done.stdout
    assert "Nothing is stored: the cell that ran before this one" in done.stdout


@pytest.mark.parametrize("name", ["04_slack", "04_slack.ipynb", "notebooks/04_slack.ipynb"])
def test_a_notebook_is_put_back_and_the_learner_s_is_kept(copy: Path, name: str) -> None:
    lesson, original = copy / "04_slack.ipynb", (NOTEBOOKS / "04_slack.ipynb").read_text("utf-8")
    for number in ("", "-2", "-3"):
        lesson.write_text(f"mine{number}", encoding="utf-8")
        kept = workcopy.reset(name, copy)
        assert kept == copy / f"04_slack-mine{number}.ipynb"
        assert kept.read_text("utf-8") == f"mine{number}"
        assert lesson.read_text("utf-8") == original
    lesson.unlink()
    assert not workcopy.reset(name, copy).exists()
    assert lesson.read_text("utf-8") == original


def test_no_notebook_of_that_name_is_one_sentence(copy: Path) -> None:
    with pytest.raises(Problem, match=r"There is no notebook '04_slak'.*'04_slack'"):
        workcopy.reset("04_slak", copy)
