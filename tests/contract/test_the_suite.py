"""The contract suite notices stores that break the contract; scripts and observations do what they say."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from mlops_sdk import testing
from mlops_sdk.entities import MetricSeries, RunHead, RunQuery
from mlops_sdk.errors import MlopsError
from mlops_sdk.journal.records import Batch, Decoded, Kind, decode
from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.stores.protocol import Store
from mlops_sdk.testing import Clock, StoreContract, StoreMachine, WriterScript, differences, observe
from mlops_sdk.testing.batches import START_NS, TICK_NS


class Doubles(MemoryStore):
    """Applies points twice."""

    def _add_points(self, writer_id: str, decoded: Decoded) -> None:
        super()._add_points(writer_id, decoded)
        super()._add_points(writer_id, decoded)


class TrustsBytes(MemoryStore):
    """Writes before it checks."""

    def append(self, batch: Batch) -> int:
        whole = len(batch.data) // 32 * 32 - 32
        super().append(replace(batch, data=batch.data[:whole]))
        return super().append(batch)


class TakesAnything(MemoryStore):
    """Takes a gap for the end of what is missing."""

    def append(self, batch: Batch) -> int:
        state = self.acknowledged(batch.writer.writer_id)
        return super().append(replace(batch, first=min(batch.first, state.sequence + 1 if state else 1)))


class ForgetsKeys(MemoryStore):
    """Knows key ids for one batch only."""

    def append(self, batch: Batch) -> int:
        self._keys.clear()
        return super().append(batch)


class LosesSigns(MemoryStore):
    """Has one zero only."""

    def series(self, run_id: str, key: str, **which: Any) -> MetricSeries:
        series = super().series(run_id, key, **which)
        bits = series.value.view("u8").copy()
        bits[bits == 1 << 63] = 0
        return replace(series, value=bits.view("f8"))


class OldestFirst(MemoryStore):
    """Lists runs the wrong way round."""

    def find(self, query: RunQuery) -> list[RunHead]:
        return super().find(query)[::-1]


class BelievesTheDead(MemoryStore):
    """Never takes a presumed death back."""

    def _take_back_death(self, writer_id: str) -> None:
        self._presumed_dead.discard(writer_id)


class Revives(MemoryStore):
    """Late records bring a run out of the trash."""

    def _apply(self, writer_id: str, decoded: Decoded) -> None:
        super()._apply(writer_id, decoded)
        run = self._runs.get(self._writers[writer_id].run_id)
        if run is not None and self._writers[writer_id].role != "editor":
            run.head = replace(run.head, is_deleted=False)


class ForgetsRewinds(MemoryStore):
    """Hides what was there at a rewind, and not what arrives later."""

    def _add_points(self, writer_id: str, decoded: Decoded) -> None:
        run = self._runs.get(self._writers[writer_id].run_id)
        if run is not None:
            self._writers[writer_id] = replace(self._writers[writer_id], attempt=len(run.rewinds))
        super()._add_points(writer_id, decoded)


BROKEN: list[tuple[type[MemoryStore], str]] = [
    (Doubles, "test_no_point_is_lost_for_its_step_or_time"),
    (TrustsBytes, "test_a_damaged_record_takes_back_those_before_it"),
    (TakesAnything, "test_a_batch_from_beyond_is_refused_with_the_number_expected"),
    (ForgetsKeys, "test_the_names_of_keys_are_kept_for_later_batches"),
    (LosesSigns, "test_every_float64_comes_back_bit_for_bit"),
    (OldestFirst, "test_runs_come_newest_first"),
    (BelievesTheDead, "test_a_writer_found_dead_that_speaks_was_not"),
    (Revives, "test_late_records_of_a_deleted_run_are_kept_and_do_not_revive_it"),
    (ForgetsRewinds, "test_points_of_an_earlier_attempt_that_arrive_late_are_hidden_too"),
]


def run_contract_test(store: Store, name: str, tmp_path: Path) -> None:
    given = {"store": store, "clock": Clock(), "tmp_path": tmp_path, "speaks": "a point"}
    test = getattr(StoreContract(), name)
    test(**{each: given[each] for each in inspect.signature(test).parameters})


@pytest.mark.parametrize("broken, name", BROKEN)
def test_the_contract_notices_a_store_that_breaks_it(broken: type[MemoryStore], name: str, tmp_path: Path) -> None:
    run_contract_test(MemoryStore(), name, tmp_path)
    with pytest.raises((AssertionError, pytest.fail.Exception, MlopsError, LookupError)):
        run_contract_test(broken(), name, tmp_path)


@pytest.mark.parametrize("broken", [Doubles, ForgetsKeys, BelievesTheDead, Revives])
def test_programs_notice_a_store_that_breaks_the_contract(broken: type[MemoryStore]) -> None:
    class Machine(StoreMachine):
        survives_reopen = False

        def open_store(self, tmp_path: Path) -> Store:
            return broken()

    # found, not explained: shrinking takes its time
    quick = settings(phases=[Phase.generate], max_examples=1000, stateful_step_count=40, print_blob=False)
    with pytest.raises((AssertionError, MlopsError)):
        run_state_machine_as_test(Machine, settings=quick)


def test_every_part_of_the_contract_is_in_the_suite() -> None:
    tests = [name for name, _ in inspect.getmembers(StoreContract, inspect.isfunction) if name.startswith("test_")]
    bases = [vars(base) for base in StoreContract.__mro__]
    assert len(tests) == sum(name.startswith("test_") for base in bases for name in base), "one hides another"
    assert len(tests) > 80


def test_a_script_writes_what_a_writer_would() -> None:
    script = WriterScript("run-1", rank=2).run().points("loss", [1.0, 2.0]).points("loss", [3.0], steps=[9])
    script.tags("old", new="x").points("loss", [4.0])
    decoded = decode(script.batch())
    assert [event.kind for event in decoded.events] == [Kind.RUN, Kind.TAGS]
    assert decoded.keys == {1: "loss"}
    assert (decoded.points.value, decoded.points.step) == ([1.0, 2.0, 3.0, 4.0], [0, 1, 9, 10])
    assert decoded.events[0].time_ns == START_NS + TICK_NS
    assert decoded.points.time_ns[-1] == script.clock.now_ns
    assert decoded.points.sequence[-1] == script.last


def test_a_script_is_the_same_every_time() -> None:
    one, two = (WriterScript("run-1").run().params({"lr": 0.1}).points("loss", [1.0]).status() for _ in range(2))
    assert one.batch() == two.batch()


def test_batches_of_a_script_follow_each_other() -> None:
    script = WriterScript("run-1").run(description="long " * 40).points("loss", range(5)).status()
    batches = script.batches(1, 3)
    assert [batch.first for batch in batches] == [1, *(batch.last + 1 for batch in batches[:-1])]
    assert batches[-1].last == script.last
    assert b"".join(batch.data for batch in batches) == script.batch().data
    assert script.tags(a="b").batch().first == batches[-1].last + 1


def test_observations_tell_apart_what_compares_equal() -> None:
    def observed(value: float, **params: Any) -> dict[str, Any]:
        store = MemoryStore()
        WriterScript("run-1").run().params(params).points("loss", [value]).send(store)
        return observe(store)

    assert differences(observed(float("nan"), lr=1), observed(float("nan"), lr=1)) == []
    for other in (observed(-0.0, lr=1), observed(0.0, lr=1.0), observed(0.0, lr=True), observed(0.0)):
        assert differences(observed(0.0, lr=1), other) != []
    (first, *_) = differences(observed(1.0), observed(2.0))
    assert first.startswith("/runs/run-1/metrics/loss/first")


def test_what_was_imported_already_is_found_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest warns of asserts that it is too late to rewrite, and warnings may be errors."""
    monkeypatch.setitem(testing._LATER, "Clock", "batches")
    assert testing.__getattr__("Clock") is Clock
