"""Plots of pandas as pictures, with their figures as text."""

import io
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from workshop.ground import Problem
from workshop.show.pictures import Picture

MOST_POINTS = 20  # of a line; of a longer one the text tells between which numbers it runs


@dataclass(frozen=True)
class Series:
    """What belongs together in a plot: the bars of one name, a line, a pie."""

    label: str
    names: list[str]
    values: list[str]  # one for each name


def figure(axes: Any, alt: str, *, measured: bool = False) -> Picture:
    """Return a plot as a picture, with the numbers of its bars, lines and pies as text.

    Args:
        axes: what `DataFrame.plot` returned, or a figure of matplotlib; the figure is closed, and
            all plots in it are shown and told.
        alt: one sentence that says what the plot shows.
        measured: the numbers differ from run to run, so the text has the names alone.

    Raises:
        Problem: it is no plot, or one that was taken out of its figure.
    """
    import matplotlib
    from matplotlib import artist, pyplot

    first = next(iter(np.ravel(axes)), None)
    if not isinstance(first, artist.Artist):
        raise Problem(
            "figure() shows a plot: write figure(frame.plot.barh(), alt), and give it what plot "
            f"returned, not a {type(axes).__name__}."
        )
    whole: Any = first.get_figure(root=True)
    if whole is None:
        raise Problem("This plot is no longer in a figure: draw it again.")
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "gcp_spy", "svg.fonttype": "path"}):
        whole.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(whole)
    plots = [(plot, _series(plot)) for plot in whole.axes if plot.get_visible()]
    rows = _names(plots) if measured else _numbers(plots)
    if any(_has_more(plot, told) for plot, told in plots):
        rows.append("What else it shows is in the picture alone.")
    return Picture(out.getvalue(), "\n".join([alt, *(f"  {row}" for row in rows)]), alt)


def _names(plots: list[tuple[Any, list[Series]]]) -> list[str]:
    """Return the names of what is drawn, once where several series or plots have the same."""
    told: list[list[str]] = []
    for series in [series for _, of_plot in plots for series in of_plot]:
        if series.names not in told:
            told.append(series.names)
    return [name for names in told for name in names]


def _numbers(plots: list[tuple[Any, list[Series]]]) -> list[str]:
    """Return the numbers by name; with the plot's and the series' where there are several."""
    drawn = [(plot, told) for plot, told in plots if told]
    several = sum(len(told) for _, told in drawn) > 1
    rows = []
    for place, (plot, told) in enumerate(drawn, 1):
        title = (plot.get_title() or plot.get_ylabel()) if len(drawn) > 1 else ""
        for series in told:
            label = series.label if several and series.label != title else ""
            if len(drawn) > 1 and not (title or label):
                label = f"plot {place}"
            where = "".join(f"{part}, " for part in (title, label) if part)
            pairs = zip(series.names, series.values, strict=True)
            rows += [f"{where}{name}: {value}" for name, value in pairs]
    return rows


def _series(plot: Any) -> list[Series]:
    """Return what a plot tells in numbers: its bars, its lines, its pie."""
    from matplotlib.container import BarContainer
    from matplotlib.patches import Wedge

    bars = [_bars(plot, each) for each in plot.containers if isinstance(each, BarContainer)]
    wedges = [patch for patch in plot.patches if isinstance(patch, Wedge)]
    pie = [Series("", *_shares(wedges))] if wedges else []
    # A line without a name beside others is one that helps to read them, or a part of a box.
    alone = len(plot.lines) == 1 and not (bars or pie or plot.collections)
    lines = [_line(plot, line) for line in plot.lines if alone or _label(line)]
    return [*bars, *pie, *lines]


def _has_more(plot: Any, told: list[Series]) -> bool:
    """Return whether a plot shows what its series do not tell."""
    of_bars = sum(len(each.patches) for each in plot.containers if hasattr(each, "patches"))
    wedges = sum(type(patch).__name__ == "Wedge" for patch in plot.patches)
    others = len(plot.patches) - of_bars - wedges
    return bool(plot.collections or plot.images or others or (plot.lines and not told))


def _bars(plot: Any, bars: Any) -> Series:
    """Return the bars of one name."""
    if bars.orientation == "horizontal":
        axis, along = plot.yaxis, plot.xaxis
        sizes = [(bar.get_y(), bar.get_height(), bar.get_width()) for bar in bars]
        begins = [bar.get_x() for bar in bars]
    else:
        axis, along = plot.xaxis, plot.yaxis
        sizes = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in bars]
        begins = [bar.get_y() for bar in bars]
    middles = [begin + wide / 2 for begin, wide, _ in sizes]
    names = _names_at(axis, middles)
    touch = all(math.isclose(a + wide, b) for (a, wide, _), (b, _, _) in pairwise(sizes))
    if len(sizes) > 1 and touch and names == [_number(at) for at in middles]:  # a histogram
        names = [f"{_number(begin)} to {_number(begin + wide)}" for begin, wide, _ in sizes]
    values = [_number(length) for _, _, length in sizes]
    if days := _days(along, begins):
        ends = [begin + length for begin, (_, _, length) in zip(begins, sizes, strict=True)]
        values = [f"{day} to {end}" for day, end in zip(days, _days(along, ends), strict=True)]
    return Series(_label(bars), names, values)


def _line(plot: Any, line: Any) -> Series:
    """Return the points of a line."""
    values: Any = np.ma.filled(np.ma.asarray(line.get_ydata(orig=False), dtype=float), np.nan)
    if len(values) <= MOST_POINTS:
        names = _names_at(plot.xaxis, line.get_xdata(orig=False))
        numbers = [_number(value) for value in values]
        return Series(_label(line), names, _days(plot.yaxis, values) or numbers)
    there = values[~np.isnan(values)]
    ends = [there.min(), there.max()] if len(there) else []
    between = " and ".join(_days(plot.yaxis, ends) or [_number(end) for end in ends])
    value = f"between {between}" if between else _number(math.nan)
    return Series(_label(line), [f"{len(values)} points"], [value])


def _shares(wedges: list[Any]) -> tuple[list[str], list[str]]:
    """Return the names of a pie's parts and their shares: it holds no other numbers."""
    names = [_label(wedge) or f"part {number}" for number, wedge in enumerate(wedges, 1)]
    shares = [(wedge.theta2 - wedge.theta1) / 360 for wedge in wedges]
    return names, [f"{round(100 * share, 1):g} %" for share in shares]


def _days(axis: Any, places: Any) -> list[str]:
    """Return the days, or what its steps are, of places on an axis; nothing where it has none."""
    from matplotlib import dates

    frequency = getattr(axis.get_major_locator(), "freq", None)
    if frequency:  # pandas counts in days, or what the steps of its table are
        return [str(pd.Period(ordinal=round(at), freq=frequency)) for at in places]
    if "Date" not in type(axis.get_converter()).__name__:
        return []
    times = [None if math.isnan(at) else pd.Timestamp(dates.num2date(at)) for at in places]
    texts = [_number(math.nan) if time is None else f"{time:%Y-%m-%d %H:%M}" for time in times]
    return [text.removesuffix(" 00:00") for text in texts]


def _names_at(axis: Any, places: Any) -> list[str]:
    """Return the names of places on an axis: what is written there, else its day or its number."""
    from matplotlib.category import StrCategoryLocator
    from matplotlib.ticker import FixedLocator

    if days := _days(axis, places):
        return days
    written: dict[float, str] = {}
    if isinstance(axis.get_major_locator(), FixedLocator | StrCategoryLocator):
        ticks = axis.get_majorticklocs()
        written = dict(zip(ticks, axis.get_major_formatter().format_ticks(ticks), strict=True))
    # Bars that share a tick stand beside it.
    reach = min((abs(b - a) for a, b in pairwise(places)), default=1) / 2
    names = []
    for at in places:
        near = min(written, key=lambda tick: abs(tick - at), default=math.inf)
        names.append((abs(near - at) < reach and written[near]) or _number(at))
    return names


def _label(artist: Any) -> str:
    """Return the name of a series, or nothing where matplotlib made one up."""
    label = str(artist.get_label() or "")
    return "" if label.startswith("_") else label


def _number(value: Any) -> str:
    if math.isnan(value):
        return "no value"
    if not 0.01 <= abs(value) < 1e15:
        return f"{value + 0:.2g}"  # and no -0
    whole, _, behind = f"{float(value):.2f}".partition(".")
    return f"{whole}.{behind.rstrip('0')}".rstrip(".")
