"""`make composer-bundle`: what would be uploaded to a managed Airflow, made and checked here."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from workshop.authoring.upkeep.locks import LOCK, pins
from workshop.ground import BUILD, DAGS, Problem
from workshop.lab.home import Home, settings
from workshop.show import Progress

FOLDER = BUILD / "composer"
VARIABLES = Path(__file__).with_name("variables.env")
SECONDS = 900  # far more than reading takes, also on a busy machine
READ = """
import sys
from workshop.lab.inside import read_dag_files
found, errors = read_dag_files(sys.argv[1])
print(found, errors)
sys.exit(bool(errors) or not found)
"""
LOCAL = re.compile(r"/home/|/root/|/Users/|/tmp/|127\.0\.0\.1|localhost")


def bundle(folder: Path = FOLDER) -> Path:
    """Write a folder with all that would be uploaded, check it, print what is in it, return it.

    Args:
        folder: made afresh; by default build/composer.

    Raises:
        Problem: something in it would not work elsewhere.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "dags").mkdir(parents=True)
    texts = []
    for path in sorted(DAGS.glob("*.py")):
        shutil.copy(path, folder / "dags")
        texts.append(path.read_text(encoding="utf-8"))
    (folder / "requirements.txt").write_text(requirements(*texts), encoding="utf-8")
    shutil.copy(VARIABLES, folder)
    if wrong := complaints(folder):
        raise Problem("The bundle would not work elsewhere: " + "; ".join(wrong))
    for path in sorted(folder.rglob("*.*")):
        print(f"{path.relative_to(folder)}: {len(path.read_text('utf-8').splitlines())} lines")
    print("It imports in an Airflow of its own; it names no path and no port of this machine.")
    return folder


def requirements(*dag_files: str) -> str:
    """Return requirements.txt for DAG files: each package they import, as in the lock.

    Args:
        dag_files: their texts.

    Raises:
        Problem: one imports something whose package is not known here.
    """
    pinned = pins(LOCK.read_text(encoding="utf-8"))
    wanted: set[str] = set()
    nodes = [node for text in dag_files for node in ast.walk(ast.parse(text))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    for name in sorted(names):
        top, *rest = name.split(".")
        package, provider = top.replace("_", "-"), "-".join(["apache", top, *rest[:2]])
        found = {package, provider} & set(pinned)
        if not found and top not in {*sys.stdlib_module_names, "airflow"}:
            raise Problem(f"A DAG imports {name}, and no package is known for it.")
        wanted |= found
    return "".join(f"{package}=={pinned[package][-1]}\n" for package in sorted(wanted))


def complaints(folder: Path) -> list[str]:
    """Return what would not work elsewhere, a sentence each.

    Args:
        folder: with dags/ and the other files.
    """
    found = []
    for path in sorted(folder.rglob("*.*")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if LOCAL.search(line):
                found.append(f"{path.name}, line {number}, names a place of this machine")
    with tempfile.TemporaryDirectory() as home:
        # No variable of this environment: a DAG file must be readable without secrets.
        clean = {"PATH": os.defpath, "HOME": home} | settings(Home(Path(home)))
        with Progress() as progress, subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", READ, str(folder / "dags")], env=clean, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as reader:  # fmt: skip
            try:
                for waited in range(SECONDS):
                    progress.show(f"An Airflow of its own reads the DAG files: {waited} s")
                    with suppress(subprocess.TimeoutExpired):
                        printed, said = reader.communicate(timeout=1)
                        break
                else:
                    return [*found, f"the DAG files were not read within {SECONDS} seconds"]
            finally:
                reader.kill()  # where it has ended this does nothing
                reader.wait()  # it may still write into the folder that is removed next
    if reader.returncode:
        last = (said or printed).strip().splitlines()[-1:]
        found.append(f"a DAG file cannot be read: {' '.join(last)}")
    return found
