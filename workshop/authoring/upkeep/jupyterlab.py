"""JupyterLab on a working copy: its settings and its command line."""

import json
import os
import sys
from pathlib import Path

from workshop.authoring.checking.headless import own_folders
from workshop.kernels import PROVISIONER, begin, keep_warm


def open_jupyterlab(folder: Path, page: str, *, large: bool = False) -> None:
    """Become JupyterLab on a working copy: loopback, its own token, one page first.

    Args:
        folder: the working copy.
        page: where the browser begins.
        large: the type is large enough for the last row of a room.
    """
    os.environ.update(own_folders())
    if large:
        os.environ["JUPYTERLAB_SETTINGS_DIR"] += "-large"
    _write_settings(Path(os.environ["JUPYTERLAB_SETTINGS_DIR"]), large=large)
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
        "--ServerApp.jpserver_extensions={'jupyterlab_jupytext': False}",
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
