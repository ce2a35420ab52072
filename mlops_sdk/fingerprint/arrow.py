"""Tables through the Arrow PyCapsule interface, read with nanoarrow.

References
----------
.. [1] https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
.. [2] ``docs/adr/0005-fingerprints.md``
"""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint import texts, times
from mlops_sdk.fingerprint.canonical import BYTES, CLOCK, DURATION, INSTANT, TEXT, TIME, Chunk, Column
from mlops_sdk.fingerprint.numbers import Numbers
from mlops_sdk.fingerprint.objects import Objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMBERS = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "half_float", "float", "double",
}  # fmt: skip
_NAMES = {"half_float": "float16", "float": "float32", "double": "float64"}
_TEXTS = {
    "string": TEXT, "large_string": TEXT, "string_view": TEXT, "binary": BYTES, "large_binary": BYTES, "binary_view": BYTES,
    "fixed_size_binary": BYTES,
}  # fmt: skip
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_INTERVAL = np.dtype([("months", "<i4"), ("days", "<i4"), ("ns", "<i8")])
_VIEW = np.dtype([("length", "<i4"), ("rest", "V4"), ("buffer", "<i4"), ("offset", "<i4")])


def chunks_of(data: Any) -> Iterator[Chunk]:
    """Chunks of anything with ``__arrow_c_stream__``, as it delivers them.

    Raises
    ------
    InvalidValueError
        If it is no table, or holds a type without a rule.
    MissingDependencyError
        If nanoarrow is not installed.
    """
    import nanoarrow

    stream = nanoarrow.c_array_stream(data)
    schema = stream.get_schema()
    if schema.format != "+s":
        yield from _single_column(stream, schema)
        return
    names = tuple(str(schema.child(index).name or "") for index in range(schema.n_children))
    readers = [_Reader(schema.child(index), name) for index, name in enumerate(names)]
    is_empty = True
    for array in stream:
        is_empty = False
        yield _chunk(array, names, readers)
    if is_empty:
        yield Chunk(names, [Objects([], reader.type) for reader in readers], 0)


def _chunk(array: Any, names: tuple[str, ...], readers: list[_Reader]) -> Chunk:
    if array.null_count > 0:
        raise InvalidValueError("an Arrow stream has rows that are missing as a whole: filter them out first")
    low, n = array.offset, array.length
    # column by column: a whole view would refuse a column of nulls that brings a buffer, as polars' do
    children = [array.child(index) for index in range(len(readers))]
    columns = [reader.column(child, low, n) for reader, child in zip(readers, children, strict=True)]
    return Chunk(names, columns, n)


def columns_of(data: Any) -> list[Column]:
    """The column of an Arrow array, piece by piece; structs are values here, not tables."""
    import nanoarrow

    stream = nanoarrow.c_array_stream(data)
    return [chunk.columns[0] for chunk in _single_column(stream, stream.get_schema())]


def _single_column(stream: Any, schema: Any) -> Iterator[Chunk]:
    """An array or a series: one column without a name, or with its own."""
    reader = _Reader(schema, "0")
    names = (str(schema.name or "0"),)
    is_empty = True
    for array in stream:
        is_empty = False
        yield Chunk(names, [reader.column(array, 0, array.length)], array.length)
    if is_empty:
        yield Chunk(names, [Objects([], reader.type)], 0)


class _Reader:
    """Makes columns of the arrays of one field."""

    def __init__(self, schema: Any, name: str) -> None:
        from nanoarrow.c_schema import c_schema_view

        self._schema = schema
        self._view = c_schema_view(schema)
        self._name = name
        self._kind = self._view.type
        self.type = self._type()

    def _type(self) -> str:
        if self._kind == "timestamp":
            zone = self._view.timezone
            return f"datetime64[{self._view.time_unit}{', tz' if zone else ''}]"
        if self._kind == "duration":
            return f"timedelta64[{self._view.time_unit}]"
        if self._kind == "dictionary":
            return "category"
        if self._kind.startswith("decimal"):
            return f"decimal({self._view.decimal_precision}, {self._view.decimal_scale})"
        simple = {"date32": "date", "date64": "date", "time32": "time", "time64": "time", "na": "null"}
        nested = {"list": "list", "large_list": "list", "fixed_size_list": "list", "list_view": "list", "map": "struct"}
        return str((simple | nested | _NAMES | _TEXTS).get(self._kind, self._kind))

    def column(self, array: Any, skip: int, n: int) -> Column:
        """`n` values of an array, after the first `skip`."""
        kind = self._kind
        if kind == "na":
            return Objects([None] * n, "null")
        view = array.view()
        low = view.offset + skip
        mask = _mask(view, low, n)
        if kind in _NUMBERS:
            return Numbers(_values(view, kind, low, n), mask, self.type)
        if kind in ("timestamp", "date32", "date64", "time32", "time64", "duration"):
            return self._times(view, low, n, mask)
        if kind == "interval_month_day_nano":
            return self._intervals(view, low, n, mask)
        if kind in _TEXTS:
            starts, lengths, data = _spans(view, kind, low, n, self._view)
            return texts.Texts(starts, lengths, data, _TEXTS[kind], self.type, mask)
        if kind == "dictionary":
            return self._coded(view, array, low, n, mask)
        if kind.startswith("decimal"):
            return Objects(_decimals(view, self._view, low, n, mask), self.type)
        return Objects(self._python(array, skip, n), self.type)

    def _times(self, view: Any, low: int, n: int, mask: NDArray[np.bool_] | None) -> Column:
        kind = self._kind
        width = np.int32 if kind in ("date32", "time32") else np.int64
        counts = np.ascontiguousarray(_raw(view, 1, width)[low : low + n]).astype(np.int64)
        if kind == "date32":
            return times.Times(counts, times.NS_OF["D"], TIME, self.type, mask)
        if kind == "date64":
            return times.Times(counts, times.NS_OF["ms"], TIME, self.type, mask)
        unit_ns = _UNITS[self._view.time_unit]
        if kind == "timestamp":
            return times.Times(counts, unit_ns, INSTANT if self._view.timezone else TIME, self.type, mask)
        return times.Times(counts, unit_ns, DURATION if kind == "duration" else CLOCK, self.type, mask)

    def _intervals(self, view: Any, low: int, n: int, mask: NDArray[np.bool_] | None) -> Column:
        """Intervals of days and nanoseconds: durations, as DuckDB has them."""
        parts = _raw(view, 1, _INTERVAL)[low : low + n]
        if mask is not None:
            parts = np.where(mask, np.zeros(1, _INTERVAL), parts)
        if parts["months"].any():
            raise InvalidValueError(
                f"column {self._name!r} holds intervals of months, which have no fixed length: use days"
            )
        ns = parts["days"].astype(np.int64) * times.NS_OF["D"] + parts["ns"]
        return times.Times(ns, 1, DURATION, "timedelta64[ns]", mask)

    def _coded(self, view: Any, array: Any, low: int, n: int, mask: NDArray[np.bool_] | None) -> Column:
        dictionary = _Reader(self._schema.dictionary, self._name)
        own = dictionary.column(array.dictionary, 0, array.dictionary.length)
        codes = _values(view, view.storage_type, low, n).astype(np.int64)
        if mask is not None:
            codes[mask] = -1
        if isinstance(own, texts.Texts):
            return texts.Coded(codes, own, self.type)
        values = dictionary._python(array.dictionary, 0, array.dictionary.length)
        return Objects([None if code < 0 else values[code] for code in codes.tolist()], self.type)

    def _python(self, array: Any, skip: int, n: int) -> list[Any]:
        import nanoarrow

        try:
            return list(nanoarrow.Array(array).to_pylist()[skip : skip + n])
        except (KeyError, NotImplementedError, ValueError, TypeError) as error:
            raise InvalidValueError(
                f"column {self._name!r} is of the Arrow type {self._kind}, which has no canonical form: cast it ({error})"
            ) from error


def _raw(view: Any, index: int, dtype: Any) -> NDArray[Any]:
    buffer = view.buffer(index)
    if not buffer.size_bytes:
        return np.empty(0, dtype=dtype)
    return np.frombuffer(memoryview(buffer).cast("B"), dtype=dtype)


def _mask(view: Any, low: int, n: int) -> NDArray[np.bool_] | None:
    """Where values are missing."""
    if view.n_buffers == 0 or view.buffer_type(0) != "validity" or not view.buffer(0).size_bytes:
        return None
    valid = _bits(view, 0, low, n)
    return None if valid.all() else ~valid


def _bits(view: Any, index: int, low: int, n: int) -> NDArray[np.bool_]:
    first = low // 8
    packed = _raw(view, index, np.uint8)[first : (low + n + 7) // 8]
    return np.unpackbits(packed, bitorder="little")[low - 8 * first : low - 8 * first + n].view(np.bool_)


def _values(view: Any, kind: str, low: int, n: int) -> NDArray[Any]:
    if kind == "bool":
        return _bits(view, 1, low, n)
    values = _raw(view, 1, np.dtype(_NAMES.get(kind, kind)))[low : low + n]
    return values if len(values) == n else np.zeros(n, values.dtype)  # all missing: the buffer may be absent


def _spans(
    view: Any, kind: str, low: int, n: int, schema: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Where each value lies, and in what."""
    if kind.endswith("_view"):
        return _spans_of_views(view, low, n)
    if kind == "fixed_size_binary":
        size = int(schema.fixed_size)
        return (np.arange(n) + low) * size, np.full(n, size), _raw(view, 1, np.uint8)
    offsets = _raw(view, 1, np.int64 if kind.startswith("large") else np.int32)[low : low + n + 1].astype(np.int64)
    if not len(offsets):
        offsets = np.zeros(n + 1, dtype=np.int64)
    return offsets[:-1], np.diff(offsets), _raw(view, 2, np.uint8)


def _spans_of_views(view: Any, low: int, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Short values lie in the views, long ones in other buffers: all of these behind each other."""
    raw = _raw(view, 1, np.uint8)[16 * low : 16 * (low + n)]
    views = raw.view(_VIEW)
    others = [
        _raw(view, index, np.uint8) for index in range(2, view.n_buffers) if view.buffer_type(index) != "variadic_size"
    ]
    before = (
        np.concatenate([[0], np.cumsum([len(each) for each in others])[:-1]]).astype(np.int64) + len(raw)
        if others
        else None
    )
    lengths = views["length"].astype(np.int64)
    starts = np.arange(n, dtype=np.int64) * 16 + 4
    is_long = lengths > 12
    if before is not None:
        starts[is_long] = before[views["buffer"][is_long]] + views["offset"][is_long]
    return starts, lengths, np.concatenate([raw, *others]) if others else raw


def _decimals(view: Any, schema: Any, low: int, n: int, mask: NDArray[np.bool_] | None) -> list[decimal.Decimal | None]:
    size = {"decimal32": 4, "decimal64": 8, "decimal128": 16, "decimal256": 32}[schema.type]
    data, scale = _raw(view, 1, np.uint8).tobytes(), -int(schema.decimal_scale)
    gone = [False] * n if mask is None else mask.tolist()
    context = decimal.Context(prec=100)
    return [
        None
        if is_gone
        else decimal.Decimal(int.from_bytes(data[row * size : (row + 1) * size], "little", signed=True)).scaleb(
            scale, context
        )
        for row, is_gone in zip(range(low, low + n), gone, strict=True)
    ]
