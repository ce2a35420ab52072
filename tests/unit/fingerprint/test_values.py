"""The rules of values: what is one, and what is told apart."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mlops_sdk
from mlops_sdk.fingerprint.making import fingerprint


def digest(*values: Any, **options: Any) -> str | None:
    return fingerprint(list(values), **options).digest


def payload(bits: int) -> float:
    return float(np.array([bits], dtype=np.uint64).view(np.float64)[0])


@pytest.mark.parametrize(
    "same",
    [
        (0.0, -0.0, 0, False, Decimal("-0.0"), np.float32(0)),
        (1, 1.0, True, Decimal("1.00"), np.int8(1), np.bool_(True), np.float16(1)),
        (2**53 + 1, np.int64(2**53 + 1), np.uint64(2**53 + 1), Decimal(2**53 + 1)),
        (2**63, np.uint64(2**63), float(2**63), Decimal(2**63)),
        (2**64 + 1, Decimal(2**64 + 1), Decimal("18446744073709551617.000")),
        (0.1, np.float64(0.1)),
        (Decimal("0.1"), Decimal("0.10"), Decimal("1E-1")),
        (None, pd.NA, pd.NaT, np.datetime64("NaT", "s"), np.timedelta64("NaT", "s"), math.nan, Decimal("NaN"), payload(0x7FF0000000000001)),
        ("a", np.str_("a")),
        (b"a", bytearray(b"a"), memoryview(b"a")),
        (dt.date(2020, 1, 1), dt.datetime(2020, 1, 1), np.datetime64("2020"), pd.Timestamp("2020")),
        (dt.timedelta(1), np.timedelta64(1, "D"), pd.Timedelta(days=1)),
        (pd.Timestamp("2020", tz="UTC"), pd.Timestamp("2020-01-01 01:00", tz="Europe/Berlin")),
        ([1, 2], (1, 2), np.array([1.0, 2.0]), [True, 2]),
        ({"a": 1}, {"a": 1, "b": None}),
        (uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (math.inf, np.float32(np.inf), Decimal("Infinity")),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)  # fmt: skip
def test_these_are_one_value(same: tuple[Any, ...]) -> None:
    assert len({fingerprint([{"0": value}]).digest for value in same}) == 1


def test_these_are_all_told_apart() -> None:
    values = [
        None, 0, 1, 0.1, Decimal("0.1"), np.float32(0.1), 2**53, 2**53 + 1, 2**63 - 1, float(2**63), -(2**63), -(2**63) - 1,
        "1", b"1", "", b"", "0", [1], [], {}, {"1": 1}, [[1]], [None], ["1"], [b"1"], math.inf, -math.inf, 5e-324,
        dt.datetime(1970, 1, 1, 0, 0, 0, 1), dt.datetime(1970, 1, 1, 0, 0, 0, 1, dt.UTC), dt.timedelta(microseconds=1),
        dt.time(0, 0, 0, 1), dt.datetime(9999, 1, 1), dt.datetime(9998, 1, 1), 1000, "a" * 256, "a" * 257, "a" * 258, 1 + 1j,
        complex(1, 2), [dt.timedelta(1)], [86_400 * 10**9],
    ]  # fmt: skip
    made = [fingerprint([{"0": value}]) for value in values]
    assert len({each.digest for each in made}) == len(values)
    assert len({each.content_digest for each in made}) == len(values)
    assert len({each.lanes for each in made}) == len(values)


def test_nan_and_null_are_one_unless_asked() -> None:
    frame = pl.DataFrame({"x": [1.0, None, math.nan]})
    assert fingerprint(frame).columns["x"].n_nulls == 2
    apart = fingerprint(frame, nan_is_null=False)
    assert apart.columns["x"].n_nulls == 1
    assert apart.digest != fingerprint(frame).digest
    assert apart.digest == fingerprint([{"x": 1.0}, {"x": None}, {"x": math.nan}], nan_is_null=False).digest
    whole = pl.DataFrame({"x": [1.0, 2.0]})
    assert fingerprint(whole, nan_is_null=False).digest == fingerprint(whole).digest
    with pytest.raises(mlops_sdk.InvalidValueError, match="nan_is_null"):
        apart.diff(fingerprint(frame))


def test_nan_among_texts_does_not_hang_on_how_the_data_is_cut() -> None:
    values = ["a", math.nan, None, "b", math.nan]
    for nan_is_null in (True, False):
        whole = fingerprint({"x": values}, nan_is_null=nan_is_null)
        parts = fingerprint(iter([[{"x": value}] for value in values]), nan_is_null=nan_is_null)
        assert (whole.digest, whole.columns["x"].n_nulls) == (parts.digest, 3 if nan_is_null else 1)
    strings = pd.Series(["a", None, "b"], dtype="str")
    assert fingerprint(strings, nan_is_null=False).digest == fingerprint(["a", None, "b"]).digest


def test_a_column_of_missing_values_has_no_kind() -> None:
    columns = [pl.Series("a", [None, None], dtype=kind) for kind in (pl.Int8, pl.String, pl.Datetime("us"), pl.Null)]
    made = {fingerprint(pl.DataFrame([column])).digest for column in columns}
    made |= {fingerprint({"a": [None, None]}).digest, fingerprint(pd.DataFrame({"a": [math.nan] * 2})).digest}
    assert len(made) == 1


def test_naive_and_aware_times_differ() -> None:
    naive = pd.Series(pd.date_range("2020", periods=3))
    assert fingerprint(naive).digest != fingerprint(naive.dt.tz_localize("UTC")).digest
    assert (
        fingerprint(naive.dt.tz_localize("UTC")).digest
        == fingerprint(naive.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")).digest
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_units_of_time_do_not_count(unit: str) -> None:
    times = np.array(["2020-01-01T00:00:01", "NaT", "1960-05-05"], dtype="datetime64[s]")
    assert fingerprint(times.astype(f"datetime64[{unit}]")).digest == fingerprint(times).digest
    assert fingerprint(pd.Series(times.astype(f"datetime64[{unit}]"))).digest == fingerprint(times).digest


def test_order_of_columns_and_names_count_in_the_digest_only() -> None:
    one, other = {"a": [1, 2], "b": [3, 4]}, {"b": [3, 4], "a": [1, 2]}
    assert fingerprint(one).digest != fingerprint(other).digest
    assert fingerprint(one).content_digest == fingerprint(other).content_digest
    swapped = fingerprint({"b": [1, 2], "a": [3, 4]})
    assert swapped.content_digest != fingerprint(one).content_digest


def test_rows_change_places_only_as_wholes() -> None:
    one = fingerprint({"a": [1, 2], "b": [3, 4]})
    assert fingerprint({"a": [2, 1], "b": [4, 3]}).content_digest == one.content_digest
    assert fingerprint({"a": [2, 1], "b": [3, 4]}).content_digest != one.content_digest
    assert fingerprint({"a": [1, 2, 2], "b": [3, 4, 4]}).content_digest != one.content_digest


def test_columns_of_one_name_are_kept_apart() -> None:
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])
    assert list(fingerprint(frame).columns) == ["a", "a#2"]
    assert fingerprint(frame).content_digest != fingerprint(frame.iloc[:, ::-1]).content_digest


def test_how_the_data_is_cut_never_matters() -> None:
    values = [1, "a", None, 2.5, b"x", [1], dt.datetime(2020, 1, 1), None, "b", "c", 7, 2**70, None] * 3
    whole = fingerprint([{"x": value} for value in values])
    for size in (1, 2, 5, 13):
        parts = [[{"x": value} for value in values[start : start + size]] for start in range(0, len(values), size)]
        made = fingerprint(iter(parts))
        assert (made.digest, made.content_digest) == (whole.digest, whole.content_digest)
    assert whole.columns["x"].kind == "mixed"


def test_a_salt_changes_every_hash_and_is_not_stored() -> None:
    data = {"x": [1, 2, None], "s": ["a", "b", "c"], "t": [dt.datetime(2020, 1, 1)] * 3}
    plain, salted, again = fingerprint(data), fingerprint(data, salt="pepper"), fingerprint(data, salt=b"pepper")
    assert salted == again
    for name in ("digest", "content_digest", "lanes"):
        assert getattr(plain, name) != getattr(salted, name)
    for name in data:
        assert plain.columns[name].lane != salted.columns[name].lane
        assert plain.columns[name].digest != salted.columns[name].digest
    assert not set(plain.smallest.hashes.tolist()) & set(salted.smallest.hashes.tolist())  # type: ignore[union-attr]
    assert "pepper" not in str(salted.to_dict()) + repr(salted)
    with pytest.raises(mlops_sdk.InvalidValueError, match="salt"):
        plain.diff(salted)


def test_secure_content_is_free_of_order() -> None:
    frame = pd.DataFrame(
        {"x": [1.0, 2.0, None, 2**53 + 1], "s": ["a", None, "b", "c"], "t": pd.date_range("2020", periods=4)}
    )
    made = fingerprint(frame, secure=True)
    assert made.content_digest == fingerprint(frame.iloc[::-1, ::-1], secure=True).content_digest
    assert made.content_digest != fingerprint(frame).content_digest
    assert made.digest == fingerprint(frame).digest
    assert (
        fingerprint(frame[:1], secure=True) + fingerprint(frame[1:], secure=True)
    ).content_digest == made.content_digest
    frame.loc[0, "s"] = "b"
    assert fingerprint(frame, secure=True).content_digest != made.content_digest
