"""Summaries of the metric points of a batch, and of whole series: first, last, min, max, mean per key.

Few points (lists) are summarised in plain Python, many (numpy arrays) with numpy; the results are the same to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_sdk.journal.records import Points

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Place(NamedTuple):
    """A point that stands for its metric. Compares as (step, time, sequence)."""

    step: int
    time_ns: int
    sequence: int
    value: float


class PointSummary(NamedTuple):
    """Summary of the points of one key by one writer.

    Attributes
    ----------
    n, n_nan : int
        All points, and those that are NaN.
    total : float
        Sum of the points that are not NaN, rounded once; infinite when it, or a point, is; NaN for opposite infinities.
    first, last : Place
        The smallest and the greatest by (step, time, sequence).
    min, max : Place or None
        The extremes without NaN; of equals the one that comes first by (step, time, sequence). None if all are NaN.
    """

    n: int
    n_nan: int
    total: float
    first: Place
    last: Place
    min: Place | None
    max: Place | None


def summarise(points: Points) -> dict[int, PointSummary]:
    """Summaries by key id.

    Parameters
    ----------
    points : Points
        Columns of length n >= 0, all lists or all numpy arrays, in log order (sequence ascending).
    """
    if not len(points):
        return {}
    if isinstance(points.key_id, list):
        return _summarise_lists(points)
    return _summarise_arrays(points)


def exact_sum(values: Iterable[float]) -> float:
    """Sum of numbers without NaN: rounded once; infinite beyond the range of float64, NaN for opposite infinities."""
    values = list(values)
    try:
        return math.fsum(values)
    except OverflowError:
        return _scaled_sum(values)
    except ValueError:  # opposite infinities
        return math.nan


def _scaled_sum(values: list[float]) -> float:
    """Sum of numbers that overflows on the way, if not at the end."""
    try:
        scaled = math.fsum(math.ldexp(value, -64) for value in values)
        return math.ldexp(scaled, 64)
    except OverflowError:
        return math.copysign(math.inf, scaled)
    except ValueError:
        return math.nan


def mean_of(total: float, count: int, low: float, high: float) -> float:
    """Mean from a sum, NaN for none; kept between the extremes, where rounding or overflow of the sum would leave them."""
    if count == 0 or math.isnan(total):
        return math.nan
    return min(max(total / count, low), high)


def _summarise_lists(points: Points) -> dict[int, PointSummary]:
    groups: dict[int, list[Place]] = {}
    for key_id, place in zip(
        points.key_id, map(Place, points.step, points.time_ns, points.sequence, points.value), strict=True
    ):
        groups.setdefault(key_id, []).append(place)
    return {key_id: _summary(places) for key_id, places in groups.items()}


def _order(place: Place) -> tuple[int, int, int]:
    return place[:3]


def _summary(places: list[Place]) -> PointSummary:
    if len(places) == 1:  # a metric a step: the case that has to be quick
        return _single(places[0])
    places.sort(key=_order)
    numbers = [place for place in places if place.value == place.value]
    # min() and max() return the first of equals
    low = min(numbers, key=lambda place: place.value, default=None)
    high = max(numbers, key=lambda place: place.value, default=None)
    total = exact_sum(place.value for place in numbers)
    return PointSummary(len(places), len(places) - len(numbers), total, places[0], places[-1], low, high)


def _single(place: Place) -> PointSummary:
    if place.value != place.value:
        return PointSummary(1, 1, 0.0, place, place, None, None)
    return PointSummary(1, 0, place.value, place, place, place, place)


def _summarise_arrays(points: Points) -> dict[int, PointSummary]:
    import numpy as np

    order = _grouping(points)
    key_id = points.key_id[order]
    starts = np.flatnonzero(np.r_[True, key_id[1:] != key_id[:-1]])
    ends = np.r_[starts[1:], len(key_id)]
    columns = [column[order] for column in (points.step, points.time_ns, points.sequence, points.value)]
    return {
        int(key_id[start]): _summary_of_sorted([column[start:end] for column in columns])
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    }


def _grouping(points: Points) -> npt.NDArray[np.intp]:
    """Order by (key, step, time, sequence); sorting by all of them is dear, and rarely needed: logs run forward."""
    import numpy as np

    # narrow integers are sorted by radix
    is_narrow = int(points.key_id.max()) < 1 << 16
    order = np.argsort(points.key_id.astype(np.uint16) if is_narrow else points.key_id, kind="stable")
    key_id, step, time_ns = points.key_id[order], points.step[order], points.time_ns[order]
    if is_ascending(step, time_ns, key_id):
        return order
    return np.lexsort((points.time_ns, points.step, points.key_id))


def is_ascending(step: Any, time_ns: Any, group: Any = None) -> bool:
    """Whether (step, time) never falls, inside each run of equal `group` values.

    Parameters
    ----------
    step, time_ns, group : numpy.ndarray of int64, shape (n,)
    """
    rises = step[1:] > step[:-1]
    if rises.all():  # nearly always, and quicker to see
        return True
    falls = (step[1:] < step[:-1]) | ((step[1:] == step[:-1]) & (time_ns[1:] < time_ns[:-1]))
    if group is not None:
        falls &= group[1:] == group[:-1]
    return not falls.any()


def _summary_of_sorted(columns: list[Any]) -> PointSummary:
    """Summary of one key's points, columns (step, time, sequence, value) in that order."""
    import numpy as np

    value = columns[3]
    if len(value) == 1:
        return _single(_place(columns, 0))
    is_nan = np.isnan(value)
    n_nan = int(is_nan.sum())
    numbers = value[~is_nan] if n_nan else value
    low = high = None
    if len(numbers):
        # argmax finds the first of equals
        low = _place(columns, int(np.argmax(value == numbers.min())))
        high = _place(columns, int(np.argmax(value == numbers.max())))
    return PointSummary(
        len(value), n_nan, exact_sum(numbers.tolist()), _place(columns, 0), _place(columns, -1), low, high
    )


def _place(columns: list[Any], index: int) -> Place:
    step, time_ns, sequence, value = columns
    return Place(int(step[index]), int(time_ns[index]), int(sequence[index]), float(value[index]))
