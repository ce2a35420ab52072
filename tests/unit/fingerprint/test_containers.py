"""The same logical table has the same digests, whatever it is kept in."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mlops_sdk
from mlops_sdk.fingerprint.making import fingerprint
from tests.unit.fingerprint.containers import FILES, IN_MEMORY, write_csv

ROWS = [
    {"i": 1, "big": 2**53 + 1, "f": 0.5, "s": "a", "b": True, "t": dt.datetime(2020, 1, 1, 12), "y": b"x"},
    {"i": 2, "big": -(2**63), "f": None, "s": None, "b": False, "t": None, "y": b""},
    {"i": -3, "big": 0, "f": -0.0, "s": "på Færøerne, at length", "b": True, "t": dt.datetime(1969, 1, 1), "y": None},
]
EXACT = pa.table({
    "date": pa.array([dt.date(2020, 1, 1), None, dt.date(1969, 12, 31)]),
    "clock": pa.array([dt.time(1, 2, 3, 4), dt.time(0), None]),
    "span": pa.array([dt.timedelta(days=1, microseconds=1), None, dt.timedelta(-1)]),
    "zoned": pa.array([dt.datetime(2020, 1, 1), None, dt.datetime(1950, 1, 1)], pa.timestamp("us", "Europe/Berlin")),
    "price": pa.array([Decimal("1.10"), None, Decimal("100.00")]),
    "list": pa.array([[1, 2], None, []]),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}]),
})  # fmt: skip
TABLE = pa.Table.from_pylist(ROWS)
NOT_EXACT = ("list of dicts", "dict of lists", "pyarrow", "pyarrow in chunks", "pyarrow sliced", "polars", "pandas arrow", "duckdb",
             "iterable of chunks", "record batch reader")  # fmt: skip


def test_these_tables_have_the_digests_they_always_had() -> None:
    """With the tests below: in every container, under every release of every library (`make test-versions`)."""
    assert fingerprint(ROWS).digest == "66a24a06366e74229240d47aa5ea7a6a4f8be8f6196b8a8666b437b0c33f38c0"
    made = fingerprint(EXACT.to_pylist())
    assert made.digest == "fbe40447b198e3e6619f3a8e5964e70b8d85022b20bfc0779ef55cea1f16c7b8"


@pytest.mark.parametrize("container", IN_MEMORY)
def test_one_table_one_fingerprint(container: str) -> None:
    table = TABLE.drop_columns("big") if container == "structured array" else TABLE
    expected = fingerprint(table.to_pylist())
    made = fingerprint(IN_MEMORY[container](table))
    assert {name: column.kind for name, column in made.columns.items()} == {
        name: c.kind for name, c in expected.columns.items()
    }
    assert {name: column.digest for name, column in made.columns.items()} == {
        n: c.digest for n, c in expected.columns.items()
    }
    assert (made.digest, made.content_digest) == (expected.digest, expected.content_digest)
    assert (made.lanes, made.n_rows) == (expected.lanes, 3)


@pytest.mark.parametrize("container", NOT_EXACT)
def test_dates_decimals_and_nested_values_agree(container: str) -> None:
    table = EXACT
    if container == "polars" and not hasattr(pl.DataFrame, "__arrow_c_stream__"):
        table = EXACT.drop_columns("struct")  # before 1.3, polars makes a struct of missing values of a missing struct
    expected = fingerprint(table.to_pylist())
    made = fingerprint(IN_MEMORY[container](table))
    assert {name: column.digest for name, column in made.columns.items()} == {
        n: c.digest for n, c in expected.columns.items()
    }
    assert made.digest == expected.digest


@pytest.mark.parametrize("container", FILES)
def test_files_are_the_table_they_hold(container: str, tmp_path: Path) -> None:
    path = tmp_path / f"data.{container}"
    FILES[container](TABLE, path)
    made = fingerprint(path)
    assert made.digest == fingerprint(TABLE).digest
    assert list(made.files) == [path.name]


def test_typed_csv_is_the_frame_it_was_written_from(tmp_path: Path) -> None:
    table = TABLE.drop_columns("y")
    write_csv(table, tmp_path / "data.csv")
    assert fingerprint(tmp_path / "data.csv").digest == fingerprint(table).digest


@pytest.mark.parametrize("dtype", ["f4", ">f8", "i2", "u1", "i8", "bool", "f2"])
def test_widths_are_schema_not_value(dtype: str) -> None:
    values = np.array([[0, 1], [1, 0], [1, 1]])
    expected, made = fingerprint(values.astype("f8")), fingerprint(values.astype(dtype))
    assert (made.digest, made.content_digest) == (expected.digest, expected.content_digest)
    assert (made.schema_digest == expected.schema_digest) is (dtype == ">f8")


def test_nameless_columns_are_those_of_the_frame_made_of_the_array() -> None:
    array = np.arange(12.0).reshape(4, 3)
    expected = fingerprint(array)
    for same in (
        np.asfortranarray(array), array.tolist(), pd.DataFrame(array), pd.DataFrame(array).astype(object), np.ma.array(array),
        pl.DataFrame({str(place): array[:, place] for place in range(3)}), array[::-1][::-1],
    ):  # fmt: skip
        assert fingerprint(same).digest == expected.digest
    assert expected.columns.keys() == {"0", "1", "2"}


def test_a_pandas_index_counts_only_when_asked() -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    moved = frame.set_index(pd.Index([5, 6]))
    assert fingerprint(frame) == fingerprint(moved)
    assert fingerprint(frame, index=True) != fingerprint(moved, index=True)
    assert list(fingerprint(moved, index=True).columns) == ["index", "a"]


def test_tensors_are_columns_of_nested_lists() -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    assert fingerprint(array).digest == fingerprint({"0": array.tolist()}).digest
    ragged = pa.table({"0": array.tolist()})
    assert fingerprint(ragged).digest == fingerprint(array).digest
    assert fingerprint(array.astype("i8")).digest == fingerprint(array).digest
    array[1, 2, 3] = np.nan
    assert fingerprint(array).digest == fingerprint({"0": array.tolist()}).digest


def test_torch_like_data_sets_and_batches() -> None:
    class Items:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, place: int) -> tuple[float, int]:
            if place >= 3:
                raise IndexError
            return place / 2, place

    made = fingerprint(Items())
    assert made.digest == fingerprint({"0": [0.0, 0.5, 1.0], "1": [0, 1, 2]}).digest
    batches = [(np.array([0.0, 0.5]), np.array([0, 1])), (np.array([1.0]), np.array([2]))]
    assert fingerprint(iter(batches)).digest == made.digest


def test_collections_have_parts() -> None:
    parts = {"train": np.arange(3), "test": pd.DataFrame({"a": [1]})}
    made = fingerprint(parts)
    assert made.parts["train"] == fingerprint(parts["train"])
    assert made.n_rows == 4
    assert fingerprint((np.arange(3), np.eye(2))).parts.keys() == {"0", "1"}
    assert fingerprint({**parts, "test": pd.DataFrame({"a": [2]})}) != made


def test_a_bunch_is_its_table_with_the_target() -> None:
    load_iris = pytest.importorskip("sklearn.datasets").load_iris
    made = fingerprint(load_iris())
    assert made.target == "target"
    assert made.n_columns == 5
    assert made.digest == fingerprint(load_iris(as_frame=True)).digest


def test_a_target_is_a_column() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
    named = fingerprint(frame, target="y")
    given = fingerprint(frame[["x"]], target=frame["y"])
    assert named == given
    assert (named.target, given.target) == ("y", "y")
    assert fingerprint(frame[["x"]], target=[0, 1]).target == "target"
    with pytest.raises(mlops_sdk.InvalidValueError, match="no column"):
        fingerprint(frame, target="z")
    with pytest.raises(mlops_sdk.InvalidValueError, match="2 rows"):
        fingerprint(frame, target=[0])


def test_sparse_rows_do_not_depend_on_the_format() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.array([[0, 1.5, 0], [0, 0, 0], [2, 0, -1]])
    made = fingerprint(sparse.csr_matrix(dense))
    for kind in (sparse.csc_matrix, sparse.coo_array, sparse.lil_matrix):
        assert fingerprint(kind(dense)) == made
    dense[0, 1] = 1.25
    assert fingerprint(sparse.csr_array(dense)).digest != made.digest


def test_the_package_is_the_function() -> None:
    import inspect

    assert mlops_sdk.fingerprint([1, 2]) == fingerprint([1, 2])
    from mlops_sdk import api

    assert api.fingerprint is mlops_sdk.fingerprint
    assert "target" in inspect.signature(mlops_sdk.fingerprint).parameters


def test_masks_of_arrays_count_in_every_dimension() -> None:
    data, mask = np.arange(12.0).reshape(2, 3, 2), np.zeros((2, 3, 2), dtype=bool)
    mask[0, 1, 0] = True
    for axis in (slice(None), 0, (0, slice(None), 0)):
        masked = np.ma.array(data[axis], mask=mask[axis])
        assert fingerprint(masked).digest == fingerprint(masked.tolist()).digest
        assert fingerprint(masked).digest != fingerprint(data[axis]).digest


def test_frames_of_other_libraries_keep_their_names() -> None:
    import narwhals

    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None]})
    assert fingerprint(narwhals.from_native(frame)).digest == fingerprint(frame).digest
    assert fingerprint(narwhals.from_native(frame).lazy()).digest == fingerprint(frame).digest

    class Frame:
        """Has columns and makes an array: as one it would lose its names."""

        columns = ("a",)

        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:  # type: ignore[type-arg]
            return np.zeros((2, 1))

    with pytest.raises(mlops_sdk.InvalidValueError, match="no frame that is known"):
        fingerprint(Frame())
