"""The learner's working copy: made once, never overwritten."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from workshop.ground import NOTEBOOKS, Problem, known, notebooks
from workshop.ground.cells import HEADING, OWN_FILE, read_steps, slides_of
from workshop.ground.learner import PROGRESS, is_copy
from workshop.ground.talk import slide_of
from workshop.sandbox import WORLDS

# What stands above a slide's heading in the same cell, as a box.
OF_THE_SLIDE_BEFORE = re.compile(rf"\A.*?(?={HEADING.pattern})", re.MULTILINE | re.DOTALL)


def make(folder: Path) -> Path:
    """Copy into a folder what is not there yet, and return the folder.

    Raises:
        Problem: it cannot be written.
    """
    try:
        worlds = folder / "worlds"
        for source, files, target in ((NOTEBOOKS, "*.ipynb", folder), (WORLDS, "*.yaml", worlds)):
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted(source.glob(files)):
                if not (target / path.name).exists():
                    shutil.copy(path, target / path.name)
        if not (folder / PROGRESS).exists():
            (folder / PROGRESS).write_text("{}\n", encoding="utf-8")
    except OSError as error:
        raise Problem(
            f"The folder {folder} cannot be written ({error.strerror}). Name another one."
        ) from None
    return folder


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
        if _of_another(folder / f".{name}.writer"):
            print(
                f"dags/{name} was another open notebook's. It is this one's now: whichever "
                "notebook writes last has it."
            )


def _of_another(note: Path) -> bool:
    """Return whether a process that still runs wrote a file last; take note that this one did."""
    before = note.read_text("utf-8") if note.exists() else ""
    note.write_text(_name_of(os.getpid()), encoding="utf-8")
    with suppress(psutil.Error, ValueError):
        pid = int(before.partition(" ")[0])
        return pid != os.getpid() and _name_of(pid) == before
    return False


def _name_of(pid: int) -> str:
    """Return a process's number with its begin: numbers come again."""
    return f"{pid} {psutil.Process(pid).create_time()}"


def catch_up(slide: int, folder: Path) -> Path:
    """Write beside the learner's notebook one that goes on at a slide, and return its path.

    It holds the workbook's own cells from that slide on. One cell before them builds the DAG as it
    is after the slide before, and imports what the skipped cells imported; DAG files of their own
    (`%%dag`) are there too.

    Raises:
        Problem: the talk has no such slide.
    """
    import nbformat  # half a second, which a notebook that starts has no use for

    row = slide_of(slide)
    notebook = nbformat.read(NOTEBOOKS / f"{row.notebook}.ipynb", as_version=4)
    headings = [slides_headed(cell) for cell in notebook.cells]
    first = next(number for number, slides in enumerate(headings) if slide in slides)
    begun = next(number for number, slides in enumerate(headings) if slides)
    imports, files = [], []
    for cell in notebook.cells[begun:first]:
        if OWN_FILE.match(cell.source):
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
    heading = notebook.cells[first]
    heading.source = OF_THE_SLIDE_BEFORE.sub("", heading.source)
    notebook.cells = notebook.cells[:begun] + bridge + notebook.cells[first:]
    clear_outputs(notebook)
    path = _free(folder / f"{row.notebook}-from-{slide}.ipynb")
    nbformat.write(notebook, path)
    return path


def slides_headed(cell: Any) -> range:
    """Return the slides that a cell's heading names; none where it has no such heading."""
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
    source = NOTEBOOKS / f"{known(stem, [path.stem for path in notebooks()], 'notebook')}.ipynb"
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


def clear_outputs(notebook: Any) -> None:
    """Take from a notebook what a run left in it."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata.pop("workshop", None)
