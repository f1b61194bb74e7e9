"""The notebooks' other editions: for a room, as a site, for the stage, and the notes."""

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import pytest

from workshop.authoring.checking.guard import complaints
from workshop.authoring.checking.headless import force_sandbox, read
from workshop.authoring.editions import replays
from workshop.authoring.editions.notes import write_notes
from workshop.authoring.editions.room import write_blank
from workshop.authoring.editions.site import as_page, write_sources
from workshop.authoring.editions.stage import ABOVE, FOLDED, stage_notebook
from workshop.ground import NOTEBOOKS, ROOT, Problem
from workshop.ground.cells import HEADING, is_solution, slides_of
from workshop.ground.talk import COURSE, objectives, prerequisites, read_notebooks, read_slides
from workshop.slides.workcopy import make

NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def test_the_room_s_edition_has_no_outputs_and_no_solutions(tmp_path: Path) -> None:
    for path in write_blank(tmp_path / "blank"):
        notebook = read(path)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        text = path.read_text(encoding="utf-8")
        assert "%%solution" not in text
        assert "Solution</summary>" not in text
        assert ("### Exercise · " in text) == (path.name != "00_index.ipynb")
        assert not [said for said in complaints(notebook, path.stem) if "a link leads" in said]
    assert (tmp_path / "blank" / "worlds" / "talk.yaml").exists()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: Any) -> Path:
    """Return a folder with what Sphinx reads."""
    folder: Path = tmp_path_factory.mktemp("site") / "source"
    write_sources(folder)
    return folder


def test_the_first_page_shows_the_objectives(sources: Path) -> None:
    first = (sources / "index.md").read_text(encoding="utf-8")
    for name in (COURSE, *(row["notebook"] for row in read_notebooks())):
        assert all(objective in first for objective in objectives(name))


def test_the_first_page_shows_what_builds_on_what(sources: Path) -> None:
    first = (sources / "index.md").read_text(encoding="utf-8")
    for needed, by in prerequisites():
        assert f"&quot;{needed}&quot; -&gt; &quot;{by}&quot;" in first


def test_each_slide_has_one_place_on_the_site_and_each_exercise_a_solution(sources: Path) -> None:
    pages = {path.name: read(path) for path in sorted(sources.glob("*.ipynb"))}
    assert sorted(["00_index.ipynb", *pages]) == NAMES
    prose = {
        name: "\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")
        for name, page in pages.items()
    }
    places = [
        (int(slide), name.removesuffix(".ipynb"))
        for name, text in prose.items()
        for slide in re.findall(r"^\(slide-(\d+)\)=$", text, re.MULTILINE)
    ]
    assert places == [(slide.number, slide.notebook) for slide in read_slides()]
    assert "(slide-16)=\n(slide-17)=\n## Slides 16–17 · " in prose["03_list_instances.ipynb"]
    for name, text in prose.items():
        assert "00_index" not in text
        solutions = re.findall(
            r"<details><summary>Solution</summary>\n\n(.*?)\n\n</details>", text, re.DOTALL
        )
        assert len(solutions) == text.count("### Exercise · "), name
        assert all(solutions), name
        assert not [solution for solution in solutions if "<details>" in solution]
        assert "JupyterLab folds them" not in text
    assert not [cell for page in pages.values() for cell in page.cells if is_solution(cell)]


@pytest.mark.parametrize("name", replays.RUNS)
def test_a_page_replays_a_run_of_its_own_graph(name: str) -> None:
    page = read(NOTEBOOKS / f"{name}.ipynb")
    shown = replays.graph_of(page, name)["text/plain"].partition("\nedges\n")[0].splitlines()
    text = (replays.BOOK / f"{name}.json").read_text(encoding="utf-8")
    recording = json.loads(text)
    assert shown[1:] == ["tasks", *(f"  {task}" for task in sorted(recording["boxes"]))]
    last = {message["task"]: message["known"]["state"] for message in recording["told"]}
    assert set(last) == set(recording["boxes"])
    assert set(last.values()) <= {"success", "skipped"}
    assert recording["run"] == "success"
    assert not [word for word in (tempfile.gettempdir(), str(ROOT), str(Path.home()))
                if f"{word}/" in text]  # fmt: skip
    as_page(page, name)
    html = replays.graph_of(page, name)["text/html"]
    assert "A recording of one run" in html and "const widget = {" in html
    assert "</b>" not in html.partition("const recording = ")[2], "it would end the script"
    page.cells = []
    with pytest.raises(Problem, match="correct RUNS"):
        replays.graph_of(page, name)


@pytest.mark.weekly
@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize("name", replays.RUNS)
def test_a_run_today_ends_as_the_recorded_one(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    shutil.copy(replays.BOOK / f"{name}.json", tmp_path)
    monkeypatch.setattr(replays, "BOOK", tmp_path)
    force_sandbox()
    assert not replays.record_run(name)
    stored = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    stored["told"][-1]["known"]["state"] = "failed"
    (tmp_path / f"{name}.json").write_text(json.dumps(stored), encoding="utf-8")
    assert replays.record_run(name)


def test_the_plans_cover_all_slides_and_add_up(tmp_path: Path) -> None:
    rows = read_slides()
    for notebook in read_notebooks():
        planned = sum(row.minutes for row in rows if row.notebook == notebook["notebook"])
        assert notebook["minutes"] in (f"{planned:g}", "–")
    long, short = sum(row.minutes for row in rows), sum(row.short for row in rows)
    assert long <= 75, "ninety minutes, and fifteen of them for set-up and questions"
    assert short <= 40, "forty-five minutes, and five of them for questions"
    assert all((row.short > 0) == (row.short_how in ("live", "told")) for row in rows)
    assert all(row.how == "live" for row in rows if row.short_how == "live")
    assert all(row.note for row in rows)
    page = write_notes(tmp_path / "notes.html").read_text(encoding="utf-8")
    assert page.count('<tr id="slide-') == len(rows)
    assert f"{long:g} minutes and {short:g} minutes" in page


@pytest.mark.parametrize("slide", [1, 16, 24, 31, 50])
def test_the_stage_opens_at_a_slide_below_one_folded_heading(slide: int, tmp_path: Path) -> None:
    notebook = read(stage_notebook(slide, make(tmp_path / "copy")))
    nbformat.validate(notebook)
    folded, *rest = notebook.cells
    assert folded.source.startswith(f"###### Before slide {slide}: ") and folded.metadata[FOLDED]
    above = [cell for cell in rest if cell.metadata.get(ABOVE)]
    assert [cell.cell_type for cell in above] == ["code"] * len(above)
    assert "start(world)" in "".join(cell.source for cell in above[:2])
    heading = HEADING.match(rest[len(above)].source)
    assert heading and slide in slides_of(heading)
    assert not any(cell.metadata.get(ABOVE) for cell in rest[len(above) :])


def test_the_stage_has_no_slide_beyond_the_last(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="There is no slide 99"):
        stage_notebook(99, tmp_path)
