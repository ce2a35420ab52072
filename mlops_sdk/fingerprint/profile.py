"""A profile of a column in the same pass: moments, quantiles, distinct values, the most frequent ones.

References
----------
.. [1] T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
   variances", 1979
.. [2] ``docs/adr/0016-profile-from-a-sample.md``
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint import quantiles
from mlops_sdk.fingerprint.frequent import N_TOP, Frequent, by_count
from mlops_sdk.fingerprint.lookup import Smallest, decoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops_sdk._types import JsonDict
    from mlops_sdk.fingerprint.canonical import Cells

    Floats = NDArray[np.float64]
    Words = NDArray[np.uint64]

N_SMALLEST = 128
_DROPPED_BITS = np.uint64(16)
"""Of the smallest hashes, which only have to be told from each other."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a column's values are like.

    Attributes
    ----------
    n, n_nulls : int
        Rows, and those where the value is missing.
    min, max : float or str or None
        Of numbers and times (as text); infinities count, missing values do not.
    mean, std : float or None
        Of the finite numbers; `std` is that of the population (ddof 0). Seconds for durations, none for other times.
    distinct : float
        Number of distinct values; exact below 128, an estimate (standard error 9 %) beyond.
    quantiles : float64[257] or None
        From the least to the greatest value; rank error below 1 % (0.1 % up to 10^6 rows).
    top : tuple of (value, count)
        The most frequent values; the counts are exact while `is_top_exact`, lower bounds otherwise.
    """

    n: int
    n_nulls: int
    min: Any = None
    max: Any = None
    mean: float | None = None
    std: float | None = None
    quantiles: Floats | None = None
    top: tuple[tuple[Any, int], ...] = ()
    is_top_exact: bool = True
    smallest: Smallest = field(default_factory=lambda: Smallest(N_SMALLEST))
    n_finite: int = 0

    @property
    def distinct(self) -> float:
        """Number of distinct values, missing left out."""
        return min(self.smallest.distinct(), float(self.n - self.n_nulls))

    def __add__(self, other: Profile) -> Profile:
        n_finite = self.n_finite + other.n_finite
        mean, std = _pooled([self, other])
        counts: dict[Any, int] = {}
        for value, count in (*self.top, *other.top):
            counts[value] = counts.get(value, 0) + count
        top = tuple(sorted(counts.items(), key=by_count)[:N_TOP])
        both = all(each.is_top_exact and len(each.top) >= each.distinct for each in (self, other))
        return Profile(
            self.n + other.n, self.n_nulls + other.n_nulls, _extreme(min, self.min, other.min),
            _extreme(max, self.max, other.max), mean, std, _merged_quantiles(self, other), top,
            both, self.smallest + other.smallest, n_finite,
        )  # fmt: skip

    def to_dict(self) -> JsonDict:
        """As JSON can say it."""
        floats = None if self.quantiles is None else quantiles.to_text(self.quantiles)
        return {
            "n": self.n, "n_nulls": self.n_nulls, "n_finite": self.n_finite, "min": _said(self.min), "max": _said(self.max),
            "mean": _said(self.mean), "std": _said(self.std), "quantiles": floats, "distinct": round(self.distinct),
            "top": [[_said(value), count] for value, count in self.top], "is_top_exact": self.is_top_exact,
            "smallest": _said_hashes(self.smallest),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, said: JsonDict) -> Profile:
        """Undo `to_dict`."""
        floats = None if said.get("quantiles") is None else quantiles.from_text(said["quantiles"])
        return cls(
            said["n"], said["n_nulls"], _heard(said["min"]), _heard(said["max"]), _heard(said["mean"]), _heard(said["std"]),
            floats, tuple((_heard(value), count) for value, count in said["top"]), said["is_top_exact"],
            _heard_hashes(said["smallest"]), said["n_finite"],
        )  # fmt: skip


def _said_hashes(smallest: Smallest) -> str:
    """Base64 of the upper six bytes of each."""
    return base64.b64encode(smallest.hashes.astype("<u8").view(np.uint8).reshape(-1, 8)[:, 2:].tobytes()).decode()


def _heard_hashes(text: Any) -> Smallest:
    data = np.frombuffer(decoded(text), dtype=np.uint8)
    if len(data) % 6 or len(data) > 6 * N_SMALLEST:
        raise InvalidValueError("a list of smallest hashes is damaged")
    words = np.zeros((len(data) // 6, 8), dtype=np.uint8)
    words[:, 2:] = data.reshape(-1, 6)
    smallest = Smallest(N_SMALLEST)
    smallest.hashes = np.unique(words.view("<u8").reshape(-1).astype(np.uint64))
    return smallest


def _said(value: Any) -> Any:
    """A float that JSON does not know, as a mapping."""
    return {"float": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _heard(value: Any) -> Any:
    return float(value["float"]) if isinstance(value, dict) else value


def _extreme(choose: Callable[..., Any], mine: Any, theirs: Any) -> Any:
    known = [value for value in (mine, theirs) if value is not None]
    return choose(known, key=lambda value: (isinstance(value, str), value)) if known else None


def _pooled(profiles: list[Profile]) -> tuple[float | None, float | None]:
    known = [each for each in profiles if each.mean is not None and each.std is not None]
    n = sum(each.n_finite for each in known)
    if not n:
        return None, None
    mean = sum(each.n_finite * (each.mean or 0.0) for each in known) / n
    squares = sum(each.n_finite * ((each.std or 0.0) ** 2 + ((each.mean or 0.0) - mean) ** 2) for each in known)
    return mean, math.sqrt(max(0.0, squares / n))


def _merged_quantiles(mine: Profile, theirs: Profile) -> Floats | None:
    known = [each for each in (mine, theirs) if each.quantiles is not None and each.n > each.n_nulls]
    if not known:
        return None
    values = np.concatenate([each.quantiles for each in known if each.quantiles is not None])
    weights = np.concatenate([np.full(257, (each.n - each.n_nulls) / 257) for each in known])
    return quantiles.at_equal_steps(values, weights)


class Profiler:
    """Builds the profile of one column, block by block."""

    def __init__(self) -> None:
        self._n = self._n_nulls = self._n_finite = 0
        self._mean = self._squares = 0.0
        self._min: Any = None
        self._max: Any = None
        self._labels: tuple[Any, Any] | None = None
        self._has_values = True
        self._sample = quantiles.QuantileSample()
        self._frequent = Frequent()
        self.smallest = Smallest(N_SMALLEST)

    def absorb(self, cells: Cells, mixed: Words, scratch: Floats) -> None:
        """Append a block.

        Parameters
        ----------
        cells : Cells
        mixed : uint64[n]
            The mixed codes.
        scratch : float64[n]
            Overwritten.
        """
        self._n += len(cells.codes)
        kept, label = mixed, cells.label
        values = cells.values
        if cells.nulls is not None:
            self._n_nulls += int(cells.nulls.sum())
            there = ~cells.nulls
            kept, label = mixed[there], _Moved(label, there)
            values = None if values is None else values[there]
        self.smallest.absorb(kept)
        if values is None:
            self._has_values = self._has_values and not cells.parts
        elif len(values):
            kept, label = self._measure(values, kept, label, scratch)
        if len(kept):
            self._frequent.absorb(kept, label)

    def _measure(
        self, values: Floats, kept: Words, label: Callable[[int], Any], scratch: Floats
    ) -> tuple[Words, Callable[[int], Any]]:
        """Least, greatest, moments and sample; the codes without those of NaN."""
        low, high = values.min(), values.max()
        if low != low:
            there = values == values
            values, kept, label = values[there], kept[there], _Moved(label, there)
            if not len(values):
                return kept, label
            low, high = values.min(), values.max()
        if self._min is None or low < self._min:
            self._min, self._labels = low, (_label_of(values, low, label), self._labels[1] if self._labels else None)
        if self._max is None or high > self._max:
            self._max, self._labels = high, (self._labels[0] if self._labels else None, _label_of(values, high, label))
        self._add_moments(
            values if math.isfinite(low) and math.isfinite(high) else values[np.isfinite(values)], scratch
        )
        self._sample.absorb(values)
        return kept, label

    def _add_moments(self, values: Floats, scratch: Floats) -> None:
        n = len(values)
        if n:
            # one call each into numpy, as these run for every block; and no dot product: a BLAS may wake all its threads
            mean = float(np.add.reduce(values)) / n
            centred = np.subtract(values, mean, out=scratch[:n])
            squares = float(np.add.reduce(np.multiply(centred, centred, out=centred)))
            total = self._n_finite + n
            shift = mean - self._mean
            self._mean += shift * n / total
            self._squares += squares + shift * shift * self._n_finite * n / total
            self._n_finite = total

    def profile(self) -> Profile:
        """What was seen so far."""
        is_measured = self._has_values and self._min is not None
        low, high = self._labels if is_measured and self._labels else (None, None)
        is_number = is_measured and not isinstance(low, str)
        std = math.sqrt(self._squares / self._n_finite) if self._n_finite and self._squares >= 0 else None
        smallest = Smallest(N_SMALLEST)
        smallest.hashes = np.unique(self.smallest.hashes >> _DROPPED_BITS << _DROPPED_BITS)
        return Profile(
            self._n, self._n_nulls, low, high, self._mean if is_number and self._n_finite else None,
            std if is_number else None, self._sample.quantiles(self._min, self._max) if is_measured else None,
            self._frequent.top(), self._frequent.is_exact, smallest, self._n_finite if is_number else 0,
        )  # fmt: skip


class _Moved:
    """Labels of the rows that are left after some were taken out."""

    def __init__(self, label: Callable[[int], Any], there: NDArray[np.bool_]) -> None:
        self._label, self._there = label, there
        self._rows: NDArray[np.int64] | None = None

    def __call__(self, row: int) -> Any:
        if self._rows is None:
            self._rows = np.flatnonzero(self._there)
        return self._label(int(self._rows[row]))


def _label_of(values: Floats, value: float, label: Callable[[int], Any]) -> Any:
    return label(int(np.flatnonzero(values == value)[0]))
