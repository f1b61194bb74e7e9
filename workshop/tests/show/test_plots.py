"""Plots of pandas and of matplotlib: each picture has its figures as text."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workshop.ground import Problem
from workshop.show import figure
from workshop.show.plots import MOST_POINTS

SERIES = pd.Series({"sql": 3, "spanner": 1})
TABLE = pd.DataFrame({"eu": [1, 2], "us": [3, 4.256]}, index=["sql", "spanner"])
DAYS = pd.date_range("2018-12-01", periods=2)
ALONE = "  What else it shows is in the picture alone."


@pytest.fixture(autouse=True)
def pyplot() -> Iterator[Any]:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def told(axes: Any, *, measured: bool = False) -> list[str]:
    first, *rows = figure(axes, "A plot", measured=measured).text.splitlines()
    assert first == "A plot"
    return rows


def test_a_figure_has_its_bars_as_text() -> None:
    bill = pd.Series({"Compute Engine": 208.05, "Spanner": 2628.0})
    picture = figure(bill.plot.barh(), "What it costs")
    assert repr(picture) == "What it costs\n  Compute Engine: 208.05\n  Spanner: 2628"
    assert 'alt="What it costs"' in picture._repr_html_()
    assert figure(bill.plot.barh(), "What it costs").svg == picture.svg


def test_bars_that_are_measured_are_named_alone() -> None:
    assert told(SERIES.plot.barh(), measured=True) == ["  sql", "  spanner"]
    twice = pd.Series([1, 2], index=["a", "a"])
    assert told(twice.plot.barh(), measured=True) == ["  a", "  a"]
    assert told(TABLE.plot.barh(stacked=True), measured=True) == ["  sql", "  spanner"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: TABLE.plot.bar(), lambda: TABLE.plot.barh(), lambda: TABLE.plot.bar(stacked=True),
        lambda: TABLE.plot.barh(stacked=True),
    ],
)  # fmt: skip
def test_every_series_of_bars_is_told(draw: Callable[[], Any]) -> None:
    assert told(draw()) == [
        "  eu, sql: 1", "  eu, spanner: 2", "  us, sql: 3", "  us, spanner: 4.26",
    ]  # fmt: skip


def test_upright_bars_have_the_names_below_them(pyplot: Any) -> None:
    assert told(SERIES.plot.bar()) == ["  sql: 3", "  spanner: 1"]
    assert told(pyplot.bar(["a", "b"], [4, 6])) == ["  a: 4", "  b: 6"]
    assert told(pyplot.bar([1, 2.5, 30], [4, 5, 6])) == ["  1: 4", "  2.5: 5", "  30: 6"]


def test_bars_of_numbers_are_not_named_by_ticks_that_stand_elsewhere(pyplot: Any) -> None:
    pyplot.bar(range(1, 4), [4, 5, 6])
    pyplot.xticks([1, 20], ["first", "later"])
    assert told(pyplot.gca()) == ["  first: 4", "  2: 5", "  3: 6"]


def test_a_number_is_told_with_all_its_digits(pyplot: Any) -> None:
    heights = [1234567, 20000000.5, 0.004, -0.001, -1.5, 1e300]
    assert told(pyplot.bar(list("abcdef"), heights)) == [
        "  a: 1234567", "  b: 20000000.5", "  c: 0.004", "  d: -0.001", "  e: -1.5", "  f: 1e+300",
    ]  # fmt: skip


def test_days_are_named_as_days(pyplot: Any) -> None:
    rows = ["  2018-12-01: 1", "  2018-12-02: 2"]
    assert told(pyplot.bar(DAYS, [1, 2])) == rows
    days = pd.Series([1, 2], index=DAYS)
    assert told(days.plot()) == rows
    assert told(days.plot.bar()) == rows
    assert told(days.plot(x_compat=True)) == rows
    hour = pd.DatetimeIndex(["2018-12-01 00:00", "2018-12-01 06:30", "2018-12-04 00:00"])
    assert told(pd.Series([1, 2, 3], index=hour).plot())[1] == "  2018-12-01 06:30: 2"


def test_a_value_that_is_a_day_is_told_as_a_day(pyplot: Any) -> None:
    seen = pd.DatetimeIndex([DAYS[1], pd.NaT, pd.Timestamp("2018-12-03 09:05")])
    rows = ["  1: 2018-12-02", "  2: no value", "  3: 2018-12-03 09:05"]
    assert told(pyplot.plot([1, 2, 3], seen)) == rows
    pyplot.close("all")
    long = pd.date_range("2018-12-01", periods=MOST_POINTS + 1)
    points = f"  {MOST_POINTS + 1} points"
    assert told(pyplot.plot(range(len(long)), long)) == [
        f"{points}: between 2018-12-01 and 2018-12-21"
    ]


@pytest.mark.parametrize("draw", ["bar", "barh"])
def test_a_bar_between_two_days_is_told_by_both(pyplot: Any, draw: str) -> None:
    begins = {"left" if draw == "barh" else "bottom": DAYS}
    getattr(pyplot, draw)(["sql", "spanner"], [pd.Timedelta("36h"), pd.Timedelta("1D")], **begins)
    assert told(pyplot.gca()) == [
        "  sql: 2018-12-01 to 2018-12-02 12:00", "  spanner: 2018-12-02 to 2018-12-03",
    ]  # fmt: skip


def test_the_points_of_lines_are_told(pyplot: Any) -> None:
    assert told(pyplot.plot([1, 2], [4, 5])) == ["  1: 4", "  2: 5"]
    pyplot.close("all")
    lines = pd.DataFrame({"eu": [1, 2], "us": [3, 4]}, index=[10, 20]).plot()
    assert told(lines) == ["  eu, 10: 1", "  eu, 20: 2", "  us, 10: 3", "  us, 20: 4"]
    second = pd.DataFrame({"eu": [1], "us": [3]}, index=[10]).plot(secondary_y="us")
    assert told(second) == ["  eu, 10: 1", "  us (right), 10: 3"]


def test_one_bar_is_told_by_its_name_or_its_number(pyplot: Any) -> None:
    assert told(pd.Series([4], index=["sql"], name="machines").plot.bar()) == ["  sql: 4"]
    pyplot.close("all")
    assert told(pyplot.bar([5], [3])) == ["  5: 3"]


def test_a_line_tells_what_its_axes_make_of_it(pyplot: Any) -> None:
    half = np.ma.masked_array([7, 8], mask=[False, True])
    assert told(pyplot.plot([1, 2], half)) == ["  1: 7", "  2: no value"]
    pyplot.close("all")
    assert told(pyplot.plot(["a", "b"], [4, 5])) == ["  a: 4", "  b: 5"]


def test_of_a_line_that_is_just_short_enough_all_points_are_told() -> None:
    assert len(told(pd.Series(range(MOST_POINTS)).plot())) == MOST_POINTS


def test_of_a_long_line_its_ends_are_told() -> None:
    assert told(pd.Series(range(100)).plot()) == ["  100 points: between 0 and 99"]
    two = pd.DataFrame({"a": range(100), "b": [float("nan")] * 100})
    assert told(two.plot()) == ["  a, 100 points: between 0 and 99", "  b, 100 points: no value"]


def test_a_pie_has_its_shares_as_text(pyplot: Any) -> None:
    assert told(SERIES.plot.pie()) == ["  sql: 75 %", "  spanner: 25 %"]
    assert told(SERIES.plot.pie(), measured=True) == ["  sql", "  spanner"]
    pyplot.close("all")
    pyplot.pie([1, 2])
    assert told(pyplot.gca()) == ["  part 1: 33.3 %", "  part 2: 66.7 %"]
    pies = TABLE.plot.pie(subplots=True)
    assert told(pies)[1:3] == ["  plot 1, spanner: 66.7 %", "  plot 2, sql: 41.3 %"]


def test_a_histogram_has_its_bins_as_text() -> None:
    counts = pd.Series([1, 2, 2, 5]).plot.hist(bins=2)
    assert told(counts) == ["  1 to 3: 3", "  3 to 5: 1"]


@pytest.mark.parametrize("choose", [lambda axes: axes, lambda axes: axes[0][0]])
def test_all_plots_of_a_figure_are_told(choose: Callable[[Any], Any]) -> None:
    sides = {"subplots": True, "layout": (1, 3), "sharey": True}
    rows = ["  eu, sql: 1", "  eu, spanner: 2", "  us, sql: 3", "  us, spanner: 4.26"]
    assert told(choose(TABLE.plot.barh(**sides))) == rows
    assert told(choose(TABLE.plot.barh(**sides)), measured=True) == ["  sql", "  spanner"]


def test_a_whole_figure_is_told_with_the_titles_of_its_plots(pyplot: Any) -> None:
    whole, (left, right) = pyplot.subplots(1, 2)
    SERIES.plot.bar(ax=left, title="Left")
    TABLE.plot.bar(ax=right, title="Right")
    assert told(whole)[:3] == ["  Left, sql: 3", "  Left, spanner: 1", "  Right, eu, sql: 1"]


def test_what_is_in_the_picture_alone_is_said(pyplot: Any) -> None:
    assert told(TABLE.plot.scatter("eu", "us")) == [ALONE]
    assert told(TABLE.plot.area()) == [ALONE]
    assert told(TABLE.plot.box()) == [ALONE]
    pyplot.close("all")
    pyplot.hist([1, 2], histtype="step")
    assert told(pyplot.gca()) == [ALONE]
    bars = SERIES.plot.bar(yerr=0.1)
    bars.axhline(2)
    assert told(bars) == ["  sql: 3", "  spanner: 1", ALONE]


def test_a_line_that_helps_to_read_bars_is_no_series(pyplot: Any) -> None:
    bars = SERIES.plot.barh()
    bars.axvline(2)
    assert told(bars) == ["  sql: 3", "  spanner: 1"]


def test_what_has_no_value_says_so(pyplot: Any) -> None:
    assert told(pyplot.bar(["a", "b"], [1, float("nan")])) == ["  a: 1", "  b: no value"]
    line = pd.Series([1, None, 3], index=[1, 2, 3]).plot()
    assert told(line) == ["  1: 1", "  2: no value", "  3: 3"]


def test_a_plot_without_anything_in_it_has_its_sentence_alone(pyplot: Any) -> None:
    assert told(pyplot.gca()) == []
    assert told(pyplot.figure()) == []


def test_a_plot_can_be_shown_again(pyplot: Any) -> None:
    bars = SERIES.plot.bar()
    assert told(bars) == told(bars)


def test_what_is_no_plot_is_one_sentence(pyplot: Any) -> None:
    others: list[Any] = [None, [], SERIES, "plot"]
    for other in others:
        with pytest.raises(Problem, match=rf"shows a plot.*not a {type(other).__name__}\b"):
            figure(other, "A plot")
    bars = SERIES.plot.bar()
    bars.remove()
    with pytest.raises(Problem, match="no longer in a figure"):
        figure(bars, "A plot")
