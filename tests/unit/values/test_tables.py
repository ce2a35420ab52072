"""Tables as CSV, JSON and Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.errors import InvalidValueError, MissingDependencyError
from mlops_sdk.values.media import classify
from mlops_sdk.values.tables import render_table

ROWS = [{"a": 1, "b": "x"}, {"a": 2.5, "b": None, "c": [1]}]
FLOATS = st.floats(allow_nan=False)


def rows_of(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8"))))


def strictly(data: bytes) -> Any:
    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is not JSON")

    return json.loads(data, parse_constant=refuse)


# -- every kind of table -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
        ({"a": 1, "b": "x"}, {"a": 2, "b": "y"}),
        {"a": [1, 2], "b": ("x", "y")},
        {"a": np.array([1, 2]), "b": pd.Series(["x", "y"])},
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        np.array([(1, "x"), (2, "y")], [("a", int), ("b", "U1")]),
    ],
    ids=lambda table: type(table).__name__,
)
def test_every_kind_of_table_gives_the_same_bytes(table: object) -> None:
    assert render_table(table, "a.csv") == b"a,b\n1,x\n2,y\n"
    assert render_table(table, "a") == b"a,b\n1,x\n2,y\n"
    assert render_table(table, "a.json") == b'[\n{"a": 1, "b": "x"},\n{"a": 2, "b": "y"}\n]\n'


def test_polars_and_pyarrow() -> None:
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"a": [1, None], "b": ["x", "y,z"], "c": [0.1, math.inf]}
    for table in (polars.DataFrame(columns), pyarrow.table(columns), pyarrow.record_batch(columns)):
        assert classify(table) == "table"
        assert rows_of(render_table(table, "a.csv")) == [["a", "b", "c"], ["1", "x", "0.1"], ["", "y,z", "inf"]]
        assert strictly(render_table(table, "a.json")) == [
            {"a": 1, "b": "x", "c": 0.1},
            {"a": None, "b": "y,z", "c": "Infinity"},
        ]
        data = render_table(table, "a.parquet")
        assert render_table(table, "a.parquet") == data
        assert parquet.read_table(io.BytesIO(data)).to_pydict() == columns
    assert render_table(polars.Series("s", [1, 2]), "a.csv") == b"s\n1\n2\n"


@pytest.mark.parametrize("table", [{"a": [1, 2]}, [{"a": 1}, {"a": 2}], pd.DataFrame({"a": [1, 2]})])
def test_parquet(table: object) -> None:
    pytest.importorskip("pyarrow")
    data = render_table(table, "a.parquet")
    assert pd.read_parquet(io.BytesIO(data))["a"].tolist() == [1, 2]
    assert render_table(table, "a.parquet") == data


def test_parquet_without_its_library_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match="pyarrow is needed for Parquet"):
        render_table({"a": [1]}, "a.parquet")


# -- cells -------------------------------------------------------------------------------------------------------------


def test_missing_columns_and_nested_cells() -> None:
    assert rows_of(render_table(ROWS, "a.csv")) == [["a", "b", "c"], ["1", "x", ""], ["2.5", "", "[1]"]]
    assert strictly(render_table(ROWS, "a.json")) == [{"a": 1, "b": "x", "c": None}, {"a": 2.5, "b": None, "c": [1]}]


def test_what_pandas_calls_missing_is_empty_and_other_nan_is_nan() -> None:
    frame = pd.DataFrame(
        {"f": [math.nan, math.inf], "i": pd.array([1, None], "Int64"), "t": [pd.NaT, pd.Timestamp(10**9)]}
    )
    assert rows_of(render_table(frame, "a.csv"))[1:] == [["", "1", ""], ["inf", "", "1970-01-01 00:00:01"]]
    assert strictly(render_table(frame, "a.json")) == [
        {"f": None, "i": 1, "t": None},
        {"f": "Infinity", "i": None, "t": "1970-01-01 00:00:01"},
    ]
    table = {"f": [math.nan, None, -0.0]}
    assert render_table(table, "a.csv") == b'f\nnan\n""\n-0.0\n'
    assert strictly(render_table(table, "a.json")) == [{"f": "NaN"}, {"f": None}, {"f": -0.0}]


@given(st.lists(FLOATS, min_size=1, max_size=20))
def test_floats_come_back_bit_for_bit_from_csv(values: list[float]) -> None:
    for table in ({"f": values}, pd.DataFrame({"f": values}), np.array(values).reshape(-1, 1)):
        found = [float(row[0]) for row in rows_of(render_table(table, "a.csv"))[1:]]
        assert np.array(found).tobytes() == np.array(values).tobytes()


@given(st.lists(st.text(st.characters(exclude_characters="\0\r", codec="utf-8")), min_size=1, max_size=5))
def test_text_comes_back_from_csv_and_json(values: list[str]) -> None:
    table = {"a": values, "b": values[::-1]}
    assert strictly(render_table(table, "a.json")) == [
        {"a": a, "b": b} for a, b in zip(values, values[::-1], strict=True)
    ]
    data = render_table(table, "a.csv").decode()
    assert list(csv.reader(io.StringIO(data, newline=""))) == [
        ["a", "b"],
        *map(list, zip(values, values[::-1], strict=True)),
    ]


# -- pandas ------------------------------------------------------------------------------------------------------------


def test_an_index_of_its_own_is_written() -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key"))
    assert render_table(frame, "a.csv") == b"key,a\nx,1\ny,2\n"
    assert strictly(render_table(frame, "a.json")) == [{"key": "x", "a": 1}, {"key": "y", "a": 2}]
    filtered = pd.DataFrame({"a": [1, 2, 3]}).iloc[[0, 2]]
    assert rows_of(render_table(filtered, "a.csv"))[1:] == [["0", "1"], ["2", "3"]]
    assert render_table(pd.Series([1, 2], name="s"), "a.csv") == b"s\n1\n2\n"
    assert frame.columns.tolist() == ["a"]


def test_columns_of_one_name_are_kept_in_csv_and_refused_in_json() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert render_table(frame, "a.csv") == b"a,a\n1,2\n"
    with pytest.raises(InvalidValueError, match="two columns have the name 'a'"):
        render_table(frame, "a.json")


# -- shapes ------------------------------------------------------------------------------------------------------------


def test_a_2_d_array_has_numbered_columns() -> None:
    assert render_table(np.array([[1, 2], [3, 4]]), "a.csv") == b"0,1\n1,2\n3,4\n"
    assert render_table(np.array([[0.1]], np.float32), "a.csv") == b"0\n0.10000000149011612\n"


@pytest.mark.parametrize("table", [[], {}, {"a": []}, np.zeros((0, 2)), pd.DataFrame()])
def test_a_table_without_rows(table: object) -> None:
    assert strictly(render_table(table, "a.json")) == []
    assert len(rows_of(render_table(table, "a.csv"))) <= 1


@pytest.mark.parametrize(
    "table, match",
    [
        (None, "no table"),
        ("text", "no table"),
        ([1, 2], "no table"),
        ([{"a": 1}, 2], "no table"),
        ({"a": 1}, "column 'a' is no list"),
        ({"a": "text"}, "log_dict"),
        ({"a": [1], "b": [1, 2]}, "1 to 2"),
        ({1: [1], "1": [2]}, "two columns have the name '1'"),
        (np.zeros(3), "no table"),
        (np.zeros((2, 2, 2)), r"\(2, 2, 2\)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_table(table: object, match: str) -> None:
    with pytest.raises(InvalidValueError, match=match):
        render_table(table, "a.csv")


def test_an_extension_without_a_writer_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"a\.xlsx.*\.csv, \.json, \.parquet"):
        render_table(ROWS, "a.xlsx")
