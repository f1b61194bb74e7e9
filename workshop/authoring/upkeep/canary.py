"""The canary: the checks of `make check` on the newest Airflow, pre-releases too.

It has an environment of its own under `build/canary`, so that `.venv` stays as it is. What differs
there is either explained in `canary.csv`, or it makes the command fail.
"""

import csv
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from workshop.authoring.checking.headless import force_sandbox
from workshop.authoring.upkeep.locks import LOCK, wanted
from workshop.ground import BUILD, ROOT, Problem

FOLDER = BUILD / "canary"
VENV = FOLDER / "venv"
PYTHON = VENV / "bin" / "python"
REPORT = FOLDER / "report.xml"
COLOUR = re.compile(r"(?:\x1b|#x1B)\[[\d;]*m")  # as it is, and as pytest writes it into XML
WIDTH = 160  # characters of a difference that the table shows


@dataclass(frozen=True)
class Explanation:
    """A difference that is Airflow's own change: a row of `canary.csv`."""

    where: str  # a row of the table: a notebook or a file of tests
    airflow: str  # the versions that begin so
    pattern: str  # a regular expression that matches the whole difference
    why: str

    def explains(self, where: str, difference: str) -> bool:
        """Return whether this row stands for a difference."""
        return self.where == where and bool(re.fullmatch(self.pattern, difference))


def run_canary() -> int:
    """Run the checks on the newest Airflow, print the table, and return the exit status."""
    force_sandbox()
    airflow = _install()
    print(f"\nThe notebooks and tests on Airflow {airflow}:", flush=True)
    REPORT.unlink(missing_ok=True)
    words = ["-m", "pytest", "--continue-on-collection-errors", f"--junitxml={REPORT}"]
    status = subprocess.call([str(PYTHON), *words], cwd=ROOT)
    if status not in (0, 1) or not REPORT.exists():
        raise Problem(f"pytest stopped with status {status}; the reason stands above.")
    table, status = judge_report(REPORT, airflow, read_explanations())
    print(f"\n{table}")
    return status


def _install() -> str:
    """Bring the environment up to date, and return its version of Airflow.

    It gets the lock first: uv keeps what is installed, and so only Airflow and what the newer one
    needs differ from it.
    """
    uv = str(Path(sys.executable).with_name("uv"))
    here = ["--python", str(PYTHON)]
    newest = [re.sub(r"^(apache-airflow>=[\d.]+),.*", r"\1", line) for line in wanted()]
    upgrade = ["--upgrade-package=apache-airflow", "--prerelease-package=apache-airflow=allow"]
    print("Looking for the newest Airflow, pre-releases too.", flush=True)
    for words in (
        [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(VENV)],
        [uv, "pip", "sync", *here, str(LOCK)],
        [uv, "pip", "install", *here, "--compile-bytecode", *upgrade, *newest],
        [uv, "pip", "install", *here, "--no-deps", "--editable", str(ROOT)],
    ):
        if subprocess.call(words, cwd=ROOT):
            raise Problem(f"The environment in {FOLDER} could not be made; see uv's reason above.")
    ask = "from importlib.metadata import version; print(version('apache-airflow'))"
    return subprocess.check_output([str(PYTHON), "-c", ask], text=True).strip()


def read_explanations() -> list[Explanation]:
    """Return the differences that somebody has explained."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as rows:
        return [Explanation(**row) for row in csv.DictReader(rows)]


def judge_report(report: Path, airflow: str, explanations: list[Explanation]) -> tuple[str, int]:
    """Return a Markdown table of a run, and the exit status: 1 where something is unexplained.

    Args:
        report: what pytest wrote with `--junitxml`.
        airflow: the version that was run.
        explanations: the differences that are known.

    Raises:
        Problem: nothing was run.
    """
    found = _differences(report)
    if not found:
        raise Problem("pytest ran no notebook and no test, so nothing is known of this Airflow.")
    lines = [f"| notebook or test | Airflow {airflow} |", "| --- | --- |"]
    current = [known for known in explanations if airflow.startswith(known.airflow)]
    occurred: set[Explanation] = set()
    status = 0
    for where, differences in sorted(found.items()):
        reasons = {this: [a for a in current if a.explains(where, this)] for this in differences}
        occurred.update(*reasons.values())
        unexplained = [this for this, known in reasons.items() if not known]
        explained = [f"explained: {known[0].why}" for known in reasons.values() if known]
        status = 1 if unexplained else status
        says = [*unexplained, *explained[::-1], "green"][0]
        lines.append(f"| {where} | {_one_cell(says)} |")
    lines += [
        f"\nNo longer there, so remove its row from canary.csv: {gone.where}, {gone.why}"
        for gone in current
        if gone not in occurred
    ]
    return "\n".join(lines), status


def _one_cell(text: str) -> str:
    shown = text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
    return shown.replace("|", "\\|")


def _differences(report: Path) -> dict[str, list[str]]:
    """Return what differed, a line for each cell or test, by notebook and file of tests."""
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("name", "")
        # A file that could not be read has no class, and its path as its name.
        where = case.get("classname") or name
        where = re.sub(r"^(?:notebooks|workshop\.tests)\.|\.ipynb$", "", where)
        found.setdefault(where, []).extend(
            f"{name}: {_difference(bad.text or bad.attrib['message'])}"
            for bad in [*case.iter("failure"), *case.iter("error")]
        )
        # After a cell that raised the others are not run: nobody knows what they would print.
        found[where] += [
            f"{name}: {skipped.attrib['message']}"
            for skipped in case.iter("skipped")
            if name.startswith("Cell ")
        ]
    return found


def _difference(text: str) -> str:
    """Return in one line what a cell or a test says: the error, or all lines that changed."""
    # Before it stands the cell's source, which may hold anything.
    told = COLOUR.sub("", text).rpartition("Traceback:")[2]
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    if errors := [line.removeprefix("E ").strip() for line in lines if line.startswith("E ")]:
        return errors[0]
    # nbval marks with - what the run printed, with + what the notebook has stored.
    words = {"- ": "now ", "+ ": "stored "}
    changed = [words[line[:2]] + line[2:] for line in lines if line[:2] in words]
    return "; ".join(changed or lines[-1:])
