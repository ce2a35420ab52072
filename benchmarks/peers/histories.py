"""Probes of what is kept: whole histories, tables of runs, data sets, death. In the child; standard library only."""

from __future__ import annotations

import itertools
import math
import mmap
import os
import random
import time
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.peers.adapters.base import Adapter, MissingError
from benchmarks.peers.measuring import resident_mib

_READ_ENOUGH_MS = 3000
"""What takes longer to read is not read again."""


def noisy(n: int) -> list[float]:
    """A loss curve with noise in every bit: nothing compresses it for free."""
    noise = random.Random(1)
    return [math.exp(-step / 2e4) + noise.gauss(0, 0.01) for step in range(n)]


def fill(adapter: Adapter, request: dict[str, Any]) -> dict[str, Any]:
    """One run with one long metric."""
    values = noisy(request["points"])
    adapter.load()
    ref = adapter.start(request["name"])
    adapter.log("first", 1.0, 0)
    before = resident_mib()
    began = perf_counter()
    adapter.fill("loss", values)
    grown = resident_mib() - before
    adapter.finish()
    return {"ref": ref, "fill_s": perf_counter() - began, "grown_mib": max(0.0, grown)}


def read(adapter: Adapter, request: dict[str, Any]) -> dict[str, Any]:
    """The long metric, in a process that did not write it; whether it is what was logged."""
    values = noisy(request["points"])
    adapter.load()
    adapter.recover()
    taken: list[float] = []
    while len(taken) < request["times"] and sum(taken) < _READ_ENOUGH_MS:
        began = perf_counter()
        found = adapter.read(request["ref"], "loss")
        taken.append(1000 * (perf_counter() - began))
    return {"read_ms": taken, "fidelity": fidelity(found, values)}


def fidelity(found: list[float], logged: list[float]) -> str:
    """`exact`, `float32`, or what is wrong."""
    if found == logged:
        return "exact"
    if len(found) != len(logged):
        return f"{len(found):,} of {len(logged):,} points"
    worst = max(abs(one - other) / max(abs(other), 1e-30) for one, other in zip(found, logged, strict=True))
    return "float32" if worst < 2**-23 else f"values differ by up to {worst:.1g}"


def writer(adapter: Adapter, request: dict[str, Any]) -> dict[str, Any]:
    """One of several processes that start at once on a store that is not there yet."""
    adapter.load()
    ref = adapter.start(request["name"])
    for step in range(request["points"]):
        adapter.log("loss", float(step), step)
    adapter.finish()
    return {"ref": ref}


def survivors(adapter: Adapter, request: dict[str, Any]) -> dict[str, Any]:
    """What is left of runs whose values were 0, 1, 2, ...; read twice, for what is only there at the second time."""
    adapter.load()
    adapter.recover()
    runs = list(zip(request["refs"], request["acknowledged"], strict=True))
    first, second = ([_left(adapter, ref, acknowledged) for ref, acknowledged in runs] for _ in range(2))
    return {"kept": [{**later, "first_n": at_first.get("n", 0)} for at_first, later in zip(first, second, strict=True)]}


def _left(adapter: Adapter, ref: str, acknowledged: int) -> dict[str, Any]:
    """How many of the acknowledged values are there, and whether all that is there is 0, 1, ..., n; or why it is unreadable."""
    try:
        values = set(adapter.read(ref, "loss"))
    except Exception as error:  # noqa: BLE001 - an unreadable run is what this looks for
        return {"unreadable": f"{type(error).__name__}: {error}"[:200]}
    kept = sum(float(step) in values for step in range(acknowledged))
    return {"n": kept, "gaps": values != {float(step) for step in range(len(values))}}


def build(adapter: Adapter, request: dict[str, Any]) -> dict[str, Any]:
    """A store of many runs."""
    adapter.load()
    began = perf_counter()
    adapter.build(request["runs"])
    return {"build_s": perf_counter() - began}


def table(adapter: Adapter, request: dict[str, Any]) -> dict[str, Any]:
    """All of them with params and metrics; the second and third time of one process are as a notebook's."""
    adapter.load()
    taken: list[float] = []
    while len(taken) < request["times"] and sum(taken) < _READ_ENOUGH_MS:
        began = perf_counter()
        n = adapter.table()
        taken.append(1000 * (perf_counter() - began))
        if n != request["runs"]:
            raise LookupError(f"{n} runs found of {request['runs']}")
    return {"table_ms": taken}


def dataset(adapter: Adapter, request: dict[str, Any]) -> dict[str, Any]:
    """The digest of an array, and whether it sees one value that changed in the middle; memcpy and SHA-256 beside it."""
    import hashlib

    if type(adapter).digest is Adapter.digest:
        raise MissingError("no digest of data")
    import numpy as np

    adapter.load()
    data = np.random.default_rng(0).standard_normal((request["rows"], 20))
    other = np.empty_like(data)
    figures: dict[str, list[float]] = {"digest_ms": [], "memcpy_ms": [], "sha256_ms": []}
    for _ in range(request["times"]):
        began = perf_counter()
        digest = adapter.digest(data)
        digested = perf_counter()
        np.copyto(other, data)
        copied = perf_counter()
        hashlib.sha256(data).digest()
        hashed = perf_counter()
        figures["digest_ms"].append(1000 * (digested - began))
        figures["memcpy_ms"].append(1000 * (copied - digested))
        figures["sha256_ms"].append(1000 * (hashed - copied))
    data[request["rows"] // 2, 10] += 1.0
    return {**figures, "sees_a_change": adapter.digest(data) != digest, "mb": data.nbytes / 1e6}


def victim(adapter: Adapter, request: dict[str, Any]) -> dict[str, Any]:
    """Log until killed; the number of calls that returned is in a file that is mapped."""
    adapter.load()
    with Path(request["counter"]).open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 16)
    noted = memoryview(memory).cast("Q")  # one aligned store each
    ref = adapter.start(request["name"])
    Path(request["ref_file"]).write_text(ref, encoding="utf-8")
    noted[1] = os.getpid()  # begun
    period_s = request["period_s"]
    log = adapter.log
    for step in itertools.count():
        log("loss", float(step), step)
        noted[0] = step + 1
        if period_s:
            time.sleep(period_s)
    return {}
