"""The lock: exact versions and hashes of every package, and no address."""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from workshop.lab import ROOT

LOCK = ROOT / "requirements.lock"
BROWSER_LOCK = ROOT / "requirements-browser.lock"
EXECUTORS_LOCK = ROOT / "requirements-executors.lock"
CURE = "make lock"


def wanted() -> list[str]:
    """Return the direct dependencies of pyproject.toml, for running and for checking."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed: list[str] = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    return needed


def wanted_beside(group: str) -> list[str]:
    """Return the packages of a group that set-up does not install: `browser` or `executors`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed: list[str] = project["dependency-groups"][group]
    return needed


def install(lock: Path) -> bool:
    """Install what a lock beside set-up's names into this environment; return whether it worked."""
    uv = str(Path(sys.executable).with_name("uv"))
    words = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--require-hashes"]
    if lock == EXECUTORS_LOCK and (ROOT / "bundle").is_dir():  # make bundle fetches these too
        words += ["--no-index", "--find-links", str(ROOT / "bundle")]
    return subprocess.call([*words, "--requirement", str(lock)], cwd=ROOT) == 0


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
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    found += [
        f"{block.split()[0]} has no hash: {CURE}"
        for block in blocks
        if "--hash=sha256:" not in block
    ]
    pinned: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ ;\\\n]+)", text, re.MULTILINE):
        pinned.setdefault(name, []).append(version)
    for line in needed:
        requirement = Requirement(line)
        versions = pinned.get(canonicalize_name(requirement.name), [])
        if not any(requirement.specifier.contains(version) for version in versions):
            found.append(f"pyproject.toml wants {line}, the lock has {versions}: {CURE}")
    return found


def renew() -> int:
    """Resolve anew for all systems and Pythons, and return uv's exit status; needs the network."""
    uv = str(Path(sys.executable).with_name("uv"))
    compile_ = [
        uv, "pip", "compile", "--quiet", "--upgrade", "--universal", "--generate-hashes",
        "--python-version", "3.11", "--no-header", "--no-annotate",
    ]  # fmt: skip
    core = ["--group", "dev", "pyproject.toml", "--output-file", LOCK.name]
    status = subprocess.call([*compile_, *core], cwd=ROOT)
    for group, lock in (("browser", BROWSER_LOCK), ("executors", EXECUTORS_LOCK)):
        # These packages go into the same environment, so they must agree with the others.
        words = ["--group", group, "--constraints", LOCK.name, "--output-file", lock.name]
        status = status or subprocess.call([*compile_, *words], cwd=ROOT)
    return status


def without_markers(text: str, python: str) -> str:
    """Return the lock's blocks that a Python of this system needs, each once, for all systems.

    Args:
        text: what a lock holds, or several.
        python: the full version of the Python, for example 3.11.2.
    """
    from packaging.markers import Marker

    kept: dict[str, str] = {}
    for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        first, rest = block.split("\n", 1)
        pin, _, marker = first.removesuffix(" \\").partition(" ; ")
        if not marker or Marker(marker).evaluate({"python_full_version": python}):
            kept[pin] = f"{pin} \\\n{rest}"
    return "".join(kept.values())


def bundle() -> int:
    """Fetch all packages for this system and every patch of this Python into the folder bundle.

    Returns:
        pip's exit status.
    """
    folder = ROOT / "bundle"
    folder.mkdir(exist_ok=True)
    minor = ".".join(map(str, sys.version_info[:2]))
    for patch in ("0", "99"):  # a package can need another one below some patch of Python
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as wanted_here:
            both = LOCK.read_text(encoding="utf-8") + EXECUTORS_LOCK.read_text(encoding="utf-8")
            wanted_here.write(without_markers(both, f"{minor}.{patch}"))
            wanted_here.flush()
            status = subprocess.call(
                [
                    sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                    "--disable-pip-version-check", "--only-binary=:all:", "--require-hashes",
                    "--requirement", wanted_here.name, "--dest", str(folder),
                ],
                cwd=ROOT,
            )  # fmt: skip
        if status:
            return status
    wheels = list(folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    print(
        f"{len(wheels)} packages, {size:.0f} MB, in the folder bundle. Copy this folder, except "
        f".venv, to others with the same system and Python {minor}: their make uses it."
    )
    return 0
