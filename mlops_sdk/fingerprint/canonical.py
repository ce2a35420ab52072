"""The canonical form: kinds of values, and the block in which every column arrives.

References
----------
.. [1] ``docs/fingerprint-spec.md``
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

VERSION = 1
BLOCK_ROWS = 16_384
"""Rows looked at together: a column's part of it stays in the second-level cache."""

NUMBER, TEXT, BYTES, NESTED, COMPLEX = "number", "text", "bytes", "nested", "complex"
TIME, INSTANT, DURATION, CLOCK = "time", "instant", "duration", "clock"

NULL = 0x7FF8_0000_0000_0001
"""Code of a missing value, whatever the kind: a NaN that no calculation makes."""
NAN = 0x7FF8_0000_0000_0000
INTEGER = 0x7FF8_0000_0000_0002
"""Stands in a number stream for a value that is not exactly a float64; the value itself is in the second stream."""

MARKS = {
    NUMBER: 0,
    TEXT: 0x7465_7874_0000_0001,
    BYTES: 0x6279_7465_0000_0002,
    NESTED: 0x6E65_7374_0000_0003,
    COMPLEX: 0x636F_6D70_0000_0004,
    TIME: 0x7469_6D65_0000_0005,
    INSTANT: 0x696E_7374_0000_0006,
    DURATION: 0x6475_7261_0000_0007,
    CLOCK: 0x636C_6F63_0000_0008,
}
"""What a cell code is XORed with, so that the text "1", the bytes b"1" and the time 1 are three things."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a caller may choose about values.

    Attributes
    ----------
    nan_is_null : bool
        NaN and missing are one value.
    seed : int
        64 bits from the salt; 0 without one.
    """

    nan_is_null: bool = True
    seed: int = 0


@dataclass(slots=True)
class Part:
    """The values of one kind in a block, without the missing ones.

    Attributes
    ----------
    kind : str
    n : int
    streams : tuple of buffers
        Canonical bytes, to be appended to the column's streams of that kind.
    """

    kind: str
    n: int
    streams: tuple[Any, ...]


@dataclass(slots=True)
class Cells:
    """A column's part of a block, in canonical form.

    Attributes
    ----------
    codes : uint64[n]
        One code a row; `NULL` where the value is missing.
    nulls : bool[n] or None
        Where values are missing; None for nowhere.
    parts : list of Part
        One for each kind, in order of first appearance; empty when all is missing.
    order : uint8[n] or None
        Index into `parts` of every value that is not missing; None when there is one part.
    values : float64[n] or None
        For the profile: numbers, or nanoseconds; NaN where missing.
    exact : int64[n] or None
        Nanoseconds, exactly.
    label : callable
        The value of a row, for people.
    """

    codes: Words
    nulls: NDArray[np.bool_] | None
    parts: list[Part]
    order: NDArray[np.uint8] | None = None
    values: NDArray[np.float64] | None = None
    exact: NDArray[np.int64] | None = None
    label: Callable[[int], Any] = field(default=lambda row: None)


class Column(Protocol):
    """A column's part of a chunk.

    Attributes
    ----------
    type : str
        Logical type with its width, for the schema.
    """

    @property
    def type(self) -> str: ...

    def __len__(self) -> int: ...

    def cells(self, start: int, stop: int, rules: Rules) -> Cells:
        """Rows from `start` to before `stop`, in canonical form."""

    def python_values(self) -> Iterable[Any]:
        """The values as Python has them; None where missing."""


@dataclass(slots=True)
class Chunk:
    """Rows of a table.

    Attributes
    ----------
    names : tuple of str
    columns : list of Column, all of one length
    """

    names: tuple[str, ...]
    columns: list[Column]
    n_rows: int


Chunks = Iterator[Chunk]


def nothing(nulls: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """A mask, or None when it is empty of truth."""
    return nulls if nulls is not None and nulls.any() else None
