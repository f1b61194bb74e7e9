"""Plots of pandas as pictures, with their figures as text."""

import io
from typing import Any

from workshop.show.pictures import Picture


def figure(axes: Any, alt: str, *, measured: bool = False) -> Picture:
    """Return a pandas plot as a picture, with its bars as text.

    Args:
        axes: what `DataFrame.plot` returned; its figure is closed.
        alt: one sentence that says what the plot shows.
        measured: the bars differ from run to run, so the text names them without their lengths.
    """
    import matplotlib
    from matplotlib import pyplot

    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "gcp_spy", "svg.fonttype": "path"}):
        axes.figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    labels = [label.get_text() for label in axes.get_yticklabels()]
    widths = [round(float(bar.get_width()), 2) for bar in axes.patches]
    pyplot.close(axes.figure)
    rows = [
        f"  {label}" if measured else f"  {label}: {width:g}"
        for label, width in zip(labels, widths, strict=False)
    ]
    return Picture(out.getvalue(), "\n".join([alt, *rows]), alt)
