"""Threads: every method may be called from any of them at any time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from mlops_sdk.entities import PARTS, RunQuery
from mlops_sdk.journal.records import Kind
from mlops_sdk.testing.batches import Clock, WriterScript
from mlops_sdk.testing.contract.base import StoreCase, edit, ids, known, part, started
from mlops_sdk.testing.observing import observe

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

THREADS = 8


def at_once(*tasks: Callable[[], object]) -> None:
    """Run `tasks` in a thread each, begun together; raises what the first of them raised."""
    barrier = threading.Barrier(len(tasks))

    def begin(task: Callable[[], object]) -> object:
        barrier.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        for future in [pool.submit(begin, task) for task in tasks]:
            future.result()


class Concurrency(StoreCase):
    """What "thread-safe" means."""

    def test_threads_append_for_writers_of_their_own(self, store: Store, clock: Clock) -> None:
        started(store, clock=clock)
        scripts = [
            WriterScript("run-1", f"w{n}", clock=Clock(clock.now_ns), role="attached", rank=n) for n in range(THREADS)
        ]

        def write(script: WriterScript) -> None:
            script.run()
            for _ in range(5):
                script.points("shared", [1.0] * 20).points(f"of {script.header.writer_id}", [2.0] * 5)
                assert script.send(store) == script.last

        at_once(*(lambda script=script: write(script) for script in scripts))
        assert [known(store, script).sequence for script in scripts] == [script.last for script in scripts]
        shared = store.series("run-1", "shared", rank="all")
        assert shared.rank is not None
        assert [shared.rank.tolist().count(rank) for rank in range(THREADS)] == [100] * THREADS
        counts = {key: summary.count for key, summary in part(store, "metrics").items()}
        assert counts == {"shared": 100 * THREADS, **{f"of w{n}": 25 for n in range(THREADS)}}

    def test_threads_append_the_same_batch(self, store: Store) -> None:
        script = WriterScript("run-1")
        for number in range(10):
            (script if number else script.run()).points("loss", [float(number)] * 10)
            batch = script.batch()
            answers: list[int] = []
            at_once(*[lambda batch=batch, to=answers: to.append(store.append(batch))] * 3)
            assert answers == [batch.last] * 3
        assert store.series("run-1", "loss").value.tolist() == [float(number // 10) for number in range(100)]
        assert part(store, "metrics")["loss"].count == 100

    def test_threads_start_runs_of_one_new_experiment(self, store: Store) -> None:
        scripts = [WriterScript(f"run-{n}").run(experiment="new") for n in range(THREADS)]
        at_once(*(lambda script=script: script.send(store) for script in scripts))
        assert [(each.name, each.n_runs) for each in store.experiments()] == [("new", THREADS)]
        assert sorted(ids(store)) == [f"run-{n}" for n in range(THREADS)]

    def test_readers_see_whole_batches_while_others_write(self, store: Store, clock: Clock) -> None:
        script = started(store, clock=clock).points("loss", [0.0] * 10)
        script.send(store)
        is_done = threading.Event()

        def write() -> None:
            try:
                for number in range(1, 30):
                    script.points("loss", [float(number)] * 10).tags(number=str(number)).send(store)
                    edit(store, "run-1", Kind.TRASH, {"deleted": number % 2 == 1}, clock=clock)
            finally:
                is_done.set()

        def read() -> None:
            seen = 0
            while not is_done.is_set():
                series = store.series("run-1", "loss")
                assert len(series) in range(seen, 301, 10)
                assert series.value.tolist() == [float(number // 10) for number in range(len(series))]
                seen = len(series)
                loaded = store.load(["run-1"], PARTS)["run-1"]
                assert loaded.metrics["loss"].count >= seen
                assert len(store.find(RunQuery(deleted=None))) == 1
                assert len(store.experiments()) == 1

        at_once(write, read, read)
        assert len(store.series("run-1", "loss")) == 300

    def test_blobs_are_put_by_several_threads(self, store: Store) -> None:
        data = [bytes([number]) * 10_000 for number in range(5)]
        digests: list[list[str]] = []

        def put() -> None:
            digests.append([store.blobs.put_bytes(each).sha256 for each in data])

        at_once(*[put] * THREADS)
        assert digests == [digests[0]] * THREADS
        assert sorted(store.blobs.digests()) == sorted(digests[0])
        assert [store.blobs.path(digest).read_bytes() for digest in digests[0]] == data

    def test_what_can_be_read_is_the_same_from_every_thread(self, store: Store, clock: Clock) -> None:
        for number in range(3):
            script = started(store, f"run-{number}", clock=clock).params({"n": number})
            script.points("loss", [0.5, 1.0]).send(store)
        seen: list[object] = []
        at_once(*[lambda: seen.append(observe(store))] * 4)
        assert seen == [seen[0]] * 4
