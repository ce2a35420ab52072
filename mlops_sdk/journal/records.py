"""The journal's record format: what is written per event, and how it is read back.

A segment is a header of 1,024 bytes followed by records. Every record is a whole number of 32-byte slots, little-endian,
and ends in the CRC-32 of all its other bytes, seeded with the writer's identity:

======  =========================  =========================================
bytes   metric point (one slot)    framed record (n slots)
======  =========================  =========================================
0-3     key id, 1 .. 2**31-1       0x80000000 + kind
4-11    time (int64)               4-7 payload length, 8-15 time (int64)
12-19   step (int64)               16.. payload: UTF-8 JSON, zero padded
20-27   value (float64)
last 4  CRC-32                     CRC-32
======  =========================  =========================================

Times are the writer's monotonic clock in nanoseconds; the header's ``clock_offset_ns`` makes them wall time. A slot
whose first four bytes are zero has not been written.

Sequence numbers count *slots*: the first slot of a writer is 1, a record's number is that of its first slot, and a record
of n slots takes n numbers. So numbers are dense, follow from the position alone, and no counter has to be kept in step
with the bytes when a signal interrupts the writer.

References
----------
.. [1] ``docs/adr/0001-journal-format.md``
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_sdk.errors import StoreCorruptError, StoreVersionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mlops_sdk._types import JsonDict

MAGIC = b"MLOPSJNL"
FORMAT = 1
HEADER_BYTES = 1024
SLOT_BYTES = 32
DROP_SLOT = HEADER_BYTES - 32
"""Where in the header the count of dropped records is kept; preallocated, so that a full disk cannot refuse it."""

FRAME_FLAG = 0x8000_0000
MAX_FRAME_BYTES = 1 << 20
"""Longest framed record that is accepted; writers split what is longer."""

_PREFIX = struct.Struct("<8sIII")
_DROPPED = struct.Struct("<QI")
pack_body = struct.Struct("<Iqqd").pack
pack_slot = struct.Struct("<28sI").pack
_POINT = struct.Struct("<IqqdI")
_FRAME = struct.Struct("<IIq")
_CRC = struct.Struct("<I")
_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_SMALL_POINTS = 2048
"""Up to here plain Python decodes faster than numpy loads."""


class Kind(IntEnum):
    """Kinds of framed records; numbers are a promise, never reused."""

    KEY = 1
    RUN = 2
    PARAMS = 3
    TAGS = 4
    INFO = 5
    ARTIFACT = 6
    DATASET = 7
    DEFINE = 8
    STATUS = 9
    ENVIRONMENT = 10
    HEARTBEAT = 11
    DROPPED = 12
    LOST = 13
    TRASH = 14
    EXPERIMENT = 15
    WARNING = 16


@dataclass(frozen=True, slots=True)
class WriterHeader:
    """Who wrote a segment and where it begins; stands in every segment, so that one needs no other.

    Attributes
    ----------
    run_id, writer_id : str
    first : int
        Sequence number of the segment's first slot.
    index : int
        Number of the segment, from 1.
    clock_offset_ns : int
        Wall time is the records' time plus this.
    role : {"owner", "attached", "editor"}
    rank : int or None
    host, boot_id, pid_namespace : str
    pid : int
    pid_start : str
        The process's start as the kernel gives it: tells a reused pid from the old one.
    """

    run_id: str
    writer_id: str
    first: int = 1
    index: int = 1
    clock_offset_ns: int = 0
    role: str = "owner"
    rank: int | None = None
    host: str = ""
    boot_id: str = ""
    pid_namespace: str = ""
    pid: int = 0
    pid_start: str = ""

    @property
    def seed(self) -> int:
        """Seed of the writer's record checksums."""
        return seed_of(self.writer_id)


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive whole records of one segment, the unit in which they travel.

    Attributes
    ----------
    writer : WriterHeader
    first : int
        Sequence number of the first slot.
    data : bytes
        The records as they stand in the journal: a positive multiple of `SLOT_BYTES`.
    """

    writer: WriterHeader
    first: int
    data: bytes

    @property
    def count(self) -> int:
        """Number of slots, n >= 1 (of records, when all are points)."""
        return len(self.data) // SLOT_BYTES

    @property
    def last(self) -> int:
        """Sequence number of the last slot: what a store has acknowledged once it applied the batch."""
        return self.first + self.count - 1


class Event(NamedTuple):
    """A framed record. `time_ns` is wall time; `payload` is whatever JSON value was found, None where it was none."""

    sequence: int
    kind: int
    time_ns: int
    payload: JsonDict


@dataclass(slots=True)
class Points:
    """Metric points in log order, as columns of equal length; `time_ns` is wall time."""

    sequence: Any
    key_id: Any
    step: Any
    time_ns: Any
    value: Any

    def __len__(self) -> int:
        return len(self.key_id)


@dataclass(slots=True)
class Decoded:
    """A batch taken apart.

    Attributes
    ----------
    events : list of Event
        Framed records, key definitions left out.
    keys : dict of int to str
        Metric names defined in the batch.
    points : Points
        Columns as lists while they are few, as numpy arrays otherwise.
    is_columnar : bool
        Whether the columns are numpy arrays.
    checksums : sequence of int
        CRC-32 of each record, in order.
    numbers : sequence of int
        Sequence number of the first slot of each record, in order.
    defined : dict of int to int
        Sequence number of the definition of each of `keys`.
    """

    events: list[Event]
    keys: dict[int, str]
    points: Points
    is_columnar: bool
    checksums: Any
    numbers: Any = field(default_factory=list)
    defined: dict[int, int] = field(default_factory=dict)


def seed_of(writer_id: str) -> int:
    """Seed for a writer's checksums, so that another writer's bytes never validate."""
    return zlib.crc32(MAGIC + writer_id.encode("utf-8", "surrogatepass"))


def encode_header(header: WriterHeader) -> bytes:
    """Encode `header` into exactly `HEADER_BYTES` bytes."""
    fields = {name: getattr(header, name) for name in header.__slots__}
    body = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(body) > DROP_SLOT - _PREFIX.size:
        fields["host"] = ""
        body = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    head = _PREFIX.pack(MAGIC, FORMAT, len(body), zlib.crc32(body)) + body
    return head.ljust(DROP_SLOT, b"\0") + encode_dropped(0).ljust(32, b"\0")


def decode_header(data: bytes, *, place: str = "") -> WriterHeader:
    """Read a segment's header.

    Raises
    ------
    StoreVersionError
        If a newer version wrote it.
    StoreCorruptError
        If it is not a header, or damaged.
    """
    if len(data) < HEADER_BYTES or data[:8] != MAGIC:
        raise StoreCorruptError(f"{place or 'segment'}: no journal header", place=place)
    _, version, length, checksum = _PREFIX.unpack_from(data)
    if version > FORMAT:  # first of all: what follows is for the newer format to say
        raise StoreVersionError(f"journal segment {place}".rstrip(), version, FORMAT)
    body = bytes(data[_PREFIX.size : _PREFIX.size + length])
    header = _read_fields(body) if length <= DROP_SLOT - _PREFIX.size and zlib.crc32(body) == checksum else None
    if header is None:
        raise StoreCorruptError(f"{place or 'segment'}: damaged journal header", place=place)
    return header


def _read_fields(body: bytes) -> WriterHeader | None:
    """The header that `body` spells, None where it spells none: a right checksum proves nothing about who wrote it."""
    try:
        said = json.loads(body)
        header = WriterHeader(**{name: said[name] for name in WriterHeader.__slots__ if name in said})
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (header.run_id, header.writer_id, header.role, header.host, header.boot_id, header.pid_namespace)
    rank = 0 if header.rank is None else header.rank
    numbers = (header.first, header.index, header.clock_offset_ns, header.pid, rank)
    are_texts = all(type(text) is str for text in (*texts, header.pid_start))
    are_numbers = all(type(number) is int and -(2**63) <= number < 2**63 for number in numbers)
    return header if are_texts and are_numbers and header.first >= 1 else None


def encode_dropped(count: int) -> bytes:
    """Encode the count of dropped records for the header's slot at `DROP_SLOT`."""
    body = count.to_bytes(8, "little")
    return body + _CRC.pack(zlib.crc32(body))


def decode_dropped(header: bytes) -> int:
    """Count of records the writer had to drop, 0 when the slot is damaged or was never used."""
    if len(header) < DROP_SLOT + _DROPPED.size:
        return 0
    count, checksum = _DROPPED.unpack_from(header, DROP_SLOT)
    return int(count) if zlib.crc32(bytes(header[DROP_SLOT : DROP_SLOT + 8])) == checksum else 0


def encode_frame(kind: int, time: int, payload: JsonDict, seed: int) -> bytes:
    """Encode a framed record, padded to whole slots.

    Raises
    ------
    ValueError
        If it would be longer than `MAX_FRAME_BYTES`.
    """
    text = _to_json(payload).encode("utf-8", "surrogatepass")
    size = -(-(_FRAME.size + len(text) + _CRC.size) // SLOT_BYTES) * SLOT_BYTES
    if size > MAX_FRAME_BYTES:
        raise ValueError(f"a record of {size} bytes; at most {MAX_FRAME_BYTES} fit")
    body = (_FRAME.pack(FRAME_FLAG | kind, len(text), time) + text).ljust(size - _CRC.size, b"\0")
    return body + _CRC.pack(zlib.crc32(body, seed))


def encode_point(key_id: int, time: int, step: int, value: float, seed: int) -> bytes:
    """Encode a metric point into one slot."""
    body = pack_body(key_id, time, step, value)
    return pack_slot(body, zlib.crc32(body, seed))


def record_bytes(data: memoryview, offset: int) -> int:
    """Length in bytes of the record at `offset`, 0 where none was written or its length cannot be."""
    if offset + SLOT_BYTES > len(data):
        return 0
    mark, length = struct.unpack_from("<II", data, offset)
    if mark == 0:
        return 0
    if mark < FRAME_FLAG:
        return SLOT_BYTES
    size = -(-(_FRAME.size + length + _CRC.size) // SLOT_BYTES) * SLOT_BYTES
    return int(size) if size <= MAX_FRAME_BYTES and offset + size <= len(data) else 0


def _walk(data: memoryview, seed: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of each sound record from the start, up to the first that is not."""
    offset = 0
    while size := record_bytes(data, offset):
        end = offset + size
        if zlib.crc32(data[offset : end - 4], seed) != _CRC.unpack_from(data, end - 4)[0]:
            return
        yield offset, size
        offset = end


def sound_prefix(data: bytes | memoryview, seed: int) -> int:
    """Measure the unbroken prefix of sound records.

    Parameters
    ----------
    data : bytes-like
        A segment without its header; whatever bytes.
    seed : int
        See `seed_of`.

    Returns
    -------
    end : int
        Offset behind the last of them. No record behind the first damaged or missing one counts, however sound it looks.
    """
    view = memoryview(data)
    if len(view) > _SMALL_POINTS * SLOT_BYTES:
        from mlops_sdk.journal import columnar

        return columnar.sound_prefix(view, seed)
    end = 0
    for offset, size in _walk(view, seed):
        end = offset + size
    return end


def decode(batch: Batch) -> Decoded:
    """Take a batch apart.

    Raises
    ------
    StoreCorruptError
        If the bytes are not sound records throughout; nothing of it is returned.
    """
    if batch.count > _SMALL_POINTS:
        from mlops_sdk.journal import columnar

        return columnar.decode(batch)
    return _decode_small(batch)


def decode_frame(data: memoryview, offset: int, sequence: int, clock_offset_ns: int) -> Event:
    """Read the framed record at `offset`, whose checksum was found right.

    A payload that is no JSON comes back as None, for the store to reject: one bad record must not block its writer.
    """
    mark, length, time = _FRAME.unpack_from(data, offset)
    start = offset + _FRAME.size
    try:
        payload = json.loads(bytes(data[start : start + length]).decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        payload = None
    return Event(sequence, mark & ~FRAME_FLAG, time + clock_offset_ns, payload)


def _decode_small(batch: Batch) -> Decoded:
    data, clock = memoryview(batch.data), batch.writer.clock_offset_ns
    points = Points([], [], [], [], [])
    decoded = Decoded([], {}, points, False, [])
    end = 0
    for offset, size in _walk(data, batch.writer.seed):
        sequence = batch.first + offset // SLOT_BYTES
        mark, time, step, value, checksum = _POINT.unpack_from(data, offset)
        if mark < FRAME_FLAG:
            points.sequence.append(sequence)
            points.key_id.append(mark)
            points.step.append(step)
            points.time_ns.append(time + clock)
            points.value.append(value)
        else:
            checksum = _CRC.unpack_from(data, offset + size - 4)[0]
            add_event(decoded, decode_frame(data, offset, sequence, clock))
        decoded.checksums.append(checksum)
        decoded.numbers.append(sequence)
        end = offset + size
    check_whole(batch, end)
    return decoded


def add_event(decoded: Decoded, event: Event) -> None:
    """Sort a framed record into key definitions and events; a key that cannot be read is left to the store to reject."""
    payload: Any = event.payload
    if event.kind == Kind.KEY and type(payload) is dict:
        key_id, name = payload.get("id"), payload.get("name")
        if type(key_id) is int and type(name) is str:
            decoded.keys[key_id] = name
            decoded.defined[key_id] = event.sequence
            return
    decoded.events.append(event)


def check_whole(batch: Batch, end: int) -> None:
    """Raise StoreCorruptError unless the batch's bytes were sound records up to the last one."""
    if not batch.data or end != len(batch.data):
        raise StoreCorruptError(
            f"batch of writer {batch.writer.writer_id}: {end} of {len(batch.data)} bytes are sound records",
            place=f"writer {batch.writer.writer_id}, record {batch.first + end // SLOT_BYTES}",
        )


def extend_chain(chain: int, checksums: npt.NDArray[np.uint32] | list[int]) -> int:
    """Extend a writer's rolling history hash by the checksums of its next records.

    The hash does not depend on how the records were cut into batches: a polynomial in the checksums modulo 2**64.

    References
    ----------
    .. [1] Karp and Rabin, "Efficient randomized pattern-matching algorithms", IBM J. Res. Dev. 31 (1987).
    """
    if not isinstance(checksums, list):
        from mlops_sdk.journal import columnar

        return columnar.extend_chain(chain, checksums)
    for checksum in checksums:
        chain = (chain * CHAIN_BASE + checksum + 1) & 0xFFFF_FFFF_FFFF_FFFF
    return chain


CHAIN_BASE = 0x9E37_79B9_7F4A_7C15
