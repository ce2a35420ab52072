"""The yardstick: a line-buffered text write per point, in the same process, interleaved with what is measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter_ns, time_ns


def latencies(call: Callable[[int], object], n: int) -> list[int]:
    """Sorted nanoseconds of `n` calls; the clock's own cost is taken off each."""
    taken = []
    append = taken.append
    for index in range(n):
        began = perf_counter_ns()
        call(index)
        append(perf_counter_ns() - began)
    floor = clock_cost()
    return sorted(max(0, value - floor) for value in taken)


def clock_cost() -> int:
    """Median nanoseconds between two readings of the clock around an empty call."""
    taken = []
    for index in range(2000):
        began = perf_counter_ns()
        _nothing(index)
        taken.append(perf_counter_ns() - began)
    return int(statistics.median(taken))


def _nothing(_index: int) -> None:
    pass


def quantile(ordered: Sequence[int], q: float) -> int:
    """The q-quantile of sorted values."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


class LineWriter:
    """Writes ``key value step time`` lines to a line-buffered file."""

    def __init__(self, directory: Path) -> None:
        self._file = (directory / "yardstick.txt").open("w", buffering=1, encoding="utf-8")

    def __call__(self, index: int) -> None:
        key, value, step = "loss", 0.12345 + index, index
        self._file.write(f"{key} {value} {step} {time_ns()}\n")

    def close(self) -> None:
        self._file.close()


def p50(directory: Path, n: int = 50_000) -> int:
    """Median nanoseconds of one line."""
    writer = LineWriter(directory)
    taken = latencies(writer, n)
    writer.close()
    return quantile(taken, 0.5)
