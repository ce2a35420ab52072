"""What a journal holds, taken apart for comparison."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mlops_sdk.journal import reader
from mlops_sdk.journal.records import SLOT_BYTES, Batch, Kind, decode, record_bytes
from mlops_sdk.journal.writer import Journal


class Logged(NamedTuple):
    """A record by what was said, without its time: points as (name, step, value), events as (kind, payload)."""

    sequence: int
    what: tuple[Any, ...]


def batches_of(journal: Journal, after: int = 0) -> Iterator[Batch]:
    """Everything that a journal hands to its courier behind `after`."""
    while batch := journal.batch_after(after):
        yield batch
        after = batch.last


def logged(batches: Iterable[Batch], *, first: int = 1) -> list[Logged]:
    """The records of `batches`, key definitions left out; fails unless their numbers are dense from `first` on.

    A key that is defined before `first` reads as ``#id``.
    """
    names: dict[int, str] = {}
    found: list[Logged] = []
    for batch in batches:
        assert batch.first == first, f"a hole: record {first} expected, {batch.first} found"
        first = batch.last + 1
        decoded = decode(batch)
        names |= decoded.keys
        points = decoded.points
        for sequence, key_id, step, value in zip(
            points.sequence, points.key_id, points.step, points.value, strict=True
        ):
            found.append(Logged(int(sequence), (names.get(int(key_id), f"#{key_id}"), int(step), float(value))))
        found += [Logged(event.sequence, (Kind(event.kind).name, event.payload)) for event in decoded.events]
    return sorted(found, key=lambda item: item.sequence)


def said(batches: Iterable[Batch]) -> list[tuple[Any, ...]]:
    """What the records of `batches` say, in order."""
    return [item.what for item in logged(batches)]


def said_by(journal: Journal) -> list[tuple[Any, ...]]:
    """What a living journal's records say, in order."""
    return said(batches_of(journal))


def said_on_disk(directory: Path) -> list[tuple[Any, ...]]:
    """What the recovery of a writer's directory says, in order."""
    return said(reader.recover(directory).batches(0))


def split_records(data: bytes) -> list[bytes]:
    """Sound records one by one."""
    parts, offset = [], 0
    while offset < len(data):
        size = record_bytes(memoryview(data), offset)
        assert size >= SLOT_BYTES, f"no record at byte {offset}"
        parts.append(data[offset : offset + size])
        offset += size
    return parts
