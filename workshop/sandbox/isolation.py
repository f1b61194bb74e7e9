"""The walls of the sandbox, and the question whether they hold.

Nothing that a notebook runs may reach the reader's own cloud, Slack or mail. The stand-in for
`gcloud` is what PATH finds. A real gcloud, which a login shell may find all the same, has no
account, and no address but a port that nobody listens on. What DAGs are told of is on loopback.
"""

import atexit
import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from workshop.ground import BUILD, Problem
from workshop.lab import Home, new_home
from workshop.lab.home import reach_loopback
from workshop.sandbox.gcloud import SERVICES

LOOPBACK = "127.0.0.1"
NOBODY = "9"  # the port of the service "discard", which no machine offers today
# The first words of variables that tell programs of the reader's own accounts, or of another
# gcloud: bash takes an exported function for a command, and reads the file of BASH_ENV first.
REAL = (
    "AIRFLOW", "BASH_ENV", "BASH_FUNC_gcloud", "CLOUDSDK_", "GCE_METADATA_", "GCPSPY_",
    "GOOGLE_APPLICATION_CREDENTIALS",
)  # fmt: skip
WISH = "GCPSPY_WORLD"  # the value "real" asks for the real world
# The reader's own servers for clusters: the kernel knows them, what it starts does not.
SERVERS = ("GCPSPY_POSTGRES", "GCPSPY_REDIS")
ADDRESSES = ("GCPSPY_SLACK_WEBHOOK", "AIRFLOW_CONN_SMTP_DEFAULT", "AIRFLOW_CONN_SLACK_DEFAULT")
# What gcloud calls the API of a service, where that is not the service's own name.
APIS = {"bigtable": "bigtableadmin", "filestore": "file"}


def sandbox_environment() -> dict[str, str]:
    """Return this environment for a child that must stay in the sandbox: nothing real in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(REAL)}


def walls(home: Path) -> dict[str, str]:
    """Return the variables with which a real gcloud, and Google's libraries, reach nothing.

    Args:
        home: where gcloud's private folder is, in place of the reader's with the accounts.

    Source: `gcloud topic configurations` and, for the metadata server, google-auth's
    `environment_vars`.
    """
    nowhere = f"{LOOPBACK}:{NOBODY}"
    apis = [APIS.get(service, service).upper() for service in SERVICES]
    return {
        "CLOUDSDK_CONFIG": str(home / "gcloud"),
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",  # on a machine of Google's it has an account
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "true",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": LOOPBACK,
        "CLOUDSDK_PROXY_PORT": NOBODY,
        **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}": f"http://{nowhere}/" for api in apis},
        "GCE_METADATA_HOST": nowhere,
        "GCE_METADATA_IP": nowhere,
        "GCE_METADATA_ROOT": nowhere,
    }


def build_walls(home: Path) -> None:
    """Set the variables of `walls`; the first time, forget what is real.

    Args:
        home: the private Airflow's folder.
    """
    built = walls(home)
    if os.environ.get("CLOUDSDK_CONFIG") != built["CLOUDSDK_CONFIG"]:
        for name in set(os.environ) - set(sandbox_environment()):
            # Those of Airflow are the private one's already; the wish for the real world is said.
            if not name.startswith("AIRFLOW") and name not in (WISH, *SERVERS):
                del os.environ[name]
    (home / "gcloud").mkdir(mode=0o700, exist_ok=True)
    os.environ.update(built)
    reach_loopback()


def runs_programs(folder: Path) -> bool:
    """Return whether a program in a folder can be run: a mount may be `noexec`."""
    program = folder / "runs"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o700)
    try:
        return subprocess.run([program], check=False).returncode == 0
    except OSError:
        return False
    finally:
        program.unlink()


def home_of_programs(home: Path) -> Home:
    """Return a folder that runs programs: in a home, else in build, open to its owner alone.

    Raises:
        Problem: neither runs programs.
    """
    folder = home / "bin"
    folder.mkdir(exist_ok=True)
    if runs_programs(folder):
        return Home(folder)
    with suppress(OSError):
        BUILD.mkdir(exist_ok=True)
        other = new_home(BUILD)
        atexit.register(shutil.rmtree, other.folder, ignore_errors=True)
        if runs_programs(other.folder):
            return other
    raise Problem(
        f"The sandbox's gcloud cannot run: the folders {home.parent} and {BUILD} run no programs "
        "(noexec). Set TMPDIR to a folder of yours that does, then restart the kernel."
    )


def ask(home: Path, is_right: Callable[[str], bool]) -> None:
    """Ask whether the walls hold; no program is run that was found by its name alone.

    Args:
        home: as in `walls`.
        is_right: says of the path of a gcloud, or of "", whether finding it is right.

    Raises:
        Problem: they do not hold.
    """
    if reason := next(_reasons(home, is_right), None):
        raise Problem(
            f"The sandbox does not hold, so nothing runs here: {reason}. "
            "Restart the kernel, and run the notebook from its top."
        )


def _reasons(home: Path, is_right: Callable[[str], bool]) -> Iterator[str]:
    found = {"PATH": shutil.which("gcloud") or ""}
    if bash := shutil.which("bash"):
        words = [bash, "-c", "command -v gcloud"]
        found["bash"] = subprocess.run(words, capture_output=True, text=True).stdout.strip()
    for who, path in found.items():
        if not is_right(path):
            yield f"{who} finds {path or 'no gcloud'} in place of the stand-in"
    for name, value in walls(home).items():
        if os.environ.get(name) != value:
            yield f"the variable {name} has another value"
    for name in ADDRESSES:
        if _host(os.environ.get(name, "")) != LOOPBACK:
            yield f"the variable {name} names no stand-in"
    if not urllib.request.proxy_bypass(LOOPBACK):
        yield f"the variable NO_PROXY lacks {LOOPBACK}"


def _host(address: str) -> str | None:
    """Return the host of an address, or of a connection that is written as JSON."""
    try:
        if address.startswith("{"):
            about = json.loads(address)
            address = f"//{about.get('host')}" if "host" in about else about["password"]
        return urllib.parse.urlsplit(address).hostname
    except (ValueError, LookupError):
        return None
