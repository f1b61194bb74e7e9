"""The notebooks for a room: without outputs and solutions, and for the presenter on a stage."""

import shutil
from pathlib import Path

import nbformat

from workshop.authoring.checking.headless import read
from workshop.ground import BUILD, notebooks
from workshop.ground.cells import is_solution
from workshop.ground.talk import read_slides, slide_of
from workshop.sandbox import WORLDS
from workshop.slides.workcopy import catch_up, clear_outputs


def write_blank(folder: Path = BUILD / "blank") -> list[Path]:
    """Write the room's edition into a folder: no outputs, no solutions; return the notebooks."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for source in notebooks():
        notebook = read(source)
        notebook.cells = [cell for cell in notebook.cells if not is_solution(cell)]
        clear_outputs(notebook)
        nbformat.write(notebook, folder / source.name)
        made.append(folder / source.name)
    shutil.copytree(WORLDS, folder / "worlds", dirs_exist_ok=True)
    print(f"{len(made)} notebooks without outputs and solutions: {folder}")
    return made


def stage_notebook(slide: int, folder: Path) -> Path:
    """Return the notebook for a presenter who begins at a slide: the whole one, or its rest.

    Raises:
        Problem: the talk has no such slide.
    """
    name = slide_of(slide).notebook
    first = next(row.number for row in read_slides() if row.notebook == name)
    return folder / f"{name}.ipynb" if slide == first else catch_up(slide, folder)
