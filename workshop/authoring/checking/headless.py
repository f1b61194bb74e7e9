"""Run notebooks without a browser: in the sandbox, and away from the reader's settings."""

import os
from pathlib import Path
from typing import Any

import nbformat

from workshop.ground import BUILD, Problem
from workshop.kernels import keep_warm
from workshop.sandbox import sandbox_environment

SECONDS_A_CELL = 900
# By these, programs write more, less, wider or in colour; a CI sets some, a reader others.
APPEARANCE = (
    "BUILD_NUMBER", "CI", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS",
    "LINES", "NO_COLOR", "PYTEST_ADDOPTS", "PY_COLORS", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
)  # fmt: skip
KERNEL_CONFIG = """\
c = get_config()
c.IPKernelApp.log_level = 40  # without this every kernel warns that it talks over TCP
c.InteractiveShellApp.extensions = ["workshop.slides"]
"""


def force_sandbox() -> None:
    """Make this process and its kernels forget all that is real, and write only to `build`.

    What programs write in a cell looks the same on every machine, too.
    """
    for name in (set(os.environ) - set(sandbox_environment())) | {*APPEARANCE} & set(os.environ):
        del os.environ[name]
    os.environ.update(own_folders() | {"WORKSHOP_HEADLESS": "1"})
    keep_warm()


def own_folders() -> dict[str, str]:
    """Return the variables that keep Jupyter and IPython out of the reader's home."""
    profile = BUILD / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(KERNEL_CONFIG, encoding="utf-8")
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
        Problem: a cell raised, or took over fifteen minutes, or its kernel died.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    client = NotebookClient(
        notebook, timeout=SECONDS_A_CELL, startup_timeout=SECONDS_A_CELL, kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    try:
        client.execute()
    except CellExecutionError as error:
        raise Problem(f"A cell raised {error.ename}: {error.evalue}") from error
    except (CellTimeoutError, DeadKernelError) as error:
        raise Problem(str(error)) from error


def run_in_world(path: Path, world: str, out: Path, *, progress: bool = False) -> Path:
    """Run a copy of a notebook with another world, and return where its results are, as JSON.

    Args:
        path: the notebook; it is not changed.
        world: the value of its parameter `world`.
        out: the executed copy.
        progress: show a bar.

    Raises:
        Problem: a cell raised.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    out.parent.mkdir(parents=True, exist_ok=True)
    results = out.with_suffix(".json").resolve()
    results.unlink(missing_ok=True)
    os.environ["WORKSHOP_RESULTS"] = str(results)
    try:
        papermill.execute_notebook(
            str(path), str(out), parameters={"world": world}, cwd=str(path.parent),
            kernel_name="python3", execution_timeout=SECONDS_A_CELL, progress_bar=progress,
        )  # fmt: skip
    except PapermillExecutionError as error:
        raise Problem(
            f"{path.name}, cell [{error.exec_count}], raised {error.ename}: {error.evalue}\n"
            f"The copy that ran is {out}."
        ) from error
    finally:
        del os.environ["WORKSHOP_RESULTS"]
    return results


def read(path: Path) -> Any:
    """Return a notebook file as an nbformat notebook of format 4."""
    return nbformat.read(path, as_version=4)


def code_of(notebook: Any) -> list[Any]:
    """Return the code cells of a notebook."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]
