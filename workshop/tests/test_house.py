"""The house: folders on floors, arrows pointing down, and what a folder may hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from workshop.ground import ROOT

PACKAGE = ROOT / "workshop"
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if "tests" not in path.parts]
FLOORS = ("ground", "lab", "show", "sandbox", "slides", "cluster", "exercises", "authoring")
MOST_MODULES = 10
# One file for each notebook; found by its name.
MANY = {PACKAGE / "exercises" / "notebooks"}


def test_arrows_point_down_and_lead_in_no_circle() -> None:
    program = str(Path(sys.executable).with_name("lint-imports"))
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def loaded_by(module: str) -> set[str]:
    """Return what importing a module loads, in a process of its own."""
    code = f"import sys, {module}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("folder", FLOORS)
def test_importing_a_folder_loads_none_above_and_no_airflow(folder: str) -> None:
    loaded = loaded_by(f"workshop.{folder}")
    above = FLOORS[FLOORS.index(folder) + 1 :]
    assert not {f"workshop.{name}" for name in above} & loaded
    assert "airflow" not in loaded


def test_the_lab_and_what_it_shows_could_leave_the_house() -> None:
    allowed = ("workshop.ground", "workshop.lab")
    loaded = {name for name in loaded_by("workshop.lab") if name.startswith("workshop.")}
    assert all(name.startswith(allowed) for name in loaded), loaded
    assert "workshop.ground.talk" not in loaded | loaded_by("workshop.show")


def test_importing_the_package_loads_no_folder() -> None:
    assert not {name for name in loaded_by("workshop") if name.startswith("workshop.")}


def test_every_name_for_notebooks_is_there() -> None:
    import workshop

    for name in workshop.__all__:
        assert callable(getattr(workshop, name)), name
    with pytest.raises(AttributeError, match="has no attribute 'nobody'"):
        _ = workshop.nobody


def test_no_folder_has_more_than_about_ten_modules() -> None:
    for folder in {path.parent for path in FILES} - MANY:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= MOST_MODULES, folder.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_in_order(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a module says in a line what it is for"
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert path.stem not in functions, "no function bears the name of its module"
    held = [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
    assert not held, "what lives in a process belongs into its session"
