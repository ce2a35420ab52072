"""Points of a metric as they are drawn: over steps, time or another metric; smoothed; as many as a picture shows."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_sdk.errors import InvalidValueError

if TYPE_CHECKING:
    from mlops_sdk._types import FloatArray
    from mlops_sdk.plots.plotted import Plotted

MAX_POINTS = 2000
GREATEST = 1e300
"""Beyond it matplotlib cannot compute limits: such values are gaps, as infinities are."""
_TIMES = ((3 * 86400, 86400.0, "d"), (2 * 3600, 3600.0, "h"), (180, 60.0, "min"), (1, 1.0, "s"), (0, 1e-3, "ms"))


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """A curve.

    Attributes
    ----------
    x, y : numpy.ndarray of float64, shape (n,)
    """

    x: FloatArray
    y: FloatArray

    def __len__(self) -> int:
        return len(self.y)


def read(run: Plotted, key: str, x: str = "step") -> Points:
    """Every point of a metric.

    Parameters
    ----------
    run : Plotted
    key : str
    x : str
        "step", "time" (seconds since the start of the run), or a metric: its last value at each step.

    Raises
    ------
    MetricNotFoundError
    """
    import numpy as np

    series = run.metric(key)
    if x == "step":
        return Points(series.step.astype(np.float64), drawable(series.value))
    if x == "time":
        start_ns = int(run.start_time.timestamp() * 1e9)
        return Points((series.time_ns - start_ns) / 1e9, drawable(series.value))
    over = run.metric(x)
    at_step = dict(zip(over.step.tolist(), over.value.tolist(), strict=True))
    places = drawable(np.array([at_step.get(step, math.nan) for step in series.step.tolist()], np.float64))
    known = np.isfinite(places)
    order = np.argsort(places[known], kind="stable")
    return Points(places[known][order], drawable(series.value[known][order]))


def drawable(values: FloatArray) -> FloatArray:
    """Values with NaN for what no picture can hold: infinities, and what is beyond `GREATEST`."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        return np.where(np.abs(values) <= GREATEST, values, np.nan)


def smoothed(values: FloatArray, weight: float) -> FloatArray:
    """Exponential moving average, without the bias towards 0 at the beginning.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (n,)
        NaN and infinities are passed over, and stay.
    weight : float
        Of what was before: 0 leaves values as they are, 0.9 averages over about the last ten.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)

    Raises
    ------
    InvalidValueError
        If the weight is not in [0, 1).

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization" (2015), section 3: the correction of the
       bias. https://arxiv.org/abs/1412.6980
    """
    import numpy as np

    if not 0 <= weight < 1:
        raise InvalidValueError(f"smooth is {weight!r}; give a weight from 0 (not at all) to below 1")
    known = np.isfinite(values)
    if weight == 0 or not known.any():
        return values
    total = itertools.accumulate(
        values[known].tolist(), lambda average, each: weight * average + (1 - weight) * each, initial=0.0
    )
    averages = np.fromiter(itertools.islice(total, 1, None), np.float64, int(known.sum()))
    result = values.copy()
    result[known] = averages / (1 - weight ** np.arange(1, len(averages) + 1, dtype=np.float64))
    return result


def thinned(points: Points, most: int = MAX_POINTS) -> Points:
    """Of each stretch the least and the greatest value, and both ends: what a picture of this width shows.

    Notes
    -----
    A stretch without a finite value keeps its first point, so that gaps stay gaps.
    """
    import numpy as np

    n = len(points)
    if n <= most:
        return points
    bounds = np.linspace(0, n, most // 2 + 1).astype(np.int64)[:-1]
    finite = np.isfinite(points.y)
    stretch = np.searchsorted(bounds, np.arange(n), side="right")
    chosen = [np.array([0, n - 1])]
    for filler in (np.inf, -np.inf):
        filled = np.where(finite, points.y, filler)
        order = np.lexsort((filled if filler > 0 else -filled, stretch))
        chosen.append(order[np.searchsorted(stretch[order], np.arange(1, len(bounds) + 1))])
    keep = np.unique(np.concatenate(chosen))
    return Points(points.x[keep], points.y[keep])


def time_unit(longest_s: float) -> tuple[float, str]:
    """Seconds of the unit that a time axis of that length is written in, and its sign."""
    return next((seconds, sign) for limit, seconds, sign in _TIMES if longest_s >= limit or limit == 0)
