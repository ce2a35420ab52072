"""Any single change is seen, in exactly the parts it should be; order, chunks and containers never matter."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_sdk.fingerprint.making import fingerprint
from mlops_sdk.fingerprint.tables import chunks_of_dicts
from tests.unit.fingerprint import reference

FLOATS = st.floats(allow_nan=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "i": st.integers(-(2**63), 2**63 - 1), "f": FLOATS, "s": TEXTS, "b": st.booleans(), "y": st.binary(max_size=10),
    "t": st.datetimes().filter(lambda moment: 1700 < moment.year < 2200),
}  # fmt: skip
ROWS = st.lists(
    st.tuples(*(st.none() | kind for kind in COLUMNS.values())).map(lambda row: dict(zip(COLUMNS, row, strict=True))),
    min_size=1, max_size=8,
)  # fmt: skip
VALUES = st.none() | FLOATS | st.integers() | TEXTS | st.binary(max_size=10)
NESTED = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)


def in_containers(rows: list[dict[str, Any]]) -> list[Any]:
    types = {
        "i": pa.int64(),
        "f": pa.float64(),
        "s": pa.string(),
        "b": pa.bool_(),
        "y": pa.binary(),
        "t": pa.timestamp("us"),
    }
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()})
    return [table, pl.from_arrow(table), table.to_pandas(types_mapper=pd.ArrowDtype), table.to_pydict()]


@given(ROWS)
@settings(max_examples=40)
def test_containers_agree(rows: list[dict[str, Any]]) -> None:
    expected = fingerprint(rows)
    for data in in_containers(rows):
        made = fingerprint(data)
        assert (made.digest, made.content_digest, made.lanes) == (
            expected.digest,
            expected.content_digest,
            expected.lanes,
        )


@given(st.lists(NESTED, min_size=1, max_size=6))
@settings(max_examples=100)
def test_the_reference_agrees_on_any_values(values: list[Any]) -> None:
    made = fingerprint([{"x": value} for value in values])
    expected = reference.table({"x": values})
    assert (made.digest, made.content_digest) == (expected["digest"], expected["content_digest"])


@given(ROWS, st.data())
@settings(max_examples=60)
def test_one_changed_value_is_seen_where_it_is(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    row, name = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.sampled_from(list(COLUMNS)))
    old = rows[row][name]
    new = data.draw((st.none() | COLUMNS[name]).filter(lambda value: (value is None) != (old is None) or value != old))
    changed = [dict(each) for each in rows]
    changed[row][name] = new
    before, after = fingerprint(rows), fingerprint(changed)
    assert before.digest != after.digest
    assert before.content_digest != after.content_digest
    assert before.lanes != after.lanes
    for column in COLUMNS:
        is_same = before.columns[column].digest == after.columns[column].digest
        assert is_same == (column != name)
        assert (before.columns[column].lane == after.columns[column].lane) == (column != name)
    assert before.diff(after).columns_changed == (name,)
    assert before.diff(after).n_added.value == 1  # type: ignore[union-attr]


@given(ROWS, st.randoms(use_true_random=False))
def test_order_of_rows_and_columns_is_in_the_digest_only(rows: list[dict[str, Any]], random: Any) -> None:
    shuffled = [dict(random.sample(list(row.items()), len(row))) for row in random.sample(rows, len(rows))]
    names = list(shuffled[0])
    shuffled = [{name: row[name] for name in names} for row in shuffled]
    before, after = fingerprint(rows), fingerprint(shuffled)
    assert before.content_digest == after.content_digest
    is_same = names == list(COLUMNS) and rows == shuffled
    assert is_same <= (before.digest == after.digest)
    for name in COLUMNS:
        assert before.columns[name].lane == after.columns[name].lane


@given(ROWS, st.lists(st.integers(0, 8), max_size=4))
@settings(max_examples=50)
def test_chunks_and_sums_never_matter(rows: list[dict[str, Any]], cuts: list[int]) -> None:
    ends = sorted({min(cut, len(rows)) for cut in cuts} | {0, len(rows)})
    parts = [rows[start:stop] for start, stop in itertools.pairwise(ends)]
    whole = fingerprint(rows)
    made = fingerprint(iter(parts))
    assert (made.digest, made.content_digest) == (whole.digest, whole.content_digest)
    total = fingerprint(parts[0])
    for part in parts[1:]:
        total += fingerprint(part)
    assert (total.content_digest, total.n_rows) == (whole.content_digest, len(rows))


@given(ROWS, st.sampled_from(list(COLUMNS)), TEXTS)
def test_a_renamed_column_is_recognised(rows: list[dict[str, Any]], name: str, new: str) -> None:
    if new in COLUMNS:
        return
    renamed = [{new if key == name else key: value for key, value in row.items()} for row in rows]
    before, after = fingerprint(rows), fingerprint(renamed)
    assert before.columns[name].digest == after.columns[new].digest
    assert before.digest != after.digest
    assert before.content_digest != after.content_digest


def test_every_one_of_many_mutations_is_seen() -> None:
    """A quick 2,000, by the public function; 100,000 are in ``test_mutations.py``. Each is undone before the next."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{place}": generator.standard_normal(300) for place in range(8)})
    base = fingerprint(frame, profile=False, sketches=False)
    values = frame.to_numpy(copy=True)
    names = list(frame.columns)
    for _ in range(2000):
        row, column = generator.integers(300), generator.integers(8)
        old = values[row, column]
        bits = values[row : row + 1, column].copy().view(np.uint64) ^ np.uint64(1 << int(generator.integers(0, 52)))
        values[row, column] = bits.view(np.float64)[0]
        made = fingerprint(pd.DataFrame(values, columns=names), profile=False, sketches=False)
        assert made.digest != base.digest
        assert made.content_digest != base.content_digest
        values[row, column] = old


PROGRAM = """
from mlops_sdk.fingerprint.making import fingerprint
rows = [{"a": 1.5, "s": "x", "n": {"k": [1, 2]}}, {"a": None, "s": "y", "n": {"j": 1, "b": "z"}}]
made = fingerprint(rows)
print(made.digest, made.content_digest, made.schema_digest)
"""


def test_processes_and_hash_seeds_never_matter() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
        for seed in ("0", "1", "12345")
    }  # fmt: skip
    assert len(said) == 1


def test_dicts_of_dicts_are_rows_of_nested_values() -> None:
    (chunk,) = chunks_of_dicts([{"a": {"b": 1}}])
    assert chunk.names == ("a",)
