"""One private Airflow a process: its home, its start, its tasks' logs, and cells as DAG files."""

import threading
from collections.abc import Callable, Collection
from contextlib import suppress

from workshop.lab import inside
from workshop.lab.dagcell import DagFolder, load
from workshop.lab.home import Home, make_home
from workshop.lab.session import Session, current
from workshop.lab.tasklog import TaskLogs
from workshop.lab.warming import Warming

__all__ = ["DagFolder", "Home", "Session", "TaskLogs", "Warming", "current", "load", "open_lab"]

OPTIONAL = (
    inside.do_not_wait_for_the_disk,
    inside.run_triggers_in_a_thread,
    inside.record_changes,
    inside.build_api,
)


def _wait(warm: threading.Event) -> None:
    warm.wait()


def open_lab(
    keep: Collection[str] = (),
    wait: Callable[[threading.Event], None] = _wait,
) -> Session:
    """Give this process an Airflow of its own, once, and warm it in the background.

    Args:
        keep: the variables of the reader's own Airflow that stay.
        wait: waits until Airflow is warm, with progress on the screen.

    Returns:
        The session, with Home, DagFolder, TaskLogs and Warming.

    Raises:
        Problem: airflow was imported before, or the temporary folder cannot be written.
    """
    session = current()
    if not session.find(Home):
        home = session.put(make_home(keep))
        session.put(DagFolder(home.dags))
        logs = session.put(TaskLogs())

        def work() -> None:
            inside.capture_logs(logs.keep, logs.pause)
            inside.listen(logs.changed)
            # Without these a run is slower, or shows less: it never stops.
            for optional in OPTIONAL:
                with suppress(Exception):
                    optional()

        session.put(Warming(work, wait))
    return session
