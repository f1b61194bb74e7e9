"""`make mutations`: small faults in gcp_spy_today, and which of its own tests sees each first.

The DAG file and its test file stand alone then, as where somebody copied them.
"""

import csv
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import yaml

from workshop.ground import DAGS, ROOT, Problem
from workshop.lab.home import Home, prepared_database, settings, without_airflow

DAG_FILE = DAGS / "gcp_spy_today.py"
TEST_FILE = ROOT / "workshop" / "tests" / "test_gcp_spy_today.py"
MUTATIONS = TEST_FILE.with_name("mutations.yaml")
TABLE = TEST_FILE.with_name("mutations.csv")
FAILED = re.compile(r"^(?:FAILED|ERROR) .*?::(test\w+)", re.MULTILINE)


def faults() -> list[dict[str, str]]:
    """Return the faults: `what` it is, the `text` it takes the place of, and the `fault`."""
    found: list[dict[str, str]] = yaml.safe_load(MUTATIONS.read_text(encoding="utf-8"))
    return found


def mutated(source: str, mutation: dict[str, str]) -> str:
    """Return the DAG file with a fault.

    Raises:
        Problem: the text that it takes the place of does not stand there once.
    """
    if (count := source.count(mutation["text"].rstrip("\n"))) != 1:
        raise Problem(
            f"'{mutation['what']}': its text stands {count} times in {DAG_FILE.name}, not once. "
            f"Correct {MUTATIONS.relative_to(ROOT)}."
        )
    return source.replace(mutation["text"].rstrip("\n"), mutation["fault"].rstrip("\n"))


def first_red(source: str) -> str:
    """Return the first test that is red with this DAG file; empty: all are green.

    Raises:
        Problem: pytest did not run them.
    """
    with tempfile.TemporaryDirectory(prefix="gcp_spy-mutation-") as folder:
        home = Home(Path(folder))
        home.dags.mkdir()
        shutil.copyfile(prepared_database(), home.database)
        file = home.dags / DAG_FILE.name
        file.write_text(source, encoding="utf-8")
        tests = shutil.copy(TEST_FILE, folder)
        environment = without_airflow() | settings(home) | {"DAG_FILE": str(file), "EXAMPLES": "50"}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-c", os.devnull, "-qxrfE", "--tb=line", "--color=no",
             "-p", "no:cacheprovider", "-p", "no:xdist", tests],
            env=environment, cwd=folder, capture_output=True, text=True, timeout=3600,
        )  # fmt: skip
    if done.returncode == 0:
        return ""
    if not (red := FAILED.search(done.stdout)):
        raise Problem(f"pytest did not run the tests: {(done.stderr or done.stdout)[-400:]}")
    return red[1]


def table(seen: dict[str, str]) -> str:
    """Return the table as text.

    Args:
        seen: by what a fault is, the test that sees it, or empty.
    """
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["fault", "first red test"])
    writer.writerows(seen.items())
    return f"# of {_digest()}\n{rows.getvalue()}"


def _digest() -> str:
    files = (DAG_FILE, TEST_FILE, MUTATIONS)
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def is_of_today() -> bool:
    """Return whether the table was made of the DAG file, the tests and the faults of now."""
    return TABLE.read_text(encoding="utf-8").startswith(f"# of {_digest()}\n")


def run_mutations() -> int:
    """Try each fault, write the table, and print what no test sees; takes some minutes.

    Returns:
        0: the tests are green without a fault, and see all of them.

    Raises:
        Problem: a fault does not fit the file, or the tests are red without one.
    """
    source = DAG_FILE.read_text(encoding="utf-8")
    faulty = {it["what"]: mutated(source, it) for it in faults()}
    if red := first_red(source):
        raise Problem(f"{red} is red without any fault: correct it first.")
    seen: dict[str, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for what, red in zip(faulty, pool.map(first_red, faulty.values()), strict=True):
            print(f"{red or 'NO TEST':60} {what}", flush=True)
            seen[what] = red
    TABLE.write_text(table(seen), encoding="utf-8")
    unseen = [what for what, red in seen.items() if not red]
    print(f"{len(seen) - len(unseen)} of {len(seen)} faults are seen.")
    return int(bool(unseen))
