"""Pictures, tables and logs of DAGs and DagRuns, the live graph, and progress on the screen."""

from workshop.show.graphs import draw, states
from workshop.show.live import Graphs, Stored, watch
from workshop.show.pictures import Picture, render
from workshop.show.plots import figure
from workshop.show.progress import Progress, wait_for_airflow
from workshop.show.tables import changes, logs, tasks, xcoms

__all__ = [
    "Graphs", "Picture", "Progress", "Stored", "changes", "draw", "figure", "logs", "render",
    "states", "tasks", "wait_for_airflow", "watch", "xcoms",
]  # fmt: skip
