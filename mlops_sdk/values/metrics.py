"""Metrics: nested mappings with slashes, and anything like a number as float64, a step as int64, a time as nanoseconds."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.describing import Refusing, type_name
from mlops_sdk.values.foreign import array_shape, comes_from
from mlops_sdk.values.nested import flatten

MAX_METRICS = 100_000
"""Most metrics of one call."""

_INT64 = range(-(2**63), 2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def flatten_metrics(metrics: Mapping[Any, Any]) -> dict[str, object]:
    """Flatten nested mappings with slashes.

    Parameters
    ----------
    metrics : mapping
        Read once, as a snapshot: another thread may go on filling it. Keys that are not text become ``str(key)``.

    Returns
    -------
    dict of str to object
        The values untouched, in order. Keys are for `check_key`, values for `to_float`: a bad one costs only itself.

    Raises
    ------
    InvalidValueError
        If it is no mapping, contains itself, is deeper than 64 levels or has more than 100,000 values, if two keys are the
        same name, or if it kept changing while it was read.

    Examples
    --------
    >>> flatten_metrics({"loss": 0.5, "val": {"acc": 0.9}})
    {'loss': 0.5, 'val/acc': 0.9}
    """
    if not isinstance(metrics, Mapping):
        raise InvalidValueError(f"metrics are a mapping of names to numbers, not {type_name(metrics)}")
    with Refusing("metrics of type {} could not be read", metrics):
        leaves = flatten(metrics, separator="/", max_keys=MAX_METRICS, children=_children)
    return {key: value for key, (_, value) in leaves.items()}


def _children(value: Any) -> Mapping[Any, Any] | None:
    return value if isinstance(value, Mapping) else None


def to_float(value: object) -> tuple[float, bool]:
    """Convert a number to float64.

    Parameters
    ----------
    value : object
        Anything with ``__float__`` or ``__index__``: Python and numpy numbers, Decimal, Fraction, 0-d arrays; arrays and
        tensors with exactly one element.

    Returns
    -------
    value : float
        NaN (with its payload), infinities and -0.0 are kept.
    is_exact : bool
        False where float64 had to round: an int beyond 2**53, a Fraction such as 1/3, a long double, a Decimal with more
        digits than float64 tells apart (``Decimal("0.1")`` is exact: 0.1 is its nearest and shortest float64).

    Raises
    ------
    InvalidValueError
        If it is text, bytes, None, complex, an array of several elements or anything else that is no number, if it is
        finite and beyond the range of float64, or from whatever its own code raised. The text names the way out.
    """
    if type(value) is float:
        return value, True
    with Refusing("a value of type {} could not be read as a number", value):
        return _to_float(value)


def _to_float(value: Any) -> tuple[float, bool]:
    if isinstance(value, float):
        return float.__float__(value), True  # a subclass may override what float() calls
    if isinstance(value, int):
        return _from_exact(value, int.__index__(value))
    if value is None or isinstance(value, (str, bytes, bytearray, memoryview, complex)):
        raise _not_a_number(value)
    if hasattr(type(value), "numpy") and not hasattr(type(value), "item"):
        value = value.numpy()  # tensorflow
    shape = array_shape(value)
    if shape is not None:
        return _from_array(value, shape)
    if comes_from(value, "decimal", "Decimal") or comes_from(value, "fractions", "Fraction"):
        return _from_exact(value, value)
    return _from_protocol(value)


def _from_exact(given: object, value: Any) -> tuple[float, bool]:
    """Convert a value that compares exactly with floats, telling whether it was rounded."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    is_same = number == value or number != number
    if math.isinf(number) and not is_same:
        raise InvalidValueError(f"a value of type {type_name(given)} is too large for float64: log its logarithm")
    if not is_same and comes_from(value, "decimal", "Decimal"):
        is_same = type(value)(repr(number)) == value
    return number, bool(is_same)


def _from_array(value: Any, shape: tuple[int, ...]) -> tuple[float, bool]:
    if math.prod(shape) != 1:
        raise InvalidValueError(
            f"an array of shape {shape} ({type_name(value)}) is not one number: log value.mean(), each element under its "
            "own key, or all with log_table()"
        )
    if getattr(value.dtype, "kind", "") in ("m", "M"):
        raise _not_a_number(value)
    item = value.item()  # float() of an array with dimensions is deprecated
    if type(item) is float:
        return item, True
    if type(item) is type(value):
        return _from_exact(value, item)  # a long double has no Python type
    if array_shape(item) is not None or not hasattr(type(item), "__float__"):
        raise _not_a_number(value)
    return _to_float(item)


def _from_protocol(value: Any) -> tuple[float, bool]:
    kind = type(value)
    if hasattr(kind, "__float__"):
        number = kind.__float__(value)
        if not isinstance(number, float):
            raise InvalidValueError(f"__float__ of {type_name(value)} gave a {type_name(number)}")
        return float.__float__(number), True
    if hasattr(kind, "__index__"):
        return _from_exact(value, operator.index(value))
    raise _not_a_number(value)


def _not_a_number(value: object) -> InvalidValueError:
    if isinstance(value, str):
        way_out = "float(value) reads a number; set_tag(), log_param() and log_text() keep text"
    elif isinstance(value, complex):
        way_out = "log value.real and value.imag, or abs(value)"
    elif value is None:
        way_out = "leave it out, or log float('nan')"
    else:
        way_out = "log() takes figures, images, tables and text, log_param() any setting, log_artifact() files"
    return InvalidValueError(f"a metric is a real number, not {type_name(value)}: {way_out}")


def to_step(step: object) -> int:
    """Convert a step to an int64.

    Parameters
    ----------
    step : int-like or integral float
        ``5``, ``numpy.int64(5)``, ``5.0``; negative ones too.

    Raises
    ------
    InvalidValueError
        If it is not a whole number (5.5, NaN, text), or does not fit in 64 bits.
    """
    with Refusing("a step of type {} could not be read", step):
        number = _whole(step)
    if number not in _INT64:
        raise InvalidValueError("a step has to fit in a 64-bit integer")
    return number


def _whole(step: object) -> int:
    index = _index(step)
    if index is not None:
        return index
    try:
        number, _ = to_float(step)
    except InvalidValueError as error:
        raise InvalidValueError(f"a step is a whole number, not {type_name(step)}") from error
    if not number.is_integer():
        raise InvalidValueError(f"a step is a whole number, not {number!r}: int() or round() makes it one")
    return int(number)


def _index(value: Any) -> int | None:
    try:
        return operator.index(value)
    except TypeError:
        return None


def to_time_ns(timestamp: object) -> int:
    """Convert a time to nanoseconds since the Unix epoch, UTC.

    Parameters
    ----------
    timestamp : datetime, float or int
        A naive datetime is local time; numbers are seconds since the epoch.

    Returns
    -------
    int
        Exact for a datetime (nanoseconds of pandas included) and an int; for a float rounded to the nanosecond.

    Raises
    ------
    InvalidValueError
        If it is neither, not finite, or outside the years 1677 to 2262, which 64 bits of nanoseconds span.
    """
    with Refusing("a timestamp of type {} could not be read", timestamp):
        time_ns = _datetime_ns(timestamp) if isinstance(timestamp, datetime) else _seconds_ns(timestamp)
    if time_ns not in _INT64:
        raise InvalidValueError(
            "a timestamp lies in the years 1677 to 2262; a number is in seconds, not in milliseconds"
        )
    return time_ns


def _datetime_ns(time: Any) -> int:
    # a datetime of the standard library: subclasses have an arithmetic of their own
    date, clock = (time.year, time.month, time.day), (time.hour, time.minute, time.second, time.microsecond)
    since = datetime(*date, *clock, tzinfo=time.tzinfo, fold=time.fold).astimezone(UTC) - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    return seconds * 10**9 + since.microseconds * 1000 + int(getattr(time, "nanosecond", 0))


def _seconds_ns(seconds: object) -> int:
    index = _index(seconds)
    if index is not None:
        return index * 10**9
    try:
        number, _ = to_float(seconds)
    except InvalidValueError as error:
        raise InvalidValueError(f"a timestamp is a datetime or seconds since 1970, not {type_name(seconds)}") from error
    if not math.isfinite(number):
        raise InvalidValueError(f"a timestamp is a datetime or seconds since 1970, not {number!r}")
    whole = math.floor(number)
    return whole * 10**9 + round((number - whole) * 1e9)
