"""Rewinding: points that were gone back behind are hidden and never lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_sdk.testing.batches import Clock
from mlops_sdk.testing.contract.base import StoreCase, known, part, started

if TYPE_CHECKING:
    from mlops_sdk.entities import MetricSummary
    from mlops_sdk.stores.protocol import Store


def values(store: Store, key: str = "loss", **which: int | str) -> list[float]:
    """Values of a metric of run-1."""
    found: list[float] = store.series("run-1", key, **which).value.tolist()
    return found


def summary(store: Store, key: str = "loss") -> MetricSummary:
    """Summary of a metric of run-1."""
    found: MetricSummary = part(store, "metrics")[key]
    return found


class Attempts(StoreCase):
    """What ``from_step`` means."""

    def test_points_behind_a_rewind_are_hidden_and_kept(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="one", clock=clock).points("loss", [0.0, 1.0, 2.0, 3.0, 99.0]).send(store)
        second = started(store, writer_id="two", clock=clock, from_step=2)
        assert values(store) == [0.0, 1.0]
        assert (summary(store).count, summary(store).max, summary(store).last_step) == (2, 1.0, 1)
        second.points("loss", [2.5, 3.5], steps=[2, 3]).send(store)
        assert values(store) == [0.0, 1.0, 2.5, 3.5]
        assert (summary(store).count, summary(store).max, summary(store).mean) == (4, 3.5, 1.75)
        assert known(store, second).attempt == 1

    def test_attempts_can_be_asked_for(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="one", clock=clock).points("loss", [0.0, 1.0, 2.0]).send(store)
        started(store, writer_id="two", clock=clock, from_step=1).points("loss", [1.5], steps=[1]).send(store)
        assert values(store, attempt=0) == [0.0, 1.0, 2.0]
        assert values(store, attempt=1) == [1.5]
        assert values(store, attempt="all") == [0.0, 1.0, 1.5, 2.0]
        assert values(store, attempt=7) == []
        assert values(store, attempt="all", rank="all") == [0.0, 1.0, 1.5, 2.0]

    def test_points_of_an_earlier_attempt_that_arrive_late_are_hidden_too(self, store: Store, clock: Clock) -> None:
        first = started(store, writer_id="one", clock=clock).points("loss", [0.0])
        first.send(store)
        first.points("loss", [1.0, 2.0, 3.0])
        second = started(store, writer_id="two", clock=clock, from_step=2).points("loss", [2.5], steps=[2])
        second.send(store)
        first.send(store)
        assert values(store) == [0.0, 1.0, 2.5]
        assert (summary(store).count, summary(store).last, summary(store).max) == (3, 2.5, 2.5)
        assert values(store, attempt=0) == [0.0, 1.0, 2.0, 3.0]

    def test_a_large_batch_that_arrives_late_is_hidden_where_it_has_to_be(self, store: Store, clock: Clock) -> None:
        first = started(store, writer_id="one", clock=clock)
        second = started(store, writer_id="two", clock=clock, from_step=1000)
        first.points("loss", [1.0] * 3000).points("other", [2.0] * 3000).send(store)
        second.points("loss", [0.5] * 3000, steps=range(1000, 4000)).send(store)
        assert (summary(store).count, summary(store).last_step, summary(store).last) == (4000, 3999, 0.5)
        assert (summary(store, "other").count, summary(store, "other").last_step) == (1000, 999)
        assert values(store) == [1.0] * 1000 + [0.5] * 3000
        assert len(values(store, "other", attempt="all")) == 3000
        store.settle("run-1")
        assert values(store) == [1.0] * 1000 + [0.5] * 3000
        assert len(values(store, attempt=0)) == 3000

    def test_attempts_after_attempts(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="0", clock=clock).points("loss", [0.0, 0.0, 0.0, 0.0]).send(store)
        started(store, writer_id="1", clock=clock, from_step=3).points("loss", [1.0, 1.0], steps=[3, 4]).send(store)
        started(store, writer_id="2", clock=clock, from_step=1).points("loss", [2.0], steps=[1]).send(store)
        assert values(store) == [0.0, 2.0]
        last = started(store, writer_id="3", clock=clock, from_step=4).points("loss", [3.0], steps=[4])
        last.send(store)
        assert values(store) == [0.0, 2.0, 3.0]
        assert [values(store, attempt=number) for number in range(4)] == [[0.0] * 4, [1.0] * 2, [2.0], [3.0]]
        assert known(store, last).attempt == 3

    def test_resuming_without_a_rewind_hides_nothing(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="one", clock=clock).points("loss", [0.0, 1.0]).send(store)
        second = started(store, writer_id="two", clock=clock).points("loss", [1.5, 2.0], steps=[1, 2])
        second.send(store)
        assert values(store) == [0.0, 1.0, 1.5, 2.0]
        assert known(store, second).attempt == 0

    def test_writers_of_the_new_attempt_are_of_it(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="one", clock=clock).points("loss", [0.0, 1.0]).send(store)
        started(store, writer_id="two", clock=clock, from_step=1)
        third = started(store, writer_id="three", clock=clock).points("loss", [1.25], steps=[1])
        third.send(store)
        attached = started(store, writer_id="four", clock=clock, role="attached", rank=1)
        attached.points("theirs", [5.0], steps=[8]).send(store)
        assert (known(store, third).attempt, known(store, attached).attempt) == (1, 1)
        assert values(store) == [0.0, 1.25]
        assert values(store, "theirs") == [5.0]

    def test_points_of_attached_writers_are_hidden_too(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="one", clock=clock)
        attached = started(store, writer_id="two", clock=clock, role="attached", rank=1)
        attached.points("theirs", [0.0, 1.0, 2.0]).send(store)
        started(store, writer_id="three", clock=clock, from_step=1)
        assert values(store, "theirs") == [0.0]
        assert values(store, "theirs", rank=1) == [0.0]
        assert values(store, "theirs", rank=1, attempt="all") == [0.0, 1.0, 2.0]
        assert summary(store, "theirs").count == 1

    def test_a_metric_with_all_its_points_hidden_has_no_summary(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="one", clock=clock).points("loss", [0.0, 1.0]).points("other", [1.0]).send(store)
        started(store, writer_id="two", clock=clock, from_step=0).points("other", [2.0]).send(store)
        assert list(part(store, "metrics")) == ["other"]
        assert values(store) == []
        assert values(store, attempt="all") == [0.0, 1.0]
        assert values(store, "other") == [2.0]

    def test_an_attached_writer_cannot_rewind(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="one", clock=clock).points("loss", [0.0, 1.0]).send(store)
        attached = started(store, writer_id="two", clock=clock, role="attached", from_step=0)
        assert values(store) == [0.0, 1.0]
        assert known(store, attached).attempt == 0
