"""`make bench`: what a stage of the check waits for."""

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
print(*bench._check_by_stage(), Path(left).exists(), kept.poll(), sep="; ")
kept.kill()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere nothing is forked.")
def test_a_stage_waits_for_what_its_run_left_and_for_nothing_else(tmp_path: Path) -> None:
    program, left = tmp_path / "python", tmp_path / "left"
    program.write_text(f"#!/bin/sh\n(sleep 1; : > '{left}') > /dev/null 2>&1 &\n")
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(program), str(left)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    said = "i CPU seconds: all of make check; i CPU seconds: one; True; None\n"
    assert done.stdout == said, done.stderr
