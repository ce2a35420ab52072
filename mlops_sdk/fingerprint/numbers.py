"""Columns of numbers: floats, integers, booleans; complex numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.fingerprint.canonical import COMPLEX, INTEGER, MARKS, NAN, NULL, NUMBER, Cells, Part, nothing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops_sdk.fingerprint.canonical import Rules

_EXACT = 1 << 53
_SIGNED, _UNSIGNED = 1, 3
SIDE = np.dtype([("form", "u1"), ("value", "<u8")])


class Numbers:
    """A column of an array of booleans, integers or floats.

    Parameters
    ----------
    array : array of shape (n,)
    mask : bool[n], optional
        Where values are missing.
    type : str, optional
        Name of the type in the schema; default the array's.
    """

    def __init__(self, array: NDArray[Any], mask: NDArray[np.bool_] | None = None, type: str | None = None) -> None:  # noqa: A002 - the attribute of `Column`
        self._array = array
        self._mask = mask
        self.type = type or array.dtype.name

    def __len__(self) -> int:
        return len(self._array)

    def cells(self, start: int, stop: int, rules: Rules) -> Cells:
        """See `Column`."""
        array = self._array[start:stop]
        mask = None if self._mask is None else nothing(self._mask[start:stop])
        return cells_of(array, mask, rules, lambda row: array[row].item())

    def python_values(self) -> list[Any]:
        """See `Column`."""
        values: list[Any] = self._array.tolist()
        return (
            values
            if self._mask is None
            else [None if gone else v for v, gone in zip(values, self._mask.tolist(), strict=True)]
        )


def cells_of(array: NDArray[Any], mask: NDArray[np.bool_] | None, rules: Rules, label: Any) -> Cells:
    """Numbers in canonical form."""
    values = np.add(array, 0.0, dtype=np.float64)  # -0.0 becomes 0.0
    codes = values.view(np.uint64)
    inexact = _inexact(array, values, mask) if array.dtype.kind in "iu" and array.dtype.itemsize == 8 else None
    if mask is not None:
        values[mask] = np.nan
    nulls = mask
    if (array.dtype.kind == "f" and _has_nan(values)) or mask is not None:
        values, nulls = _missing(values, codes, mask, rules)
    streams: tuple[Any, ...] = (codes if nulls is None else codes[~nulls],)
    if inexact is not None:
        rounded = codes.view(np.float64).copy()
        codes = codes.copy()
        codes[inexact] = INTEGER
        side = _side(array[inexact])
        streams = (codes.copy() if nulls is None else codes[~nulls], side)
        codes[inexact] = _side_codes(side)
        values = rounded
    n = len(codes) if nulls is None else len(streams[0])
    if rules.seed:
        codes = codes ^ np.uint64(rules.seed)
        if nulls is not None:
            codes[nulls] = NULL
    return Cells(codes, nulls, [Part(NUMBER, n, streams)] if n else [], values=values, label=label)


def _has_nan(values: NDArray[np.float64]) -> bool:
    if not len(values):
        return False
    greatest = values.max()
    return bool(greatest != greatest)


def _missing(
    values: NDArray[np.float64], codes: Any, mask: NDArray[np.bool_] | None, rules: Rules
) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """Codes of what is missing, and of NaN, set; the values keep NaN for both."""
    not_a_number = np.isnan(values)
    nulls = not_a_number if rules.nan_is_null else mask
    codes[not_a_number] = NAN
    if nulls is not None:
        codes[nulls] = NULL
    return values, nulls


def _inexact(
    array: NDArray[Any], values: NDArray[np.float64], mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Where a 64-bit integer is not exactly a float64."""
    if not len(array) or (array.max() <= _EXACT and (array.dtype.kind == "u" or array.min() >= -_EXACT)):
        return None
    limit = 2.0**63 if array.dtype.kind == "i" else 2.0**64
    fits = values < limit
    found = ~fits
    found[fits] = values[fits].astype(array.dtype) != array[fits]
    if mask is not None:
        found &= ~mask
    return nothing(found)


def _side(integers: NDArray[Any]) -> NDArray[Any]:
    """Integers of 64 bits, each behind a byte that says whether it is signed."""
    side = np.empty(len(integers), dtype=SIDE)
    side["form"] = _SIGNED if integers.dtype.kind == "i" else np.where(integers > 2**63 - 1, _UNSIGNED, _SIGNED)
    side["value"] = integers.view(np.uint64) if integers.dtype == np.int64 else integers.astype(np.uint64)
    return side


def _side_codes(side: NDArray[Any]) -> NDArray[np.uint64]:
    codes: NDArray[np.uint64] = side["value"] ^ np.uint64(INTEGER)
    return codes + (side["form"].astype(np.uint64) << np.uint64(56))


def integer_cell(value: int) -> tuple[bytes, int] | None:
    """Side bytes and code of an integer that is not exactly a float64; None where 64 bits do not hold it."""
    if not -(1 << 63) <= value < 1 << 64:
        return None
    array = np.array([value], dtype=np.int64 if value < 1 << 63 else np.uint64)
    side = _side(array)
    return side.tobytes(), int(_side_codes(side)[0])


class Complexes:
    """A column of complex numbers: two numbers a cell."""

    def __init__(self, array: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> None:
        self._array = array
        self._mask = mask
        self.type = array.dtype.name

    def __len__(self) -> int:
        return len(self._array)

    def cells(self, start: int, stop: int, rules: Rules) -> Cells:
        """See `Column`."""
        from mlops_sdk.fingerprint.mixing import mix

        array = np.ascontiguousarray(self._array[start:stop], dtype=np.complex128)
        pairs = array.view(np.float64) + 0.0
        codes = pairs.view(np.uint64)
        codes[np.isnan(pairs)] = NAN
        pairs, codes = pairs.reshape(-1, 2), codes.reshape(-1, 2)
        mask = None if self._mask is None else self._mask[start:stop]
        nulls: Any = np.isnan(pairs).any(axis=1) if rules.nan_is_null else mask
        nulls = nothing(nulls if mask is None or nulls is None else nulls | mask)
        kept = codes if nulls is None else codes[~nulls]
        cell_codes = mix(mix(codes[:, 0].copy()) + codes[:, 1]) ^ np.uint64(MARKS[COMPLEX] ^ rules.seed)
        if nulls is not None:
            cell_codes[nulls] = NULL
        parts = [Part(COMPLEX, len(kept), (np.ascontiguousarray(kept),))] if len(kept) else []
        return Cells(cell_codes, nulls, parts, label=lambda row: str(array[row]))

    def python_values(self) -> list[Any]:
        """See `Column`."""
        return list(self._array.tolist())
