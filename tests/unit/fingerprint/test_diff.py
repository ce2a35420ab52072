"""What `diff`, `overlap` and `+` say."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.fingerprint import Fingerprint
from mlops_sdk.fingerprint.making import fingerprint

FRAME = pd.DataFrame({
    "id": np.arange(500), "x": np.random.default_rng(0).standard_normal(500), "s": [f"t{i % 7}" for i in range(500)],
})  # fmt: skip


def stored(made: Fingerprint) -> Fingerprint:
    return Fingerprint.from_dict(json.loads(json.dumps(made.to_dict())))


BASE = stored(fingerprint(FRAME))


def test_what_is_stored_is_all_there_is() -> None:
    made = fingerprint(FRAME)
    assert stored(made) == made
    assert stored(made).to_dict() == made.to_dict()
    assert pickle.loads(pickle.dumps(made)) == made
    assert len(json.dumps(made.to_dict())) < 40_000


def test_nothing_changed() -> None:
    diff = BASE.diff(fingerprint(FRAME.copy()))
    assert (diff.verdict, bool(diff), str(diff)) == ("identical", False, "identical")


def test_types_changed() -> None:
    diff = BASE.diff(fingerprint(FRAME.astype({"id": "int32"})))
    assert (diff.verdict, diff.columns_retyped) == ("retyped", {"id": ("int64", "int32")})


def test_rows_and_columns_in_another_order() -> None:
    assert BASE.diff(fingerprint(FRAME.sample(frac=1, random_state=1))).verdict == "reordered"
    assert BASE.diff(fingerprint(FRAME[["s", "x", "id"]])).verdict == "reordered"


def test_columns_renamed_added_and_dropped() -> None:
    diff = BASE.diff(fingerprint(FRAME.rename(columns={"x": "y"})))
    assert (diff.verdict, dict(diff.columns_renamed), diff.columns_changed) == ("renamed", {"x": "y"}, ())
    diff = BASE.diff(fingerprint(FRAME.drop(columns="s").assign(z=1)))
    assert (diff.columns_dropped, diff.columns_added, diff.columns_changed) == (("s",), ("z",), ())
    shuffled = FRAME.rename(columns={"x": "y"}).sample(frac=1, random_state=2)
    assert dict(BASE.diff(fingerprint(shuffled)).columns_renamed) == {"x": "y"}


def test_a_column_whose_values_changed_is_named() -> None:
    frame = FRAME.copy()
    frame.loc[3, "x"] = 0.0
    diff = BASE.diff(fingerprint(frame))
    assert (diff.verdict, diff.columns_changed) == ("changed", ("x",))
    swapped = FRAME.copy()
    swapped.loc[[0, 1], "x"] = FRAME.loc[[1, 0], "x"].to_numpy()
    assert BASE.diff(fingerprint(swapped)).columns_changed == ("x",)


def test_the_rows_that_changed_are_found_in_the_data() -> None:
    frame = FRAME.drop(index=[10, 20]).copy()
    frame.loc[30, "s"] = "new"
    frame = pd.concat([frame, frame.iloc[[5, 5]]])
    diff = BASE.diff(fingerprint(frame))
    assert (diff.n_removed.value, diff.n_added.value) == (3, 3)  # type: ignore[union-attr]
    rows = diff.rows(before=FRAME, after=frame)
    assert [row for row, _ in rows["removed"]] == [10, 20, 30]
    assert sorted(values["id"] for _, values in rows["added"]) == [5, 5, 30]
    assert rows["removed"][0][1] == {"id": 10, "x": FRAME.loc[10, "x"], "s": "t3"}
    assert len(diff.rows(before=FRAME, limit=2)["removed"]) == 2


@pytest.mark.parametrize("n", [0, 1, 10, 50])
def test_replaced_rows_of_a_large_table_are_exact(n: int) -> None:
    values = np.random.default_rng(2).standard_normal((50_000, 3))
    other = values.copy()
    other[100 : 100 + n] += 1
    diff = fingerprint(values, profile=False).diff(fingerprint(other, profile=False))
    assert diff.rows_added is not None
    assert (sum(diff.rows_added.values()), sum(diff.rows_removed.values())) == (n, n)  # type: ignore[union-attr]
    assert [row for row, _ in diff.rows(after=other)["added"]] == list(range(100, 100 + n))


def test_beyond_the_capacity_the_interval_covers() -> None:
    values = np.random.default_rng(3).standard_normal((20_000, 2))
    base = fingerprint(values, profile=False)
    covered = []
    for seed in range(40):
        other = values.copy()
        n = 2000
        other[:n] = np.random.default_rng(100 + seed).standard_normal((n, 2))
        diff = base.diff(fingerprint(other, profile=False))
        assert diff.rows_added is None
        assert "about" in str(diff)
        covered.append(diff.n_added.low <= n <= diff.n_added.high)  # type: ignore[union-attr]
    assert sum(covered) >= 35


def test_overlap_counts_when_it_can_and_estimates_when_not() -> None:
    values = np.random.default_rng(4).standard_normal((30_000, 2))
    train, test = values[:20_000], values[18_000:]
    exact = fingerprint(train, keep_rows=True).overlap(fingerprint(test, keep_rows=True))
    assert (exact.shared.value, exact.is_exact) == (2000, True)
    assert exact.share == pytest.approx(2000 / 12_000)
    estimate = fingerprint(train).overlap(fingerprint(test))
    assert not estimate.is_exact
    assert estimate.shared.low <= 2000 <= estimate.shared.high
    assert not fingerprint(values[:100]).overlap(fingerprint(values[100:200]))
    assert fingerprint(values[:100]).overlap(fingerprint(values[50:150])).shared.value == 50


def test_sums_are_fingerprints_of_the_rows_together() -> None:
    whole = fingerprint(FRAME)
    total = stored(fingerprint(FRAME[:123])) + stored(fingerprint(FRAME[123:]))
    assert (total.digest, total.content_digest, total.lanes) == (None, whole.content_digest, whole.lanes)
    assert total.schema_digest == whole.schema_digest
    assert whole.diff(total).verdict == "identical"
    assert total.smallest.hashes.tolist() == whole.smallest.hashes.tolist()  # type: ignore[union-attr]
    assert (total.table - whole.table).decode() == {}  # type: ignore[operator]
    mine, other = total.profile["x"], whole.profile["x"]
    assert (mine.n, mine.min, mine.max) == (other.n, other.min, other.max)
    assert (mine.mean, mine.std) == (pytest.approx(other.mean), pytest.approx(other.std))
    assert mine.distinct == other.distinct
    assert whole + fingerprint(FRAME[:0]) == whole


def test_what_cannot_be_added() -> None:
    with pytest.raises(InvalidValueError, match="other columns"):
        fingerprint({"a": [1]}) + fingerprint({"b": [1]})
    with pytest.raises(InvalidValueError, match="parts"):
        fingerprint({"a": np.eye(2), "b": np.eye(3)}) + fingerprint([1])


def test_pictures_and_html_are_static_and_escaped() -> None:
    evil = pd.DataFrame({"<script>alert(1)</script>": ["<img src=x onerror=1>", "b"], "$x_{$": [1.0, 2.0]})
    made = fingerprint(evil, name="<b>")
    page = made._repr_html_()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    diff = made.diff(fingerprint(evil.iloc[::-1].assign(z=1)))
    assert "<script" not in diff._repr_html_()
    figure = diff.plot()
    data, size = figure._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert 100 < size["width"] < 1000
    assert BASE.diff(BASE).plot() is not None
    json.dumps(diff.to_dict())
