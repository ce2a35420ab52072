"""The logging side: what was logged is there, in order, however it was logged."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from mlops_sdk.journal import reader
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES, Kind, decode
from mlops_sdk.journal.segment import Segment, next_size
from mlops_sdk.journal.writer import (
    Journal,
    JournalAbandonedError,
    JournalClosedError,
    JournalFullError,
    JournalOptions,
)
from tests.unit.journal.reading import batches_of, logged, said_by, said_on_disk

SMALL = HEADER_BYTES + 64 * SLOT_BYTES
Open = Callable[..., Journal]


@pytest.fixture(params=["mapped", "appended"])
def open_journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens journals in `tmp_path`, in both modes."""
    opened: list[Journal] = []

    def open_one(*, first_bytes: int = SMALL, quota_bytes: int = 4 << 30, **more: Any) -> Journal:
        options = JournalOptions(is_mapped=request.param == "mapped", first_bytes=first_bytes, quota_bytes=quota_bytes)
        opened.append(Journal(tmp_path, "run", options=options, **more))
        return opened[-1]

    yield open_one
    for journal in opened:
        journal.abandon()  # closes its descriptors without syncing anything


def files(journal: Journal) -> list[str]:
    return sorted(path.name for path in journal.directory.iterdir())


def many_points(journal: Journal, count: int) -> dict[str, float]:
    """Values of so many keys, all of one id: defining each takes longer than what is tested."""
    journal.define("k0")
    journal._ids.update({f"k{i}": journal._ids["k0"] for i in range(count)})
    journal._tops.update({f"k{i}": -1 for i in range(count)})
    return {f"k{i}": 1.0 for i in range(count)}


# -- logging ---------------------------------------------------------------------------------------------------------


def test_points_and_events_come_back_in_order(open_journal: Open) -> None:
    journal = open_journal()
    journal.event(Kind.RUN, {"experiment": "e"})
    journal.define("loss")
    journal.point("loss", 0.5, 3)
    journal.event(Kind.TAGS, {"set": {"a": "é"}})
    journal.point("loss", -0.0, -7)
    assert said_by(journal) == [
        ("RUN", {"experiment": "e"}),
        ("loss", 3, 0.5),
        ("TAGS", {"set": {"a": "é"}}),
        ("loss", -7, -0.0),
    ]
    assert said_on_disk(journal.directory) == said_by(journal)


def test_values_keep_their_bits(open_journal: Open) -> None:
    journal = open_journal()
    journal.define("x")
    values = [math.nan, -math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1]
    for step, value in enumerate(values):
        journal.point("x", value, step)
    (batch,) = batches_of(journal)
    found = decode(batch).points.value
    assert [struct.pack("<d", value) for value in found] == [struct.pack("<d", value) for value in values]


def test_the_default_step_follows_the_highest_of_the_key(open_journal: Open) -> None:
    journal = open_journal(last_steps={"resumed": 41})
    for key in ("a", "resumed"):
        journal.define(key)
    for step in (None, None, 10, 4, None):
        journal.point("a", 0.0, step)
    journal.point("resumed", 0.0)
    assert [what[:2] for what in said_by(journal)] == [
        ("a", 0), ("a", 1), ("a", 10), ("a", 4), ("a", 11), ("resumed", 42)
    ]  # fmt: skip


def test_several_points_share_one_step(open_journal: Open) -> None:
    journal = open_journal()
    for key in ("a", "b"):
        journal.define(key)
    journal.point("a", 0.0, 5)
    journal.points({"a": 1.0, "b": 2.0})
    journal.points({"b": 3.0})
    journal.points({})
    assert said_by(journal) == [("a", 5, 0.0), ("a", 6, 1.0), ("b", 6, 2.0), ("b", 7, 3.0)]


def test_a_new_key_has_to_be_defined_and_only_once(open_journal: Open) -> None:
    journal = open_journal()
    with pytest.raises(KeyError):
        journal.point("a", 0.0, 0)
    with pytest.raises(KeyError):
        journal.points({"a": 0.0}, 0)
    assert not journal.knows("a")
    journal.define("a")
    last = journal.last
    journal.define("a")
    assert (journal.last, journal.knows("a")) == (last, True)


@pytest.mark.parametrize("value, step", [("x", 0), (None, 0), (0.5, "0"), (0.5, 0.5), (0.5, 2**63), (1j, 0)])
def test_what_cannot_be_packed_is_refused_and_changes_nothing(open_journal: Open, value: Any, step: Any) -> None:
    journal = open_journal()
    journal.define("a")
    journal.point("a", 0.0, 4)
    calls: list[Callable[[], object]] = [
        lambda: journal.point("a", value, step),
        lambda: journal.points({"a": value}, step),
    ]
    for call in calls:
        with pytest.raises((struct.error, TypeError)):
            call()
    journal.point("a", 1.0)
    assert said_by(journal) == [("a", 4, 0.0), ("a", 5, 1.0)]


def test_one_bad_value_among_several_logs_none_of_them(open_journal: Open) -> None:
    journal = open_journal()
    for key in ("a", "b"):
        journal.define(key)
    with pytest.raises(struct.error):
        journal.points({"a": 1.0, "b": "x"}, 7)  # type: ignore[dict-item]
    journal.points({"a": 2.0, "b": 3.0}, 8)
    assert said_by(journal) == [("a", 8, 2.0), ("b", 8, 3.0)]


def test_an_event_longer_than_fits_is_refused(open_journal: Open) -> None:
    journal = open_journal()
    with pytest.raises(ValueError, match="at most"):
        journal.event(Kind.TAGS, {"set": {"a": "x" * (2 << 20)}})
    journal.event(Kind.TAGS, {"set": {"a": "x" * (1 << 19)}})  # larger than the segments so far
    assert [kind for kind, _ in said_by(journal)] == ["TAGS"]


def test_times_are_wall_time_and_explicit_ones_exact(open_journal: Open) -> None:
    journal = open_journal()
    journal.define("a")
    before = time.time_ns()
    journal.point("a", 0.0, 0)
    after = time.time_ns()
    exact = 1_234_567_890_123_456_789
    journal.points({"a": 0.0}, 1, exact)
    journal.points({"a": 0.0}, 2, 0)
    (batch,) = batches_of(journal)
    now, *explicit = decode(batch).points.time_ns
    assert before - 1_000_000 <= now <= after + 1_000_000
    assert explicit == [exact, 0]


def test_thirty_thousand_points_are_one_record_of_all_or_none(open_journal: Open) -> None:
    journal = open_journal()
    journal.points(many_points(journal, 30_001), 0)
    assert sum(1 for what in said_by(journal) if what[1:] == (0, 1.0)) == 30_001


# -- segments --------------------------------------------------------------------------------------------------------


def test_every_point_is_there_once_through_many_roll_overs(open_journal: Open) -> None:
    journal = open_journal()
    journal.define("a")
    for i in range(3000):
        journal.point("a", i / 3, i)
        if i % 97 == 0:
            journal.event(Kind.TAGS, {"set": {"n": "x" * (i % 300)}})
    assert len(journal._segments) > 5
    points = [what for what in said_by(journal) if what[0] == "a"]
    assert points == [("a", i, i / 3) for i in range(3000)]
    assert said_on_disk(journal.directory) == said_by(journal)


def test_segments_grow(open_journal: Open) -> None:
    journal = open_journal()
    journal.define("a")
    for i in range(2000):
        journal.point("a", 0.0, i)
    sizes = [segment.size_bytes for segment in journal._segments]
    assert sizes == [SMALL << n for n in range(len(sizes))]


def test_each_segment_stands_for_itself(open_journal: Open) -> None:
    journal = open_journal(role="attached", rank=3)
    journal.define("a")
    for i in range(500):
        journal.point("a", 0.0, i)
    headers = [header for _, header in reader.recover(journal.directory).segments]
    assert [header.index for header in headers] == list(range(1, len(headers) + 1))
    assert {header.writer_id for header in headers} == {journal.writer_id}
    assert {(header.run_id, header.role, header.rank, header.pid) for header in headers} == {
        ("run", "attached", 3, os.getpid())
    }
    firsts = [header.first for header in headers]
    assert firsts == sorted(set(firsts))
    assert firsts[0] == 1


def test_what_is_delivered_is_released_and_numbers_go_on(open_journal: Open) -> None:
    journal = open_journal()
    journal.define("a")
    for i in range(500):
        journal.point("a", 0.0, i)
    segments = journal._segments[:]
    kept = segments[2].header.first
    journal.release(kept)  # in the middle of the third
    assert journal._segments == segments[2:]
    assert files(journal) == sorted(["alive", *(segment.path.name for segment in segments[2:])])
    journal.release(journal.last)
    assert journal._segments == segments[-1:]
    journal.point("a", 0.0, 500)
    (batch,) = batches_of(journal, journal.last - 1)
    assert decode(batch).points.step == [500]


def test_batches_begin_anywhere_and_end_with_their_segment(open_journal: Open) -> None:
    journal = open_journal()
    journal.define("a")
    for i in range(300):
        journal.point("a", 0.0, i)
    first = journal.batch_after(0)
    assert first is not None
    assert first.last == journal._segments[1].header.first - 1
    behind = journal.batch_after(100)
    assert behind is not None
    assert behind.first == 101
    assert journal.batch_after(journal.last) is None
    assert next(item.sequence for item in logged(batches_of(journal, 50), first=51)) == 51


def test_a_spare_is_used_at_the_next_roll_over(open_journal: Open) -> None:
    journal = open_journal()
    journal.define("a")
    journal.prepare_spare()
    assert journal._spare is None  # the segment is nearly empty
    while journal._segment.published() * 2 <= SMALL:
        journal.point("a", 0.0)
    journal.prepare_spare()
    spare = journal._spare
    assert spare is not None
    journal.prepare_spare()
    assert journal._spare is spare
    for _ in range(64):
        journal.point("a", 0.0)
    assert journal._segment is spare
    assert journal._spare is None
    assert said_by(journal) == said_on_disk(journal.directory)


def test_a_spare_too_small_for_the_record_is_thrown_away(open_journal: Open) -> None:
    journal = open_journal()
    journal.define("a")
    while journal._segment.published() * 2 <= SMALL:
        journal.point("a", 0.0)
    journal.prepare_spare()
    journal.event(Kind.TAGS, {"set": {"a": "x" * 50_000}})
    assert sorted(files(journal)) == sorted(["alive", *(segment.path.name for segment in journal._segments)])
    assert said_by(journal)[-1] == ("TAGS", {"set": {"a": "x" * 50_000}})


def test_roll_overs_are_announced(open_journal: Open) -> None:
    journal = open_journal()
    rolled: list[int] = []
    journal.on_roll(lambda: rolled.append(journal.last))
    journal.define("a")
    for i in range(300):
        journal.point("a", 0.0, i)
    assert len(rolled) == len(journal._segments) - 1 > 0


def test_the_directory_is_its_owners_alone_and_appears_complete(open_journal: Open, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        journal = open_journal()
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in journal.directory.iterdir()}
    assert modes == {"alive": 0o600, "00000001.seg": 0o600}
    assert stat.S_IMODE(journal.directory.stat().st_mode) == 0o700
    assert [path.name for path in tmp_path.iterdir()] == [journal.writer_id]


def test_a_directory_that_cannot_be_written_leaves_nothing_open(
    open_journal: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc/self/fd here")
    before = len(os.listdir("/proc/self/fd"))

    def refuse(*_: object) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(os, "rename", refuse)
    for _ in range(3):
        with pytest.raises(OSError, match="read-only"):
            open_journal()
    assert len(os.listdir("/proc/self/fd")) == before
    assert list(tmp_path.iterdir()) == []


# -- endings ---------------------------------------------------------------------------------------------------------


def test_a_closed_journal_refuses_and_can_still_be_read(open_journal: Open) -> None:
    journal = open_journal()
    journal.define("a")
    journal.point("a", 1.0, 1)
    journal.close()
    journal.close()
    calls: list[Callable[[], object]] = [
        lambda: journal.point("a", 2.0, 2),
        lambda: journal.points({"a": 2.0}, 2),
        lambda: journal.define("b"),
        lambda: journal.event(Kind.TAGS, {}),
    ]
    for call in calls:
        with pytest.raises(JournalClosedError):
            call()
    assert said_by(journal) == [("a", 1, 1.0)]
    assert journal.dropped == 0


def test_leaving_keeps_the_files_and_removing_deletes_them(open_journal: Open, tmp_path: Path) -> None:
    left, removed = open_journal(), open_journal()
    for journal in (left, removed):
        journal.define("a")
        journal.point("a", 1.0, 1)
    left.leave()
    removed.remove()
    with pytest.raises(JournalClosedError):
        left.point("a", 2.0, 2)
    assert [path.name for path in tmp_path.iterdir()] == [left.writer_id]
    assert said_on_disk(left.directory) == [("a", 1, 1.0)]


def test_a_journal_that_was_left_has_no_spare(open_journal: Open) -> None:
    journal = open_journal()
    journal.define("a")
    while journal._segment.published() * 2 <= SMALL:
        journal.point("a", 0.0)
    journal.prepare_spare()
    journal.leave()
    journal.prepare_spare()
    assert files(journal) == ["00000001.seg", "alive"]


def test_closing_waits_for_no_disk(open_journal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called by the thread that trains: a file system that hangs must not hold it."""
    journal = open_journal()
    journal.define("a")
    while journal._segment.published() * 2 <= SMALL:
        journal.point("a", 0.0)
    journal.prepare_spare()
    goes_on, entered = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> None:
        entered.set()
        goes_on.wait(30)

    for name in ("rename", "unlink", "link", "open", "fsync", "fdatasync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, hang)
            entered.clear()
            journal.close()
            assert not entered.is_set(), name
    rolling = threading.Thread(target=lambda: [journal._lock.acquire(), hang(), journal._lock.release()])
    rolling.start()
    entered.wait(10)
    began = time.monotonic()
    journal.close()
    assert time.monotonic() - began < 10
    assert rolling.is_alive()
    goes_on.set()
    rolling.join()
    journal.leave()
    assert files(journal) == ["00000001.seg", "alive"]


def test_a_spare_that_comes_too_late_is_thrown_away(open_journal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends while the courier prepares one."""
    journal = open_journal()
    journal.define("a")
    while journal._segment.published() * 2 <= SMALL:
        journal.point("a", 0.0)
    prepare = journal._prepare

    def slowly(*args: Any, **more: Any) -> Any:
        made = prepare(*args, **more)
        journal.close()
        return made

    monkeypatch.setattr(journal, "_prepare", slowly)
    journal.prepare_spare()
    assert files(journal) == ["00000001.seg", "alive"]


def test_a_journal_ends_without_leaving_descriptors(open_journal: Open) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc/self/fd here")
    before = len(os.listdir("/proc/self/fd"))
    for how in ("leave", "remove"):
        journal = open_journal()
        journal.define("a")
        for i in range(300):
            journal.point("a", 0.0, i)
        journal.prepare_spare()
        getattr(journal, how)()
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_abandoned_journal_refuses_and_touches_no_file(open_journal: Open) -> None:
    """What a forked child holds is the parent's."""
    journal = open_journal()
    journal.define("a")
    for i in range(300):
        journal.point("a", 0.0, i)
    before = {path.name: path.read_bytes() for path in journal.directory.iterdir()}
    last = journal.last
    journal.abandon()
    calls: list[Callable[[], object]] = [
        lambda: journal.point("a", 2.0, 2),
        lambda: journal.points({"a": 2.0}, 2),
        lambda: journal.define("b"),
        lambda: journal.event(Kind.TAGS, {}),
    ]
    for call in calls:
        with pytest.raises(JournalAbandonedError):
            call()
    assert journal.last == last
    for end in (
        lambda: journal.release(last), journal.prepare_spare, journal.retry_room, journal.sync, journal.reanchor,
        journal.close, journal.leave, journal.remove,
    ):  # fmt: skip
        end()
    assert {path.name: path.read_bytes() for path in journal.directory.iterdir()} == before


def fill(journal: Journal) -> None:
    """Log until a record is dropped."""
    journal.define("a")
    while not journal.dropped:
        with contextlib.suppress(JournalFullError):
            journal.point("a", 0.0)


# -- room ------------------------------------------------------------------------------------------------------------


def test_beyond_the_quota_records_are_dropped_and_counted(open_journal: Open) -> None:
    journal = open_journal(quota_bytes=SMALL * 4)
    journal.define("a")
    kept = refused = 0
    for i in range(1000):
        try:
            journal.point("a", 0.0, i)
            kept += 1
        except JournalFullError as error:
            assert "quota" in str(error) or refused  # noqa: PT017 - the first one says why
            refused += 1
    assert journal.dropped == refused > 0
    assert [what[1] for what in said_by(journal)] == list(range(kept))
    assert reader.recover(journal.directory).dropped == refused


def test_logging_goes_on_when_there_is_room_again(open_journal: Open) -> None:
    journal = open_journal(quota_bytes=SMALL * 4)
    fill(journal)
    with pytest.raises(JournalFullError):
        journal.points({"a": 0.0}, 0)
    journal.release(journal.last)
    journal.options.quota_bytes = 4 << 30
    journal.retry_room()
    journal.point("a", 9.0, 9)
    behind = [item.what for item in logged(batches_of(journal, journal.last - 2), first=journal.last - 1)]
    assert behind == [("DROPPED", {"total": 2}), ("#1", 9, 9.0)]
    assert reader.recover(journal.directory).dropped == 2


def test_logging_goes_on_without_the_courier_too(open_journal: Open) -> None:
    journal = open_journal(quota_bytes=SMALL * 4)
    fill(journal)
    journal.options.quota_bytes = 4 << 30
    deadline = time.monotonic() + 10
    while True:
        try:
            journal.point("a", 9.0, 9)
            break
        except JournalFullError:
            assert time.monotonic() < deadline
    assert said_by(journal)[-1] == ("a", 9, 9.0)


def test_of_very_many_points_all_that_do_not_fit_are_counted(open_journal: Open) -> None:
    journal = open_journal()
    points = many_points(journal, 70_000)
    journal.options.quota_bytes = 1
    with pytest.raises(JournalFullError):
        journal.points(points, 0)
    found = sum(1 for what in said_by(journal) if what[1:] == (0, 1.0))
    assert found + journal.dropped == 70_000


@pytest.mark.parametrize("taken", [None, 0, 1, 31])
def test_a_disk_that_fills_up_under_an_appended_journal_drops_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int | None
) -> None:
    """It refuses, or takes a part: every record is kept whole or counted, whichever call meets it."""
    journal = Journal(tmp_path, "run", options=JournalOptions(is_mapped=False))
    for key in ("a", "b"):
        journal.define(key)
    write = os.write
    full: list[int] = []

    def fill_up(fd: int, data: bytes) -> int:
        if taken is None or full:
            raise OSError(errno.ENOSPC, "No space left on device")
        full.append(1)
        return write(fd, data[:taken])

    calls: list[tuple[int, Callable[[], object]]] = [
        (1, lambda: journal.point("a", 1.0, 1)),
        (2, lambda: journal.points({"a": 2.0, "b": 2.0}, 2)),
        (1, lambda: journal.event(Kind.HEARTBEAT, {})),
    ]
    for number in range(3):
        before, dropped = journal.last, journal.dropped
        slots, call = calls[number]
        full.clear()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", fill_up)
            with pytest.raises(JournalFullError):
                call()
        assert (journal.last, journal.dropped) == (before, dropped + slots)
        assert reader.recover(journal.directory).dropped == journal.dropped
        journal.retry_room()
        call()
    kinds = [what[0] for what in said_by(journal) if what[0] != "DROPPED"]
    assert kinds == ["a", "a", "b", "HEARTBEAT"]
    assert said_on_disk(journal.directory) == said_by(journal)
    journal.abandon()


def test_a_nearly_full_disk_gets_a_smaller_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Preallocating the next size fails; a quarter of it fits."""
    journal = Journal(tmp_path, "run", options=JournalOptions(first_bytes=SMALL))
    journal.define("a")
    while len(journal._segments) < 5:
        journal.point("a", 0.0)
    usual, fits = next_size(journal._segment.size_bytes), journal._segment.size_bytes // 2
    prepare = journal._prepare
    sizes: list[int] = []

    def little_room(directory: Path, size_bytes: int, *, touch: bool = False) -> Segment:
        sizes.append(size_bytes)
        if size_bytes > fits:
            raise OSError(errno.ENOSPC, "No space left on device")
        return prepare(directory, size_bytes, touch=touch)

    monkeypatch.setattr(journal, "_prepare", little_room)
    while len(journal._segments) < 6:
        journal.point("a", 0.0)
    assert sizes == [usual, usual // 2, usual // 4]
    assert journal._segment.size_bytes == fits
    assert journal.dropped == 0
    assert [what[1] for what in said_by(journal)] == list(range(len(said_by(journal))))
    journal.abandon()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS])
def test_what_is_no_lack_of_room_is_not_tried_in_other_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    journal = Journal(tmp_path, "run", options=JournalOptions(first_bytes=SMALL))
    sizes: list[int] = []

    def refuse(_directory: Path, size_bytes: int, *, touch: bool = False) -> Segment:
        sizes.append(size_bytes)
        raise OSError(number, "no")

    monkeypatch.setattr(journal, "_prepare", refuse)
    fill(journal)
    assert (len(sizes), journal.dropped) == (1, 1)
    journal.abandon()


# -- threads and structure -------------------------------------------------------------------------------------------


def test_eight_threads_log_every_record_once(open_journal: Open) -> None:
    journal = open_journal()
    for n in range(8):
        journal.define(f"k{n}")
    start = threading.Barrier(8)

    def log(n: int) -> None:
        start.wait(30)
        for i in range(1000):
            if i % 100 == 0:
                journal.event(Kind.TAGS, {"set": {str(n): str(i)}})
            else:
                journal.point(f"k{n}", i / 7, i)

    threads = [threading.Thread(target=log, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = said_by(journal)
    assert len(found) == 8000
    for n in range(8):
        points = [what for what in found if what[0] == f"k{n}"]
        assert points == [(f"k{n}", i, i / 7) for i in range(1000) if i % 100]
        tags = [what[1]["set"] for what in found if what[0] == "TAGS" and str(n) in what[1]["set"]]
        assert tags == [{str(n): str(i)} for i in range(0, 1000, 100)]
    assert said_on_disk(journal.directory) == found


def test_threads_defining_the_same_keys(open_journal: Open) -> None:
    journal = open_journal()
    start = threading.Barrier(4)

    def log(n: int) -> None:
        start.wait(30)
        for i in range(100):
            journal.define(f"k{i}")
            journal.point(f"k{i}", float(n), n)

    threads = [threading.Thread(target=log, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(said_by(journal)) == sorted((f"k{i}", n, float(n)) for i in range(100) for n in range(4))


def test_the_hot_path_is_one_frame(open_journal: Open) -> None:
    """Everything else that a point needs is C: looking up, the clock, packing, the checksum, publishing."""
    journal = open_journal(first_bytes=64 << 10)
    journal.define("a")
    journal.point("a", 0.0, 0)
    frames: list[tuple[str, str]] = []

    def watch(frame: FrameType, event: str, _arg: object) -> None:
        if event == "call":
            frames.append((frame.f_code.co_filename, frame.f_code.co_name))

    sys.setprofile(watch)
    try:
        journal.point("a", 1.0, 1)
    finally:
        sys.setprofile(None)
    names = [name for _, name in frames]
    assert names == (["point"] if journal.options.is_mapped else ["point", "_write"])
    assert len({file for file, _ in frames}) == len(names)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="this system does not list mappings there")
def test_a_backlog_stays_on_the_disk(open_journal: Open) -> None:
    """Nobody delivers: full segments are unmapped, and everything is still read, synced and counted."""
    journal = open_journal()
    journal.define("loss")
    for step in range(1_000):
        journal.point("loss", float(step))
    n_files = len([name for name in files(journal) if name.endswith(".seg")])
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8").count(str(journal.directory))
    assert n_files > 3
    assert mapped <= 2
    journal.sync()
    assert said_by(journal) == said_on_disk(journal.directory) == [("loss", step, float(step)) for step in range(1_000)]
