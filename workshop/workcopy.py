"""The learner's working copy, and JupyterLab on it."""

import os
import shutil
from pathlib import Path

from workshop.lab import ROOT
from workshop.sandbox import WORLDS
from workshop.slides import NOTEBOOKS


def make() -> Path:
    """Copy into the folder `work` what is not there yet, and return the folder."""
    folder = ROOT / "work"
    for source, target in ((NOTEBOOKS, folder), (WORLDS, folder / "worlds")):
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.glob("*.*")):
            if not (target / path.name).exists():
                shutil.copy(path, target / path.name)
    return folder


def quiet_settings() -> None:
    """Switch off JupyterLab's question about news and its look for updates: both want a network."""
    folder = Path(os.environ["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab" / "apputils-extension"
    settings = folder / "notification.jupyterlab-settings"
    if not settings.exists():
        folder.mkdir(parents=True, exist_ok=True)
        settings.write_text('{"fetchNews": "false", "checkForUpdates": false}\n', encoding="utf-8")


def lab_options(folder: Path) -> list[str]:
    """Return the command line of JupyterLab: loopback, its own token, the index first."""
    root = ["--allow-root"] if os.geteuid() == 0 else []  # containers often run as root
    return [
        *root,
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.ip=127.0.0.1",
        "--LabApp.default_url=/lab/tree/00_index.ipynb",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        "--LabApp.extension_manager=readonly",
        "--ServerApp.jpserver_extensions={'jupyterlab_jupytext': False}",
        "--ServerApp.log_level=WARN",
    ]
