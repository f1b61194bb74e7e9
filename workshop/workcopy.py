"""The learner's working copy: made once, never overwritten; and JupyterLab on it."""

import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat

from workshop import dagfile
from workshop.problem import Problem
from workshop.sandbox import WORLDS
from workshop.slides import HEADING, NOTEBOOKS, read_steps, slides_of

PROGRESS = "progress.json"  # it also marks a folder as a working copy


def make(folder: Path) -> Path:
    """Copy into a folder what is not there yet, and return the folder.

    Raises:
        Problem: it cannot be written.
    """
    try:
        for source, target in ((NOTEBOOKS, folder), (WORLDS, folder / "worlds")):
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted(source.glob("*.*")):
                if not (target / path.name).exists():
                    shutil.copy(path, target / path.name)
        if not (folder / PROGRESS).exists():
            (folder / PROGRESS).write_text("{}\n", encoding="utf-8")
    except OSError as error:
        raise Problem(
            f"The folder {folder} cannot be written ({error.strerror}). Name another one."
        ) from None
    return folder


def is_copy(folder: Path) -> bool:
    """Return whether a folder is a working copy."""
    return (folder / PROGRESS).is_file()


def solved(folder: Path) -> set[str]:
    """Return the names of the exercises that are solved in a working copy."""
    with suppress(OSError, ValueError):
        return set(json.loads((folder / PROGRESS).read_text(encoding="utf-8")).get("solved", []))
    return set()


def note_solved(folder: Path, exercise: str) -> None:
    """Remember in a working copy that an exercise is solved; elsewhere do nothing."""
    if is_copy(folder):
        names = sorted(solved(folder) | {exercise})
        text = json.dumps({"solved": names}, indent=1) + "\n"
        (folder / PROGRESS).write_text(text, encoding="utf-8")


def mirror(folder: Path, name: str, text: str) -> None:
    """Show a DAG file in a working copy's folder dags, read-only: it is made from the cells.

    A file of this name that can be written is the learner's own, and stays.
    """
    target = folder / "dags" / name
    mine = target.exists() and target.stat().st_mode & 0o222
    if is_copy(folder) and not mine:
        target.parent.mkdir(exist_ok=True)
        part = target.with_name(f".{name}.{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        part.chmod(0o444)
        part.replace(target)


def catch_up(slide: int, folder: Path) -> Path:
    """Write beside the learner's notebook one that goes on at a slide, and return its path.

    It holds the workbook's own cells from that slide on. One cell before them builds the DAG as it
    is after the slide before, and imports what the skipped cells imported; DAG files of their own
    (`%%dag`) are there too.

    Raises:
        Problem: no notebook is built for that slide.
    """
    from workshop import talk

    row = next((row for row in talk.read_slides() if row.number == slide), None)
    if not row or not row.is_built:
        raise Problem(f"There is no notebook for slide {slide}: {talk.which_are_built()}")
    notebook = nbformat.read(talk.notebook_path(row.notebook), as_version=4)
    headings = [_slides_headed(cell) for cell in notebook.cells]
    first = next(number for number, slides in enumerate(headings) if slide in slides)
    begun = next(number for number, slides in enumerate(headings) if slides)
    imports, files = [], []
    for cell in notebook.cells[begun:first]:
        if dagfile.MAGIC.match(cell.source):
            files.append(cell)
        elif cell.cell_type == "code" and not cell.source.startswith("%%"):
            imports += re.findall(r"^(?:import|from) .+$", cell.source, re.MULTILINE)
    words = [*dict.fromkeys(imports)]
    before = max((step.slide for step in read_steps() if step.slide < slide), default=0)
    if before:
        words += ["from workshop import catch_up", "", f"catch_up({before})", "run = dag.test()"]
    bridge = [
        nbformat.v4.new_markdown_cell(f"This notebook goes on at slide {slide}."),
        *([nbformat.v4.new_code_cell("\n".join(words))] if words else []),
        *files,
    ]
    notebook.cells = notebook.cells[:begun] + bridge + notebook.cells[first:]
    _without_outputs(notebook)
    path = _free(folder / f"{row.notebook}-from-{slide}.ipynb")
    nbformat.write(notebook, path)
    return path


def stage(slide: int, folder: Path) -> Path:
    """Return the notebook for a presenter who begins at a slide: the whole one, or its rest.

    Raises:
        Problem: no notebook is built for that slide.
    """
    from workshop import talk

    rows = [row for row in talk.read_slides() if row.is_built]
    first = {row.notebook: row.number for row in reversed(rows)}
    whole = next((name for name, number in first.items() if number == slide), None)
    return folder / f"{whole}.ipynb" if whole else catch_up(slide, folder)


def _slides_headed(cell: Any) -> range:
    heading = HEADING.search(cell.source) if cell.cell_type == "markdown" else None
    return slides_of(heading) if heading else range(0)


def reset(name: str, folder: Path) -> Path:
    """Put the workbook's notebook back, and return where the learner's version is kept.

    Args:
        name: the notebook, with or without its folder and ending.
        folder: the working copy.

    Raises:
        Problem: there is no such notebook.
    """
    stem = Path(name).name.removesuffix(".ipynb")
    source = NOTEBOOKS / f"{stem}.ipynb"
    if not source.is_file():
        known = ", ".join(path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb")))
        raise Problem(f"There is no notebook '{stem}'. The notebooks are: {known}.")
    mine = folder / source.name
    kept = _free(folder / f"{stem}-mine.ipynb")
    if mine.exists():
        mine.rename(kept)
    shutil.copy(source, mine)
    return kept


def _free(path: Path) -> Path:
    """Return a path that nothing has: this one, or with a number behind its name."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free


def blank(folder: Path) -> list[Path]:
    """Write the room's edition into a folder: no outputs, no solutions; return the notebooks."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for source in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(source, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if not is_solution(cell)]
        _without_outputs(notebook)
        nbformat.write(notebook, folder / source.name)
        made.append(folder / source.name)
    shutil.copytree(WORLDS, folder / "worlds", dirs_exist_ok=True)
    return made


def is_solution(cell: Any) -> bool:
    """Return whether a cell belongs to the workbook's solution of an exercise."""
    return "solution" in cell["metadata"].get("tags", [])


def _without_outputs(notebook: Any) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata.pop("workshop", None)


def settings(folder: Path, *, large: bool) -> None:
    """Write JupyterLab's settings: nothing from the network, widgets that survive a reload.

    Args:
        folder: JupyterLab's folder of settings.
        large: the type is large enough for the last row of a room.
    """
    fonts = {"code-font-size": "20px", "content-font-size1": "20px"} if large else {}
    written = {
        # The question about news and the look for updates both want a network.
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "apputils-extension/themes": {"overrides": fonts} if large else None,
    }
    for name, values in written.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        if values and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values) + "\n", encoding="utf-8")
    manager = folder / "@jupyter-widgets" / "jupyterlab-manager" / "plugin.jupyterlab-settings"
    if not manager.exists():
        manager.parent.mkdir(parents=True, exist_ok=True)
        manager.write_text('{"saveState": true}\n', encoding="utf-8")


def lab_options(folder: Path, page: str = "lab/tree/00_index.ipynb") -> list[str]:
    """Return the command line of JupyterLab: loopback, its own token, one page first.

    Args:
        folder: the working copy.
        page: where the browser begins.
    """
    root = ["--allow-root"] if os.geteuid() == 0 else []  # containers often run as root
    return [
        *root,
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.ip=127.0.0.1",
        f"--LabApp.default_url=/{page}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        "--LabApp.extension_manager=readonly",
        "--ServerApp.jpserver_extensions={'jupyterlab_jupytext': False}",
        "--ServerApp.log_level=WARN",
    ]
