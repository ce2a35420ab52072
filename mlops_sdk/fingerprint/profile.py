"""A profile of a column in the same pass: moments, quantiles, distinct values, the most frequent ones.

References
----------
.. [1] G. S. Manku, S. Rajagopalan, B. G. Lindsay, "Approximate medians and other quantiles in one pass and with limited
   memory", SIGMOD 1998
.. [2] T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
   variances", 1979
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.fingerprint.canonical import BLOCK_ROWS
from mlops_sdk.fingerprint.lookup import Smallest, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops_sdk._types import JsonDict
    from mlops_sdk.fingerprint.canonical import Cells

    Floats = NDArray[np.float64]
    Words = NDArray[np.uint64]

N_QUANTILES = 256
N_SMALLEST = 128
N_TOP = 10
_POINTS = 1024
_KEPT_TOP = 1024
_BLOCK_TOP = 64


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
        return self.smallest.distinct()

    def __add__(self, other: Profile) -> Profile:
        n_finite = self.n_finite + other.n_finite
        mean, std = _pooled([self, other])
        counts: dict[Any, int] = {}
        for value, count in (*self.top, *other.top):
            counts[value] = counts.get(value, 0) + count
        top = tuple(sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))[:N_TOP])
        both = all(each.is_top_exact and len(each.top) >= each.distinct for each in (self, other))
        return Profile(
            self.n + other.n, self.n_nulls + other.n_nulls, _extreme(min, self.min, other.min),
            _extreme(max, self.max, other.max), mean, std, _merged_quantiles(self, other), top,
            both, self.smallest + other.smallest, n_finite,
        )  # fmt: skip

    def to_dict(self) -> JsonDict:
        """As JSON can say it."""
        floats = None if self.quantiles is None else packed(self.quantiles.astype("<f8").tobytes())
        return {
            "n": self.n, "n_nulls": self.n_nulls, "n_finite": self.n_finite, "min": _said(self.min), "max": _said(self.max),
            "mean": _said(self.mean), "std": _said(self.std), "quantiles": floats, "distinct": round(self.distinct),
            "top": [[_said(value), count] for value, count in self.top], "is_top_exact": self.is_top_exact,
            "smallest": self.smallest.to_text(),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, said: JsonDict) -> Profile:
        """Undo `to_dict`."""
        quantiles = said.get("quantiles")
        floats = (
            None
            if quantiles is None
            else np.frombuffer(unpacked(quantiles, 8 * (N_QUANTILES + 1)), dtype="<f8").astype(np.float64)
        )
        return cls(
            said["n"], said["n_nulls"], _heard(said["min"]), _heard(said["max"]), _heard(said["mean"]), _heard(said["std"]),
            floats, tuple((_heard(value), count) for value, count in said["top"]), said["is_top_exact"],
            Smallest.from_text(said["smallest"], N_SMALLEST), said["n_finite"],
        )  # fmt: skip


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
    weights = np.concatenate([np.full(N_QUANTILES + 1, (each.n - each.n_nulls) / (N_QUANTILES + 1)) for each in known])
    return _quantiles(values, weights)


def _quantiles(values: Floats, weights: Floats) -> Floats:
    """The 257 values at equal steps of weight, ends included."""
    order = np.argsort(values, kind="stable")
    ranks = np.cumsum(weights[order]) - weights[order] / 2
    steps = np.linspace(0.0, float(weights.sum()), N_QUANTILES + 1)
    return values[order][np.clip(np.searchsorted(ranks, steps), 0, len(values) - 1)]


class Profiler:
    """Builds the profile of one column, block by block."""

    def __init__(self) -> None:
        self._n = self._n_nulls = self._n_finite = 0
        self._mean = self._squares = 0.0
        self._min: Any = None
        self._max: Any = None
        self._labels: tuple[Any, Any] | None = None
        self._has_values = True
        self._levels: list[Floats | None] = []
        self._waiting: list[Floats] = []
        self._n_waiting = 0
        self._top: dict[Any, int] = {}
        self._names: dict[int, Any] = {}
        self._is_top_exact = True
        self.smallest = Smallest(N_SMALLEST)

    def absorb(self, cells: Cells, mixed: Words) -> None:
        """Append a block.

        Parameters
        ----------
        cells : Cells
        mixed : uint64[n]
            The mixed codes.
        """
        self._n += len(cells.codes)
        kept = mixed
        if cells.nulls is not None:
            self._n_nulls += int(cells.nulls.sum())
            kept = mixed[~cells.nulls]
        self.smallest.absorb(kept)
        if cells.values is None:
            self._has_values = self._has_values and not cells.parts
            self._count(np.sort(kept), cells, mixed)
        elif cells.parts:
            values = np.sort(cells.values if cells.nulls is None else cells.values[~cells.nulls])
            values = values[: np.searchsorted(values, np.inf, side="right")]  # NaN sorts last
            self._measure(values, cells)
            self._count(values, cells, None)

    def _measure(self, values: Floats, cells: Cells) -> None:
        if not len(values):
            return
        low, high = values[0], values[-1]
        if self._min is None or low < self._min:
            self._min, self._labels = low, (self._label_of(cells, low), self._labels[1] if self._labels else None)
        if self._max is None or high > self._max:
            self._max, self._labels = high, (self._labels[0] if self._labels else None, self._label_of(cells, high))
        self._add_moments(values if math.isfinite(low) and math.isfinite(high) else values[np.isfinite(values)])
        self._waiting.append(values)
        self._n_waiting += len(values)
        if self._n_waiting >= BLOCK_ROWS:
            self._compress()

    @staticmethod
    def _label_of(cells: Cells, value: float) -> Any:
        assert cells.values is not None
        return cells.label(int(np.flatnonzero(cells.values == value)[0]))

    def _add_moments(self, values: Floats) -> None:
        n = len(values)
        if n:
            with np.errstate(over="ignore", invalid="ignore"):
                mean = float(values.mean())
                centred = values - mean
                centred *= centred  # not a dot product: a BLAS may wake all its threads for it
                squares = float(centred.sum())
            total = self._n_finite + n
            shift = mean - self._mean
            self._mean += shift * n / total
            self._squares += squares + shift * shift * self._n_finite * n / total
            self._n_finite = total

    def _compress(self) -> None:
        """A block becomes 1,024 values of equal weight; two of these become one of twice the weight, and so on."""
        values = self._waiting[0] if len(self._waiting) == 1 else np.sort(np.concatenate(self._waiting))
        step = BLOCK_ROWS // _POINTS
        while len(values) >= BLOCK_ROWS:
            self._carry(values[:BLOCK_ROWS][step // 2 :: step], 0)
            values = values[BLOCK_ROWS:]
        self._waiting, self._n_waiting = [values] if len(values) else [], len(values)

    def _carry(self, points: Floats, level: int) -> None:
        while len(self._levels) <= level:
            self._levels.append(None)
        resident = self._levels[level]
        if resident is None:
            self._levels[level] = points
            return
        self._levels[level] = None
        self._carry(np.sort(np.concatenate([resident, points]))[level % 2 :: 2], level + 1)

    def _count(self, ordered: Any, cells: Cells, mixed: Words | None) -> None:
        """The most frequent values of a block; `ordered` are its sorted numbers, or its sorted codes."""
        if not len(ordered):
            return
        is_new = ordered[1:] != ordered[:-1]
        n_runs = int(np.count_nonzero(is_new)) + 1
        if n_runs > _KEPT_TOP:
            self._is_top_exact = False
            if n_runs > len(ordered) * 0.9:
                return
        starts = np.concatenate([[0], np.flatnonzero(is_new) + 1])
        counts = np.diff(starts, append=len(ordered))
        if n_runs > _KEPT_TOP:
            chosen = np.argpartition(counts, -_BLOCK_TOP)[-_BLOCK_TOP:]
            starts, counts = starts[chosen], counts[chosen]
        found = ordered[starts].tolist()
        for value, count in zip(found, counts.tolist(), strict=True):
            self._top[value] = self._top.get(value, 0) + count
        self._name([value for value in found if value not in self._names], cells, mixed)
        if len(self._top) > 2 * _KEPT_TOP:
            self._prune()

    def _name(self, new: list[Any], cells: Cells, mixed: Words | None) -> None:
        if mixed is None and cells.exact is None:  # numbers are their own names
            self._names.update(zip(new, new, strict=True))
        elif new:
            keys: Any = cells.values if mixed is None else mixed
            order = np.argsort(keys, kind="stable")
            rows = order[np.searchsorted(keys[order], np.array(new, dtype=keys.dtype))]
            self._names.update((value, cells.label(row)) for value, row in zip(new, rows.tolist(), strict=True))

    def _prune(self) -> None:
        self._is_top_exact = False
        kept = sorted(self._top.items(), key=lambda pair: -pair[1])[:_KEPT_TOP]
        self._top = dict(kept)
        self._names = {value: self._names[value] for value in self._top}

    def profile(self) -> Profile:
        """What was seen so far."""
        is_measured = self._has_values and self._min is not None
        low, high = self._labels if is_measured and self._labels else (None, None)
        as_given = type(low) if isinstance(low, int) and isinstance(high, int) else lambda value: value
        known = sorted(((as_given(self._names[value]), count) for value, count in self._top.items()), key=_by_count)
        is_number = is_measured and not isinstance(low, str)
        std = math.sqrt(self._squares / self._n_finite) if self._n_finite and self._squares >= 0 else None
        return Profile(
            self._n, self._n_nulls, low, high, self._mean if is_number and self._n_finite else None,
            std if is_number else None, self._final_quantiles() if is_measured else None, tuple(known[:N_TOP]),
            self._is_top_exact, self.smallest, self._n_finite if is_number else 0,
        )  # fmt: skip

    def _final_quantiles(self) -> Floats:
        values, weights = list(self._waiting), [np.ones(len(each)) for each in self._waiting]
        for level, points in enumerate(self._levels):
            if points is not None:
                values.append(points)
                weights.append(np.full(len(points), float(BLOCK_ROWS // _POINTS << level)))
        quantiles = _quantiles(np.concatenate(values), np.concatenate(weights))
        quantiles[0], quantiles[-1] = self._min, self._max
        return quantiles


def _by_count(pair: tuple[Any, int]) -> tuple[int, str]:
    return -pair[1], str(pair[0])
