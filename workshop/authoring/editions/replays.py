"""Recorded runs of DAGs, and what replays them on a page with the live graph's own JavaScript."""

import json
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from nbformat.v4 import new_code_cell, new_notebook

from workshop.authoring.checking.headless import execute
from workshop.ground import NOTEBOOKS, ROOT, Problem

BOOK = Path(__file__).with_name("book")


class Recorded(NamedTuple):
    """A run that is recorded for a notebook's page."""

    cell: str  # the one whose output it stands for: the graph
    dag: str  # what makes the DAG
    run: str  # what runs it


RUNS = {
    "06_the_whole_dag": Recorded("watch(dag)", "catch_up(45)", "dag.test()"),
    "12_gcp_spy_today": Recorded(
        "draw(today)", 'dag = load("gcp_spy_today")', "dag.test(logical_date=datetime(2026, 11, 2))"
    ),
}
# What the graph in the browser is told, with the second in which it is.
CELLS = (
    'from workshop import catch_up, load, start, watch\n\nstart("talk")',
    "{dag}\ngraph = watch(dag)",
    "import time\nfrom pendulum import datetime\n\ntold = []\n"
    "graph.send = lambda message: told.append(message | {{'at': time.monotonic()}})\nrun = {run}",
    "import json\n\nkept = ('graphs', 'boxes', 'colors', 'order', 'run')\n"
    "print(json.dumps({{name: getattr(graph, name) for name in kept}} | {{'told': told}}))",
)


def record_run(name: str) -> bool:
    """Run a notebook's DAG in the sandbox, and keep what its live graph was told.

    Each run takes other seconds, so the recording that is there stays while it ends as this one.

    Args:
        name: one of RUNS.

    Returns:
        Whether this run took the place of the recording.

    Raises:
        Problem: a cell raised.
    """
    wanted = RUNS[name]
    cells = [new_code_cell(cell.format(dag=wanted.dag, run=wanted.run)) for cell in CELLS]
    notebook = new_notebook(cells=cells)
    execute(notebook, NOTEBOOKS)
    recording = json.loads(notebook.cells[-1].outputs[0].text)
    begun = recording["told"][0]["at"]
    for message in recording["told"]:
        message["at"] = round(message["at"] - begun, 2)
    path = _path(name)
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if kept and _meaning(kept) == _meaning(recording):
        return False
    path.write_text(json.dumps(recording, indent=1) + "\n", encoding="utf-8")
    return True


def graph_of(notebook: Any, name: str) -> Any:
    """Return the stored picture of the graph in a notebook's file, by its kinds (MIME types).

    Args:
        notebook: as nbformat reads it.
        name: one of RUNS.

    Raises:
        Problem: no cell shows the graph.
    """
    wanted = RUNS[name].cell
    for cell in notebook.cells:
        if cell.source == wanted and cell.outputs:
            return cell.outputs[0].data
    raise Problem(f"{name} has no cell '{wanted}' with an output: correct RUNS in replays.py.")


def replay(name: str, instead: str) -> str:
    """Return a recorded run as HTML that replays it.

    Args:
        name: one of RUNS.
        instead: HTML for a browser that runs no JavaScript.
    """
    widget = (ROOT / "workshop/show/live.js").read_text(encoding="utf-8")
    player = (BOOK / "replay.js").read_text(encoding="utf-8")
    return Template((BOOK / "replay.html").read_text(encoding="utf-8")).substitute(
        instead=instead,
        # A page from disk may load no module: so all of it stands in the page.
        widget=widget.replace("export default", "const widget ="),
        player=player,
        recording=_path(name).read_text(encoding="utf-8").replace("</", "<\\/"),
    )


def _path(name: str) -> Path:
    return BOOK / f"{name}.json"


def _meaning(recording: dict[str, Any]) -> Any:
    """Return what a recording says in the end, without its seconds and its pictures' fonts."""
    last = {it["task"]: it["known"] | {"seconds": None} for it in recording["told"]}
    return last, [recording[name] for name in ("boxes", "colors", "order", "run")]
