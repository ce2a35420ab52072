"""Metrics over steps, time, or each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import MetricNotFoundError
from mlops_sdk.plots.axes import (
    MAX_LEGEND,
    dress_over,
    legend_outside,
    new_axes,
    plain,
    refuse_invisible,
    refuse_nothing,
    scale,
)
from mlops_sdk.plots.palette import DASHES, GREY, PALETTE, Look, look
from mlops_sdk.plots.plotted import defined_x, known_metrics, labels, with_unit
from mlops_sdk.plots.series import Points, read, smoothed, thinned, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlops_sdk._types import FloatArray
    from mlops_sdk.plots.plotted import Plotted

_FAINT = 0.22
_THICK, _THIN = 1.6, 1.0


@dataclass(frozen=True, slots=True)
class _Line:
    label: str
    points: Points
    look: Look


def curves(
    runs: Iterable[Plotted],
    keys: Sequence[str],
    *,
    x: str | None = None,
    smooth: float = 0.0,
    xscale: str = "linear",
    yscale: str = "linear",
    ax: Axes | None = None,
) -> Axes:
    """Metrics over their steps: a colour a run, a line style a metric; of one run a colour a metric.

    Parameters
    ----------
    runs : iterable of Plotted, length n >= 1
        Runs without the metric are left out.
    keys : sequence of str, length k >= 1
        Metrics; they share the y axis, so draw together what has one unit.
    x : str, optional
        "step", "time" (since the start of each run), or a metric; default what `define_metric` said, or "step".
    smooth : float
        Weight in [0, 1) of the exponential moving average; the values as logged stay, faint, behind it.
    xscale, yscale : {"linear", "log", "symlog", "auto"}
        "auto": "log" where the values are above 0 and the greatest is 30 times the least.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidValueError
        If no metric is named, no run has one of them with a finite value, or an option is unknown.

    Notes
    -----
    Of more than 20 lines the first 20 have colours and names; the others are grey, behind them, and counted.

    Every point is read; drawn are at most 2,000 a line, the least and the greatest of each stretch among them.
    """
    runs = list(runs)
    x = defined_x(runs, keys) if x is None else x
    lines = _lines(runs, keys, x)
    if not lines:
        known = known_metrics(runs)
        raise refuse_nothing([x] if known.intersection(keys) else keys, known)
    refuse_invisible(keys, (line.points.y for line in lines))
    smoothed(lines[0].points.y[:0], smooth)  # refuses a weight that is none, before anything is drawn
    factor, unit = time_unit(max(_span(line.points.x) for line in lines)) if x == "time" else (1.0, "")
    xscale = scale(xscale, "xscale", _extremes(line.points.x for line in lines))
    yscale = scale(yscale, "yscale", _extremes(line.points.y for line in lines))
    ax = new_axes() if ax is None else ax
    for number, line in enumerate(lines):
        if number < MAX_LEGEND:
            _draw(ax, line, factor, smooth, is_thin=len(lines) > MAX_LEGEND)
        else:
            _draw_unnamed(ax, line, factor, smooth, n_lines=len(lines))
    dress_over(ax, x, unit, y=_y_label(runs, keys, smooth), xscale=xscale, yscale=yscale)
    legend_outside(ax, n_more=max(0, len(lines) - MAX_LEGEND))
    return ax


def _lines(runs: Sequence[Plotted], keys: Sequence[str], x: str) -> list[_Line]:
    names = labels(runs)
    lines = []
    for index, run in enumerate(runs):
        for place, key in enumerate(keys):
            try:
                points = read(run, key, x)
            except MetricNotFoundError:
                continue
            label = names[index] if len(keys) == 1 else key if len(runs) == 1 else f"{names[index]}: {key}"
            lines.append(_Line(label, points, _look(index, place, len(runs), len(keys))))
    return lines


def _look(run: int, key: int, n_runs: int, n_keys: int) -> Look:
    if n_keys == 1:
        return look(run)
    if n_runs == 1:
        return look(key)
    return Look(PALETTE[run % len(PALETTE)], DASHES[key % len(DASHES)])


def _draw_unnamed(ax: Axes, line: _Line, factor: float, smooth: float, *, n_lines: int) -> None:
    """A line that the legend has no room for: grey, behind the others."""
    shown = thinned(Points(line.points.x, smoothed(line.points.y, smooth)))
    alpha = max(0.06, min(0.5, 20 / n_lines))
    ax.plot(shown.x / factor, shown.y, color=GREY, linewidth=0.8, alpha=alpha, zorder=1)


def _draw(ax: Axes, line: _Line, factor: float, smooth: float, *, is_thin: bool) -> None:
    import numpy as np

    raw, width = thinned(line.points), _THIN if is_thin else _THICK
    finite = np.isfinite(line.points.y)
    note = "" if finite.any() else " (no finite value)"
    label = plain(line.label) + note
    style: dict[str, Any] = {"color": line.look.colour, "linestyle": line.look.dash, "linewidth": width}
    if smooth:
        ax.plot(raw.x / factor, raw.y, color=line.look.colour, linewidth=0.8, alpha=_FAINT, zorder=1.5)
        averaged = thinned(Points(line.points.x, smoothed(line.points.y, smooth)))
        ax.plot(averaged.x / factor, averaged.y, label=label, **style)
    else:
        ax.plot(raw.x / factor, raw.y, label=label, **style)
    alone = _alone(np.isfinite(raw.y))
    if alone.any():  # a point between two gaps has no line
        ax.plot(raw.x[alone] / factor, raw.y[alone], "o", color=line.look.colour, markersize=3.5)


def _alone(finite: FloatArray) -> FloatArray:
    """Which points are finite, and neither neighbour is."""
    import numpy as np

    padded = np.concatenate([[False], finite.astype(bool), [False]])
    return np.asarray(padded[1:-1] & ~padded[:-2] & ~padded[2:])


def _extremes(arrays: Iterable[FloatArray]) -> list[float]:
    """Least and greatest finite value, and least above 0: what a scale is chosen by."""
    import numpy as np

    found: list[float] = []
    for array in arrays:
        finite = array[np.isfinite(array)]
        above = finite[finite > 0]
        found += [float(part(each)) for each in (finite, above) if len(each) for part in (np.min, np.max)]
    return found


def _span(array: FloatArray) -> float:
    import numpy as np

    finite = array[np.isfinite(array)]
    return float(np.abs(finite).max()) if len(finite) else 0.0


def _y_label(runs: Sequence[Plotted], keys: Sequence[str], smooth: float) -> str:
    name = plain(with_unit(keys[0] if len(keys) == 1 else common_part(keys), runs, keys), 60)
    return f"{name} (smoothed, {smooth:g})" if smooth else name


def common_part(keys: Sequence[str]) -> str:
    """What several metrics have in common: the last part of their names, or nothing but being values.

    Examples
    --------
    >>> common_part(["train/loss", "val/loss"])
    'loss'
    """
    ends = {key.rpartition("/")[2] for key in keys}
    return ends.pop() if len(ends) == 1 else "value"
