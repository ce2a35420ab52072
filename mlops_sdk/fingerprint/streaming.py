"""Fingerprints in passing: a table comes block by block, and is never in memory as a whole."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.canonical import BLOCK_ROWS, Chunk, Rules
from mlops_sdk.fingerprint.digest import ColumnDigest, Hashing, table_digest
from mlops_sdk.fingerprint.fingerprint import ColumnFingerprint, Fingerprint, content_digest, schema_digest
from mlops_sdk.fingerprint.lookup import LEAST_CELLS, LookupTable, Smallest
from mlops_sdk.fingerprint.mixing import MASK, mix
from mlops_sdk.fingerprint.multiset import SecureRows
from mlops_sdk.fingerprint.profile import Profiler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops_sdk.fingerprint.canonical import Cells, Column

    Words = NDArray[np.uint64]

_LANE = np.uint64(0xD6E8FEB86659FD93)
KEPT_ROWS_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """What is computed, and how.

    Attributes
    ----------
    rules : Rules
    salt : bytes or None
    rows : bool
        Row hashes: the row-order-free digest and all that stands on it.
    sketches : bool
        The lookup table and the smallest hashes: `diff` names rows, `overlap` works.
    profile : bool
    secure : bool
    n_cells : int
        Of the lookup table.
    keep_rows : bool
        Keep the row hashes in memory (8 bytes a row, up to 64 MiB), for an exact `overlap` in this process.
    """

    rules: Rules = field(default_factory=Rules)
    salt: bytes | None = None
    rows: bool = True
    sketches: bool = True
    profile: bool = True
    secure: bool = False
    n_cells: int = LEAST_CELLS
    keep_rows: bool = False


class _ColumnState:
    """What is known of one column so far."""

    def __init__(self, name: str, type: str, key: int, options: Options, hashing: Hashing) -> None:  # noqa: A002 - as in `Column`
        self.name = name
        self.type = type
        self.key = np.uint64(key)
        self.digest = ColumnDigest(hashing)
        self.lane = 0
        self.profiler = Profiler() if options.profile else None


class Fingerprinter:
    """Takes chunks of one table in order, and says their fingerprint.

    Parameters
    ----------
    options : Options, optional

    Notes
    -----
    Memory is bounded by the columns, not by the rows. How the table is cut into chunks never matters. Not thread-safe.
    """

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or Options()
        self._hashing = Hashing(self._options.salt)
        self._columns: list[_ColumnState] | None = None
        self._n_rows = 0
        self._lanes = [0, 0]
        self._table = LookupTable(self._options.n_cells)
        self._smallest = Smallest()
        self._secure = SecureRows(self._hashing) if self._options.secure else None
        self._kept: list[Words] | None = [] if self._options.keep_rows and self._options.rows else None
        self._scratch = np.empty((3, BLOCK_ROWS), dtype=np.uint64)
        self.progress: Callable[[int], None] | None = None

    def update(self, chunks: Iterable[Chunk]) -> Fingerprinter:
        """Append chunks.

        Raises
        ------
        InvalidValueError
            If a chunk has other columns than those before it, or a value has no canonical form.
        """
        with np.errstate(invalid="ignore", over="ignore"):  # a signalling NaN is a NaN
            for chunk in chunks:
                self._append(chunk)
        return self

    def _append(self, chunk: Chunk) -> None:
        states = self._states(chunk)
        for start in range(0, chunk.n_rows, BLOCK_ROWS):
            stop = min(chunk.n_rows, start + BLOCK_ROWS)
            self._block(states, chunk.columns, start, stop)
            if self.progress is not None:
                self.progress(stop - start)

    def _states(self, chunk: Chunk) -> list[_ColumnState]:
        if self._columns is None:
            keys = row_keys(self._hashing, chunk.names)
            self._columns = [
                _ColumnState(name, column.type, key, self._options, self._hashing)
                for name, column, key in zip(chunk.names, chunk.columns, keys, strict=True)
            ]
        known = tuple(state.name for state in self._columns)
        if known != chunk.names:
            raise InvalidValueError(f"a chunk has the columns {_listed(chunk.names)}, those before it {_listed(known)}")
        if chunk.n_rows:
            for state, column in zip(self._columns, chunk.columns, strict=True):
                state.type = _joined_type(state.type, column.type, is_first=self._n_rows == 0)
        return self._columns

    def _block(self, states: list[_ColumnState], columns: list[Column], start: int, stop: int) -> None:
        n, options = stop - start, self._options
        rows, mixed, scratch = self._scratch[:, :n]
        rows[:] = 0
        secure: list[Cells] = []
        for state, column in zip(states, columns, strict=True):
            cells = column.cells(start, stop, options.rules)
            state.digest.absorb(cells)
            if options.rows:
                mix(cells.codes, mixed, scratch)
                state.lane = (state.lane + int(mixed.sum())) & MASK
                np.multiply(mixed, state.key, out=scratch)
                np.add(rows, scratch, out=rows)
                if state.profiler is not None:
                    state.profiler.absorb(cells, mixed, scratch.view(np.float64))
            if self._secure is not None:
                secure.append(cells)
        self._n_rows += n
        if self._secure is not None and secure:
            self._secure.absorb([state.name for state in states], secure)
        if options.rows:
            self._rows(rows, scratch)

    def _rows(self, rows: Words, scratch: Words) -> None:
        hashes = mix(rows, rows, scratch)
        self._lanes[0] = (self._lanes[0] + int(hashes.sum())) & MASK
        self._lanes[1] = (self._lanes[1] + int(mix(hashes ^ _LANE).sum())) & MASK
        if self._options.sketches:
            self._table.absorb(hashes)
            self._smallest.absorb(hashes)
        if self._kept is not None:
            self._kept.append(hashes.copy())
            if self._n_rows * 8 > KEPT_ROWS_BYTES:
                self._kept = None

    def fingerprint(self) -> Fingerprint:
        """The fingerprint of what came so far; more may follow."""
        options = self._options
        columns = tuple(
            ColumnFingerprint(
                name=state.name, type=state.type, kind=state.digest.kind, digest=state.digest.digest().hex(),
                n_nulls=state.digest.n_nulls, lane=state.lane if options.rows else None,
                profile=state.profiler.profile() if state.profiler is not None and options.rows else None,
            )
            for state in self._columns or ()
        )  # fmt: skip
        named = [(column.name, column.kind, bytes.fromhex(column.digest or "")) for column in columns]
        state = self._secure.state if self._secure is not None else None
        return Fingerprint(
            digest=table_digest(self._hashing, self._n_rows, named),
            content_digest=content_digest(self._hashing, self._n_rows, columns, self._lanes, state) if options.rows else None,
            schema_digest=schema_digest(columns),
            n_rows=self._n_rows, fields=columns, lanes=(self._lanes[0], self._lanes[1]) if options.rows else None,
            table=self._table if options.sketches and options.rows else None,
            smallest=self._smallest if options.sketches and options.rows else None,
            secure_state=None if state is None else state.copy(), salt=options.salt,
            salt_id=salt_id(self._hashing) if options.salt else "", nan_is_null=options.rules.nan_is_null,
            row_hashes=None if self._kept is None else np.concatenate(self._kept) if self._kept else np.empty(0, np.uint64),
        )  # fmt: skip


def row_keys(hashing: Hashing, names: tuple[str, ...]) -> list[int]:
    """The odd numbers that the columns' cells are multiplied with: from the name, and its turn among its like."""
    turns: dict[str, int] = {}
    keys = []
    for name in names:
        turn = turns[name] = turns.get(name, -1) + 1
        keys.append(hashing.words("row key", name.encode("utf-8", "surrogatepass"), struct.pack("<Q", turn))[0] | 1)
    return keys


def salt_id(hashing: Hashing) -> str:
    """What tells one salt from another without telling it."""
    return hashing.tagged("salt").hex()[:16]


def row_hashes(chunks: Iterable[Chunk], options: Options) -> Iterable[Words]:
    """Hashes of the rows of each chunk, uint64[n]; those that the sketches of a fingerprint are made of."""
    hashing = Hashing(options.salt)
    with np.errstate(invalid="ignore", over="ignore"):
        for chunk in chunks:
            rows = np.zeros(chunk.n_rows, dtype=np.uint64)
            for key, column in zip(row_keys(hashing, chunk.names), chunk.columns, strict=True):
                for start in range(0, chunk.n_rows, BLOCK_ROWS):
                    stop = min(chunk.n_rows, start + BLOCK_ROWS)
                    rows[start:stop] += mix(column.cells(start, stop, options.rules).codes) * np.uint64(key)
            yield mix(rows)


def _joined_type(known: str, new: str, *, is_first: bool) -> str:
    if known == new or known == "null" or is_first:
        return new
    return known if new == "null" else "object"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
