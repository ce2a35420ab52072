"""The committed vectors: what another implementation is measured by, and what no change of ours may change."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import pytest

from mlops_sdk.fingerprint.making import fingerprint
from mlops_sdk.fingerprint.streaming import Options, row_hashes
from mlops_sdk.fingerprint.tables import table_chunks
from tests.unit.fingerprint import reference
from tests.unit.fingerprint.make_vectors import FILE, from_json

CASES = json.loads(FILE.read_text(encoding="utf-8"))["cases"]


def as_python(value: Any) -> Any:
    """A value of the vectors as a user has it."""
    if not isinstance(value, tuple):
        return value
    kind, ns = value
    if ns % 1000 or kind == "clock":
        return np.datetime64(ns, "ns") if kind == "time" else np.timedelta64(ns, "ns") if kind == "duration" else None
    span = dt.timedelta(microseconds=ns // 1000)
    origin = dt.datetime(1970, 1, 1) if kind == "time" else dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return span if kind == "duration" else origin + span


def columns_of(case: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [from_json(value) for value in values] for name, values in case["columns"].items()}


def as_arrow(columns: dict[str, list[Any]]) -> Any:
    """Times of nanoseconds, which Python cannot say, through Arrow."""
    import pyarrow as pa

    types = {
        "time": pa.timestamp("ns"),
        "instant": pa.timestamp("ns", "UTC"),
        "duration": pa.duration("ns"),
        "clock": pa.time64("ns"),
    }
    arrays = {}
    for name, values in columns.items():
        kind = next(value[0] for value in values if value is not None)
        arrays[name] = pa.array([None if value is None else value[1] for value in values], pa.int64()).cast(types[kind])
    return pa.table(arrays)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_is_committed_is_what_we_say(case: dict[str, Any]) -> None:
    columns, expected = columns_of(case), case["expected"]
    data = as_arrow(columns) if case["name"] == "times" else {
        name: [as_python(value) for value in values] for name, values in columns.items()
    }  # fmt: skip
    made = fingerprint(data)
    assert {name: column.digest for name, column in made.columns.items()} == expected["columns"]
    assert (made.digest, made.content_digest) == (expected["digest"], expected["content_digest"])
    chunks = table_chunks(data)
    assert chunks is not None
    hashes = [f"{each:016x}" for part in row_hashes(chunks, Options()) for each in part.tolist()]
    assert hashes == expected["row_hashes"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_salted_the_reference_says_what_we_say(case: dict[str, Any]) -> None:
    columns = columns_of(case)
    data = as_arrow(columns) if case["name"] == "times" else {
        name: [as_python(value) for value in values] for name, values in columns.items()
    }  # fmt: skip
    made = fingerprint(data, salt="pepper")
    reference.set_salt(b"pepper")
    try:
        expected = reference.table(columns)
    finally:
        reference.set_salt(None)
    assert (made.digest, made.content_digest) == (expected["digest"], expected["content_digest"])
    assert made.digest != case["expected"]["digest"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_reference_in_plain_python_says_the_same(case: dict[str, Any]) -> None:
    assert reference.table(columns_of(case)) == case["expected"]
