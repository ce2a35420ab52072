"""Quantiles of a stream of numbers from a sample of it, in bounded memory.

References
----------
.. [1] G. S. Manku, S. Rajagopalan, B. G. Lindsay, "Approximate medians and other quantiles in one pass and with limited
   memory", SIGMOD 1998
.. [2] ``docs/adr/0016-profile-from-a-sample.md``
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.canonical import BLOCK_ROWS
from mlops_sdk.fingerprint.lookup import packed, unpacked
from mlops_sdk.fingerprint.mixing import mix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

N_QUANTILES = 256
_POINTS = 1024
_END = 1 << 62
_REGIONS = ((BLOCK_ROWS, 1), (17 * BLOCK_ROWS, 4), (65 * BLOCK_ROWS, 16), (_END, 64))
"""Up to which value of the stream one in how many is taken: sorting is what costs, and 50,000 values say it to 0.5 %. Each
region but the last holds a whole number of blocks of taken values, so that no block mixes two weights."""
_PERIOD = 4096
_JITTER = (mix(np.arange(_PERIOD, dtype=np.uint64)) & np.uint64(63)).astype(np.int64)
_STEP = BLOCK_ROWS // _POINTS


class QuantileSample:
    """Takes numbers in order; tells their quantiles.

    Notes
    -----
    Exact up to 16,384 numbers. Beyond, one number is taken of every 4, 16 and at last 64, at a place within them that hops
    about, so that no period in the data can hide. What is taken does not depend on how the stream is cut. A block of taken
    numbers becomes 1,024 of equal weight; two of these become one of twice the weight, and so on [1]_.
    """

    def __init__(self) -> None:
        self._n = 0
        self._levels: list[Floats | None] = []
        self._waiting: list[Floats] = []
        self._n_waiting = 0
        self._weight = 1

    def absorb(self, values: Floats) -> None:
        """Append numbers, NaN not among them; the array is kept, and must not change."""
        while len(values):
            end, self._weight = next(region for region in _REGIONS if self._n < region[0])
            part = values[: end - self._n]
            taken = part if self._weight == 1 else part[_places(self._n, len(part), self._weight)]
            self._n += len(part)
            values = values[len(part) :]
            self._waiting.append(taken)
            self._n_waiting += len(taken)
            if self._n_waiting >= BLOCK_ROWS:
                self._compress()

    def _compress(self) -> None:
        values = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        while len(values) >= BLOCK_ROWS:
            self._carry(_points_of(values[:BLOCK_ROWS]), self._weight.bit_length() - 1)
            values = values[BLOCK_ROWS:]
        self._waiting, self._n_waiting = [values] if len(values) else [], len(values)

    def _carry(self, points: Floats, level: int) -> None:
        """Put points of weight ``16 << level`` where there are none, or on to the next level with those that are there."""
        self._levels += [None] * (level + 1 - len(self._levels))
        resident = self._levels[level]
        if resident is None:
            self._levels[level] = points
            return
        self._levels[level] = None
        self._carry(np.sort(np.concatenate([resident, points]))[level % 2 :: 2], level + 1)

    def quantiles(self, low: float, high: float) -> Floats:
        """The 257 values at equal steps of rank, between the least and the greatest.

        Parameters
        ----------
        low, high : float
            The ends, which a sample need not hold.

        Returns
        -------
        float64[257]
        """
        waiting = np.concatenate(self._waiting) if self._waiting else np.array([low, high])
        weight = float(self._weight)
        known = [(level, points) for level, points in enumerate(self._levels) if points is not None]
        if known and len(waiting) > _POINTS:
            waiting, weight = _points_of(waiting), weight * len(waiting) / _POINTS
        values = np.concatenate([waiting, *(points for _, points in known)])
        weights = [np.full(len(points), float(_STEP << level)) for level, points in known]
        found = at_equal_steps(values, np.concatenate([np.full(len(waiting), weight), *weights]))
        found[0], found[-1] = low, high
        return found


def _points_of(values: Floats) -> Floats:
    """1,024 numbers at equal steps of rank among so many or more, in order.

    Notes
    -----
    Where the numbers are spread evenly enough, a radix sort of 16-bit places between the least and the greatest puts each
    within a few ranks of its own; a sort of the numbers costs four times as much on processors where numpy's is slow [1]_.

    References
    ----------
    .. [1] ``docs/adr/0016-profile-from-a-sample.md``
    """
    places = ((np.arange(_POINTS) + 0.5) * (len(values) / _POINTS)).astype(np.int64)
    low, high = values.min(), values.max()
    with np.errstate(over="ignore", invalid="ignore"):
        scale = 65535.0 / (high - low) if high > low else 0.0
    if 0 < scale < math.inf:
        keys = ((values - low) * scale).astype(np.uint16)
        order = np.argsort(keys, kind="stable")[places]
        if (np.diff(keys[order]) > 0).all():
            return values[order]
    return np.sort(values)[places]


def _places(start: int, n: int, stride: int) -> Places:
    """Which of `n` numbers from the `start`-th of the stream on are taken: one at a place of its own in each stride."""
    if n == BLOCK_ROWS and start % BLOCK_ROWS == 0:
        return _places_of_a_block(start % (stride * _PERIOD), stride)
    return _found_places(start, n, stride)


@lru_cache(maxsize=64)
def _places_of_a_block(start: int, stride: int) -> Places:
    return _found_places(start, BLOCK_ROWS, stride)


def _found_places(start: int, n: int, stride: int) -> Places:
    strides = np.arange(start // stride, (start + n - 1) // stride + 1)
    places: Places = strides * stride + _JITTER[strides % _PERIOD] % stride - start
    return places[(places >= 0) & (places < n)]


def at_equal_steps(values: Floats, weights: Floats) -> Floats:
    """The 257 values at equal steps of weight, ends included."""
    order = np.argsort(values, kind="stable")
    ranks = np.cumsum(weights[order]) - weights[order] / 2
    steps = np.linspace(0.0, float(weights.sum()), N_QUANTILES + 1)
    return values[order][np.clip(np.searchsorted(ranks, steps), 0, len(values) - 1)]


# -- as text -------------------------------------------------------------------------------------------------------------


def to_text(quantiles: Floats) -> str:
    """Deflated and in base64, byte plane by byte plane, with the fewest bytes a value that change nothing that is compared.

    Notes
    -----
    float32 where that will do; else float32 above the least value, behind the least and the greatest; else float64.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        short = quantiles.astype(np.float32)
        ends = quantiles[[0, -1]]
        if _is_as_good(quantiles, short.astype(np.float64)):
            return packed(_planes(short))
        above = (quantiles - ends[0]).astype(np.float32)
        if _is_as_good(quantiles, _above(ends, above)):
            return packed(ends.astype("<f8").tobytes() + _planes(above))
    return packed(_planes(quantiles))


def _planes(values: NDArray[Any]) -> bytes:
    """First bytes, second bytes, and so on: those of sorted numbers deflate."""
    return values.astype(values.dtype.newbyteorder("<")).view(np.uint8).reshape(len(values), -1).T.tobytes()


def _above(ends: Floats, above: NDArray[np.float32]) -> Floats:
    values: Floats = ends[0] + above.astype(np.float64)
    values[above == above[-1]] = ends[1]
    return values


def _is_as_good(quantiles: Floats, short: Floats) -> bool:
    """Values that stand at several ranks have to stay as they are, the others within a thousandth of a gap."""
    gaps = np.diff(quantiles)
    before, after = np.insert(gaps, 0, gaps[0]), np.append(gaps, gaps[-1])
    room = np.where((before == 0) | (after == 0), 0.0, np.maximum(before, after) / 1024)
    return bool((np.abs(short - quantiles) <= room).all() and ((np.diff(short) > 0) == (gaps > 0)).all())


def from_text(text: Any) -> Floats:
    """Undo `to_text`.

    Raises
    ------
    InvalidValueError
    """
    n = N_QUANTILES + 1
    data = unpacked(text, 8 * n)
    if len(data) in (4 * n, 8 * n):
        return _of_planes(data, len(data) // n)
    if len(data) == 16 + 4 * n:
        above = _of_planes(data[16:], 4).astype(np.float32)
        return _above(np.frombuffer(data[:16], "<f8").astype(np.float64), above)
    raise InvalidValueError(f"stored quantiles of {len(data)} bytes are damaged")


def _of_planes(data: bytes, width: int) -> Floats:
    planes = np.frombuffer(data, dtype=np.uint8).reshape(width, -1)
    return np.ascontiguousarray(planes.T).view(f"<f{width}")[:, 0].astype(np.float64)
