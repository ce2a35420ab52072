"""Nested values as bytes: lists, mappings, arrays within a cell.

References
----------
.. [1] ``docs/fingerprint-spec.md``, "Nested values"
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.canonical import CLOCK, DURATION, INSTANT, NAN, TIME
from mlops_sdk.fingerprint.numbers import integer_cell
from mlops_sdk.fingerprint.times import of_datetime64
from mlops_sdk.values.describing import text_of

MAX_DEPTH = 64
TAGS = {TIME: b"t", INSTANT: b"T", DURATION: b"u", CLOCK: b"c"}
CELL = np.dtype([("tag", "S1"), ("bits", "<u8")])
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - naive times count from the naive epoch
_EPOCH_UTC = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_US = dt.timedelta(microseconds=1)


def is_missing(value: object) -> bool:
    """None, and what pandas has for it."""
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def number_bytes(value: Any, *, nan_is_null: bool = True) -> bytes:
    """A number: its float64 when it is exactly one, else the number itself."""
    if isinstance(value, (float, np.floating)):
        return _float_bytes(value, nan_is_null=nan_is_null)
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return _float_bytes(float("nan") if value.is_nan() else float(value), nan_is_null=nan_is_null)
        if value != value.to_integral_value():
            as_float = float(value)
            is_exact = math.isfinite(as_float) and decimal.Decimal(as_float) == value
            return _float_bytes(as_float, nan_is_null=nan_is_null) if is_exact else b"d" + _sized(decimal_text(value))
    return _integer_bytes(int(value))


def _integer_bytes(value: int) -> bytes:
    try:
        as_float = float(value)
    except OverflowError:
        as_float = math.inf
    if math.isfinite(as_float) and int(as_float) == value:
        return b"n" + struct.pack("<d", as_float + 0.0)
    small = integer_cell(value)
    return b"i" + small[0] if small else b"d" + _sized(decimal_text(decimal.Decimal(value)))


def _float_bytes(value: Any, *, nan_is_null: bool) -> bytes:
    as_float = float(value)
    if as_float != as_float:
        return b"z" if nan_is_null else b"n" + struct.pack("<Q", NAN)
    if isinstance(value, np.longdouble) and value != as_float:
        top, bottom = value.as_integer_ratio()
        context = decimal.Context(prec=5000)
        return b"d" + _sized(decimal_text(context.divide(decimal.Decimal(top), decimal.Decimal(bottom))))
    return b"n" + struct.pack("<d", as_float + 0.0)


def decimal_text(value: decimal.Decimal) -> bytes:
    """Digits without trailing zeros, ``E``, exponent: one text for one number."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # finite
    text = "".join(map(str, digits)).lstrip("0")
    bare = text.rstrip("0")
    return f"{'-' if sign else ''}{bare}E{exponent + len(text) - len(bare)}".encode()


def _sized(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def ns_of(value: Any) -> tuple[str, int]:
    """Kind and nanoseconds of a Python or numpy time.

    Raises
    ------
    InvalidValueError
    """
    if type(value).__module__.startswith("pandas"):
        is_duration = isinstance(value, dt.timedelta)
        kind = DURATION if is_duration else TIME if value.tzinfo is None else INSTANT
        return kind, _numpy_ns(value.to_timedelta64() if is_duration else value.to_datetime64())
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            return TIME, (value - _EPOCH) // _US * 1000
        return INSTANT, (value - _EPOCH_UTC) // _US * 1000
    if isinstance(value, dt.date):
        return TIME, (value - _EPOCH.date()).days * 86400 * 10**9
    if isinstance(value, dt.timedelta):
        return DURATION, value // _US * 1000
    if isinstance(value, dt.time):
        if value.tzinfo is not None:
            raise InvalidValueError("a time of day with a time zone is no point in time: combine it with its date")
        return CLOCK, ((value.hour * 60 + value.minute) * 60 + value.second) * 10**9 + value.microsecond * 1000
    return DURATION if isinstance(value, np.timedelta64) else TIME, _numpy_ns(value)


def _numpy_ns(value: Any) -> int:
    column = of_datetime64(np.asarray(value).reshape(1))
    return int(column.counts[0]) * column.unit_ns


def encode(value: Any, *, nan_is_null: bool = True, depth: int = 0) -> bytes:
    """Any value of a cell as bytes that no other value has.

    Raises
    ------
    InvalidValueError
        If it is of a type without a rule, or nested deeper than 64 levels (into itself, most likely).
    """
    if depth > MAX_DEPTH:
        raise InvalidValueError(f"a value is nested deeper than {MAX_DEPTH} levels: does it contain itself?")
    scalar = _encode_scalar(value, nan_is_null)
    if scalar is not None:
        return scalar
    inner: dict[str, Any] = {"nan_is_null": nan_is_null, "depth": depth + 1}
    if isinstance(value, np.ndarray):
        return _encode_array(value, inner)
    if isinstance(value, (list, tuple)):
        return b"l" + struct.pack("<Q", len(value)) + b"".join([encode(each, **inner) for each in value])
    if isinstance(value, Mapping):
        return _encode_mapping(value, inner)
    raise unknown(value)


def _encode_scalar(value: Any, nan_is_null: bool) -> bytes | None:
    if is_missing(value):
        return b"z"
    if isinstance(value, str):
        return b"s" + _sized(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b"b" + _sized(bytes(value))
    if isinstance(value, (np.datetime64, np.timedelta64)) and np.isnat(value):
        return b"z"
    if isinstance(value, (dt.date, dt.time, dt.timedelta, np.datetime64, np.timedelta64)):
        kind, ns = ns_of(value)
        return TAGS[kind] + _sized(str(ns).encode())
    if isinstance(value, (bool, int, float, decimal.Decimal, np.bool_, np.integer, np.floating)):
        return number_bytes(value, nan_is_null=nan_is_null)
    if isinstance(value, (complex, np.complexfloating)):
        return b"x" + b"".join(number_bytes(part, nan_is_null=False) for part in (value.real, value.imag))
    return None


def _encode_mapping(value: Mapping[Any, Any], inner: dict[str, Any]) -> bytes:
    pairs = []
    for key, each in value.items():
        if not isinstance(key, str):
            raise InvalidValueError(f"a mapping within a cell has the key {text_of(key)}: only texts are names")
        body = encode(each, **inner)
        if body != b"z":  # a struct has every field, a dict those that are set
            pairs.append((key.encode("utf-8", "surrogatepass"), body))
    return b"m" + struct.pack("<Q", len(pairs)) + b"".join(_sized(key) + body for key, body in sorted(pairs))


def _encode_array(array: np.ndarray[Any, Any], inner: dict[str, Any]) -> bytes:
    if array.ndim == 0:
        return encode(array.item(), **inner)
    if array.ndim == 1 and array.dtype.kind in "fbiu" and array.dtype.itemsize <= 8:
        return b"l" + struct.pack("<Q", len(array)) + _encode_numbers(array, inner["nan_is_null"])
    items = list(array) if array.ndim > 1 or array.dtype.kind in "fmM" else array.tolist()
    return encode(items, **inner)


def _encode_numbers(array: np.ndarray[Any, Any], nan_is_null: bool) -> bytes:
    values = np.add(array, 0.0, dtype=np.float64)
    is_plain = array.dtype.kind == "b" or array.dtype.itemsize < 8 or array.dtype.kind == "f"
    has_nan = len(values) > 0 and bool(np.isnan(values).any())
    if (has_nan and nan_is_null) or not (is_plain or (np.abs(values) <= 1 << 53).all()):
        return b"".join([number_bytes(each, nan_is_null=nan_is_null) for each in array.tolist()])
    cells = np.empty(len(values), dtype=CELL)
    cells["tag"] = b"n"
    cells["bits"] = values.view(np.uint64)
    if has_nan:
        cells["bits"][np.isnan(values)] = NAN
    return cells.tobytes()


def unknown(value: object) -> InvalidValueError:
    """The error for a type without a rule: it names the type and the way out."""
    kind = type(value)
    hint = (
        "sort it into a list"
        if isinstance(value, (set, frozenset))
        else "convert it to numbers, text, bytes, times, lists or dicts of them"
    )
    return InvalidValueError(
        f"a cell holds a {kind.__module__}.{kind.__qualname__}, which has no canonical form: {hint}"
    )
