"""The record format: what goes in comes out, and what was not logged never does."""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.errors import StoreCorruptError, StoreVersionError
from mlops_sdk.journal import records
from mlops_sdk.journal.records import (
    DROP_SLOT,
    FRAME_FLAG,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    SLOT_BYTES,
    Batch,
    Kind,
    WriterHeader,
    decode,
    decode_dropped,
    decode_header,
    encode_dropped,
    encode_frame,
    encode_header,
    encode_point,
    extend_chain,
    record_bytes,
    sound_prefix,
)

WRITER = WriterHeader("run", "writer", clock_offset_ns=1_750_000_000_000_000_000)
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
PAYLOAD = st.dictionaries(TEXT, st.none() | st.booleans() | INT64 | TEXT | st.floats(allow_nan=False), max_size=5)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def point(i: int, writer: WriterHeader = WRITER) -> bytes:
    return encode_point(1, i, i, i / 7, writer.seed)


def frame(payload: dict[str, object], writer: WriterHeader = WRITER) -> bytes:
    return encode_frame(Kind.TAGS, 5, payload, writer.seed)


def with_checksum(body: bytes) -> bytes:
    """A record whose checksum is right, whatever its bytes say."""
    return body + struct.pack("<I", zlib.crc32(body, WRITER.seed))


# -- points and frames -----------------------------------------------------------------------------------------------


@given(key_id=st.integers(1, 2**31 - 1), time=INT64, step=INT64, pattern=st.integers(0, 2**64 - 1))
def test_a_point_comes_back_bit_for_bit(key_id: int, time: int, step: int, pattern: int) -> None:
    (value,) = struct.unpack("<d", struct.pack("<Q", pattern))  # every NaN payload, subnormal and sign
    data = encode_point(key_id, time, step, value, WRITER.seed)
    assert len(data) == SLOT_BYTES
    points = decode(Batch(replace(WRITER, clock_offset_ns=0), 9, data)).points
    assert (points.sequence, points.key_id, points.step, points.time_ns) == ([9], [key_id], [step], [time])
    assert bits(points.value[0]) == bits(value)


@given(payload=PAYLOAD, kind=st.sampled_from([kind for kind in Kind if kind != Kind.KEY]))
def test_an_event_comes_back_as_it_was(payload: dict[str, object], kind: Kind) -> None:
    data = encode_frame(kind, 7, payload, WRITER.seed)
    assert len(data) % SLOT_BYTES == 0
    (event,) = decode(Batch(WRITER, 3, data)).events
    assert event == (3, kind, 7 + WRITER.clock_offset_ns, payload)


def test_keys_are_sorted_from_events() -> None:
    data = encode_frame(Kind.KEY, 0, {"id": 4, "name": "val/acc é"}, WRITER.seed) + frame({"set": {"a": "b"}})
    decoded = decode(Batch(WRITER, 1, data))
    assert decoded.keys == {4: "val/acc é"}
    assert [event.kind for event in decoded.events] == [Kind.TAGS]


def test_numbers_count_slots() -> None:
    long = frame({"text": "x" * 100})
    decoded = decode(Batch(WRITER, 1, point(0) + long + point(1)))
    assert len(long) > SLOT_BYTES
    assert decoded.points.sequence == [1, 2 + len(long) // SLOT_BYTES]
    assert [event.sequence for event in decoded.events] == [2]


def test_a_batch_counts_its_slots() -> None:
    batch = Batch(WRITER, 10, point(0) + point(1) + point(2))
    assert (batch.count, batch.last) == (3, 12)


def test_a_frame_fills_whole_slots_at_every_length() -> None:
    for length in range(120):
        data = frame({"t": "x" * length})
        assert len(data) % SLOT_BYTES == 0
        assert decode(Batch(WRITER, 1, data)).events[0].payload == {"t": "x" * length}


def test_the_longest_frame_and_one_byte_more() -> None:
    overhead = 16 + 4 + len('{"t":""}')
    longest = frame({"t": "x" * (MAX_FRAME_BYTES - overhead)})
    assert len(longest) == MAX_FRAME_BYTES
    assert decode(Batch(WRITER, 1, longest)).events[0].sequence == 1
    with pytest.raises(ValueError, match="1048608 bytes; at most 1048576"):
        frame({"t": "x" * (MAX_FRAME_BYTES - overhead + 1)})


@pytest.mark.parametrize("step", [2**63, -(2**63) - 1, 1.5, "1", None])
def test_a_step_that_is_no_int64_is_refused(step: object) -> None:
    with pytest.raises(struct.error):
        encode_point(1, 0, step, 0.5, WRITER.seed)  # type: ignore[arg-type]


# -- the sound prefix ------------------------------------------------------------------------------------------------


def mixed(count: int = 20) -> list[bytes]:
    """Records of several sizes."""
    return [frame({"n": i, "text": "é" * (i * 7 % 90)}) if i % 3 == 2 else point(i) for i in range(count)]


def test_zeros_end_the_prefix() -> None:
    parts = mixed()
    data = b"".join(parts)
    assert sound_prefix(data, WRITER.seed) == len(data)
    assert sound_prefix(data + bytes(999), WRITER.seed) == len(data)
    assert sound_prefix(b"", WRITER.seed) == sound_prefix(bytes(31), WRITER.seed) == 0


def test_nothing_behind_a_damaged_record_counts() -> None:
    parts = mixed()
    for damaged in range(len(parts)):
        data = bytearray(b"".join(parts))
        start = sum(map(len, parts[:damaged]))
        data[start + 9] ^= 0x10
        assert sound_prefix(bytes(data), WRITER.seed) == start


def test_another_writers_records_never_validate() -> None:
    other = replace(WRITER, writer_id="another")
    data = point(0) + point(1, other) + point(2)
    assert sound_prefix(data, WRITER.seed) == SLOT_BYTES
    with pytest.raises(StoreCorruptError):
        decode(Batch(WRITER, 1, point(0, other)))


@pytest.mark.parametrize("length", [2**32 - 1, 2**31, MAX_FRAME_BYTES, MAX_FRAME_BYTES - 16, 13])
def test_a_length_beyond_the_data_or_the_limit_is_no_record(length: int) -> None:
    data = struct.pack("<IIq", FRAME_FLAG | Kind.TAGS, length, 0).ljust(SLOT_BYTES, b"x")
    assert record_bytes(memoryview(data), 0) == 0
    assert sound_prefix(point(0) + data, WRITER.seed) == SLOT_BYTES


@given(data=st.binary(max_size=400))
def test_noise_is_never_a_record(data: bytes) -> None:
    good = point(0)
    assert sound_prefix(good + data, WRITER.seed) == SLOT_BYTES


@pytest.mark.parametrize("data", [b"", point(0)[:-1], point(0) + b"\0", point(0) + bytes(SLOT_BYTES), b"x" * 64])
def test_a_batch_that_is_not_sound_throughout_gives_nothing(data: bytes) -> None:
    with pytest.raises(StoreCorruptError, match="writer writer") as caught:
        decode(Batch(WRITER, 41, data))
    assert caught.value.place.startswith("writer writer, record 4")


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b'{"a":1}{', b"9" * 5000, b"[" * 100_000],
    ids=["empty", "cut", "not utf-8", "two", "5000 digits", "deep"],
)
def test_a_sound_record_that_says_nonsense_is_an_event_without_payload(text: bytes) -> None:
    """A right checksum proves nothing about who wrote it; the record is for the store to reject, not to stumble over."""
    size = -(-(20 + len(text)) // SLOT_BYTES) * SLOT_BYTES
    data = with_checksum((struct.pack("<IIq", FRAME_FLAG | Kind.TAGS, len(text), 0) + text).ljust(size - 4, b"\0"))
    decoded = decode(Batch(WRITER, 5, point(0) + data + point(1)))
    (event,) = decoded.events
    said: Any = event.payload
    assert (event.sequence, event.kind, said) == (6, Kind.TAGS, None)
    assert list(decoded.points.step) == [0, 1]


@pytest.mark.parametrize(
    "payload", [{}, {"id": 1}, {"name": "x"}, {"id": "1", "name": "x"}, {"id": None, "name": "x"}, [1, "x"]]
)
def test_a_key_definition_without_its_parts_defines_nothing(payload: Any) -> None:
    decoded = decode(Batch(WRITER, 1, encode_frame(Kind.KEY, 0, payload, WRITER.seed) + point(0)))
    assert decoded.keys == {}
    (event,) = decoded.events
    assert (event.sequence, event.kind, event.payload) == (1, Kind.KEY, payload)


# -- the header ------------------------------------------------------------------------------------------------------

FULL = WriterHeader("run é", "w" * 32, 7, 3, -5, "attached", 12, "host", "boot", "pid:[1]", 99, "12345")


@pytest.mark.parametrize("header", [WRITER, FULL, WriterHeader("", "\ud800")])
def test_a_header_comes_back(header: WriterHeader) -> None:
    data = encode_header(header)
    assert len(data) == HEADER_BYTES
    assert decode_header(data) == header
    assert decode_dropped(data) == 0


def test_a_host_name_too_long_for_the_header_is_left_out() -> None:
    assert decode_header(encode_header(replace(FULL, host="h" * 2000))) == replace(FULL, host="")


def test_every_flipped_bit_of_a_header_is_noticed_or_means_nothing() -> None:
    data = encode_header(FULL)
    verdicts = {"same": 0, "damaged": 0, "newer": 0}
    for bit in range(HEADER_BYTES * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert decode_header(bytes(flipped)) == FULL
            verdicts["same"] += 1  # padding, or the drop slot, which has its own checksum
        except StoreCorruptError:
            verdicts["damaged"] += 1
        except StoreVersionError:
            verdicts["newer"] += 1
    assert verdicts["newer"] == 31  # bits of the version, but the one that makes it 0
    assert verdicts["damaged"] > 1500


def test_a_newer_format_is_refused_by_name() -> None:
    data = bytearray(encode_header(FULL))
    struct.pack_into("<I", data, 8, 2)
    with pytest.raises(StoreVersionError, match=r"journal segment a/1\.seg has format 2.*up to 1") as caught:
        decode_header(bytes(data), place="a/1.seg")
    assert (caught.value.found, caught.value.supported) == (2, 1)


def test_a_newer_format_is_refused_by_name_whatever_follows_its_number() -> None:
    """What stands behind the version is the newer format's business: its header must not read as damage."""
    data = records.MAGIC + struct.pack("<I", 2) + b"\xee" * (HEADER_BYTES - 12)
    with pytest.raises(StoreVersionError):
        decode_header(data)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"run_id":"r"}',
        b'{"run_id":1,"writer_id":"w"}',
        b'{"run_id":"r","writer_id":null}',
        b'{"run_id":"r","writer_id":"w","first":0}',
        b'{"run_id":"r","writer_id":"w","first":-1}',
        b'{"run_id":"r","writer_id":"w","first":1.5}',
        b'{"run_id":"r","writer_id":"w","first":true}',
        b'{"run_id":"r","writer_id":"w","first":99999999999999999999}',
        b'{"run_id":"r","writer_id":"w","index":"1"}',
        b'{"run_id":"r","writer_id":"w","pid":"1"}',
        b'{"run_id":"r","writer_id":"w","rank":"1"}',
        b'{"run_id":"r","writer_id":"w","clock_offset_ns":1e400}',
        b'{"run_id":"r","writer_id":"w","host":7}',
        b"\xff",
        b"[" * 900,
    ],
)
def test_a_header_that_says_nonsense_is_damage(body: bytes) -> None:
    head = struct.pack("<8sIII", records.MAGIC, records.FORMAT, len(body), zlib.crc32(body)) + body
    with pytest.raises(StoreCorruptError):
        decode_header(head.ljust(HEADER_BYTES, b"\0"))


def test_fields_of_a_later_minor_version_are_skipped() -> None:
    body = json.dumps({"run_id": "r", "writer_id": "w", "gpu": 3}).encode()
    head = struct.pack("<8sIII", records.MAGIC, records.FORMAT, len(body), zlib.crc32(body)) + body
    assert decode_header(head.ljust(HEADER_BYTES, b"\0")) == WriterHeader("r", "w")


@pytest.mark.parametrize("data", [b"", b"MLOPSJNL", bytes(HEADER_BYTES), b"SQLite format 3\0".ljust(HEADER_BYTES)])
def test_what_is_no_header_says_so_with_its_place(data: bytes) -> None:
    with pytest.raises(StoreCorruptError, match=r"here: no journal header") as caught:
        decode_header(data, place="here")
    assert caught.value.place == "here"


# -- the count of dropped records ------------------------------------------------------------------------------------


@given(count=st.integers(0, 2**64 - 1))
def test_the_dropped_count_comes_back(count: int) -> None:
    slot = bytes(DROP_SLOT) + encode_dropped(count)
    assert decode_dropped(slot.ljust(HEADER_BYTES, b"\0")) == count


def test_a_damaged_dropped_count_reads_as_none() -> None:
    slot = bytearray(bytes(DROP_SLOT) + encode_dropped(77))
    slot[DROP_SLOT] ^= 1
    assert decode_dropped(bytes(slot)) == 0
    assert decode_dropped(bytes(HEADER_BYTES)) == decode_dropped(b"") == 0


# -- the chain -------------------------------------------------------------------------------------------------------

CHECKSUMS = st.lists(st.integers(0, 2**32 - 1), max_size=60)


@given(checksums=CHECKSUMS, cuts=st.lists(st.integers(0, 60), max_size=6), start=st.integers(0, 2**64 - 1))
def test_the_chain_does_not_depend_on_the_cuts(checksums: list[int], cuts: list[int], start: int) -> None:
    whole = extend_chain(start, checksums)
    edges = [0, *sorted(min(cut, len(checksums)) for cut in cuts), len(checksums)]
    chain = start
    for begin, end in pairwise(edges):
        chain = extend_chain(chain, checksums[begin:end])
    assert chain == whole
    assert 0 <= whole < 2**64


def test_the_chain_depends_on_values_order_and_number() -> None:
    chains = [extend_chain(0, checksums) for checksums in ([], [0], [0, 0], [1], [1, 2], [2, 1])]
    assert len(set(chains)) == len(chains)


def test_the_format_is_what_the_documentation_says() -> None:
    """A golden record of each form: changing one byte of it would orphan every spool in the world."""
    header = WriterHeader("r", "w")
    assert header.seed == zlib.crc32(b"MLOPSJNLw")
    one = encode_point(3, 1, 2, -0.0, header.seed)
    assert one.hex() == "03000000" + "0100000000000000" + "0200000000000000" + "0000000000000080" + "131740ef"
    event = encode_frame(Kind.TAGS, 1, {"a": math.pi}, header.seed)
    assert event[:16].hex() == "04000080" + "17000000" + "0100000000000000"
    assert event[16:39] == b'{"a":3.141592653589793}'
    assert event[39:-4] == bytes(len(event) - 43)
