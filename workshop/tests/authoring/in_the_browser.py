"""What a person does in JupyterLab, in a headless Chromium; run by `make check-browser`.

The tests share one JupyterLab and one working copy, and stand in the order of a visit.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from workshop.authoring.checking import runs
from workshop.authoring.checking.runs import SHOTS
from workshop.authoring.editions.notes import write_notes
from workshop.authoring.editions.site import BOOK, write_site
from workshop.ground import ROOT
from workshop.ground.cells import read_attempts
from workshop.ground.talk import read_notebooks

SECONDS = 600_000.0  # milliseconds, as Playwright counts; the slowest notebook takes half of it
expect.set_options(timeout=SECONDS)
ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+)(/\S*)\?token=(\w+)")  # as JupyterLab prints it
WEEKLY = pytest.mark.weekly
# Every check opens one that brings pictures of each kind.
DAILY = ("07_complex_dags",)
LESSONS = [row["notebook"] for row in read_notebooks()]
PAGES = sorted(path.stem for path in BOOK.glob("*.md"))  # of the site, that are no notebook
# Every cell runs in nbval already. These bring what only a browser shows: pictures of each kind,
# plots, a graph that is alive, switches. Exercises run 00 and 03 to 06 as well.
WHOLE = ("02_concepts", pytest.param("07_complex_dags", marks=WEEKLY))
ARGUMENTS = [
    "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
    *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium's own sandbox refuses root
]  # fmt: skip


@pytest.fixture(scope="session")
def folder(tmp_path_factory: Any) -> Path:
    """Return the working copy, in a folder with a blank in its name."""
    return Path(tmp_path_factory.mktemp("browser")) / "my notebooks"


@contextmanager
def jupyterlab(*words: str) -> Iterator[re.Match[str]]:
    """Start JupyterLab as a command does, and return where it is: address, path and token.

    Args:
        words: the command, as `workshop` takes it.
    """
    log = SHOTS / f"jupyterlab-{words[0]}.log"
    environment = os.environ | {"BROWSER": "true"}
    del environment["WORKSHOP_HEADLESS"]  # somebody looks: bars and progress are shown
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "workshop", *words],
            cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            env=environment,
        )  # fmt: skip
    try:
        found, end = None, time.monotonic() + 600
        while not found and time.monotonic() < end:
            time.sleep(0.2)
            found = ADDRESS.search(log.read_text("utf-8"))
        assert found, log.read_text("utf-8")
        yield found
    finally:
        process.terminate()  # it ends its kernels first
        try:
            process.wait(timeout=600)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


@pytest.fixture(scope="session")
def address(folder: Path) -> Iterator[tuple[str, str]]:
    """Start JupyterLab as `make lab` does, and return its address and its token."""
    with jupyterlab("lab", "--folder", str(folder)) as found:
        yield found[1], found[3]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=runs.chromium(), args=ARGUMENTS)
        yield started
        started.close()


class Notebook:
    """A notebook that stands open in JupyterLab."""

    def __init__(self, chromium: Browser, address: tuple[str, str], name: str) -> None:
        self.name = name
        self.page: Page = chromium.new_page(viewport={"width": 1300, "height": 1000})
        self.page.set_default_timeout(SECONDS)
        url, token = address
        self.page.goto(f"{url}/lab/tree/{name}.ipynb?token={token}&reset")
        # A click before the kernel is there is lost, or JupyterLab asks which kernel is meant.
        ready = self.page.locator("#jp-main-statusbar")
        expect(ready).to_contain_text("Python 3 (ipykernel) | Idle", timeout=SECONDS)
        self.wait_until_idle()

    @property
    def cells(self) -> Locator:
        return self.page.locator(".jp-Notebook:visible .jp-Cell")

    def wait_until_idle(self) -> None:
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=SECONDS)
        self.page.wait_for_selector("[data-status=idle]", timeout=SECONDS, state="attached")
        self.page.wait_for_function(
            "![...document.querySelectorAll('.jp-InputPrompt')]"
            ".some(prompt => prompt.textContent.includes('*'))",
            timeout=SECONDS,
        )

    def menu(self, *words: str) -> None:
        dialogs = self.page.locator(".jp-Dialog").all_inner_texts()
        assert not dialogs, "JupyterLab asks something"
        self.page.get_by_role("menuitem", name=words[0], exact=True).first.click()
        self.page.get_by_role("menuitem", name=words[1], exact=False).first.click()

    def run_all(self) -> None:
        self.menu("Run", "Run All Cells")
        self.page.wait_for_selector("[data-status=busy]", timeout=SECONDS, state="attached")
        time.sleep(0.5)
        self.wait_until_idle()
        assert self.errors() == []
        assert self.broken_pictures() == []
        assert not self.cells_left(), "a cell did not run"

    def cells_left(self) -> bool:
        """Return whether a code cell runs or waits; the numbers of an earlier run are none."""
        prompts = self.page.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
        return bool({"[ ]:", "[*]:"} & set(prompts))

    def cell(self, text: str) -> Locator:
        """Return the first code cell that holds a text, also after its text has changed."""
        cells = self.page.locator(".jp-Notebook .jp-CodeCell")
        editor = "cell => cell.querySelector('.jp-InputArea-editor')?.textContent ?? ''"
        sources = cells.evaluate_all(f"cells => cells.map({editor})")  # a folded one has none
        number = next(number for number, source in enumerate(sources) if text in source)
        found = cells.nth(number)
        found.scroll_into_view_if_needed()
        return found

    def enter(self, cell: Locator) -> None:
        cell.scroll_into_view_if_needed()  # out of view, a cell may have no editor
        cell.locator(".cm-content").click()

    def run(self, cell: Locator, *, wait: bool = True) -> None:
        self.enter(cell)
        self.page.keyboard.press("Control+Enter")
        if wait:
            time.sleep(0.3)
            self.wait_until_idle()

    def run_to_slide_45(self) -> None:
        """Run the first cells of 06, so that there is a whole DAG."""
        for text in ('world = "talk"', "start(world)", "catch_up(43)", "%%slide 44", "%%slide 45"):
            self.run(self.cell(text))

    def write(self, cell: Locator, text: str) -> None:
        self.enter(cell)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def errors(self) -> list[str]:
        shown = self.page.locator("[data-mime-type='application/vnd.jupyter.error']")
        return list(shown.all_inner_texts())

    def broken_pictures(self) -> list[str]:
        """Return the beginnings of the pictures in view that could not be drawn."""
        pictures = self.page.locator(".jp-Notebook img")
        broken = "all => all.filter(it => it.complete && !it.naturalWidth).map(it => it.src)"
        return [source[:80] for source in pictures.evaluate_all(broken)]

    def to_the_top(self) -> None:
        self.page.locator(".jp-Notebook").first.click(position={"x": 5, "y": 5})
        self.page.keyboard.press("Control+Home")

    def shot(self, name: str) -> None:
        self.page.wait_for_timeout(700)  # cells that come into view are drawn late
        self.page.screenshot(path=SHOTS / f"{name}.png")


@pytest.fixture
def opened(chromium: Browser, address: tuple[str, str]) -> Iterator[Any]:
    notebooks: list[Notebook] = []

    def open_one(name: str) -> Notebook:
        notebooks.append(Notebook(chromium, address, name))
        return notebooks[-1]

    yield open_one
    for notebook in notebooks:
        notebook.page.close()


def test_the_index_leads_to_a_notebook(opened: Any) -> None:
    index = opened("00_index")
    index.shot("00_index")
    index.page.get_by_role("link", name="03_list_instances").first.click()
    tab = index.page.locator(".lm-TabBar-tabLabel", has_text="03_list_instances.ipynb")
    expect(tab.first).to_be_visible()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in DAILY else WEEKLY) for name in LESSONS]
)
def test_a_notebook_shows_what_is_stored(opened: Any, name: str) -> None:
    notebook = opened(name)
    heading = notebook.page.get_by_role("heading", name="What you have now").first
    notebook.to_the_top()
    notebook.shot(name)
    heading.scroll_into_view_if_needed()
    notebook.shot(f"{name}-end")
    assert notebook.errors() == []
    assert notebook.broken_pictures() == []


@pytest.mark.parametrize("name", WHOLE)
def test_a_notebook_runs_from_top_to_bottom(opened: Any, name: str) -> None:
    notebook = opened(name)
    notebook.run_all()
    notebook.to_the_top()
    notebook.shot(f"{name}-run")


def test_nodes_change_colour_and_can_be_chosen_while_a_cell_runs(opened: Any) -> None:
    notebook = opened("06_the_whole_dag")
    notebook.run_to_slide_45()
    notebook.run(notebook.cell("watch(dag)"))
    slow = notebook.cell("catch_up(43)")
    lines = ("from workshop import fault", 'fault(sql="slow", compute="slow")', "run = dag.test()")
    notebook.write(slow, "\n".join(lines))
    notebook.run(slow, wait=False)
    graph = notebook.page.locator(".gcp-spy-live")
    graph.scroll_into_view_if_needed()
    seen: set[str] = set()
    chosen = False
    end = time.monotonic() + SECONDS / 1000
    while time.monotonic() < end:
        states = graph.locator("g.node").evaluate_all("all => all.map(one => one.dataset.state)")
        seen |= set(states)
        if "running" in states and "success" in states and not chosen:
            graph.locator("g.node[data-state=success]").first.focus()
            notebook.page.keyboard.press("Enter")
            expect(graph.locator(".panel")).to_contain_text("return_value")
            assert "*" in slow.locator(".jp-InputPrompt").inner_text(), "the cell still runs"
            notebook.shot("live-while-it-runs")
            chosen = True
        if states == ["success"] * 7:
            break
        time.sleep(0.05)
    assert {"running", "success"} <= seen
    assert chosen
    notebook.wait_until_idle()
    expect(graph.get_by_role("status")).to_have_text("The run: success")
    notebook.shot("live-at-the-end")


def test_a_switch_changes_what_arrives(opened: Any) -> None:
    notebook = opened("06_the_whole_dag")
    notebook.run_to_slide_45()
    switches = notebook.cell("switches()")
    notebook.run(switches)
    row = switches.locator(".widget-dropdown", has_text="slack").locator("select")
    row.select_option("429")
    expect(switches).to_contain_text("slack: 429. Run the DAG again.")
    notebook.shot("switch")
    run = notebook.cell('fault(slack=500, mail="down")')
    notebook.write(run, "run = dag.test()\nslack_message()")
    notebook.run(run)
    expect(run.locator(".jp-OutputArea")).to_contain_text("answered 429 rate_limited")
    notebook.shot("switched")


def test_an_exercise_is_failed_and_then_solved(opened: Any, folder: Path) -> None:
    notebook = opened("03_list_instances")
    notebook.run_all()
    stub, check = notebook.cell("%%exercise weekdays"), notebook.cell('check("weekdays")')
    verdict = check.locator(".jp-OutputArea")
    notebook.run(stub)
    notebook.run(check)
    expect(verdict).to_contain_text("Not attempted yet")
    daily = '%%exercise weekdays dag\ndag = DAG(dag_id="gcp_spy", schedule="30 8 * * *")'
    notebook.write(stub, daily)
    notebook.run(stub)
    notebook.run(check)
    expect(verdict).to_contain_text("Not yet. It also runs on a Saturday")
    notebook.shot("exercise-not-yet")
    notebook.write(stub, daily.replace("8 * * *", "8 * * 1-5"))
    notebook.run(stub)
    notebook.run(check)
    expect(verdict).to_contain_text("Right. The spy reports on weekdays")
    notebook.shot("exercise-right")
    assert '"weekdays"' in (folder / "progress.json").read_text("utf-8")
    assert "gcp_spy" in (folder / "dags" / "gcp_spy.py").read_text("utf-8")
    index = opened("00_index")
    index.run_all()
    table = index.cell("progress()").locator(".jp-OutputArea")
    expect(table).to_contain_text("✓")
    index.shot("progress")


def test_the_table_of_progress_leads_to_an_exercise(opened: Any) -> None:
    page = opened("00_index").page
    link = page.locator(".jp-Notebook:visible a", has_text="Come what may")
    heading = page.locator(".jp-Notebook:visible h3", has_text="Come what may")
    link.click()  # this one opens the notebook; JupyterLab may give up before its cells are there
    expect(heading).to_be_visible()
    page.get_by_role("tab", name="00_index").click()
    link.click()
    expect(heading).to_be_in_viewport()


@pytest.mark.parametrize(
    ("name", "exercise"),
    [
        pytest.param("04_slack", "count", marks=WEEKLY),
        pytest.param("05_email", "day", marks=WEEKLY),
        ("06_the_whole_dag", "sensor"),
    ],
)
def test_an_exercise_of_the_other_notebooks_is_solved(
    opened: Any, folder: Path, name: str, exercise: str
) -> None:
    notebook = opened(name)
    notebook.run_all()
    ((part, source),) = read_attempts("solution")[exercise].items()
    stub, check = notebook.cell(f"%%exercise {exercise}"), notebook.cell(f'check("{exercise}")')
    notebook.write(stub, f"%%exercise {exercise} {part}\n{source}")
    notebook.run(stub)
    notebook.run(check)
    expect(check.locator(".jp-OutputArea")).to_contain_text("Right.")
    assert f'"{exercise}"' in (folder / "progress.json").read_text("utf-8")
    notebook.shot(f"exercise-{exercise}")


def test_a_long_run_shows_how_far_it_is(opened: Any) -> None:
    notebook = opened("05_email")
    for text in ('world = "talk"', "start(world)", "catch_up(37)"):
        notebook.run(notebook.cell(text))
    cell = notebook.cell("catch_up(37)")
    lines = ("from workshop import fault", 'fault(sql="slow", compute="slow")', "run = dag.test()")
    notebook.write(cell, "\n".join([*lines, "fault(sql=None, compute=None)"]))
    notebook.run(cell, wait=False)
    output = cell.locator(".jp-OutputArea")
    expect(output.locator("progress")).to_be_visible(timeout=SECONDS)
    expect(output).to_contain_text(re.compile(r"gcp_spy: \d of 5 tasks have ended, \d+ s"))
    assert "*" in cell.locator(".jp-InputPrompt").inner_text(), "the cell still runs"
    notebook.shot("bar")
    notebook.wait_until_idle()
    expect(output.locator("progress")).to_have_count(0)


def test_a_restarted_kernel_says_what_to_do_and_catches_up(opened: Any) -> None:
    notebook = opened("05_email")
    notebook.menu("Kernel", "Restart Kernel…")
    notebook.page.locator(".jp-Dialog button", has_text="Restart").click()
    notebook.wait_until_idle()
    middle = notebook.cell("%%slide 40 prepare_email")
    notebook.run(middle)
    expect(middle.locator(".jp-OutputArea")).to_contain_text("run the notebook's first cells")
    notebook.shot("restarted")
    for text in ('world = "talk"', "start(world)", "catch_up(37)"):
        notebook.run(notebook.cell(text))
    caught = notebook.cell("catch_up(37)")
    notebook.write(caught, "catch_up(40)")
    notebook.run(caught)
    expect(caught.locator(".jp-OutputArea")).to_contain_text("As after slide 40")
    notebook.run(middle)
    expect(middle.locator(".jp-OutputArea")).to_contain_text("unchanged")
    notebook.shot("caught-up")


@pytest.fixture(scope="session")
def site() -> str:
    """Build the site, and return the address of its folder."""
    return write_site().parent.as_uri()


@pytest.fixture
def visit(chromium: Browser, site: str) -> Iterator[Any]:
    """Return what opens a page of the site from disk; what the pages ask for must lie there."""
    asked: list[str] = []
    opened: list[Page] = []

    def open_page(address: str, width: int = 1280, scheme: Any = "light") -> Page:
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.append(page)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{site}/{address}")
        return page

    yield open_page
    for page in opened:
        page.close()
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_the_site_is_read_from_its_first_page_to_its_last(visit: Any, site: str) -> None:
    page = visit("index.html")
    page.screenshot(path=SHOTS / "site.png")
    built = {path.stem for path in Path(unquote(urlsplit(site).path)).glob("*.html")}
    following, seen = page.locator("a.right-next"), ["index"]
    for _ in built - {"index", "search", "genindex"}:
        title = following.locator(".prev-next-title").inner_text()
        following.click()
        expect(page.get_by_role("heading", level=1).last).to_contain_text(title)
        seen.append(Path(urlsplit(page.url).path).stem)
    expect(following).to_have_count(0)
    assert {*seen} == built - {"search", "genindex"}
    assert [name for name in seen if name in LESSONS] == [*LESSONS]


def test_the_site_finds_words(visit: Any) -> None:
    page = visit("index.html")
    page.get_by_role("button", name="Search").first.click()
    page.keyboard.type("trigger rule")
    page.keyboard.press("Enter")
    found = page.locator("#search-results li")
    expect(found.filter(has_text="Glossary").first).to_be_visible()
    expect(found.filter(has_text=re.compile(r"\d+ · ")).first).to_be_visible()
    page.screenshot(path=SHOTS / "site-search.png")


def test_a_slide_and_a_term_have_their_places(visit: Any) -> None:
    page = visit("slides.html")
    page.locator("a[href='03_list_instances.html#slide-27']").click()
    expect(page.get_by_role("heading", name="Slide 27 · ")).to_be_in_viewport()
    page.screenshot(path=SHOTS / "site-slide.png")
    page.locator("a[href='glossary.html#term-XCom']").click()
    expect(page.locator("dt", has_text="XCom")).to_be_in_viewport()
    assert page.url.endswith("glossary.html#term-XCom")


def test_a_solution_unfolds_by_keyboard(visit: Any) -> None:
    page = visit("06_the_whole_dag.html")
    solution = page.locator("details", has=page.get_by_text("Solution", exact=True)).first
    code = solution.get_by_text("set -o pipefail")
    expect(code).to_be_hidden()
    solution.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(code).to_be_visible()
    page.screenshot(path=SHOTS / "site-solution.png")
    page.keyboard.press("Enter")
    expect(code).to_be_hidden()


def test_the_site_becomes_dark_with_its_pictures(visit: Any) -> None:
    page = visit("06_the_whole_dag.html#slide-44")
    picture = page.locator(".cell_output img").first
    expect(picture).to_have_css("filter", "none")
    page.get_by_role("button", name="Color mode").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html[data-theme=dark]")).to_be_visible()
    expect(picture).to_have_css("filter", re.compile("invert"))
    page.screenshot(path=SHOTS / "site-dark.png")


# Each state that a box of the graph has from now on, however short.
WATCHED = """node => {
    window.seen = [];
    new MutationObserver(() => {
        if (seen.at(-1) !== node.dataset.state) seen.push(node.dataset.state);
    }).observe(node, {attributes: true, attributeFilter: ["data-state"]});
}"""


@pytest.mark.parametrize(
    ("name", "task", "left"),
    [
        ("index", "gcp_service_list_instances_sql", "return_value: orders-db"),
        pytest.param("06_the_whole_dag", "send_email", "try 1", marks=WEEKLY),
        pytest.param("12_gcp_spy_today", "report", "gcloud ended with status 0", marks=WEEKLY),
    ],
)
def test_a_run_is_replayed_by_keyboard(visit: Any, name: str, task: str, left: str) -> None:
    page = visit(f"{name}.html")
    graph = page.locator(".replay")
    expect(graph).to_contain_text("A recording of one run: nothing runs on this page.")
    expect(graph.get_by_role("status")).to_have_text("The run: success")
    node = graph.locator(f"[aria-label^='{task},']")
    node.evaluate(WATCHED)
    graph.get_by_role("button", name="Replay").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("seen.length == 3", timeout=SECONDS)
    assert page.evaluate("seen") == ["", "running", "success"]
    expect(graph.get_by_role("status")).to_have_text("The run: success")
    node.focus()
    page.keyboard.press("Enter")
    expect(graph.locator(".panel")).to_contain_text(left)
    page.screenshot(path=SHOTS / f"site-replay-{name}.png")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("index", "06_the_whole_dag") else WEEKLY)
        for name in (*PAGES, *LESSONS, "search", "genindex")
    ],
)
def test_a_page_bars_nobody(visit: Any, name: str) -> None:
    tags = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    for width in (1280, 400):
        for scheme in ("light", "dark"):
            page = visit(f"{name}.html", width, scheme)
            page.screenshot(path=SHOTS / f"site-{name}-{width}-{scheme}.png", full_page=True)
            report = Axe().run(page, options={"runOnly": tags})
            assert report.violations_count == 0, report.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("document.querySelector('main').append(new Image())")
    assert Axe().run(page, options={"runOnly": tags}).violations_count == 1, "it sees what bars"


@WEEKLY
def test_the_site_leads_to_its_repository(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("REPOSITORY_URL", "https://github.com/example/gcp_spy")
    folder = write_site(tmp_path / "site").parent
    notebook, glossary = (
        (folder / f"{name}.html").read_text(encoding="utf-8") for name in ("04_slack", "glossary")
    )
    assert "https://github.com/example/gcp_spy/blob/main/notebooks/04_slack.ipynb" in notebook
    assert "https://mybinder.org/v2/gh/example/gcp_spy/main?" in notebook
    assert 'href="https://github.com/example/gcp_spy"' in glossary
    assert "mybinder.org" not in glossary


def test_the_notes_open_at_a_slide(chromium: Browser) -> None:
    page = chromium.new_page(viewport={"width": 1300, "height": 900})
    page.goto(write_notes(SHOTS / "notes.html").as_uri() + "#slide-24")
    expect(page.locator("#slide-24")).to_contain_text("cron expression")
    page.screenshot(path=SHOTS / "notes.png")
    page.close()


def test_the_stage_opens_at_a_slide_whose_state_is_ready(chromium: Browser, tmp_path: Path) -> None:
    page = chromium.new_page(viewport={"width": 1300, "height": 900})
    page.set_default_timeout(SECONDS)
    with jupyterlab("present", "24", "--folder", str(tmp_path / "stage")) as found:
        page.goto(found[0])
        expect(page.get_by_role("heading", name="Slide 24 · ")).to_be_in_viewport(timeout=SECONDS)
        expect(page.get_by_text("3 cells hidden")).to_be_visible()
        ready = page.locator("#jp-main-statusbar")
        expect(ready).to_contain_text("Python 3 (ipykernel) | Idle", timeout=SECONDS)
        page.screenshot(path=SHOTS / "stage.png")
        cell = page.locator(".jp-CodeCell", has_text="%%slide 24 dag").first
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        expect(cell.locator(".jp-OutputArea")).to_contain_text("gcp_spy.py · ", timeout=SECONDS)
    page.close()
