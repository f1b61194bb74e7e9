"""How cells become the talk's DAG file, and the learner's working copy of the notebooks."""

from workshop.slides.assembly import FILE_NAME, Builder, assemble
from workshop.slides.magics import (
    Cells,
    catch_up,
    follow,
    load_ipython_extension,
    register,
    stored,
)

__all__ = [
    "FILE_NAME", "Builder", "Cells", "assemble", "catch_up", "follow", "load_ipython_extension",
    "register", "stored",
]  # fmt: skip
