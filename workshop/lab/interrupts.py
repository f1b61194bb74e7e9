"""An interrupted cell: one sentence, no process left behind, and a database for the next run.

And what other errors show.
"""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from workshop.lab import inside

SECONDS_TO_STOP = 3


class Interrupted(KeyboardInterrupt):
    """A cell was interrupted while a DAG ran; shown as one sentence."""

    def _render_traceback_(self) -> list[str]:
        return [str(self), "The DAG is as it was; run the cell again."]


def end_task(ti: Any) -> None:
    """End the task that an interrupt met, with its processes.

    Airflow takes an interrupt for a failure, tries the task again and leaves its process alone.
    Whoever interrupts a cell wants both to end.

    Raises:
        Interrupted: always; it ends the run too.
    """
    with suppress(Exception):  # its command may just have ended, and all are ended below
        ti.task.on_kill()
    _end_commands_of(ti)
    raise Interrupted(f"Interrupted: the task '{ti.task_id}' was stopped.")


def _end_commands_of(ti: Any) -> None:
    """End the processes that a task started, also those that its operator does not know (yet).

    Airflow gives them the task's context as environment variables.
    """
    context = {
        "AIRFLOW_HOME": os.environ["AIRFLOW_HOME"],
        "AIRFLOW_CTX_DAG_RUN_ID": ti.run_id,
        "AIRFLOW_CTX_TASK_ID": ti.task_id,
    }
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and context.items() <= process.environ().items():
                process.terminate()
                found.append(process)
    for process in psutil.wait_procs(found, timeout=SECONDS_TO_STOP)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@contextmanager
def _ending_at_the_learner_s_line(trace: Any) -> Iterator[None]:
    """Hide what Airflow did inside, where it refuses the task, arrow or DAG of a line.

    A run stays whole, and so does an operator's `execute` that a line calls by itself. `%debug`
    has all of it afterwards.
    """
    last: Any = None
    while trace:
        if not trace.tb_frame.f_code.co_filename.startswith(inside.NOT_THE_LEARNER_S):
            last = trace
        trace = trace.tb_next
    below = last and last.tb_next
    frame = below and below.tb_frame
    makes = frame and frame.f_globals.get("__name__", "").startswith(inside.MAKES_DAGS)
    if not makes or frame.f_code.co_name == "wrapper":
        yield
        return
    last.tb_next = None
    try:
        yield
    finally:
        last.tb_next = below


def show_error(shell: Any, kind: Any, error: Any, trace: Any) -> None:
    """Show what a cell raised; an interrupt between two tasks as a sentence, as one within a task.

    Args:
        shell: IPython's.
        kind: the error's class.
        error: what was raised.
        trace: its traceback.
    """
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(trace)]
    if kind is KeyboardInterrupt and any(name.startswith("airflow.") for name in modules):
        inside.release_database(error)
        error = Interrupted("Interrupted: the run was stopped.")
    with _ending_at_the_learner_s_line(trace):
        # As IPython shows what it shows by itself.
        shell.showtraceback((type(error), error, trace), running_compiled_code=True)
