"""Values with intervals, one row each: metrics of runs, means of groups, differences with their confidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.plots.axes import HEIGHT, WIDTH, dress, new_axes, plain, scale
from mlops_sdk.plots.palette import GREY, PALETTE
from mlops_sdk.plots.series import GREATEST

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_HEIGHT = 0.34
_MOST_ROWS = 60
_VISIBLE = 0.25
_LABEL = 46


@dataclass(frozen=True, slots=True)
class Bar:
    """One row.

    Attributes
    ----------
    label : str
        Stored text as it is.
    value : float
        NaN is a row without a mark.
    low, high : float
        Ends of the interval; NaN where there is none.
    points : sequence of float
        Values behind it (one a run, say), drawn small.
    note : str
        Set behind the interval, such as ``n=5``.
    """

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    points: Sequence[float] = ()
    note: str = ""


def bars(
    rows: Sequence[Bar],
    *,
    xlabel: str = "",
    style: str = "auto",
    xscale: str = "linear",
    reference: float | None = None,
    marked: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Rows of values with intervals, the first on top; labels stand to the left, so that long ones can be read.

    Parameters
    ----------
    rows : sequence of Bar, length n >= 1
        Of more than 60 the first 60 are drawn, and the title says so.
    xlabel : str
        What the values are, with their unit.
    style : {"auto", "bars", "points"}
        Bars begin at 0, else their lengths would lie. Points show differences between values far from 0. "auto": bars
        where the values spread over at least a quarter of the way from 0.
    xscale : {"linear", "log", "symlog", "auto"}
        Bars have no honest beginning on a logarithmic scale: points are drawn there.
    reference : float, optional
        A vertical line, at 0 for differences, say.
    marked : mapping of str to str, optional
        Colour by label, for rows to stand out; the others are blue.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default a new figure, as high as the rows need.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidValueError
        If there are no rows, none has a finite value, or an option is unknown.

    Examples
    --------
    >>> ax = bars([Bar("small", 0.91, 0.90, 0.92), Bar("large", 0.94, 0.92, 0.96)], xlabel="accuracy")
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['small', 'large']
    """
    if style not in ("auto", "bars", "points"):
        raise InvalidValueError(f"style is {style!r}; use 'auto', 'bars' or 'points'")
    shown = [_drawable(row) for row in rows[:_MOST_ROWS]]
    numbers = [
        number for row in shown for number in (row.value, row.low, row.high, *row.points) if math.isfinite(number)
    ]
    if not any(math.isfinite(row.value) for row in shown):
        raise InvalidValueError("there is nothing to draw: no row has a finite value")
    fitting = scale(xscale, "xscale", numbers)
    has_bars = fitting == "linear" and (style == "bars" or (style == "auto" and _from_zero(numbers)))
    if ax is None:
        ax = new_axes(WIDTH, max(HEIGHT / 2, 1.1 + _ROW_HEIGHT * len(shown)))
    for place, row in enumerate(shown):
        _draw(ax, place, row, (marked or {}).get(row.label, PALETTE[0]), is_bar=has_bars)
    if fitting != "linear":
        ax.set_xscale(fitting)
    _dress(ax, shown, xlabel, len(rows))
    if reference is not None:
        ax.axvline(reference, color=GREY, linewidth=1.0, linestyle="--", zorder=1)
    if has_bars:
        ax.axvline(0.0, color="black", linewidth=0.8)
    return ax


def _drawable(row: Bar) -> Bar:
    """A row without the values that no picture can hold."""
    value, low, high = (each if abs(each) <= GREATEST else math.nan for each in (row.value, row.low, row.high))
    return replace(
        row, value=value, low=low, high=high, points=tuple(each for each in row.points if abs(each) <= GREATEST)
    )


def _from_zero(numbers: Sequence[float]) -> bool:
    """Whether differences show on a scale that holds 0."""
    low, high = min(*numbers, 0.0), max(*numbers, 0.0)
    spread = max(numbers) / 2 - min(numbers) / 2  # halves: a difference of large numbers overflows
    return high / 2 - low / 2 == 0 or spread >= _VISIBLE * (high / 2 - low / 2)


def _draw(ax: Axes, place: int, row: Bar, colour: str, *, is_bar: bool) -> None:
    if is_bar and math.isfinite(row.value):
        ax.barh(place, row.value, height=0.62, color=colour, alpha=0.8, zorder=2)
    points = [value for value in row.points if math.isfinite(value)]
    offsets = [place + 0.22 * (((index * 7) % 5) / 2 - 1) for index in range(len(points))]  # apart, the same each time
    ink = "black" if is_bar else colour
    if points:
        ax.scatter(points, offsets, s=14, color=ink, alpha=0.45, linewidths=0, zorder=3)
    if not math.isnan(row.low) and not math.isnan(row.high):
        ax.plot([row.low, row.high], [place, place], color=ink, linewidth=2.0, solid_capstyle="butt", zorder=4)
        ax.plot([row.low, row.high], [place, place], "|", color=ink, markersize=8, markeredgewidth=1.6, zorder=4)
    if math.isfinite(row.value) and not is_bar:
        ax.plot(row.value, place, "o", color=colour, markersize=7, markeredgecolor="white", zorder=5)


def _dress(ax: Axes, rows: Sequence[Bar], xlabel: str, n_rows: int) -> None:
    dress(ax, x=plain(xlabel, 80))
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_yticks(range(len(rows)), [plain(row.label, _LABEL) for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    for place, row in enumerate(rows):
        if row.note:
            ax.annotate(plain(row.note), (1.01, place), xycoords=("axes fraction", "data"), va="center",
                        fontsize="small", color=GREY, annotation_clip=False)  # fmt: skip
    if n_rows > len(rows):
        ax.set_title(f"the first {len(rows)} of {n_rows:,}", loc="right", fontsize="small", color=GREY)
