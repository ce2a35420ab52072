"""What dead writers left is delivered by whoever comes next, once, and only then removed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_sdk.courier.recovery import collect, merge, sweep
from mlops_sdk.errors import MlopsError, SequenceGapError, StoreUnavailableError
from mlops_sdk.journal import liveness, reader
from mlops_sdk.journal.records import DROP_SLOT, HEADER_BYTES, Batch, encode_dropped
from mlops_sdk.journal.writer import Journal
from tests.unit.courier.failing import FailingStore, journal_in, log

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.name != "posix", reason="no flock on this system: the process is looked up"),
]


def left_in(root: Path, count: int) -> Journal:
    journal = journal_in(root, count)
    journal.leave()
    return journal


def first_segment(journal: Journal) -> Path:
    return min(journal.directory.glob("*.seg"))


def spoil(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_what_is_left_is_delivered_given_an_ending_and_removed(tmp_path: Path) -> None:
    store = FailingStore()
    journals = [left_in(tmp_path, count) for count in (5, 100, 0)]
    report = sweep(store.store, tmp_path)
    assert [len(store.steps[journal.writer_id]) for journal in journals] == [5, 100, 0]
    assert (sorted(report.adopted), report.errors, report.damage, report.is_complete) == (["run"] * 3, [], [], True)
    assert {ending["writer"]: ending["status"] for ending in store.endings} == {
        journal.writer_id: "KILLED" for journal in journals
    }
    assert {ending["end_reason"] for ending in store.endings} == {"lost:process"}
    assert list(tmp_path.iterdir()) == []
    assert len(store.settled) == 3


def test_what_was_delivered_before_is_not_delivered_again(tmp_path: Path) -> None:
    store = FailingStore()
    journal = journal_in(tmp_path, 50)
    batch = journal.batch_after(0)
    assert batch is not None
    store.append(batch)
    journal.leave()
    sweep(store.store, tmp_path)
    assert store.steps[journal.writer_id] == list(range(50))
    assert store.batches[1].first == 1, "what is stored is sent too, for the store to compare"


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    store = FailingStore()
    journal = journal_in(tmp_path, 5)
    assert sweep(store.store, tmp_path).adopted == []
    assert store.batches == []
    log(journal, 1)
    journal.leave()


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("gone"), MlopsError("odd"), OSError("io"), ValueError("a defect"), MemoryError()]
)
def test_a_store_that_fails_leaves_everything_for_the_next_time(tmp_path: Path, error: Exception) -> None:
    store = FailingStore()
    journals = [left_in(tmp_path, 10) for _ in range(3)]

    def refuse(batch: Batch) -> None:
        if batch.writer.writer_id == min(journal.writer_id for journal in journals):
            raise error

    store.fault = refuse
    report = sweep(store.store, tmp_path)
    assert report.errors == [error]
    assert len(report.adopted) == 2, "one journal does not hide the others"
    assert len(reader.writers(tmp_path)) == 1
    store.fault = None
    assert sweep(store.store, tmp_path).errors == []
    assert all(store.steps[journal.writer_id] == list(range(10)) for journal in journals)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_journal_gives_what_is_sound_and_is_set_aside(tmp_path: Path) -> None:
    store = FailingStore()
    journal, other = left_in(tmp_path, 20), left_in(tmp_path, 20)
    spoil(first_segment(journal), HEADER_BYTES + 12 * 32, b"\xff")
    report = sweep(store.store, tmp_path)
    assert store.steps[journal.writer_id] == list(range(10))  # behind a key of two slots
    assert store.steps[other.writer_id] == list(range(20))
    assert [damage.path.parent.name for damage in report.damage] == [journal.writer_id]
    assert {path.name for path in tmp_path.iterdir()} == {"damaged"}
    assert (tmp_path / "damaged" / journal.writer_id / "alive").exists()


def test_a_journal_whose_beginning_is_gone_is_set_aside(tmp_path: Path) -> None:
    """Not tried again for ever: no store can take records behind a gap."""
    store = FailingStore()
    journal = left_in(tmp_path, 100)
    first_segment(journal).unlink()
    report = sweep(store.store, tmp_path)
    assert not any(isinstance(error, SequenceGapError) for error in report.errors)
    assert "missing" in report.damage[0].what
    assert (tmp_path / "damaged" / journal.writer_id).is_dir()


def test_what_a_dead_writer_dropped_is_counted(tmp_path: Path) -> None:
    store = FailingStore()
    journal = left_in(tmp_path, 5)
    spoil(first_segment(journal), DROP_SLOT, encode_dropped(7))
    sweep(store.store, tmp_path)
    assert [ending["dropped"] for ending in store.endings] == [7]


def test_a_writer_that_ended_well_is_given_no_other_ending(tmp_path: Path) -> None:
    store = FailingStore()
    journal = journal_in(tmp_path, 5)
    store.endings.append({"writer": journal.writer_id, "status": "FINISHED", "end_reason": "", "dropped": 0})
    journal.leave()
    sweep(store.store, tmp_path)
    assert len(store.endings) == 1
    assert store.steps[journal.writer_id] == list(range(5))


def test_a_sweep_takes_no_longer_than_asked(tmp_path: Path) -> None:
    store = FailingStore()
    for _ in range(5):
        left_in(tmp_path, 5)
    store.fault = lambda batch: time.sleep(0.05)
    report = sweep(store.store, tmp_path, limit_s=0.01)
    assert (report.is_complete, len(report.adopted)) == (False, 1)
    assert sweep(store.store, tmp_path).is_complete
    assert list(tmp_path.iterdir()) == []


def test_the_silent_of_other_hosts_are_delivered_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FailingStore()
    journal = left_in(tmp_path, 5)
    monkeypatch.setattr(liveness, "boot_id", lambda: "another")
    monkeypatch.setattr(liveness, "_host", lambda: "elsewhere")
    long_ago = time.time() - 10_000
    for path in journal.directory.iterdir():
        os.utime(path, (long_ago, long_ago))
    for _ in range(3):
        assert sweep(store.store, tmp_path).errors == []
    assert store.steps[journal.writer_id] == list(range(5))
    assert len(store.endings) == 1
    assert journal.directory.is_dir()


def test_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep(FailingStore().store, tmp_path / "nowhere").is_complete


# -- collecting from the living --------------------------------------------------------------------------------------


def test_what_other_writers_of_a_run_published_is_collected(tmp_path: Path) -> None:
    store = FailingStore()
    mine, other = journal_in(tmp_path, 3), journal_in(tmp_path, 5)
    foreign = Journal(tmp_path, "another run")
    collect(store.store, tmp_path, "run", but=mine.writer_id)
    assert store.steps == {other.writer_id: list(range(5))}
    log(other, 60)
    collect(store.store, tmp_path, "run", but=mine.writer_id)
    assert store.steps == {other.writer_id: list(range(65))}
    for journal in (mine, other, foreign):
        journal.leave()


def test_collecting_while_a_writer_delivers_and_removes(tmp_path: Path) -> None:
    """Its own courier is quicker, and takes segments and directories away under our hands."""
    store = FailingStore()
    other = journal_in(tmp_path, 100)

    def meanwhile(batch: Batch) -> None:
        store.fault = None
        known = 0
        while mine := other.batch_after(known):
            known = store.append(mine)
        other.release(known)

    store.fault = meanwhile
    collect(store.store, tmp_path, "run", but="me")
    assert store.steps[other.writer_id] == list(range(100))
    other.remove()
    collect(store.store, tmp_path, "run", but="me")


# -- merging, for stores whose writers do not deliver ----------------------------------------------------------------


def age(directory: Path, seconds: float) -> None:
    for path in directory.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def ended(store: FailingStore, journal: Journal) -> None:
    store.endings.append({"writer": journal.writer_id, "status": "FINISHED", "end_reason": "", "dropped": 0})


def test_merging_delivers_the_living_and_removes_those_that_ended(tmp_path: Path) -> None:
    store = FailingStore()
    living, over = journal_in(tmp_path, 5), journal_in(tmp_path, 7)
    over.leave()
    ended(store, over)
    age(over.directory, 100)
    report = merge(store.store, tmp_path)
    assert report.errors == []
    assert store.steps == {living.writer_id: list(range(5)), over.writer_id: list(range(7))}
    assert reader.writers(tmp_path) == [living.directory]
    living.leave()


def test_what_came_between_reading_and_removing_is_delivered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FailingStore()
    journal = journal_in(tmp_path, 5)
    ended(store, journal)
    adopt = reader.adopt

    def adopt_late(directory: Path) -> reader.Orphan | None:
        log(journal, 3)
        journal.leave()
        return adopt(directory)

    monkeypatch.setattr(reader, "adopt", adopt_late)
    monkeypatch.setattr(liveness, "heard_ago_s", lambda directory: 100.0)
    merge(store.store, tmp_path)
    assert store.steps[journal.writer_id] == list(range(8))
    assert not journal.directory.exists()


def test_a_damaged_journal_is_never_removed_by_a_merge(tmp_path: Path) -> None:
    store = FailingStore()
    journal = left_in(tmp_path, 20)
    ended(store, journal)
    spoil(first_segment(journal), HEADER_BYTES + 12 * 32, b"\xff")
    age(journal.directory, 100)
    report = merge(store.store, tmp_path)
    assert report.damage
    assert store.steps[journal.writer_id] == list(range(10))
    assert (tmp_path / "damaged" / journal.writer_id).is_dir()


def test_one_journal_that_cannot_be_merged_does_not_hide_the_others(tmp_path: Path) -> None:
    store = FailingStore()
    journals = [journal_in(tmp_path, 5) for _ in range(3)]
    bad = min(journal.writer_id for journal in journals)

    def refuse(batch: Batch) -> None:
        if batch.writer.writer_id == bad:
            raise StoreUnavailableError("gone")

    store.fault = refuse
    report = merge(store.store, tmp_path)
    assert len(report.errors) == 1
    assert len(store.steps) == 2
    for journal in journals:
        journal.leave()


Change = Callable[[Path], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda directory: shutil.rmtree(directory),
        lambda directory: [path.unlink() for path in directory.iterdir()],
        lambda directory: [path.write_bytes(b"") for path in directory.iterdir()],
        lambda directory: [path.chmod(0) for path in directory.iterdir()],
        lambda directory: (directory / "x.seg").mkdir(),
    ],
    ids=["gone", "empty", "emptied", "unreadable", "odd"],
)
def test_whatever_a_directory_looks_like_a_sweep_ends(tmp_path: Path, change: Change) -> None:
    store = FailingStore()
    broken, other = left_in(tmp_path, 5), left_in(tmp_path, 5)
    change(broken.directory)
    report = sweep(store.store, tmp_path)
    assert store.steps[other.writer_id] == list(range(5))
    assert report.is_complete


def test_damage_that_stays_is_warned_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A journal of another host is not ours to remove: every sweep meets it again."""
    journal = left_in(tmp_path, 20)
    spoil(first_segment(journal), HEADER_BYTES + 12 * 32, b"\xff")
    age(journal.directory, 10_000)
    monkeypatch.setattr(liveness, "boot_id", lambda: "another")
    monkeypatch.setattr(liveness, "_host", lambda: "elsewhere")
    store = FailingStore()
    for _ in range(3):
        assert len(sweep(store.store, tmp_path).damage) == 1
    assert sum("damaged record" in record.getMessage() for record in caplog.records) == 1
