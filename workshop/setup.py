"""Set up the workbook in `.venv`; run by `make` with any Python 3, needs only the standard library.

Written for old Pythons too, so that a machine with the wrong one reads a sentence.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from typing import List, NoReturn, Optional

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
LOCK = os.path.join(ROOT, "requirements.lock")
BUNDLE = os.path.join(ROOT, "bundle")  # made by `make bundle`
PIP = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
FITTING = [(3, 13), (3, 12), (3, 14), (3, 11)]  # pandas needs 3.11; Airflow excludes 3.15


def stop(sentence: str) -> NoReturn:
    sys.exit("Set-up stopped: " + sentence)


def source() -> List[str]:
    """Where packages come from: the folder bundle where there is one, else the index."""
    return ["--no-index", "--find-links", BUNDLE] if os.path.isdir(BUNDLE) else []


def run(*command: str) -> bool:
    return subprocess.call([str(part) for part in command], cwd=ROOT) == 0


def run_with_dots(*command: str) -> bool:
    """Run a long command that is silent unless it fails, with a dot every other second."""
    process = subprocess.Popen([str(part) for part in command], cwd=ROOT)
    while True:
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            print(".", end="", flush=True)
        else:
            print(flush=True)
            return process.returncode == 0


def fitting_python() -> str:
    """The path of a Python that the lock has packages for: this one, or one on PATH."""
    names = ["python{}.{}".format(*version) for version in FITTING]
    show = "import sys; print(*sys.version_info[:2])"
    for path in filter(None, map(shutil.which, [sys.executable] + names)):
        try:
            out = subprocess.check_output([path, "-c", show], stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            continue  # a version manager's empty shim
        if tuple(map(int, out.split())) in FITTING:
            return path
    stop(
        "it needs Python 3.11, 3.12, 3.13 or 3.14, and this is {}.{}. "
        "Install one of them, for example from python.org, then run make again.".format(
            *sys.version_info[:2]
        )
    )


def make_venv(python: str, uv: Optional[str]) -> Optional[str]:
    """Make `.venv` afresh, and return the uv that fills it, or None where only pip is to be had."""
    shutil.rmtree(VENV, ignore_errors=True)
    if uv:
        if not run(uv, "venv", "--quiet", "--python", python, VENV):
            stop("uv could not make the folder .venv; its message stands above.")
        return uv
    if not run(python, "-m", "venv", VENV):
        shutil.rmtree(VENV, ignore_errors=True)
        stop(
            "this Python cannot make a virtual environment. On Debian and Ubuntu install the "
            "package python3-venv, or install uv, then run make again."
        )
    with open(LOCK) as lock, tempfile.NamedTemporaryFile("w", suffix=".txt") as only_uv:
        only_uv.writelines(re.findall(r"^uv==.*\n(?: .*\n)*", lock.read(), re.MULTILINE))
        only_uv.flush()
        words = source() + ["--require-hashes", "--requirement", only_uv.name]
        fetched = run(*(PIP + words))
    return os.path.join(VENV, "bin", "uv") if fetched else None


def install(uv: Optional[str]) -> None:
    """Install exactly what the lock names, then this package in place."""
    if uv:
        pip = [uv, "pip", "install", "--quiet", "--python", PYTHON, "--compile-bytecode"]
    else:
        print("uv could not be had, so pip does the work; that takes a minute or two.")
        pip = PIP
    pip = pip + source()
    if not run_with_dots(*(pip + ["--require-hashes", "--requirement", LOCK])):
        stop(
            "a package could not be fetched; its name stands above. Is the network there? "
            "Run make again to go on from here. Without a network, put the folder bundle of "
            "somebody with the same system and Python here; make bundle makes it."
        )
    if not run(*(pip + ["--no-deps", "--no-build-isolation", "--editable", ROOT])):
        stop("the package workshop could not be installed into .venv; the reason stands above.")


def main() -> None:
    """Make `.venv` and what every notebook starts from; the stamp names this folder."""
    print("Setting up in .venv, once: about 230 packages, 1 GB on disk.", end="", flush=True)
    install(make_venv(fitting_python(), shutil.which("uv")))
    if not run(PYTHON, "-m", "workshop", "prepare"):
        stop("the metadata database could not be prepared; the reason stands above.")
    with open(os.path.join(VENV, "ready"), "w") as stamp:
        stamp.write(ROOT + "\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("it was interrupted. Run make again to go on from here.")
