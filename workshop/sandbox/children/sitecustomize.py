"""Keep the sandbox around children that get another environment, as with a task's `env=`.

A notebook's kernel installs this when it enters the sandbox. Python itself imports it when it
starts, under this name, in each process of a cluster and of `make airflow`, whose PYTHONPATH has
this folder; so it uses the standard library alone.
"""

import inspect
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# How the names of the variables in `workshop/sandbox/isolation.py`, `walls`, begin; and with SHLVL
# the bash of a cluster's task does not read ~/.bashrc, as `workshop/cluster/settings.yaml` says.
WALLS = (
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_", "CLOUDSDK_COMPONENT_MANAGER_", "CLOUDSDK_CONFIG",
    "CLOUDSDK_CORE_CHECK_", "CLOUDSDK_CORE_DISABLE_", "CLOUDSDK_PROXY_", "GCE_METADATA_", "SHLVL",
)  # fmt: skip
PATH_OF_BASH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # where it gets none

_start: Any = subprocess.Popen.__init__
_parameters = inspect.signature(_start)


def install() -> None:
    """Give this process's variables of the walls, and its gcloud, to each child from now on."""
    subprocess.Popen.__init__ = _guarded  # type: ignore[method-assign]


@contextmanager
def installed() -> Iterator[None]:
    """Do as `install`, for a while."""
    before = subprocess.Popen.__init__
    install()
    try:
        yield
    finally:
        subprocess.Popen.__init__ = before  # type: ignore[method-assign]


def _guarded(self: Any, *args: Any, **options: Any) -> None:
    given = _parameters.bind(self, *args, **options)
    if given.arguments.get("env") is not None:
        given.arguments["env"] = _walled(given.arguments["env"])
    _start(*given.args, **given.kwargs)


def _walled(env: Mapping[Any, Any]) -> dict[str, str]:
    own = {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
    folders = own.get("PATH", PATH_OF_BASH).split(os.pathsep)
    if stand_in := shutil.which("gcloud"):
        folders.insert(0, str(Path(stand_in).parent))
    else:  # the world has none
        folders = [folder for folder in folders if not shutil.which("gcloud", path=folder)]
        folders += os.get_exec_path()
    walls = {name: value for name, value in os.environ.items() if name.startswith(WALLS)}
    return own | walls | {"PATH": os.pathsep.join(folders)}


if __name__ == "sitecustomize":
    install()
