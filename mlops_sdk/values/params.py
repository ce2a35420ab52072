"""Params: flattening, encoding, comparing. (First version; see the module's tests.)"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlops_sdk.errors import InvalidValueError


class EncodedParam(NamedTuple):
    """A param as it is stored."""

    kind: str
    text: str
    number: float | None


def check_key(key: str, what: str) -> str:
    """A name as it was given."""
    if not isinstance(key, str):
        raise InvalidValueError(f"{what} {key!r} is a {type(key).__name__}; give text")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidValueError(f"{what} {key!r} holds half of a surrogate pair", key=key) from None
    if not 1 <= size <= 1024 or "\0" in key:
        raise InvalidValueError(f"{what} {key[:50]!r} must have 1 to 1024 bytes and no NUL", key=key)
    return key


def flatten_params(value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Flat and nested."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, item: Any) -> None:
        if isinstance(item, Mapping):
            for key, inner in item.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            flat[prefix] = item

    walk("", value)
    return flat, dict(value)


def encode_param(value: Any) -> EncodedParam:
    """Encode."""
    if value is None:
        return EncodedParam("none", "", None)
    if isinstance(value, bool):
        return EncodedParam("bool", "true" if value else "false", float(value))
    if isinstance(value, int):
        return EncodedParam("int", str(value), float(value) if abs(value) < 1 << 1000 else None)
    if isinstance(value, float):
        return EncodedParam("float", repr(float(value)), None if math.isnan(value) else float(value))
    if isinstance(value, (list, tuple, dict)):
        return EncodedParam("json", json.dumps(value, ensure_ascii=False, default=str), None)
    return EncodedParam("str", str(value), None)


def decode_param(kind: str, text: str) -> Any:
    """The inverse."""
    return {
        "none": lambda t: None, "bool": lambda t: t == "true", "int": int, "float": float, "json": json.loads,
    }.get(kind, str)(text)  # fmt: skip


def same_param(a: EncodedParam, b: EncodedParam) -> bool:
    """Whether two are equal."""
    return (a.kind, a.text) == (b.kind, b.text) or (a.number is not None and a.number == b.number)
