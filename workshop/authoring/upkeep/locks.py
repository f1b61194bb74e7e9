"""The lock: exact versions and hashes of every package, and no address."""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from workshop.ground import ROOT
from workshop.ground.packages import (
    BROWSER_LOCK,
    EXECUTORS_LOCK,
    KUBECTL_LOCK,
    MUTANTS_LOCK,
    SITE_LOCK,
)

LOCK = ROOT / "requirements.lock"
CURE = "make lock"
# A package of a lock: its name, its version, where it is needed, and the lines of its hashes.
PINNED = re.compile(r"^([\w.-]+)==([^ \\\n]+)(?: ; (.+?))?(?: \\)?\n((?:    .*\n)*)", re.MULTILINE)


def wanted(group: str = "") -> list[str]:
    """Return the direct dependencies of pyproject.toml, for running and for checking.

    Args:
        group: only those of this group, which set-up does not install, such as `browser`.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups: dict[str, list[str]] = project["dependency-groups"]
    core: list[str] = project["project"]["dependencies"]
    return groups[group] if group else core + groups["dev"]


def pins(text: str) -> dict[str, list[str]]:
    """Return the versions that a lock has of each package: several where systems differ."""
    pinned: dict[str, list[str]] = {}
    for name, version, _, _ in PINNED.findall(text):
        pinned.setdefault(name, []).append(version)
    return pinned


def complaints(text: str, needed: list[str]) -> list[str]:
    """Return what is wrong with a lock, a sentence each, with its cure.

    Args:
        text: what the lock holds.
        needed: the requirements that it must fulfil.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found = []
    if "://" in text or "--index" in text or "--find-links" in text:
        found.append(f"the lock holds an address: {CURE}")
    bare = [f"{name}=={version}" for name, version, _, hashes in PINNED.findall(text) if not hashes]
    found += [f"{pin} has no hash: {CURE}" for pin in bare]
    pinned = pins(text)
    for line in needed:
        requirement = Requirement(line)
        versions = pinned.get(canonicalize_name(requirement.name), [])
        if not any(requirement.specifier.contains(version) for version in versions):
            found.append(f"pyproject.toml wants {line}, the lock has {versions}: {CURE}")
    return found


def renew() -> int:
    """Resolve anew for all systems and Pythons, and return uv's exit status; needs the network."""
    uv = str(Path(sys.executable).with_name("uv"))
    # The packages beside the main lock go into the same environment, so they must agree with it.
    beside = ["--constraints", LOCK.name]
    status = 0
    for group, words, path in (
        ("dev", ["pyproject.toml"], LOCK),
        ("browser", beside, BROWSER_LOCK),
        ("executors", beside, EXECUTORS_LOCK),
        ("kubectl", [*beside, "--no-deps"], KUBECTL_LOCK),
        ("mutants", beside, MUTANTS_LOCK),
        ("site", beside, SITE_LOCK),
    ):
        compile_ = [
            uv, "pip", "compile", "--quiet", "--upgrade", "--universal", "--generate-hashes",
            "--python-version", "3.11", "--no-header", "--no-annotate", "--group", group,
            *words, "--output-file", str(path.relative_to(ROOT)),
        ]  # fmt: skip
        status = status or subprocess.call(compile_, cwd=ROOT)
    return status


def without_markers(text: str, python: str) -> str:
    """Return the lock's blocks that a Python of this system needs, each once, for all systems.

    Args:
        text: what a lock holds, or several.
        python: the full version of the Python, for example 3.11.2.
    """
    from packaging.markers import Marker

    system = {"python_full_version": python}
    kept = {
        f"{name}=={version} \\\n{hashes}": None
        for name, version, marker, hashes in PINNED.findall(text)
        if not marker or Marker(marker).evaluate(system)
    }
    return "".join(kept)


def fetch_bundle() -> int:
    """Fetch all packages for this system and every patch of this Python into the folder bundle.

    Returns:
        pip's exit status.
    """
    folder = ROOT / "bundle"
    both = LOCK.read_text(encoding="utf-8") + EXECUTORS_LOCK.read_text(encoding="utf-8")
    minor = ".".join(map(str, sys.version_info[:2]))
    for patch in ("0", "99"):  # a package can need another one below some patch of Python
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as wanted_here:
            wanted_here.write(without_markers(both, f"{minor}.{patch}"))
            wanted_here.flush()
            download = [
                sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                "--disable-pip-version-check", "--only-binary=:all:", "--require-hashes",
                "--requirement", wanted_here.name, "--dest", str(folder),
            ]  # fmt: skip
            if status := subprocess.call(download, cwd=ROOT):
                return status
    wheels = list(folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    print(
        f"{len(wheels)} packages, {size:.0f} MB, in the folder bundle. Copy this folder, except "
        f".venv, to others with the same system and Python {minor}: their make uses it."
    )
    return 0
