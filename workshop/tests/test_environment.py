"""The project's own files agree: pyproject, lock, environment.yml, Makefile, README, CI."""

import re
import subprocess
import sys
from importlib.metadata import version

import pytest
import yaml

from workshop import lock
from workshop.__main__ import COMMANDS
from workshop.lab import ROOT

TEXT = lock.LOCK.read_text(encoding="utf-8")
PINNED = dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", TEXT, re.MULTILINE))
WANTED = lock.wanted()


def test_what_is_installed_is_what_the_lock_says() -> None:
    for name in ("apache-airflow", "jupyterlab", "pandas", "papermill", "nbval", "pygraphviz"):
        assert version(name) == PINNED[name]


def test_the_lock_is_in_step() -> None:
    assert lock.complaints(TEXT, WANTED) == []


def test_the_browser_s_lock_is_in_step() -> None:
    text = lock.BROWSER_LOCK.read_text(encoding="utf-8")
    assert lock.complaints(text, lock.wanted_for_the_browser()) == []
    for name, pinned in re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE):
        assert PINNED.get(name, pinned) == pinned


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
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony and set(phony[1].split()) == set(targets)
    used = set(re.findall(r"\$\(WORKSHOP\) ([a-z]+)", makefile)) | {"prepare"}
    assert used == set(COMMANDS)


def test_ci_calls_what_the_readme_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make lab\n" in readme
    assert "make check\n" in readme
    assert "make check" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert any("ubuntu" in system for system in job["strategy"]["matrix"]["system"])
    assert any("macos" in system for system in job["strategy"]["matrix"]["system"])
    assert job["steps"][-1]["run"] == "make check"


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
    early, late = (lock.without_markers(TEXT, f"3.11.{patch}") for patch in (0, 99))
    assert " ; " not in early + late
    assert early.count("--hash") > 1000
    pins = [set(re.findall(r"^\S+==\S+", text, re.MULTILINE)) for text in (early, late)]
    assert pins[0] != pins[1], "a package has another version below 3.11.5"
    assert early.count("\nnumpy==") == 1
