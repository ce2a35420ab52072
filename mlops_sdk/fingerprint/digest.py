"""Digests of columns and tables, absorbed block by block.

References
----------
.. [1] J. O'Connor et al., "BLAKE3", https://github.com/BLAKE3-team/BLAKE3-specs
.. [2] ``docs/fingerprint-spec.md``, "Digests"
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.fingerprint.canonical import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blake3 import blake3

    from mlops_sdk.fingerprint.canonical import Cells

_CONTEXT = "mlops_sdk fingerprint 1 salt"


class Hashing:
    """BLAKE3, keyed when there is a salt.

    Parameters
    ----------
    salt : bytes or None
    """

    def __init__(self, salt: bytes | None = None) -> None:
        from blake3 import blake3

        self._make = blake3
        self._key = blake3(salt, derive_key_context=_CONTEXT).digest() if salt else None

    def new(self) -> blake3:
        """A hasher."""
        return self._make() if self._key is None else self._make(key=self._key)

    def words(self, purpose: str, *data: bytes) -> tuple[int, int]:
        """Two 64-bit numbers that only that data gives."""
        digest = self.tagged(purpose, *data)
        return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")

    def tagged(self, purpose: str, *data: bytes) -> bytes:
        """Digest of pieces, each with its length, in a domain of their own."""
        hasher = self.new()
        hasher.update(f"mlops fingerprint {VERSION} {purpose}\0".encode())
        for piece in data:
            hasher.update(struct.pack("<Q", len(piece)))
            hasher.update(piece)
        return hasher.digest()


class ColumnDigest:
    """The ordered digest of one column's values, without its name.

    Notes
    -----
    Whatever the blocks, the same streams come together: of each kind its canonical bytes; the numbers of the rows where a
    value is missing; and, where values of several kinds meet, the lengths of the runs of one kind.
    """

    def __init__(self, hashing: Hashing) -> None:
        self._hashing = hashing
        self._streams: dict[str, list[Any]] = {}
        self._nulls = hashing.new()
        self._runs = hashing.new()
        self._run_kind, self._run_length = "", 0
        self.n_rows = 0
        self.n_nulls = 0

    def absorb(self, cells: Cells) -> None:
        """Append a block."""
        if cells.nulls is not None:
            rows = np.flatnonzero(cells.nulls)
            self.n_nulls += len(rows)
            self._nulls.update((rows + self.n_rows).astype("<u8").data.cast("B"))
        self.n_rows += len(cells.codes)
        for part in cells.parts:
            for hasher, stream in zip(self._hashers(part.kind), part.streams, strict=False):
                hasher.update(stream if isinstance(stream, bytes) else _bytes_of(stream))
        if cells.order is None:
            for part in cells.parts:
                self._run(part.kind, part.n)
        else:
            starts = np.flatnonzero(np.diff(cells.order, prepend=255))
            lengths = np.diff(starts, append=len(cells.order))
            for kind, length in zip(cells.order[starts].tolist(), lengths.tolist(), strict=True):
                self._run(cells.parts[kind].kind, length)

    def _hashers(self, kind: str) -> list[Any]:
        if kind not in self._streams:
            self._streams[kind] = [self._hashing.new(), self._hashing.new()]
        return self._streams[kind]

    def _run(self, kind: str, length: int) -> None:
        if kind != self._run_kind:
            if self._run_length:
                self._runs.update(_run_bytes(self._run_kind, self._run_length))
            self._run_kind, self._run_length = kind, 0
        self._run_length += length

    @property
    def kind(self) -> str:
        """What the values are: a kind, ``mixed``, or ``null`` where every one is missing."""
        return "null" if not self._streams else "mixed" if len(self._streams) > 1 else next(iter(self._streams))

    def digest(self) -> bytes:
        """32 bytes."""
        pieces = [struct.pack("<QQ", self.n_rows, self.n_nulls), self._nulls.digest()]
        for kind, hashers in self._streams.items():
            pieces += [kind.encode(), *(hasher.digest() for hasher in hashers)]
        if len(self._streams) > 1:
            runs = self._runs.copy()
            runs.update(_run_bytes(self._run_kind, self._run_length))
            pieces.append(runs.digest())
        return self._hashing.tagged("column", *pieces)


def _bytes_of(stream: np.ndarray[Any, Any]) -> memoryview | bytes:
    if not stream.dtype.isnative or (stream.dtype.itemsize > 1 and not _IS_LITTLE):
        stream = stream.astype(stream.dtype.newbyteorder("<"))
    return stream.view(np.uint8).data if stream.flags.c_contiguous else stream.tobytes()


_IS_LITTLE = bool(np.array([1], dtype=np.uint16).view(np.uint8)[0])


def _run_bytes(kind: str, length: int) -> bytes:
    return struct.pack("<QQ", len(kind), length) + kind.encode()


def table_digest(hashing: Hashing, n_rows: int, columns: Iterable[tuple[str, str, bytes]]) -> str:
    """The ordered digest: root over (name, kind, digest) of the columns in order.

    Returns
    -------
    str
        64 characters, lower-case hex.
    """
    pieces = [struct.pack("<Q", n_rows)]
    for name, kind, digest in columns:
        pieces += [name.encode("utf-8", "surrogatepass"), kind.encode(), digest]
    return hashing.tagged("table", *pieces).hex()
