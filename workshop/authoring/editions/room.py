"""The notebooks for a room: without outputs and solutions."""

import shutil
from pathlib import Path

import nbformat

from workshop.authoring.checking.headless import read
from workshop.ground import BUILD, notebooks
from workshop.ground.cells import is_solution
from workshop.sandbox import WORLDS
from workshop.slides.workcopy import clear_outputs


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
