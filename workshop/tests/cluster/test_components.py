"""Components of a cluster without an Airflow: what ends them, and what a question comes to."""

import base64
import html
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pytest

from workshop import sandbox
from workshop.authoring.checking.headless import code_of, read
from workshop.authoring.checking.pictures import picture_flaws
from workshop.cluster import Components, cluster, launcher, screenshot, trials, waiting
from workshop.cluster.keeper import alive
from workshop.ground import NOTEBOOKS, Problem
from workshop.show import Progress, draw

SLEEP = ["sleep", "3600"]


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Components]:
    """Return components with a process that stands for the API server."""
    home = tmp_path / "home"
    home.mkdir()
    made = Components(home, tmp_path, dict(os.environ))
    made.start("api-server", SLEEP)
    made.token = "known"
    first = made.processes["api-server"]
    yield made
    first.kill()  # a test may have put another in its place
    made.stop()


def processes(it: Components) -> list[psutil.Process]:
    return [process for part in it.tree().values() for process in part]


def test_whoever_waits_sees_the_seconds_pass(it: Components, monkeypatch: Any) -> None:
    shown: list[str] = []
    monkeypatch.setattr(Progress, "show", lambda self, text: shown.append(text))
    times = iter([0.0, 1.2, 3.4, 5.6])
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=times.__next__, sleep=abs))
    answers = iter(range(4))
    waiting.wait_for(answers.__next__, lambda n: n == 3, str, show=lambda n: f"{n} of 3")
    assert shown == ["0 of 3\n1 s", "1 of 3\n3 s", "2 of 3\n6 s"]
    monkeypatch.undo()
    monkeypatch.setattr(Progress, "show", lambda self, text: shown.append(text))
    it.stop()
    assert shown[-1].startswith("Everything that was started ends.")


def test_what_components_store_is_encrypted_with_a_key_of_their_own(
    it: Components, tmp_path: Path
) -> None:
    """Without one in the environment, some forks encrypt with what others cannot read."""
    home = tmp_path / "other"
    home.mkdir()
    other = Components(home, tmp_path, dict(os.environ))
    keys = [made.environment["AIRFLOW__CORE__FERNET_KEY"] for made in (it, other)]
    other.stop()
    assert keys[0] != keys[1]
    assert [len(base64.urlsafe_b64decode(key)) for key in keys] == [32, 32]


@pytest.mark.parametrize("own", ["None", "{'HOME': os.environ['HOME']}"])
def test_the_bash_of_a_task_does_not_read_the_reader_s_files(tmp_path: Path, own: str) -> None:
    """A task has a socket for its input, and bash takes that for a login from the network."""
    (tmp_path / ".bashrc").write_text("echo read\n", encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    made = Components(home, tmp_path, sandbox.handed_on() | {"HOME": str(tmp_path)})
    environment = made.environment
    made.stop()
    code = f"import os, subprocess; subprocess.run(['bash', '-c', 'echo ran'], env={own})"

    def said() -> str:
        ours, its = socket.socketpair()
        with ours, its:
            return subprocess.run(
                [sys.executable, "-c", code], env=environment, stdin=its.fileno(),
                stdout=subprocess.PIPE, text=True, check=True,
            ).stdout  # fmt: skip

    assert said() == "ran\n"
    del environment["SHLVL"]
    assert said() == "read\nran\n", "this bash shows nothing"


def test_all_ends_and_the_home_goes(it: Components) -> None:
    it.start("more", ["bash", "-c", "sleep 3600 & sleep 3600 & wait"])
    started = processes(it)
    it.stop()
    assert not list(filter(alive, started))
    assert not it.home.exists()
    it.stop()


def test_all_ends_though_somebody_killed_the_keeper(it: Components) -> None:
    it._keeper.kill()
    it._keeper.wait(600)
    it.start("more", SLEEP)
    started = processes(it)
    assert len(started) == 2
    it.stop()
    assert not list(filter(alive, started))
    assert not it.home.exists()


def test_an_interrupt_meanwhile_changes_nothing(it: Components, monkeypatch: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started, wait = processes(it), it._keeper.wait

    def interrupted(seconds: float) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return wait(seconds)

    monkeypatch.setattr(it._keeper, "wait", interrupted)
    it.stop()
    assert not list(filter(alive, started))
    with pytest.raises(KeyboardInterrupt):  # it is heard again
        os.kill(os.getpid(), signal.SIGINT)


def test_nothing_starts_while_all_is_being_ended(it: Components) -> None:
    it.stop()
    with pytest.raises(Problem, match="It was stopped while it started"):
        it.start("more", SLEEP)
    assert "more" not in it.processes


# --- what is forked

# Stands for Airflow: it has the modules that are imported first, and says what it is run with.
AIRFLOW = """
import json, os, signal, sys
names = ("GCPSPY_HOST", "AIRFLOW_HOME", "PATH")
print(json.dumps({
    "words": sys.argv,
    "name": __name__,
    "path": sys.path,
    "environment": {name: os.environ.get(name) for name in names},
    "leads": os.getpgid(0) == os.getpid(),
    "terminate": str(signal.getsignal(signal.SIGTERM)),
    "open": [os.path.basename(os.readlink(f"/proc/self/fd/{name}")) for name in range(3)],
    "sockets": [name for name in range(3, 99) if os.path.exists(f"/proc/self/fd/{name}")],
}), flush=True)
if "named" in sys.argv:
    import setproctitle
    setproctitle.setproctitle("a name")
if "sleep" in sys.argv:
    print("sleeps", flush=True)
    signal.pause()
sys.exit(3)
"""


@pytest.fixture
def airflow(tmp_path: Path, monkeypatch: Any) -> Path:
    """Return the folder of a stand-in for the package Airflow, in the current folder."""
    package = tmp_path / "airflow"
    for name in launcher.MODULES:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        for empty in (package / "__init__.py", path.parent / "__init__.py", path):
            empty.touch()
    (package / "__main__.py").write_text(AIRFLOW, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return package


def ended(it: Components, name: str) -> str:
    it.processes[name].wait(600)
    with pytest.raises(Problem) as raised:
        it.ensure_running()
    del it.processes[name]
    return str(raised.value)


def test_a_fork_is_run_as_python_runs_airflow(it: Components, airflow: Path) -> None:
    said = []
    # A setting of its own is read at the import, so this one is no fork.
    for env in ({"GCPSPY_HOST": "w"}, {"GCPSPY_HOST": "w", "AIRFLOW__CELERY__POOL": "solo"}):
        it.airflow("same", "celery", "worker", env=env)
        assert isinstance(it.processes["same"], launcher.Fork) == (len(env) == 1)
        assert ended(it, "same").startswith("same ended with status 3: {")
        said.append(json.loads(it.printed("same").splitlines()[-1]))
    forked, plain = said
    assert forked == plain
    assert forked["words"][1:] == ["celery", "worker"] and forked["leads"]
    assert forked["open"] == ["null", "same.log", "same.log"] and not forked["sockets"]


def test_all_forks_end_and_each_that_is_killed_is_named(it: Components, airflow: Path) -> None:
    for name in ("one", "two", "named"):
        it.airflow(name, name, "sleep")
        while "sleeps" not in it.printed(name):
            time.sleep(0.01)
    started = processes(it)
    assert len(started) == len(it.tree()) == 5, "each is counted once"
    assert "a name" in psutil.Process(it.processes["named"].pid).cmdline()
    home = psutil.Process(it.processes["one"].pid).environ()["AIRFLOW_HOME"]
    assert home == str(it.home), "the keeper knows them by it"
    psutil.Process(it.processes["two"].pid).kill()
    assert ended(it, "two") == "two ended with status -9: sleeps"
    with pytest.raises(subprocess.TimeoutExpired):
        it.processes["one"].wait(0.1)
    it.stop()
    assert not list(filter(alive, started)) and not it.home.exists()
    assert it.processes["one"].poll() == -signal.SIGTERM


def test_a_killed_launcher_is_named(it: Components, airflow: Path) -> None:
    it.airflow("scheduler")
    it.processes.pop("scheduler").wait(600)
    it.processes["launcher"].kill()
    assert ended(it, "launcher").startswith("launcher ended with status -9")
    it.airflow("scheduler")  # without it
    assert ended(it, "scheduler").startswith("scheduler ended with status 3: {")


@pytest.mark.parametrize(
    "first",
    [
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "1 / 0",
    ],
)
def test_where_nothing_can_be_forked_each_starts_by_itself(
    it: Components, airflow: Path, first: str
) -> None:
    (airflow / "cli" / "cli_parser.py").write_text(first, encoding="utf-8")
    for _ in range(2):
        it.airflow("scheduler")
        assert "launcher" not in it.processes
        assert ended(it, "scheduler").startswith("scheduler ended with status 3: {")


@pytest.fixture
def answers(it: Components) -> Iterator[list[Any]]:
    """Return a list of what the API server will answer: statuses, or what returns one.

    The status 0 is no answer.
    """
    statuses: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = statuses.pop(0)
            if status := status() if callable(status) else status:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            self.close_connection = True

        do_POST = do_GET

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    it.address = f"http://127.0.0.1:{server.server_port}"
    yield statuses
    server.shutdown()
    server.server_close()


def test_a_question_is_asked_again_until_it_has_an_answer(
    it: Components, answers: list[Any]
) -> None:
    answers += [500, 0, 503, 200, 404]
    assert it.call("GET", "dags").status_code == 200
    assert it.call("GET", "dags/none").status_code == 404
    assert answers == []


@pytest.mark.parametrize("ask", [lambda it: it.call("GET", "dags"), Components.healthy])
def test_who_waits_for_one_slow_answer_sees_the_seconds_pass(
    it: Components, answers: list[Any], monkeypatch: Any, ask: Any
) -> None:
    shown: list[str] = []
    seen = threading.Event()
    monkeypatch.setattr(waiting, "TICK", 0.01)

    def show(_: Progress, text: str) -> None:
        shown.append(text)
        seen.set()

    monkeypatch.setattr(Progress, "show", show)
    answers.append(lambda: 200 if seen.wait(600) else 500)
    ask(it)
    assert re.fullmatch(r"Waiting for the api-server's answer: \d+ s", shown[0])


def test_a_slow_answer_is_a_line_below_what_is_waited_for(
    it: Components, answers: list[Any], monkeypatch: Any
) -> None:
    """In the same place: else each slow answer left an empty output behind."""
    shown: list[tuple[Progress, str]] = []
    line = "Waiting for the api-server's answer: "
    monkeypatch.setattr(waiting, "TICK", 0.01)
    monkeypatch.setattr(Progress, "show", lambda self, text: shown.append((self, text)))

    def slow() -> int:
        while not shown or line not in shown[-1][1]:
            time.sleep(0.01)
        return 404

    answers += [404, slow, 200]
    waiting.wait_for(
        lambda: it.call("GET", "dags"),
        lambda answer: answer.status_code == 200,
        str,
        show=lambda _: "Waiting.",
    )
    assert len({progress for progress, _ in shown}) == 1
    told = next(text for _, text in shown if line in text)
    assert re.fullmatch(rf"Waiting\.\n\d+ s\n{line}\d+ s", told)
    assert line not in shown[-1][1]


def test_an_interrupt_ends_the_wait_for_an_answer(it: Components, answers: list[Any]) -> None:
    asked, over = threading.Event(), threading.Event()

    def never() -> int:
        asked.set()
        over.wait(600)
        return 200

    answers.append(never)

    def interrupt() -> None:
        asked.wait(600)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        it.call("GET", "dags")
    over.set()


@pytest.mark.parametrize(("status", "wrong"), [(500, "500 Internal Server Error"), (0, "Connect")])
def test_what_changes_something_is_not_asked_twice(
    it: Components, answers: list[Any], status: int, wrong: str
) -> None:
    answers += [status, 200]
    with pytest.raises(Problem, match=f"The api-server did not answer POST pools: {wrong}"):
        it.call("POST", "pools", {})
    assert answers == [200]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["api-server", "postgres"])
@pytest.mark.parametrize("status", [0, 500])
def test_a_process_that_is_killed_meanwhile_is_named(
    it: Components, answers: list[Any], method: str, name: str, status: int
) -> None:
    it.start(name, ["bash", "-c", "echo its last line; exec sleep 3600"])
    log = it.home / "logs" / f"{name}.log"
    while not log.read_text():
        time.sleep(0.01)

    def dies() -> int:
        it.processes[name].kill()
        it.processes[name].wait(600)
        return status

    answers.append(dies)
    with pytest.raises(Problem) as raised:
        it.call(method, "dags", {})
    assert str(raised.value) == f"{name} ended with status -9: its last line"


def test_who_waits_for_a_triggerer_s_words_hears_of_its_death(
    it: Components, monkeypatch: Any
) -> None:
    came = pd.DataFrame({"title": ["late: 2", "late: 1"]}, index=[4, 7])
    monkeypatch.setattr(sandbox, "arrived", lambda: came)
    for name in ("scheduler", "triggerer"):
        it.start(name, SLEEP)
    it.processes["triggerer"].kill()
    it.processes["triggerer"].wait(600)
    waits: Any = it
    told = trials.until_told(waits, "late", 2)  # what came counts, whoever ended since
    assert list(told["title"].items()) == [(0, "late: 1"), (1, "late: 2")]
    with pytest.raises(Problem, match="triggerer ended with status -9"):
        trials.until_told(waits, "late", 3)
    del it.processes["triggerer"]
    with pytest.raises(Problem, match=r"no triggerer now.*airflow\('triggerer'\)"):
        trials.until_told(waits, "late", 3)


def test_one_that_was_taken_away_is_named_with_the_way_back(it: Components) -> None:
    taken = it.processes.pop("api-server")
    with pytest.raises(Problem, match=r"no api-server now.*airflow\('api-server'\)"):
        it.call("GET", "dags")
    taken.kill()


@pytest.mark.parametrize(
    ("limit", "free"), [("max", 6.0), (str(8 * 2**30), 5.5), (str(100 * 2**30), 6.0), (None, 6.0)]
)
def test_a_container_s_limit_counts(
    tmp_path: Path, monkeypatch: Any, limit: str | None, free: float
) -> None:
    machine = type("Machine", (), {"available": 6 * 2**30})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    monkeypatch.setattr(cluster, "CGROUP", tmp_path)
    if limit:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text(f"{3 * 2**30}\n")
        (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {2**29}\n")
    assert cluster.free_memory() == free


def test_little_memory_is_said_and_refuses_nothing(monkeypatch: Any, capsys: Any) -> None:
    def stop_here() -> None:
        raise Problem("far enough")

    monkeypatch.setattr(cluster, "executors_ready", stop_here)
    for free, words in ((0.5, "takes about 1.0 GiB of memory, and 0.5 are free"), (3.0, "")):
        monkeypatch.setattr(cluster, "free_memory", lambda free=free: free)
        with pytest.raises(Problem, match="far enough"):
            cluster.Cluster("local")
        said = capsys.readouterr().out
        assert words in said and bool(said) == bool(words)


def test_the_way_to_a_ui_is_a_button_only_where_somebody_looks(monkeypatch: Any) -> None:
    path = "/user/anna/proxy/absolute/4242/"
    door = cluster.Door("Executor <of> 'Anna'", path)
    assert "admin" in repr(door) and "4242" not in repr(door)
    monkeypatch.setattr(Progress, "is_seen", lambda: False)
    assert "4242" not in door._repr_html_() and "<button" not in door._repr_html_()
    monkeypatch.setattr(Progress, "is_seen", lambda: True)
    shown = door._repr_html_()
    found = re.search(r"data-commandlinker-args='([^']*)'", shown)
    assert found and json.loads(html.unescape(found[1])) == {
        "id": path, "title": door.name, "url": path, "newBrowserTab": False,
    }  # fmt: skip
    assert "<of>" not in shown


def test_an_address_with_a_path_has_its_port(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    address = "http://127.0.0.1:4242/user/anna/proxy/absolute/4242"
    made = Components(home, tmp_path, dict(os.environ), address=address)
    try:
        assert made.environment["AIRFLOW__API__PORT"] == "4242"
        assert made.environment["AIRFLOW__API__BASE_URL"] == address
        tasks = made.environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
        assert tasks == f"{address}/execution/"
    finally:
        made.stop()


@pytest.mark.parametrize(
    ("executor", "running", "asks"),
    [
        ("local", ["postgres", "scheduler"], {"scheduler": "postgres tasks"}),
        ("celery", ["redis", "scheduler", "w"],
         {"scheduler": "postgres redis", "w": "redis api-server files postgres"}),
        ("kubernetes", ["dag-processor"],
         {"dag-processor": "postgres files", "Kubernetes": "pods", "pods": "api-server files"}),
    ],
)  # fmt: skip
def test_the_architecture_is_of_what_runs(
    executor: str, running: list[str], asks: dict[str, str]
) -> None:
    it: Any = SimpleNamespace(executor=executor, workers=["w"], tree=lambda: dict.fromkeys(running))
    drawn = draw(cluster.Cluster.architecture(it)).text
    arrows = {line.replace('"', "") for line in drawn.splitlines()}
    told = {f"{who} -> {it}" for who, asked in asks.items() for it in asked.split()}
    if executor == "local":
        told |= {"tasks -> api-server", "tasks -> files"}
    assert arrows == {arrow.replace("files", "DAG files") for arrow in told}
    then = draw(cluster.Cluster.architecture(it, talk=True)).text
    assert "scheduler -> RDBMS" in then and then != drawn


def test_the_pictures_of_the_ui_are_of_this_airflow_and_of_gcp_spy() -> None:
    outputs = [
        out for cell in code_of(read(NOTEBOOKS / "06_the_whole_dag.ipynb")) for out in cell.outputs
    ]
    texts = {out.data["text/plain"] for out in outputs if "data" in out}
    (of_a_run,) = [text for text in texts if text.startswith("gcp_spy [success]")]
    drawn = of_a_run.splitlines()
    tasks = [line.split()[0] for line in drawn[2 : drawn.index("edges")]]
    arrows = [line.strip() for line in drawn[drawn.index("edges") + 1 :]]
    said = {name: screenshot(name).text.splitlines() for name in ("grid", "graph")}
    for name, (title, *_) in said.items():
        assert title == f"gcp_spy's {name} in the UI of Airflow {version('apache-airflow-core')}", (
            "make record-ui, then make record NOTEBOOK=08_local_executor"
        )
        picture = screenshot(name)
        forms = {"text/plain": picture.text, "text/html": picture._repr_html_()}
        assert not list(picture_flaws(forms))
        forms["text/plain"] = picture.text.replace("success", "failed", 1)
        assert "lacks 1 of its text" in " ".join(picture_flaws(forms))
    assert said["grid"][1:] == [f"{task}: success, success, success" for task in tasks]
    boxes = [line.split() for line in said["graph"][1 : len(tasks) + 1]]
    assert [(box[0], box[-1]) for box in boxes] == [(task, "success") for task in tasks]
    assert said["graph"][len(tasks) + 1 :] == arrows


def test_a_picture_of_the_ui_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(Problem, match="no picture 'gantt' of the UI, only grid and graph"):
        screenshot("gantt")
