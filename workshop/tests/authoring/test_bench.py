"""`make bench`: what a stage of the check waits for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
import subprocess, sys
from pathlib import Path
from workshop.authoring.measuring import bench
program, left = sys.argv[1:]
kept = subprocess.Popen(["sleep", "3600"])  # as the warm process of the bench itself
bench.PYTHON, bench.STAGES = program, {"one": []}
try:
    print(*bench._check_by_stage({"BENCH": "no"}), Path(left).read_text(), kept.poll(), sep="; ")
except bench.Problem as problem:
    print(problem)
kept.kill()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere nothing is forked.")
def test_a_stage_waits_for_what_its_run_left_and_for_nothing_else(tmp_path: Path) -> None:
    left = tmp_path / "left"
    # What a run leaves has the environment of the run, not the bench's.
    said = said_of(tmp_path, f"(sleep 1; printf $BENCH > '{left}') > /dev/null 2>&1 &")
    assert said == "i CPU seconds: all of make check; i CPU seconds: one; no; None\n"


@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere nothing is forked.")
def test_what_a_test_of_a_stage_killed_goes(tmp_path: Path) -> None:
    """Tests wait for that; without a parent that takes note of its end it would stay a zombie."""
    orphan = "id=$(sh -c 'sleep 0.5 > /dev/null & echo $!')"
    waits = "for n in $(seq 100); do [ -e /proc/$id ] || exit 0; sleep 0.1; done; exit 1"
    said = said_of(tmp_path, f": > '{tmp_path}/left'; {orphan}; {waits}")
    assert said.startswith("i CPU seconds: all"), said


@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere nothing is forked.")
def test_a_stage_that_is_red_has_no_seconds(tmp_path: Path) -> None:
    run = "echo noise; echo FAILED test_a; echo '1 failed, 2 passed'; echo more >&2; exit 1"
    assert said_of(tmp_path, run) == "one: the check is red.\nFAILED test_a\n1 failed, 2 passed\n"


def said_of(folder: Path, run: str) -> str:
    """Return what is printed where a run of the check is these words of a shell."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{run}\n")
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(program), str(folder / "left")],
        capture_output=True, text=True, timeout=600, env=dict(os.environ) | {"BENCH": "yes"},
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.stdout
