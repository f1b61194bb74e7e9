"""The graph of a DAG or of a DagRun, a grid of states, a graph of one's own."""

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import graphviz
import pandas as pd

from workshop.ground import Problem
from workshop.show.pictures import Picture, parse, render
from workshop.show.tables import tasks

# Airflow's own state colours (airflow.utils.state.State.state_color), lightened behind the text;
# the state is also written out, for those who see colours differently and for print.
STATE_COLORS = {
    "success": "#008000",
    "failed": "#ff0000",
    "upstream_failed": "#ffa500",
    "skipped": "#ff69b4",
    "up_for_retry": "#ffd700",
    "up_for_reschedule": "#40e0d0",
    "running": "#00ff00",
    "restarting": "#ee82ee",
    "queued": "#808080",
    "scheduled": "#d2b48c",
    "deferred": "#9370db",
    "awaiting_input": "#ff8c00",
    "removed": "#d3d3d3",
}
# Airflow's own order (state_priority, behind its grid): the first of them stands for several.
PRIORITY = (
    "failed", "upstream_failed", "up_for_retry", "up_for_reschedule", "running", "restarting",
    "deferred", "awaiting_input", "queued", "scheduled", None, "success", "skipped", "removed",
)  # fmt: skip
PLAIN = "#8c8c8c"
INK = "#1b1b1b"
FONT = {"fontname": "Helvetica,Arial,sans-serif", "fontcolor": INK}
GRAPH = {**FONT, "rankdir": "LR", "bgcolor": "white", "pad": "0.2", "nodesep": "0.2",
         "color": PLAIN}  # fmt: skip
NODE = {**FONT, "shape": "box", "style": "rounded,filled", "penwidth": "2", "margin": "0.2,0.1",
        "color": PLAIN, "fillcolor": f"{PLAIN}22"}  # fmt: skip
# Without it the underscores of a name run into the line below.
GAP = '<BR/><FONT POINT-SIZE="3"> </FONT>'
EDGE = {**FONT, "color": "#5f6368", "arrowsize": "0.7", "fontsize": "11"}


def draw(what: Any, *, fold: bool = False) -> Picture:
    """Return the graph of a DAG, or of a DagRun with the state of each task.

    Args:
        what: a DAG, or the DagRun that `dag.test()` returned; also a DataFrame of states, a row for
            each task and a column for each run, which becomes Airflow's grid; or a graph of one's
            own, a `graphviz.Digraph`.
        fold: draw each outermost task group as one box.
    """
    if isinstance(what, pd.DataFrame):
        return _grid(what)
    if isinstance(what, graphviz.Digraph):
        return _diagram(what)
    is_run = hasattr(what, "run_id")
    if not is_run and not hasattr(what, "tasks"):
        raise Problem(f"draw() shows a DAG or a DagRun, not a {type(what).__name__}.")
    of_tasks, dag = (states(what), what.dag) if is_run else ({}, what)
    nodes, edges = layout(dag, fold=fold)
    of_boxes = {name: worst(of_tasks.get(task) for task in nodes[name].tasks) for name in nodes}
    small = {
        name: [node.kind + (f" · {of_boxes[name]}" if of_boxes[name] else "")]
        for name, node in nodes.items()
    }
    named = [f"  {name}{_behind(state)}" for name, state in of_boxes.items()]
    arrows = [f"  {above} -> {below}" for above, below in edges]
    title = f"{dag.dag_id}{_behind(getattr(what, 'state', None))}"
    text = "\n".join([title, "tasks", *named, *(["edges", *arrows] if arrows else [])])
    alt = f"Graph of the DAG {title}: {len(nodes)} tasks, {len(edges)} dependencies"
    return Picture(render(source(dag, nodes, edges, small, of_boxes)), text, alt)


MARKS = {"success": "✓", "failed": "✗", "upstream_failed": "▲", "skipped": "–"}


def _grid(states: pd.DataFrame) -> Picture:
    """Return a grid: a row for each task, a column for each run, a coloured square for a state."""
    step, left = 30, 16 + 8 * max((len(str(task)) for task in states.index), default=0)
    parts = []
    for column, (run, squares) in enumerate(states.items()):
        x = left + column * step
        parts.append(
            f'<text x="{x + 11}" y="16" text-anchor="middle">{html.escape(str(run))}</text>'
        )
        for row, state in enumerate(squares):
            color = STATE_COLORS.get(state, PLAIN)
            y = 26 + row * step
            parts.append(
                f'<rect x="{x}" y="{y}" width="22" height="22" rx="4" fill="{color}" '
                f'fill-opacity=".2" stroke="{color}" stroke-width="2"/><text x="{x + 11}" '
                f'y="{y + 16}" text-anchor="middle">{MARKS.get(state, "?")}</text>'
            )
    for row, task in enumerate(states.index):
        parts.append(f'<text x="8" y="{42 + row * step}">{html.escape(str(task))}</text>')
    found = [state for state in MARKS if (states == state).any(axis=None)]
    legend = "   ".join(f"{MARKS[state]} {state}" for state in found)
    height = 26 + len(states) * step + 24
    width = max(left + len(states.columns) * step + 8, 24 + 8 * len(legend))
    parts.append(f'<text x="8" y="{height - 8}" xml:space="preserve">{legend}</text>')
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-size="14" '
        f'font-family="Helvetica,Arial,sans-serif" fill="{INK}">{"".join(parts)}</svg>'
    )
    alt = f"Grid of {len(states)} tasks and {len(states.columns)} runs"
    alt += f": {', '.join(found)}" if found else ""
    return Picture(svg, states.to_string(), alt)


def _diagram(graph: graphviz.Digraph) -> Picture:
    """Return a graph of one's own in the looks of the others, where it has none of its own.

    A node that is named as a state has the state's colours.
    """
    own = parse(graph.source)
    styled = graph.copy()
    styled.graph_attr = GRAPH | graph.graph_attr
    styled.node_attr = NODE | graph.node_attr
    styled.edge_attr = EDGE | graph.edge_attr
    for state in [state for state in STATE_COLORS if own.has_node(state)]:
        looks = {"color": STATE_COLORS[state], "fillcolor": f"{STATE_COLORS[state]}22"}
        given = own.get_node(state).attr
        # Last, where the node is there already: a subgraph shapes only what begins in it.
        styled.node(state, **{name: look for name, look in looks.items() if not given[name]})
    lines = [line.strip() for line in graph.body]
    return Picture(render(styled.source), "\n".join(lines), f"Graph: {'; '.join(lines)}")


@dataclass(frozen=True)
class Node:
    """A box of a graph: a task, or a task group that is folded."""

    kind: str  # the operator's name, or how many tasks the group has
    tasks: tuple[str, ...]
    group: str | None = None  # the outermost task group that it is drawn in


def layout(dag: Any, *, fold: bool = False) -> tuple[dict[str, Node], list[tuple[str, str]]]:
    """Return the boxes of a DAG's graph by name, and the arrows between them, sorted.

    Args:
        dag: the DAG.
        fold: one box for each outermost task group.
    """
    tasks = sorted(dag.tasks, key=lambda task: task.task_id)
    groups = {task.task_id: _group_of(task) for task in tasks}
    nodes: dict[str, Node] = {}
    for task in tasks:
        group = groups[task.task_id]
        if not (fold and group):
            nodes[task.task_id] = Node(task.operator_name, (task.task_id,), group)
        elif group not in nodes:
            inside = tuple(name for name in groups if groups[name] == group)
            nodes[group] = Node(f"group of {len(inside)}", inside)
    box = {task: name for name, node in nodes.items() for task in node.tasks}
    arrows = {
        (box[task.task_id], box[below]) for task in tasks for below in task.downstream_task_ids
    }
    return dict(sorted(nodes.items())), sorted((a, b) for a, b in arrows if a != b)


def _group_of(task: Any) -> str | None:
    """Return the id of the outermost task group that a task stands in."""
    group, outermost = task.task_group, None
    while group is not None and group.group_id:
        group, outermost = group.parent_group, str(group.group_id)
    return outermost


def worst(states: Iterable[str | None]) -> str | None:
    """Return the state that stands for several, as in Airflow's grid; None: no state yet."""
    found = set(states)
    return next((state for state in PRIORITY if state in found), None)


def states(run: Any) -> dict[str, str | None]:
    """Return the state of each task of a DagRun, sorted; of a mapped task, of all its instances.

    Args:
        run: the DagRun that `dag.test()` returned.
    """
    instances: dict[str, list[str | None]] = {}
    for row in tasks(run).itertuples():
        # Where a task has no state yet, pandas has a number that is none.
        state = row.state if isinstance(row.state, str) else None
        instances.setdefault(str(row.task), []).append(state)
    return {task: worst(of_task) for task, of_task in instances.items()}


def source(
    dag: Any,
    nodes: dict[str, Node],
    edges: list[tuple[str, str]],
    small: dict[str, list[str]],
    states: dict[str, str | None],
) -> str:
    """Return a graph as Graphviz source: boxes with small lines under their names, in groups."""
    graph = graphviz.Digraph(dag.dag_id, graph_attr=GRAPH, node_attr=NODE, edge_attr=EDGE)
    for group in sorted({node.group or "" for node in nodes.values()}):
        with graph.subgraph(name=f"cluster_{group}" if group else None) as inside:
            if group:
                inside.attr(label=group, style="rounded")
            for name in [name for name in nodes if (nodes[name].group or "") == group]:
                color = STATE_COLORS.get(states.get(name) or "", PLAIN)
                lines = "".join(
                    f'<BR/><FONT POINT-SIZE="11">{html.escape(line)}</FONT>' for line in small[name]
                )
                label = f"<{html.escape(name)}{lines and GAP + lines}>"
                inside.node(name, label=label, color=color, fillcolor=color + "22")
    graph.edges(edges)
    text: str = graph.source
    return text


def _behind(state: str | None) -> str:
    return f" [{state}]" if state else ""
