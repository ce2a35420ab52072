"""Any data as chunks of a table: what it is, is told without importing the library it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from mlops_sdk.errors import InvalidValueError, MissingDependencyError
from mlops_sdk.fingerprint import arrow, frames
from mlops_sdk.fingerprint.canonical import BLOCK_ROWS, Chunk, Column
from mlops_sdk.fingerprint.objects import Objects
from mlops_sdk.values.foreign import comes_from

_WAY_OUT = (
    "give an array, a frame (pandas, polars, pyarrow, DuckDB or anything with __arrow_c_stream__), a list of dicts, a dict of "
    "columns, a path, or an iterable of chunks of these"
)


def table_chunks(data: Any, *, index: bool = False) -> Iterator[Chunk] | None:
    """Chunks of a table; None where `data` is no table (a collection, a path, an iterable of chunks).

    Raises
    ------
    InvalidValueError
        If it is a table whose values have no canonical form.
    """
    if isinstance(data, np.ndarray):
        return frames.chunks_of_array(data)
    if comes_from(data, "pandas", "DataFrame", "Series", "Index"):
        return frames.chunks_of_pandas(data, index=index)
    if comes_from(data, "scipy.sparse", "sparray", "spmatrix"):
        from mlops_sdk.fingerprint.sparse import chunks_of_sparse

        return chunks_of_sparse(data)
    if hasattr(type(data), "__arrow_c_stream__"):
        return arrow.chunks_of(data)
    if comes_from(data, "polars", "LazyFrame"):
        return table_chunks(data.collect())
    if comes_from(data, "polars", "DataFrame", "Series"):
        return arrow.chunks_of(_of_older_polars(data))
    if comes_from(data, "torch", "Tensor"):
        return frames.chunks_of_array(_of_tensor(data))
    if not isinstance(data, (Mapping, list, tuple)) and hasattr(type(data), "columns"):
        return _of_frame(data)
    if isinstance(data, Mapping):
        return _of_columns(data)
    if isinstance(data, (list, tuple)):
        return _of_rows(data)
    return _of_array_like(data)


def _of_older_polars(data: Any) -> Any:
    """A frame or series from before polars 1.3, which brought the capsules; as Python values missing structs would be lost.

    Raises
    ------
    MissingDependencyError
    """
    try:
        import pyarrow
    except ImportError as error:
        raise MissingDependencyError("pyarrow", purpose="the frames of polars before 1.3") from error
    made = data.to_arrow()
    return made if hasattr(made, "column_names") else pyarrow.table({data.name or "0": made})


def _of_tensor(data: Any) -> Any:
    tensor = data.detach().cpu()
    try:
        return (
            tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
        ).numpy()  # which float32 holds exactly
    except (TypeError, RuntimeError) as error:
        raise InvalidValueError(f"a tensor that makes no array ({error}): give .to_dense(), or an array") from error


def _of_frame(data: Any) -> Iterator[Chunk]:
    """A frame of another library, by narwhals; as an array it would lose its names."""
    import narwhals

    try:
        frame: Any = narwhals.from_native(data)
        frame = frame.collect() if isinstance(frame, narwhals.LazyFrame) else frame
    except (TypeError, ImportError, AttributeError) as error:
        raise InvalidValueError(f"{_kind(data)} has columns, and is no frame that is known: {_WAY_OUT}") from error
    native = frame.to_native()
    if comes_from(native, "pandas", "DataFrame"):
        return frames.chunks_of_pandas(native)
    if hasattr(type(native), "__arrow_c_stream__"):
        return arrow.chunks_of(native)
    found = _of_columns(frame.to_dict(as_series=False))
    if found is None:
        raise refuse(data)
    return found


def _of_columns(data: Mapping[Any, Any]) -> Iterator[Chunk] | None:
    """A dict of columns of one length is a table; one of lists of dicts is a collection of tables."""
    values = list(data.values())
    if not values or not all(_is_column(value) for value in values) or len({len(value) for value in values}) != 1:
        return None
    if all(isinstance(value, list) and value and isinstance(value[0], Mapping) for value in values):
        return None  # tables, as lists of dicts, by name
    columns = [_column_of(value) for value in values]
    return iter([Chunk(tuple(frames.name_of(name) for name in data), columns, len(values[0]))])


def _is_column(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return True
    if comes_from(value, "xarray", "DataArray"):
        return False  # whose coordinates count too
    return getattr(value, "ndim", None) == 1 or comes_from(value, "polars", "Series")


def _column_of(value: Any) -> Column:
    if isinstance(value, (list, tuple)):
        return Objects(value)
    chunks = table_chunks(value)
    found = [] if chunks is None else list(chunks)
    if len(found) != 1 or len(found[0].columns) != 1:
        return Objects(list(value))
    return found[0].columns[0]


def _of_rows(data: Sequence[Any]) -> Iterator[Chunk] | None:
    """A list of dicts is a table, and so is a list of rows or of values; a list of frames is none."""
    if not data:
        return iter([Chunk((), [], 0)]) if isinstance(data, list) else None
    first = next((row for row in data if row is not None), None)
    if isinstance(first, Mapping):
        return chunks_of_dicts(data)
    if isinstance(data, tuple) or _is_table(first):
        return None
    if isinstance(first, (list, tuple)) and _are_rows(data, len(first)):
        columns: list[Column] = [Objects([row[place] for row in data]) for place in range(len(first))]
        return iter([Chunk(tuple(map(str, range(len(first)))), columns, len(data))])
    return iter([Chunk(("0",), [Objects(data)], len(data))])


def _are_rows(data: Sequence[Any], width: int) -> bool:
    """Lists of one length, of plain values."""
    if not all(isinstance(row, (list, tuple)) and len(row) == width for row in data):
        return False
    return not any(_is_table(value) or isinstance(value, (list, tuple, Mapping)) for value in data[0])


def _is_table(value: Any) -> bool:
    is_array = isinstance(value, np.ndarray) and value.ndim > 0
    return is_array or hasattr(type(value), "__arrow_c_stream__") or comes_from(value, "pandas", "DataFrame", "Series") or (
        comes_from(value, "torch", "Tensor") and value.ndim > 0
    )  # fmt: skip


def chunks_of_dicts(rows: Iterable[Any], names: tuple[str, ...] | None = None) -> Iterator[Chunk]:
    """One chunk of dicts; a key that a row lacks is a missing value. The columns stand in order of first appearance."""
    rows = list(rows)
    found: dict[Any, None] = dict.fromkeys(names or ())
    for row in rows:
        if not isinstance(row, Mapping):
            raise InvalidValueError(f"a list of dicts holds a {type(row).__name__}: make every row a dict")
        found.update(dict.fromkeys(row))
    columns: list[Column] = [Objects([row.get(name) for row in rows]) for name in found]
    yield Chunk(tuple(frames.name_of(name) for name in found), columns, len(rows))


def _of_array_like(data: Any) -> Iterator[Chunk] | None:
    """An object with `__array__`; what it makes is checked, not believed."""
    if isinstance(data, (str, bytes, type)) or not hasattr(type(data), "__array__"):
        return None
    array = np.asarray(data)
    if array.dtype == object and array.ndim == 0:
        raise InvalidValueError(f"{_kind(data)} says it is an array, and is not: {_WAY_OUT}")
    shape = getattr(data, "shape", array.shape)
    if isinstance(shape, tuple) and shape != array.shape:
        raise InvalidValueError(
            f"{_kind(data)} says its shape is {shape}, and makes an array of {array.shape}: {_WAY_OUT}"
        )
    return frames.chunks_of_array(array)


def batches(data: Iterable[Any]) -> Iterator[Any]:
    """Batches of an iterable; single rows (dicts, or items of a dataset) come together into batches."""
    iterator = iter(data)
    for item in iterator:
        if is_row(item):
            yield [item, *islice(iterator, BLOCK_ROWS - 1)]
        else:
            yield item


def is_row(item: Any) -> bool:
    """Whether an item of an iterable is one row."""
    return isinstance(item, Mapping) and not any(_is_table(value) for value in item.values())


def chunks_of_batch(batch: Any) -> Iterator[Chunk]:
    """Chunks of one batch of a loader: a table, or a tuple or dict of arrays of one length, side by side.

    Raises
    ------
    InvalidValueError
    """
    if isinstance(batch, (tuple, list)) and batch and all(_is_table(part) for part in batch):
        batch = {str(place): part for place, part in enumerate(batch)}
    if isinstance(batch, Mapping) and batch and all(_is_table(part) for part in batch.values()):
        return _side_by_side(batch)
    chunks = table_chunks(batch)
    if chunks is None:
        raise InvalidValueError(f"an iterable yields {_kind(batch)}, which is no table: {_WAY_OUT}")
    return chunks


def _side_by_side(parts: Mapping[Any, Any]) -> Iterator[Chunk]:
    names: list[str] = []
    columns: list[Column] = []
    n_rows = None
    for key, part in parts.items():
        found = list(table_chunks(part) or ())
        if len(found) != 1 or n_rows not in (None, found[0].n_rows):
            found = list(table_chunks(np.asfortranarray(part)) or ())
        if len(found) != 1 or n_rows not in (None, found[0].n_rows):
            raise InvalidValueError("the parts of a batch have other numbers of rows")
        n_rows = found[0].n_rows
        single = found[0].names == ("0",)
        names += [frames.name_of(key)] if single else [f"{frames.name_of(key)}.{name}" for name in found[0].names]
        columns += found[0].columns
    yield Chunk(tuple(names), columns, n_rows or 0)


def refuse(data: Any) -> InvalidValueError:
    """The error for what cannot be fingerprinted."""
    return InvalidValueError(f"cannot fingerprint {_kind(data)}: {_WAY_OUT}")


def _kind(data: Any) -> str:
    kind = type(data)
    return f"a {kind.__module__}.{kind.__qualname__}"
