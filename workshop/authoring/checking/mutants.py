"""`make mutants`: small faults in the package, one at a time, each of which a test must see.

mutmut makes the faults and runs the tests that reach them, in forks of a process in which Airflow
is warm. `[tool.mutmut]` in pyproject.toml says of which modules, and by which tests.
"""

import csv
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

from workshop.ground import BUILD, ROOT, Problem
from workshop.ground.packages import MUTANTS_LOCK, install

FOLDER = BUILD / "mutants"
# Mutants that mean the same as what they were made of, each with its reason.
SAME = Path(__file__).with_name("same.csv")
LEAST = 0.85  # of a module's mutants are seen
RESULT = re.compile(r"^ +(\S+): (.+)$", re.MULTILINE)
SEEN = "killed"  # mutmut calls it a timeout, too, when the tests could not be collected
Change = tuple[str, str, str]  # the function, what stood there, what stands there in the mutant


def run_mutants() -> int:
    """Make all mutants, run their tests, and print what was not seen; takes over an hour.

    Returns:
        0: of each module enough were seen, and what is listed as the same is still there.

    Raises:
        Problem: mutmut cannot be fetched, or the tests are red without any fault.
    """
    if not find_spec("mutmut") and not install(MUTANTS_LOCK):
        raise Problem("mutmut could not be fetched; the reason stands above.")
    shutil.rmtree(FOLDER, ignore_errors=True)
    here_alone = shutil.ignore_patterns(".*", "build", "bundle", "work", "__pycache__")
    shutil.copytree(ROOT, FOLDER, ignore=here_alone)
    if subprocess.call([sys.executable, "-m", "mutmut", "run"], cwd=FOLDER):
        raise Problem("No mutant was tried: the reason stands above.")
    results = dict(RESULT.findall(_mutmut("results", "--all", "true")))
    return report(results, {name: change(_mutmut("show", name)) for name in unseen(results)})


def _mutmut(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *words],
        cwd=FOLDER, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


def unseen(results: dict[str, str]) -> list[str]:
    """Return the mutants that no test saw, or that no test reaches."""
    return [name for name, status in results.items() if status != SEEN]


def change(diff: str) -> tuple[str, str]:
    """Return what a mutant's diff takes out and what it puts in, without indentation."""
    lines = diff.splitlines()
    out = [line[1:].strip() for line in lines if re.match(r"-(?!--)", line)]
    in_ = [line[1:].strip() for line in lines if re.match(r"\+(?!\+\+)", line)]
    return " ".join(out), " ".join(in_)


def report(results: dict[str, str], changes: dict[str, tuple[str, str]]) -> int:
    """Print a line a module and a line for each mutant that was not seen; return the status.

    Args:
        results: what became of each mutant, by mutmut's name for it.
        changes: of each that was not seen, what it takes out and puts in.
    """
    with SAME.open(encoding="utf-8", newline="") as file:
        same = {(row["function"], row["was"], row["is"]) for row in csv.DictReader(file)}
    open_: dict[str, list[Change]] = defaultdict(list)
    found: set[Change] = set()
    for name, (was, is_) in changes.items():
        one = (function(name), was, is_)
        found.add(one)
        if one not in same:
            open_[module(name)].append(one)
    status = 0
    for name in sorted({module(mutant) for mutant in results}):
        total = sum(module(mutant) == name for mutant in results)
        share = 1 - len(open_[name]) / total
        enough = "" if share >= LEAST else f", at least {LEAST:.0%}: write tests for these"
        print(f"{name}: {share:.0%} of {total} seen or the same{enough}")
        for where, was, is_ in open_[name]:
            print(f"  {where}\n    was  {was}\n    is   {is_}")
        status |= share < LEAST
    for where, was, is_ in sorted(same - found):
        print(f"{SAME.name} lists a mutant of {where} that was seen or is gone: {was} → {is_}")
        status = 1
    return int(status)


def module(mutant: str) -> str:
    """Return the module of a mutant: mutmut joins it to the function with a point."""
    return mutant.rpartition(".")[0]


def function(mutant: str) -> str:
    """Return the dotted name of a mutant's function: x_f__mutmut_1, xǁClassǁf__mutmut_1."""
    name = re.sub(r"__mutmut_\d+$", "", mutant.rpartition(".")[2])
    return f"{module(mutant)}.{re.sub(r'^x_|^xǁ', '', name).replace('ǁ', '.')}"
