"""The notebook for a presenter, and an extension of Jupyter's server that runs what it needs.

Source of the extension's two entry points: Jupyter Server's documentation, "Server Extensions".
"""

import os
from pathlib import Path
from typing import Any

import nbformat

from workshop.authoring.checking.headless import read
from workshop.slides.workcopy import catch_up, slides_headed

PAGE = "WORKSHOP_STAGE"  # the variable that names the notebook, from the server's root
ABOVE = "above_the_slide"  # marks a cell that is to run before the presenter begins
FOLDED = "jp-MarkdownHeadingCollapsed"  # JupyterLab's own name


def stage_notebook(slide: int, folder: Path) -> Path:
    """Write the notebook for a presenter who begins at a slide, and return its path.

    The slide's heading stands first. What it needs is in the cells above it, under a folded
    heading; each of their metadata has ABOVE.

    Raises:
        Problem: the talk has no such slide.
    """
    path = catch_up(slide, folder)
    notebook = read(path)
    first = next(i for i, cell in enumerate(notebook.cells) if slide in slides_headed(cell))
    above = [cell for cell in notebook.cells[:first] if cell.cell_type == "code"]
    for cell in above:
        cell.metadata[ABOVE] = True
    words = "these cells have run; after a restart of the kernel run them again"
    folded = nbformat.v4.new_markdown_cell(
        f"###### Before slide {slide}: {words}", metadata={FOLDED: True}
    )
    notebook.cells = [folded, *above, *notebook.cells[first:]]
    nbformat.write(notebook, path)
    return path


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(app: Any) -> None:
    app.io_loop.add_callback(make_ready, app, os.environ[PAGE])


async def make_ready(app: Any, page: str) -> None:
    """Start the notebook's kernel and run the folded cells above its slide; say what goes wrong.

    A browser that opens the notebook finds the session by its path, and takes it.

    Args:
        app: Jupyter's server.
        page: the notebook, from the server's root.
    """
    content = (await app.contents_manager.get(page))["content"]
    session = await app.session_manager.create_session(
        path=page, name=page, type="notebook", kernel_name="python3"
    )
    client = app.kernel_manager.get_kernel(session["kernel"]["id"]).client()
    client.start_channels()
    try:
        await client.wait_for_ready()
        above = [cell for cell in content["cells"] if cell["metadata"].get(ABOVE)]
        for cell in above:  # all at once: what the browser sends then waits for them
            client.execute(cell["source"], store_history=False, allow_stdin=False)
        for _ in above:
            reply = (await client.get_shell_msg())["content"]
            if reply["status"] == "error":
                said = f"{reply['ename']}: {reply['evalue']}"
                app.log.warning("The slide is not ready. Run the folded cells above it. %s", said)
    finally:
        client.stop_channels()
