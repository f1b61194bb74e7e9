"""Run notebooks without a browser: always in the sandbox, always away from the reader's settings."""

import os
from pathlib import Path
from typing import Any

import nbformat

from workshop.lab import BUILD, sandbox_environment

SECONDS_A_CELL = 120


def force_sandbox() -> None:
    """Make this process and its kernels forget all that is real, and write only to `build`."""
    for name in set(os.environ) - set(sandbox_environment()):
        del os.environ[name]
    os.environ.update(own_folders() | {"WORKSHOP_HEADLESS": "1"})


def own_folders() -> dict[str, str]:
    """Return the variables that keep Jupyter and IPython out of the reader's home."""
    return {
        "IPYTHONDIR": str(BUILD / "ipython"),
        "JUPYTER_CONFIG_DIR": str(BUILD / "jupyter" / "config"),
        "JUPYTER_DATA_DIR": str(BUILD / "jupyter" / "data"),
        "JUPYTER_RUNTIME_DIR": str(BUILD / "jupyter" / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(BUILD / "jupyter" / "lab-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(BUILD / "jupyter" / "lab-workspaces"),
    }


def execute(notebook: Any, folder: Path) -> None:
    """Run all cells of a notebook in a new kernel, in a folder, and keep their outputs in it.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
        nbclient.exceptions.CellTimeoutError: a cell took over two minutes.
    """
    from nbclient import NotebookClient

    client = NotebookClient(
        notebook, timeout=SECONDS_A_CELL, kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    client.execute()


def run_in_world(path: Path, world: str, out: Path, *, progress: bool = False) -> Path:
    """Run a copy of a notebook with another world, and return where its results are, as JSON.

    Args:
        path: the notebook; it is not changed.
        world: the value of its parameter `world`.
        out: the executed copy.
        progress: show a bar.

    Raises:
        papermill.PapermillExecutionError: a cell raised.
    """
    import papermill

    out.parent.mkdir(parents=True, exist_ok=True)
    results = out.with_suffix(".json").resolve()
    results.unlink(missing_ok=True)
    os.environ["WORKSHOP_RESULTS"] = str(results)
    try:
        papermill.execute_notebook(
            str(path), str(out), parameters={"world": world}, cwd=str(path.parent),
            kernel_name="python3", execution_timeout=SECONDS_A_CELL, progress_bar=progress,
        )  # fmt: skip
    finally:
        del os.environ["WORKSHOP_RESULTS"]
    return results


def read(path: Path) -> Any:
    """Return a notebook file as an nbformat notebook of format 4."""
    return nbformat.read(path, as_version=4)
