"""One journal's way to its stores: every failure is kept, counted and tried again; nothing is lost or sent for ever."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from mlops_sdk.courier import route as route_module
from mlops_sdk.courier.recovery import sweep
from mlops_sdk.courier.route import Route, Sink
from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import MlopsError, SequenceGapError, StoreCorruptError, StoreError, StoreUnavailableError
from mlops_sdk.journal.chain import JournalOptions
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES, Batch, Kind, encode_frame, encode_point
from mlops_sdk.journal.writer import Journal
from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.stores.protocol import Store
from tests.unit.courier.failing import SMALL, FailingStore, journal_in, log, route_to


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = journal_in(tmp_path, 200)
    yield journal
    journal.leave()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Moves the route's clock."""
    offset = [0.0]
    monotonic = time.monotonic

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return monotonic() + offset[0]

    monkeypatch.setattr(route_module, "time", Clock)

    def move(seconds: float) -> None:
        offset[0] += seconds

    return iter([move])


def fail(error: Exception) -> Callable[[Batch], object]:
    def raise_it(_batch: Batch) -> None:
        raise error

    return raise_it


def everything(journal: Journal, store: FailingStore, count: int) -> bool:
    return store.steps[journal.writer_id] == list(range(count)) and store.known[journal.writer_id] == journal.last


def test_everything_is_delivered_in_order_and_released(journal: Journal) -> None:
    store = FailingStore()
    route = route_to(journal, store)
    assert len(journal._segments) > 2
    assert (route.waiting, route.acknowledged) == (journal.last, 0)
    assert route.deliver()
    assert everything(journal, store, 200)
    assert (route.waiting, route.acknowledged) == (0, journal.last)
    assert len(journal._segments) == 1
    assert [batch.first for batch in store.batches[1:]] == [batch.last + 1 for batch in store.batches[:-1]]
    log(journal, 5)
    assert route.deliver()
    assert everything(journal, store, 205)


def test_nothing_to_deliver_asks_the_store_nothing(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    store = FailingStore()
    route = route_to(journal, store)
    assert route.deliver()
    count = len(store.batches)
    assert route.deliver()
    assert len(store.batches) == count
    journal.leave()


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("gone"),
        StoreError("odd"),
        MlopsError("odder"),
        ValueError("a defect"),
        OSError(5, "Input/output error"),
        MemoryError(),
        RecursionError(),
        TypeError("of a third-party store"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_store_raises_is_kept_counted_and_tried_again(
    journal: Journal, error: Exception, now: Iterator[Callable[[float], None]], caplog: pytest.LogCaptureFixture
) -> None:
    move = next(now)
    store = FailingStore()
    route = route_to(journal, store)
    store.fault = fail(error)
    with caplog.at_level(logging.WARNING, "mlops_sdk"):
        for _ in range(5):
            assert not route.deliver()
            move(100.0)
    assert route.last_error is route.sinks[0].error is error
    assert route.errors == {f"delivery: {type(error).__name__}": 5}
    assert len(caplog.records) == 1, "said once"
    assert route.waiting == journal.last
    store.fault = None
    assert route.deliver()
    assert route.sinks[0].error is None
    assert everything(journal, store, 200)


def test_waits_between_tries_grow_up_to_a_limit(journal: Journal, now: Iterator[Callable[[float], None]]) -> None:
    move = next(now)
    store = FailingStore()
    store.fault = fail(StoreUnavailableError("gone"))
    route = route_to(journal, store)
    waits = []
    for tries in range(1, 12):
        waited = 0.0
        while len(store.batches) < tries:
            assert not route.deliver()
            if len(store.batches) < tries:
                move(0.05)
                waited += 0.05
        waits.append(waited)
    assert waits[0] == 0
    assert waits[1:8] == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 16], abs=0.11)
    assert max(waits) == pytest.approx(30, abs=0.11)
    store.fault = None
    move(31)
    assert route.deliver()
    store.fault = fail(StoreUnavailableError("gone again"))
    log(journal, 1)
    route.deliver()
    assert route.sinks[0].retry_s == 0.5, "after a success the waits begin anew"


def test_a_flush_does_not_wait_for_the_next_try(journal: Journal) -> None:
    store = FailingStore()
    store.fault = fail(StoreUnavailableError("gone"))
    route = route_to(journal, store)
    route.deliver()
    store.fault = None
    assert not route.deliver()
    assert route.deliver(now=True)
    assert everything(journal, store, 200)


def test_a_failure_in_the_middle_keeps_what_arrived(journal: Journal) -> None:
    store = FailingStore()
    route = route_to(journal, store)

    def third_fails(batch: Batch) -> None:
        if len(store.batches) == 3:
            raise StoreUnavailableError("gone")

    store.fault = third_fails
    assert not route.deliver()
    assert route.acknowledged == store.batches[1].last
    assert journal._segments[0].header.first == store.batches[2].first, "what arrived is released"
    assert route.deliver(now=True)
    assert everything(journal, store, 200)


def test_a_batch_that_was_applied_though_the_answer_was_lost(journal: Journal) -> None:
    """Sent again, and skipped by number."""
    store = FailingStore()
    route = route_to(journal, store)
    append = store.append
    is_lost = iter([True, False] * 50)

    def lose_every_other_answer(batch: Batch) -> int:
        acknowledged = append(batch)
        if next(is_lost):
            raise StoreUnavailableError("the answer was lost")
        return acknowledged

    store.append = lose_every_other_answer  # type: ignore[method-assign]
    for _ in range(50):
        if route.deliver(now=True):
            break
    assert everything(journal, store, 200)


def test_two_sinks_are_independent(journal: Journal) -> None:
    local, remote = FailingStore(), FailingStore()
    remote.fault = fail(StoreUnavailableError("no network"))
    route = route_to(journal, local, remote)
    assert not route.deliver()
    assert everything(journal, local, 200)
    assert (route.sinks[0].error, route.sinks[1].acknowledged) == (None, 0)
    assert (route.acknowledged, route.waiting) == (0, journal.last)
    remote.fault = None
    assert route.deliver(now=True)
    assert everything(journal, remote, 200)
    assert everything(journal, local, 200)


def test_a_segment_goes_only_when_every_sink_has_it(journal: Journal) -> None:
    local, remote = FailingStore(), FailingStore()
    route = route_to(journal, local, remote)
    segments = len(journal._segments)

    def second_fails(batch: Batch) -> None:
        if len(remote.batches) >= 2:
            raise StoreUnavailableError("no network")

    remote.fault = second_fails
    route.deliver()
    assert len(journal._segments) == segments - 1
    assert len(list(journal.directory.glob("*.seg"))) == segments - 1
    assert route.acknowledged == remote.known[journal.writer_id] < local.known[journal.writer_id]
    remote.fault = None
    route.deliver(now=True)
    assert len(journal._segments) == 1


def test_a_store_that_forgot_is_sent_again_what_is_still_here(journal: Journal) -> None:
    """It was replaced by an older copy."""
    store = FailingStore()
    route = route_to(journal, store)
    assert route.deliver()
    log(journal, 5)
    in_use = journal._segment.header.first
    store.known[journal.writer_id] = in_use - 1
    store.steps[journal.writer_id] = []
    assert not route.deliver(now=True), "a gap is an error that is told"
    assert isinstance(route.last_error, SequenceGapError)
    assert route.deliver(now=True)
    assert store.known[journal.writer_id] == journal.last
    assert store.steps[journal.writer_id][-1] == 204


def test_a_gap_that_cannot_be_filled_is_told_and_harms_nothing(journal: Journal) -> None:
    store = FailingStore()
    route = route_to(journal, store)
    assert route.deliver()
    store.known.clear()
    log(journal, 100)
    for _ in range(3):
        assert not route.deliver(now=True)
    assert route.errors["delivery: SequenceGapError"] == 3
    assert route.waiting == 100
    assert len(store.batches) < 20


def test_a_damaged_record_is_told_and_what_is_before_it_arrives(journal: Journal) -> None:
    segment = journal._segments[1]
    first_bad = segment.header.first + 4
    with segment.path.open("r+b") as file:
        file.seek(HEADER_BYTES + 4 * SLOT_BYTES)
        file.write(b"\xff" * 8)
    store = FailingStore()
    route = route_to(journal, store)
    for _ in range(3):
        assert not route.deliver(now=True)
    assert store.known[journal.writer_id] == first_bad - 1 == route.acknowledged
    assert store.steps[journal.writer_id] == list(range(len(store.steps[journal.writer_id])))
    assert route.errors["delivery: StoreCorruptError"] == 3
    assert isinstance(route.sinks[0].error, StoreCorruptError)
    log(journal, 50)  # goes on being logged, and is kept
    assert journal.batch_after(journal.last - 1) is not None


@pytest.mark.parametrize("answer", [0, -1, 1, None, "7"])
def test_a_store_that_acknowledges_nothing_is_not_asked_for_ever(journal: Journal, answer: object) -> None:
    store = FailingStore()
    store.append = lambda batch: answer  # type: ignore[assignment, method-assign, return-value]
    route = route_to(journal, store)
    done = threading.Thread(target=route.deliver, daemon=True)
    done.start()
    done.join(10)
    assert not done.is_alive()
    assert route.last_error is not None
    assert route.waiting == journal.last


def test_a_store_that_acknowledges_too_much_makes_nothing_go(journal: Journal) -> None:
    """It has more from elsewhere, or is mistaken; what is logged later is still sent."""
    store = FailingStore()
    append = store.append
    store.append = lambda batch: append(batch) + 10**9  # type: ignore[method-assign]
    route = route_to(journal, store)
    route.deliver()
    assert route.acknowledged == journal.last
    store.append = append  # type: ignore[method-assign]
    store.known[journal.writer_id] = journal.last
    log(journal, 100)
    assert route.deliver()
    assert store.steps[journal.writer_id][-100:] == list(range(200, 300))


def test_a_store_that_opens_late_is_asked_again(journal: Journal) -> None:
    store = FailingStore()
    attempts = [StoreUnavailableError("cannot be opened"), OSError(30, "Read-only file system")]

    class Late:
        @property
        def store(self) -> FailingStore:
            if attempts:
                raise attempts.pop()
            return store

    route = Route(journal, [route_module.Sink(place=Late())])  # type: ignore[arg-type]
    assert [route.deliver(now=True) for _ in range(3)] == [False, False, True]
    assert everything(journal, store, 200)


# -- keeping safe ----------------------------------------------------------------------------------------------------


def test_what_waits_is_synced_and_what_arrived_is_not(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(journal, "sync", lambda: synced.append(journal.last))
    route = route_to(journal, FailingStore())
    route.keep_safe()
    assert synced == [journal.last]
    route.deliver()
    route.keep_safe()
    assert len(synced) == 1


def test_a_disk_without_room_for_a_spare_still_syncs(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "prepare_spare", full)
    monkeypatch.setattr(journal, "sync", lambda: synced.append(journal.last))
    route = route_to(journal, FailingStore())
    route.keep_safe()
    assert synced == [journal.last]
    assert isinstance(route.last_error, OSError)


def test_a_heartbeat_every_thirty_seconds_until_the_end(
    journal: Journal, now: Iterator[Callable[[float], None]]
) -> None:
    move = next(now)
    route = route_to(journal, FailingStore())
    last = journal.last
    route.beat()
    assert journal.last == last
    for _ in range(3):
        move(31.0)
        route.beat()
        route.beat()
    assert journal.last == last + 3
    batch = journal.batch_after(last)
    assert batch is not None
    from mlops_sdk.journal.records import decode

    assert {event.kind for event in decode(batch).events} == {Kind.HEARTBEAT}
    journal.close()
    move(31.0)
    route.beat()
    assert route.errors == {}


def test_a_heartbeat_that_does_not_fit_is_counted(journal: Journal, now: Iterator[Callable[[float], None]]) -> None:
    route = route_to(journal, FailingStore())
    journal.options.quota_bytes = 1
    while not journal.dropped:
        try:
            log(journal, 1)
        except StoreUnavailableError:
            break
    next(now)(31.0)
    route.beat()
    assert route.errors["delivery: JournalFullError"] == 1


class Place:
    def __init__(self) -> None:
        self.store = MemoryStore()


def test_a_process_whose_copy_came_first_goes_on_as_a_branch(tmp_path: Path) -> None:
    """A snapshot of the machine was resumed twice: both go on living, with one journal each under one identity."""
    place = Place()
    journal = Journal(tmp_path, "run", options=JournalOptions(is_mapped=False, first_bytes=SMALL))
    journal.event(Kind.RUN, {"name": "r", "experiment": "e"})
    journal.define("a")
    for step in range(40):
        journal.points({"a": float(step)}, step)
    route = Route(journal, [Sink(place=place)])
    assert route.deliver()
    first = journal.last + 1
    other = encode_frame(Kind.KEY, 1, {"id": 2, "name": "theirs"}, journal._seed)
    other += b"".join(encode_point(2, step, step, 7.0, journal._seed) for step in range(30))
    place.store.append(Batch(journal._segment.header, first, other))
    place.store.append(
        Batch(journal._segment.header, first + len(other) // SLOT_BYTES, encode_point(1, 9, 40, -1.0, journal._seed))
    )
    journal.define("b")
    for step in range(40, 200):
        journal.points({"b": float(step), "a": float(step)}, step)
        if step % 17 == 0:
            assert route.deliver(now=True)
    journal.event(Kind.STATUS, {"status": "FINISHED"})
    assert route.deliver(now=True)
    assert route.deliver(now=True)
    store = place.store
    assert store.series("run", "theirs").value.tolist() == [7.0] * 30
    assert store.series("run", "b").value.tolist() == [float(step) for step in range(40, 200)]
    assert sorted(store.series("run", "a", rank="all").value.tolist()) == [-1.0, *map(float, range(200))]
    assert store.rejected == []
    assert store.find(RunQuery())[0].status == "RUNNING", "a branch ends for itself"
    journal.leave()
    assert sweep(cast(Store, store), tmp_path).errors == []
    assert len(store.series("run", "a", rank="all")) == 201
    assert list(tmp_path.iterdir()) == []
