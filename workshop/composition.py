"""What every notebook begins with: the one place that puts the parts of the workbook together."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas
from IPython import get_ipython

from workshop import sandbox, show, slides
from workshop.lab import DagFolder, Runs, Session, TaskLogs, open_lab
from workshop.slides.workcopy import mirror

OWN = ("AIRFLOW_CONN_", "AIRFLOW_VAR_")  # what a notebook of one's own keeps of the environment


def start(world: str = "talk") -> None:
    """Give this notebook an Airflow of its own, a world to spy on, and `%%slide`; say which.

    Args:
        world: the sandbox's world; call again with another one to change it. Ignored in JupyterLab
            when the environment says `GCPSPY_WORLD=real`.

    Raises:
        Problem: airflow was imported before, there is no such world, something real is missing, or
            the sandbox does not hold.
    """
    session = open_with_pictures(sandbox.DAG_VARIABLES if sandbox.is_real() else ())
    if sandbox.without_webhook not in session[TaskLogs].cleaners:
        session[TaskLogs].cleaners.append(sandbox.without_webhook)
        session[Runs].around.append(sandbox.isolated)
        session[DagFolder].observers.append(lambda name, text: mirror(Path.cwd(), name, text))
        if path := os.environ.get("WORKSHOP_RESULTS"):  # a headless run; its test reads them
            from workshop.authoring.checking.results import add

            session[slides.Cells].observers.append(
                lambda source: add(Path(path)) if ".test(" in source else None
            )
    sentence = sandbox.use_real() if sandbox.is_real() else sandbox.enter(world)
    if shell := get_ipython():
        slides.register(shell)
        if not sandbox.is_real():
            sandbox.keep_around_children()
    print(sentence)


def open_with_pictures(keep: Collection[str]) -> Session:
    """Give this process an Airflow of its own, and what shows its runs; return the session.

    Args:
        keep: the variables of the reader's own Airflow that stay.

    Raises:
        Problem: airflow was imported before, or the temporary folder cannot be written.
    """
    session = open_lab(keep, show.wait_for_airflow)
    if not session.find(show.Graphs):
        session.put(slides.Cells())
        graphs = session.put(show.Graphs())
        session[TaskLogs].observers.append(graphs.changed)
        session[Runs].around.append(graphs.run)
        session[Runs].waits.append(graphs.waits)
        pandas.set_option("display.max_colwidth", 80, "display.width", 160)
        if shell := get_ipython():
            slides.follow(shell)
    return session


def load(shell: Any) -> None:
    """Make any notebook a place for DAGs: `%load_ext workshop`; without the talk and its sandbox.

    Args:
        shell: IPython's. It gets `%%dag`, and the names of what shows DAGs and runs.

    Raises:
        Problem: airflow was imported before, or the temporary folder cannot be written.
    """
    open_with_pictures([name for name in os.environ if name.startswith(OWN)])
    names = ("changes", "draw", "figure", "logs", "tasks", "watch", "xcoms")
    shell.push({name: getattr(show, name) for name in names}, interactive=False)
    print(
        "This notebook has an Airflow of its own, which ends with it. Write a DAG in a cell and "
        f"call its .test(). To look at it: {', '.join(names)}."
    )
