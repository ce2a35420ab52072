"""A metric of groups of runs: the mean over steps, and how far the runs of a group lie apart."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlops_sdk.errors import InvalidValueError, MetricNotFoundError, MissingDependencyError
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
from mlops_sdk.plots.palette import look
from mlops_sdk.plots.plotted import defined_x, known_metrics, with_unit
from mlops_sdk.plots.series import MAX_POINTS, read, smoothed, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlops_sdk._types import FloatArray
    from mlops_sdk.plots.plotted import Plotted

_LABEL = 46
BANDS = {
    "std": "mean ± standard deviation",
    "sem": "mean ± standard error",
    "ci": "mean, 95 % confidence interval",
    "range": "mean, least to greatest",
    "quartiles": "median, quartiles",
}
"""What a band can show, and how the picture says so."""


def bands(
    groups: Mapping[str, Sequence[Plotted]],
    key: str,
    *,
    band: str = "std",
    x: str | None = None,
    smooth: float = 0.0,
    xscale: str = "linear",
    yscale: str = "linear",
    ax: Axes | None = None,
) -> Axes:
    """The mean of a metric over the runs of each group, with a band.

    Parameters
    ----------
    groups : mapping of str to sequence of Plotted
        Runs by the label of their group.
    key : str
        Metric.
    band : {"std", "sem", "ci", "range", "quartiles"}
        "std": standard deviation of the runs (n - 1); "sem": standard error of the mean; "ci": Student's 95 % confidence
        interval of the mean (needs scipy); "range": least to greatest; "quartiles": the middle half, around the median.
    x : str, optional
        "step", "time" (since the start of each run), or a metric; default what `define_metric` said, or "step".
    smooth : float
        Weight in [0, 1) of the moving average that each run's curve is smoothed by before.
    xscale, yscale : {"linear", "log", "symlog", "auto"}
    ax : matplotlib.axes.Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidValueError
        If no run has the metric with a finite value, or an option is unknown.
    MissingDependencyError
        If band="ci" and scipy is not installed.

    Notes
    -----
    Where runs have different steps, each is interpolated linearly between its own points, never beyond them. Where some
    runs of a group have ended, the mean of the others goes on as a thin dotted line without a band: it is not comparable
    with what was before. A group of one run is a line without a band.

    On a logarithmic y axis mean and spread are those of the logarithms (the geometric mean, a factor up and down), because
    a band around the arithmetic mean would reach below 0. Values of 0 and below are gaps there.
    """
    if band not in BANDS:
        raise InvalidValueError(f"band is {band!r}; use one of {', '.join(BANDS)}")
    every = [run for runs in groups.values() for run in runs]
    x = defined_x(every, [key]) if x is None else x
    found = {label: _Group(runs, key, x, smooth) for label, runs in groups.items()}
    drawn = {label: group for label, group in found.items() if group.n}
    if not drawn:
        known = known_metrics(every)
        raise refuse_nothing([x if key in known else key], known)
    refuse_invisible([key], (group.values for group in drawn.values()))
    factor, unit = (
        time_unit(max(float(group.x[-1]) for group in drawn.values() if len(group.x))) if x == "time" else (1.0, "")
    )
    numbers = [float(value) for group in drawn.values() for value in group.extremes()]
    yscale = scale(yscale, "yscale", numbers)
    xscale = scale(xscale, "xscale", [float(value) for group in drawn.values() for value in group.x])
    is_geometric = yscale == "log" and band in ("std", "sem", "ci")
    if is_geometric:
        for group in drawn.values():
            group.take_logarithms()
    ax = new_axes() if ax is None else ax
    for number, (label, group) in enumerate(drawn.items()):
        _draw(ax, group, factor, band, look(number).colour, label if number < MAX_LEGEND else None)
    dress_over(ax, x, unit, y=plain(with_unit(key, every, [key]), 60), xscale=xscale, yscale=yscale)
    legend_outside(
        ax, n_more=max(0, len(drawn) - MAX_LEGEND), title=f"geometric {BANDS[band]}" if is_geometric else BANDS[band]
    )
    return ax


class _Group:
    """Curves of the runs of a group on a common grid: rows are runs, NaN is where a run has no points."""

    def __init__(self, runs: Sequence[Plotted], key: str, x: str, smooth: float) -> None:
        import numpy as np

        curves = []
        for run in runs:
            try:
                points = read(run, key, x)
            except MetricNotFoundError:
                continue
            averaged = smoothed(points.y, smooth)
            known = np.isfinite(averaged)
            places, last = _last_of_each(points.x[known], averaged[known])
            if len(places):
                curves.append((places, last))
        self.n = len(curves)
        grid = np.unique(np.concatenate([places for places, _ in curves])) if curves else np.zeros(0)
        if len(grid) > MAX_POINTS:
            grid = grid[np.linspace(0, len(grid) - 1, MAX_POINTS).astype(np.int64)]
        self.x: FloatArray = grid
        rows = [np.interp(grid, places, values, left=np.nan, right=np.nan) for places, values in curves]
        self.values: FloatArray = np.array(rows).reshape(self.n, len(grid))
        self._is_logarithmic = False

    def take_logarithms(self) -> None:
        """Mean and spread are those of logarithms from now on."""
        import numpy as np

        self._is_logarithmic = True
        with np.errstate(invalid="ignore", divide="ignore"):
            self.values = np.where(self.values > 0, np.log(self.values), np.nan)

    def _back(self, values: FloatArray) -> FloatArray:
        import numpy as np

        return np.exp(values) if self._is_logarithmic else values

    def extremes(self) -> list[float]:
        """What a scale is chosen by."""
        import numpy as np

        finite = self.values[np.isfinite(self.values)]
        return [float(finite.min()), float(finite.max())] if len(finite) else []

    def center(self, band: str) -> FloatArray:
        """Mean, or median, of those runs that have a value."""
        import numpy as np

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # nothing at a place is NaN, which is meant
            average = np.nanmedian if band == "quartiles" else np.nanmean
            return self._back(average(self.values, axis=0))

    def edges(self, band: str) -> tuple[FloatArray, FloatArray]:
        """Lower and upper edge of the band, where every run has a value."""
        import numpy as np

        if band == "range":
            return np.min(self.values, axis=0), np.max(self.values, axis=0)
        if band == "quartiles":
            low, high = np.quantile(self.values, [0.25, 0.75], axis=0)
            return low, high
        mean, spread = np.mean(self.values, axis=0), np.std(self.values, axis=0, ddof=1)
        width = spread * _factor(band, self.n)
        return self._back(mean - width), self._back(mean + width)


def _factor(band: str, n: int) -> float:
    if band == "std":
        return 1.0
    if band == "sem":
        return 1 / math.sqrt(n)
    try:
        from scipy.stats import t
    except ImportError as error:
        raise MissingDependencyError("scipy", extra="stats", purpose="band='ci'") from error
    return float(t.ppf(0.975, n - 1)) / math.sqrt(n)


def _last_of_each(places: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of points at one place the last; places in increasing order."""
    import numpy as np

    order = np.argsort(places, kind="stable")
    places, values = places[order], values[order]
    keep = np.append(places[1:] != places[:-1], True) if len(places) else np.zeros(0, bool)
    return places[keep], values[keep]


def _draw(ax: Axes, group: _Group, factor: float, band: str, colour: str, label: str | None) -> None:
    import numpy as np

    x, center = group.x / factor, group.center(band)
    is_whole = np.isfinite(group.values).all(axis=0)
    name = None if label is None else f"{plain(label, _LABEL)} (n={group.n})"
    marker = "o" if is_whole.sum() == 1 else None
    ax.plot(x, np.where(is_whole, center, np.nan), color=colour, linewidth=1.8, label=name, zorder=3, marker=marker)
    if not is_whole.all():
        ax.plot(x, center, color=colour, linewidth=0.9, linestyle=":", alpha=0.8, zorder=2)
    if group.n > 1:
        low, high = group.edges(band)
        ax.fill_between(x, low, high, where=is_whole, color=colour, alpha=0.18, linewidth=0, zorder=1)
