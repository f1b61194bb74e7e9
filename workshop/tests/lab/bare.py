"""Run DAG files with bare Airflow: `python bare.py CASES RESULTS`, in a home of its own.

It imports nothing of the workbook. `test_examples.py` also imports it, to ask the lab in the same
words. Airflow is imported inside the functions, as the environment names its home.
"""

import faulthandler
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LIMIT = 900  # seconds that a run may take: far more than any needs
# Each run has this date, so what is made of a date is the same: a Wednesday, for the one example
# that sleeps an hour on a weekend.
WHEN = datetime(2026, 1, 7, 10, 20, tzinfo=UTC)
# What a run of a DAG needs further.
WORDS: dict[str, dict[str, Any]] = {
    "example_params_ui_tutorial": {"run_conf": {"required_field": "at least ten letters"}},
    # These two tasks want a package from the network; all others of their DAGs run.
    "example_python_decorator": {"mark_success_pattern": "virtualenv_python"},
    "example_python_operator": {"mark_success_pattern": "virtualenv_python"},
}


def words(dag_id: str) -> dict[str, Any]:
    """Return with which words `dag.test()` of a DAG is called."""
    return {"logical_date": WHEN, "run_after": WHEN, **WORDS.get(dag_id, {})}


def in_order(dags: Iterable[Any], files: list[Path]) -> list[Any]:
    """Return DAGs as they are written: most that make an asset come before those that take it."""
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    return sorted(dags, key=lambda dag: (text.find(f'"{dag.dag_id}"'), dag.dag_id))


def lay_out(files: list[Path], folder: Path) -> None:
    """Copy what lies beside DAG files and is read by their tasks: SQL."""
    for path in files:
        for beside in path.parent.glob("sql/*.sql"):
            (folder / "sql").mkdir(exist_ok=True)
            shutil.copy(beside, folder / "sql")


@contextmanager
def limited() -> Iterator[None]:
    """End this process, with a traceback of each thread, where a run takes longer than `LIMIT`."""
    faulthandler.dump_traceback_later(LIMIT, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def outcome(run: Any) -> dict[str, Any]:
    """Return what the metadata database holds of a DagRun: its state, its tasks, and its XComs."""
    from airflow import settings
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance as TI
    from airflow.models.xcom import XComModel as X
    from sqlalchemy import orm, select

    tasks = select(TI.task_id, TI.map_index, TI.state).order_by(TI.task_id, TI.map_index)
    xcoms = select(X.task_id, X.map_index, X.key, X.value).order_by(X.task_id, X.map_index, X.key)
    with orm.Session(settings.engine) as session:

        def rows(query: Any, model: Any) -> list[list[Any]]:
            of_run = query.where(model.dag_id == run.dag_id, model.run_id == run.run_id)
            return [list(row) for row in session.execute(of_run)]

        return {
            "state": rows(select(DagRun.state), DagRun)[0][0],
            "tasks": rows(tasks, TI),
            "xcoms": rows(xcoms, X),
        }


def run_files(files: list[Path], folder: Path) -> dict[str, Any]:
    """Copy files to a folder, read it as Airflow does, and return what a run of each DAG left.

    Args:
        files: the DAG files.
        folder: the folder of DAG files; it is empty, and is so again.
    """
    from airflow.dag_processing.dagbag import DagBag

    lay_out(files, folder)
    for path in files:
        shutil.copy(path, folder)
    bag = DagBag(str(folder))
    found: dict[str, Any] = {}
    for dag in in_order(bag.dags.values(), files):
        with limited():
            found[dag.dag_id] = outcome(dag.test(**words(dag.dag_id)))
    if bag.import_errors:
        found["errors"] = sorted(str(error) for error in bag.import_errors.values())
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found


def main(cases: Path, results: Path) -> None:
    """Run the files of each case, and write what they left.

    Args:
        cases: a JSON file; a name, and its files.
        results: the JSON file to write.
    """
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    named = json.loads(cases.read_text(encoding="utf-8"))
    found = {name: run_files([*map(Path, files)], folder) for name, files in named.items()}
    results.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    os._exit(0)  # the end of a process with Airflow takes seconds, and the home goes anyway
