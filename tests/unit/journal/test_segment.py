"""One segment file, mapped and appended: the same promises."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_sdk.journal import segment as segment_module
from mlops_sdk.journal.records import (
    HEADER_BYTES,
    SLOT_BYTES,
    Kind,
    WriterHeader,
    decode_dropped,
    decode_header,
    encode_frame,
    encode_point,
    sound_prefix,
)
from mlops_sdk.journal.segment import (
    LARGEST_BYTES,
    AppendedSegment,
    LockedMappedSegment,
    MappedSegment,
    Segment,
    next_size,
    prepare,
)

WRITER = WriterHeader("run", "writer")
SIZE = HEADER_BYTES + 8 * SLOT_BYTES
Make = Callable[..., Segment]


def point(i: int) -> bytes:
    return encode_point(1, i, i, i / 3, WRITER.seed)


@pytest.fixture(params=["mapped", "mapped, without a GIL", "appended"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a segment that has begun; the same tests for every kind."""
    is_mapped = request.param != "appended"
    kind: type[Segment] = MappedSegment if is_mapped else AppendedSegment
    if request.param == "mapped, without a GIL":
        monkeypatch.setattr(segment_module, "_has_gil", lambda: False)
        kind = LockedMappedSegment

    def make_segment(size: int = SIZE) -> Segment:
        made = prepare(tmp_path, size, is_mapped=is_mapped)
        made.begin(WRITER, "1.seg")
        assert type(made) is kind
        return made

    return make_segment


def body(segment: Segment) -> bytes:
    return segment.path.read_bytes()[HEADER_BYTES:]


def test_what_is_written_is_in_the_file_at_once(make: Make) -> None:
    segment = make()
    for i in range(3):
        segment.write(point(i))
        assert body(segment)[: (i + 1) * SLOT_BYTES] == b"".join(point(n) for n in range(i + 1))
        assert segment.published() == HEADER_BYTES + (i + 1) * SLOT_BYTES
    assert decode_header(segment.path.read_bytes()) == WRITER
    segment.close()


def test_reading_does_not_move_the_writer(make: Make) -> None:
    segment = make()
    segment.write(point(0))
    assert segment.read(HEADER_BYTES, HEADER_BYTES + SLOT_BYTES) == point(0)
    segment.write(point(1))
    assert segment.read(HEADER_BYTES, segment.published()) == point(0) + point(1)
    segment.close()


def test_a_full_segment_refuses_and_keeps_what_it_has(make: Make) -> None:
    segment = make()
    for i in range(7):
        segment.write(point(i))
    with pytest.raises(ValueError, match=r"."):
        segment.write(point(7) + point(8))  # one slot is left: neither of the two goes in
    segment.write(point(7))
    with pytest.raises(ValueError, match=r"."):
        segment.write(point(8))
    assert segment.published() == SIZE
    assert body(segment) == b"".join(point(i) for i in range(8))
    segment.close()


def test_a_sealed_segment_takes_nothing_more(make: Make) -> None:
    segment = make()
    segment.write(point(0))
    end = segment.seal()
    assert (end, segment.is_sealed) == (HEADER_BYTES + SLOT_BYTES, True)
    with pytest.raises(ValueError, match=r"."):
        segment.write(point(1))
    assert segment.seal() == segment.published() == end
    assert body(segment).rstrip(b"\0") == point(0).rstrip(b"\0")
    segment.close()


def test_sealing_a_full_or_an_empty_segment(make: Make) -> None:
    segment = make()
    for i in range(8):
        segment.write(point(i))
    assert segment.seal() == SIZE
    segment.discard()
    empty = make()
    assert empty.seal() == HEADER_BYTES
    empty.discard()


def test_the_dropped_count_goes_to_the_header_also_of_a_sealed_segment(make: Make) -> None:
    segment = make()
    segment.write(point(0))
    for count in (1, 2**40):
        segment.set_dropped(count)
        assert decode_dropped(segment.path.read_bytes()) == count
    segment.seal()
    segment.set_dropped(7)
    assert decode_dropped(segment.path.read_bytes()) == 7
    assert decode_header(segment.path.read_bytes()) == WRITER
    assert segment.published() == HEADER_BYTES + SLOT_BYTES
    segment.close()


def test_the_file_is_its_owners_alone(make: Make) -> None:
    old = os.umask(0)
    try:
        segment = make()
    finally:
        os.umask(old)
    assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600
    segment.close()


def test_close_leaves_the_file_and_discard_removes_it(make: Make) -> None:
    segment = make()
    segment.write(point(0))
    segment.close()
    segment.close()
    assert segment.path.exists()
    with pytest.raises(ValueError, match=r"."):
        segment.write(point(1))
    again = segment.path
    segment.discard()
    assert not again.exists()


def test_no_descriptor_is_left_open(make: Make) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    if before is None:
        pytest.skip("no /proc/self/fd here")
    for how in ("close", "discard", "abandon"):
        segment = make()
        segment.write(point(0))
        getattr(segment, how)()
        segment.path.unlink(missing_ok=True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_segment_without_a_name_is_not_one_that_readers_see(tmp_path: Path) -> None:
    for is_mapped in (True, False):
        made = prepare(tmp_path, SIZE, is_mapped=is_mapped)
        assert made.path.name.startswith(".")
        assert made.path.suffix != segment_module.SUFFIX
        made.discard()
    assert list(tmp_path.iterdir()) == []


def test_preparing_on_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    monkeypatch.setattr(os, "write", refuse)
    for is_mapped in (True, False):
        with pytest.raises(OSError, match="No space left"):
            prepare(tmp_path, SIZE, is_mapped=is_mapped)
    assert list(tmp_path.iterdir()) == []


def test_a_mapped_file_is_never_sparse(tmp_path: Path) -> None:
    """A store into a hole of a full disk is a SIGBUS."""
    made = prepare(tmp_path, 1 << 20, is_mapped=True)
    assert made.path.stat().st_blocks * 512 >= 1 << 20
    made.discard()


def test_touching_survives_a_kernel_that_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare(tmp_path, 1 << 20, is_mapped=True, touch=True)
    made.discard()
    monkeypatch.setattr(segment_module, "_POPULATE_WRITE", 9999)  # as an older kernel: EINVAL
    made = prepare(tmp_path, 1 << 20, is_mapped=True, touch=True)
    made.begin(WRITER, "1.seg")
    made.write(point(0))
    assert body(made).startswith(point(0))
    made.discard()


def test_sizes_grow_to_a_limit() -> None:
    sizes = [segment_module.FIRST_BYTES]
    while sizes[-1] < LARGEST_BYTES:
        sizes.append(next_size(sizes[-1]))
    assert sizes[:3] == [64 << 10, 128 << 10, 256 << 10]
    assert next_size(LARGEST_BYTES) == sizes[-1] == 4 << 20


def test_eight_threads_fill_a_segment_to_the_last_slot(make: Make) -> None:
    segment = make(HEADER_BYTES + 1000 * SLOT_BYTES)
    taken: list[int] = []

    def fill(thread: int) -> None:
        for i in range(200):
            try:
                segment.write(point(thread * 1000 + i))
            except ValueError:
                return
            taken.append(thread * 1000 + i)

    threads = [threading.Thread(target=fill, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    data = segment.read(HEADER_BYTES, segment.published())
    assert len(taken) == 1000
    assert sound_prefix(data, WRITER.seed) == 1000 * SLOT_BYTES
    slots = {data[i : i + SLOT_BYTES] for i in range(0, len(data), SLOT_BYTES)}
    assert slots == {point(i) for i in taken}
    segment.close()


# -- mapped ----------------------------------------------------------------------------------------------------------


class Interrupted(mmap.mmap):
    """A mapping in which something happens just before, or just behind, a seek."""

    before: Callable[[], object]
    behind: Callable[[], object]

    def seek(self, *args: Any) -> None:
        self.before()
        super().seek(*args)
        self.behind()


def nothing() -> None:
    return None


def interrupted(tmp_path: Path) -> tuple[MappedSegment, Interrupted]:
    path = tmp_path / "x.tmp"
    path.write_bytes(bytes(SIZE))
    fd = os.open(path, os.O_RDWR)
    mapping = Interrupted(fd, SIZE)
    mapping.before = mapping.behind = nothing
    segment = MappedSegment(path, fd, SIZE, mapping)
    segment.begin(WRITER, "1.seg")
    segment.write(point(0))
    return segment, mapping


def test_what_another_thread_publishes_while_sealing_counts(tmp_path: Path) -> None:
    segment, mapping = interrupted(tmp_path)
    long = encode_frame(Kind.TAGS, 0, {"text": "x" * 50}, WRITER.seed)
    mapping.before = lambda: segment.write(point(1) + long)
    assert segment.seal() == HEADER_BYTES + 2 * SLOT_BYTES + len(long)
    assert sound_prefix(segment.read(HEADER_BYTES, segment.published()), WRITER.seed) == 2 * SLOT_BYTES + len(long)
    segment.close()


def test_a_seal_that_was_interrupted_behind_its_seek_is_done_again(tmp_path: Path) -> None:
    segment, mapping = interrupted(tmp_path)

    def interrupt() -> None:
        raise KeyboardInterrupt

    mapping.behind = interrupt
    with pytest.raises(KeyboardInterrupt):
        segment.seal()
    with pytest.raises(ValueError, match=r"."):
        segment.write(point(1))
    mapping.behind = nothing
    assert segment.published() == HEADER_BYTES + SLOT_BYTES  # before it is sealed, too
    assert segment.seal() == segment.published() == HEADER_BYTES + SLOT_BYTES
    segment.close()


def test_whoever_looks_while_a_segment_is_sealed_sees_its_records_and_no_more(tmp_path: Path) -> None:
    """The courier reads while the training thread rolls over."""
    segment, mapping = interrupted(tmp_path)
    seen: list[int] = []
    mapping.before = mapping.behind = lambda: seen.append(segment.published())
    end = segment.seal()
    assert seen == [end, end]
    segment.close()


def test_a_seal_within_a_seal(tmp_path: Path) -> None:
    """A signal handler that logs enters the roll-over again."""
    segment, mapping = interrupted(tmp_path)
    inner: list[int] = []

    def handler() -> None:
        mapping.before = mapping.behind = nothing
        segment.write(point(1))
        inner.append(segment.seal())

    mapping.before = handler
    assert segment.seal() == HEADER_BYTES + 2 * SLOT_BYTES
    assert inner == [HEADER_BYTES + 2 * SLOT_BYTES]
    segment.close()


# -- appended --------------------------------------------------------------------------------------------------------


def appended(tmp_path: Path, size: int = SIZE) -> AppendedSegment:
    made = prepare(tmp_path, size, is_mapped=False)
    assert isinstance(made, AppendedSegment)
    made.begin(WRITER, "1.seg")
    return made


@pytest.mark.parametrize("taken", [1, 31, 32, 33, 64, 95])
def test_a_write_that_is_cut_short_leaves_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    """Three records in one write, of which the disk takes some bytes: all or none."""
    segment = appended(tmp_path)
    segment.write(point(0))
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:taken]))
    with pytest.raises(OSError, match="took part of a record") as caught:
        segment.write(point(1) + point(2) + point(3))
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert segment.published() == HEADER_BYTES + SLOT_BYTES == segment.path.stat().st_size
    assert segment.is_sealed
    with pytest.raises(ValueError, match=r"."):
        segment.write(point(4))
    segment.close()


def test_a_header_that_the_disk_takes_in_parts_is_an_error_not_a_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:100]))
    with pytest.raises(OSError, match=r"."):
        appended(tmp_path)


def test_a_copy_holds_the_records_and_takes_no_more(tmp_path: Path) -> None:
    segment = prepare(tmp_path, SIZE, is_mapped=True)
    segment.begin(WRITER, "1.seg")
    segment.write(point(0) + point(1))
    segment.set_dropped(3)
    copy = AppendedSegment.copy_of(segment, segment.seal())
    assert copy.path != segment.path
    assert copy.path.read_bytes() == segment.path.read_bytes()[: HEADER_BYTES + 2 * SLOT_BYTES]
    assert (copy.published(), copy.header) == (HEADER_BYTES + 2 * SLOT_BYTES, WRITER)
    with pytest.raises(ValueError, match=r"."):
        copy.write(point(2))
    copy.close()
    segment.close()


def test_reading_without_pread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = appended(tmp_path)
    segment.write(point(0))
    monkeypatch.delattr(os, "pread", raising=False)
    assert segment.read(HEADER_BYTES, HEADER_BYTES + SLOT_BYTES) == point(0)
    segment.write(point(1))
    assert body(segment) == point(0) + point(1)
    segment.close()


def test_an_abandoned_segment_can_be_sealed_though_its_lock_was_held(make: Make) -> None:
    """In a forked child: another thread of the parent may have been writing, and its lock stays locked for ever."""
    segment = make()
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with getattr(segment, "_lock", contextlib.nullcontext()):
            is_held.set()
            may_go.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait(30)
    segment.abandon()
    done = threading.Thread(target=segment.close, daemon=True)
    done.start()
    done.join(5)
    is_stuck = done.is_alive()
    may_go.set()
    holder.join(30)
    assert not is_stuck, "sealing waits for a thread that does not exist"
