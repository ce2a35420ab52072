"""Columns of numpy arrays and of pandas frames, without a copy where there is none to make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint import arrow, nested, texts, times
from mlops_sdk.fingerprint.canonical import BLOCK_ROWS, INSTANT, NESTED, Chunk, Column
from mlops_sdk.fingerprint.numbers import Complexes, Numbers
from mlops_sdk.fingerprint.objects import Objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_COLUMNS = 1_000_000
_TILE_CELLS = 1 << 17


# -- numpy ---------------------------------------------------------------------------------------------------------------


def column_of(array: NDArray[Any]) -> Column:
    """The column of an array of shape (n,).

    Raises
    ------
    InvalidValueError
        If the type has no canonical form.
    """
    if isinstance(array, np.ma.MaskedArray):
        return _of_masked(array)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind in "biu" or (kind == "f" and size <= 8):
        return Numbers(array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("=")))
    if kind in "mM":
        return times.of_datetime64(array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("=")))
    if kind == "c" and size <= 16:
        return Complexes(array)
    if kind == "O":
        return Objects(array.tolist())
    if kind == "U":
        return texts.of_strings(array.tolist())
    if kind == "S":
        return texts.of_bytes(array.tolist())
    if kind == "T":
        return Objects(array.tolist(), "text")
    if kind == "f":
        return Objects(list(array), array.dtype.name)
    raise InvalidValueError(
        f"an array of type {array.dtype} has no canonical form: convert it to numbers, text or times"
    )


def _of_masked(array: Any) -> Column:
    mask, data = np.ma.getmaskarray(array), np.asarray(array.data)
    if data.dtype.kind in "biuf" and data.dtype.itemsize <= 8:
        return Numbers(data, mask)
    return Objects([None if gone else value for value, gone in zip(list(data), mask.tolist(), strict=True)])


def chunks_of_array(array: NDArray[Any], names: tuple[str, ...] | None = None) -> Iterator[Chunk]:
    """Chunks of an array: shape (n,) is one column, (n, m) are m columns, (n, ...) one column of nested lists.

    Raises
    ------
    InvalidValueError
    """
    if array.ndim == 0:
        raise InvalidValueError("an array of no dimensions is a value, not a data set: give it at least one row")
    if array.dtype.names is not None and array.ndim == 1:
        fields = [(str(name), array[name]) for name in array.dtype.names]
        columns = [column_of(field) if field.ndim == 1 else nested_column(field) for _, field in fields]
        yield Chunk(tuple(name for name, _ in fields), columns, len(array))
    elif array.ndim == 1:
        yield Chunk(names or ("0",), [column_of(array)], len(array))
    elif array.ndim == 2:
        yield from _chunks_of_matrix(array, names)
    else:
        yield from _chunks_of_tensor(array, names)


def _chunks_of_matrix(array: NDArray[Any], names: tuple[str, ...] | None) -> Iterator[Chunk]:
    n, n_columns = array.shape
    if n_columns > MAX_COLUMNS:
        raise InvalidValueError(
            f"a table of {n_columns:,} columns; at most {MAX_COLUMNS:,}: reshape it to (n, 1, {n_columns})"
        )
    names = names or tuple(map(str, range(n_columns)))
    is_columnar = array.flags.f_contiguous or n_columns < 2 or n < 2 or array.dtype.kind == "O"
    is_columnar = is_columnar or isinstance(array, np.ma.MaskedArray)  # whose copies lose the mask
    if is_columnar:
        yield Chunk(names, [column_of(array[:, index]) for index in range(n_columns)], n)
        return
    # row after row: turned over in tiles that stay in the cache
    tile = min(BLOCK_ROWS, max(256, _TILE_CELLS // n_columns))
    for start in range(0, n, tile):
        turned = np.ascontiguousarray(array[start : start + tile].T)
        yield Chunk(names, [column_of(row) for row in turned], turned.shape[1])


def _chunks_of_tensor(array: NDArray[Any], names: tuple[str, ...] | None) -> Iterator[Chunk]:
    if isinstance(array, np.ma.MaskedArray):
        yield Chunk(names or ("0",), [Objects(array.tolist(), "list")], len(array))
        return
    cells = int(np.prod(array.shape[1:]))
    step = max(1, min(BLOCK_ROWS, (1 << 22) // max(1, cells)))
    for start in range(0, len(array), step):
        part = array[start : start + step]
        yield Chunk(names or ("0",), [nested_column(part)], len(part))
    if not len(array):
        yield Chunk(names or ("0",), [Objects([], "list")], 0)


def nested_column(array: NDArray[Any]) -> Column:
    """A column of nested lists: the rows of an array of two dimensions or more."""
    if (
        array.dtype.kind in "biuf"
        and array.dtype.itemsize <= 8
        and array.size
        and not isinstance(array, np.ma.MaskedArray)
    ):
        values = np.add(array, 0.0, dtype=np.float64)
        is_exact = array.dtype.kind in "bf" or array.dtype.itemsize < 8 or bool((np.abs(values) <= 1 << 53).all())
        if is_exact and not np.isnan(values).any():
            return _nested_numbers(values)
    if array.ndim > 1 and array.dtype.kind in "OmMUSfbiuc":
        return Objects([_as_lists(row) for row in array], "list")
    raise InvalidValueError(
        f"an array of type {array.dtype} has no canonical form: convert it to numbers, text or times"
    )


def _as_lists(row: NDArray[Any]) -> Any:
    return row if row.ndim == 1 else [_as_lists(each) for each in row]


def _nested_numbers(values: NDArray[np.float64]) -> Column:
    """What `nested.encode` writes for each row, made at once."""
    fields: Any = nested.CELL
    for size in reversed(values.shape[1:]):
        fields = np.dtype([("tag", "S1"), ("size", "<u8"), ("items", fields, (size,))])
    rows = np.zeros(len(values), dtype=fields)
    at: Any = rows
    for size in values.shape[1:]:
        at["tag"], at["size"] = b"l", size
        at = at["items"]
    at["tag"], at["bits"] = b"n", values.view(np.uint64)
    width = rows.dtype.itemsize
    starts, lengths = np.arange(len(rows)) * width, np.full(len(rows), width)
    return texts.Texts(starts, lengths, rows.view(np.uint8).reshape(-1), NESTED, "list")


# -- pandas --------------------------------------------------------------------------------------------------------------


def chunks_of_pandas(frame: Any, *, index: bool = False) -> Iterator[Chunk]:
    """The one chunk of a DataFrame, Series or Index.

    Parameters
    ----------
    index : bool
        The levels of the index are columns too, before the others.
    """
    names, columns = [], []
    if index and hasattr(frame, "index"):
        levels = frame.index.to_frame(index=False)
        given = [
            name if name is not None else "index" if frame.index.nlevels == 1 else f"level_{n}"
            for n, name in enumerate(frame.index.names)
        ]
        names += [name_of(name) for name in given]
        columns += [_of_series(levels.iloc[:, n]) for n in range(frame.index.nlevels)]
    if hasattr(frame, "columns"):
        names += [name_of(name) for name in frame.columns]
        columns += [_of_series(series) for _, series in frame.items()]
    else:
        names.append("0" if frame.name is None else name_of(frame.name))
        columns.append(_of_series(frame if hasattr(frame, "index") else frame.to_series()))
    yield Chunk(tuple(names), columns, len(frame))


def name_of(name: object) -> str:
    """A column's name as text; the parts of a tuple (several levels of names) as JSON."""
    if isinstance(name, str):
        return name
    if isinstance(name, tuple):
        return json.dumps([name_of(part) for part in name], ensure_ascii=False, separators=(",", ":"))
    return str(name)


def _of_series(series: Any) -> Column:
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return column_of(series.to_numpy())
    return _EXTENSIONS.get(type(dtype).__name__, _of_extension)(series)


def _of_zoned(series: Any) -> Column:
    utc = series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    unit = np.datetime_data(utc.dtype)[0]
    return times.of_datetime64(utc, kind=INSTANT, type=f"datetime64[{unit}, tz]")


def _of_categories(series: Any) -> Column:
    codes = series.cat.codes.to_numpy().astype(np.int64)
    own = _of_series(series.cat.categories.to_series())
    if isinstance(own, Objects):
        values = list(series.cat.categories)
        if all(isinstance(value, str) for value in values):
            own = texts.of_strings(values)
    if isinstance(own, texts.Texts):
        return texts.Coded(codes, own, "category")
    if isinstance(own, Numbers):
        mask = codes < 0
        values = series.cat.categories.to_numpy()
        return Numbers(values[np.where(mask, 0, codes)] if len(values) else np.zeros(len(codes)), mask, "category")
    return Objects(series.astype(object).to_numpy(), "category")


def _of_masked_series(series: Any) -> Column:
    dtype = series.dtype.numpy_dtype
    return Numbers(series.array.to_numpy(dtype=dtype, na_value=dtype.type(0)), series.isna().to_numpy(), dtype.name)


def _of_arrow(series: Any) -> Column:
    given = series.array.__arrow_array__()
    whole = given.combine_chunks() if hasattr(given, "combine_chunks") else given
    pieces = arrow.columns_of(whole if hasattr(whole, "__arrow_c_stream__") else _Stream(whole))
    return pieces[0] if len(pieces) == 1 else Objects(series.astype(object).to_numpy())


class _Stream:
    """An Arrow array as a stream of one."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        import nanoarrow

        return nanoarrow.Array(self._array).__arrow_c_stream__(requested_schema)


def _of_strings(series: Any) -> Column:
    if getattr(series.dtype, "storage", "") in ("pyarrow", "pyarrow_numpy"):
        return _of_arrow(series)
    mask = series.isna().to_numpy()
    return texts.of_strings(series.astype(object).to_numpy().tolist(), mask=mask if mask.any() else None)


def _of_extension(series: Any) -> Column:
    kind = type(series.dtype).__name__
    if kind in ("PeriodDtype", "IntervalDtype"):
        raise InvalidValueError(
            f"a pandas column of {kind} has no canonical form: convert it to its start times or to text"
        )
    return Objects(series.astype(object).to_numpy(), str(series.dtype))


_EXTENSIONS = {
    "DatetimeTZDtype": _of_zoned, "CategoricalDtype": _of_categories, "ArrowDtype": _of_arrow, "StringDtype": _of_strings,
    "BooleanDtype": _of_masked_series, "SparseDtype": lambda series: column_of(np.asarray(series.sparse.to_dense())),
    "Int8Dtype": _of_masked_series, "Int16Dtype": _of_masked_series, "Int32Dtype": _of_masked_series,
    "Int64Dtype": _of_masked_series, "UInt8Dtype": _of_masked_series, "UInt16Dtype": _of_masked_series,
    "UInt32Dtype": _of_masked_series, "UInt64Dtype": _of_masked_series, "Float32Dtype": _of_masked_series,
    "Float64Dtype": _of_masked_series,
}  # fmt: skip
