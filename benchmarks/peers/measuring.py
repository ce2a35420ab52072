"""Probes of the calls: start, one metric, ten metrics, a tight loop, finish, memory. In the child; standard library only."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, perf_counter_ns, time_ns
from typing import Any

from benchmarks.peers.adapters.base import Adapter

ROUNDS = 12
"""Blocks of each kind of call, in turn: what disturbs the machine disturbs all kinds alike."""
_CHECK_EVERY = 64


def session(adapter: Adapter, request: dict[str, Any]) -> dict[str, Any]:
    """A short run: start, a hundred points, finish; first in its process."""
    adapter.load()
    began = perf_counter()
    ref = adapter.start(request["name"])
    started = perf_counter()
    for step in range(request["points"]):
        adapter.log("loss", 1 / (1 + step), step)
    logged = perf_counter()
    adapter.finish()
    ended = perf_counter()
    return {"ref": ref, "start_ms": 1000 * (started - began), "finish_ms": 1000 * (ended - logged)}


def calls(adapter: Adapter, request: dict[str, Any]) -> dict[str, Any]:
    """One metric and ten beside the yardsticks, then a tight loop with the finish."""
    adapter.load()
    adapter.start(request["name"])
    figures = _latencies(adapter, request["seconds"])
    before = resident_mib()
    figures["memory_mib"] = before
    figures |= _tight_loop(adapter, request["seconds"], request["most"])
    return figures


def _latencies(adapter: Adapter, seconds: float) -> dict[str, Any]:
    ten = [{f"m{number}": 0.5 + number + step for number in range(10)} for step in range(64)]
    at = 0

    def one(step: int) -> None:
        adapter.log("loss", 0.12345 + step, step)

    def many(step: int) -> None:
        adapter.log_many(ten[step % 64], step)

    one(0)
    many(0)
    share = seconds / ROUNDS
    with tempfile.TemporaryDirectory() as directory:
        yardsticks = Yardsticks(Path(directory))
        kinds: dict[str, tuple[Callable[[int], object], float]] = {
            "line": (yardsticks.line, share / 8),
            "write": (yardsticks.write, share / 8),
            "append": (yardsticks.append, share / 8),
            "one": (one, share / 2),
            "ten": (many, share / 2),
        }
        taken: dict[str, list[int]] = {kind: [] for kind in kinds}
        for _ in range(ROUNDS):
            for kind, (call, budget) in kinds.items():
                times = timed(call, at, budget)
                taken[kind] += times
                at += len(times)  # steps go on, so that no peer sees a step twice
        yardsticks.close()
    floor = clock_cost_ns()
    ordered = {kind: sorted(max(1, each - floor) for each in times) for kind, times in taken.items()}
    figures: dict[str, Any] = {f"{kind}_us": quantile(times, 0.5) / 1000 for kind, times in ordered.items()}
    figures["one_p99_us"] = quantile(ordered["one"], 0.99) / 1000
    figures["one_in_lines"] = figures["one_us"] / figures["line_us"]
    figures["n_calls"] = len(ordered["one"])
    return figures


def _tight_loop(adapter: Adapter, seconds: float, most: int) -> dict[str, Any]:
    began = perf_counter()
    deadline = began + seconds
    done = 0
    log = adapter.log
    while done < most and perf_counter() < deadline:
        # A slow system is asked for the time at each call; for a quick one that would be a cost.
        for step in range(done, done + (_CHECK_EVERY if done >= _CHECK_EVERY else 1)):
            log("tight", 0.12345 + step, step)
        done += _CHECK_EVERY if done >= _CHECK_EVERY else 1
    looped = perf_counter()
    adapter.finish()
    ended = perf_counter()
    return {"per_s": done / (ended - began), "loop_per_s": done / (looped - began), "n_tight": done}


def timed(call: Callable[[int], object], first: int, seconds: float) -> list[int]:
    """Nanoseconds of each call, at least one, for about so long."""
    taken = []
    step = first
    deadline = perf_counter_ns() + int(seconds * 1e9)
    while True:
        began = perf_counter_ns()
        call(step)
        ended = perf_counter_ns()
        taken.append(ended - began)
        step += 1
        if ended >= deadline:
            return taken


def clock_cost_ns() -> int:
    """Between two readings of the clock around an empty call."""
    return int(statistics.median(timed(lambda _: None, 0, 0.005)))


def quantile(ordered: list[int], q: float) -> int:
    """Of sorted values."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


class Yardsticks:
    """What the machine and Python can do: a line of text, a `write(2)`, an append to a list."""

    def __init__(self, directory: Path) -> None:
        self._lines = (directory / "lines.txt").open("w", buffering=1, encoding="utf-8")
        self._raw = os.open(directory / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._record = b"x" * 32
        self._list: list[tuple[str, float, int]] = []

    def line(self, step: int) -> None:
        """As the line-buffered file of `benchmarks.yardstick`."""
        self._lines.write(f"loss {0.12345 + step} {step} {time_ns()}\n")

    def write(self, _step: int) -> None:
        """32 bytes."""
        os.write(self._raw, self._record)

    def append(self, step: int) -> None:
        """A tuple."""
        self._list.append(("loss", 0.12345 + step, step))

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        os.close(self._raw)


# -- memory ----------------------------------------------------------------------------------------------------------


def resident_mib() -> float:
    """Resident memory of this process and its descendants; what they share counts in each."""
    parents: dict[int, int] = {}
    pages: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                pages[int(entry.name)] = int((entry / "statm").read_text(encoding="utf-8").split()[1])
            except OSError:
                continue  # ended in the meantime
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    total, family = 0, {os.getpid()}
    while family:
        total += sum(pages.get(pid, 0) for pid in family)
        family = {pid for pid, parent in parents.items() if parent in family}
    return total * os.sysconf("SC_PAGE_SIZE") / 2**20
