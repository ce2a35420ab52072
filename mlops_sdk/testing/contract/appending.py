"""`append`: all or none, by number, total; and what a store remembers of a writer."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops_sdk.courier import diverged
from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import DivergedError, SequenceGapError, StoreCorruptError
from mlops_sdk.journal.records import SLOT_BYTES, Batch, Kind, decode, encode_frame, extend_chain
from mlops_sdk.stores.protocol import Blobs
from mlops_sdk.testing.batches import Clock, WriterScript
from mlops_sdk.testing.contract.base import StoreCase, assert_same, copy_of, head, known, part, started
from mlops_sdk.testing.observing import observe

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

DIGEST = "0" * 64

CANNOT_BE_APPLIED: list[tuple[int, Any]] = [
    (Kind.RUN, {"experiment": 5}),
    (Kind.RUN, {"experiment": "tests", "from_step": "first"}),
    (Kind.RUN, {"experiment": "tests", "from_step": 2**70}),
    (Kind.PARAMS, {"params": "lr"}),
    (Kind.PARAMS, {"params": [["lr"]]}),
    (Kind.PARAMS, {"params": [["lr", "int", "many", None]]}),
    (Kind.PARAMS, {"params": [["lr", "quaternion", "1", None]]}),
    (Kind.PARAMS, {"params": [["lr", "json", "[" * 100_000, None]]}),
    (Kind.PARAMS, {"params": [["lr", "int", "9" * 5_000, None]]}),
    (Kind.TAGS, {"set": ["a"]}),
    (Kind.TAGS, {"set": {"a": {"b": 1}}}),
    (Kind.TAGS, {"set": {"a": "\ud800"}}),
    (Kind.TAGS, {"set": {"\udfff": "lone surrogate"}}),
    (Kind.TAGS, {"delete": 5}),
    (Kind.INFO, {"name": 5}),
    (Kind.INFO, {"description": "\ud800"}),
    (Kind.ARTIFACT, {}),
    (Kind.ARTIFACT, {"path": "a", "sha256": DIGEST, "size_bytes": 2**70}),
    (Kind.ARTIFACT, {"path": "a", "sha256": DIGEST, "size_bytes": 1, "step": "last"}),
    (Kind.DEFINE, {}),
    (Kind.DEFINE, {"key": "loss", "mode": "up"}),
    (Kind.STATUS, {}),
    (Kind.STATUS, {"status": "ASLEEP"}),
    (Kind.ENVIRONMENT, {"packages": "numpy"}),
    (Kind.ENVIRONMENT, {"git": 5}),
    (Kind.DROPPED, {}),
    (Kind.DROPPED, {"total": "all"}),
    (Kind.DROPPED, {"total": 2**70}),
    (Kind.LOST, {}),
    (Kind.LOST, {"writer": "nobody", "status": "KILLED"}),
    (Kind.TRASH, {}),
    (Kind.TRASH, {"deleted": "perhaps"}),
    (Kind.EXPERIMENT, {}),
    (Kind.EXPERIMENT, {"name": None}),
    (Kind.WARNING, {}),
    (Kind.WARNING, {"cause": "c", "count": 2**70, "message": "m"}),
    (Kind.DATASET, [1, 2]),
    (Kind.TAGS, ["set"]),
    (Kind.TAGS, "set"),
    (Kind.STATUS, None),
    (999, {}),
    (0x7FFF_FFFF, {"of": "a later version"}),
]
"""Records whose bytes are sound and that make no sense."""

UNREADABLE_KEYS: list[Any] = [
    *({}, [9, "loss"], {"id": "one", "name": "loss"}, {"id": 9}, {"name": "loss"}),
    *({"id": 2**70, "name": "loss"}, {"id": -1, "name": "loss"}, {"id": 9, "name": "\ud800"}),
]


def damaged(batch: Batch) -> dict[str, Batch]:
    """Variants of `batch` that are not the sound records they claim to be."""

    def with_data(data: bytes) -> Batch:
        return dataclasses.replace(batch, data=data)

    data = batch.data
    return {
        "a bit in the first record": with_data(data[:20] + bytes([data[20] ^ 1]) + data[21:]),
        "a bit in the last checksum": with_data(data[:-1] + bytes([data[-1] ^ 0x80])),
        "a byte short": with_data(data[:-1]),
        "half a slot short": with_data(data[: -SLOT_BYTES // 2]),
        "an unwritten slot behind": with_data(data + bytes(SLOT_BYTES)),
        "an unwritten slot before": with_data(bytes(SLOT_BYTES) + data),
        "another writer's": dataclasses.replace(batch, writer=WriterScript("run-1", "somebody else").header),
    }


def deliver(store: Store, script: WriterScript, *sizes: int) -> None:
    """All that a writer has, in batches of so many records, as whoever finds its journal does."""
    diverged.deliver(store, lambda _: script.batches(*sizes), script.header.writer_id)


class Appending(StoreCase):
    """What `Store.append`, `acknowledged` and `close` owe."""

    def test_a_store_tells_what_it_is(self, store: Store) -> None:
        assert [type(store.uri), type(store.store_id), type(store.is_remote)] == [str, str, bool]
        assert "" not in (store.uri, store.store_id)
        assert isinstance(store.blobs, Blobs)

    def test_two_stores_have_ids_of_their_own(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        other = self.open_store(tmp_path / "other")
        assert other.store_id != store.store_id
        other.close()

    def test_append_returns_up_to_where_the_writer_is_stored(self, store: Store) -> None:
        script = WriterScript("run-1").run(description="long enough for several slots " * 5).points("loss", [1.0, 2.0])
        batch = script.batch()
        assert store.append(batch) == batch.last == script.last
        assert known(store, script).sequence == script.last

    def test_nothing_is_known_of_an_unknown_writer(self, store: Store) -> None:
        assert store.acknowledged("nobody") is None

    def test_the_same_batch_again_changes_nothing(self, store: Store) -> None:
        script = WriterScript("run-1").run().params({"lr": 0.1}).points("loss", [1.0, 2.0])
        script.event(Kind.ARTIFACT, {"path": "a", "sha256": DIGEST, "size_bytes": 3}).event(Kind.DATASET, {"name": "d"})
        batch = script.batch()
        store.append(batch)
        before = observe(store)
        assert store.append(batch) == batch.last
        assert store.append(script.between(1, 3)) == batch.last
        assert observe(store) == before

    def test_a_batch_from_beyond_is_refused_with_the_number_expected(self, store: Store) -> None:
        script = WriterScript("run-1").run().points("loss", range(10))
        first, second, third = script.batches(4, 4)
        store.append(first)
        before = observe(store)
        with pytest.raises(SequenceGapError) as caught:
            store.append(third)
        assert caught.value.expected == first.last + 1
        assert observe(store) == before
        store.append(second)
        assert store.append(third) == script.last
        assert store.series("run-1", "loss").value.tolist() == list(range(10))

    def test_a_first_batch_from_beyond_makes_no_run(self, store: Store) -> None:
        script = WriterScript("run-1").run().run().points("loss", [1.0])
        with pytest.raises(SequenceGapError) as caught:
            store.append(script.batches(1)[1])
        assert caught.value.expected == 1
        assert store.acknowledged(script.header.writer_id) is None
        assert store.find(RunQuery(deleted=None)) == []

    def test_of_a_batch_that_overlaps_only_the_new_records_are_applied(self, store: Store) -> None:
        script = WriterScript("run-1").run().points("loss", [1.0, 2.0, 3.0])
        store.append(script.batches(4)[0])
        script.event(Kind.DATASET, {"name": "d"}).points("loss", [4.0])
        assert store.append(script.batches()[0]) == script.last
        assert store.series("run-1", "loss").value.tolist() == [1.0, 2.0, 3.0, 4.0]
        assert [dataset["name"] for dataset in part(store, "datasets")] == ["d"]

    def test_records_are_told_apart_by_number_and_never_by_content(self, store: Store) -> None:
        script = started(store)
        key_id = script.key("loss")
        for _ in range(3):
            script.point(key_id, 7, 1.0, time_ns=script.clock.now_ns)
        script.send(store)
        assert store.series("run-1", "loss").value.tolist() == [1.0, 1.0, 1.0]

    def test_another_history_under_the_same_numbers_is_refused_with_what_is_common(self, store: Store) -> None:
        script = started(store).points("loss", [1.0, 2.0]).tags(a="b")
        script.send(store)
        common = script.last
        copy = copy_of(script)
        script.points("first", [3.0]).points("loss", [4.0]).send(store)
        copy.points("second", [5.0]).points("loss", [6.0]).tags(c="d")
        before = observe(store)
        for first in (1, script.records[1][0], common + 1):
            with pytest.raises(DivergedError) as caught:
                store.append(copy.between(first, copy.last))
            assert (caught.value.common, caught.value.keys) == (common, {1: "loss"})
        assert observe(store) == before
        assert script.points("loss", [7.0]).send(store) == script.last

    def test_another_history_from_the_first_record_on_has_nothing_in_common(self, store: Store) -> None:
        script = started(store).points("loss", [1.0])
        script.send(store)
        impostor = WriterScript("run-1", script.header.writer_id).run(name="another")
        with pytest.raises(DivergedError) as caught:
            store.append(impostor.batch())
        assert (caught.value.common, caught.value.keys) == (0, {})
        assert head(store).name == "name of run-1"

    def test_a_copy_that_went_less_far_is_the_same_history(self, store: Store) -> None:
        script = started(store).points("loss", range(20)).tags(a="b")
        script.send(store)
        for first, last in ((1, 9), (5, 12), (1, script.last)):
            assert store.append(script.between(first, last)) == script.last
        assert len(store.series("run-1", "loss")) == 20

    def test_what_two_histories_disagree_on_is_delivered_as_a_branch(self, store: Store) -> None:
        script = started(store).points("loss", [1.0, 2.0])
        script.send(store)
        copies = [copy_of(script), copy_of(script)]
        script.points("first", [3.0]).points("loss", [4.0]).send(store)
        copies[0].points("second", [5.0]).points("loss", [6.0]).status("FAILED")
        copies[1].points("third", [8.0])
        for copy in [*copies, copies[0]]:
            for sizes in ((), (2,), (4, 1, 1)):
                deliver(store, copy, *sizes)
        deliver(store, copies[0].points("loss", [7.0]), 3)
        found = {key: store.series("run-1", key, rank="all").value.tolist() for key in part(store, "metrics")}
        assert found == {"loss": [1.0, 2.0, 4.0, 6.0, 7.0], "first": [3.0], "second": [5.0], "third": [8.0]}
        assert store.series("run-1", "loss").value.tolist() == [1.0, 2.0, 4.0], "the owner's is the run's"
        assert (head(store).status, len(part(store, "writers"))) == ("RUNNING", 3)

    def test_damaged_bytes_write_nothing(self, store: Store) -> None:
        script = WriterScript("run-1").run().tags(a="b").points("loss", [1.0, 2.0])
        batch = script.batch()
        for wrong in damaged(batch).values():
            with pytest.raises(StoreCorruptError):
                store.append(wrong)
        assert store.acknowledged(script.header.writer_id) is None
        assert store.find(RunQuery(deleted=None)) == []
        assert store.append(batch) == script.last

    def test_a_damaged_record_takes_back_those_before_it(self, store: Store) -> None:
        script = started(store)
        before = observe(store)
        script.tags(a="b").points("loss", [1.0, 2.0])
        whole = script.batch()
        with pytest.raises(StoreCorruptError):
            store.append(dataclasses.replace(whole, data=whole.data[:-1] + bytes([whole.data[-1] ^ 1])))
        assert observe(store) == before
        assert store.append(whole) == script.last

    def test_a_record_that_cannot_be_applied_is_acknowledged_and_the_rest_goes_on(
        self, store: Store, clock: Clock
    ) -> None:
        troubles = []
        for number, (kind, payload) in enumerate(CANNOT_BE_APPLIED):
            run_id = f"run-{number}"
            script = WriterScript(run_id, clock=clock).run().tags(before="is kept").event(kind, payload)
            script.tags(after="is kept").points("accuracy", [0.5])
            try:
                assert script.send(store) == script.last
                assert part(store, "tags", run_id).items() >= {"before": "is kept", "after": "is kept"}.items()
                assert part(store, "metrics", run_id)["accuracy"].last == 0.5
                seen = head(store, run_id)
                assert (seen.status, seen.experiment, seen.is_deleted) == ("RUNNING", "tests", False)
            except Exception as error:  # noqa: BLE001 - all records are tried, and reported together
                troubles.append(f"{kind}, {str(payload)[:60]}: {type(error).__name__}: {str(error)[:100]}")
        assert troubles == []
        assert len(observe(store)["runs"]) == len(CANNOT_BE_APPLIED)

    def test_a_payload_that_is_no_json_is_acknowledged(self, store: Store) -> None:
        script = started(store)
        seed = script.header.seed
        for text in (b'{"set":,}', b"\xff" * 9, b"[" * 9, b" " * 9):
            body = encode_frame(Kind.TAGS, 0, {"a": "1"}, seed)[:-4].replace(b'{"a":"1"}', text)
            script.record(body + zlib.crc32(body, seed).to_bytes(4, "little"))
        assert script.tags(after="is kept").send(store) == script.last
        assert part(store, "tags") == {"after": "is kept"}

    def test_a_key_that_cannot_be_read_is_acknowledged(self, store: Store) -> None:
        script = started(store)
        for payload in UNREADABLE_KEYS:
            script.event(Kind.KEY, payload)
        assert script.points("accuracy", [0.5]).send(store) == script.last
        assert part(store, "metrics")["accuracy"].last == 0.5

    def test_a_point_of_an_unknown_key_is_acknowledged(self, store: Store) -> None:
        script = started(store).point(77, 0, 1.0).points("loss", [2.0])
        assert script.send(store) == script.last
        assert list(part(store, "metrics")) == ["loss"]

    @pytest.mark.parametrize("count", [10, 5000])
    def test_among_many_points_only_those_of_unknown_keys_are_left_out(self, store: Store, count: int) -> None:
        script = started(store)
        for key_id, name in ((1, "one"), (2**31 - 1, "greatest")):
            script.event(Kind.KEY, {"id": key_id, "name": name})
        for number in range(count):
            script.point([1, 2**31 - 1, 7, 2**31 - 2][number % 4], number, float(number))
        assert script.send(store) == script.last
        assert sorted(part(store, "metrics")) == ["greatest", "one"]
        assert store.series("run-1", "one").value.tolist() == [*range(0, count, 4)]
        assert store.series("run-1", "greatest").value.tolist() == [*range(1, count, 4)]

    def test_a_record_may_be_nearly_a_mebibyte_long(self, store: Store) -> None:
        text = "\U0001f525" * 250_000
        script = started(store).event(Kind.DATASET, {"name": text}).points("loss", [1.0])
        script.send(store)
        script.tags(long=text[:-1]).send(store)
        assert list(part(store, "datasets")) == [{"name": text}]
        assert part(store, "tags") == {"long": text[:-1]}
        assert part(store, "metrics")["loss"].last == 1.0

    def test_an_edit_of_a_run_that_is_not_there_is_acknowledged(self, store: Store) -> None:
        script = WriterScript("run-1", "an editor", role="editor").tags(a="b")
        assert script.send(store) == script.last
        assert store.find(RunQuery(deleted=None)) == []

    def test_nothing_depends_on_how_records_were_cut_into_batches(self, store: Store, tmp_path: Path) -> None:
        script = WriterScript("run-1").run().params({"lr": 0.1, "depth": 3})
        for step in range(20):
            script.points(f"metric {step % 3}", [step / 3]).tags(step=str(step))
        script.event(Kind.WARNING, {"cause": "c", "count": 1, "message": "m"}).status()
        store.append(script.batch())
        checksums = [int(checksum) for checksum in decode(script.batches()[0]).checksums]
        assert known(store, script).chain == extend_chain(0, checksums)
        for sizes in ([1] * len(script.records), [5, 1, 13], [30]):
            directory = tmp_path / f"cut into {len(sizes)}"
            directory.mkdir()
            other = self.open_store(directory)
            for batch in script.batches(*sizes):
                other.append(batch)
            assert_same(store, other)
            assert known(other, script) == known(store, script)
            other.close()

    def test_the_names_of_keys_are_kept_for_later_batches(self, store: Store) -> None:
        script = started(store).points("loss", [1.0])
        script.send(store)
        script.points("loss", [2.0]).points("accuracy", [0.5]).send(store)
        script.points("accuracy", [0.75]).send(store)
        assert store.series("run-1", "loss").value.tolist() == [1.0, 2.0]
        assert store.series("run-1", "accuracy").value.tolist() == [0.5, 0.75]

    def test_key_ids_belong_to_their_writer(self, store: Store, clock: Clock) -> None:
        one = started(store, writer_id="one", clock=clock)
        two = started(store, writer_id="two", clock=clock, role="attached")
        assert one.key("loss") == two.key("accuracy")
        one.points("loss", [1.0]).send(store)
        two.points("accuracy", [0.5]).send(store)
        assert {key: summary.last for key, summary in part(store, "metrics").items()} == {"loss": 1.0, "accuracy": 0.5}

    def test_two_key_ids_of_one_name_are_one_metric(self, store: Store) -> None:
        script = started(store)
        for key_id in (3, 9):
            script.event(Kind.KEY, {"id": key_id, "name": "loss"}).point(key_id, key_id, float(key_id))
        script.send(store)
        assert store.series("run-1", "loss").value.tolist() == [3.0, 9.0]

    def test_a_large_batch_with_events_in_between(self, store: Store) -> None:
        script = WriterScript("run-1").run()
        for part_of in range(4):
            script.points("loss", (float(value) for value in range(1500))).tags(part=str(part_of))
        store.append(script.batch())
        assert store.series("run-1", "loss").value.tolist() == [*range(1500)] * 4
        assert part(store, "tags") == {"part": "3"}
        summary = part(store, "metrics")["loss"]
        assert (summary.count, summary.last, summary.last_step, summary.max_step) == (6000, 1499.0, 5999, 1499)

    def test_what_a_writer_says_of_itself_is_kept(self, store: Store) -> None:
        script = WriterScript("run-1", "w", role="attached", rank=3, host="h1", boot_id="b1", pid=4711).run()
        script.points("loss", [1.0]).event(Kind.DROPPED, {"total": 12}).event(Kind.HEARTBEAT, {}).send(store)
        state = known(store, script)
        assert (state.writer_id, state.run_id, state.role, state.rank) == ("w", "run-1", "attached", 3)
        assert (state.host, state.boot_id, state.pid, state.dropped) == ("h1", "b1", 4711, 12)
        assert (state.heard_ns, state.end_status, state.attempt) == (script.clock.now_ns, None, 0)
        assert part(store, "writers") == [state] or part(store, "writers") == (state,)

    def test_what_was_appended_is_there_when_the_store_is_opened_again(self, tmp_path: Path) -> None:
        if not self.survives_reopen:
            pytest.skip("this store lives as long as its object")
        store = self.open_store(tmp_path)
        script = started(store).params({"lr": 0.1}).points("loss", [1.0, float("nan"), -0.0]).tags(a="b")
        script.send(store)
        blob = store.blobs.put_bytes(b"data")
        before, state = observe(store), known(store, script)
        store.close()
        again = self.open_store(tmp_path)
        assert again.store_id == store.store_id
        assert (observe(again), known(again, script)) == (before, state)
        assert again.blobs.has(blob.sha256)
        script.points("loss", [2.0]).send(again)
        assert len(again.series("run-1", "loss")) == 4
        again.close()

    def test_two_objects_over_one_store_see_each_others_writes(self, tmp_path: Path) -> None:
        if not self.survives_reopen:
            pytest.skip("this store lives as long as its object")
        one, two = self.open_store(tmp_path), self.open_store(tmp_path)
        script = started(one).points("loss", [1.0])
        script.send(two)
        assert one.series("run-1", "loss").value.tolist() == [1.0]
        script.points("loss", [2.0]).send(one)
        assert two.series("run-1", "loss").value.tolist() == [1.0, 2.0]
        assert known(one, script) == known(two, script)
        one.close()
        two.close()

    def test_settling_changes_nothing_that_can_be_read(self, store: Store) -> None:
        script = started(store).points("loss", [1.0, float("nan"), -0.0] * 50).status()
        script.send(store)
        before = observe(store)
        store.settle("run-1")
        store.settle("a run that is not there")
        assert observe(store) == before
        script.points("loss", [2.0]).send(store)
        assert len(store.series("run-1", "loss")) == 151

    def test_close_may_be_called_twice(self, tmp_path: Path) -> None:
        store = self.open_store(tmp_path)
        started(store)
        store.close()
        store.close()
