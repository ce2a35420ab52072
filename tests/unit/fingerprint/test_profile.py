"""Profiles: exact where they say so, close where they estimate."""

from __future__ import annotations

import datetime as dt
import json
import math

import numpy as np
import pandas as pd
import pytest

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.lookup import packed
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


def rank_error(quantiles: np.ndarray[tuple[int], np.dtype[np.float64]], ordered: np.ndarray) -> float:  # type: ignore[type-arg]
    steps = np.linspace(0, 1, 257)
    low, high = (np.searchsorted(ordered, quantiles, side=side) / len(ordered) for side in ("left", "right"))
    return float(np.maximum(low - steps, steps - high).max())


@pytest.mark.parametrize("shape", ["normal", "ramp", "period", "bursts", "heavy", "one value", "mostly zero"])
def test_a_sample_says_the_quantiles_to_about_half_a_percent(shape: str) -> None:
    n, generator = 1_200_000, np.random.default_rng(5)
    values = {
        "normal": generator.standard_normal(n), "ramp": np.arange(n) / 7, "period": np.arange(n) % 64 + 0.5,
        "bursts": np.repeat(generator.standard_normal(n // 100), 100), "heavy": generator.standard_cauchy(n),
        "one value": np.full(n, 0.1), "mostly zero": np.where(generator.random(n) < 0.1, generator.random(n), 0.0),
    }[shape]  # fmt: skip
    seen = profile_of(values)
    assert seen.quantiles is not None
    # of one burst, one value or none is taken: the sample is that much smaller
    assert rank_error(seen.quantiles, np.sort(values)) < (0.03 if shape == "bursts" else 0.008)
    assert (np.diff(seen.quantiles) >= 0).all()


def test_how_a_stream_is_cut_does_not_change_what_is_taken() -> None:
    values = np.random.default_rng(2).standard_normal(70_000)
    whole = fingerprint({"x": values}).columns["x"].profile
    assert whole is not None
    for size in (1_000, 16_384, 33_333):
        chunks = ({"x": values[start : start + size]} for start in range(0, len(values), size))
        seen = fingerprint(chunks).columns["x"].profile
        assert (seen.quantiles == whole.quantiles).all()  # type: ignore[union-attr]
        assert (seen.n, seen.min, seen.max, seen.distinct) == (whole.n, whole.min, whole.max, whole.distinct)  # type: ignore[union-attr]


def test_numbers_of_any_size_have_quantiles() -> None:
    values = np.random.default_rng(0).choice([-1.7e308, 1.7e308, np.inf, -np.inf, 5e-324], 40_000)
    seen = profile_of(values)
    assert seen.quantiles is not None
    assert (seen.quantiles[0], seen.quantiles[-1]) == (-np.inf, np.inf)
    assert set(seen.quantiles.tolist()) == set(np.unique(values).tolist())
    seen = profile_of(np.random.default_rng(0).uniform(-1, 1, 40_000) * 1.7e308)
    assert np.isfinite(seen.quantiles).all()  # type: ignore[arg-type]


def test_a_profile_is_about_two_kilobytes() -> None:
    generator = np.random.default_rng(0)
    for values in (
        generator.standard_normal(50_000),
        generator.standard_normal(50_000).astype("f4"),
        generator.random(300),
    ):
        assert len(json.dumps(fingerprint({"x": values}).columns["x"].profile.to_dict())) < 2700  # type: ignore[union-attr]


@pytest.mark.parametrize("offset", [0.0, 0.1, 1e9, 1.6e18, 1e300])
def test_what_is_stored_keeps_ties_and_gaps(offset: float) -> None:
    """As float32 only where nothing that is compared could change."""
    generator = np.random.default_rng(0)
    many = (
        np.where(generator.random(20_000) < 0.5, 0.1, generator.standard_normal(20_000) * max(1.0, offset / 1e12))
        + offset
    )
    given = fingerprint({"x": many}).columns["x"].profile
    assert given is not None
    assert given.quantiles is not None
    again = Profile.from_dict(json.loads(json.dumps(given.to_dict())))
    assert again.quantiles is not None
    room = np.diff(given.quantiles)
    assert (np.abs(again.quantiles - given.quantiles)[1:-1] <= np.maximum(room[1:], room[:-1]) / 1024).all()
    assert (again.quantiles == 0.1 + offset).sum() == (given.quantiles == 0.1 + offset).sum()
    assert (again.distinct, again.smallest.hashes.tolist()) == (given.distinct, given.smallest.hashes.tolist())
    assert (given + again).distinct == given.distinct


def test_damaged_profiles_are_refused() -> None:
    said = fingerprint({"x": np.arange(5.0)}).columns["x"].profile.to_dict()  # type: ignore[union-attr]
    for damage in (
        {"quantiles": "AAAA"},
        {"quantiles": packed(bytes(99))},
        {"smallest": "AAAA"},
        {"smallest": "A" * 2048},
    ):
        with pytest.raises(InvalidValueError):
            Profile.from_dict({**said, **damage})


def test_a_frequent_value_among_many_others_is_found() -> None:
    generator = np.random.default_rng(3)
    for share in (0.05, 0.3):
        values = np.where(generator.random(200_000) < share, 7.0, generator.standard_normal(200_000))
        seen = profile_of(values)
        assert seen.top[0][0] == 7.0
        assert not seen.is_top_exact
        assert 0.8 * (values == 7).sum() < seen.top[0][1] <= (values == 7).sum()
    texts = [f"t{place % 1000}" for place in range(40_000)]
    seen = profile_of(texts)
    assert seen.is_top_exact
    assert seen.top == tuple((f"t{place}", 40) for place in sorted(range(1000), key=str)[:10])


def test_large_integers_that_floats_would_mix_up_are_counted_apart() -> None:
    values = np.array([2**53, 2**53 + 1, 2**53 + 1, 5], dtype=np.int64)
    assert profile_of(values).top == ((2**53 + 1, 2), (5, 1), (2**53, 1))


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
