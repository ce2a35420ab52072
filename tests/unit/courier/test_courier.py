"""The courier's thread: delivers in bounded time, survives everything, stops when asked, and is there after a fork."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_sdk.courier import courier as courier_module
from mlops_sdk.courier.courier import Courier
from mlops_sdk.courier.route import Route
from mlops_sdk.errors import StoreUnavailableError
from mlops_sdk.journal.records import Batch, Kind
from mlops_sdk.journal.writer import Journal
from tests.unit.courier.failing import FailingStore, journal_in, log

pytestmark = pytest.mark.timeout(60)
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture
def courier() -> Iterator[Courier]:
    courier = Courier(period_s=0.02)
    yield courier
    assert courier.stop(10)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = journal_in(tmp_path, 100)
    yield journal
    journal.leave()


def eventually(is_so: Callable[[], object], what: str = "it") -> None:
    """Wait until `is_so`, or fail."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.005)


def has_all(store: FailingStore, journal: Journal) -> bool:
    return store.known.get(journal.writer_id) == journal.last


def test_what_is_logged_arrives_without_anybody_asking(courier: Courier, journal: Journal) -> None:
    store = FailingStore()
    courier.add(journal, [store])
    eventually(lambda: has_all(store, journal))
    log(journal, 300)
    eventually(lambda: has_all(store, journal))
    assert store.steps[journal.writer_id] == list(range(400))
    eventually(lambda: len(journal._segments) == 1, "the release")


def test_one_thread_carries_many_journals(courier: Courier, tmp_path: Path) -> None:
    store = FailingStore()
    journals = [journal_in(tmp_path, 20) for _ in range(10)]
    for journal in journals:
        courier.add(journal, [store])
    eventually(lambda: all(has_all(store, journal) for journal in journals))
    assert sum(thread.name == "mlops-courier" for thread in threading.enumerate()) >= 1
    for journal in journals:
        journal.leave()


def test_a_forgotten_route_is_not_visited(courier: Courier, journal: Journal) -> None:
    store = FailingStore()
    route = courier.add(journal, [store])
    eventually(lambda: has_all(store, journal))
    courier.forget(route)
    courier.forget(route)
    assert courier.stop(10)
    log(journal, 1)
    courier.start()
    assert courier.deliver(route, 10)  # only when asked
    assert has_all(store, journal)


def test_the_thread_survives_what_a_store_raises(courier: Courier, tmp_path: Path) -> None:
    bad, good = FailingStore(), FailingStore()
    journals = journal_in(tmp_path, 10), journal_in(tmp_path, 10)

    def explode(_batch: Batch) -> None:
        raise RuntimeError("a defect")

    bad.fault = explode
    route = courier.add(journals[0], [bad])
    courier.add(journals[1], [good])
    eventually(lambda: route.errors["delivery: RuntimeError"] >= 2)
    log(journals[1], 10)
    eventually(lambda: has_all(good, journals[1]))
    bad.fault = None
    eventually(lambda: has_all(bad, journals[0]))
    assert courier.deaths == 0
    for journal in journals:
        journal.leave()


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=lambda error: type(error).__name__
)
def test_the_thread_survives_what_is_not_even_an_exception(
    courier: Courier, journal: Journal, error: BaseException
) -> None:
    store = FailingStore()
    errors = [error]

    def explode(_batch: Batch) -> None:
        if errors:
            raise errors.pop()

    store.fault = explode
    courier.add(journal, [store])
    eventually(lambda: has_all(store, journal))
    assert (courier.deaths, courier.last_error) == (1, error)


def test_a_defect_in_one_route_does_not_keep_the_others_waiting(
    courier: Courier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FailingStore()
    journals = journal_in(tmp_path, 10), journal_in(tmp_path, 10)

    def explode() -> None:
        raise AssertionError("a defect of ours")

    monkeypatch.setattr(journals[0], "retry_room", explode)
    route = courier.add(journals[0], [store])
    courier.add(journals[1], [store])
    eventually(lambda: has_all(store, journals[1]))
    eventually(lambda: route.errors["delivery: AssertionError"] >= 2)
    for journal in journals:
        journal.leave()


def test_a_thread_that_died_is_started_again_by_a_roll_over(
    courier: Courier, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FailingStore()
    courier.add(journal, [store])
    eventually(lambda: has_all(store, journal))
    with monkeypatch.context() as patch:
        patch.setattr(courier, "_goes_on", lambda: False)
        courier.wake()
        eventually(lambda: not courier._is_running(), "the death")
    log(journal, 500)
    eventually(lambda: has_all(store, journal))


def test_a_roll_over_has_the_next_spare_made(courier: Courier, journal: Journal) -> None:
    courier.period_s = 60.0  # only the wake makes a round
    courier.add(journal, [FailingStore()])
    eventually(lambda: journal._spare is not None or journal._segment.published() * 2 <= journal._segment.size_bytes)
    segment = journal._segment
    while journal._segment is segment:
        log(journal, 1)
    while journal._segment.published() * 2 <= journal._segment.size_bytes:
        log(journal, 1)
    courier.wake()
    eventually(lambda: journal._spare is not None, "the spare")


def test_a_store_that_blocks_holds_up_neither_logging_nor_the_stop(courier: Courier, journal: Journal) -> None:
    store, may_go = FailingStore(), threading.Event()
    store.fault = lambda batch: may_go.wait(30)
    courier.add(journal, [store])
    eventually(lambda: store.batches)
    log(journal, 500)
    began = time.monotonic()
    assert not courier.stop(0.1)
    assert time.monotonic() - began < 5
    may_go.set()
    eventually(lambda: not courier._is_running(), "the end of the thread")
    courier.start()
    eventually(lambda: has_all(store, journal))


def test_a_stop_that_is_taken_back_leaves_a_thread(courier: Courier, journal: Journal) -> None:
    """As a fork does while a store blocks: the thread did not end in time, and is wanted again."""
    store, may_go = FailingStore(), threading.Event()
    store.fault = lambda batch: may_go.wait(30)
    courier.add(journal, [store])
    eventually(lambda: store.batches)
    assert not courier.stop(0.05)
    courier.start()
    may_go.set()
    log(journal, 5)
    eventually(lambda: has_all(store, journal))
    assert courier._is_running()


def test_waiting_for_a_store_is_no_work(courier: Courier, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second in a queue for a lock must not be followed by fifty seconds without a delivery."""
    store = FailingStore()
    store.fault = lambda batch: time.sleep(0.2)
    courier.add(journal, [store])
    eventually(lambda: has_all(store, journal))
    log(journal, 1)
    began = time.monotonic()
    eventually(lambda: has_all(store, journal))
    assert time.monotonic() - began < 5


def test_while_deliveries_are_dear_what_is_logged_is_still_synced(
    courier: Courier, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FailingStore()
    courier.add(journal, [store])
    eventually(lambda: has_all(store, journal))
    courier._deliver_at = time.monotonic() + 3600
    synced: list[int] = []
    monkeypatch.setattr(journal, "sync", lambda: synced.append(journal.last))
    log(journal, 1)
    eventually(lambda: journal.last in synced)
    assert not has_all(store, journal)
    courier._deliver_at = 0.0
    eventually(lambda: has_all(store, journal))


def test_a_backlog_is_delivered_at_once(courier: Courier, journal: Journal) -> None:
    store = FailingStore()
    courier.add(journal, [store])
    eventually(lambda: has_all(store, journal))
    courier._deliver_at = time.monotonic() + 3600
    for _ in range(2):
        journal.event(Kind.TAGS, {"set": {"text": "x" * 700_000}})
    eventually(lambda: has_all(store, journal))


# -- delivering on demand --------------------------------------------------------------------------------------------


def test_deliver_says_whether_everything_arrived(courier: Courier, journal: Journal) -> None:
    store = FailingStore()
    route = Route(journal, [])
    assert not courier.deliver(route, 5)
    route = courier.add(journal, [store])
    assert courier.deliver(route, 10)
    assert has_all(store, journal)


def test_deliver_is_bounded_and_the_work_goes_on_behind_it(courier: Courier, journal: Journal) -> None:
    store, may_go = FailingStore(), threading.Event()
    store.fault = lambda batch: may_go.wait(30)
    route = courier.add(journal, [store])
    done: list[int] = []
    began = time.monotonic()
    assert not courier.deliver(route, 0.1, lambda: done.append(1))
    assert time.monotonic() - began < 5
    may_go.set()
    eventually(lambda: done, "what was to follow")
    assert has_all(store, journal)


def test_what_follows_a_delivery_follows_only_success_and_its_errors_are_kept(
    courier: Courier, journal: Journal
) -> None:
    store = FailingStore()
    courier.stop(5)
    route = courier.add(journal, [store])

    def refuse(_batch: Batch) -> None:
        raise StoreUnavailableError("gone")

    def explode() -> None:
        raise OSError("housekeeping")

    store.fault = refuse
    assert not courier.deliver(route, 10, explode)
    assert "delivery: OSError" not in route.errors
    store.fault = None
    assert courier.deliver(route, 10, explode)
    assert route.errors["delivery: OSError"] == 1


def no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_when_threads_cannot_be_started_the_caller_delivers(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    no_more_threads(monkeypatch)
    courier, store = Courier(), FailingStore()
    route = courier.add(journal, [store])
    log(journal, 300)  # roll-overs wake it: quiet
    assert courier.deliver(route, 5)
    assert has_all(store, journal)
    assert courier.stop()


def test_when_threads_cannot_be_started_a_route_in_use_is_waited_for_no_longer_than_asked(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_more_threads(monkeypatch)
    courier = Courier()
    route = courier.add(journal, [FailingStore()])
    with route.lock:
        began = time.monotonic()
        assert not courier.deliver(route, 0.1)
        assert time.monotonic() - began < 5


def test_deliver_to_a_store_carries_the_routes_that_lead_there(courier: Courier, tmp_path: Path) -> None:
    one, other = FailingStore(), FailingStore()
    journals = journal_in(tmp_path, 10), journal_in(tmp_path, 10)
    courier.period_s = 60.0
    courier.add(journals[0], [one])
    courier.add(journals[1], [other])
    log(journals[0], 5)
    assert courier.deliver_to(one, 10)
    assert has_all(one, journals[0])
    assert courier.deliver_to(one, 10)
    for journal in journals:
        journal.leave()


# -- sweeps ----------------------------------------------------------------------------------------------------------


def test_journals_of_dead_writers_are_found(courier: Courier, journal: Journal, tmp_path: Path) -> None:
    left = journal_in(tmp_path, 7)
    left.leave()
    store = FailingStore()
    courier.add(journal, [store])
    courier.watch(tmp_path, store)
    courier._sweep_at = 0.0
    courier.wake()
    eventually(lambda: store.steps.get(left.writer_id) == list(range(7)))
    eventually(lambda: not left.directory.exists(), "the removal")


def test_a_store_that_cannot_be_opened_does_not_hide_the_other_places(
    courier: Courier, journal: Journal, tmp_path: Path
) -> None:
    store, error = FailingStore(), StoreUnavailableError("cannot be opened")

    class Closed:
        @property
        def store(self) -> FailingStore:
            raise error

    roots = tmp_path / "one", tmp_path / "two"
    for root in roots:
        root.mkdir()
    left = journal_in(roots[1], 7)
    left.leave()
    courier.add(journal, [store])
    courier.watch(roots[0], Closed())  # type: ignore[arg-type]
    courier.watch(roots[1], store)
    courier._sweep_at = 0.0
    courier.wake()
    eventually(lambda: store.steps.get(left.writer_id) == list(range(7)))
    assert (courier.last_error, courier.deaths) == (error, 0)


# -- forks -----------------------------------------------------------------------------------------------------------


@forks
def test_a_fork_joins_the_thread_and_starts_it_again(courier: Courier, journal: Journal) -> None:
    store = FailingStore()
    courier.add(journal, [store])
    eventually(lambda: has_all(store, journal))
    courier.before_fork()
    assert not courier._is_running()
    courier.after_fork_in_parent()
    log(journal, 5)
    eventually(lambda: has_all(store, journal))


@forks
def test_forks_of_two_threads_at_once_leave_the_thread_running(courier: Courier, journal: Journal) -> None:
    store = FailingStore()
    courier.add(journal, [store])
    courier.before_fork()
    courier.before_fork()  # of another thread, in the middle of the first one's fork
    courier.after_fork_in_parent()
    courier.after_fork_in_parent()
    log(journal, 5)
    eventually(lambda: has_all(store, journal))
    assert courier._is_running()


@forks
def test_a_courier_that_was_not_started_is_not_started_by_a_fork(courier: Courier) -> None:
    courier.before_fork()
    courier.after_fork_in_parent()
    assert not courier._is_running()


@forks
def test_in_the_child_there_is_nothing_to_carry(courier: Courier, journal: Journal) -> None:
    store = FailingStore()
    courier.add(journal, [store])
    courier.before_fork()
    child = Courier(courier.period_s)
    child.__dict__.update(courier.__dict__)
    child.after_fork_in_child()
    courier.after_fork_in_parent()
    assert (child._routes, child._places, child._thread, child.period_s) == ([], {}, None, 0.02)
    assert child._lock is not courier._lock
    assert child._wakes is not courier._wakes


@forks
def test_a_real_fork_while_the_process_courier_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child delivers its own journal; the parent's goes on."""
    here = courier_module.courier()
    monkeypatch.setattr(here, "period_s", 0.02)
    store = FailingStore()
    journal = journal_in(tmp_path, 50)
    route = here.add(journal, [store])
    said, say = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(20)
            mine, theirs = journal_in(tmp_path, 30), FailingStore()
            mine_route = courier_module.courier().add(mine, [theirs])
            ok = courier_module.courier().deliver(mine_route, 10) and theirs.steps[mine.writer_id] == list(range(30))
            ok = ok and not courier_module.courier().deliver(route, 0.5) if route.waiting else ok
            mine.remove()
            os.write(say, b"y" if ok else b"n")
            code = 0
        finally:
            os._exit(code)
    log(journal, 50)
    assert os.read(said, 1) == b"y"
    assert os.waitpid(child, 0)[1] == 0
    eventually(lambda: has_all(store, journal))
    assert store.steps[journal.writer_id] == list(range(100))
    here.forget(route)
    journal.leave()
    os.close(said)
    os.close(say)
