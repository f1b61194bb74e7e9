"""The learner's working copy: never overwritten, caught up, put back; and the other editions."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from workshop import editions, guard, headless, slides, talk, workcopy
from workshop.lab import ROOT
from workshop.problem import Problem
from workshop.slides import NOTEBOOKS
from workshop.tests.test_lab import environment

NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
BUILT = [slide.number for slide in talk.read_slides() if slide.is_built]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return workcopy.make(tmp_path / "my copy ż")


def workshop(*words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "workshop", *words]
    return subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_a_copy_is_made_once_and_never_overwritten(copy: Path) -> None:
    assert sorted(path.name for path in copy.glob("*.ipynb")) == NAMES
    (copy / NAMES[1]).write_text("mine")
    (copy / "worlds" / "talk.yaml").write_text("mine")
    (copy / NAMES[2]).rename(copy / "renamed.ipynb")
    workcopy.note_solved(copy, "weekdays")
    workcopy.make(copy)
    assert (copy / NAMES[1]).read_text() == (copy / "worlds" / "talk.yaml").read_text() == "mine"
    assert (copy / "renamed.ipynb").exists()
    assert (copy / NAMES[2]).exists()
    assert workcopy.solved(copy) == {"weekdays"}


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
    assert said.stderr.startswith("There is no notebook '04_slak'. The notebooks are: 00_index")


@pytest.mark.parametrize("slide", BUILT)
def test_caught_up_at_each_slide_every_name_is_known(copy: Path, slide: int) -> None:
    before = (copy / "04_slack.ipynb").read_text()
    path = workcopy.catch_up(slide, copy)
    assert path.name.endswith(f"-from-{slide}.ipynb")
    cells = [cell for cell in headless.read(path).cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in cells)
    plain = [cell.source for cell in cells if not cell.source.startswith("%%")]
    files = [cell.source for cell in cells if cell.source.startswith("%%dag")]
    files += [step.source for step in slides.read_steps()]
    names = set(re.findall(r"\w+", "\n".join(files)))
    code = re.sub(r"^!.*$", "", "\n\n".join(plain), flags=re.MULTILINE)
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821",
            "--config", f"builtins = {json.dumps(sorted(names))}", "-"]  # fmt: skip
    done = subprocess.run(ruff, input=code, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert (copy / "04_slack.ipynb").read_text() == before


@pytest.mark.parametrize("slide", [7, 14, 27, 43])
def test_a_caught_up_notebook_runs(copy: Path, slide: int) -> None:
    path = workcopy.catch_up(slide, copy)
    notebook = headless.read(path)
    headless.execute(notebook, copy)
    assert workcopy.catch_up(slide, copy).name.endswith(f"-from-{slide}-2.ipynb")


def test_a_slide_without_a_notebook_is_one_sentence(copy: Path) -> None:
    for slide in ("99", "0"):
        said = workshop("catch-up", slide, "--folder", str(copy))
        assert said.returncode == 1
        assert f"There is no notebook for slide {slide}: the notebooks that are" in said.stderr
    assert "invalid int value: 'x'" in workshop("catch-up", "x").stderr


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


def test_no_file_of_the_checkout_is_a_mirror(lab: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(NOTEBOOKS)
    slides.Builder({}).catch_up(31)
    assert not (NOTEBOOKS / "dags").exists()


def test_the_room_s_edition_has_no_outputs_and_no_solutions(tmp_path: Path) -> None:
    for path in workcopy.blank(tmp_path / "blank"):
        notebook = headless.read(path)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        text = path.read_text(encoding="utf-8")
        assert "%%solution" not in text
        assert "Solution</summary>" not in text
        assert ("### Exercise · " in text) == (path.name != "00_index.ipynb")
        assert guard._links(notebook, path.stem) == []
    assert (tmp_path / "blank" / "worlds" / "talk.yaml").exists()


def test_the_site_asks_for_nothing_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    first = editions.site(tmp_path / "site")
    pages = {path.name: path.read_text(encoding="utf-8") for path in first.parent.glob("*.html")}
    assert len(pages) == len(NAMES)
    for name, text in pages.items():
        assert not re.findall(r'(?:src|href)="https?://(?!airflow|slack)[^"]*\.(?:js|css)', text)
        assert ".ipynb" not in "".join(re.findall(r'href="([^"]+)"', text)), name
        for target in re.findall(r'href="([\w.]+\.html)"', text):
            assert target in pages
        assert "<img" in text or name == "index.html"
        assert "prefers-color-scheme: dark" in text
    assert pages["04_slack.html"].count("<summary>Solution</summary>") == 2


def test_the_plans_cover_all_slides_and_add_up(tmp_path: Path) -> None:
    rows = talk.read_slides()
    assert [row.number for row in rows] == list(range(1, 58))
    for notebook in talk.read_notebooks():
        planned = sum(row.minutes for row in rows if row.notebook == notebook["notebook"])
        assert notebook["minutes"] in (f"{planned:g}", "–")
    assert sum(row.minutes for row in rows) == 75
    assert sum(row.short for row in rows) == 40
    assert all((row.short > 0) == (row.short_how in ("live", "told")) for row in rows)
    assert all(row.how == "live" for row in rows if row.short_how == "live")
    assert all(row.note for row in rows)
    page = editions.notes(tmp_path / "notes.html").read_text(encoding="utf-8")
    assert page.count('<tr id="slide-') == 57
    assert "75 minutes and 40 minutes" in page


def test_the_stage_opens_at_a_slide(copy: Path) -> None:
    assert workcopy.stage(16, copy).name == "03_list_instances.ipynb"
    assert workcopy.stage(36, copy).name == "04_slack-from-36.ipynb"
    with pytest.raises(Problem, match="no notebook for slide 99"):
        workcopy.stage(99, copy)


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
