"""The one door to Airflow's inside: everything that is not its documented public interface.

A new minor version of Airflow changes this file and nothing else. Its tables are read through its
ORM models, never by their names. Each function says what it needs; `workshop/tests/lab` has a test
for each. Airflow is imported inside the functions, because importing it takes seconds.
"""

import gc
import importlib
import io
import linecache
import logging
import os
import sys
import sysconfig
import threading
import traceback
import weakref
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from functools import wraps
from inspect import signature
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from workshop.ground import Problem
from workshop.lab.process import place_of

if TYPE_CHECKING:
    from pandas import DataFrame

# Where code lies that no learner wrote: Python, its packages, this package, and what is generated.
NOT_THE_LEARNER_S = (
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
    str(Path(__file__).parents[1]),
    "<frozen ", "<string>", "<attrs", "<template",
)  # fmt: skip
MAKES_DAGS = ("airflow.sdk.bases.", "airflow.sdk.definitions.")  # a file's lines call these
CHANGES = "workshop_changes"  # a table of the workbook's own, in its private database
# What Airflow logs when a task lets go before it ends: for this a listener has no method.
LETS_GO = {
    "Rescheduling task, marking task as UP_FOR_RESCHEDULE": "up_for_reschedule",
    "Pausing task as DEFERRED. ": "deferred",
}
# The server that tasks talk to: in production it has a process and a log of its own.
SERVER = "airflow.api_fastapi."
ONLY_ASCII = (
    "dag.test() cannot send ids with letters beyond ASCII, a limit of Airflow's own: "
    "dag_display_name and task_display_name may have them."
)
NO_SERVER = (
    "dag.test(use_executor=True) hands the tasks to an executor, whose processes ask Airflow's API "
    "server, and none runs here: leave use_executor out."
)
# Airflow's issue 73428; the question for the deadlines of a run that is green names their table.
DEADLINE = (
    "All tasks ran, and dag.test() failed after them: in Airflow 3.3 it cannot end the run of a "
    "DAG that has a deadline. A scheduler can. Leave deadline out where dag.test() runs the DAG."
)
# What `dag.test()` logs each second in which it has nothing to run.
WAITS = ("No tasks to run. unrunnable tasks: ", "Waiting for Human-in-the-loop input")


def task_instances(run: Any) -> "DataFrame":
    """Return the task instances of a DagRun, sorted.

    Args:
        run: anything with a dag_id and a run_id.

    Returns:
        task, map_index (-1: not mapped), state, tries and seconds.
    """
    from airflow.models.taskinstance import TaskInstance as TI

    columns = {
        "task": TI.task_id, "map_index": TI.map_index, "state": TI.state,
        "tries": TI.try_number, "seconds": TI.duration,
    }  # fmt: skip
    return _read(columns, of=(TI, run), order=(TI.task_id, TI.map_index))


def xcoms(run: Any, task_id: str | None = None) -> "DataFrame":
    """Return the XComs of a DagRun, sorted.

    Args:
        run: anything with a dag_id and a run_id.
        task_id: only those of this task.

    Returns:
        task, map_index, key, value, and what the database holds of it: stored, which is JSON.
    """
    import pandas as pd
    from airflow.models.xcom import XComModel as X

    columns = {"task": X.task_id, "map_index": X.map_index, "key": X.key, "stored": X.value}
    mine = () if task_id is None else (X.task_id == task_id,)
    frame = _read(columns, of=(X, run), where=mine, order=(X.task_id, X.map_index, X.key))
    values = pd.Series([_loaded(stored) for stored in frame["stored"]], dtype=object)
    frame.insert(3, "value", values)
    return frame


def _loaded(stored: Any) -> Any:
    """Return an XCom as a task gets it, or as it is stored where Airflow cannot load it.

    It loads no class that is not allowed, and none that is no longer there.
    """
    from airflow.sdk.execution_time.xcom import XCom

    try:
        return XCom.deserialize_value(SimpleNamespace(value=stored))
    except Exception:
        return stored


def run_state(run: Any) -> str:
    """Return the state of a DagRun, as the metadata database has it.

    Args:
        run: anything with a dag_id and a run_id.
    """
    from airflow.models.dagrun import DagRun

    return str(_read({"state": DagRun.state}, of=(DagRun, run))["state"].iloc[0])


def newest_run() -> Any:
    """Return dag_id, run_id and state of this database's newest DagRun, or None."""
    from airflow.models.dagrun import DagRun

    columns = {"dag_id": DagRun.dag_id, "run_id": DagRun.run_id, "state": DagRun.state}
    return next(_read(columns, order=[DagRun.id.desc()]).itertuples(), None)


def _read(
    columns: dict[str, Any], *, of: Any = None, where: Any = (), order: Any = ()
) -> "DataFrame":
    """Return columns of a model, or of a table, as a table; those of one DagRun, or of all.

    Through a session of the ORM: since 3.4 Airflow keeps what earlier tries left in the same
    tables, and leaves that out there.
    """
    import pandas as pd
    from airflow import settings
    from sqlalchemy import orm, select

    query = select(*[column.label(name) for name, column in columns.items()]).order_by(*order)
    with orm.Session(settings.engine) as session:
        rows = session.execute(query.where(*(_is_of(*of) if of else ()), *where)).all()
    frame = pd.DataFrame(rows, columns=list(columns))
    if "stored" in columns:  # whatever Python type each value has
        frame["stored"] = pd.Series([row.stored for row in rows], dtype=object)
    return frame


def _is_of(model: Any, run: Any) -> tuple[Any, Any]:
    return model.dag_id == run.dag_id, model.run_id == run.run_id


def record_changes() -> None:
    """Let the metadata database keep every state of a task instance; Airflow keeps the newest.

    Needs SQLite's triggers, and the model's columns: their names are not typed here.
    """
    from airflow import settings
    from airflow.models.taskinstance import TaskInstance as TI

    def name(attribute: str) -> str:
        return str(getattr(TI, attribute).expression.name)

    # Not by the task instance's id: it is a new one for each try.
    keys = ", ".join(f"new.{name(key)}" for key in ("dag_id", "run_id", "task_id", "map_index"))
    table, state, trigger = TI.__table__.name, name("state"), f"{CHANGES}_kept"
    # Since 3.4 each try has a row, which changes once more when the next one begins.
    live = f"and new.{name('working_set')} " if hasattr(TI, "working_set") else ""
    with settings.engine.begin() as connection:
        connection.exec_driver_sql(
            f"create table {CHANGES} (dag_id, run_id, task, map_index, before, after)"
        )
        connection.exec_driver_sql(
            f"create trigger {trigger} after update of {state} on {table} "
            f"when old.{state} is not new.{state} and new.{state} is not null {live}begin "
            f"insert into {CHANGES} values ({keys}, old.{state}, new.{state}); end"
        )
        try:  # SQLite looks at a trigger's names only when it is used, and then stops the run
            connection.exec_driver_sql(f"update {table} set {state} = {state} where 0")
        except Exception:
            connection.exec_driver_sql(f"drop trigger {trigger}")
            connection.exec_driver_sql(f"drop table {CHANGES}")
            raise


def state_changes(run: Any) -> "DataFrame | None":
    """Return every change of state in a DagRun, by task and in order; None: it is not recorded.

    Args:
        run: anything with a dag_id and a run_id.

    Returns:
        task, map_index, before and after.
    """
    from airflow import settings
    from sqlalchemy import column, inspect, table

    if not inspect(settings.engine).has_table(CHANGES):
        return None
    names = ("task", "map_index", "before", "after")
    changes = table(CHANGES, *map(column, ("dag_id", "run_id", "rowid", *names))).c
    order = (changes.task, changes.map_index, changes.rowid)
    return _read({name: changes[name] for name in names}, of=(changes, run), order=order)


def task_state(address: str, run: Any, task_id: str) -> str | None:
    """Return the state of a task in another metadata database, without its API server.

    Args:
        address: of the database, for SQLAlchemy.
        run: anything with a dag_id and a run_id.
        task_id: the task.
    """
    from airflow.models.taskinstance import TaskInstance as TI
    from sqlalchemy import create_engine, orm, select
    from sqlalchemy.pool import NullPool

    query = select(TI.state).where(*_is_of(TI, run), TI.task_id == task_id)
    with orm.Session(create_engine(address, poolclass=NullPool)) as session:
        state: str | None = session.scalars(query).one()
    return state


def lock_task_instances(connection: Any) -> None:
    """Lock the table of task instances of a PostgreSQL until the transaction ends."""
    from airflow.models.taskinstance import TaskInstance as TI
    from sqlalchemy import text

    connection.execute(text(f"lock table {TI.__table__.name} in access exclusive mode"))


def do_not_wait_for_the_disk() -> None:
    """Let SQLite not wait for the disk at each commit: the private database ends with its process.

    Needs Airflow's engines; it connects anew for each session, and SQLite is its own choice here.
    """
    from airflow import settings
    from sqlalchemy import event

    def connected(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.close()

    for engine in (settings.engine, settings.async_engine.sync_engine):
        event.listen(engine, "connect", connected)
        engine.dispose()  # what is connected already waits for the disk


def try_mapped_tasks_again_as_set() -> None:
    """Let a mapped task without a delay of its own wait as long as the settings say.

    Airflow's settings reach all other tasks; of a mapped one its scheduler takes five minutes.
    """
    from airflow.sdk.definitions._internal.abstractoperator import DEFAULT_RETRY_DELAY
    from airflow.serialization.definitions.baseoperator import SerializedBaseOperator

    SerializedBaseOperator.retry_delay = DEFAULT_RETRY_DELAY


def build_api() -> None:
    """Build the API that tasks talk to in this process, with its newest version where that goes.

    Otherwise the first `dag.test()` builds all versions, at its first request.
    """
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    try:
        build_newest_api()
    except Exception:  # Airflow has changed: its own way
        in_process_api_server.cache_clear()
        _ask(in_process_api_server())


def build_newest_api() -> None:
    """Build the API of this process with its newest version alone, the one its client asks for.

    Needs the bundle of versions, from which Airflow makes the app at its first use, and the app's
    router. A route for older versions has to go: with the newest alone nothing brings it back.

    Raises:
        Exception: Airflow has changed. Its API may be built by half then.
    """
    from airflow.api_fastapi.execution_api import versions
    from airflow.sdk.api.datamodels._generated import API_VERSION
    from airflow.sdk.execution_time.supervisor import in_process_api_server
    from cadwyn import Version, VersionBundle
    from cadwyn.route_generation import _DELETED_ROUTE_TAG as OLDER

    whole = versions.bundle
    newest = whole.versions[0].value
    if newest != API_VERSION:
        raise LookupError(f"the client asks for {API_VERSION}, not for {newest}")
    api = in_process_api_server()
    versions.bundle = VersionBundle(whole.head_version, Version(newest))
    try:
        router = api.app._latest_version_router
    finally:
        versions.bundle = whole
    router.routes[:] = [route for route in router.routes if OLDER not in getattr(route, "tags", ())]
    _ask(api)


def _ask(api: Any) -> None:
    """Send an API of this process its first request, at which it builds its versions.

    Raises:
        Exception: it did not answer well.
    """
    # Airflow's transport fits the client library that Airflow itself uses: httpx or its next one.
    library = importlib.import_module(type(api.transport).__module__.partition(".")[0])
    client = library.Client(transport=api.transport, base_url="http://in-process.invalid./")
    client.get("/health").raise_for_status()


def redact(message: str) -> str:
    """Return a message without the secrets that Airflow knows.

    Airflow masks them where it writes a log; in a notebook nothing is written.
    """
    # Not an import: a log line of another thread must not wait until Airflow is warm.
    masker = sys.modules.get("airflow.sdk._shared.secrets_masker")
    return str(getattr(masker, "redact", str)(message))


def listen(changed: Callable[[Any, str, Any], None]) -> None:
    """Call a function for each change of a task in this process.

    Args:
        changed: gets the task instance, its new state, and the error where it failed.
    """
    from airflow.listeners import hookimpl
    from airflow.sdk.listener import get_listener_manager

    class Listener:
        @hookimpl
        def on_task_instance_running(self, task_instance: Any) -> None:
            changed(task_instance, "running", None)

        @hookimpl
        def on_task_instance_success(self, task_instance: Any) -> None:
            changed(task_instance, "success", None)

        @hookimpl
        def on_task_instance_skipped(self, task_instance: Any) -> None:
            changed(task_instance, "skipped", None)

        @hookimpl
        def on_task_instance_failed(self, task_instance: Any, error: Any) -> None:
            changed(task_instance, "failed", error)

    get_listener_manager().add_listener(Listener())


def capture_logs(
    keep: Callable[[str, str], None],
    pause: Callable[[str], None],
    wait: Callable[[], None],
) -> None:
    """Take structlog's and logging's messages out of the cells; call once.

    Args:
        keep: gets the level and the message.
        pause: gets the state in which a task lets go before it ends.
        wait: called each second in which `dag.test()` has nothing to run.
    """
    import airflow.settings  # noqa: F401  (reads the settings, configures logging)
    import structlog

    def from_structlog(logger: Any, method: str, event: Any) -> Any:
        of_server = str(getattr(logger, "name", "")).startswith(SERVER)
        if method != "debug" and not of_server:
            level = "error" if method == "exception" else method
            keep(level, str(event.get("event", "")) + _cause(event.get("exc_info")))
        if state := LETS_GO.get(str(event.get("event"))):
            pause(state)
        raise structlog.DropEvent

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            keep(record.levelname.lower(), message + _cause(record.exc_info))
            if message.startswith(WAITS):
                wait()

    # In place, because loggers made earlier hold this very list.
    structlog.get_config()["processors"].insert(0, from_structlog)
    handler = Handler(level=logging.INFO)
    names = list(logging.root.manager.loggerDict)
    for logger in [logging.getLogger(), *map(logging.getLogger, names)]:
        if logger.handlers:
            logger.handlers = [handler]


def _cause(error: Any) -> str:
    """Return the learner's own lines that an error went through, then its name and message."""
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if not isinstance(error, BaseException):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(NOT_THE_LEARNER_S)]
    if not own and isinstance(error, UnicodeEncodeError):
        return f"\n  {ONLY_ASCII}\n{type(error).__name__}: {error}"
    lines = [
        f"  {place_of(frame.filename)}, line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in own
    ]
    return "\n".join(["", *lines, f"{type(error).__name__}: {error}"])


def release_database(error: BaseException | None) -> None:
    """Give up what an interrupted Airflow holds of its database, often in mid-transaction.

    Otherwise the next run sees an old state, or finds the database locked.

    Args:
        error: the interrupt; the frames of its traceback hold database sessions.
    """
    from airflow import settings

    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    settings.Session.remove()
    gc.collect()
    settings.engine.dispose()


def settle() -> list[Any]:
    """End the threads, the loop and the connections that runs left, before this process forks.

    The API that tasks talk to stays built; each fork starts it anew.

    Returns:
        What has to stay alive in the forks: let go there, it would wait for what has ended.
    """
    from airflow import settings
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    api = in_process_api_server()
    kept = [api]
    for reference in weakref.getweakrefs(api.transport):
        end: Any = reference.__callback__
        loop, _, lifespan = end.peek()[2]
        # Not closed with the loop: then the API would ask tasks for a key.
        kept.append(lifespan.pop_all())
        end()
        loop.close()
    in_process_api_server.cache_clear()
    in_process_api_server()._app = api.app
    settings.Session.remove()
    settings.engine.dispose()
    for thread in threading.enumerate():  # one for each task, which ends within a second
        if thread is not threading.current_thread():
            thread.join(timeout=60)
    gc.collect()
    return kept


def names_with(folder: str) -> list[tuple[ModuleType, str]]:
    """Return where Airflow's modules hold a folder in their names.

    Args:
        folder: the home of this Airflow.
    """
    modules = [module for name, module in sys.modules.items() if name.startswith("airflow")]
    return [
        (module, name)
        for module in modules
        for name, value in list(vars(module).items())
        if not name.startswith("__") and _moved(value, folder, "") is not value
    ]


def move(places: list[tuple[ModuleType, str]], old: str, new: str) -> None:
    """Move this Airflow to another home, with secrets and connections of its own.

    Args:
        places: what `names_with` returned.
        old: its home's folder.
        new: the other one's; the environment names it already.
    """
    from airflow import configuration, settings
    from airflow.sdk import configuration as of_tasks

    for module, name in places:
        setattr(module, name, _moved(getattr(module, name), old, new))
    configuration.SECRET_KEY = b64encode(os.urandom(16)).decode()
    for made in (configuration, of_tasks):
        made.conf._default_values = made.create_default_config_parser(
            made.conf._configuration_description
        )
        made.conf.invalidate_cache()
    settings.configure_vars()
    settings.configure_orm()


def _moved(value: Any, old: str, new: str) -> Any:
    """Return a value with one folder in place of another, also within dicts and lists.

    A value without the folder is returned itself. Its type is asked, not the value: some of
    Airflow's names import a package when they are looked at.
    """
    kind = type(value)
    if kind is str:
        return value.replace(old, new) if old in value else value
    if issubclass(kind, Path):
        return Path(str(value).replace(old, new)) if old in str(value) else value
    if kind in (dict, list):
        pairs = list(value.items() if kind is dict else enumerate(value))
        moved = {key: _moved(held, old, new) for key, held in pairs}
        if any(moved[key] is not held for key, held in pairs):
            return moved if kind is dict else list(moved.values())
    return value


def surround(
    run_of: Callable[[Any], AbstractContextManager[None]],
    process_of: Callable[[Any, Any], AbstractContextManager[None]],
) -> None:
    """Be around each run of `dag.test()`, and around each of its tasks and triggers; call once.

    A file of the dags folder is read anew at each run. It prints nothing then, and a run that it
    begins itself is none: otherwise it would be read without end. A DAG in it is left out where
    one with the same id ran last from a cell: otherwise the two would be stored in turn.

    Args:
        run_of: gets the DAG.
        process_of: gets the task instance and the DAG.
    """
    from airflow import settings
    from airflow.dag_processing import dagbag
    from airflow.sdk import DAG
    from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor as Supervisor

    test, read = DAG.test, dagbag.BundleDagBag.__init__
    start, run_trigger = Supervisor.start, Supervisor.run_trigger_in_process
    reading: list[Any] = []
    running: list[Any] = []
    of_cells: set[str] = set()  # the ids of DAGs that ran last from a cell

    @wraps(test)
    def test_within(dag: Any, *words: Any, **more: Any) -> Any:
        if reading:
            return None
        if signature(test).bind(dag, *words, **more).arguments.get("use_executor"):
            raise Problem(NO_SERVER)  # else the run fails, or waits, without a word
        from_file = is_in(Path(settings.DAGS_FOLDER), dag)
        (of_cells.discard if from_file else of_cells.add)(dag.dag_id)
        with run_of(dag):
            running.append(dag)
            try:
                return test(dag, *words, **more)
            finally:
                running.pop()

    @wraps(read)
    def read_quietly(bag: Any, *words: Any, **more: Any) -> None:
        reading.append(bag)
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                read(bag, *words, **more)
        finally:
            reading.pop()
        for dag_id in of_cells:
            bag.dags.pop(dag_id, None)

    def start_within(*, what: Any, task: Any, **more: Any) -> Any:
        with process_of(what, task.dag):
            return start(what=what, task=task, **more)

    def run_trigger_within(*, trigger: Any, ti: Any) -> Any:
        with process_of(ti, running[-1]):
            return run_trigger(trigger=trigger, ti=ti)

    DAG.test = test_within
    dagbag.BundleDagBag.__init__ = read_quietly
    Supervisor.start, Supervisor.run_trigger_in_process = start_within, run_trigger_within


def store(dag: Any) -> None:
    """Write a DAG that is in no file of the dags folder to the database, with its source.

    `dag.test()` looks for it there. IPython keeps the text of its cells in `linecache`.

    Args:
        dag: the DAG; its file may be a cell.
    """
    from airflow import settings
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.collection import update_dag_parsing_results_in_db
    from airflow.models.dagcode import DagCode
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from sqlalchemy import orm

    def code(fileloc: str) -> str:
        return "".join(linecache.getlines(fileloc))

    dag.relative_fileloc = dag.relative_fileloc or Path(dag.fileloc).name
    manager = DagBundlesManager()
    manager.sync_bundles_to_db()
    bundle = next(iter(manager.get_all_dag_bundles()))
    linecache.checkcache(dag.fileloc)
    from_file = DagCode.__dict__["get_code_from_file"]
    DagCode.get_code_from_file = staticmethod(code)
    try:
        with orm.Session(settings.engine) as session:
            update_dag_parsing_results_in_db(
                bundle.name, None, [LazyDeserializedDAG.from_dag(dag)], {}, None, set(), session
            )
            session.commit()
    finally:
        DagCode.get_code_from_file = from_file


@contextmanager
def registering(module: ModuleType) -> Iterator[list[Any]]:
    """Yield a list of the DAGs that a module makes by `with`, `@dag` or `@asset`, bound or not.

    It is filled when the block ends, as when Airflow itself reads a file.

    Args:
        module: it stands in `sys.modules`.
    """
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    found: list[Any] = []
    DagContext.autoregistered_dags.clear()
    DagContext.current_autoregister_module_name = module.__name__
    try:
        yield found
        made = [dag for dag, _ in DagContext.autoregistered_dags]
        found += sorted(made, key=lambda dag: str(dag.dag_id))
    finally:
        DagContext.current_autoregister_module_name = None
        DagContext.autoregistered_dags.clear()


def makes_a_dag(value: Any) -> bool:
    """Return whether a value is a function under Airflow's `@dag`."""
    of_airflow = getattr(value, "__globals__", {}).get("__name__") == "airflow.sdk.definitions.dag"
    return of_airflow and hasattr(value, "__wrapped__")


def is_in(folder: Path, dag: Any) -> bool:
    """Return whether a DAG stands in a file of a folder."""
    return Path(dag.fileloc).is_relative_to(folder)


def why_not(dag: Any) -> str:
    """Return why Airflow cannot store a DAG, or run it here, as a sentence; empty: it can.

    Args:
        dag: the DAG.
    """
    from airflow.exceptions import AirflowTimetableInvalid
    from airflow.serialization.encoders import coerce_to_core_timetable
    from airflow.serialization.serialized_objects import DagSerialization

    try:
        coerce_to_core_timetable(dag.timetable).validate()
        DagSerialization.to_dict(dag)
    except AirflowTimetableInvalid as error:
        return (
            f"The schedule {dag.schedule!r} of the DAG '{dag.dag_id}' is neither a cron expression "
            f"nor a word for one, such as '@daily': {error}"
        )
    except Exception as error:
        while error.__cause__ is not None or error.__context__ is not None:
            error = error.__cause__ or error.__context__  # type: ignore[assignment]
        return f"Airflow cannot store the DAG '{dag.dag_id}': {type(error).__name__}: {error}"
    return ""


def sentence(error: Exception) -> str:
    """Return what a learner has to know of an error of `dag.test()`; empty: nothing is known."""
    from airflow.sdk.exceptions import ParamValidationError
    from sqlalchemy.exc import StatementError

    if isinstance(error, StatementError) and "FROM deadline_alert" in str(error.statement):
        return DEADLINE
    if isinstance(error, ParamValidationError):
        wrong = str(error).partition("\n")[0].rstrip(".")
        return f"{wrong}. Give params their values: dag.test(run_conf={{...}})."
    return ""


def why_it_waits(dag_id: str) -> dict[str, str]:
    """Return what the newest run of a DAG waits for, and who ends that: time, a person or nobody.

    Args:
        dag_id: of a DAG of which `dag.test()` has nothing to run now.
    """
    from airflow import settings
    from airflow.models.dagbag import DBDagBag
    from airflow.models.dagrun import DagRun
    from airflow.ti_deps.deps.prev_dagrun_dep import PrevDagrunDep
    from airflow.ti_deps.deps.trigger_rule_dep import TriggerRuleDep
    from airflow.utils.state import State, TaskInstanceState
    from sqlalchemy import orm, select

    found: dict[str, str] = {}
    with orm.Session(settings.engine) as session:
        newest = select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(1)
        run = session.scalars(newest).one()
        dag = DBDagBag().get_dag_for_run(run, session)
        for ti in run.get_task_instances(session=session):
            if ti.state in State.finished or dag is None:
                continue
            if ti.state == TaskInstanceState.AWAITING_INPUT:
                found[f"'{ti.task_id}' waits for a person, who answers in Airflow's UI"] = (
                    "a person"
                )
                continue
            ti.task = dag.get_task(ti.task_id)
            for status in ti.get_failed_dep_statuses(session=session):
                if status.dep_name != TriggerRuleDep.NAME:
                    told = f"'{ti.task_id}' waits. {status.reason.rstrip('.')}"
                    found[told] = "nobody" if status.dep_name == PrevDagrunDep.NAME else "time"
        session.rollback()
    return found


def first_ticks(dag: Any, count: int) -> list[Any]:
    """Return the first times after November 2018 at which a DAG's schedule makes it run.

    They are in the schedule's own time zone.
    """
    import pendulum
    from airflow.serialization.encoders import coerce_to_core_timetable
    from airflow.timetables.base import TimeRestriction

    timetable = coerce_to_core_timetable(dag.timetable)
    kept = timetable.serialize().get("timezone")
    zone = dag.timezone if kept is None else pendulum.timezone(kept)
    when = TimeRestriction(pendulum.datetime(2018, 12, 1, tz="UTC"), None, True)
    ticks: list[Any] = []
    last = None
    for _ in range(count):
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=when)
        if info is None:
            break
        ticks.append(info.run_after.in_timezone(zone))
        last = info.data_interval
    return ticks


def read_dag_files(folder: str) -> tuple[int, dict[str, str]]:
    """Return how many DAGs the files of a folder hold, and the errors of those that fail, by file.

    Args:
        folder: with DAG files.
    """
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(folder)
    return len(bag.dags), dict(bag.import_errors)
