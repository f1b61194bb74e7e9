"""The first call of every notebook: the one place that puts the parts of the workbook together."""

import os
from pathlib import Path

import pandas
from IPython import get_ipython

from workshop import sandbox, show, slides
from workshop.lab import DagFolder, Runs, TaskLogs, open_lab
from workshop.slides.workcopy import mirror


def start(world: str = "talk") -> None:
    """Give this notebook an Airflow of its own, a world to spy on, and `%%slide`; say which.

    Args:
        world: the sandbox's world; call again with another one to change it. Ignored when the
            environment says `GCPSPY_WORLD=real`.

    Raises:
        Problem: airflow was imported before, there is no such world, or something real is missing.
    """
    keep = sandbox.DAG_VARIABLES if sandbox.is_real() else ()
    session = open_lab(keep, show.wait_for_airflow)
    if not session.find(show.Graphs):
        cells = session.put(slides.Cells())
        graphs = session.put(show.Graphs())
        session[TaskLogs].observers.append(graphs.changed)
        session[Runs].around.append(graphs.run)
        session[Runs].waits.append(graphs.waits)
        session[TaskLogs].cleaners.append(sandbox.without_webhook)
        session[DagFolder].observers.append(lambda name, text: mirror(Path.cwd(), name, text))
        if path := os.environ.get("WORKSHOP_RESULTS"):  # a headless run; its test reads them
            from workshop.authoring.checking.results import add

            cells.observers.append(lambda source: add(Path(path)) if ".test(" in source else None)
    sentence = sandbox.use_real() if sandbox.is_real() else sandbox.enter(world)
    pandas.set_option("display.max_colwidth", 80, "display.width", 160)
    if shell := get_ipython():
        slides.register(shell)
    print(sentence)
