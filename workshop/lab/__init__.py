"""One private Airflow a process: its home, its start, its tasks' logs, and cells as DAG files."""

import threading
from collections.abc import Callable, Collection
from contextlib import suppress

from workshop.lab import inside, running
from workshop.lab.dagcell import DagFolder, load
from workshop.lab.home import Home, make_home, new_home
from workshop.lab.prepared import Prepared
from workshop.lab.running import Runs
from workshop.lab.session import Session, current
from workshop.lab.tasklog import TaskLogs
from workshop.lab.warming import Warming

__all__ = [
    "DagFolder", "Home", "Prepared", "Runs", "Session", "TaskLogs", "Warming", "current", "load",
    "new_home", "open_lab",
]  # fmt: skip

# What an Airflow that was warm before a fork needs once more.
OF_A_DATABASE = (inside.do_not_wait_for_the_disk, inside.record_changes)
OPTIONAL = (*OF_A_DATABASE, inside.try_mapped_tasks_again_as_set, inside.build_api)


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
        runs = session.put(Runs())
        prepared = session.find(Prepared)
        logs = session.put(prepared.logs if prepared else TaskLogs())
        runs.around.append(logs.run)

        def work() -> None:
            if prepared:
                prepared.take_up(home)
            else:
                inside.capture_logs(logs.keep, logs.pause, running.waiting)
                inside.listen(logs.changed)
                inside.surround(running.run_of, logs.process_of)
            for optional in OF_A_DATABASE if prepared else OPTIONAL:
                with suppress(Exception):
                    optional()

        session.put(Warming(work, wait))
    return session
