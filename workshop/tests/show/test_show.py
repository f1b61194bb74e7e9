"""Pictures, tables and logs of a DagRun."""

import base64
import re
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import graphviz
import pandas as pd
import pytest

from workshop import sandbox, show
from workshop.ground import Problem
from workshop.lab import inside
from workshop.lab.dagcell import write
from workshop.show.graphs import PLAIN, PRIORITY, STATE_COLORS, states, worst
from workshop.slides import Builder


@pytest.fixture(scope="module")
def built(lab: Any) -> tuple[Any, Any]:
    """Return the whole DAG and a run of it in the world `talk`."""
    sandbox.enter("talk")
    names: dict[str, Any] = {}
    Builder(names).catch_up(47)
    return names["dag"], names["dag"].test()


def test_a_dag_as_text_and_picture(built: tuple[Any, Any]) -> None:
    picture = show.draw(built[0])
    lines = repr(picture).splitlines()
    assert lines[0] == "gcp_spy"
    assert lines[1:9] == ["tasks", *sorted(lines[2:9])]
    assert "  prepare_email_task -> send_email" in lines
    assert len(lines[lines.index("edges") + 1 :]) == 9
    markup = picture._repr_html_()
    assert 'alt="Graph of the DAG gcp_spy: 7 tasks, 9 dependencies"' in markup
    assert "<script" not in markup
    assert picture.svg.count('class="node"') == 7
    assert picture.svg.count('class="edge"') == 9
    places = [re.findall(r'<text [^>]*x="([-\d.]+)" y="([-\d.]+)"', drawn_node(picture, task))[0]
              for task in ("prepare_email_task", "send_email")]  # fmt: skip
    assert float(places[0][0]) < float(places[1][0]), "from left to right"
    assert STATE_COLORS["success"] not in picture.svg


def test_a_run_shows_states(built: tuple[Any, Any]) -> None:
    text = repr(show.draw(built[1]))
    assert text.startswith("gcp_spy [success]\n")
    assert "  send_email [success]" in text
    assert show.draw(built[1]).svg.count(STATE_COLORS["success"]) >= 7


def test_changes_that_are_not_recorded_are_a_sentence(
    built: tuple[Any, Any], monkeypatch: Any
) -> None:
    monkeypatch.setattr(inside, "state_changes", lambda run: None)
    with pytest.raises(Problem) as raised:
        show.changes(built[1])
    assert str(raised.value) == (
        "The changes of state are not recorded: this Airflow keeps its task instances in another "
        "way. tasks(run) shows the newest state of each."
    )


def test_a_grid_of_states(lab: Any) -> None:
    states = pd.DataFrame({"01": ["success", "failed"]}, index=["count", "<report>"])
    picture = show.draw(states)
    assert repr(picture).splitlines()[-1].split() == ["<report>", "failed"]
    assert "✗ failed" in picture.svg and "&lt;report&gt;" in picture.svg
    assert "failed" in picture.alt


LETTER = 8  # pixels, about


def test_the_parts_of_a_grid_lie_beside_each_other(lab: Any) -> None:
    columns = [f"{day:02}" for day in range(1, 13)]
    states = pd.DataFrame("success", index=["count", "a_longer_name"], columns=columns)
    states.loc["count", "02":"04"] = ["failed", "removed", None]
    grid = ElementTree.fromstring(show.draw(states).svg)
    width, height = float(grid.attrib["width"]), float(grid.attrib["height"])
    boxes = [it.attrib for it in grid if it.tag.endswith("rect")]
    texts = [(it.text or "", float(it.attrib["x"]), float(it.attrib["y"]), it.get("text-anchor"))
             for it in grid if it.tag.endswith("text")]  # fmt: skip
    assert [text for text, _, _, anchor in texts if not anchor] == [
        "count", "a_longer_name", "✓ success   ✗ failed",
    ]  # fmt: skip
    corners = [(float(box["x"]), float(box["y"])) for box in boxes]
    rows, ends = sorted({y for _, y in corners}), sorted({x + 22 for x, _ in corners})
    assert len(rows) == 2 and len(ends) == 12 and len(set(corners)) == 24
    assert 8 + 13 * LETTER <= ends[0] - 22 <= 24 + 13 * LETTER, "beside the longest name"
    assert all(5 <= b - 22 - a <= 10 for a, b in pairwise(ends))
    assert rows[1] - rows[0] - 22 in range(5, 11)
    assert 5 <= width - ends[-1] <= 20
    for text, x, y, anchor in texts:
        middle = x if anchor else x + len(text) * LETTER / 2
        assert len(text) * LETTER / 2 <= middle <= width - len(text) * LETTER / 2
        assert 14 <= y <= height - 5
    for text, x, y, anchor in texts:
        if anchor:  # a day above its column, or a mark within a box
            assert x + 11 in ends
            assert y + 10 == rows[0] if text.isdigit() else y - 16 in rows
    names = {text: y for text, _, y, anchor in texts if not anchor}
    assert [names["count"] - 16, names["a_longer_name"] - 16] == rows
    assert height - 40 < rows[1] + 22 < names["✓ success   ✗ failed"] - 14
    looks = [box["stroke"] for box in boxes[:8:2]]
    assert looks == [STATE_COLORS[state] for state in ("success", "failed", "removed")] + [PLAIN]
    assert [box["fill"] for box in boxes] == [box["stroke"] for box in boxes]


def test_a_few_words_of_states_are_not_cut(lab: Any) -> None:
    picture = show.draw(pd.DataFrame({"1": ["success"], "2": ["upstream_failed"]}, index=["a"]))
    legend = "✓ success   ▲ upstream_failed"
    assert f">{legend}</text>" in picture.svg
    width = int(re.findall(r'width="(\d+)"', picture.svg)[0])
    assert len(legend) * LETTER < width - 8 < len(legend) * LETTER + 24
    assert picture.alt == "Grid of 1 tasks and 2 runs: success, upstream_failed"


def test_a_graph_of_one_s_own(lab: Any) -> None:
    graph = graphviz.Digraph()
    graph.edge("running", "success", label="3 times")
    graph.edge("success", "end")
    picture = show.draw(graph)
    assert repr(picture) == 'running -> success [label="3 times"]\nsuccess -> end'
    assert picture.alt == 'Graph: running -> success [label="3 times"]; success -> end'
    markup = picture._repr_html_()
    assert 'alt="Graph: running -&gt; success [label=&quot;3 times&quot;]; success -&gt;' in markup
    data = re.findall("base64,([^\"']+)", markup)[0]
    assert base64.b64decode(data).decode() == picture.svg
    line, area = re.findall(r'(?:stroke|fill)="(#\w+)"', drawn_node(picture, "success"))[:2]
    assert line == area == STATE_COLORS["success"] and "3 times" in picture.svg


def drawn_node(picture: show.Picture, name: str) -> str:
    """Return the SVG of one node."""
    (node,) = re.findall(rf"<title>{name}</title>.*?</g>", picture.svg, re.DOTALL)
    return str(node)


def test_only_a_node_that_is_named_as_a_state_has_its_colours(lab: Any) -> None:
    graph = graphviz.Digraph()
    graph.node("a", label="failed tasks")
    graph.edge("a", "queued", label="skipped")
    graph.edge("b:running", "c")
    picture = show.draw(graph)
    assert picture.svg.count('class="node"') == 4
    assert STATE_COLORS["queued"] in drawn_node(picture, "queued")
    for state in ("failed", "skipped", "running"):
        assert STATE_COLORS[state] not in picture.svg


def test_what_a_graph_of_one_s_own_says_of_its_looks_stays(lab: Any) -> None:
    graph = graphviz.Digraph(
        strict=True, graph_attr={"bgcolor": "#010101"}, node_attr={"color": "#020202"},
        edge_attr={"color": "#030303"},
    )  # fmt: skip
    graph.edge("a", "b")
    graph.edge("a", "b")
    graph.node("failed", fillcolor="#040404")
    picture = show.draw(graph)
    assert picture.svg.count('class="edge"') == 1
    assert {f"#0{n}0{n}0{n}" for n in range(1, 5)} <= set(re.findall(r"#\w{6}", picture.svg))
    assert STATE_COLORS["failed"] not in picture.svg
    assert "Helvetica" in picture.svg


def test_a_subgraph_shapes_its_nodes_and_states_in_it_have_their_colours(lab: Any) -> None:
    graph = graphviz.Digraph()
    with graph.subgraph(name="cluster_done") as done:
        done.attr("node", shape="ellipse")
        done.node("success")
    picture = show.draw(graph)
    node = drawn_node(picture, "success")
    assert "<ellipse" in node and STATE_COLORS["success"] in node


def test_a_graph_of_one_s_own_may_lie_another_way(lab: Any) -> None:
    graph = graphviz.Digraph()
    graph.attr(rankdir="TB")
    graph.edge("a", "b")
    box = re.compile(r'<title>(\w)</title>.*?<text [^>]*x="([^"]+)" y="([^"]+)"', re.DOTALL)
    places = {name: (x, y) for name, x, y in box.findall(show.draw(graph).svg)}
    assert places["a"][0] == places["b"][0] and places["a"][1] != places["b"][1]


def test_an_empty_grid_is_drawn(lab: Any) -> None:
    picture = show.draw(pd.DataFrame())
    assert picture.svg.startswith("<svg ") and picture.svg.endswith("</svg>")
    assert "Empty DataFrame" in repr(picture)
    assert picture.alt == "Grid of 0 tasks and 0 runs"


def test_a_grid_of_two_runs_with_one_name(lab: Any) -> None:
    grid = pd.DataFrame([["success", "failed"]], index=["a"], columns=["01", "01"])
    assert re.findall(r"[✓✗](?=</text>)", show.draw(grid).svg) == ["✓", "✗"]


MAPPED = """\
from airflow.sdk import DAG, task

with DAG("mapped") as mapped:

    @task
    def half(x):
        return 10 / x

    @task
    def after():
        pass

    half.expand(x=[1, 0, 2]) >> after()
"""


def test_a_mapped_task_is_what_the_worst_of_its_instances_is(lab: Any) -> None:
    names: dict[str, Any] = {}
    write("mapped", MAPPED, names)
    run = names["mapped"].test()
    assert states(run) == {"after": "upstream_failed", "half": "failed"}
    picture = show.draw(run)
    assert "  half [failed]" in repr(picture).splitlines()
    assert STATE_COLORS["failed"] in drawn_node(picture, "half")


def test_a_folded_group_is_what_airflow_says_of_it(lab: Any) -> None:
    source = (
        "from airflow.providers.standard.operators.bash import BashOperator\n"
        "from airflow.sdk import DAG, TaskGroup\n"
        "with DAG('fold') as fold:\n"
        "    with TaskGroup('group'):\n"
        "        BashOperator(task_id='a', bash_command='echo')\n"
        "        BashOperator(task_id='b', bash_command='exit 99')\n"
    )
    names: dict[str, Any] = {}
    write("fold", source, names)
    open_ = show.draw(names["fold"]).svg
    (frame,) = re.findall(r'class="cluster">\n<title>cluster_group</title>\n<(\w+) ', open_)
    assert frame == "path", "its corners are round"
    assert ">group</text>" in open_
    assert "  group [success]" in repr(show.draw(names["fold"].test(), fold=True)).splitlines()


def test_the_order_of_states_is_airflow_s_own() -> None:
    from airflow.api_fastapi.common.parameters import state_priority

    assert tuple(state and state.value for state in state_priority) == PRIORITY


def test_one_state_stands_for_several() -> None:
    assert worst(["success", "failed", None]) == "failed"
    assert worst(["skipped", "success"]) == "success"
    assert worst(["success", None]) is None
    assert worst(["scheduled", None]) == "scheduled"
    assert worst([]) is None


def test_a_task_without_a_state_yet_has_none(lab: Any, monkeypatch: Any) -> None:
    """pandas reads what is empty in a table as a number that is none."""
    frame = pd.DataFrame({"task": ["a", "b", "b"], "state": ["success", "success", None]})
    monkeypatch.setattr(show.graphs, "tasks", lambda run: frame)
    assert states(None) == {"a": "success", "b": None}


def test_changes_of_state(built: tuple[Any, Any]) -> None:
    frame = show.changes(built[1])
    of_one = frame[frame["task"] == "send_email"]
    assert list(of_one["before"]) == ["none", "scheduled", "queued", "running"]
    assert list(of_one["after"]) == ["scheduled", "queued", "running", "success"]


def test_drawing_twice_gives_the_same(built: tuple[Any, Any]) -> None:
    assert show.draw(built[0]).svg == show.draw(built[0]).svg


def test_colours_are_airflow_s_own() -> None:
    from airflow.utils.state import State
    from matplotlib.colors import to_hex

    own = {str(state): to_hex(color) for state, color in State.state_color.items() if state}
    assert own == STATE_COLORS


def test_the_text_of_a_box_is_at_its_middle_in_any_font(built: tuple[Any, Any]) -> None:
    dag, _ = built
    boxes = re.findall(r'<g id="node.*?</g>', show.draw(dag).svg, re.DOTALL)
    assert len(boxes) == len(dag.tasks)
    for box in boxes:
        (shape,) = re.findall(r' d="([^"]+)"', box)
        sides = [float(x) for x in re.findall(r"(-?[\d.]+),", shape)]
        texts = re.findall(r'<text [^>]*text-anchor="(\w+)" x="([^"]+)"', box)
        assert len(texts) == 3, "a name, a gap, an operator"
        for anchor, x in texts:
            assert anchor == "middle"
            assert abs(float(x) - (min(sides) + max(sides)) / 2) < 0.1


def test_the_underscores_of_a_name_end_above_the_line_below(built: tuple[Any, Any]) -> None:
    node = drawn_node(show.draw(built[1]), "gcp_service_list_instances_spanner")
    lines = re.findall(r'<text [^>]*y="([-\d.]+)"[^>]*font-size="([\d.]+)"[^>]*>(.+?)<', node)
    name, operator = ((float(y), float(size)) for y, size, text in lines if text.strip())
    # In Arial and Helvetica an underscore ends a quarter of the size below the baseline, and a
    # capital begins three quarters of its size above.
    assert operator[0] - name[0] - operator[1] * 0.75 - name[1] * 0.25 > 2


def test_the_name_of_an_operator_is_text_and_no_markup(lab: Any) -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG

    class Odd(EmptyOperator):  # type: ignore[misc]  # Airflow has no types
        custom_operator_name = "<i>&amp;</i>"

    with DAG("a.b-c") as dag:
        Odd(task_id="x.y-z")
    picture = show.draw(dag)
    texts = re.findall(r">([^<>]+)</text>", picture.svg)
    assert texts == ["x.y&#45;z", " ", "&lt;i&gt;&amp;amp;&lt;/i&gt;"]
    assert repr(picture) == "a.b-c\ntasks\n  x.y-z"


def test_tasks(built: tuple[Any, Any]) -> None:
    frame = show.tasks(built[1])
    assert list(frame.columns) == ["task", "state", "tries"]
    assert list(frame["task"]) == sorted(built[0].task_ids)
    assert set(frame["tries"]) == {1}
    assert (show.tasks(built[1], times=True)["seconds"] >= 0).all()


def test_xcoms(built: tuple[Any, Any]) -> None:
    frame = show.xcoms(built[1])
    assert list(frame.columns) == ["task", "key", "value", "type", "bytes"]
    row = frame.set_index("task").loc["gcp_service_list_instances_sql"]
    assert row["value"] == "orders-db orders-db-replica reporting-pg"
    assert (row["key"], row["type"], row["bytes"]) == ("return_value", "str", 42)


KINDS = """\
import dataclasses
import datetime
from airflow.sdk import DAG, task

@dataclasses.dataclass
class Point:
    x: int

@dataclasses.dataclass
class Gone:
    x: int

Gone.__module__ = "airflow.gone"  # Airflow's own may be loaded, but this is not there

with DAG("kinds") as kinds:
    @task
    def found(what):
        return {
            "tuple": (1, "a"),
            "set": {1},
            "time": datetime.datetime(2018, 12, 1, tzinfo=datetime.timezone.utc),
            "nested": {"pair": [(1, 2)]},
            "own": (1, Point(2)),
            "gone": Gone(3),
        }[what]

    for what in ("tuple", "set", "time", "nested", "own", "gone"):
        found.override(task_id=what)(what)
"""


def test_xcoms_have_their_python_types(lab: Any) -> None:
    names: dict[str, Any] = {}
    write("kinds", KINDS, names)
    frame = show.xcoms(names["kinds"].test()).set_index("task")
    kept = frame["value"]
    assert kept["tuple"] == (1, "a") and frame["type"]["tuple"] == "tuple"
    assert kept["set"] == {1}
    assert kept["time"] == pd.Timestamp("2018-12-01", tz="UTC")
    assert frame["type"]["time"] == "datetime"
    assert kept["nested"] == {"pair": [(1, 2)]}
    assert frame["bytes"]["tuple"] == 75, "as stored"
    stored = kept["own"]["__data__"][1]
    assert stored["__classname__"].endswith(".Point") and stored["__data__"] == {"x": 2}
    assert kept["gone"]["__data__"] == {"x": 3}
    assert frame["type"]["own"] == frame["type"]["gone"] == "dict", "it cannot be loaded"


def test_a_task_that_is_not_there_is_one_sentence(built: tuple[Any, Any], capsys: Any) -> None:
    with pytest.raises(Problem, match=r"no task 'send_emial'\. Did you mean 'send_email'\?"):
        show.logs(built[1], "send_emial")
    assert capsys.readouterr().out == ""


def test_a_task_that_logged_nothing_says_so(lab: Any, capsys: Any) -> None:
    names: dict[str, Any] = {}
    write("mapped", MAPPED, names)
    run = names["mapped"].test()
    capsys.readouterr()
    show.logs(run, "after")
    assert capsys.readouterr().out == "The task after logged nothing in this notebook.\n"


def test_a_run_of_another_airflow_logged_nothing_here(lab: Any, capsys: Any) -> None:
    run = SimpleNamespace(dag_id="gcp_spy", run_id="of a cluster")
    show.logs(run)
    assert capsys.readouterr().out == "No task logged anything in this notebook.\n"
    show.logs(run, "send_email")
    assert capsys.readouterr().out == "The task send_email logged nothing in this notebook.\n"


def test_logs_hold_no_times_and_no_folders(built: tuple[Any, Any], capsys: Any, lab: Any) -> None:
    show.logs(built[1])
    printed = capsys.readouterr().out
    assert printed.count("── ") == 7
    assert "bash', '-c', \"gcloud sql instances list" in printed
    assert str(lab.folder) not in printed
    assert "/tmp" not in printed
    assert str(pd.Timestamp.now().year) not in printed.replace("training-of-may", "")


def test_a_failing_task_logs_its_reason(dag_with: Any, capsys: Any) -> None:
    function = "def send_slack_msg(**context):\n    print('so far')\n    1 / 0\n"
    run = dag_with(32, "send_slack_msg", function).test()
    capsys.readouterr()
    show.logs(run, "send_slack_msg_task")
    printed = capsys.readouterr().out
    assert printed.count("── send_slack_msg_task, try") == 2
    assert "so far" in printed
    assert "ZeroDivisionError: division by zero" in printed
    assert "Traceback" not in printed


def test_a_task_that_fails_in_its_template_logs_its_reason(dag_with: Any, capsys: Any) -> None:
    task = 'bash_task = BashOperator(task_id="t", bash_command="echo {{ 1 / 0 }}", dag=dag)\n'
    run = dag_with(25, "list_instances", task).test()
    capsys.readouterr()
    show.logs(run)
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_what_is_no_run_is_one_sentence(built: tuple[Any, Any]) -> None:
    for look in (show.draw, show.tasks, show.xcoms, show.logs):
        with pytest.raises(Problem, match="not a NoneType"):
            look(None)


def test_logs_do_not_show_the_webhook(lab: Any, capsys: Any, monkeypatch: Any) -> None:
    """An error of requests names the address that it could not reach; its path is a secret."""
    webhook = f"http://127.0.0.1:{sandbox.unused_port()}/services/T0/B0/verysecret"
    monkeypatch.setenv("GCPSPY_SLACK_WEBHOOK", webhook)
    names: dict[str, Any] = {}
    Builder(names).catch_up(37)
    run = names["dag"].test()
    assert run.state == "failed"
    show.logs(run, "send_slack_msg_task")
    printed = capsys.readouterr().out
    assert "/services/…" in printed
    assert "verysecret" not in printed
