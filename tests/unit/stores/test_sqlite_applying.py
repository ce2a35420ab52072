"""What cannot be applied is kept with its reason, and leaves nothing half done."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import DivergedError, InvalidValueError
from mlops_sdk.journal.records import Kind
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "store")
    yield store
    store.close()


def load(store: SQLiteStore, part: Any) -> Any:
    return getattr(store.load(["run-1"], [part])["run-1"], part)


def test_a_refused_param_is_kept_with_the_reason_and_the_others_are_applied(store: SQLiteStore) -> None:
    script = WriterScript("run-1").run().params({"lr": 0.1, "depth": 3})
    script.params({"lr": 0.2, "depth": 3.0, "seed": 7}).send(store)
    assert load(store, "params") == {"lr": 0.1, "depth": 3, "seed": 7}
    (rejected,) = store.rejected()
    assert (rejected.run_id, rejected.kind, rejected.count) == ("run-1", Kind.PARAMS, 1)
    assert rejected.reason == "param 'lr' is '0.1' (float) already"
    assert [entry[0] for entry in json.loads(rejected.payload)["params"]] == ["lr"]


@pytest.mark.parametrize("one, other, same", [(2**60, 2**60 + 1, False), (2**53, 2.0**53, True), (1, True, False)])
def test_params_are_equal_by_their_exact_value(store: SQLiteStore, one: Any, other: Any, same: bool) -> None:
    WriterScript("run-1").run().params({"n": one}).params({"n": other}).send(store)
    assert (store.rejected() == []) is same
    assert load(store, "params") == {"n": one}


def test_overwritten_params_leave_a_history(store: SQLiteStore) -> None:
    script = WriterScript("run-1").run().params({"lr": 0.1})
    script.params({"lr": 0.2}, overwrite=True).params({"lr": 0.2}, overwrite=True).params({"lr": 1}, overwrite=True)
    script.send(store)
    assert load(store, "params") == {"lr": 1}
    with store.database.reading() as connection:
        history = connection.execute("SELECT key, kind, text FROM param_history ORDER BY id").fetchall()
    assert history == [("lr", "float", "0.1"), ("lr", "float", "0.2")]


def test_a_record_that_fails_half_way_leaves_nothing(store: SQLiteStore) -> None:
    script = WriterScript("run-1").run().tags(a="b")
    script.event(Kind.TAGS, {"set": {"a": "c", "b": "\ud800"}}).event(
        Kind.INFO, {"name": "new", "experiment": "\ud800"}
    )
    script.send(store)
    assert load(store, "tags") == {"a": "b"}
    (head,) = store.find(RunQuery())
    assert (head.name, head.experiment) == ("name of run-1", "tests")
    assert [each.kind for each in store.rejected()] == [Kind.INFO, Kind.TAGS]
    assert json.loads(store.rejected()[1].payload)["set"]["b"] == "\ud800"


def test_a_run_that_could_not_be_made_is_not_there_for_the_next_records(store: SQLiteStore) -> None:
    script = WriterScript("run-1").run(from_step=2**70).tags(a="b").points("loss", [1.0]).status()
    assert script.send(store) == script.last
    assert store.find(RunQuery(deleted=None)) == []
    assert [(each.kind, each.count) for each in store.rejected()][::-1] == [
        (Kind.RUN, 1),
        (Kind.TAGS, 1),
        (Kind.STATUS, 1),
        (0, 1),
    ]
    assert store.fsck() == []


@pytest.mark.parametrize("count", [10, 3000])
def test_points_of_unknown_keys_are_kept_in_one_row(store: SQLiteStore, count: int) -> None:
    script = WriterScript("run-1").run()
    key_id = script.key("loss")
    for number in range(count):
        script.point(key_id if number % 2 else 99, number, float(number))
    script.send(store)
    assert len(store.series("run-1", "loss")) == count // 2
    (rejected,) = store.rejected()
    assert (rejected.kind, rejected.count, rejected.reason) == (0, count // 2, "their key ids were never defined")
    assert json.loads(rejected.payload)["step"] == list(range(0, count, 2))


def test_what_an_owner_says_of_its_ending_is_kept(store: SQLiteStore) -> None:
    said = {"traceback": "Traceback ...", "attributes": {"signal": 15}}
    WriterScript("run-1").run().status("FAILED", end_reason="exception", **said).send(store)
    assert load(store, "environment") == said


def test_times_beyond_64_bits_do_not_stop_a_writer(store: SQLiteStore) -> None:
    script = WriterScript("run-1").run()
    key_id = script.key("loss")
    script.header = type(script.header)("run-1", script.header.writer_id, clock_offset_ns=2**62)
    script.point(key_id, 0, 1.0, time_ns=2**62 + 2**63 - 1).event(Kind.TAGS, {"set": {"a": "b"}}, time_ns=2**62 + 2**62)
    assert script.send(store) == script.last
    assert store.series("run-1", "loss").time_ns.tolist() == [2**63 - 1]


@pytest.mark.parametrize("field", ["run_id", "writer_id"])
def test_ids_that_are_no_text_are_refused(store: SQLiteStore, field: str) -> None:
    ids: dict[str, Any] = {"run_id": "run-1", "writer_id": "w", field: "\ud800"}
    with pytest.raises(InvalidValueError, match=field):
        WriterScript(**ids).run().send(store)


def test_checkpoints_of_a_long_run_are_thinned(store: SQLiteStore) -> None:
    script = WriterScript("run-1").run()
    for number in range(300):
        script.points("loss", [float(number)]).tags(step=str(number)).send(store)
    with store.database.reading() as connection:
        (count, size) = connection.execute("SELECT count(*), sum(length(records)) FROM checkpoints").fetchone()
    assert count <= 65
    assert size == 12 * (2 + 300), "RUN, KEY and every TAGS; points are compared themselves"
    store.append(script.batches()[0])  # all of it again: between checkpoints, too, it is recognised
    for batch in script.batches(*[7] * 20):
        store.append(batch)
    assert len(store.series("run-1", "loss")) == 300


def test_of_a_segment_that_has_ended_one_checkpoint_stays(store: SQLiteStore) -> None:
    script = WriterScript("run-1").run().points("loss", range(40))
    batches = script.batches(*[5] * 8)
    for number, batch in enumerate(batches):
        segment = batches[number - number % 3].first
        store.append(replace(batch, writer=replace(batch.writer, first=segment)))
    with store.database.reading() as connection:
        rows = connection.execute("SELECT sequence, is_segment_end FROM checkpoints ORDER BY sequence").fetchall()
    ends = [(batches[2].last, 1), (batches[5].last, 1)]
    assert rows == [*ends, *((batch.last, 0) for batch in batches[6:])]


@pytest.mark.parametrize("settle", [False, True])
def test_what_two_histories_have_in_common_is_found_exactly(store: SQLiteStore, settle: bool) -> None:
    """Whatever the cut, wherever they part: among points, chunks, frames and rejected points."""
    script = WriterScript("run-1").run()
    for number in range(60):
        script.points("loss", [number / 7] * 60).tags(at=str(number)).point(99, 0, 1.0)
    for batch in script.batches(*[700] * 3):
        store.append(batch)
    if settle:
        store.settle("run-1")
    rng = random.Random(10)
    before = len(store.series("run-1", "loss"))
    for _ in range(25):
        at = rng.randrange(1, len(script.records))
        other = WriterScript("run-1", script.header.writer_id)
        for _, record in script.records[:at]:
            other.record(record)
        common = other.last
        other._keys = dict(script._keys)
        other.points("loss", [1.5] * 20).tags(other="history").point(98, 0, 1.0)
        first = script.records[rng.randrange(0, at)][0]
        with pytest.raises(DivergedError) as caught:
            store.append(other.between(first, other.last))
        assert caught.value.common == common
        assert caught.value.keys == ({1: "loss"} if common >= script.records[1][0] else {})
    assert len(store.series("run-1", "loss")) == before


def test_late_records_of_a_run_that_is_gone_for_good_are_not_compared(store: SQLiteStore) -> None:
    script = WriterScript("run-1").run().points("loss", range(10)).event(Kind.TRASH, {"deleted": True})
    script.send(store)
    store.gc()
    assert store.append(script.between(3, 8)) == script.last
