"""`watch(dag)`: what travels to the browser while a DAG runs, and what is stored."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from workshop import sandbox, show
from workshop.ground import Problem
from workshop.lab import Runs, TaskLogs, current, inside
from workshop.show import Graphs, Progress, live, watch
from workshop.show.graphs import PRIORITY
from workshop.show.live import RunBar
from workshop.slides import Builder


@pytest.fixture
def whole(lab: Any) -> Any:
    names: dict[str, Any] = {}
    Builder(names).catch_up(47)
    return names["dag"]


@pytest.fixture
def sent(monkeypatch: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(live.Watched, "send", lambda self, content: messages.append(content))
    return messages


def test_each_change_travels_while_the_dag_runs(whole: Any, sent: list[dict[str, Any]]) -> None:
    sandbox.enter("talk")
    watched = watch(whole)
    assert watched.run == ""
    run = whole.test()
    states = [message["known"]["state"] for message in sent if message["task"] == "send_email"]
    assert states == ["running", "success"]
    assert watched.run == "running"  # the cell has not ended
    current()[Graphs].settle()
    assert watched.run == run.state == "success"
    listed = watched.tasks["gcp_service_list_instances_sql"]
    assert (listed["state"], listed["tries"]) == ("success", 1)
    assert listed["xcom"] == ["return_value: orders-db orders-db-replica reporting-pg"]
    assert any("orders-db" in line for line in listed["log"])
    assert listed["seconds"] < 30


def test_states_that_no_listener_tells_come_from_the_run(
    dag_with: Any, sent: list[dict[str, Any]]
) -> None:
    sandbox.enter("talk")
    fails = "def send_slack_msg(**context):\n    raise ValueError('<b>no</b>')\n"
    dag = dag_with(47, "send_slack_msg", fails)
    watched = watch(dag)
    assert dag.test().state == "failed"
    current()[Graphs].settle()
    states = [m["known"]["state"] for m in sent if m["task"] == "send_slack_msg_task"]
    assert states == ["running", "up_for_retry", "running", "failed"]
    assert watched.tasks["send_slack_msg_task"]["tries"] == 2
    assert any("<b>no</b>" in line for line in watched.tasks["send_slack_msg_task"]["log"])


def test_what_never_ran_is_shown_too(lab: Any, dag_with: Any) -> None:
    sandbox.enter("talk")
    dag = dag_with(
        47, "dependencies",
        "def fail():\n    raise ValueError\n"
        "broken = PythonOperator(task_id='broken', python_callable=fail, retries=0, dag=dag)\n"
        "broken >> prepare_email_task >> send_email_task\n",
    )  # fmt: skip
    watched = watch(dag)
    dag.test()
    current()[Graphs].settle()
    assert watched.tasks["send_email"] == {"tries": 0, "state": "upstream_failed"}
    assert watched.run == "failed"


def test_a_run_that_somebody_deleted_is_no_error_in_the_cells_after_it(whole: Any) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    sandbox.enter("talk")
    watched = watch(whole)
    run = whole.test()
    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.id == run.id))
    for _ in range(2):
        current()[Graphs].settle()
        assert watched.run == "deleted"
        assert watched.tasks["send_email"]["state"] == "success"


def test_the_drawing_follows_a_dag_that_has_changed(whole: Any, dag_with: Any) -> None:
    sandbox.enter("talk")
    watched = watch(whole)
    more = (
        "prepare_email_task >> send_email_task\n"
        "send_email_task >> BashOperator(task_id='z', bash_command='echo', dag=dag)\n"
    )
    dag_with(47, "dependencies", more).test()
    assert ">z<" in watched.graphs["unfolded"]


def test_an_arrow_that_is_new_inside_a_group_is_drawn_and_seconds_have_tenths(
    lab: Any, sent: list[dict[str, Any]], monkeypatch: Any
) -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, TaskGroup

    def inner(*, arrow: bool) -> Any:
        with DAG("inner") as dag, TaskGroup("g"):
            a, b = (EmptyOperator(task_id=name) for name in "ab")
            if arrow:
                a >> b
        return dag

    # Not by watch(): its run is in no database, where the next cell would look for it.
    watched, times = live.Watched(inner(arrow=False)), iter([10.0, 12.34])
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: next(times)))
    ti = {"dag_id": "inner", "run_id": "r", "task_id": "g.a", "map_index": -1, "try_number": 1}
    task = SimpleNamespace(dag=inner(arrow=True))
    watched.changed(SimpleNamespace(**ti, task=task), "running")
    assert watched.graphs["unfolded"].count('class="edge"') == 1
    assert sent[-1]["known"] == {"state": "running", "tries": 1, "seconds": 2.3}


def big() -> Any:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, TaskGroup

    with DAG("big") as dag:
        end = EmptyOperator(task_id="end")
        for number in range(20):
            with TaskGroup(f"project_{number}") as group:
                EmptyOperator(task_id="list") >> [
                    EmptyOperator(task_id=f"service_{n}") for n in range(9)
                ]
            group >> end
    return dag


def test_two_hundred_tasks_fold_into_their_groups(lab: Any) -> None:
    watched = watch(big())
    assert watched.graphs["folded"].count('class="node"') == 21
    assert watched.graphs["unfolded"].count('class="node"') == 201
    assert len(watched.boxes["project_3"]) == 10
    folded = show.draw(big(), fold=True)
    assert "  project_3 -> end" in folded.text
    assert "  project_3.list -> project_3.service_1" in show.draw(big()).text


def test_it_is_stored_as_text_and_an_image(whole: Any) -> None:
    watched = watch(whole)
    data = watched._repr_mimebundle_()
    assert "prepare_email_task -> send_email" in data["text/plain"]
    assert data["text/html"].startswith("<img alt=")
    assert "application/vnd.jupyter.widget-view+json" in data


def test_watch_says_what_it_shows() -> None:
    with pytest.raises(Problem, match=r"not a str: write watch\(dag\)"):
        watch("gcp_spy")


def test_the_browser_has_the_order_of_states_from_here(whole: Any) -> None:
    watched = watch(whole)
    assert watched.order == list(PRIORITY)
    assert "_failed" not in watched._esm, "it has none of its own"


def test_the_browser_takes_the_state_that_airflow_would(whole: Any, tmp_path: Any) -> None:
    """Where there is a Node."""
    if not shutil.which("node"):
        pytest.skip("no Node on this machine")
    script = re.sub("export default.*", "", live.Watched._esm)
    asks = """
const told = JSON.parse(process.argv[2]);
const model = { get: (name) => told[name] };
console.log(JSON.stringify(told.ask.map((box) => known(model, box).state ?? null)));
"""
    (tmp_path / "known.js").write_text(script + asks, encoding="utf-8")
    told = {
        "order": watch(whole).order,
        "tasks": {"a": {"state": "success"}, "b": {"state": "skipped"}, "c": {"state": "failed"}},
        "boxes": {"ab": ["a", "b"], "abc": ["a", "b", "c"], "ad": ["a", "d"], "b": ["b"]},
        "ask": ["ab", "abc", "ad", "b"],
    }
    command = ["node", str(tmp_path / "known.js"), json.dumps(told)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == ["success", "failed", None, "skipped"]


class Shown(Progress):
    """Keeps what a bar shows, as if somebody looked."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__()
        self.texts = texts

    @staticmethod
    def is_seen() -> bool:
        return True

    def show(self, text: str, done: float | None = None, total: float | None = None) -> None:
        self.texts.append(f"{done:g} of {total:g}: {text}")


@pytest.fixture
def bar(lab: Any) -> Iterator[Callable[[float], list[str]]]:
    """Return a function that gives runs a bar after some seconds, and what it shows."""
    session, logs, runs = current(), current()[TaskLogs], current()[Runs]
    before, observers, around = session[Graphs], list(logs.observers), list(runs.around)

    def show_after(patience: float) -> list[str]:
        texts: list[str] = []
        graphs = session.put(Graphs(lambda: Shown(texts), patience))
        logs.observers[:], runs.around[:] = [graphs.changed], [graphs.run, logs.run]
        return texts

    yield show_after
    session.put(before)
    logs.observers[:], runs.around[:] = observers, around


def test_a_long_run_that_nobody_watches_shows_how_far_it_is(whole: Any, bar: Any) -> None:
    shown = bar(0.01)
    sandbox.enter("talk")
    for _ in range(2):
        whole.test()
        line = r"(\d) of 7: gcp_spy: \1 of 7 tasks have ended, \d+ s"
        counts = [int(re.fullmatch(line, text)[1]) for text in shown]  # type: ignore[index]
        assert counts == sorted(counts)
        assert counts[0] == 0 and len(set(counts)) > 3
        shown.clear()


def test_a_short_run_shows_no_bar(whole: Any, bar: Any) -> None:
    shown = bar(3600.0)
    sandbox.enter("talk")
    whole.test()
    assert shown == []


def wait_for(text: str, shown: list[str]) -> None:
    """Wait until a bar shows a text; it has some seconds of its own steps for it."""
    end, most = time.monotonic() + 600, len(shown) + 1000
    while not (shown and re.fullmatch(text, shown[-1])):
        assert time.monotonic() < end and len(shown) < most, shown[-1:]
        time.sleep(0.01)


def test_a_bar_counts_what_never_runs_and_each_instance_of_a_mapped_task(bar: Any) -> None:
    from airflow.sdk import DAG, task
    from airflow.sdk.exceptions import AirflowSkipException

    shown = bar(0.01)
    with DAG("never") as dag:

        @task
        def does(what: Any) -> None:
            if what:
                raise what

        @task(trigger_rule="all_done")
        def last() -> None:
            wait_for(r"7 of 8: never: 7 of 8 tasks have ended, \d+ s", shown)

        failed = does.override(task_id="fails")(ValueError()) >> does.override(task_id="f")(None)
        skipped = does.override(task_id="skips")(AirflowSkipException()) >> does.override(
            task_id="s"
        )(None)
        [failed, skipped, does.expand(what=[None, None, None])] >> last()
    assert show.states(dag.test()) == {
        "does": "success", "f": "upstream_failed", "fails": "failed", "last": "success",
        "s": "skipped", "skips": "skipped",
    }  # fmt: skip


def test_a_bar_asks_the_database_once_a_step_however_much_changes(
    lab: Any, monkeypatch: Any
) -> None:
    asked: list[str] = []

    def task_instances(run: Any) -> pd.DataFrame:
        asked.append(run.run_id)
        return pd.DataFrame({"task": "a", "map_index": range(900), "state": None})

    monkeypatch.setattr(inside, "task_instances", task_instances)
    texts: list[str] = []
    bar = RunBar(SimpleNamespace(dag_id="d", tasks=["a"]), Shown(texts), 0.01)
    for index in range(900):
        ti = SimpleNamespace(dag_id="d", run_id="r", task_id="a", map_index=index)
        bar.changed(ti, "success")
    wait_for(r"900 of 900: .*", texts)
    bar.end()
    assert set(asked) == {"r"} and len(asked) < 90


def test_what_ends_in_airflow_has_ended_for_a_bar() -> None:
    from airflow.utils.state import State

    assert {state.value for state in State.finished} == set(live.ENDED)


def test_a_bar_says_that_a_task_waits_for_its_trigger(lab: Any) -> None:
    texts: list[str] = []
    bar = RunBar(SimpleNamespace(dag_id="d", tasks=["a", "b", "c"]), Shown(texts), 0.01)
    for state, waits in [("running", ""), ("deferred", r"\n'a' waits for its trigger"),
                         ("running", "")]:  # fmt: skip
        bar.changed(SimpleNamespace(dag_id="d", run_id="r", task_id="a", map_index=-1), state)
        wait_for(rf"0 of 3: d: 0 of 3 tasks have ended, \d+ s{waits}", texts)
    bar.end()
    assert not bar._thread.is_alive()


def test_what_a_run_waits_for_is_said_once_where_time_alone_does_not_end_it(capsys: Any) -> None:
    graphs = Graphs()
    for what, ends in [("a", True), ("b", False), ("b", False), ("c", True), ("d", False)]:
        graphs.waits(what, ends)
    assert capsys.readouterr().out == "b\nd\n"
