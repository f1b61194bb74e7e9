"""The runs of pytest behind `make check` and the commands whose names begin with it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from importlib.util import find_spec

from workshop.ground import BUILD, NOTEBOOKS, ROOT, Problem
from workshop.ground.packages import BROWSER_LOCK, KUBECTL_LOCK, install
from workshop.ground.talk import with_clusters

MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", MAC)
SHOTS = BUILD / "browser"
TESTS = ROOT / "workshop" / "tests"
# pytest leaves out a file that lies in a folder which is named too.
ALL_TESTS = ("-o", "python_files=test_*.py executors*.py in_the_browser.py", TESTS, NOTEBOOKS)


def run_pytest(*words: object) -> int:
    """Run pytest, by default on everything, and return its exit status."""
    return subprocess.call([sys.executable, "-m", "pytest", *map(str, words)], cwd=ROOT)


def check_notebooks(names: Collection[str]) -> int:
    """Compare notebooks with what they print, and hold them against the guard; return the status.

    Args:
        names: the files' names without the ending.
    """
    cells = [NOTEBOOKS / f"{name}.ipynb" for name in names if name not in with_clusters()]
    guard = TESTS / "authoring" / "test_notebooks.py"
    return run_pytest("-k", " or ".join(names), guard, *cells)


def chromium() -> str:
    """Return the path of a Chromium.

    Raises:
        Problem: there is none.
    """
    found = next((path for path in map(shutil.which, PROGRAMS) if path), None)
    if not found:
        raise Problem(
            "There is no Chromium here, and this needs one. Install it: on Debian and Ubuntu "
            "'apt-get install chromium', elsewhere Google Chrome."
        )
    return found


def browser_ready() -> None:
    """Install what drives the browser, from its own lock, where it is not there yet.

    Raises:
        Problem: it cannot be fetched, or there is no Chromium.
    """
    chromium()
    if not find_spec("axe_playwright_python"):  # the newest in its lock
        print("Installing what drives the browser, once.", flush=True)
        if not install(BROWSER_LOCK):
            raise Problem("What drives the browser could not be fetched; the reason stands above.")
    shutil.rmtree(SHOTS, ignore_errors=True)
    SHOTS.mkdir(parents=True)


def check_browser() -> int:
    """Drive JupyterLab in a Chromium, one test after the other; return pytest's exit status."""
    browser_ready()
    status = run_pytest("--numprocesses=0", "-v", TESTS / "authoring" / "in_the_browser.py")
    print(f"What the browser showed: {SHOTS}")
    return status


def check_executors() -> int:
    """Run the notebooks with clusters, and their tests; return pytest's exit status."""
    notebooks = [NOTEBOOKS / f"{name}.ipynb" for name in with_clusters()]
    return _with_executors(*sorted((TESTS / "cluster").glob("executors*.py")), *notebooks)


def check_weekly() -> int:
    """Run what the other checks leave out, for its length; return pytest's exit status."""
    browser_ready()
    return _with_executors("-m", "weekly", *ALL_TESTS)


def check_examples() -> int:
    """Run Airflow's example DAGs as files and as cells, and compare; return the exit status."""
    return run_pytest("-m", "", TESTS / "lab" / "test_examples.py")


def _with_executors(*words: object) -> int:
    """Run pytest where clusters can start, two at a time: each wants a GiB and more."""
    from workshop.cluster import executors_ready  # takes a second

    executors_ready()
    if not install(KUBECTL_LOCK):
        raise Problem("A kubectl could not be fetched; the reason stands above.")
    os.environ["WORKSHOP_EXECUTORS"] = "1"
    return run_pytest("--numprocesses=2", "--verbose", *words)
