"""`make check-changed` and `make check NOTEBOOK=…`: what they run, what they leave out, and say.

In a copy of this repository, with a program in pytest's place that tells what it was given.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workshop.authoring.checking import affected
from workshop.ground import NOTEBOOKS, ROOT

TELLS = "import sys\nprint('pytest got', *sys.argv[1:], sep='\\t')\nsys.exit(3)\n"
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "build", "bundle", "work", "__pycache__")


def git(folder: Path, *words: str) -> None:
    program = ["git", "-c", "user.name=n", "-c", "user.email=n@example.com", *words]
    subprocess.run(program, cwd=folder, check=True, capture_output=True, timeout=600)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("clone") / "a copy"
    shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "as it was")
    return folder


@pytest.fixture
def clone(committed: Path) -> Path:
    """Return a copy of the repository in which nothing changed yet."""
    git(committed, "reset", "--quiet", "--hard")
    git(committed, "clean", "--quiet", "--force", "-d")
    return committed


def workshop(
    folder: Path, tmp_path: Path, *words: str, real: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command there; unless it is to be real, pytest only tells what it was given."""
    environment = os.environ | {"PYTEST_ADDOPTS": "--numprocesses=0"}
    if not real:
        (tmp_path / "pytest.py").write_text(TELLS, encoding="utf-8")
        environment["PYTHONPATH"] = str(tmp_path)
    return subprocess.run(
        [sys.executable, "-m", "workshop", *words], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def given(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the words that pytest got; it must have been called once."""
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("pytest got")]
    return line.split("\t")[1:]


def add_a_line(path: Path) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("\n")


def test_where_nothing_changed_nothing_runs(clone: Path, tmp_path: Path) -> None:
    done = workshop(clone, tmp_path, "check-changed")
    assert done.stdout == "Nothing changed since the last commit, so nothing was checked.\n"
    assert done.returncode == 0


def test_a_notebook_runs_alone_and_what_is_left_out_is_said(clone: Path, tmp_path: Path) -> None:
    add_a_line(clone / "notebooks" / "04_slack.ipynb")
    done = workshop(clone, tmp_path, "check-changed")
    assert done.returncode == 3, "the status is pytest's"
    words = given(done)
    assert [word for word in words if word.endswith(".ipynb")] == ["notebooks/04_slack.ipynb"]
    assert "workshop/tests/authoring/test_notebooks.py" in words
    assert "workshop/tests/authoring/test_style.py" in words
    assert "workshop/tests/authoring/test_worlds.py" not in words
    assert done.stdout.startswith("Changed: notebooks/04_slack.ipynb.\n")
    assert "\nLeft out: 04_slack in other worlds.\n" in done.stdout
    assert done.stdout.endswith("\nBefore you commit: make check.\n")


def test_a_notebook_with_a_cluster_is_only_read(clone: Path, tmp_path: Path) -> None:
    add_a_line(clone / "notebooks" / "08_local_executor.ipynb")
    done = workshop(clone, tmp_path, "check-changed")
    assert not [word for word in given(done) if word.endswith(".ipynb")]
    assert "Left out: the cells of 08_local_executor, which make check-executors" in done.stdout


def test_a_module_affects_the_tests_that_import_it_and_no_others(
    clone: Path, tmp_path: Path
) -> None:
    add_a_line(clone / "workshop" / "authoring" / "editions" / "pages.py")
    words = given(workshop(clone, tmp_path, "check-changed"))
    assert "workshop/tests/authoring/test_editions.py" in words
    assert "workshop/tests/authoring/test_commands.py" in words, "the command imports it"
    assert "workshop/tests/test_house.py" in words
    assert not [word for word in words if "canary" in word or ".ipynb" in word]


def test_a_notebook_s_exercises_affect_that_notebook(clone: Path, tmp_path: Path) -> None:
    (clone / "workshop" / "exercises" / "notebooks" / "n04_slack.py").unlink()
    words = given(workshop(clone, tmp_path, "check-changed"))
    assert [word for word in words if word.endswith(".ipynb")] == ["notebooks/04_slack.ipynb"]
    assert "workshop/tests/exercises/test_judges.py" in words


@pytest.mark.parametrize("module", ["filters", "formats", "program", "services"])
def test_a_module_of_gcloud_affects_what_runs_gcloud(module: str) -> None:
    """They import each other by relative names, and a program in a string starts them."""
    path = f"workshop/sandbox/gcloud/{module}.py"
    assert affected.select([path]).everything == path


@pytest.mark.parametrize("name", ["conf.py", "glossary.md", "site.css"])
def test_what_sphinx_reads_affects_what_looks_at_the_site(name: str) -> None:
    selection = affected.select([f"workshop/authoring/editions/book/{name}"])
    assert "workshop/tests/authoring/test_editions.py" in selection.run
    assert "what make check-browser runs" in selection.left_out


@pytest.mark.weekly
def test_of_many_notebooks_some_are_left_out_by_name(clone: Path, tmp_path: Path) -> None:
    add_a_line(clone / "workshop" / "exercises" / "questions.yaml")
    done = workshop(clone, tmp_path, "check-changed")
    runs = [Path(word).stem for word in given(done) if word.endswith(".ipynb")]
    (left,) = [line for line in done.stdout.splitlines() if "Left out: the cells of" in line]
    assert len(runs) == 2
    assert "04_slack" in left and "13_when_things_break" in left
    assert not [name for name in runs if name in left]


def test_where_all_rests_on_it_all_runs(clone: Path, tmp_path: Path) -> None:
    add_a_line(clone / "workshop" / "lab" / "home.py")
    add_a_line(clone / "notebooks" / "04_slack.ipynb")
    done = workshop(clone, tmp_path, "check-changed")
    assert given(done) == []
    said = "All rests on workshop/lab/home.py: this is the whole of make check.\n"
    assert said in done.stdout
    assert done.returncode == 3


@pytest.mark.parametrize(
    "name",
    [
        "pyproject.toml",
        "requirements.lock",
        "workshop/__init__.py",
        "workshop/authoring/checking/headless.py",
        "workshop/ground/slides.csv",
        "workshop/sandbox/worlds/busy.yaml",
        "workshop/show/live.js",
        "workshop/tests/plugin.py",
    ],
)
def test_all_rests_on_it(name: str) -> None:
    assert affected.select(["README.md", name]).everything == name


def test_new_moved_and_unnamed_files(clone: Path, tmp_path: Path) -> None:
    measuring = clone / "workshop" / "authoring" / "measuring"
    git(clone, "mv", str(measuring / "race.py"), str(measuring / "contest.py"))
    new = clone / "workshop" / "tests" / "authoring" / "test_contest ż.py"
    new.write_text("import workshop.authoring.measuring.contest\n", encoding="utf-8")
    unnamed = "UNHEARD-OF".lower()
    (clone / unnamed).write_text("", encoding="utf-8")
    done = workshop(clone, tmp_path, "check-changed")
    changed = done.stdout.partition("\n")[0]
    for name in ("contest.py", "race.py", "test_contest ż.py", unnamed):
        assert name in changed
    assert "workshop/tests/authoring/test_contest ż.py" in done.stdout.partition("pytest got")[2]
    assert "\nLeft out: what make check-executors runs.\n" in done.stdout, "it imports race"
    assert f"\nLeft out: {unnamed}, which no test names.\n" in done.stdout


def test_without_git_it_is_one_sentence(clone: Path, tmp_path: Path) -> None:
    shutil.move(clone / ".git", tmp_path / "away")
    try:
        done = workshop(clone, tmp_path, "check-changed")
    finally:
        shutil.move(tmp_path / "away", clone / ".git")
    assert done.returncode == 1
    assert done.stderr.startswith("Git cannot tell what changed (")
    assert done.stderr.endswith("). Run make check.\n")
    assert len(done.stderr.splitlines()) == 1


def test_files_of_tests_run_when_they_change() -> None:
    names = {str(p.relative_to(ROOT)) for p in (ROOT / "workshop/tests").rglob("test_*.py")}
    assert len(names) > 20
    assert names <= affected.select(names).run


def test_what_the_rules_name_is_there() -> None:
    named = {*affected.SETTINGS, affected.STYLE, *affected.OF_MODULES, *affected.OF_NOTEBOOKS}
    named |= {*affected.OF_FILES, *(name for names in affected.OF_FILES.values() for name in names)}
    for name in named:
        path, _, test = name.partition("::")
        assert (ROOT / path).exists(), name
        assert test in ((ROOT / path).read_text("utf-8") if test else ""), name
    modules = affected.Imports().paths
    assert {affected.PLUGIN, affected.JUDGING, *affected.ELSEWHERE} <= set(modules)


def test_notebooks_are_checked_by_name(tmp_path: Path) -> None:
    done = workshop(ROOT, tmp_path, "check", "04_slack.ipynb", "08_local_executor")
    guard = str(ROOT / "workshop" / "tests" / "authoring" / "test_notebooks.py")
    wanted = ["04_slack or 08_local_executor", guard, str(NOTEBOOKS / "04_slack.ipynb")]
    assert given(done) == ["-k", *wanted]
    assert done.returncode == 3
    done = workshop(ROOT, tmp_path, "check", "04_slak")
    assert "Did you mean '04_slack'?" in done.stderr
    said = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "check", "NOTEBOOK=04_slack"],
        cwd=ROOT, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert said.endswith("-m workshop check 04_slack\n")


@pytest.mark.weekly
def test_a_notebook_that_displeases_the_guard_is_red(clone: Path, tmp_path: Path) -> None:
    path = clone / "notebooks" / "08_local_executor.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("Next: [", "Then: [").replace(".ipynb)", "_gone.ipynb)"), "utf-8")
    done = workshop(clone, tmp_path, "check", "08_local_executor", real=True)
    assert done.returncode == 1
    assert "_gone.ipynb, which is not there: correct the link" in done.stdout
    assert "2 failed, 1 passed" in done.stdout
