"""Series and summaries: every point, bit for bit, in the order of what was logged and not of how it arrived."""

from __future__ import annotations

import itertools
import math
import struct
from typing import TYPE_CHECKING

import pytest

from mlops_sdk.errors import MetricNotFoundError, RunNotFoundError
from mlops_sdk.testing.batches import START_NS, Clock, WriterScript
from mlops_sdk.testing.contract.base import NAMES, StoreCase, part, started

if TYPE_CHECKING:
    from mlops_sdk.entities import MetricSummary
    from mlops_sdk.stores.protocol import Store

NAN, INF = math.nan, math.inf


def summary(store: Store, key: str = "loss") -> MetricSummary:
    """Summary of a metric of run-1."""
    found: MetricSummary = part(store, "metrics")[key]
    return found


class Metrics(StoreCase):
    """What points mean, and whose they are."""

    def test_every_float64_comes_back_bit_for_bit(self, store: Store) -> None:
        import numpy as np

        patterns = np.arange(65536, dtype="u8") << np.uint64(48)
        patterns = np.concatenate([patterns, patterns[::5] | np.uint64(0x1234_5678_9ABC)])
        script = started(store)
        script.points("loss", patterns.view("f8").tolist())
        expected = np.array([struct.unpack_from("<Q", record, 20)[0] for _, record in script.records[-len(patterns) :]])
        for batch in script.batches(2, 1000, 30_000):
            store.append(batch)
        series = store.series("run-1", "loss")
        assert [column.dtype.str for column in (series.value, series.step, series.time_ns)] == ["<f8", "<i8", "<i8"]
        assert np.array_equal(series.value.view("u8"), expected)
        assert np.array_equal(expected, patterns), "this Python changes NaNs; the test proves less"

    def test_steps_and_times_are_whole_64_bit_integers(self, store: Store) -> None:
        steps = [-(2**63), -(2**53) - 1, -1, 0, 1, 2**53 + 1, 2**63 - 1]
        times = [START_NS + delta for delta in (5, -3, 10**15 + 1, 0, -START_NS, -START_NS - 7, 2)]
        started(store).points("loss", range(7), steps=steps, times_ns=times).send(store)
        series = store.series("run-1", "loss")
        assert (series.step.tolist(), series.time_ns.tolist()) == (steps, times)
        found = summary(store)
        assert (found.first_step, found.last_step, found.max_step) == (steps[0], steps[-1], steps[-1])
        assert (found.first_time_ns, found.last_time_ns, found.min_time_ns) == (times[0], times[-1], times[0])

    def test_no_point_is_lost_for_its_step_or_time(self, store: Store) -> None:
        script = started(store)
        steps = [5, 3, 3, 9, 3, 5, -1]
        for step in steps:
            script.points("loss", [step / 10], steps=[step], times_ns=[START_NS + 7]).send(store)
        series = store.series("run-1", "loss")
        assert series.step.tolist() == sorted(steps)
        assert series.value.tolist() == sorted(step / 10 for step in steps)
        assert (len(series), series.n_total, series.is_reduced, series.rank) == (7, 7, False, None)
        assert (summary(store).count, summary(store).last, summary(store).first) == (7, 0.9, -0.1)

    def test_points_come_in_order_of_step_time_writer_and_sequence(self, store: Store, clock: Clock) -> None:
        one = started(store, writer_id="1", clock=clock)
        two = started(store, writer_id="2", clock=clock)
        t = START_NS
        two.points("loss", [6.0, 7.0, 3.0], steps=[1, 1, 1], times_ns=[t + 9, t + 9, t + 5]).send(store)
        one.points("loss", [8.0, 4.0, 5.0], steps=[2, 1, 1], times_ns=[t, t + 9, t + 9]).send(store)
        two.points("loss", [1.0, 2.0], steps=[-5, 0], times_ns=[t + 99, t + 98]).send(store)
        assert store.series("run-1", "loss").value.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
        assert (summary(store).first, summary(store).last) == (1.0, 8.0)

    def test_last_does_not_depend_on_the_order_of_delivery(self, store: Store) -> None:
        t, key = START_NS, "loss"
        for number, order in enumerate(itertools.permutations(range(3))):
            run_id = f"run-{number}"
            scripts = [WriterScript(run_id, f"{run_id} {name}").run() for name in "abc"]
            scripts[0].points(key, [1.0, 9.0], steps=[3, 3], times_ns=[t + 5, t + 4])
            scripts[1].points(key, [2.0, 3.0], steps=[3, 3], times_ns=[t + 5, t + 5])
            scripts[2].points(key, [4.0, 5.0], steps=[2, 0], times_ns=[t + 99, t])
            for which in order:
                scripts[which].send(store)
            found = part(store, "metrics", run_id)[key]
            assert (found.last, found.last_step, found.last_time_ns, found.first) == (3.0, 3, t + 5, 5.0), order

    def test_a_summary_says_where_its_values_are(self, store: Store) -> None:
        values, steps = [3.0, 1.0, 2.0, 1.0, 3.0], [10, 20, 30, 40, 50]
        times = [START_NS + step for step in steps]
        started(store).points("loss", values, steps=steps, times_ns=times).send(store)
        found = summary(store)
        assert (found.key, found.count, found.nan_count) == ("loss", 5, 0)
        assert (found.first, found.first_step, found.first_time_ns) == (3.0, 10, times[0])
        assert (found.last, found.last_step, found.last_time_ns) == (3.0, 50, times[4])
        assert (found.min, found.min_step, found.min_time_ns) == (1.0, 20, times[1])
        assert (found.max, found.max_step, found.max_time_ns) == (3.0, 10, times[0])
        assert found.mean == pytest.approx(2.0, rel=1e-12)

    def test_of_equal_extremes_the_one_at_the_smallest_step_stands(self, store: Store) -> None:
        script = started(store)
        for step in (7, 3, 5):
            script.points("loss", [1.0], steps=[step]).send(store)
        assert (summary(store).min_step, summary(store).max_step) == (3, 3)

    def test_nan_is_counted_and_left_out(self, store: Store) -> None:
        script = started(store).points("loss", [NAN, 2.0, NAN])
        script.send(store)
        script.points("loss", [1.0, NAN]).send(store)
        found = summary(store)
        assert (found.count, found.nan_count, found.min, found.max) == (5, 3, 1.0, 2.0)
        assert (found.min_step, found.max_step) == (3, 1)
        assert found.mean == pytest.approx(1.5, rel=1e-12)
        assert [math.isnan(found.first), math.isnan(found.last)] == [True, True]
        assert (found.first_step, found.last_step) == (0, 4)

    def test_a_metric_of_nothing_but_nan(self, store: Store) -> None:
        script = started(store).points("loss", [NAN, NAN])
        script.send(store)
        found = summary(store)
        assert (found.count, found.nan_count, found.last_step) == (2, 2, 1)
        assert all(math.isnan(value) for value in (found.first, found.last, found.min, found.max, found.mean))
        script.points("loss", [5.0]).send(store)
        assert (summary(store).min, summary(store).max, summary(store).mean) == (5.0, 5.0, 5.0)

    def test_infinities_and_minus_zero_in_summaries(self, store: Store) -> None:
        script = started(store).points("both", [1.0, INF, -INF]).points("up", [INF, 1.0]).points("zero", [-0.0])
        script.send(store)
        both, up, zero = (summary(store, key) for key in ("both", "up", "zero"))
        assert (both.min, both.max, both.last) == (-INF, INF, -INF)
        assert math.isnan(both.mean)
        assert (up.max, up.max_step, up.min, up.mean, up.first) == (INF, 0, 1.0, INF, INF)
        signs = [math.copysign(1.0, value) for value in (zero.first, zero.last, zero.min, zero.max)]
        assert signs == [-1.0] * 4

    def test_names_of_metrics_are_kept_unchanged(self, store: Store) -> None:
        script = started(store)
        for number, name in enumerate(NAMES):
            script.points(name, [float(number)])
        script.send(store)
        found = part(store, "metrics")
        assert {key: each.last for key, each in found.items()} == {name: float(n) for n, name in enumerate(NAMES)}
        assert all(each.key == key for key, each in found.items())
        for number, name in enumerate(NAMES):
            series = store.series("run-1", name)
            assert (series.key, series.value.tolist()) == (name, [float(number)])

    def test_what_is_not_there_is_said_by_name(self, store: Store) -> None:
        script = started(store).points("loss", [1.0])
        script.key("defined and never logged")
        script.send(store)
        with pytest.raises(RunNotFoundError):
            store.series("nobody", "loss")
        for key in ("accuracy", "LOSS", "los", "defined and never logged"):
            with pytest.raises(MetricNotFoundError):
                store.series("run-1", key)
        assert list(part(store, "metrics")) == ["loss"]

    def test_a_key_means_the_owners_points_if_they_logged_it(self, store: Store, clock: Clock) -> None:
        attached = started(store, writer_id="two", clock=clock, role="attached", rank=1)
        attached.points("loss", [9.0, 9.0, 9.0]).points("only theirs", [5.0]).send(store)
        assert (summary(store).count, summary(store).last) == (3, 9.0)
        started(store, writer_id="one", clock=clock, rank=0).points("loss", [1.0, 2.0]).send(store)
        assert store.series("run-1", "loss").value.tolist() == [1.0, 2.0]
        assert (summary(store).count, summary(store).max, summary(store).last) == (2, 2.0, 2.0)
        assert store.series("run-1", "only theirs").value.tolist() == [5.0]
        assert summary(store, "only theirs").last == 5.0
        attached.points("loss", [10.0]).send(store)
        assert (summary(store).count, summary(store).last) == (2, 2.0)

    def test_a_key_that_no_owner_logged_is_everybodys(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="owner", clock=clock)
        for number in range(3):
            attached = started(store, writer_id=f"attached {number}", clock=clock, role="attached", rank=number)
            attached.points("loss", [float(number)], steps=[2 - number]).send(store)
        assert store.series("run-1", "loss").value.tolist() == [2.0, 1.0, 0.0]
        assert (summary(store).count, summary(store).last, summary(store).max) == (3, 0.0, 2.0)

    def test_points_of_one_rank_and_of_all(self, store: Store, clock: Clock) -> None:
        started(store, writer_id="a", clock=clock, rank=0).points("loss", [1.0, 2.0], steps=[0, 2]).send(store)
        started(store, writer_id="b", clock=clock, role="attached", rank=1).points("loss", [3.0], steps=[1]).send(store)
        started(store, writer_id="c", clock=clock, role="attached").points("loss", [4.0], steps=[5]).send(store)
        assert store.series("run-1", "loss", rank=0).value.tolist() == [1.0, 2.0]
        assert store.series("run-1", "loss", rank=1).value.tolist() == [3.0]
        assert len(store.series("run-1", "loss", rank=7)) == 0
        everything = store.series("run-1", "loss", rank="all")
        assert everything.value.tolist() == [1.0, 3.0, 2.0, 4.0]
        assert everything.rank is not None
        assert everything.rank.tolist() == [0, 1, 0, -1]
        assert store.series("run-1", "loss").value.tolist() == [1.0, 2.0]
