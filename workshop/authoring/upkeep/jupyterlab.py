"""JupyterLab on a working copy: its settings, its command line, and Airflow in its launcher."""

import json
import os
import secrets
import sys
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import requests

from workshop.authoring.checking.headless import own_folders
from workshop.authoring.upkeep.server import PASSWORD
from workshop.kernels import PROVISIONER, begin, keep_warm

TAB = "airflow"  # the entry point's name: the path behind Jupyter's address
RUN = "import sys; from workshop.authoring.upkeep.server import run_airflow as run; "
SECONDS_TO_START = 900.0


def airflow_in_a_tab() -> dict[str, Any]:
    """Return how jupyter-server-proxy starts the Airflow of `make airflow`, and opens it in a tab.

    Whoever has passed Jupyter's own token is signed in: each request gets a token of Airflow's.
    Airflow's port on loopback wants the password, which its processes and this one alone know.
    Source: jupyter-server-proxy, "Server Process options".
    """
    password = secrets.token_urlsafe(12)

    @lru_cache(maxsize=1)
    def token(address: str, minute: int) -> str:  # Airflow may have been started anew
        login = {"username": "admin", "password": password}
        answer = requests.post(f"{address}/auth/token", json=login, timeout=30)
        return str(answer.json()["access_token"])

    def signed_in(port: int, base_url: str) -> dict[str, str]:
        with suppress(requests.RequestException, LookupError, ValueError):  # then it asks
            address = f"http://127.0.0.1:{port}{base_url}{TAB}"
            return {"Authorization": f"Bearer {token(address, int(time.time() // 60))}"}
        return {}

    return {
        "command": [
            sys.executable, "-c", RUN + "run(address=sys.argv[1])",
            f"http://127.0.0.1:{{port}}{{base_url}}{TAB}",
        ],
        "environment": {PASSWORD: password},
        "timeout": SECONDS_TO_START,
        "absolute_url": True,  # Airflow itself adds the path to what it links and redirects to
        "request_headers_override": signed_in,
        "new_browser_tab": False,
        "launcher_entry": {"title": "Airflow", "path_info": f"{TAB}/"},
    }  # fmt: skip


def open_jupyterlab(folder: Path, page: str, *, stage: str = "") -> None:
    """Become JupyterLab on a working copy: loopback, its own token, one page first.

    Args:
        folder: the working copy.
        page: where the browser begins.
        stage: for a stage, the extension of the server that makes the page's state ready. The type
            is then large enough for the last row of a room.
    """
    os.environ.update(own_folders())
    extensions = {"jupyterlab_jupytext": False}
    if stage:
        os.environ["JUPYTERLAB_SETTINGS_DIR"] += "-large"
        extensions[stage] = True
    _write_settings(Path(os.environ["JUPYTERLAB_SETTINGS_DIR"]), large=bool(stage))
    keep_warm(by_default=False)
    begin()  # so that it is warm when the first notebook opens
    words = [
        sys.executable, "-m", "jupyterlab",
        *(["--allow-root"] if os.geteuid() == 0 else []),  # containers often run as root
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.ip=127.0.0.1",
        f"--LabApp.default_url=/{page}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        "--LabApp.extension_manager=readonly",
        f"--ServerApp.jpserver_extensions={extensions}",
        "--ServerApp.log_level=WARN",
        f"--KernelProvisionerFactory.default_provisioner_name={PROVISIONER}",
    ]  # fmt: skip
    sys.stdout.flush()
    os.execv(sys.executable, words)


def _write_settings(folder: Path, *, large: bool) -> None:
    """Write JupyterLab's settings: nothing from the network, widgets that survive a reload."""
    settings = {
        # The question about news and the look for updates both want a network.
        "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
            "fetchNews": "false",
            "checkForUpdates": False,
        },
        "@jupyter-widgets/jupyterlab-manager/plugin.jupyterlab-settings": {"saveState": True},
    }
    if large:
        fonts = {"code-font-size": "20px", "content-font-size1": "20px"}
        settings["@jupyterlab/apputils-extension/themes.jupyterlab-settings"] = {"overrides": fonts}
    for name, values in settings.items():
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values) + "\n", encoding="utf-8")
