"""How cells become the talk's DAG file, and the learner's working copy of the notebooks."""

from workshop.slides.assembly import FILE_NAME, Builder, assemble
from workshop.slides.cells import Cells, as_python
from workshop.slides.magics import (
    catch_up,
    follow,
    load_ipython_extension,
    register,
    stored,
)

__all__ = [
    "FILE_NAME", "Builder", "Cells", "as_python", "assemble", "catch_up", "follow",
    "load_ipython_extension", "register", "stored",
]  # fmt: skip
