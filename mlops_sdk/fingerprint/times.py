"""Columns of points in time, durations, and times of day: nanoseconds."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.canonical import MARKS, NULL, Cells, Part, nothing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops_sdk.fingerprint.canonical import Rules

NOT_A_TIME = -(1 << 63)
BEYOND = NOT_A_TIME + 1
"""Stands for what nanoseconds of 64 bits do not hold; its digits are in the second stream."""
NS_OF = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "D": 86400 * 10**9}
_FRACTIONS = {"ps": 10**3, "fs": 10**6, "as": 10**9}


class Times:
    """A column of 64-bit counts of a unit.

    Parameters
    ----------
    counts : int64[n]
        `NOT_A_TIME` where missing.
    unit_ns : int
        Nanoseconds in the unit.
    kind : {"time", "instant", "duration", "clock"}
    type : str
    mask : bool[n], optional
    """

    def __init__(
        self, counts: NDArray[np.int64], unit_ns: int, kind: str, type: str, mask: NDArray[np.bool_] | None = None  # noqa: A002 - the attribute of `Column`
    ) -> None:  # fmt: skip
        self.counts = counts
        self.unit_ns = unit_ns
        self.kind = kind
        self._mask = mask
        self.type = type

    def __len__(self) -> int:
        return len(self.counts)

    def cells(self, start: int, stop: int, rules: Rules) -> Cells:
        """See `Column`."""
        counts = self.counts[start:stop]
        missing = counts == NOT_A_TIME
        if self._mask is not None:
            missing |= self._mask[start:stop]
        nulls = nothing(missing)
        limit = ((1 << 63) - 2) // self.unit_ns
        beyond = nothing((np.abs(np.where(missing, 0, counts)) > limit) & ~missing) if self.unit_ns > 1 else None
        ns = (
            counts * np.int64(self.unit_ns)
            if beyond is None and nulls is None
            else _scaled(counts, self.unit_ns, nulls, beyond)
        )
        codes = ns.view(np.uint64) ^ np.uint64(MARKS[self.kind] ^ rules.seed)
        kept = ns if nulls is None else ns[~nulls]
        streams: tuple[Any, ...] = (kept,)
        if beyond is not None:
            streams, codes[beyond] = self._beyond(kept, counts[beyond], rules)
        values = ns.astype(np.float64)
        if beyond is not None:
            values[beyond] = counts[beyond].astype(np.float64) * self.unit_ns
        if nulls is not None:
            codes[nulls] = NULL
            values[nulls] = np.nan
        parts = [Part(self.kind, len(kept), streams)] if len(kept) else []
        label = _Label(counts, self.unit_ns, self.kind)
        return Cells(codes, nulls, parts, values=values, exact=ns if beyond is None else None, label=label)

    def python_values(self) -> list[Any]:
        """See `Column`; microseconds at the finest."""
        unit = "timedelta64[us]" if self.kind in ("duration", "clock") else "datetime64[us]"
        values: list[Any] = [dt_of(count * self.unit_ns, unit, self.kind) for count in self.counts.tolist()]
        gone = self.counts == NOT_A_TIME if self._mask is None else self._mask | (self.counts == NOT_A_TIME)
        return [None if is_gone else value for value, is_gone in zip(values, gone.tolist(), strict=True)]

    def _beyond(self, kept: Any, counts: NDArray[np.int64], rules: Rules) -> tuple[tuple[Any, ...], Any]:
        from mlops_sdk.fingerprint.mixing import hash_texts

        digits = [str(count * self.unit_ns).encode() for count in counts.tolist()]
        lengths = np.array([len(each) for each in digits], dtype=np.int64)
        data = np.frombuffer(b"".join(digits), dtype=np.uint8)
        codes = hash_texts(np.cumsum(lengths) - lengths, lengths, data, rules.seed) ^ np.uint64(MARKS[self.kind])
        return (kept, b"".join(each + b"\n" for each in digits)), codes


def _scaled(counts: Any, unit_ns: int, nulls: Any, beyond: Any) -> NDArray[np.int64]:
    small = counts.copy()
    for where in (nulls, beyond):
        if where is not None:
            small[where] = 0
    ns: NDArray[np.int64] = small * np.int64(unit_ns)
    if beyond is not None:
        ns[beyond] = BEYOND
    return ns


def dt_of(ns: int, unit: str, kind: str) -> Any:
    """A datetime or timedelta of nanoseconds; an instant is in UTC."""
    if not -(1 << 63) < ns // 1000 < 1 << 63:
        return None
    value = np.array([ns // 1000], dtype=np.int64).view(unit)[0].item()
    return value.replace(tzinfo=dt.UTC) if kind == "instant" and isinstance(value, dt.datetime) else value


class _Label:
    """The time of a row, as text."""

    def __init__(self, counts: NDArray[np.int64], unit_ns: int, kind: str) -> None:
        self.counts, self.unit_ns, self.kind = counts, unit_ns, kind

    def __call__(self, row: int) -> str:
        return text_of_ns(int(self.counts[row]) * self.unit_ns, self.kind)


def text_of_ns(ns: int, kind: str) -> str:
    """Nanoseconds for people: ISO 8601 for points in time, seconds for durations."""
    if kind == "duration":
        return f"{ns / 1e9:g} s"
    if kind == "clock":
        seconds, rest = divmod(ns, 10**9)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}" + (f".{rest:09}" if rest else "")
    text = str(np.datetime64(ns // 10**9, "s")) + (f".{ns % 10**9:09}".rstrip("0") if ns % 10**9 else "")
    return f"{text}Z" if kind == "instant" else text


def of_datetime64(array: NDArray[Any], *, kind: str | None = None, type: str | None = None) -> Times:  # noqa: A002 - the attribute of `Column`
    """A column of a ``datetime64`` or ``timedelta64`` array.

    Raises
    ------
    InvalidValueError
        If the unit has no fixed length (durations of months), or values are finer than nanoseconds.
    """
    unit, step = np.datetime_data(array.dtype)
    is_duration = array.dtype.kind == "m"
    if unit == "generic":
        raise InvalidValueError("a datetime64 array without a unit: give it one, as in array.astype('datetime64[ns]')")
    if unit in ("Y", "M") and is_duration:
        raise InvalidValueError("durations of months or years have no fixed length: convert them to days")
    if unit in ("Y", "M", "W"):
        array, unit, step = array.astype(array.dtype.str[:3] + "[D]"), "D", 1
    counts = np.ascontiguousarray(array).view(np.int64)
    if unit in _FRACTIONS:
        return _of_fractions(counts, step, _FRACTIONS[unit], "duration" if is_duration else "time", array.dtype.name)
    return Times(counts, NS_OF[unit] * step, kind or ("duration" if is_duration else "time"), type or array.dtype.name)


def _of_fractions(counts: NDArray[np.int64], step: int, parts: int, kind: str, type: str) -> Times:  # noqa: A002 - the attribute of `Column`
    missing = counts == NOT_A_TIME
    whole, rest = np.divmod(np.where(missing, 0, counts) * step, parts)
    if rest.any():
        raise InvalidValueError(
            f"{type} has values between nanoseconds: round them with array.astype('datetime64[ns]')"
        )
    return Times(whole, 1, kind, type, missing)
