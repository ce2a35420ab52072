"""Durability: what is synced, and what happens when the disk refuses to."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_sdk.journal import chain
from mlops_sdk.journal import segment as segment_module
from mlops_sdk.journal.chain import JournalOptions
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES
from mlops_sdk.journal.segment import AppendedSegment, Segment
from mlops_sdk.journal.writer import Journal
from tests.unit.journal.reading import said_by, said_on_disk

Held = Callable[[Segment], int]
SMALL = HEADER_BYTES + 64 * SLOT_BYTES


class Disk:
    """Stands before `fdatasync` and `fsync`: counts, and refuses for files while told to.

    Attributes
    ----------
    synced : list of int
        Inodes synced, in order.
    refusals : int
        How many of the next syncs of files fail.
    """

    def __init__(self) -> None:
        self.synced: list[int] = []
        self.refused: list[int] = []
        self.refusals = 0
        self._fsync = os.fsync

    def sync(self, fd: int) -> None:
        inode = os.fstat(fd).st_ino
        if self.refusals > 0 and not os.path.isdir(f"/proc/self/fd/{fd}"):
            self.refusals -= 1
            self.refused.append(inode)
            raise OSError(errno.EIO, "Input/output error")
        self.synced.append(inode)
        self._fsync(fd)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc/self/fd here")
    disk = Disk()
    monkeypatch.setattr(os, "fdatasync", disk.sync)
    monkeypatch.setattr(os, "fsync", disk.sync)
    return disk


@pytest.fixture(params=["mapped", "appended"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    options = JournalOptions(is_mapped=request.param == "mapped", first_bytes=SMALL)
    journal = Journal(tmp_path, "run", options=options)
    journal.define("a")
    yield journal
    journal.leave()


def log(journal: Journal, first: int, count: int) -> None:
    for i in range(first, first + count):
        journal.point("a", i / 3, i)


def expected(count: int) -> list[tuple[str, int, float]]:
    return [("a", i, i / 3) for i in range(count)]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def inode(segment: Segment) -> int:
    return os.stat(segment.path).st_ino


@pytest.fixture
def held(request: pytest.FixtureRequest) -> Callable[[Segment], int]:
    """The inode of a segment, held open so that no other file gets the number."""

    def hold(segment: Segment) -> int:
        fd = os.open(segment.path, os.O_RDONLY)
        request.addfinalizer(lambda: os.close(fd))
        return os.fstat(fd).st_ino

    return hold


def test_every_segment_and_its_name_is_synced_once(journal: Journal, disk: Disk) -> None:
    log(journal, 0, 500)
    journal.sync()
    segments = [inode(segment) for segment in journal._segments]
    assert [each for each in disk.synced if each in segments] == segments
    assert disk.synced.count(journal.directory.stat().st_ino) == len(segments)
    disk.synced.clear()
    journal.sync()
    assert disk.synced == []
    log(journal, 500, 1)
    journal.sync()
    assert disk.synced == segments[-1:]


def test_a_sync_that_fails_once_moves_the_records_to_a_new_file(journal: Journal, disk: Disk, held: Held) -> None:
    log(journal, 0, 10)
    old = held(journal._segment)
    disk.refusals = 1
    journal.sync()  # the rescue went well: everything is durable
    assert disk.refused == [old]
    rescued = journal._segments[0]
    assert inode(rescued) != old
    assert inode(rescued) in disk.synced
    assert isinstance(journal.sync_error, OSError)
    log(journal, 10, 200)
    journal.sync()
    assert old not in disk.synced, "a second sync of the same file proves nothing"
    assert said_by(journal) == said_on_disk(journal.directory) == expected(210)


def test_the_rescue_of_a_sealed_segment(journal: Journal, disk: Disk) -> None:
    log(journal, 0, 200)
    in_use = journal._segment
    disk.refusals = 1
    journal.sync()
    assert journal._segment is in_use
    log(journal, 200, 10)
    assert said_by(journal) == said_on_disk(journal.directory) == expected(210)


def test_a_disk_that_keeps_failing_is_said_and_logging_goes_on(journal: Journal, disk: Disk) -> None:
    log(journal, 0, 10)
    disk.refusals = 10**9
    for round_ in range(5):
        with pytest.raises(OSError, match="Input/output error"):
            journal.sync()
        log(journal, 10 + round_ * 10, 10)
    assert isinstance(journal.sync_error, OSError)
    assert said_by(journal) == said_on_disk(journal.directory) == expected(60)


def test_a_file_whose_sync_failed_is_never_called_durable(journal: Journal, disk: Disk, held: Held) -> None:
    """The kernel may have marked the pages clean: the next sync of that file would succeed, and mean nothing."""
    log(journal, 0, 10)
    doubtful = held(journal._segment)
    disk.refusals = 2  # the file itself, and its copy
    with pytest.raises(OSError, match="Input/output error"):
        journal.sync()
    journal.sync()
    assert doubtful not in disk.synced
    names = {inode(segment) for segment in journal._segments}
    assert doubtful not in names
    assert names - set(disk.synced) <= {inode(journal._segment)}  # the one in use has nothing yet
    assert said_by(journal) == said_on_disk(journal.directory) == expected(10)


def test_failed_rescues_leave_neither_files_nor_descriptors(journal: Journal, disk: Disk) -> None:
    log(journal, 0, 10)
    disk.refusals = 10**9
    with pytest.raises(OSError, match="Input/output error"):
        journal.sync()
    before, files = descriptors(), set(os.listdir(journal.directory))
    for _ in range(5):
        with pytest.raises(OSError, match="Input/output error"):
            journal.sync()
    assert (descriptors(), set(os.listdir(journal.directory))) == (before, files)


def test_a_rescue_on_a_full_disk_is_tried_again(
    journal: Journal, disk: Disk, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(journal, 0, 10)
    doubtful = held(journal._segment)
    disk.refusals = 1

    def full(*_: object, **__: object) -> Segment:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(segment_module, "prepare", full)
        patch.setattr(chain, "prepare", full)
        for _ in range(3):
            with pytest.raises(OSError, match="No space left"):
                journal.sync()
            log(journal, 10, 0)
    log(journal, 10, 10)
    journal.sync()
    assert doubtful not in disk.synced
    assert said_by(journal) == said_on_disk(journal.directory) == expected(20)


def test_a_rescue_after_the_end_opens_nothing_new(journal: Journal, disk: Disk) -> None:
    log(journal, 0, 10)
    journal.close()
    disk.refusals = 1
    journal.sync()
    assert len(journal._segments) == 1
    assert journal._segment.is_sealed
    assert said_by(journal) == said_on_disk(journal.directory) == expected(10)


def test_the_dropped_count_survives_a_rescue(journal: Journal, disk: Disk) -> None:
    log(journal, 0, 10)
    journal.dropped = 3
    journal._segment.set_dropped(3)
    disk.refusals = 1
    journal.sync()
    from mlops_sdk.journal import reader

    assert reader.recover(journal.directory).dropped == 3


def test_leaving_syncs(journal: Journal, disk: Disk) -> None:
    log(journal, 0, 200)
    segments = [inode(segment) for segment in journal._segments]
    journal.leave()
    assert set(segments) <= set(disk.synced)


def test_without_fdatasync_fsync_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk) -> None:
    monkeypatch.delattr(os, "fdatasync")
    journal = Journal(tmp_path, "run", options=JournalOptions(is_mapped=False))
    journal.define("a")
    journal.sync()
    assert inode(journal._segment) in disk.synced
    journal.leave()


def test_two_threads_that_sync_rescue_once(journal: Journal, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush, and the courier's round."""
    log(journal, 0, 200)
    disk.refusals = 1
    copy_of, copies = AppendedSegment.copy_of, []

    def slowly(segment: Segment, end: int) -> AppendedSegment:
        copies.append(segment)
        threading.Event().wait(0.05)
        return copy_of(segment, end)

    monkeypatch.setattr(AppendedSegment, "copy_of", slowly)
    errors: list[BaseException] = []

    def sync() -> None:
        try:
            journal.sync()
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=sync) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert len(copies) == 1
    assert said_by(journal) == said_on_disk(journal.directory) == expected(200)
