"""What MLflow cannot tell apart, we do: each of the collisions listed in the issue."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mlops_sdk.fingerprint.making import fingerprint

N = 20_000
FRAME = pd.DataFrame({
    "x": np.arange(N, dtype=float), "s": [f"t{place}" for place in range(N)], "b": np.arange(N) % 2 == 0,
    "t": pd.date_range("2020", periods=N, freq="min"), "o": pd.Series([[place] for place in range(N)], dtype=object),
})  # fmt: skip


def changed(column: str, row: int, value: Any) -> pd.DataFrame:
    frame = FRAME.copy()
    frame.at[row, column] = value
    return frame


MATRIX = np.arange(100_000.0).reshape(2000, 50)
ZEROED = MATRIX.copy()
ZEROED[200:] = 0
POLARS = pl.DataFrame({"a": [1, 2], "b": [3, 4]})
CASES: dict[str, tuple[Any, Any]] = {
    "a row after the first 10,000": (FRAME, changed("x", 15_000, -1.0)),
    "a datetime": (FRAME, changed("t", 5, pd.Timestamp("1999"))),
    "a bool": (FRAME, changed("b", 5, True)),
    "None in an object column": (FRAME, changed("o", 5, None)),
    "array rows 200 and after": (MATRIX, ZEROED),
    "a column of polars renamed": (POLARS, POLARS.rename({"a": "c"})),
    "rows of polars in another order": (POLARS, POLARS.reverse()),
    "integers beyond seven digits": (np.array([12345678]), np.array([12345679])),
}


@pytest.mark.parametrize("case", CASES)
def test_told_apart(case: str) -> None:
    one, other = CASES[case]
    options = {"profile": False}
    before, after = fingerprint(one, **options), fingerprint(other, **options)  # type: ignore[arg-type]
    assert before.digest != after.digest
    assert (before.content_digest != after.content_digest) is (case != "rows of polars in another order")


def test_int32_and_int64_are_one_table_of_two_schemas() -> None:
    one, other = fingerprint(FRAME[["x"]].astype("int32")), fingerprint(FRAME[["x"]].astype("int64"))
    assert (one.digest, one.content_digest) == (other.digest, other.content_digest)
    assert one.schema_digest != other.schema_digest
