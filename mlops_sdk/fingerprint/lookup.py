"""Sketches of a set of rows: an invertible Bloom lookup table, and the smallest hashes.

References
----------
.. [1] M. T. Goodrich, M. Mitzenmacher, "Invertible Bloom lookup tables", 2011, arXiv:1101.2245
.. [2] K. Beyer et al., "On synopses for distinct-value estimation under multiset operations", SIGMOD 2007
.. [3] ``docs/fingerprint-spec.md``, "Sketches"
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.mixing import MASK, mix, mix_one

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

TABLES = 4
LEAST_CELLS, MOST_CELLS = 64, 1 << 16
DEFAULT_SMALLEST = 1024
_PAIRED_CELLS = 64
_CHECK = np.uint64(0xA0761D6478BD642F)
_TURNS = tuple(np.uint64(16 * turn) for turn in range(TABLES))


def cells_for(capacity: int) -> int:
    """Cells of each of the four tables that decode `capacity` replaced rows (2 x capacity hashes).

    Raises
    ------
    InvalidValueError
    """
    if not isinstance(capacity, int) or not 1 <= capacity <= 32_768:
        raise InvalidValueError(f"capacity is {capacity!r}; use 1 to 32,768 replaced rows")
    cells = LEAST_CELLS
    # 1.7 cells a hash: four tables peel above 1.3. Three would above 1.22, but of 100 hashes in 3 x 64 cells two meet in
    # all three with a chance of 2 %
    while TABLES * cells < 1.7 * 2 * capacity:
        cells *= 2
    return cells


class LookupTable:
    """A table from which the difference of two multisets of 64-bit row hashes can be read, while it is small.

    Parameters
    ----------
    n_cells : int
        Of each of the four tables, a power of two; the two tables of a difference are folded to the smaller.

    Notes
    -----
    Sums, not XORs: a row that is there three times counts three times. Mergeable by addition.
    """

    def __init__(self, n_cells: int = LEAST_CELLS) -> None:
        self.n_cells = n_cells
        shape = (TABLES, n_cells)
        self.counts = np.zeros(shape, dtype=np.int64)
        self.keys = np.zeros(shape, dtype=np.uint64)
        self.checks = np.zeros(shape, dtype=np.uint64)

    def absorb(self, rows: Words) -> None:
        """Add row hashes."""
        checks = mix(rows ^ _CHECK)
        last = np.uint64(self.n_cells - 1)
        cells = [(checks >> turn) & last for turn in _TURNS]
        is_paired = self.n_cells <= _PAIRED_CELLS
        for table in range(0, TABLES, 2 if is_paired else 1):
            where, n = cells[table], self.n_cells
            if is_paired:  # one pass over the rows serves two tables
                where, n = where * np.uint64(n) + cells[table + 1], n * n
            for mine, sums in zip(self._parts, _grouped(where, n, rows, checks), strict=True):
                if is_paired:
                    both = sums.reshape(self.n_cells, self.n_cells)
                    mine[table] += both.sum(axis=1, dtype=mine.dtype)
                    mine[table + 1] += both.sum(axis=0, dtype=mine.dtype)
                else:
                    mine[table] += sums

    @property
    def _parts(self) -> tuple[Any, Any, Any]:
        return self.counts, self.keys, self.checks

    def __add__(self, other: LookupTable) -> LookupTable:
        return self._combined(other, 1)

    def __sub__(self, other: LookupTable) -> LookupTable:
        return self._combined(other, -1)

    def _combined(self, other: LookupTable, sign: int) -> LookupTable:
        n_cells = min(self.n_cells, other.n_cells)
        mine, theirs = self.folded(n_cells), other.folded(n_cells)
        result = LookupTable(n_cells)
        result.counts = mine.counts + sign * theirs.counts
        result.keys = mine.keys + theirs.keys if sign > 0 else mine.keys - theirs.keys
        result.checks = mine.checks + theirs.checks if sign > 0 else mine.checks - theirs.checks
        return result

    def folded(self, n_cells: int) -> LookupTable:
        """The same multiset in fewer cells."""
        result = LookupTable(n_cells)
        shape = (TABLES, self.n_cells // n_cells, n_cells)
        result.counts = self.counts.reshape(shape).sum(axis=1)
        result.keys = self.keys.reshape(shape).sum(axis=1, dtype=np.uint64)
        result.checks = self.checks.reshape(shape).sum(axis=1, dtype=np.uint64)
        return result

    def decode(self) -> dict[int, int] | None:
        """Multiplicity of every row hash in the table, below 0 for those taken away; None when there are too many."""
        return _Peeling(self).run()

    def to_text(self) -> str:
        """Counts, keys and checks, `packed`: 8 bytes each, little-endian, table by table."""
        parts = (self.counts.astype("<i8"), self.keys.astype("<u8"), self.checks.astype("<u8"))
        return packed(b"".join(part.tobytes() for part in parts))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Undo `to_text`.

        Raises
        ------
        InvalidValueError
            If the size is not that of a table.
        """
        data = np.frombuffer(unpacked(text, 24 * TABLES * MOST_CELLS), dtype="<u8")
        n_cells = len(data) // (3 * TABLES)
        if n_cells * 3 * TABLES != len(data) or not LEAST_CELLS <= n_cells <= MOST_CELLS or n_cells & (n_cells - 1):
            raise InvalidValueError(f"a lookup table of {len(data)} words is damaged")
        counts, keys, checks = data.astype(np.uint64).reshape(3, TABLES, n_cells)
        table = cls(n_cells)
        table.counts, table.keys, table.checks = counts.view(np.int64).copy(), keys.copy(), checks.copy()
        return table


def _grouped(where: Words, n: int, rows: Words, checks: Words) -> tuple[Any, Any, Any]:
    """Count, sum of rows and sum of checks of each of `n` cells."""
    cells = where.view(np.int64)
    sums = np.zeros((2, n), dtype=np.uint64)
    np.add.at(sums[0], cells, rows)
    np.add.at(sums[1], cells, checks)
    return np.bincount(cells, minlength=n), sums[0], sums[1]


class _Peeling:
    """Takes hashes out of cells that hold only one, until none is left."""

    def __init__(self, table: LookupTable) -> None:
        self._counts = table.counts.tolist()
        self._keys = table.keys.tolist()
        self._checks = table.checks.tolist()
        self._last = table.n_cells - 1
        self._found: dict[int, int] = {}

    def run(self) -> dict[int, int] | None:
        waiting = [(table, cell) for table in range(TABLES) for cell in range(self._last + 1)]
        # each hash that is found empties a cell for good, and puts four back in line; tampered tables could go on for ever
        for _ in range(2 * (TABLES + 1) * len(waiting)):
            if not waiting:
                break
            waiting += self._peel(*waiting.pop())
        if any(map(any, self._counts)) or any(map(any, self._keys)) or any(map(any, self._checks)):
            return None
        return {key: count for key, count in self._found.items() if count}

    def _peel(self, table: int, cell: int) -> list[tuple[int, int]]:
        count, total, check = (part[table][cell] for part in (self._counts, self._keys, self._checks))
        if count == 0:
            return []
        for key in _divided(total, count):
            own = mix_one(key ^ int(_CHECK))
            if own * count & MASK == check and (own >> 16 * table) & self._last == cell:
                return self._take(key, own, count)
        return []

    def _take(self, key: int, check: int, count: int) -> list[tuple[int, int]]:
        self._found[key] = self._found.get(key, 0) + count
        touched = []
        for table in range(TABLES):
            cell = (check >> 16 * table) & self._last
            self._counts[table][cell] -= count
            self._keys[table][cell] = (self._keys[table][cell] - key * count) & MASK
            self._checks[table][cell] = (self._checks[table][cell] - check * count) & MASK
            touched.append((table, cell))
        return touched


def _divided(total: int, count: int) -> list[int]:
    """Keys with ``count * key == total`` modulo 2^64; none are tried where there would be more than 64."""
    sign, size = (1, count) if count > 0 else (-1, -count)
    total = total * sign & MASK
    twos = (size & -size).bit_length() - 1
    if twos > 6 or total & ((1 << twos) - 1):
        return []
    odd = size >> twos
    width = 64 - twos
    base = (total >> twos) * pow(odd, -1, 1 << width) % (1 << width)
    return [base + (high << width) for high in range(1 << twos)]


class Smallest:
    """The `k` smallest distinct hashes: a uniform sample that any two sets take alike.

    Parameters
    ----------
    k : int
    """

    def __init__(self, k: int = DEFAULT_SMALLEST) -> None:
        self.k = k
        self.hashes: Words = np.empty(0, dtype=np.uint64)

    def absorb(self, hashes: Words) -> None:
        """Add hashes."""
        if len(self.hashes) == self.k:
            hashes = hashes[hashes < self.hashes[-1]]
        if len(hashes):
            merged = np.concatenate([self.hashes, hashes])
            merged.sort()
            is_new = np.empty(len(merged), dtype=np.bool_)
            is_new[0] = True
            np.not_equal(merged[1:], merged[:-1], out=is_new[1:])
            self.hashes = merged[is_new][: self.k]

    @property
    def is_whole(self) -> bool:
        """Whether every hash is still here."""
        return len(self.hashes) < self.k

    @property
    def limit(self) -> int:
        """Hashes below or at this are all here."""
        return MASK if self.is_whole else int(self.hashes[-1])

    def distinct(self) -> float:
        """Estimate of the number of distinct hashes; exact while `is_whole`. Standard error about 1 / sqrt(k - 2)."""
        if self.is_whole:
            return float(len(self.hashes))
        return (self.k - 1) / (self.limit / 2.0**64)

    def __add__(self, other: Smallest) -> Smallest:
        result = Smallest(min(self.k, other.k))
        result.hashes = np.union1d(self.hashes, other.hashes)[: result.k]
        return result

    def to_text(self) -> str:
        """Base64 of the hashes, little-endian."""
        return base64.b64encode(self.hashes.astype("<u8").tobytes()).decode()

    @classmethod
    def from_text(cls, text: str, k: int) -> Self:
        """Undo `to_text`.

        Raises
        ------
        InvalidValueError
        """
        data = decoded(text)
        if len(data) % 8 or not 2 <= k <= 1 << 20 or len(data) > 8 * k:
            raise InvalidValueError("a list of smallest hashes is damaged")
        sketch = cls(k)
        sketch.hashes = np.unique(np.frombuffer(data, dtype="<u8").astype(np.uint64))
        return sketch


def packed(data: bytes) -> str:
    """Deflated, in base64."""
    return base64.b64encode(zlib.compress(data)).decode()


def unpacked(text: Any, most_bytes: int) -> bytes:
    """Undo `packed`.

    Raises
    ------
    InvalidValueError
        If it is damaged, or would be larger than `most_bytes`.
    """
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(decoded(text), most_bytes)
    except zlib.error as error:
        raise InvalidValueError(f"a stored fingerprint is damaged: {error}") from error
    if not inflater.eof:
        raise InvalidValueError(f"a stored fingerprint is damaged: a part is cut, or larger than {most_bytes:,} bytes")
    return data


def decoded(text: Any) -> bytes:
    """Bytes of base64.

    Raises
    ------
    InvalidValueError
    """
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"a stored fingerprint is damaged: {error}") from error
