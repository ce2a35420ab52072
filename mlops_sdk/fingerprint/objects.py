"""Columns of Python objects: each value by its own kind."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.fingerprint import nested, numbers, texts, times
from mlops_sdk.fingerprint.canonical import (
    BYTES,
    COMPLEX,
    INTEGER,
    MARKS,
    NESTED,
    NULL,
    NUMBER,
    TEXT,
    Cells,
    Part,
    Rules,
)  # fmt: skip
from mlops_sdk.fingerprint.mixing import hash_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops_sdk.fingerprint.canonical import Column

_NUMBERS = (bool, int, float, decimal.Decimal, np.bool_, np.integer, np.floating)
_PLAIN = {str: "text", bytes: "bytes", bool: "bool", int: "int64", float: "float64", list: "list", dict: "struct"}
_LIMIT = (1 << 63) - 2
_TIMES = (dt.date, dt.time, dt.timedelta, np.datetime64, np.timedelta64)


class Objects:
    """A column of any values.

    Parameters
    ----------
    values : sequence of object, length n
    type : str, optional
        Name in the schema; default from the values.
    """

    def __init__(self, values: Sequence[Any], type: str | None = None) -> None:  # noqa: A002 - the attribute of `Column`
        self._values = values
        self._type = type

    def __len__(self) -> int:
        return len(self._values)

    @property
    def type(self) -> str:
        """See `Column`."""
        if self._type is None:
            self._type = _type_of(self._values)
        return self._type

    def cells(self, start: int, stop: int, rules: Rules) -> Cells:
        """See `Column`."""
        values = list(self._values[start:stop])
        return _pure(values, rules) or _Sorted(values, rules).cells()

    def python_values(self) -> list[Any]:
        """See `Column`."""
        return list(self._values)


def _type_of(values: Sequence[Any]) -> str:
    found = set(map(type, values))
    found = {kind for kind in found if kind is not type(None) and kind.__name__ not in ("NAType", "NaTType")}
    if found == {float, int} or found == {int, float, bool}:
        return "float64"
    if float in found and len(found) > 1 and not any(value == value for value in values if type(value) is float):
        found.discard(float)  # NaN as pandas' missing value
    if not found:
        return "null"
    if len(found) > 1:
        return "object"
    kind = found.pop()
    return _PLAIN.get(kind, kind.__name__)


def _pure(values: Sequence[Any], rules: Rules) -> Cells | None:
    """Cells of values that are all of one common type or None; None for others."""
    found = set(map(type, values))
    mask = None
    if type(None) in found:
        mask = np.fromiter((value is None for value in values), np.bool_, len(values))
        found.discard(type(None))
    if len(found) != 1:
        return None
    column = _column(found.pop(), values, mask)
    return None if column is None else column.cells(0, len(values), rules)


def _column(kind: type, values: Sequence[Any], mask: NDArray[np.bool_] | None) -> Column | None:
    if kind is str:
        return texts.of_strings(values, mask=mask)
    if kind is bytes:
        return texts.of_bytes(values, mask=mask)
    if kind not in (float, bool, int):
        return None
    filler = kind(0)
    given = values if mask is None else [filler if value is None else value for value in values]
    if kind is int and not (given and max(given) < 1 << 63 and min(given) >= -(1 << 63)):
        return None
    return numbers.Numbers(np.array(given, dtype=np.int64 if kind is int else kind), mask)


class _Sorted:
    """Values of any types, sorted by kind in one pass, their order kept."""

    def __init__(self, values: Sequence[Any], rules: Rules) -> None:
        self._values = values
        self._rules = rules
        self._kinds: dict[str, list[int]] = {}
        self._missing: list[int] = []
        for row, value in enumerate(values):
            self._sort(row, value)

    def _sort(self, row: int, value: Any) -> None:
        kind = self._kind_of(value)
        if kind is None:
            self._missing.append(row)
        else:
            self._kinds.setdefault(kind, []).append(row)

    def _kind_of(self, value: Any) -> str | None:
        if nested.is_missing(value):
            return None
        if isinstance(value, str):
            return TEXT
        if isinstance(value, _NUMBERS) and not isinstance(
            value, np.timedelta64
        ):  # which numpy counts among the integers
            return self._kind_of_number(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return BYTES
        if isinstance(value, _TIMES):
            if isinstance(value, (np.datetime64, np.timedelta64)) and np.isnat(value):
                return None
            return nested.ns_of(value)[0]
        if isinstance(value, (complex, np.complexfloating)):
            return COMPLEX
        if isinstance(value, uuid.UUID):
            return TEXT
        if isinstance(value, (list, tuple, Mapping, np.ndarray)):
            return NESTED
        raise nested.unknown(value)

    def _kind_of_number(self, value: Any) -> str | None:
        return None if self._rules.nan_is_null and value != value else NUMBER

    def cells(self) -> Cells:
        """All of them, kind by kind."""
        n = len(self._values)
        if len(self._kinds) == 1 and (found := self._times()) is not None:
            return found
        codes = np.full(n, NULL, dtype=np.uint64)
        order = np.zeros(n, dtype=np.uint8)
        values = np.full(n, np.nan) if set(self._kinds) <= {NUMBER} else None
        parts = []
        for index, (kind, rows) in enumerate(self._kinds.items()):
            part, codes[rows] = self._part(kind, [self._values[row] for row in rows])
            parts.append(part)
            order[rows] = index
            if values is not None:
                values[rows] = [float(self._values[row]) if abs(self._values[row]) < 1e308 else np.nan for row in rows]
        nulls = None
        if self._missing:
            nulls = np.zeros(n, dtype=np.bool_)
            nulls[self._missing] = True
        is_mixed = len(parts) > 1
        kept = order if nulls is None else order[~nulls]
        return Cells(
            codes, nulls, parts, kept if is_mixed else None, values=values, label=lambda row: _label(self._values[row])
        )

    def _times(self) -> Cells | None:
        """Cells of times of one kind, if 64 bits of nanoseconds hold them."""
        ((kind, rows),) = self._kinds.items()
        if kind not in nested.TAGS:
            return None
        ns = [nested.ns_of(self._values[row])[1] for row in rows]
        if not all(-_LIMIT <= each <= _LIMIT for each in ns):
            return None
        counts = np.full(len(self._values), times.NOT_A_TIME, dtype=np.int64)
        counts[rows] = ns
        return times.Times(counts, 1, kind, "").cells(0, len(counts), self._rules)

    def _part(self, kind: str, values: list[Any]) -> tuple[Part, Any]:
        if kind == NUMBER:
            return _number_part(values, self._rules)
        column: Column
        if kind == TEXT:
            column = texts.of_strings([str(value) for value in values])
        elif kind == BYTES:
            column = texts.of_bytes([bytes(value) for value in values])
        elif kind == NESTED:
            nan_is_null = self._rules.nan_is_null
            column = texts.of_bytes([nested.encode(value, nan_is_null=nan_is_null) for value in values], kind=NESTED)
        elif kind == COMPLEX:
            column = numbers.Complexes(np.array(values, dtype=np.complex128))
        else:
            return _time_part(kind, [nested.ns_of(value)[1] for value in values], self._rules)
        cells = column.cells(0, len(values), self._rules)
        return cells.parts[0] if cells.parts else Part(kind, 0, ()), cells.codes


def _time_part(kind: str, ns: list[int], rules: Rules) -> tuple[Part, Any]:
    if all(-_LIMIT <= each <= _LIMIT for each in ns):
        cells = times.Times(np.array(ns, dtype=np.int64), 1, kind, "").cells(0, len(ns), rules)
        return cells.parts[0], cells.codes
    small = [each if -_LIMIT <= each <= _LIMIT else None for each in ns]
    stream = np.array([times.BEYOND if each is None else each for each in small], dtype=np.int64)
    codes = stream.view(np.uint64) ^ np.uint64(MARKS[kind] ^ rules.seed)
    digits = [str(each).encode() for each, fits in zip(ns, small, strict=True) if fits is None]
    where = np.array([each is None for each in small])
    lengths = np.array([len(each) for each in digits], dtype=np.int64)
    data = np.frombuffer(b"".join(digits), dtype=np.uint8)
    codes[where] = hash_texts(np.cumsum(lengths) - lengths, lengths, data, rules.seed) ^ np.uint64(MARKS[kind])
    return Part(kind, len(ns), (stream, b"".join(each + b"\n" for each in digits))), codes


def _number_part(values: list[Any], rules: Rules) -> tuple[Part, Any]:
    """Numbers of any type, exactly."""
    bits = np.empty(len(values), dtype=np.uint64)
    codes = np.empty(len(values), dtype=np.uint64)
    side: list[bytes] = []
    for row, value in enumerate(values):
        data = nested.number_bytes(value, nan_is_null=False)
        if data[:1] == b"n":
            bits[row] = codes[row] = int.from_bytes(data[1:], "little")
            continue
        bits[row] = INTEGER
        side.append(data[1:] if data[:1] == b"i" else b"\2" + data[1:])
        codes[row] = _side_code(data, value)
    if rules.seed:
        codes ^= np.uint64(rules.seed)
    return Part(NUMBER, len(values), (bits, b"".join(side)) if side else (bits,)), codes


def _side_code(data: bytes, value: Any) -> int:
    if data[:1] == b"i":
        found = numbers.integer_cell(int(value))
        assert found is not None
        return found[1]
    digits = np.frombuffer(data[9:], dtype=np.uint8)
    return int(hash_texts(np.zeros(1, np.int64), np.array([len(digits)]), digits)[0]) ^ INTEGER


def _label(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str)):
        return value if not isinstance(value, str) else value[: texts.LABEL_CHARACTERS]
    return str(value)[: texts.LABEL_CHARACTERS]
