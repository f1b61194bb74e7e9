"""`make check-browser`: what it needs beyond set-up, and the run of its tests."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from workshop import lock
from workshop.lab import BUILD, ROOT
from workshop.problem import Problem

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
SHOTS = BUILD / "browser"


def chromium() -> str:
    """Return the path of a Chromium.

    Raises:
        Problem: there is none.
    """
    found = next((path for path in map(shutil.which, PROGRAMS) if path), None)
    if not found and MAC.exists():
        found = str(MAC)
    if not found:
        raise Problem(
            "There is no Chromium here, so nothing was checked in a browser. Install one: on "
            "Debian and Ubuntu 'apt-get install chromium', elsewhere Google Chrome."
        )
    return found


def install() -> None:
    """Install what drives the browser, from its own lock, where it is not there yet.

    Raises:
        Problem: it cannot be fetched, or there is no Chromium.
    """
    chromium()
    if find_spec("playwright"):
        return
    print("Installing what drives the browser, once.", flush=True)
    if not lock.install(lock.BROWSER_LOCK):
        raise Problem("Playwright could not be fetched; the reason stands above.")


def run() -> int:
    """Run the tests, one after the other, and return pytest's exit status."""
    shutil.rmtree(SHOTS, ignore_errors=True)
    SHOTS.mkdir(parents=True)
    tests = str(Path(__file__).parent / "tests" / "in_the_browser.py")
    status = subprocess.call(
        [sys.executable, "-m", "pytest", "--numprocesses=0", "-v", tests], cwd=ROOT
    )
    print(f"What the browser showed: {SHOTS}")
    return status
