"""The most frequent values of a column.

References
----------
.. [1] ``docs/adr/0016-profile-from-a-sample.md``
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.fingerprint.mixing import mix

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

N_TOP = 10
_KEPT = 1024
_OF_A_BLOCK = 64
_PROBED = 128


class Frequent:
    """Counts values by their codes, block by block.

    Notes
    -----
    A block in which 128 codes are all different is passed over: a value that makes up 5 % of it would be there twice with a
    chance of 99 %. Counts are then lower bounds, which `is_exact` says.
    """

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._names: dict[int, Any] = {}
        self.is_exact = True

    def absorb(self, codes: Words, label: Callable[[int], Any]) -> None:
        """Append a block.

        Parameters
        ----------
        codes : uint64[n]
            Mixed: every bit hangs on the value.
        label : callable
            The value of a row of the block, for people.
        """
        n = len(codes)
        if n > 8 * _PROBED and _are_all_different(codes[_probe(n)]):
            self.is_exact = False
            return
        found, rows, counts = _grouped(codes)
        if len(found) > _KEPT:
            self.is_exact = False
            chosen = np.argpartition(counts, -_OF_A_BLOCK)[-_OF_A_BLOCK:]
            chosen = chosen[counts[chosen] > n // _KEPT]  # the others are no more frequent than all
            found, rows, counts = found[chosen], rows[chosen], counts[chosen]
        for code, row, count in zip(found.tolist(), rows.tolist(), counts.tolist(), strict=True):
            if code in self._counts:
                self._counts[code] += count
            else:
                self._counts[code], self._names[code] = count, label(row)
        if len(self._counts) > 2 * _KEPT:
            self._prune()

    def _prune(self) -> None:
        self.is_exact = False
        kept = sorted(self._counts.items(), key=lambda pair: -pair[1])[:_KEPT]
        self._counts = dict(kept)
        self._names = {code: self._names[code] for code in self._counts}

    def top(self) -> tuple[tuple[Any, int], ...]:
        """The ten most frequent values with their counts; once that is a lower bound, without those seen only once."""
        least = 1 if self.is_exact else 2
        named = [(self._names[code], count) for code, count in self._counts.items() if count >= least]
        return tuple(sorted(named, key=by_count)[:N_TOP])


@lru_cache(maxsize=16)
def _probe(n: int) -> NDArray[np.int64]:
    """128 of `n` places, evenly spread, no two of them at one distance."""
    stride = n // _PROBED
    strides = np.arange(_PROBED)
    return strides * stride + (mix(strides.astype(np.uint64)) % np.uint64(stride)).astype(np.int64)


def _grouped(codes: Words) -> tuple[Words, Any, Any]:
    """Different codes, a row of each, and how often it is there."""
    # a radix sort of 16 bits brings equal codes together, at a fifth of what a sort of the codes costs
    order = np.argsort(codes.astype(np.uint16), kind="stable")
    ordered = codes[order]
    starts = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1])
    counts = np.diff(starts, append=len(codes))
    # of those, two that share the 16 bits alternate
    found, first, group = np.unique(ordered[starts], return_index=True, return_inverse=True)
    return found, order[starts[first]], np.bincount(group, weights=counts).astype(np.int64)


def _are_all_different(codes: Words) -> bool:
    ordered = np.sort(codes)
    return bool((ordered[1:] != ordered[:-1]).all())


def by_count(pair: tuple[Any, int]) -> tuple[int, str]:
    """The most frequent first; of one count, by their text."""
    return -pair[1], str(pair[0])
