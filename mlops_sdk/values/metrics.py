"""Metric values, steps, times. (First version.)"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mlops_sdk.errors import InvalidValueError


def flatten_metrics(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flat."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}/{inner}": item for inner, item in flatten_metrics(value).items()}
        else:
            flat[key] = value
    return flat


def to_float(value: Any) -> tuple[float, bool]:
    """Value and whether it is exact."""
    if isinstance(value, (str, bytes)) or value is None:
        raise InvalidValueError(f"a metric is a number, not a {type(value).__name__}")
    try:
        number = float(value)
    except Exception as error:
        raise InvalidValueError(f"a metric is a number, not a {type(value).__name__}: {error}") from error
    return number, not isinstance(value, int) or number == value


def to_step(step: Any) -> int:
    """Step."""
    try:
        if isinstance(step, float) and step.is_integer():
            return int(step)
        number = step.__index__()
    except Exception as error:
        raise InvalidValueError(f"step {step!r} is no integer") from error
    if not -(1 << 63) <= number < 1 << 63:
        raise InvalidValueError(f"step {step} does not fit 64 bits")
    return int(number)


def to_time_ns(time: Any) -> int:
    """Nanoseconds."""
    seconds = time.timestamp() if isinstance(time, datetime) else float(time)
    try:
        return int(seconds * 1e9)
    except (OverflowError, ValueError) as error:
        raise InvalidValueError(f"timestamp {time!r} is no time") from error
