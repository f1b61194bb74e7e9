"""`make check-changed`: what the working tree's changes can affect, and only that.

Who imports what is read from the files, without importing them. Of a file that is no module the
rules say who looks at it. What every test rests on makes it the whole of `make check`.
"""

import ast
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import workshop
from workshop.authoring.checking.runs import run_pytest
from workshop.ground import NOTEBOOKS, ROOT, Problem, notebooks
from workshop.ground.cells import code_cells, python_of
from workshop.ground.talk import WEEKLY, with_clusters

PACKAGE = ROOT / "workshop"
PUBLIC = {name: f"workshop.{module}" for module, names in workshop.NAMES.items() for name in names}
JUDGING = "workshop.exercises.judging"  # it finds the modules of JUDGES by their notebooks' names
JUDGES = "workshop.exercises.notebooks.n"
SITE = "workshop.authoring.editions.site"  # it hands these to Sphinx
SETTINGS_OF_THE_SITE = "workshop.authoring.editions.book.conf"
TESTS = "workshop.tests"
PLUGIN = f"{TESTS}.plugin"  # how every test runs
# What no module names, though every test rests on it.
SETTINGS = (
    "pyproject.toml",
    "requirements.lock",
    "workshop/authoring/checking/nbval.cfg",
    "workshop/setup.py",
)
STYLE = "workshop/tests/authoring/test_style.py"
# These look at all modules.
OF_MODULES = (
    "workshop/tests/authoring/test_environment.py",
    "workshop/tests/lab/test_inside.py::test_nothing_else_imports_airflow_s_private_names",
    "workshop/tests/test_house.py",
)
# These look at all notebooks, and run none.
OF_NOTEBOOKS = (
    "workshop/tests/authoring/test_notebooks.py",
    "workshop/tests/ground",
    "workshop/tests/slides/test_dag_file.py",
    "workshop/tests/slides/test_steps.py",
)
# Many name these, and few look at what they say.
OF_FILES = {
    ".ci/run": (
        "workshop/tests/authoring/test_entry.py",
        "workshop/tests/authoring/test_environment.py",
    ),
    "README.md": (
        "workshop/tests/authoring/test_entry.py",
        "workshop/tests/authoring/test_environment.py",
        "workshop/tests/ground/test_talk.py",
    ),
    "workshop/authoring/editions/book/stand_ins.md": (
        "workshop/tests/authoring/test_entry.py",
        "workshop/tests/ground/test_talk.py",
    ),
    "workshop/authoring/editions/book/working.md": (
        "workshop/tests/authoring/test_entry.py",
        "workshop/tests/authoring/test_environment.py",
        "workshop/tests/lab/test_surroundings.py",
    ),
    "dags/gcp_spy.py": ("workshop/tests/slides/test_dag_file.py",),
    "dags/gcp_spy_today.py": (
        "notebooks/11_composer.ipynb",
        "notebooks/12_gcp_spy_today.ipynb",
        "workshop/tests/authoring/test_composer.py",
        "workshop/tests/cluster/test_trials.py",
        "workshop/tests/test_gcp_spy_today.py",
        "workshop/tests/test_odd_answers_of_gcloud.py",
    ),
}
# These run in commands of their own.
ELSEWHERE = {
    "workshop.tests.authoring.in_the_browser": "make check-browser",
    "workshop.tests.cluster.executors": "make check-executors",
    "workshop.tests.cluster.executors_chart": "make check-executors",
    "workshop.tests.cluster.executors_pods": "make check-executors",
}
MOST_NOTEBOOKS = 2  # that run though only what they import changed: one for each core
IN_A_STRING = re.compile(r"from (workshop[\w.]*) import (\w+(?:, \w+)*)|import (workshop[\w.]*)")


@dataclass
class Selection:
    """What of the check runs, and what does not though the changes can affect it."""

    everything: str = ""  # the changed file on which every test rests
    run: set[str] = field(default_factory=set)
    left_out: list[str] = field(default_factory=list)


def check_changed() -> int:
    """Run what the changes since the last commit can affect; return pytest's exit status.

    Raises:
        Problem: Git cannot tell what changed.
    """
    changed = changed_files()
    if not changed:
        print("Nothing changed since the last commit, so nothing was checked.")
        return 0
    print(f"Changed: {', '.join(changed)}.", flush=True)
    selection = select(changed)
    if selection.everything:
        print(f"All rests on {selection.everything}: this is the whole of make check.", flush=True)
        return run_pytest()
    print(f"To check: {', '.join(sorted(selection.run))}.", flush=True)
    status = run_pytest(*sorted(selection.run))
    for what in selection.left_out:
        print(f"Left out: {what}.")
    print("Before you commit: make check.")
    return status


def changed_files() -> list[str]:
    """Return the files that differ from the last commit, new and deleted ones too.

    Raises:
        Problem: Git cannot tell.
    """
    tracked = _git("diff", "--name-only", "--no-renames", "--relative", "-z", "HEAD")
    new = _git("ls-files", "--others", "--exclude-standard", "-z")
    return sorted({*tracked, *new})


def _git(*words: str) -> list[str]:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        reason = done.stderr.partition("\n")[0] if done.returncode else ""
    except OSError as error:
        reason = str(error)
    if reason:
        raise Problem(f"Git cannot tell what changed ({reason}). Run make check.")
    return [name for name in done.stdout.split("\0") if name]


def select(changed: Iterable[str]) -> Selection:
    """Return what the changed files can affect.

    Args:
        changed: their paths, from the folder of the repository.
    """
    imports = _imports()
    selection = Selection(run={STYLE})
    of_all = imports.reached([PLUGIN])
    modules: set[str] = set()
    for name in changed:
        path = Path(name)
        if path.parent.name == NOTEBOOKS.name and path.suffix == ".ipynb":
            _add_notebook(path.stem, selection)
        elif name in OF_FILES:
            selection.run.update(OF_FILES[name])
            selection.left_out.append(f"what else reads {name}")
        else:
            found = imports.resting_on(path)
            if name in SETTINGS or found & of_all:
                return Selection(everything=name)
            if not found:
                selection.left_out.append(f"{name}, which no test names")
            modules |= found
    if modules:
        selection.run.update(OF_MODULES)
        _add_modules(modules, imports, selection)
    return selection


def _add_notebook(stem: str, selection: Selection) -> None:
    """Add a changed notebook; it may be deleted."""
    path = NOTEBOOKS / f"{stem}.ipynb"
    selection.run.update(OF_NOTEBOOKS)
    left = f"answers to the exercises of {stem}, and who catches up on its slides"
    if stem in with_clusters():
        command = "make check-weekly" if stem in WEEKLY else "make check-executors"
        selection.left_out += [f"the cells of {stem}, which {command} runs", left]
    else:
        selection.left_out += [f"{stem} in other worlds", left]
        if path.exists():
            selection.run.add(str(path.relative_to(ROOT)))


def _add_modules(modules: set[str], imports: "Imports", selection: Selection) -> None:
    """Add the tests and notebooks that import one of some modules, directly or not."""
    for test in imports.tests():
        if modules & imports.reached([test, *imports.conftests(test)]):
            selection.run.add(str(imports.paths[test].relative_to(ROOT)))
    pages = [page for page, of in imports.pages().items() if modules & of]
    here = [page for page in pages if page not in with_clusters()]
    selection.run.update(f"{NOTEBOOKS.name}/{page}.ipynb" for page in here[:MOST_NOTEBOOKS])
    if left := [page for page in pages if page not in here[:MOST_NOTEBOOKS]]:
        selection.left_out.append(f"the cells of {', '.join(left)}")
    for tests, command in ELSEWHERE.items():
        if modules & imports.reached([tests]):
            selection.left_out.append(f"what {command} runs")


class Imports:
    """Which modules of the package import which, as their files say, and who names which file."""

    def __init__(self) -> None:
        self.paths = {_module(path.relative_to(ROOT)): path for path in PACKAGE.rglob("*.py")}
        self._sources = {name: path.read_text("utf-8") for name, path in self.paths.items()}
        self._direct = {
            name: imported(source, _module(self.paths[name].parent.relative_to(ROOT)))
            for name, source in self._sources.items()
        }
        judges = {f"{JUDGES}{path.stem}" for path in notebooks()}
        self._direct[JUDGING] = self._direct.get(JUDGING, set()) | judges
        self._direct[SITE] = self._direct.get(SITE, set()) | {SETTINGS_OF_THE_SITE}

    def reached(self, modules: Iterable[str]) -> set[str]:
        """Return modules with all that they import, directly or not, and the packages around."""
        found: set[str] = set()
        waiting = [*modules]
        while waiting:
            name = waiting.pop()
            if name and name not in found:
                found.add(name)
                waiting += [name.rpartition(".")[0], *self._direct.get(name, ())]
        return found

    def tests(self) -> list[str]:
        """Return the modules in which pytest finds tests."""
        return [name for name, path in self.paths.items() if path.name.startswith("test_")]

    def pages(self) -> dict[str, set[str]]:
        """Return the modules on which each notebook rests; of the judges its own.

        Raises:
            Problem: a notebook cannot be read.
        """
        direct: dict[str, set[str]] = {}
        for name, _, cell in code_cells():
            code = python_of("".join(cell["source"]))
            direct.setdefault(Path(name).stem, set()).update(imported(code))
        return {
            page: {
                module
                for module in self.reached(modules)
                if module == f"{JUDGES}{page}" or not module.startswith(JUDGES)
            }
            for page, modules in direct.items()
        }

    def conftests(self, test: str) -> list[str]:
        """Return the modules whose fixtures a module of tests has without importing them."""
        folders = self.paths[test].relative_to(ROOT).parents
        return [
            name for folder in folders if (name := _module(folder / "conftest.py")) in self.paths
        ]

    def resting_on(self, path: Path) -> set[str]:
        """Return the modules that a file makes, that lie beside it, or that name it.

        Args:
            path: from the folder of the repository; the file may be deleted.
        """
        inside = path.parts[0] == PACKAGE.name
        if inside and path.suffix == ".py":
            return {_module(path)}
        quoted = re.compile(rf'["/]{re.escape(path.name)}"')
        naming = {name for name, source in self._sources.items() if quoted.search(source)}
        if inside and all(name.startswith(TESTS) for name in naming):
            # It is read with the files beside it, by the modules that are nearest.
            folders = (sorted((ROOT / folder).glob("*.py")) for folder in path.parents)
            naming |= {_module(near.relative_to(ROOT)) for near in next(filter(None, folders))}
        return naming


@cache
def _imports() -> Imports:
    """Return what the package's files say; reading them takes half a second."""
    return Imports()


def imported(source: str, folder: str = "") -> set[str]:
    """Return the modules of this package that a program imports, also a program in a string.

    A relative import is one from the folder that is given.
    Of `from workshop.show import draw` it is both names, since either may be a module.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(module), names=names, level=level):
                found |= _both(
                    f"{folder}.{module}" if level else module, [alias.name for alias in names]
                )
            case ast.Constant(value=str(text)):
                for module, names, alone in IN_A_STRING.findall(text):
                    found |= {alone} if alone else _both(module, names.split(", "))
    return {name for name in found if name.partition(".")[0] == PACKAGE.name}


def _both(module: str, names: Iterable[str]) -> set[str]:
    if module == PACKAGE.name:
        return {PUBLIC.get(name, f"{module}.{name}") for name in names}
    return {module, *(f"{module}.{name}" for name in names)}


def _module(path: Path) -> str:
    """Return the name of the module in a file of the repository."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")
