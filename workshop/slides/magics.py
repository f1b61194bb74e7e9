"""The cell magics `%%slide N part`, `%%exercise` and `%%dag`, and what happens around each cell."""

from typing import Any

from workshop.ground import Problem
from workshop.ground.cells import code_cells, parse_exercise, parse_slide
from workshop.lab import Home, current
from workshop.lab.dagcell import magic as dag_magic
from workshop.lab.dagcell import show_todays_names
from workshop.lab.interrupts import show_error
from workshop.slides.assembly import Builder
from workshop.slides.cells import Cells


def load_ipython_extension(shell: Any) -> None:
    """Know the magics before the workbook starts, so that a cell run too early gets a sentence."""
    magics = {"slide": _slide, "exercise": _exercise, "solution": _solution, "dag": dag_magic}
    for name, magic in magics.items():
        shell.register_magic_function(magic, "cell", name)


def register(shell: Any) -> None:
    """Give a notebook the magics of the talk, once."""
    session = current()
    if not session.find(Builder):
        session.put(Builder(shell.user_ns))
        load_ipython_extension(shell)
        # Messages and the presenter's command name them, in notebooks too that do not import them.
        shell.push({"catch_up": catch_up, "stored": stored}, interactive=False)


def follow(shell: Any) -> None:
    """Follow the cells of a notebook, with or without the talk, and know `%%dag`; call once."""
    shell.register_magic_function(dag_magic, "cell", "dag")
    shell.set_custom_exc((KeyboardInterrupt, Exception), _show_error)
    cells = current()[Cells]
    shell.events.register("pre_run_cell", cells.begin)
    shell.events.register("post_run_cell", cells.end)


def _show_error(shell: Any, kind: Any, error: Any, trace: Any, tb_offset: Any = None) -> None:
    """Show what a cell raised; the arguments are those of IPython's `set_custom_exc`."""
    home = current().find(Home)
    if home and not (home.database.exists() and home.dags.exists()):
        error = Problem(
            f"Something removed {home.folder}, where this notebook's Airflow was: a clean-up of "
            "the temporary folder, perhaps. Restart the kernel, and run the notebook from its top."
        )
    elif isinstance(error, ImportError):
        show_todays_names(error)
    show_error(shell, kind, error, trace)


def catch_up(slide: int) -> None:
    """Make the DAG file what the workbook's own cells make of it up to a slide, and say so.

    Args:
        slide: a slide's number; later cells of the notebook go on from there.

    Raises:
        Problem: the notebook has not started, the talk has no such slide, or nothing is written up
            to it.
    """
    if type(slide) is not int:  # True is a number to Python
        raise Problem("Write the slide's number: catch_up(31).")
    print(current()[Builder].catch_up(slide))


def _slide(line: str, cell: str) -> None:
    """Write one part of gcp_spy.py: `%%slide N part`."""
    print(current()[Builder].write(*parse_slide(line), cell))


def _exercise(line: str, cell: str) -> None:
    """Write one part of gcp_spy.py for an exercise: `%%exercise NAME part`."""
    print(current()[Builder].attempt(*parse_exercise(line), cell, given=False))


def _solution(line: str, cell: str) -> None:
    """Write one part of gcp_spy.py as the workbook solves an exercise: `%%solution NAME part`."""
    print(current()[Builder].attempt(*parse_exercise(line), cell, given=True))


def stored() -> None:
    """Show what the workbook has stored for the cell that ran before this one.

    For a presenter whose live cell fails on stage: the talk goes on with the recorded result.

    Raises:
        Problem: that cell is not one of the workbook's, so nothing is stored for it.
    """
    from IPython.display import display

    before = current()[Cells].before.strip()
    for name, _, cell in code_cells():
        if "".join(cell["source"]).strip() == before and before:
            print(f"Stored in {name}, not run now:")
            for output in cell["outputs"]:
                if "text" in output:
                    print("".join(output["text"]), end="")
                else:
                    data = {kind: "".join(form) for kind, form in output["data"].items()}
                    display(data, raw=True)
            return
    raise Problem("Nothing is stored: the cell that ran before this one is not the workbook's.")
