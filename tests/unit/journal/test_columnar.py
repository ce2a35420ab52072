"""The fast way of decoding agrees with the plain one, on sound bytes and on damaged ones."""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.errors import StoreCorruptError
from mlops_sdk.journal import columnar, records
from mlops_sdk.journal.records import (
    FRAME_FLAG,
    SLOT_BYTES,
    Batch,
    Kind,
    WriterHeader,
    encode_frame,
    encode_point,
)

WRITER = WriterHeader("run", "writer", clock_offset_ns=-12_345)
SEED = WRITER.seed


def some_records(seed: int, count: int) -> bytes:
    """Points with every kind of float, and now and then a frame whose slots look like points."""
    rng = random.Random(seed)
    parts = []
    for i in range(count):
        chance = rng.random()
        if chance < 0.02:
            parts.append(encode_frame(Kind.KEY, i, {"id": rng.randrange(1, 99), "name": f"k{i}"}, SEED))
        elif chance < 0.06:
            parts.append(encode_frame(Kind.TAGS, -i, {"t": "\x01\0\0\0é" * rng.randrange(60)}, SEED))
        else:
            (value,) = struct.unpack("<d", rng.randbytes(8))
            parts.append(encode_point(rng.randrange(1, 2**31), i * 3, rng.randrange(-(2**63), 2**63), value, SEED))
    return b"".join(parts)


def plain_prefix(data: bytes, seed: int = SEED) -> int:
    return sum(size for _, size in records._walk(memoryview(data), seed))


def assert_same(one: records.Decoded, other: records.Decoded) -> None:
    assert one.events == other.events
    assert one.keys == other.keys
    for name in ("sequence", "key_id", "step", "time_ns"):
        assert list(getattr(one.points, name)) == getattr(other.points, name).tolist(), name
    assert np.array(one.points.value).tobytes() == other.points.value.tobytes()
    assert one.checksums == other.checksums.tolist()


@pytest.mark.parametrize("count", [1, 2, 50, 5000])
def test_both_decode_the_same(count: int) -> None:
    batch = Batch(WRITER, 17, some_records(count, count))
    plain, fast = records._decode_small(batch), columnar.decode(batch)
    assert (plain.is_columnar, fast.is_columnar) == (False, True)
    assert_same(plain, fast)
    for column, dtype in (("sequence", "i8"), ("key_id", "i8"), ("step", "i8"), ("time_ns", "i8"), ("value", "f8")):
        assert getattr(fast.points, column).dtype == np.dtype(dtype)


def test_the_way_is_chosen_by_size() -> None:
    few = b"".join(encode_point(1, i, i, 0.5, SEED) for i in range(records._SMALL_POINTS))
    more = few + encode_point(1, 0, 0, 0.5, SEED)
    assert not records.decode(Batch(WRITER, 1, few)).is_columnar
    assert records.decode(Batch(WRITER, 1, more)).is_columnar


def test_a_batch_of_frames_only() -> None:
    data = b"".join(encode_frame(Kind.TAGS, i, {"n": i}, SEED) for i in range(1500))
    assert_same(records._decode_small(Batch(WRITER, 1, data)), columnar.decode(Batch(WRITER, 1, data)))


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 40),
    damage=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=3),
    cut=st.integers(0, 2000),
    zeros=st.integers(0, 100),
)
def test_both_find_the_same_prefix_of_damaged_bytes(
    seed: int, count: int, damage: list[tuple[int, int]], cut: int, zeros: int
) -> None:
    data = bytearray(some_records(seed, count))
    for place, byte in damage:
        data[place % len(data)] = byte
    damaged = bytes(data[: max(1, len(data) - cut)]) + bytes(zeros)
    end = plain_prefix(damaged)
    assert columnar.sound_prefix(memoryview(damaged), SEED) == end
    batch = Batch(WRITER, 1, damaged)
    if end == len(damaged):
        assert_same(records._decode_small(batch), columnar.decode(batch))
    else:
        with pytest.raises(StoreCorruptError):
            columnar.decode(batch)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 65])
def test_bytes_that_are_no_whole_slots(size: int) -> None:
    data = (some_records(3, 9) + b"\x01" * 40)[:size]
    assert columnar.sound_prefix(memoryview(data), SEED) == plain_prefix(data) == size // SLOT_BYTES * SLOT_BYTES
    with pytest.raises(StoreCorruptError):
        columnar.decode(Batch(WRITER, 1, data))


def test_points_inside_a_frame_are_no_points() -> None:
    """A frame's payload may hold, slot by slot, what would be a sound point elsewhere."""
    point = encode_point(1, 2, 3, 4.0, SEED)
    text = b" " * 16 + point * 3  # begins the second slot
    size = -(-(20 + len(text)) // SLOT_BYTES) * SLOT_BYTES
    body = (struct.pack("<IIq", FRAME_FLAG | Kind.TAGS, len(text), 0) + text).ljust(size - 4, b"\0")
    frame = body + struct.pack("<I", zlib.crc32(body, SEED))
    data = point + frame + point
    decoded = columnar.decode(Batch(WRITER, 1, data))
    assert decoded.points.sequence.tolist() == [1, 2 + size // SLOT_BYTES]
    assert_same(records._decode_small(Batch(WRITER, 1, data)), decoded)


@pytest.mark.parametrize("length", [2**32 - 1, 2**31, 1 << 20, 5000])
def test_a_huge_length_takes_neither_time_nor_memory(length: int) -> None:
    good = some_records(5, 3000)
    data = good + struct.pack("<IIq", FRAME_FLAG | Kind.TAGS, length, 0).ljust(SLOT_BYTES, b"\xff")
    assert records.sound_prefix(data, SEED) == len(good)


@given(checksums=st.lists(st.integers(0, 2**32 - 1), max_size=80), chain=st.integers(0, 2**64 - 1))
def test_both_extend_the_chain_alike(checksums: list[int], chain: int) -> None:
    assert columnar.extend_chain(chain, np.array(checksums, np.uint32)) == records.extend_chain(chain, checksums)


def test_another_writers_points_never_validate() -> None:
    other = replace(WRITER, writer_id="another")
    data = encode_point(1, 0, 0, 0.0, SEED) * 3000 + encode_point(1, 0, 0, 0.0, other.seed)
    assert records.sound_prefix(data, SEED) == 3000 * SLOT_BYTES
