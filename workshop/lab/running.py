"""What happens around `dag.test()`, so that any DAG runs in any cell as it does in a file."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from workshop.ground import Problem
from workshop.lab import inside
from workshop.lab.dagcell import DagFolder, circle
from workshop.lab.process import no_running_loop, put_back
from workshop.lab.session import current


class Runs:
    """Who wants to be there while `dag.test()` runs, and to hear what a run waits for."""

    def __init__(self) -> None:
        self.around: list[Callable[[Any], AbstractContextManager[None]]] = []  # gets the DAG
        # They get a sentence, each second, and whether time alone will end that.
        self.waits: list[Callable[[str, bool], None]] = []
        self._dag_id = ""  # of the DAG that runs

    @contextmanager
    def run(self, dag: Any) -> Iterator[None]:
        """Be around a run of a DAG, also of one that stands in no file of the dags folder.

        Args:
            dag: the DAG.

        Raises:
            Problem: Airflow cannot store or run it.
        """
        self._dag_id = dag.dag_id
        if problem := circle(dag) or inside.why_not(dag):
            raise Problem(problem)
        folder = current()[DagFolder]
        if folder.is_saving:
            folder.ran_while_saving = True
        if folder.is_saving or not inside.is_in(folder.folder, dag):
            inside.store(dag)
        with ExitStack() as stack:
            for around in self.around:
                stack.enter_context(around(dag))
            stack.enter_context(put_back())  # reading files sets signals, too
            stack.enter_context(no_running_loop())
            try:
                yield
            except Exception as error:
                if sentence := inside.sentence(error):
                    raise Problem(sentence) from None
                raise

    def waiting(self) -> None:
        """Tell what the run waits for; Airflow found no task that it can run now.

        Raises:
            Problem: it would wait for ever.
        """
        reasons = inside.why_it_waits(self._dag_id)
        enders = set(reasons.values())
        if enders == {"nobody"}:
            raise Problem(f"The run of '{self._dag_id}' would never end: {'; '.join(reasons)}.")
        for told in self.waits:
            told("; ".join(reasons), "time" in enders)


def run_of(dag: Any) -> AbstractContextManager[None]:
    """Return what is around a run of a DAG in this process; the session is asked when it begins."""
    return current()[Runs].run(dag)


def waiting() -> None:
    """Tell what the run waits for; Airflow says each second that no task can run."""
    current()[Runs].waiting()
