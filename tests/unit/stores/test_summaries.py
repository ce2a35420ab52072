"""Summaries of points: lists and arrays agree to the bit, and both with a slow reference."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.journal.records import Points
from mlops_sdk.journal.summaries import Place, PointSummary, exact_sum, is_ascending, mean_of, summarise

VALUES = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, -math.inf, 5e-324, 1e308, -1e308])
ROWS = st.lists(st.tuples(st.sampled_from([1, 2, 70_000]), st.integers(-2, 3), st.integers(0, 2), VALUES), max_size=30)


def points_of(rows: list[tuple[int, int, int, float]], column: Any = list) -> Points:
    key_id, step, time_ns, value = (list(each) for each in zip(*rows, strict=True)) if rows else ([], [], [], [])
    return Points(*map(column, (list(range(1, len(rows) + 1)), key_id, step, time_ns, value)))


def bits(summary: PointSummary) -> list[Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, Place):
            return [plain(each) for each in value]
        if isinstance(value, float):
            return "nan" if math.isnan(value) else struct.pack("<d", value)
        return value

    return [plain(each) for each in summary]


@given(ROWS)
def test_lists_and_arrays_give_the_same(rows: list[tuple[int, int, int, float]]) -> None:
    from_lists, from_arrays = summarise(points_of(rows)), summarise(points_of(rows, np.array))
    assert from_lists.keys() == from_arrays.keys() == {row[0] for row in rows}
    assert {key: bits(each) for key, each in from_lists.items()} == {
        key: bits(each) for key, each in from_arrays.items()
    }


@given(ROWS)
def test_a_summary_is_what_its_words_say(rows: list[tuple[int, int, int, float]]) -> None:
    for key_id, found in summarise(points_of(rows)).items():
        places = [Place(s, t, n, v) for n, (key, s, t, v) in enumerate(rows, 1) if key == key_id]
        numbers = sorted((p for p in places if not math.isnan(p.value)), key=lambda place: place[:3])
        assert (found.n, found.n_nan) == (len(places), len(places) - len(numbers))
        assert found.first[:3] == min(place[:3] for place in places)
        assert found.last[:3] == max(place[:3] for place in places)
        if numbers:
            low, high = min(p.value for p in numbers), max(p.value for p in numbers)
            assert found.min == next(p for p in numbers if p.value == low)
            assert found.max == next(p for p in numbers if p.value == high)
        else:
            assert (found.min, found.max) == (None, None)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_sums_are_rounded_once(values: list[float]) -> None:
    exact = sum(map(Fraction, values), Fraction(0))
    try:
        expected = float(exact)
    except OverflowError:
        expected = math.inf if exact > 0 else -math.inf
    # where intermediate sums overflow, less than the last bit of the largest value is lost
    largest = max(map(abs, values), default=0.0)
    assert exact_sum(values) == expected or abs(exact_sum(values) - expected) <= math.ulp(largest)


def test_sums_of_infinities() -> None:
    assert exact_sum([math.inf, 1.0, 1e308, 1e308]) == math.inf
    assert exact_sum([-math.inf, 1e308, 1e308]) == -math.inf
    assert math.isnan(exact_sum([math.inf, -math.inf]))
    assert math.isnan(exact_sum([1e308, 1e308, math.inf, -math.inf]))
    assert exact_sum([1e308, 1e308]) == math.inf
    assert exact_sum([1e308, 1e308, -1e308]) == 1e308


def test_a_mean_lies_between_the_extremes() -> None:
    assert mean_of(math.inf, 2, 1e308, 1.5e308) == 1.5e308
    assert mean_of(0.1 * 3, 3, 0.1, 0.1) == 0.1
    assert math.isnan(mean_of(math.nan, 2, -math.inf, math.inf))
    assert math.isnan(mean_of(0.0, 0, 0.0, 0.0))


@pytest.mark.parametrize(
    "step, time_ns, group, expected",
    [
        ([1, 2, 3], [5, 4, 3], None, True),
        ([1, 1, 1], [5, 5, 6], None, True),
        ([1, 1], [6, 5], None, False),
        ([2, 1], [5, 6], None, False),
        ([2, 1], [5, 6], [1, 2], True),
        ([-(2**63), 2**63 - 1], [0, 0], None, True),  # differences would overflow
        ([], [], None, True),
    ],
)
def test_order_is_recognised(step: list[int], time_ns: list[int], group: list[int] | None, expected: bool) -> None:
    columns = [None if column is None else np.array(column, np.int64) for column in (step, time_ns, group)]
    assert is_ascending(*columns) is expected
