"""The lock: exact versions and hashes of every package, and no address."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from workshop.lab import ROOT

LOCK = ROOT / "requirements.lock"
CURE = "make lock"


def wanted() -> list[str]:
    """Return the direct dependencies of pyproject.toml, for running and for checking."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed: list[str] = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    return needed


def complaints(text: str) -> list[str]:
    """Return what is wrong with a lock, a sentence each, with its cure.

    Args:
        text: what requirements.lock holds.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found = []
    if "://" in text or "--index" in text or "--find-links" in text:
        found.append(f"the lock holds an address: {CURE}")
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    found += [
        f"{block.split()[0]} has no hash: {CURE}"
        for block in blocks
        if "--hash=sha256:" not in block
    ]
    pinned: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ ;\\\n]+)", text, re.MULTILINE):
        pinned.setdefault(name, []).append(version)
    for line in wanted():
        requirement = Requirement(line)
        versions = pinned.get(canonicalize_name(requirement.name), [])
        if not any(requirement.specifier.contains(version) for version in versions):
            found.append(f"pyproject.toml wants {line}, the lock has {versions}: {CURE}")
    return found


def renew() -> int:
    """Resolve anew for all systems and Pythons, and return uv's exit status; needs the network."""
    uv = Path(sys.executable).with_name("uv")
    return subprocess.call(
        [
            uv, "pip", "compile", "--quiet", "--upgrade", "--universal", "--generate-hashes",
            "--python-version", "3.11", "--no-header", "--no-annotate", "--group", "dev",
            "pyproject.toml", "--output-file", LOCK.name,
        ],
        cwd=ROOT,
    )  # fmt: skip
