"""`make composer-bundle`: what would be uploaded to a managed Airflow, made and checked here."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from workshop import lab, lock, record
from workshop.problem import Problem

FOLDER = lab.BUILD / "composer"
# What the DAG imports beyond Airflow and the standard library, and the package that brings it.
PACKAGES = {
    "airflow.providers.smtp": "apache-airflow-providers-smtp",
    "airflow.providers.standard": "apache-airflow-providers-standard",
    "pendulum": "pendulum",
    "requests": "requests",
}
VARIABLES = """\
# Set these in the environment; the values here are examples. The webhook is a secret.
GCPSPY_SLACK_WEBHOOK=https://slack.example.com/services/…
GCPSPY_RECIPIENT_EMAIL=ops@example.com
AIRFLOW_CONN_SMTP_DEFAULT=smtp://smtp.example.com:587?from_email=airflow%40example.com
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
    shutil.copy(record.DAG_FILE, folder / "dags")
    text = record.DAG_FILE.read_text(encoding="utf-8")
    (folder / "requirements.txt").write_text(requirements(text), encoding="utf-8")
    (folder / "variables.env").write_text(VARIABLES, encoding="utf-8")
    wrong = complaints(folder)
    if wrong:
        raise Problem("The bundle would not work elsewhere: " + "; ".join(wrong))
    for path in sorted(folder.rglob("*.*")):
        print(f"{path.relative_to(folder)}: {len(path.read_text('utf-8').splitlines())} lines")
    print("It imports in an Airflow of its own; it names no path and no port of this machine.")
    return folder


def requirements(dag_file: str) -> str:
    """Return requirements.txt for a DAG file: each package it imports, as in the lock.

    Args:
        dag_file: its text.

    Raises:
        Problem: it imports something whose package is not known here.
    """
    pinned = dict(
        re.findall(r"^([a-z0-9._-]+)==([^ ;\\\n]+)", lock.LOCK.read_text("utf-8"), re.MULTILINE)
    )
    wanted = set()
    for node in ast.walk(ast.parse(dag_file)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            package = next((PACKAGES[key] for key in PACKAGES if name.startswith(key)), None)
            if package:
                wanted.add(package)
            elif name.split(".")[0] not in {*sys.stdlib_module_names, "airflow"}:
                raise Problem(f"The DAG imports {name}, and no package is known for it.")
    return "".join(f"{package}=={pinned[package]}\n" for package in sorted(wanted))


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
    code = (
        "from airflow.dag_processing.dagbag import DagBag; import sys; "
        "bag = DagBag(sys.argv[1]); print(len(bag.dags), bag.import_errors); "
        "sys.exit(bool(bag.import_errors) or not bag.dags)"
    )
    with tempfile.TemporaryDirectory() as home:
        # No variable of this environment: a DAG file must be readable without secrets.
        clean = {"PATH": os.defpath, "HOME": home} | lab.settings(lab.Lab(Path(home)))
        read = subprocess.run(
            [sys.executable, "-I", "-B", "-c", code, str(folder / "dags")],
            env=clean, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    if read.returncode:
        last = (read.stderr or read.stdout).strip().splitlines()[-1:]
        found.append(f"a DAG file cannot be read: {' '.join(last)}")
    return found
