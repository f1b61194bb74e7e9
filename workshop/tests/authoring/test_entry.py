"""The entry to the check: what is collected, what makes it red, and the files that start it."""

import ast
import configparser
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
import tree_sitter
import tree_sitter_javascript
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval.plugin import get_sanitize_patterns

from workshop import setup
from workshop.__main__ import APP
from workshop.authoring.checking import runs
from workshop.authoring.checking.headless import code_of, read
from workshop.authoring.checking.recording import RULES, sanitised
from workshop.authoring.editions import demo, rehearsal
from workshop.ground import NOTEBOOKS, ROOT, notebooks, talk
from workshop.ground.cells import read_steps
from workshop.tests import plugin
from workshop.tests.authoring.test_commands import COMMANDS

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
BOOK = ROOT / "workshop" / "authoring" / "editions" / "book"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCUMENTS = [
    path for folder in (ROOT, ROOT / ".github", BOOK) for path in sorted(folder.glob("*.md"))
]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
# Texts that no rule may take out of the comparison.
SAMPLES = (
    "42", "3.14", "0.5 s", "2018-12-01", "success", "failed", "up_for_retry", "orders-db",
    "gcp_spy.py · 21 lines · 1 task", "gcp_spy [success]\ntasks\n  a [failed]\nedges\n  a -> b",
    "  task   state\n0  list  success\n1  send   failed", "Listed 0 items.", "",
    "<table><tr><td>7</td><td>success</td></tr></table>", "ERROR: (gcloud.spanner) denied",
)  # fmt: skip
# One flaw of each family of ruff's rules.
FLAWS = """\
import sys
import os
from typing import Optional
from airflow.providers.standard.operators.empty import EmptyOperator
if True == False:
    if len(os.listdir(".")) > 1:
        os.remove("x")
def f(x: Optional[int] = None, y: list[int] = []) -> list[int]:
    return [1] + y
first = EmptyOperator(task_id="second")
"""
UNTYPED = """\
from typing import Any
def f(x): return x
def g(x: list) -> int: return 1
def h(x: Any) -> int: return x
x = 1  # type: ignore
def k(x: int) -> int:
    if isinstance(x, str):
        return 2
    return 1
"""
TIMED = ["name", "part", "seconds", "silence"]  # what the rehearsal knows of a cell
# A program that says which tests a run would have, and of each whether it waits a week, and which
# switches nbval saw in it.
COLLECT = """
import json, sys, pytest

class Listing:
    def pytest_collection_finish(self, session):
        found = [
            (item.nodeid, {"weekly": bool(item.get_closest_marker("weekly")),
                           **getattr(item, "options", {})})
            for item in session.items
        ]
        print("COLLECTED" + json.dumps(found))

sys.exit(pytest.main(["--collect-only", "-q", "-n0", "-m", ""], plugins=[Listing()]))
"""


def quietly(*words: object, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program as a person would from a new terminal: not as a part of a running make."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, env=inherited | variables,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


@cache
def collected() -> dict[str, dict[str, bool]]:
    """Return all that pytest finds, clusters too, and what is said of each, as `COLLECT` does."""
    done = quietly(sys.executable, "-c", COLLECT, WORKSHOP_EXECUTORS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, dict[str, bool]] = dict(
        json.loads(done.stdout.split("COLLECTED")[1].split("\n")[0])
    )
    return found


def test_every_code_cell_is_collected_and_none_is_skipped() -> None:
    found = collected()
    cells = {node: options for node, options in found.items() if ".ipynb::Cell " in node}
    assert set(cells) == {
        f"notebooks/{path.name}::Cell {number}"
        for path in notebooks()
        for number in range(len(code_of(read(path))))
    }
    assert not [node for node, options in cells.items() if options.get("skip")]
    assert not [node for node, options in cells.items() if options.get("check_exception")]
    # The same for tests: each function is there, whatever its parameters are.
    tests = {node.partition("[")[0] for node in set(found) - set(cells)}
    assert tests == {
        f"{path.relative_to(ROOT)}::{node.name}"
        for path in (ROOT / "workshop").rglob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


# Of these files some tests wait for `make check-weekly`, and others are in every check.
# (So do some of cluster/executors*.py, which import what is not here yet.)
WEEKLY = {
    "authoring/test_affected.py",
    "authoring/test_composer.py",
    "authoring/test_editions.py",
    "authoring/test_launcher.py",
    "authoring/test_mutations.py",
    "authoring/test_recording.py",
    "authoring/test_server.py",
    "authoring/test_upstream.py",
    "authoring/test_worlds.py",
    "cluster/test_trials.py",
    "exercises/test_judges.py",
    "kernels/test_kernels.py",
    "lab/test_examples.py",
    "lab/test_inside.py",
    "lab/test_lab.py",
    "lab/test_surroundings.py",
    "sandbox/test_isolation.py",
    "sandbox/test_mail.py",
    "sandbox/test_real_gcloud.py",
    "sandbox/test_slack.py",
    "slides/test_dag_file.py",
    "slides/test_steps.py",
    "slides/test_workcopy.py",
}


def test_what_waits_a_week_is_in_these_files_alone() -> None:
    weekly = {node for node, said in collected().items() if said["weekly"]}
    each_time = set(collected()) - weekly
    assert PROJECT["tool"]["pytest"]["ini_options"]["addopts"][:2] == ["-m", "not weekly"]
    cells = {node for node in weekly if ".ipynb::Cell " in node}
    assert cells == {
        f"notebooks/{name}.ipynb::Cell {number}"
        for name in ("09_celery_executor", "10_kubernetes_executor", "13_when_things_break")
        for number in range(len(code_of(read(NOTEBOOKS / f"{name}.ipynb"))))
    }
    files = {node.partition("::")[0] for node in weekly - cells}
    files.remove(f"workshop/tests/{plugin.COPIED}")  # see the next test
    assert files == {f"workshop/tests/{name}" for name in WEEKLY}
    assert files <= {node.partition("::")[0] for node in each_time}


def test_the_file_for_readers_runs_whole_in_a_cell_of_12() -> None:
    tests = [node for node in collected() if f"/{plugin.COPIED}::" in node]
    cells = code_of(read(NOTEBOOKS / "12_gcp_spy_today.ipynb"))
    (runs_all,) = [cell for cell in cells if cell.source.endswith("!cd '{copy}' && {pytest}")]
    assert len(tests) > 70
    assert runs_all.outputs[0].text.count(".") == len(tests)


def test_a_notebook_counts_as_one_with_a_cluster_only_where_it_starts_one(monkeypatch: Any) -> None:
    starts = {
        path.stem
        for path in notebooks()
        if any(
            "from workshop.cluster import Cluster" in cell.source for cell in code_of(read(path))
        )
    }
    assert set(talk.with_clusters()) == starts
    monkeypatch.delenv("WORKSHOP_EXECUTORS", raising=False)
    assert {path.stem for path in notebooks() if plugin.pytest_ignore_collect(path, None)} == starts


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a small copy of the project: one test, one notebook, both green."""
    small = tmp_path / "small"
    skip = shutil.ignore_patterns("tests")
    shutil.copytree(ROOT / "workshop", small / "workshop", ignore=skip)
    (small / "workshop" / "tests").mkdir()
    for path in (ROOT / "workshop" / "tests").iterdir():
        if path.is_file() and not path.name.startswith("test_"):
            shutil.copy(path, small / "workshop" / "tests")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, small)
    (small / ".venv").symlink_to(sys.prefix)
    (small / "notebooks").mkdir()
    write_test(small, "assert True")
    write_notebook(small, "as stored")
    return small


def write_test(small: Path, statement: str) -> None:
    text = f"def test_one() -> None:\n    {statement}\n"
    (small / "workshop" / "tests" / "test_one.py").write_text(text, encoding="utf-8")


def write_notebook(small: Path, stored: str) -> None:
    output = new_output("stream", text=f"{stored}\n")
    cell = new_code_cell("print('as stored')", execution_count=1, outputs=[output])
    nbformat.write(new_notebook(cells=[cell]), small / "notebooks" / "00_small.ipynb")


def make_check(small: Path) -> subprocess.CompletedProcess[str]:
    words = ("--no-print-directory", "--old-file=.venv/ready", "check")
    return quietly("make", *words, cwd=small, PYTEST_ADDOPTS="-n0")


def test_one_red_test_or_cell_makes_the_check_fail(tree: Path) -> None:
    write_notebook(tree, "something else")
    said = make_check(tree)
    assert said.returncode == 2
    assert "1 failed, 1 passed" in said.stdout
    assert 'make record NOTEBOOK="00_small"' in said.stdout
    write_notebook(tree, "as stored")
    write_test(tree, "assert False")
    said = make_check(tree)
    assert said.returncode == 2
    assert "1 failed, 1 passed" in said.stdout


TARGETS = re.findall(r"^([a-z-]+):.*\n(?:\t.*\n)*?\t.*\$\(WORKSHOP\)", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_calls_its_command_and_fails_with_it(target: str) -> None:
    words = ("make", "--no-print-directory", f"--old-file={ROOT / '.venv' / 'ready'}",
             "--old-file=.venv/ready", target)  # fmt: skip
    said = quietly(*words, "WORKSHOP=echo")
    assert said.returncode == 0
    assert said.stdout.split()[0] == target
    assert target in COMMANDS
    assert quietly(*words, "WORKSHOP=false").returncode == 2


def test_every_command_of_the_readme_has_a_target() -> None:
    assert len(TARGETS) > 15
    assert {"check", "check-executors", "check-browser", "demo", "rehearse"} <= set(TARGETS)


@pytest.fixture
def all_is_installed(monkeypatch: Any, tmp_path: Path) -> None:
    """Let the longer checks find what they would fetch first."""
    monkeypatch.setattr(runs, "executors_ready", lambda: None, raising=False)
    monkeypatch.setattr("workshop.cluster.executors_ready", lambda: None)
    monkeypatch.setattr(runs, "install", lambda lock: True)
    monkeypatch.setattr(runs, "chromium", lambda: "chromium")
    monkeypatch.setattr(runs, "find_spec", lambda name: name)
    monkeypatch.setattr(runs, "SHOTS", tmp_path / "shots")
    monkeypatch.setenv("WORKSHOP_EXECUTORS", "")  # put back afterwards


@pytest.mark.usefixtures("all_is_installed")
@pytest.mark.parametrize(
    ("command", "does"),
    [
        ("check-executors", "checking.runs.run_pytest"),
        ("check-browser", "checking.runs.run_pytest"),
        ("check-weekly", "checking.runs.run_pytest"),
        ("check-examples", "checking.runs.run_pytest"),
        ("canary", "upkeep.canary.run_canary"),
        ("bundle", "upkeep.locks.fetch_bundle"),
        ("lock", "upkeep.locks.renew"),
    ],
)
@pytest.mark.parametrize("status", [0, 1, 2])
@pytest.mark.usefixtures("own_environment")
def test_a_command_ends_as_what_it_ran(
    command: str, does: str, status: int, monkeypatch: Any
) -> None:
    monkeypatch.setattr(f"workshop.authoring.{does}", lambda *words: status)
    with pytest.raises(SystemExit) as ended:
        APP([command], standalone_mode=False)
    assert ended.value.code == status


@pytest.mark.usefixtures("all_is_installed")
@pytest.mark.parametrize(
    ("run", "files"),
    [
        (
            runs.check_executors,
            [
                *(f"executors{of}.py" for of in ("", "_chart", "_pods")),
                *(f"{n}.ipynb" for n in talk.with_clusters()),
            ],
        ),
        (runs.check_weekly, ["tests", "notebooks"]),
        (runs.check_examples, ["test_examples.py"]),
        (runs.check_browser, ["in_the_browser.py"]),
    ],
)
def test_the_longer_checks_run_their_files(
    run: Callable[[], int], files: list[str], monkeypatch: Any
) -> None:
    asked: list[object] = []

    def note(*words: object) -> int:
        asked.extend(words)
        return 0

    monkeypatch.setattr(runs, "run_pytest", note)
    run()
    paths = [word for word in asked if isinstance(word, Path)]
    assert [path.name for path in paths] == files
    assert all(path.exists() for path in paths)


@pytest.mark.parametrize(
    ("command", "does"),
    [
        ("rehearse", "editions.rehearsal.rehearse_talk"),
        ("doctor", "upkeep.examination.doctor"),
        ("check-links", "checking.links.open_pages"),
    ],
)
@pytest.mark.parametrize("good", [True, False])
@pytest.mark.usefixtures("own_environment")
def test_a_command_ends_as_its_verdict(
    command: str, does: str, good: bool, monkeypatch: Any
) -> None:
    monkeypatch.setattr(f"workshop.authoring.{does}", lambda: good)
    with pytest.raises(SystemExit) as ended:
        APP([command], standalone_mode=False)
    assert bool(ended.value.code) == (not good)


@pytest.mark.usefixtures("own_environment")
def test_the_demo_ends_with_a_page_that_shows_message_and_mail(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    """On a small scale: the index builds and runs the whole DAG too."""
    steps = [dataclasses.replace(read_steps()[0], notebook="00_index.ipynb")]
    monkeypatch.setattr(demo, "read_steps", lambda: steps)
    monkeypatch.setattr(demo, "FOLDER", tmp_path / "demo")
    APP(["demo"], standalone_mode=False)
    assert f"Open this page: {tmp_path / 'demo' / 'index.html'}" in capsys.readouterr().out
    page = (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    assert '<a href="00_index.html">' in page
    assert (tmp_path / "demo" / "00_index.html").exists()
    assert "Cloud SQL" in page and "ops@example.com" in page


@pytest.fixture
def rehearsed(tmp_path: Path, monkeypatch: Any) -> Path:
    """Let the rehearsal find its notebooks in a folder, and return the folder."""
    monkeypatch.setattr(rehearsal, "notebooks", lambda: sorted(tmp_path.glob("*.ipynb")))
    monkeypatch.setattr(rehearsal, "cut_network", lambda: None)  # it would run pytest anew
    monkeypatch.setattr(rehearsal, "BUILD", tmp_path)
    monkeypatch.setenv("WORKSHOP_HEADLESS", "1")  # put back afterwards
    return tmp_path


@pytest.mark.usefixtures("own_environment")
def test_the_rehearsal_goes_on_after_a_notebook_that_fails(
    rehearsed: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr(rehearsal, "LONGEST_SILENCE", 1e9)
    for name, slide, code in (
        ("01_why_airflow", " 3 · Airflow", "1"),
        ("02_concepts", " 9 · Core concepts", "{}['no such key']"),
        ("03_list_instances", "s 30–31 · All services", "2"),
    ):
        cells = [
            new_code_cell("0"), new_markdown_cell(f"## Slide{slide}"), new_code_cell(code),
            new_markdown_cell("## What you have now\n\n### Exercise · One"), new_code_cell("3"),
        ]  # fmt: skip
        nbformat.write(new_notebook(cells=cells), rehearsed / f"{name}.ipynb")
    assert not rehearsal.rehearse_talk()
    said = capsys.readouterr().out
    for name, part, minutes in (
        ("01_why_airflow", r"slide 3 +1\.25", 8),
        ("03_list_instances", r"slides 30–31 +1\.25", 11),
    ):
        rows = said.partition(f"\n{name} ")[2]
        row = rf"^ +{minutes} +\d+\.\d\n  start-up +\d+\.\d\n  {part} +\d+\.\d\n"
        assert re.match(rf"{row}  exercises +\d+\.\d\n", rows), rows
    failure = "02_concepts: {}['no such key']: KeyError: 'no such key'"
    assert f"\n  failed: {failure}\n" in said
    assert f"Failed, and the rest of its notebook did not run: {failure}\n" in said
    assert "Too long without progress" not in said


@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize(
    ("seconds", "silence", "failure"),
    [(9.0, 0.5, ""), (9.0, 2.5, ""), (9.0, 0.5, "it died"), (76.0, 0.5, "")],
)
def test_the_rehearsal_judges_the_plan_silence_and_failures(
    seconds: float, silence: float, failure: str, rehearsed: Path, monkeypatch: Any, capsys: Any
) -> None:
    (rehearsed / "01_why_airflow.ipynb").touch()
    timed = pd.DataFrame([("01_why_airflow: 1", "slide 3", seconds, silence)], columns=TIMED)
    monkeypatch.setattr(rehearsal, "time_cells", lambda path: (timed, failure))
    assert rehearsal.rehearse_talk() == (seconds < 75 and silence < 2 and not failure)
    said = capsys.readouterr().out
    late = "Longer than the plan: slide 3 took 76 s of 1.25 min"
    assert (late in said) == (seconds > 75)
    assert ("Too long without progress: 01_why_airflow: 1, 2.5 s" in said) == (silence > 2)


@pytest.mark.parametrize("fails", ["", "check", "check-executors", "check-browser"])
def test_ci_stops_at_what_fails(fails: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for name, text in {
        "make": f'echo "$@" >> "{log}"; test "$*" != "{fails}"',
        "chromium": "exit 1",
        "apt-get": f'echo apt-get >> "{log}"; exit 1',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = quietly(ROOT / ".ci" / "run", cwd=tmp_path, PATH=path)
    commands = ["check", "check-executors", "check-browser"]
    expected = commands[: commands.index(fails) + 1] if fails else commands
    assert log.read_text(encoding="utf-8").splitlines() == expected
    assert (done.returncode == 0) == (not fails)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_hides_no_failure(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "continue-on-error" not in text
    for job in yaml.safe_load(text)["jobs"].values():
        for command in (step["run"] for step in job["steps"] if "run" in step):
            assert re.fullmatch(r"make [a-z-]+", command), "one target, and its own exit status"


def test_types_are_checked_strictly(tmp_path: Path) -> None:
    (tmp_path / "untyped.py").write_text(UNTYPED, encoding="utf-8")
    words = ("--config-file", ROOT / "pyproject.toml", "--cache-dir", tmp_path / "cache")
    done = quietly(sys.executable, "-m", "mypy", *words, tmp_path / "untyped.py")
    found = set(re.findall(r"\[([a-z-]+)\]$", done.stdout, re.MULTILINE))
    assert found == {"no-untyped-def", "type-arg", "no-any-return", "unused-ignore", "unreachable"}
    settings = PROJECT["tool"]["mypy"]
    assert settings["packages"] == ["workshop"]
    assert "exclude" not in settings
    modules = [name for override in settings["overrides"] for name in override["module"]]
    assert not [name for name in modules if name.startswith("workshop")]


def test_each_family_of_rules_is_checked(tmp_path: Path) -> None:
    (tmp_path / "flaws.py").write_text(FLAWS, encoding="utf-8")
    words = ("check", "--no-cache", "--config", ROOT / "pyproject.toml", "--output-format=concise")
    done = quietly(sys.executable, "-m", "ruff", *words, tmp_path / "flaws.py")
    found = set(re.findall(r"flaws\.py:\d+:\d+: ([A-Z]+)\d+", done.stdout))
    assert found == {"E", "F", "I", "B", "UP", "SIM", "RUF", "PTH", "AIR"}
    shown = quietly(sys.executable, "-m", "ruff", "check", "--show-files", ".").stdout
    files = {str(path) for path in (ROOT / "workshop").rglob("*.py")}
    assert files <= set(shown.splitlines())
    ignored = PROJECT["tool"]["ruff"]["lint"]["per-file-ignores"]
    assert set(ignored) == {
        "dags/*", "dags/gcp_spy.py", "workshop/tests/sandbox/tools.py", "workshop/setup.py",
    }  # fmt: skip


def test_what_may_differ_has_these_names_and_nothing_else_does() -> None:
    rules = configparser.RawConfigParser()
    text = RULES.read_text(encoding="utf-8")
    rules.read_string(text)
    assert [name.partition(":")[0] for name in rules.sections()] == ["pictures"]
    assert len(get_sanitize_patterns(text)) == len(rules.sections()), "nbval reads them by line"
    options = PROJECT["tool"]["pytest"]["ini_options"]["addopts"]
    assert f"--nbval-sanitize-with={RULES.relative_to(ROOT)}" in options
    assert "--nbval" in options and "--nbval-lax" not in options
    for sample in SAMPLES:
        assert sanitised(sample) == json.dumps(sample), "this must be compared"
        for regex, replace in get_sanitize_patterns(text):
            assert re.sub(regex, replace, sample) == sample
    picture = '<img alt="Graph" src="data:image/svg+xml;base64,PD94bWw=">'
    assert "PD94" not in sanitised(picture) and "Graph" in sanitised(picture)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_what_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)#\s]+)", prose):
        assert link.startswith("https://") or (path.parent / link).exists(), link
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
               for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}  # fmt: skip
    assert set(re.findall(r"\]\(#([^)]+)\)", prose)) <= anchors
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))
    assert named <= targets, named - targets
    commands = set(re.findall(r"\.venv/bin/workshop ([a-z-]+)", text))
    assert commands <= set(COMMANDS), commands - set(COMMANDS)


def test_the_page_of_the_stand_ins_names_every_world() -> None:
    worlds = {path.stem for path in (ROOT / "workshop" / "sandbox" / "worlds").glob("*.yaml")}
    text = (BOOK / "stand_ins.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(r"in a \*world\*, a YAML file: (.*?)\.", text)
    assert set(re.findall(r"`(\w+)`", sentence)) == worlds


def scripts() -> Iterator[tuple[str, str]]:
    """Return name and text of each piece of JavaScript: files, and what stands in pages."""
    folder = ROOT / "workshop"
    for path in folder.rglob("*.js"):
        yield path.name, path.read_text(encoding="utf-8")
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for script in re.findall(r"<script\b[^>]*>(.+?)</script>", text, re.DOTALL):
            yield path.name, script


def has_error(script: str) -> bool:
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_javascript.language()))
    return bool(parser.parse(script.encode()).root_node.has_error)


def test_the_javascript_parses() -> None:
    found = dict(scripts())
    assert "live.js" in found
    assert not [name for name, text in found.items() if has_error(text)]
    assert has_error(found["live.js"].replace("{", "", 1)), "a slip is seen"


@pytest.mark.parametrize("uv", ["/somewhere/uv", None])
def test_set_up_installs_nothing_without_its_hash(uv: str | None, monkeypatch: Any) -> None:
    asked: list[tuple[str, ...]] = []

    def note(*words: str) -> bool:
        asked.append(words)
        return True

    monkeypatch.setattr(setup, "run", note)
    monkeypatch.setattr(setup, "run_with_dots", note)
    monkeypatch.setattr("shutil.rmtree", lambda *words, **more: None)
    setup.install(setup.make_venv("python3", uv))
    fetched = [words for words in asked if "--requirement" in words]
    assert len(fetched) == (1 if uv else 2)
    assert all("--require-hashes" in words for words in fetched)
    alone = [words for words in asked if "install" in words and words not in fetched]
    assert [("--no-deps" in words, "--no-build-isolation" in words) for words in alone] == [
        (True, True)
    ], "the package itself alone"
