"""Smoothing and thinning, against the plain definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.plots.series import Points, drawable, smoothed, thinned, time_unit

VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), max_size=60)


@given(VALUES, st.floats(0.01, 0.99))
def test_smoothing_is_a_weighted_mean_of_what_came_before(values: list[float], weight: float) -> None:
    result = smoothed(np.array(values), weight)
    seen: list[float] = []
    for value, average in zip(values, result.tolist(), strict=True):
        if math.isnan(value):
            assert math.isnan(average)
            continue
        seen.append(value)
        weights = [weight ** (len(seen) - 1 - index) for index in range(len(seen))]
        expected = sum(w * v for w, v in zip(weights, seen, strict=True)) / sum(weights)
        assert average == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("weight", [-0.1, 1.0, math.nan])
def test_a_weight_is_below_1(weight: float) -> None:
    with pytest.raises(InvalidValueError):
        smoothed(np.zeros(3), weight)


@given(st.lists(st.floats(-1e9, 1e9) | st.just(math.nan), min_size=1, max_size=400), st.integers(4, 50))
def test_thinning_keeps_both_ends_and_both_extremes(values: list[float], most: int) -> None:
    points = Points(np.arange(len(values), dtype=np.float64), np.array(values))
    kept = thinned(points, most)
    assert len(kept) <= most + 2
    assert (kept.x[0], kept.x[-1]) == (points.x[0], points.x[-1])
    assert bool((np.diff(kept.x) > 0).all())
    finite = points.y[np.isfinite(points.y)]
    if len(finite):
        assert (np.nanmin(kept.y), np.nanmax(kept.y)) == (finite.min(), finite.max())


def test_what_no_picture_holds_is_a_gap() -> None:
    values = np.array([1.0, math.inf, -math.inf, 1e301, -1.7e308, math.nan, 1e300])
    assert np.isfinite(drawable(values)).tolist() == [True, False, False, False, False, False, True]


def test_units_of_time() -> None:
    lengths = (0.0, 0.5, 5, 400, 9000, 4e5)
    assert [time_unit(seconds)[1] for seconds in lengths] == ["ms", "ms", "s", "min", "h", "d"]
