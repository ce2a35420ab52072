"""Tables as CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from io import BytesIO, StringIO
from typing import Any, TypeAlias

from mlops_sdk.errors import InvalidValueError, MissingDependencyError
from mlops_sdk.values.describing import Refusing, type_name
from mlops_sdk.values.extensions import checked_extension
from mlops_sdk.values.foreign import array_shape, comes_from
from mlops_sdk.values.plain import named_floats, to_plain

MAX_CELL_CHARS = 1 << 24
"""Longest text, roughly, of one cell."""

Columns: TypeAlias = dict[str, list[Any]]


def is_frame(value: object) -> bool:
    """Whether `value` is a DataFrame of pandas or polars, or a Table or RecordBatch of pyarrow."""
    return (
        comes_from(value, "pandas", "DataFrame")
        or comes_from(value, "polars", "DataFrame")
        or comes_from(value, "pyarrow", "Table", "RecordBatch")
    )


def render_table(table: object, file: str | os.PathLike[str]) -> bytes:
    """Write a table.

    Parameters
    ----------
    table : DataFrame or Series of pandas or polars, pyarrow Table, list of mappings, mapping of columns, array
        Arrays are structured or of shape (n, k), with columns "0" to "k-1". The index of a pandas frame is written unless
        it is the default one.
    file : str
        ``.csv`` (also without an extension), ``.json`` (a list of one object a row, one row a line) or ``.parquet``
        (needs pyarrow, or polars for a frame of its own).

    Returns
    -------
    bytes
        UTF-8 without a byte-order mark, lines ending in LF; floats read back bit for bit. What is missing (None, and
        pandas' NaN) is an empty field, in JSON null; other NaN and infinities in JSON are strings, as in `render_json`.

    Raises
    ------
    InvalidValueError
        If it is no table, its columns differ in length or two have one name (JSON, Parquet), or the extension is another.
    MissingDependencyError
        If there is no pyarrow to write Parquet.

    Notes
    -----
    Cells are written as they are: text that a spreadsheet takes for a formula (``=1+1``) is not altered.
    """
    extension = checked_extension(file, (".csv", ".json", ".parquet"), ".csv")
    with Refusing("a table of type {} could not be written as " + extension[1:], table):
        frame = _as_frame(table)
        if extension == ".parquet":
            return _parquet(frame)
        return _csv(frame) if extension == ".csv" else _json_rows(columns_of(frame))


def _as_frame(table: Any) -> Any:
    return table.to_frame() if comes_from(table, "pandas", "Series") or comes_from(table, "polars", "Series") else table


# -- formats -----------------------------------------------------------------------------------------------------------


def _csv(table: Any) -> bytes:
    if comes_from(table, "pandas", "DataFrame"):
        return str(table.to_csv(index=_has_own_index(table), lineterminator="\n")).encode()
    if comes_from(table, "polars", "DataFrame"):
        return str(table.write_csv()).encode()
    columns = columns_of(table)
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if columns:
        writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    return buffer.getvalue().encode()


def _cell(value: object) -> object:
    plain = to_plain(value, max_chars=MAX_CELL_CHARS)
    return json.dumps(plain, ensure_ascii=False) if isinstance(plain, (list, dict)) else plain


def _json_rows(columns: Columns) -> bytes:
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    lines = [json.dumps(named_floats(to_plain(row, max_chars=MAX_CELL_CHARS)), ensure_ascii=False) for row in rows]
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode() if lines else b"[]\n"


def _parquet(table: Any) -> bytes:
    buffer = BytesIO()
    if comes_from(table, "polars", "DataFrame"):
        table.write_parquet(buffer)
        return buffer.getvalue()
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", purpose="Parquet tables") from error
    if comes_from(table, "pandas", "DataFrame"):
        table = pyarrow.Table.from_pandas(table)
    elif comes_from(table, "pyarrow", "RecordBatch"):
        table = pyarrow.Table.from_batches([table])
    elif not comes_from(table, "pyarrow", "Table"):
        table = pyarrow.table(columns_of(table))
    parquet.write_table(table, buffer)
    return buffer.getvalue()


# -- columns -----------------------------------------------------------------------------------------------------------


def columns_of(table: Any) -> Columns:
    """Columns of any table, as lists of Python objects of the same length.

    Raises
    ------
    InvalidValueError
        If it is no table, its columns differ in length, or two have one name.
    """
    if comes_from(table, "pandas", "DataFrame"):
        return _pandas_columns(table)
    if comes_from(table, "polars", "DataFrame"):
        return dict(table.to_dict(as_series=False))
    if comes_from(table, "pyarrow", "Table", "RecordBatch"):
        return _named(table.schema.names, [column.to_pylist() for column in table.columns])
    if array_shape(table) is not None:
        return _array_columns(table)
    if isinstance(table, Mapping):
        return _mapping_columns(table)
    if isinstance(table, (list, tuple)) and all(isinstance(row, Mapping) for row in table):
        return _row_columns(table)
    raise InvalidValueError(
        f"an object of type {type_name(table)} is no table: a DataFrame, a list of dicts, a dict of lists and a 2-D array "
        "are"
    )


def _pandas_columns(frame: Any) -> Columns:
    if _has_own_index(frame):
        frame = frame.reset_index()
    series = [frame.iloc[:, position] for position in range(frame.shape[1])]
    return _named(
        [str(name) for name in frame.columns],
        [
            [None if is_missing else value for value, is_missing in zip(s.tolist(), s.isna(), strict=True)]
            for s in series
        ],
    )


def _has_own_index(frame: Any) -> bool:
    index = frame.index
    is_default = comes_from(index, "pandas", "RangeIndex") and (index.start, index.step, index.name) == (0, 1, None)
    return not is_default


def _array_columns(array: Any) -> Columns:
    names = getattr(array.dtype, "names", None)
    if names and array.ndim == 1:
        return {name: array[name].tolist() for name in names}
    if array.ndim != 2:
        raise InvalidValueError(f"an array of shape {tuple(array.shape)} is no table: one of shape (n, k) is")
    return {str(position): array[:, position].tolist() for position in range(array.shape[1])}


def _mapping_columns(mapping: Mapping[Any, Any]) -> Columns:
    columns = []
    for name, column in mapping.items():
        if isinstance(column, (str, bytes, Mapping)) or not hasattr(column, "__iter__"):
            raise InvalidValueError(
                f"column {name!r:.80} is no list: a dict of lists is a table, log_dict() keeps any dict"
            )
        columns.append(column.tolist() if hasattr(type(column), "tolist") else list(column))
    return _named([str(name) for name in mapping], columns)


def _row_columns(rows: list[Mapping[Any, Any]] | tuple[Mapping[Any, Any], ...]) -> Columns:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _named([str(name) for name in names], [[row.get(name) for row in rows] for name in names])


def _named(names: list[str], columns: list[list[Any]]) -> Columns:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidValueError(f"two columns have the name {twice!r:.80}: rename one")
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise InvalidValueError(f"columns of different lengths, {min(lengths):,} to {max(lengths):,}, are no table")
    return dict(zip(names, columns, strict=True))
