"""Status: how runs end, are found dead, and turn out to live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mlops_sdk.journal.records import Kind
from mlops_sdk.testing.batches import Clock
from mlops_sdk.testing.contract.base import StoreCase, edit, head, known, part, started

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

NO_REOPENING: list[tuple[Kind, Any]] = [
    (Kind.PARAMS, {"params": [["lr", "float", "0.1", 0.1]], "overwrite": False, "config": {"lr": 0.1}}),
    (Kind.TAGS, {"set": {"a": "b"}}),
    (Kind.INFO, {"description": "d"}),
    (Kind.ARTIFACT, {"path": "a", "sha256": "0" * 64, "size_bytes": 3}),
    (Kind.DATASET, {"name": "d"}),
    (Kind.DEFINE, {"key": "loss", "mode": "min"}),
    (Kind.ENVIRONMENT, {"argv": ["x"]}),
    (Kind.HEARTBEAT, {}),
    (Kind.DROPPED, {"total": 1}),
    (Kind.WARNING, {"cause": "c", "count": 1, "message": "m"}),
]
"""What may follow an ending."""


class Endings(StoreCase):
    """What STATUS, HEARTBEAT and LOST mean."""

    @pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
    def test_an_owner_ends_the_run(self, store: Store, status: str) -> None:
        script = started(store).points("loss", [1.0]).status(status, end_reason="signal:15")
        script.send(store)
        found = head(store)
        assert (found.status, found.end_reason, found.is_provisional) == (status, "signal:15", False)
        assert found.end_ns == script.clock.now_ns
        assert (known(store, script).end_status, known(store, script).end_reason) == (status, "signal:15")

    def test_an_ending_needs_no_reason(self, store: Store) -> None:
        started(store).event(Kind.STATUS, {"status": "FINISHED", "end_reason": None}).send(store)
        assert (head(store).status, head(store).end_reason) == ("FINISHED", None)

    def test_the_traceback_of_an_ending_is_kept_with_the_environment(self, store: Store) -> None:
        script = started(store).event(Kind.ENVIRONMENT, {"argv": ["x"]})
        script.status("FAILED", end_reason="exception", traceback="Traceback ...", attributes={"signals": [15]})
        script.send(store)
        expected = {"argv": ["x"], "traceback": "Traceback ...", "attributes": {"signals": [15]}}
        assert part(store, "environment") == expected

    def test_an_attached_writer_ends_itself_only(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="one", clock=clock)
        attached = started(store, writer_id="two", clock=clock, role="attached").status("FAILED", end_reason="exit:1")
        attached.send(store)
        assert (head(store).status, head(store).end_ns, head(store).end_reason) == ("RUNNING", None, None)
        assert (known(store, attached).end_status, known(store, attached).end_reason) == ("FAILED", "exit:1")

    def test_nothing_but_run_reopens_a_run(self, store: Store) -> None:
        script = started(store).status("FINISHED")
        script.send(store)
        end_ns = head(store).end_ns
        for kind, payload in NO_REOPENING:
            script.event(kind, payload).send(store)
            assert (head(store).status, head(store).end_ns) == ("FINISHED", end_ns), kind.name
        script.points("loss", [1.0]).send(store)
        assert (head(store).status, head(store).end_ns) == ("FINISHED", end_ns)
        assert store.series("run-1", "loss").value.tolist() == [1.0]

    def test_every_record_tells_that_the_writer_lives(self, store: Store, clock: Clock) -> None:
        script = started(store, clock=clock)
        before = head(store)
        for kind, payload in NO_REOPENING:
            script.event(kind, payload).send(store)
            assert (known(store, script).heard_ns, head(store).heard_ns) == (clock.now_ns, clock.now_ns), kind.name
        script.points("loss", [1.0]).send(store)
        assert (known(store, script).heard_ns, head(store).heard_ns) == (clock.now_ns, clock.now_ns)
        assert (head(store).status, head(store).start_ns) == (before.status, before.start_ns)

    def test_a_writer_found_dead_ends_the_run_for_the_time_being(self, store: Store, clock: Clock) -> None:
        script = started(store, clock=clock).points("loss", [1.0])
        script.send(store)
        heard_ns = clock.now_ns
        self.find_dead(store, script.header.writer_id, clock)
        found = head(store)
        assert (found.status, found.end_reason, found.is_provisional) == ("KILLED", "lost:process", True)
        assert (found.end_ns, found.heard_ns) == (heard_ns, heard_ns)

    @pytest.mark.parametrize("speaks", ["a point", "a heartbeat", "a tag"])
    def test_a_writer_found_dead_that_speaks_was_not(self, store: Store, clock: Clock, speaks: str) -> None:
        script = started(store, clock=clock)
        self.find_dead(store, script.header.writer_id, clock)
        if speaks == "a point":
            script.points("loss", [1.0]).send(store)
        elif speaks == "a heartbeat":
            script.event(Kind.HEARTBEAT, {}).send(store)
        else:
            script.tags(a="b").send(store)
        found = head(store)
        assert (found.status, found.end_ns, found.end_reason, found.is_provisional) == ("RUNNING", None, None, False)
        assert known(store, script).end_status is None

    def test_the_ending_of_a_writer_found_dead_is_final(self, store: Store, clock: Clock) -> None:
        script = started(store, clock=clock)
        self.find_dead(store, script.header.writer_id, clock)
        script.status("FINISHED").send(store)
        end_ns = clock.now_ns
        self.find_dead(store, script.header.writer_id, clock)
        found = head(store)
        assert (found.status, found.end_ns, found.end_reason) == ("FINISHED", end_ns, None)
        assert not found.is_provisional
        assert known(store, script).end_status == "FINISHED"

    def test_records_that_came_again_are_no_sign_of_life(self, store: Store, clock: Clock) -> None:
        script = started(store, clock=clock).points("loss", [1.0])
        script.send(store)
        self.find_dead(store, script.header.writer_id, clock)
        store.append(script.batches()[0])
        assert (head(store).status, head(store).is_provisional) == ("KILLED", True)

    def test_an_attached_writer_found_dead_does_not_end_the_run(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="one", clock=clock)
        attached = started(store, writer_id="two", clock=clock, role="attached")
        self.find_dead(store, "two", clock)
        assert (head(store).status, head(store).end_ns, head(store).is_provisional) == ("RUNNING", None, False)
        assert known(store, attached).end_status == "KILLED"

    def test_a_writer_found_dead_leaves_a_finished_run_alone(self, store: Store, clock: Clock) -> None:
        script = started(store, clock=clock).status("FINISHED")
        script.send(store)
        before = head(store)
        self.find_dead(store, script.header.writer_id, clock, dropped=7)
        assert head(store) == before
        assert known(store, script).dropped == 7

    def test_a_resumed_run_is_not_ended_by_the_death_of_the_writer_before(self, store: Store, clock: Clock) -> None:
        dead = started(store, writer_id="one", clock=clock).points("loss", [1.0])
        dead.send(store)
        living = started(store, writer_id="two", clock=clock)
        self.find_dead(store, "one", clock)
        assert (head(store).status, head(store).end_ns, head(store).is_provisional) == ("RUNNING", None, False)
        living.status("FINISHED").send(store)
        dead.points("loss", [2.0]).send(store)
        assert (head(store).status, head(store).is_provisional) == ("FINISHED", False)

    @staticmethod
    def find_dead(store: Store, writer_id: str, clock: Clock, *, dropped: int = 0) -> None:
        """Say that a writer was found dead."""
        payload = {"writer": writer_id, "status": "KILLED", "end_reason": "lost:process", "dropped": dropped}
        edit(store, "run-1", Kind.LOST, payload, clock=clock)
