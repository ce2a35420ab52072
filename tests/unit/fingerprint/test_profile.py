"""Profiles: exact where they say so, close where they estimate."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest

from mlops_sdk.fingerprint.making import fingerprint
from mlops_sdk.fingerprint.profile import Profile


def profile_of(values: object) -> Profile:
    made = fingerprint({"x": values})
    return Profile.from_dict(made.columns["x"].profile.to_dict())  # type: ignore[union-attr]


@pytest.mark.parametrize("shape", ["normal", "sorted", "heavy", "integers"])
def test_numbers(shape: str) -> None:
    generator = np.random.default_rng(0)
    values = {
        "normal": generator.standard_normal(200_000), "sorted": np.arange(200_000.0),
        "heavy": generator.standard_cauchy(200_000), "integers": generator.integers(0, 50, 200_000),
    }[shape]  # fmt: skip
    seen = profile_of(values)
    assert (seen.n, seen.n_nulls, seen.min, seen.max) == (len(values), 0, values.min(), values.max())
    assert seen.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-12)
    assert seen.std == pytest.approx(values.std(), rel=1e-9)
    distinct = len(np.unique(values))
    assert seen.distinct == distinct if distinct < 128 else abs(seen.distinct / distinct - 1) < 0.3
    ordered = np.sort(values)
    assert seen.quantiles is not None
    low = np.searchsorted(ordered, seen.quantiles, side="left") / len(values)
    high = np.searchsorted(ordered, seen.quantiles, side="right") / len(values)
    steps = np.linspace(0, 1, 257)
    assert np.maximum(low - steps, steps - high).max() < 0.005


def test_the_most_frequent_values() -> None:
    values = ["a"] * 50 + ["b"] * 30 + [f"c{i}" for i in range(20)] + [None] * 7
    seen = profile_of(values)
    assert seen.top[:2] == (("a", 50), ("b", 30))
    assert seen.is_top_exact
    assert (seen.n, seen.n_nulls, seen.distinct) == (107, 7, 22)
    assert profile_of([True, True, False]).top == ((True, 2), (False, 1))
    assert profile_of([3, 3, 7]).top == ((3, 2), (7, 1))
    assert not profile_of(np.arange(5000.0)).is_top_exact


def test_what_is_not_finite_is_counted_apart() -> None:
    seen = profile_of([1.0, 2.0, math.inf, -math.inf, math.nan])
    assert (seen.min, seen.max, seen.mean, seen.n_nulls) == (-math.inf, math.inf, 1.5, 1)
    assert profile_of([1e308, 1e308]).n == 2
    empty = profile_of([None, None])
    assert (empty.min, empty.mean, empty.quantiles, empty.distinct) == (None, None, None, 0)


def test_times_are_shown_as_text() -> None:
    seen = profile_of([dt.datetime(2020, 1, 1), dt.datetime(2021, 1, 1, 12, 30), None])
    assert (seen.min, seen.max, seen.mean) == ("2020-01-01T00:00:00", "2021-01-01T12:30:00", None)
    zoned = profile_of(pd.Series(pd.date_range("2020", periods=2, tz="Europe/Berlin")))
    assert zoned.min == "2019-12-31T23:00:00Z"


def test_merging_keeps_the_promises() -> None:
    values = np.random.default_rng(1).gamma(2, size=60_000)
    parts = [fingerprint({"x": part}) for part in np.array_split(values, 6)]
    total = parts[0]
    for part in parts[1:]:
        total += part
    seen = total.profile["x"]
    assert (seen.n, seen.mean, seen.std) == (60_000, pytest.approx(values.mean()), pytest.approx(values.std()))
    assert seen.quantiles is not None
    ranks = np.searchsorted(np.sort(values), seen.quantiles) / len(values)
    assert np.abs(ranks - np.linspace(0, 1, 257)).max() < 0.02
