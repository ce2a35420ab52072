"""Journals with known contents: what is logged at each step, and whether what is read back is a prefix of it."""

from __future__ import annotations

import itertools
import math
import random
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_sdk.errors import SequenceGapError
from mlops_sdk.journal import reader, segment
from mlops_sdk.journal.chain import JournalOptions
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES, Batch, Kind, decode
from mlops_sdk.journal.writer import Journal

Record = tuple[Any, ...]
"""A point as (key, step, bits of the value), an event as (kind, payload)."""

MODES = ("mapped", "appended")
TINY = HEADER_BYTES + 32 * SLOT_BYTES


def open_journal(root: Path, mode: str, *, first_bytes: int = TINY, quota_bytes: int = 4 << 30) -> Journal:
    """A journal with a first segment of 32 slots."""
    options = JournalOptions(is_mapped=mode == "mapped", first_bytes=first_bytes, quota_bytes=quota_bytes)
    return Journal(root, "run", options=options)


def keep_segments_small(size_bytes: int = TINY) -> None:
    """For this process: roll over all the time."""
    segment.LARGEST_BYTES = size_bytes


def value(number: int) -> float:
    """A float64 for each number: every exponent, infinities and NaNs of all kinds among them."""
    return float(struct.unpack("<d", struct.pack("<Q", number * 0x9E3779B97F4A7C15 & 2**64 - 1))[0])


def bits(number: float) -> bytes:
    """Of a float64, which tell NaNs apart."""
    return struct.pack("<d", number)


@dataclass(frozen=True)
class Step:
    """One call, and the records that it says."""

    call: Callable[[Journal], object]
    records: list[Record]


def points_only(number: int) -> Step:
    """One point of one key."""
    logged = value(number)
    return Step(lambda journal: journal.point("loss", logged, number), [("loss", number, bits(logged))])


def mixed(number: int) -> Step:
    """Points, several points at once, events of all sizes, new keys."""
    logged = value(number)
    if number % 13 == 5:
        keys = ("loss", "acc", "f1")
        return Step(
            lambda journal: journal.points(dict.fromkeys(keys, logged), number),
            [(key, number, bits(logged)) for key in keys],
        )
    if number % 17 == 3:
        payload = {"set": {"n": str(number), "text": "é" * (number * 7 % 300)}}
        return Step(lambda journal: journal.event(Kind.TAGS, payload), [(int(Kind.TAGS), payload)])
    if number % 101 == 50:
        return Step(lambda journal: _define_and_log(journal, f"k{number}", logged), [(f"k{number}", 0, bits(logged))])
    return points_only(number)


def _define_and_log(journal: Journal, key: str, logged: float) -> None:
    journal.define(key)
    journal.point(key, logged)


def define_keys(journal: Journal) -> None:
    """The keys that `points_only` and `mixed` use."""
    for key in ("loss", "acc", "f1"):
        journal.define(key)


def steps(kind: Callable[[int], Step]) -> Iterator[Step]:
    """Without end."""
    return map(kind, itertools.count())


def records_of(batches: Iterable[Batch]) -> list[Record]:
    """What batches say, key definitions left out.

    Raises
    ------
    AssertionError
        If their numbers are not dense, or a point's key is not defined before.
    """
    names: dict[int, str] = {}
    found: list[tuple[int, Record]] = []
    expected: int | None = None
    for batch in batches:
        assert expected in (None, batch.first), f"a hole: record {expected} expected, {batch.first} found"
        expected = batch.last + 1
        decoded = decode(batch)
        names |= decoded.keys
        points = decoded.points
        columns = (points.sequence, points.key_id, points.step, points.value)
        for sequence, key_id, step, number in zip(*map(_as_list, columns), strict=True):
            assert key_id in names, f"record {sequence} is a point of a key that nobody defined"
            found.append((sequence, (names[key_id], step, bits(number))))
        found += [(event.sequence, (event.kind, event.payload)) for event in decoded.events]
    return [record for _, record in sorted(found, key=lambda item: item[0])]


def _as_list(column: Any) -> list[Any]:
    return column if isinstance(column, list) else list(column.tolist())


def batches_of(journal: Journal, after: int = 0) -> Iterator[Batch]:
    """Everything that a living journal hands out behind `after`."""
    while batch := journal.batch_after(after):
        yield batch
        after = batch.last


def recovered_records(directory: Path) -> list[Record]:
    """What the recovery of a writer's directory says."""
    return records_of(reader.recover(directory).batches(0))


def where_it_differs(found: list[Record], expected: list[Record]) -> str | None:
    """Where `found` is no prefix of `expected`; None when it is one."""
    if found == expected[: len(found)]:
        return None
    for place, (one, other) in enumerate(itertools.zip_longest(found, expected)):
        if one != other:
            return f"record {place} of {len(found)} is {_short(one)}, {_short(other)} was logged"
    return None


def _short(record: Record | None) -> str:
    return repr(record)[:80]


def exponential(choose: random.Random, mean: float) -> float:
    """A random time, mostly short; never more than eight times the mean."""
    return min(-math.log(1 - choose.random()), 8.0) * mean


class Sink:
    """A store that keeps what it is given, in order; `store` makes it a place that a route accepts."""

    is_remote = False
    uri = store_id = "sink:"

    def __init__(self) -> None:
        self.batches: dict[str, list[Batch]] = {}

    @property
    def store(self) -> Any:
        """Itself."""
        return self

    def append(self, batch: Batch) -> int:
        """See `mlops_sdk.stores.protocol.Store.append`; refuses gaps, keeps what is new."""
        kept = self.batches.setdefault(batch.writer.writer_id, [])
        last = kept[-1].last if kept else 0
        if batch.first > last + 1:
            raise SequenceGapError(batch.writer.writer_id, last + 1, batch.first)
        if batch.last > last:
            skip = last + 1 - batch.first
            kept.append(Batch(batch.writer, last + 1, batch.data[skip * SLOT_BYTES :]))
        return max(last, batch.last)

    def records(self, writer_id: str) -> list[Record]:
        """What it has of a writer."""
        return records_of(self.batches.get(writer_id, []))
