"""The project's own files agree: pyproject, lock, environment.yml, Makefile, README, CI."""

import json
import re
import runpy
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import workshop
from workshop.authoring.editions.site import BOOK
from workshop.authoring.upkeep import locks
from workshop.ground import ROOT
from workshop.ground.packages import EXECUTORS_LOCK, LOCKS
from workshop.tests.authoring.test_commands import COMMANDS

TEXT = locks.LOCK.read_text(encoding="utf-8")
PINNED = dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", TEXT, re.MULTILINE))
WANTED = locks.wanted()
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").iterdir())


def test_what_is_installed_is_what_the_lock_says() -> None:
    for name in ("apache-airflow", "jupyterlab", "pandas", "papermill", "nbval", "pygraphviz"):
        assert version(name) == PINNED[name]


def test_the_lock_is_in_step() -> None:
    assert locks.complaints(TEXT, WANTED) == []


@pytest.mark.parametrize("group", ["browser", "executors", "kubectl", "mutants"])
def test_the_locks_beside_it_are_in_step(group: str) -> None:
    text = (LOCKS / f"{group}.lock").read_text(encoding="utf-8")
    assert locks.complaints(text, locks.wanted(group)) == []
    for name, pinned in re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE):
        assert name not in PINNED or f"{name}=={pinned} " in TEXT


def test_every_direct_dependency_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(text):
        if re.match(r'  "[A-Za-z]', line) and any(f'"{wanted}"' in line for wanted in WANTED):
            above = text[number - 1].strip() + text[number - 2].strip()
            assert "#" in line or above.startswith(("#", '"cryptography')), line


def test_conda_gets_the_same_lock() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    *packages, pip = conda["dependencies"]
    assert [package.split("=")[0] for package in packages] == ["python", "pip"]
    assert pip == {"pip": ["--requirement requirements.lock"]}
    python = packages[0].split("=")[1]
    assert python in ("3.11", "3.12", "3.13", "3.14")


def test_make_help_lists_every_target() -> None:
    said = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    assert [line.split()[1] for line in said.splitlines()] == targets
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert phony and set(phony[1].replace("\\\n", " ").split()) == set(targets)
    used = set(re.findall(r"\$\(WORKSHOP\) ([a-z-]+)", makefile)) | {"prepare"}
    for_a_working_copy = {"start", "catch-up", "reset"}  # these take words; a page shows them
    assert used | for_a_working_copy == set(COMMANDS)
    page = (BOOK / "working.md").read_text(encoding="utf-8")
    assert all(f".venv/bin/workshop {name} " in page for name in for_a_working_copy)


def test_ci_calls_what_the_readme_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make lab\n" in readme
    assert "make check\n" in readme
    assert "make check-browser" in readme and "make check-executors" in readme
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = ["make check", "make check-executors", "make check-browser"]
    assert [line for line in ci if line.startswith("make ")] == commands
    workflow = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert any("ubuntu" in system for system in job["strategy"]["matrix"]["system"])
    assert any("macos" in system for system in job["strategy"]["matrix"]["system"])
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == commands


def test_the_other_ways_in_set_up_the_same() -> None:
    fitting = runpy.run_path(str(ROOT / "workshop" / "setup.py"))["FITTING"]
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    version = container["image"].rpartition(":")[2]
    assert tuple(map(int, version.split("."))) in fitting
    assert container["postCreateCommand"] == "make setup"
    binder = ROOT / "postBuild"
    assert binder.stat().st_mode & 0o111
    assert "-m workshop prepare" in binder.read_text("utf-8")
    for other in ("binder", ".binder"):  # Binder would then not read environment.yml
        assert not (ROOT / other).exists()


def test_the_image_and_the_chart_have_the_versions_of_the_lock() -> None:
    folder = ROOT / "workshop" / "cluster" / "kubernetes"
    recipe, sandbox = (
        (folder / name).read_text(encoding="utf-8") for name in ("Dockerfile", "sandbox.Dockerfile")
    )
    pinned = PINNED | dict(
        re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", EXECUTORS_LOCK.read_text("utf-8"), re.M)
    )
    found = re.findall(r"([a-z0-9-]+)==([\w.]+)", recipe + sandbox)
    assert len(found) >= 12
    assert dict(found) == {name: pinned[name] for name, _ in found}
    assert f"FROM apache/airflow:{pinned['apache-airflow']}\n" in recipe
    values = yaml.safe_load((folder / "values.yaml").read_text(encoding="utf-8"))
    assert values["airflowVersion"] == pinned["apache-airflow"]
    image = values["images"]["airflow"]
    for path in folder.glob("*-*.yaml"):
        (container,) = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["containers"]
        assert container["image"] == f"{image['repository']}:{image['tag']}"


@pytest.mark.parametrize("minor", [8, 10, 15])
def test_a_wrong_python_is_one_sentence(minor: int) -> None:
    code = (
        "import sys, runpy, shutil\n"
        f"sys.version_info = (3, {minor}, 0)\n"
        "shutil.which = lambda name: None\n"
        "runpy.run_path('workshop/setup.py')['fitting_python']()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Set-up stopped: it needs Python 3.11")
    assert f"this is 3.{minor}." in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_bundle_has_what_each_patch_of_a_python_needs() -> None:
    early, late = (locks.without_markers(TEXT, f"3.11.{patch}") for patch in (0, 99))
    assert " ; " not in early + late
    assert early.count("--hash") > 1000
    pins = [set(re.findall(r"^\S+==\S+", text, re.MULTILINE)) for text in (early, late)]
    assert pins[0] != pins[1], "a package has another version below 3.11.5"
    assert early.count("\nnumpy==") == 1


def test_the_version_stands_everywhere_alike() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    top = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert top and top[1] == project["version"] == workshop.__version__ == cited["version"]


def test_both_licences_are_there_whole_and_named_alike() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in project["license-files"]]
    preamble, line, apache = texts[0].partition("-" * 80)
    ends = ("limitations under the License.\n", "contacted at creativecommons.org.\n")
    assert line and apache.endswith(ends[0]) and texts[1].endswith(ends[1])
    for licence in project["license"].split(" AND "):
        assert f"SPDX: {licence}" in preamble
    for place in re.findall(r"\b(?:notebooks|dags|workshop)/[\w/]*", preamble):
        assert (ROOT / place).is_dir(), place


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_for_issues_has_what_the_code_host_asks_for(path: Path) -> None:
    """Source: docs.github.com, "Syntax for issue forms" and "… for GitHub's form schema"."""
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(form) == {"name", "description", "body"}
    for field in form["body"]:
        assert field["type"] in ("input", "textarea")
        assert field["attributes"]["label"]
    names = [field["id"] for field in form["body"]]
    assert len(names) == len(set(names))


def test_contributing_names_every_folder_and_only_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:workshop|dags|notebooks)/[\w./-]*)`", text))
    assert not [name for name in named if not (ROOT / name).exists()]
    table = text.partition("## Where things are")[2]
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "workshop").rglob("*.*")}
    names = {f"{folder}/" for folder in folders if "__pycache__" not in folder.parts}
    inner = {name for name in names if name.startswith("workshop/tests/")} - {"workshop/tests/"}
    assert not [name for name in names - inner - {"workshop/"} if f"`{name}`" not in table]
