"""Columns of numbers as bytes: how metric points stand in the database.

Every blob begins with eight bytes: format (u8), number of columns (u8), two zero bytes, CRC-32 of all that follows. All
numbers are little-endian.

======  ===========  =====================================================================================
format  name         what follows
======  ===========  =====================================================================================
1       raw          the columns one after the other, 8 bytes a value
2       compressed   for each column its encoding (u8: 0 raw, 1 pcodec), three zero bytes, its length in
                     bytes (u32); then the columns one after the other
======  ===========  =====================================================================================

Format 1 is written without numpy, so that a small batch costs no import. A compressed column is decoded again and
compared before it is used: what does not come back bit for bit is kept raw.

References
----------
.. [1] ``docs/storage-schema.md``
.. [2] pcodec, https://github.com/pcodec/pcodec
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import StoreCorruptError, StoreVersionError

if TYPE_CHECKING:
    import numpy.typing as npt

    Column = npt.NDArray[Any]

RAW = 1
COMPRESSED = 2
_HEAD = struct.Struct("<BBHI")
_COLUMN = struct.Struct("<B3xI")
_PLAIN = 0
_PCODEC = 1
_DENSEST = 1 << 16
"""Points a byte: a generous bound. 2**18 equal points take some 200 bytes."""
_LEVEL = 6
"""Of 12. On short columns half the time of the default, 8, for 0.3 % more bytes."""


def encode_lists(columns: Sequence[tuple[str, Sequence[Any]]]) -> bytes:
    """Encode columns as they are, without numpy.

    Parameters
    ----------
    columns : sequence of (type, values)
        Type is ``"q"`` (int64) or ``"d"`` (float64); all of one length.
    """
    body = b"".join(struct.pack(f"<{len(values)}{kind}", *values) for kind, values in columns)
    return _HEAD.pack(RAW, len(columns), 0, zlib.crc32(body)) + body


def encode_arrays(columns: Sequence[Column]) -> bytes:
    """Encode arrays of 8-byte numbers as they are."""
    body = b"".join(_raw_bytes(column) for column in columns)
    return _HEAD.pack(RAW, len(columns), 0, zlib.crc32(body)) + body


def compress(columns: Sequence[Column]) -> bytes:
    """Encode arrays of 8-byte numbers compactly."""
    encoded = [_compress(column) for column in columns]
    index = b"".join(_COLUMN.pack(encoding, len(data)) for encoding, data in encoded)
    body = index + b"".join(data for _, data in encoded)
    return _HEAD.pack(COMPRESSED, len(columns), 0, zlib.crc32(body)) + body


def decode(blob: bytes, types: str, *, place: str, n: int = 0, out: Sequence[Column] = ()) -> list[Any]:
    """Decode the first ``len(types)`` columns.

    Parameters
    ----------
    blob : bytes
    types : str
        A letter for each: ``"q"`` (int64) or ``"d"`` (float64).
    place : str
        Where the blob stands, for the error.
    n : int
        Length every column must have.
    out : sequence of numpy.ndarray, optional
        Contiguous arrays to decode into, instead of new ones; their length is n then.

    Returns
    -------
    list of numpy.ndarray
        Each of shape (n,).

    Raises
    ------
    StoreCorruptError
    StoreVersionError
        If a newer version wrote the blob.
    """
    import numpy as np

    if len(blob) < _HEAD.size:
        raise _damaged(place, "they are cut short")
    layout, n_columns, _, checksum = _HEAD.unpack_from(blob)
    if zlib.crc32(memoryview(blob)[_HEAD.size :]) != checksum:
        raise _damaged(place, "their checksum is wrong")
    if layout not in (RAW, COMPRESSED):
        raise StoreVersionError(f"points at {place}", layout, COMPRESSED)
    if not out and not _can_hold(blob, layout, n_columns, n):
        raise _damaged(place, f"they are not {n} points")
    columns = list(out) or [np.empty(n, np.int64 if kind == "q" else np.float64) for kind in types]
    try:
        pieces = _raw_pieces(blob, n_columns) if layout == RAW else _compressed_pieces(blob, n_columns)
        for column, (encoding, data) in zip(columns, pieces[: len(types)], strict=True):
            _fill(column, encoding, data)
    except (ValueError, TypeError, RuntimeError, struct.error) as error:
        raise _damaged(place, str(error)) from error
    return columns


def _can_hold(blob: bytes, layout: int, n_columns: int, n: int) -> bool:
    """Whether so many points may be in the blob: memory is not reserved for what a damaged row claims."""
    if layout == RAW:
        return len(blob) - _HEAD.size == n * n_columns * 8
    return 0 <= n <= len(blob) * _DENSEST


def _damaged(place: str, why: str) -> StoreCorruptError:
    return StoreCorruptError(f"the points at {place} are damaged ({why}): `mlops fsck` lists all damage", place=place)


def _raw_bytes(column: Column) -> bytes:
    return column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes()


def _compress(column: Column) -> tuple[int, bytes]:
    import numpy as np
    from pcodec import ChunkConfig, standalone

    packed: bytes = standalone.simple_compress(np.ascontiguousarray(column), ChunkConfig(compression_level=_LEVEL))
    back = standalone.simple_decompress(packed)
    if len(packed) < column.nbytes and np.array_equal(back.view(np.int64), column.view(np.int64)):
        return _PCODEC, packed
    return _PLAIN, _raw_bytes(column)


def _raw_pieces(blob: bytes, n_columns: int) -> list[tuple[int, memoryview]]:
    body = memoryview(blob)[_HEAD.size :]
    size = len(body) // max(n_columns, 1)
    return [(_PLAIN, body[index * size : (index + 1) * size]) for index in range(n_columns)]


def _compressed_pieces(blob: bytes, n_columns: int) -> list[tuple[int, memoryview]]:
    body = memoryview(blob)[_HEAD.size + n_columns * _COLUMN.size :]
    pieces, start = [], 0
    for index in range(n_columns):
        encoding, length = _COLUMN.unpack_from(blob, _HEAD.size + index * _COLUMN.size)
        pieces.append((encoding, body[start : start + length]))
        start += length
    return pieces


def _fill(column: Column, encoding: int, data: memoryview) -> None:
    import numpy as np
    from pcodec import standalone

    if encoding == _PLAIN:
        if len(data) != column.nbytes:
            raise ValueError(f"a column of {len(data)} bytes for {len(column)} values")
        column[:] = np.frombuffer(data, column.dtype.newbyteorder("<"))
        return
    progress = standalone.simple_decompress_into(bytes(data), column)
    if progress.n_processed != len(column) or not progress.finished:
        raise ValueError(f"a column of another length than {len(column)}")
