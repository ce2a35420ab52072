"""How things travel between `HTTPStore` and the server: strict JSON for what is small, bytes for what is large.

Values arrive as they were sent. What JSON has no word for is an object with one key that begins with ``$``: ``$f`` a float
that is not finite, as the hex digits of its eight bytes; ``$i`` an integer beyond 64 bits, in hex; ``$t`` a tuple; ``$o``
an object whose own keys begin with ``$``, as pairs; ``$c`` one of our data classes, ``[name, {field: value}]``. Fields that
a reader does not know are left out, those that a sender does not know have their defaults: so versions may differ.

References
----------
.. [1] ``docs/adr/0009-remote.md``
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError, StoreCorruptError
from mlops_sdk.journal.records import Batch, WriterHeader

if TYPE_CHECKING:
    from mlops_sdk.entities import MetricSeries

PROTOCOL = 1
"""Changed when an older side would misunderstand a newer one."""

MAX_DEPTH = 32
_INT64 = 2**63
_LENGTH = struct.Struct("<I")
_FIRST = struct.Struct("<Q")
_SERIES_MAGIC = b"MLS1"
_CLASSES_IN = ("mlops_sdk.entities", "mlops_sdk.conditions")


# -- values --------------------------------------------------------------------------------------------------------------


def dumps(value: Any) -> bytes:
    """Encode a value.

    Raises
    ------
    InvalidValueError
        If it holds something that does not travel.
    """
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False).encode("ascii")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value) if -_INT64 <= value < _INT64 else {"$i": hex(value)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$f": struct.pack(">d", value).hex()}
    if isinstance(value, Mapping):
        return _plain_mapping(value)
    if isinstance(value, tuple):
        return {"$t": [_plain(each) for each in value]}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_plain(each) for each in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
        return {"$c": [type(value).__name__, named]}
    raise InvalidValueError(f"{type(value).__name__} does not travel")


def _plain_mapping(value: Mapping[Any, Any]) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: _plain(each) for key, each in value.items()}
    return {"$o": [[_plain(key), _plain(each)] for key, each in value.items()]}


def loads(data: bytes | bytearray) -> Any:
    """Decode what `dumps` made, and nothing else.

    Raises
    ------
    InvalidValueError
        If it is not strict JSON (no NaN, no number beyond float64, no key twice), nests deeper than 32 values, or names
        what we do not have.
    """
    try:
        _check_depth(data)
        parsed = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
        return _restored(parsed)
    except InvalidValueError:
        raise
    except (ValueError, TypeError, RecursionError, OverflowError, AttributeError) as error:
        raise InvalidValueError(f"the body cannot be read: {str(error)[:200]}") from None


def _check_depth(data: bytes | bytearray) -> None:
    """Bound the nesting before the parser meets it; brackets inside of texts count too, which does no harm at this bound."""
    depth = 0
    limit = 13 * MAX_DEPTH  # a level of a filter takes up to eight of JSON
    for byte in data.translate(None, delete=_NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > limit:
            raise InvalidValueError(f"the body nests deeper than {limit} levels")


_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is beyond float64")
    return value


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key.startswith("$"):
            return _special(key, inner)
    return {key: _restored(each) for key, each in value.items()}


def _special(key: str, inner: Any) -> Any:
    if key == "$f":
        return struct.unpack(">d", bytes.fromhex(inner))[0]
    if key == "$i":
        return int(inner, 16)
    if key == "$t":
        return tuple(_restored(each) for each in inner)
    if key == "$o":
        return {_restored(name): _restored(each) for name, each in inner}
    if key == "$c":
        name, fields = inner
        kind = _class(name)
        known = {each.name for each in dataclasses.fields(kind)}
        return kind(**{field: _restored(each) for field, each in fields.items() if field in known})
    raise InvalidValueError(f"{key!r} is no kind of value")


@cache
def _classes() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place in _CLASSES_IN:
        if importlib.util.find_spec(place) is None:
            continue
        found |= {
            name: each
            for name, each in vars(importlib.import_module(place)).items()
            if dataclasses.is_dataclass(each) and isinstance(each, type) and each.__module__ == place
        }
    return found


def _class(name: Any) -> Any:
    if not isinstance(name, str) or name not in _classes():
        raise InvalidValueError(f"{str(name)[:80]!r} is nothing that travels")
    return _classes()[name]


# -- batches -------------------------------------------------------------------------------------------------------------


def encode_batch(batch: Batch) -> bytes:
    """A batch as bytes: length of its header, the header as JSON, the first number, the records as they are, CRC-32."""
    header = dumps({name: getattr(batch.writer, name) for name in WriterHeader.__slots__})
    body = b"".join((_LENGTH.pack(len(header)), header, _FIRST.pack(batch.first), batch.data))
    return body + _LENGTH.pack(zlib.crc32(body))  # the records' own checksums do not cover the header


def decode_batch(body: bytes) -> Batch:
    """Take apart what `encode_batch` made; the records are not looked at.

    Raises
    ------
    InvalidValueError
        If it is none.
    StoreCorruptError
        If it was damaged on the way.
    """
    if len(body) < 2 * _LENGTH.size:
        raise InvalidValueError("the body is no batch")
    body, checksum = body[: -_LENGTH.size], body[-_LENGTH.size :]
    if _LENGTH.pack(zlib.crc32(body)) != checksum:
        raise StoreCorruptError("the batch was damaged on the way")
    (length,) = _LENGTH.unpack_from(body)
    start = _LENGTH.size + length
    if length > 1 << 16 or start + _FIRST.size > len(body):
        raise InvalidValueError("the body is no batch")
    fields = loads(body[_LENGTH.size : start])
    (first,) = _FIRST.unpack_from(body, start)
    if not 1 <= first < _INT64:
        raise InvalidValueError("the first sequence number is out of range")
    return Batch(_header(fields), first, body[start + _FIRST.size :])


_HEADER_TYPES: dict[str, tuple[type, ...]] = {
    "run_id": (str,),
    "writer_id": (str,),
    "first": (int,),
    "index": (int,),
    "clock_offset_ns": (int,),
    "role": (str,),
    "rank": (int, type(None)),
    "host": (str,),
    "boot_id": (str,),
    "pid_namespace": (str,),
    "pid": (int,),
    "pid_start": (str,),
}


def _header(fields: Any) -> WriterHeader:
    if not isinstance(fields, dict):
        raise InvalidValueError("the header of the batch is no object")
    known = {name: value for name, value in fields.items() if name in _HEADER_TYPES}
    for name, value in known.items():
        is_number = type(value) is int and int in _HEADER_TYPES[name]
        if type(value) not in _HEADER_TYPES[name] or (is_number and not -_INT64 <= value < _INT64):
            raise InvalidValueError(f"{name} in the header of the batch is {str(value)[:80]!r}")
    try:
        return WriterHeader(**known)
    except TypeError:
        raise InvalidValueError("the header of the batch lacks run_id or writer_id") from None


# -- series --------------------------------------------------------------------------------------------------------------


def encode_series(series: MetricSeries) -> bytes:
    """A series as bytes: magic, length of the header, the header as JSON, then its columns, 8 bytes a value."""
    header = dumps({"key": series.key, "n": len(series), "n_total": series.n_total, "ranks": series.rank is not None})
    parts = [series.step.astype("<i8"), series.time_ns.astype("<i8"), series.value.astype("<f8")]
    parts += [] if series.rank is None else [series.rank.astype("<i8")]
    return b"".join((_SERIES_MAGIC, _LENGTH.pack(len(header)), header, *(part.tobytes() for part in parts)))


def decode_series(body: bytes) -> MetricSeries:
    """Take apart what `encode_series` made.

    Raises
    ------
    InvalidValueError
    """
    import numpy as np

    from mlops_sdk.entities import MetricSeries

    if body[:4] != _SERIES_MAGIC:
        raise InvalidValueError("the answer is no series")
    (length,) = _LENGTH.unpack_from(body, 4)
    start = 8 + length
    header = loads(body[8:start])
    n, columns = header["n"], []
    for kind in ("<i8", "<i8", "<f8", *(["<i8"] if header["ranks"] else [])):
        columns.append(np.frombuffer(body, kind, n, start).astype(kind[1:]))
        start += 8 * n
    step, time_ns, value, *rank = columns
    return MetricSeries(header["key"], step, value, time_ns, rank[0] if rank else None, header["n_total"])
