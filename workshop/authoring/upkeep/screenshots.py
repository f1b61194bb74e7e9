"""`make record-ui`: what Airflow's own UI shows of gcp_spy, as a Chromium sees it, for 08."""

import base64
import html
import re
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from workshop import sandbox
from workshop.authoring.checking.headless import force_sandbox
from workshop.authoring.checking.runs import browser_ready, chromium
from workshop.authoring.upkeep.server import start_components, wait_until_healthy
from workshop.cluster import Components
from workshop.cluster.cluster import screenshot_of
from workshop.cluster.waiting import SECONDS
from workshop.ground import BUILD, Problem

RUNS = 3
MARGIN = 4  # pixels around what is shown; the logo and the menus are further away
WIDE = {"width": 1900, "height": 800}  # the grid's column has room for the names of tasks
NARROW = {"width": 1400, "height": 1100}  # the graph keeps away from the map below it
DURATION = re.compile(r"^\d\d:\d\d:\d\d")  # above the grid, beside the bars of the runs
STORED = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">
<desc>{text}</desc>
<image width="{width}" height="{height}" href="data:image/png;base64,{data}"/>
</svg>
"""
Box = dict[str, float]


def record_ui() -> None:
    """Run gcp_spy in a real Airflow, and store a picture of its grid and of its graph.

    Raises:
        Problem: there is no Chromium, a run failed, or the UI does not show what there is.
    """
    browser_ready()
    force_sandbox()
    BUILD.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="airflow-", dir=BUILD))
    print(sandbox.enter("talk", home), flush=True)
    server = start_components(home)
    try:
        wait_until_healthy(server, threading.Event())
        _take(server, _run(server))
    finally:
        server.stop()


def _run(server: Components) -> dict[str, dict[str, str]]:
    """Run gcp_spy some times, and return the states of the tasks of each run, the newest last."""
    path = "dags/gcp_spy/dagRuns"
    server.call("PATCH", "dags/gcp_spy", {"is_paused": False})
    for _ in range(RUNS - 1):  # the scheduler adds that of the last tick
        server.call("POST", path, {"logical_date": None})

    def runs() -> list[Any]:
        found: list[Any] = server.call("GET", f"{path}?order_by=run_after").json()["dag_runs"]
        return [run for run in found if run["state"] in ("success", "failed")]

    server.started(lambda: len(runs()) == RUNS)
    states = {}
    for run in runs():
        answer = server.call("GET", f"{path}/{quote(run['dag_run_id'])}/taskInstances").json()
        tasks = sorted(answer["task_instances"], key=lambda task: str(task["task_id"]))
        states[run["dag_run_id"]] = {task["task_id"]: task["state"] for task in tasks}
    return states


def _take(server: Components, runs: dict[str, dict[str, str]]) -> None:
    """Store both pictures; the arguments are an Airflow, and what `_run` returns of it.

    Raises:
        Problem: the UI shows other tasks, or other states, than the API has.
    """
    # What this needs was perhaps installed a moment ago.
    from playwright.sync_api import sync_playwright

    version = server.call("GET", "version").json()["version"]
    newest, states = list(runs.items())[-1]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport=WIDE, color_scheme="light", reduced_motion="reduce")
        page.set_default_timeout(SECONDS * 1000)
        page.context.add_cookies([{"name": "_token", "value": server.token, "url": server.address}])
        page.goto(f"{server.address}/dags/gcp_spy/runs/{quote(newest)}")
        page.get_by_test_id("task-state-badge").nth(RUNS * len(states) - 1).wait_for()
        names = page.locator("#main-panel [data-testid^='task-'][data-task-id]")
        if names.all_inner_texts() != list(states):
            raise Problem(f"The UI's grid shows {names.all_inner_texts()}, not {list(states)}.")
        above = page.locator("#main-panel").get_by_text(DURATION)
        squares = page.get_by_test_id("task-state-badge")
        rows = [f"{task}: {', '.join(run[task] for run in runs.values())}" for task in states]
        _store(page, "grid", version, rows, lambda: _around(names, above, squares))
        page.set_viewport_size(NARROW)
        page.keyboard.press("g")
        nodes, edges = page.locator(".react-flow__node"), page.locator(".react-flow__edge")
        nodes.nth(len(states) - 1).wait_for()
        boxes = sorted(" ".join(text.split()) for text in nodes.all_inner_texts())
        if [(box.split()[0], box.split()[-1]) for box in boxes] != list(states.items()):
            raise Problem(f"The UI's graph shows {boxes}, not {states}.")
        arrows = sorted(edge.get_attribute("data-id") or "" for edge in edges.all())
        arrows = [arrow.replace("-", " -> ", 1) for arrow in arrows]
        _store(page, "graph", version, boxes + arrows, lambda: _around(nodes))
        browser.close()


def _around(*shown: Any) -> Box:
    """Return the smallest box around what locators find, and a margin."""
    boxes = [it.bounding_box() for locator in shown for it in locator.all()]
    left, top = (min(box[side] for box in boxes) - MARGIN for side in ("x", "y"))
    right = max(box["x"] + box["width"] for box in boxes) + MARGIN
    bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN
    return {"x": left, "y": top, "width": round(right - left), "height": round(bottom - top)}


def _store(page: Any, name: str, version: str, lines: list[str], box: Callable[[], Box]) -> None:
    """Store a part of a page as a picture, once it stands still.

    Args:
        page: of the browser.
        name: of the picture.
        version: of Airflow.
        lines: what the picture shows, in words.
        box: returns which part.

    Raises:
        Problem: it moved for minutes.
    """
    now = box()
    for _ in range(600):
        page.wait_for_timeout(500)
        if now == (now := box()):
            break
    else:
        raise Problem(f"The UI's {name} does not stand still: nothing was stored.")
    text = "\n".join([f"gcp_spy's {name} in the UI of Airflow {version}", *lines])
    data = base64.b64encode(page.screenshot(clip=now)).decode()
    path = screenshot_of(name)
    size = {key: now[key] for key in ("width", "height")}
    path.write_text(STORED.format(text=html.escape(text), data=data, **size), encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size // 1024} KiB")
