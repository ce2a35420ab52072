"""Housekeeping of the SQLite store: deleting for good, finding damage, copying."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_sdk.entities import PARTS, RunQuery
from mlops_sdk.errors import InvalidValueError, StoreCorruptError
from mlops_sdk.journal.records import Kind
from mlops_sdk.stores.sqlite import maintenance
from mlops_sdk.stores.sqlite.schema import OF_RUN, SCHEMA_VERSION
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import Clock, WriterScript, differences, observe


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "store")
    yield store
    store.close()


def full_run(store: SQLiteStore, run_id: str, *, clock: Clock | None = None, content: bytes = b"bytes") -> WriterScript:
    """A run with something in every table."""
    blob = store.blobs.put_bytes(content)
    script = WriterScript(run_id, clock=clock).run(parent="parent").params({"lr": 0.1}, config={"lr": 0.1})
    script.params({"lr": 0.2}, overwrite=True).params({"lr": 0.3}).tags(a="b")
    script.points("loss", [float(number % 7) for number in range(3000)]).points("acc", [0.5])
    script.event(Kind.ARTIFACT, {"path": "a.txt", "sha256": blob.sha256, "size_bytes": blob.size_bytes})
    script.event(Kind.DATASET, {"name": "d"}).event(Kind.DEFINE, {"key": "loss", "mode": "min"})
    script.event(Kind.ENVIRONMENT, {"packages": {"digest": f"packages of {run_id}"}, "argv": []})
    script.event(Kind.WARNING, {"cause": "c", "count": 1, "message": "m"})
    script.send(store)
    again = WriterScript(run_id, f"{run_id} again", clock=clock).run(from_step=2000).points("loss", [1.0], steps=[2000])
    again.status().send(store)
    return script


def trash(store: SQLiteStore, run_id: str, *, deleted: bool = True, time_ns: int | None = None) -> None:
    editor = WriterScript(run_id, f"editor {run_id} {deleted} {time.monotonic_ns()}", role="editor")
    editor.event(Kind.TRASH, {"deleted": deleted}, time_ns=time_ns).send(store)


def write(store: SQLiteStore, *statements: str) -> None:
    """Change the database behind the store's back."""
    store.close()
    connection = sqlite3.connect(store.directory / "store.db", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def count(store: SQLiteStore, sql: str) -> int:
    with store.database.reading() as connection:
        return int(connection.execute(sql).fetchone()[0])


# -- gc ----------------------------------------------------------------------------------------------------------------


def test_gc_deletes_every_trace_of_a_run_in_the_trash(store: SQLiteStore) -> None:
    full_run(store, "kept", content=b"kept")
    before = observe(store)
    kept_rows = {table: count(store, f"SELECT count(*) FROM {table}") for table in (*OF_RUN, "packages", "writer_keys")}
    full_run(store, "gone", content=b"gone" * 50_000)
    trash(store, "gone")
    report = store.gc(grace_s=0)
    assert (report.runs, report.blobs, report.blob_bytes) == (1, 1, 200_000)
    assert differences(before, observe(store)) == []
    after = {table: count(store, f"SELECT count(*) FROM {table}") for table in kept_rows}
    assert after == kept_rows
    assert count(store, "SELECT count(*) FROM rejected") == 1
    assert store.fsck() == []
    assert store.gc(grace_s=0) == maintenance.GcReport(0, 0, 0, 0)


def test_gc_frees_the_disk(store: SQLiteStore) -> None:
    script = WriterScript("run-1").run()
    script.tags(**{f"tag {number}": "x" * 50_000 for number in range(15)}).send(store)
    store.reclaim()
    size = (store.directory / "store.db").stat().st_size
    trash(store, "run-1")
    report = store.gc()
    assert report.database_bytes > 700_000
    assert (store.directory / "store.db").stat().st_size < size - 700_000
    assert store.stats().free_bytes == 0


def test_gc_leaves_what_was_restored_or_deleted_later(store: SQLiteStore) -> None:
    clock = Clock()
    for run_id in ("restored", "deleted early", "deleted late"):
        full_run(store, run_id, clock=clock)
    trash(store, "restored")
    trash(store, "restored", deleted=False)
    trash(store, "deleted early", time_ns=1_000)
    trash(store, "deleted late", time_ns=2_000)
    assert store.gc(before_ns=2_000).runs == 1
    assert sorted(head.run_id for head in store.find(RunQuery(deleted=None))) == ["deleted late", "restored"]


def test_gc_keeps_bytes_that_are_young_or_that_journals_refer_to(store: SQLiteStore) -> None:
    store.open()
    young, referred, loose = (store.blobs.put_bytes(text) for text in (b"young", b"referred", b"loose"))
    assert store.gc().blobs == 0
    assert store.gc(referenced=lambda: [referred.sha256, young.sha256], grace_s=0).blobs == 1
    assert [store.blobs.has(blob.sha256) for blob in (young, referred, loose)] == [True, True, False]
    assert store.gc(referenced=[young.sha256], grace_s=0).blobs == 1
    assert list(store.blobs.digests()) == [young.sha256]


def test_late_records_of_a_run_that_is_gone_for_good_are_acknowledged(store: SQLiteStore) -> None:
    script = full_run(store, "run-1")
    trash(store, "run-1")
    store.gc()
    script.points("loss", [1.0]).tags(a="c").event(Kind.HEARTBEAT, {})
    assert script.send(store) == script.last
    late = WriterScript("run-1", "late").run().points("loss", [1.0])
    assert late.send(store) == late.last
    assert store.find(RunQuery(deleted=None)) == []
    assert count(store, "SELECT count(*) FROM tails") == 0
    assert store.fsck() == []


def test_the_id_of_a_run_that_is_gone_for_good_can_be_used_again(store: SQLiteStore) -> None:
    full_run(store, "run-1")
    trash(store, "run-1")
    store.gc()
    anew = WriterScript("run-1", "anew", clock=Clock(time.time_ns() + 10**9)).run(name="anew").points("loss", [5.0])
    anew.send(store)
    (head,) = store.find(RunQuery())
    assert head.name == "anew"
    assert store.series("run-1", "loss").value.tolist() == [5.0]


# -- fsck --------------------------------------------------------------------------------------------------------------


def test_a_sound_store_has_no_problems(store: SQLiteStore) -> None:
    seen: list[tuple[int, int]] = []
    assert store.fsck() == []
    full_run(store, "run-1")
    store.settle("run-1")
    assert store.fsck(lambda done, total: seen.append((done, total))) == []
    assert seen == [(number, 4) for number in range(5)]


FLIP = (
    "UPDATE {0} SET points = substr(points, 1, 40) || x'{1}' || substr(points, 42) WHERE id = (SELECT max(id) FROM {0})"
)

DAMAGE: dict[str, tuple[list[str], str]] = {
    "a bit of a chunk": ([FLIP.format("chunks", "ff"), FLIP.format("chunks", "00")], "chunks, row"),
    "a bit of a tail": ([FLIP.format("tails", "ff"), FLIP.format("tails", "00")], "tails, row"),
    "a chunk's length": (["UPDATE chunks SET n = n + 1"], "chunks, row"),
    "a chunk cut short": (["UPDATE chunks SET points = substr(points, 1, 100)"], "chunks, row"),
    "an empty tail": (["UPDATE tails SET points = x''"], "tails, row"),
    "a lost chunk": (["DELETE FROM chunks"], "metric 'loss'"),
    "a summary's count": (["UPDATE metrics SET count = count + 1 WHERE count = 1"], "metric 'acc'"),
    "a summary's last": (["UPDATE metrics SET last = 0.25 WHERE count = 1"], "metric 'acc'"),
    "a summary's mean": (["UPDATE metrics SET mean = mean + 0.001"], "metric 'loss'"),
    "a lost summary": (["DELETE FROM metrics"], "metric 'loss'"),
    "params of no run": (["UPDATE params SET run = 77 WHERE run = 1"], "rows of table params"),
    "points of no run": (["UPDATE tails SET run = 77"], "rows of table tails"),
    "a chunk of no writer": (["UPDATE chunks SET writer = 77"], "chunks belong to a writer"),
    "a run of no experiment": (["UPDATE runs SET experiment = 77"], "runs belong to an experiment"),
    "packages that are gone": (["DELETE FROM packages"], "packages are there"),
    "points beyond what was acknowledged": (["UPDATE writers SET sequence = 1"], "points were acknowledged"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_every_kind_of_damage_is_found_and_placed(store: SQLiteStore, what: str) -> None:
    statements, expected = DAMAGE[what]
    full_run(store, "run-1")
    full_run(store, "sound")
    write(store, *statements)
    found = store.fsck()
    assert any(expected in problem.place or expected in problem.what for problem in found), found
    assert all(problem.advice and problem.what for problem in found)


def test_damage_of_one_run_leaves_the_others_readable(store: SQLiteStore) -> None:
    full_run(store, "sound")
    full_run(store, "damaged")
    write(store, FLIP.format("chunks", "ff"), FLIP.format("chunks", "00"))
    with pytest.raises(StoreCorruptError) as caught:
        store.series("damaged", "loss")
    assert "chunks, row" in caught.value.place
    assert "mlops fsck" in str(caught.value)
    assert len(store.series("sound", "loss")) == 2001
    assert store.series("damaged", "acc").value.tolist() == [0.5]
    assert len(store.load(["sound", "damaged"], PARTS)) == 2
    assert [problem.place for problem in store.fsck()] == [caught.value.place]


def test_a_damaged_page_is_found_and_placed(store: SQLiteStore) -> None:
    for number in range(30):
        mark = f"<{number}>" * 120
        WriterScript(f"run {number}").run().tags(**{f"{part}": mark for part in range(20)}).send(store)
    store.settle("run 0")
    path = store.directory / "store.db"
    data = bytearray(path.read_bytes())
    page = data.index(b"<17>" * 100) // 4096
    data[page * 4096 : page * 4096 + 100] = bytes(100)
    path.write_bytes(data)
    problems = store.fsck()
    assert any(problem.place.endswith("tags of run run 17") for problem in problems), problems
    assert not any("params of" in problem.place for problem in problems), problems
    damaged = [run for run in range(30) if not is_readable(store, f"run {run}")]
    assert 17 in damaged
    assert len(damaged) <= 8
    with pytest.raises(StoreCorruptError, match="mlops fsck") as caught:
        store.load(["run 17"], ["tags"])
    assert "run 17" in caught.value.place
    assert len(store.find(RunQuery())) == 30


def is_readable(store: SQLiteStore, run_id: str) -> bool:
    try:
        return len(store.load([run_id], ["tags"])[run_id].tags) == 20
    except StoreCorruptError:
        return False


def test_damaged_and_missing_bytes_of_artifacts_are_found(store: SQLiteStore) -> None:
    full_run(store, "run-1", content=b"one")
    full_run(store, "run-2", content=b"two")
    one, two = (store.load([run], ["artifacts"])[run].artifacts[0].sha256 for run in ("run-1", "run-2"))
    path = store.blobs.path(one, verify=False)
    path.chmod(0o600)
    path.write_bytes(b"owe")
    store.blobs.remove(two)
    assert sorted((problem.place, problem.what[:20]) for problem in store.fsck()) == [
        ("run run-1, artifact 'a.txt'", "its bytes have chang"),
        ("run run-2, artifact 'a.txt'", "its bytes are gone"),
    ]


def test_fsck_changes_nothing(store: SQLiteStore) -> None:
    full_run(store, "run-1")
    write(store, "UPDATE metrics SET count = 7")
    before = (store.directory / "store.db").read_bytes()
    assert store.fsck()
    store.close()
    assert (store.directory / "store.db").read_bytes() == before


# -- backup ------------------------------------------------------------------------------------------------------------


def test_a_backup_is_a_store_that_says_the_same(store: SQLiteStore, tmp_path: Path) -> None:
    full_run(store, "run-1")
    report = store.backup(tmp_path / "copy")
    assert (report.blobs, report.missing) == (1, ())
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["blobs", "store.db"]
    copy = SQLiteStore(tmp_path / "copy")
    assert differences(observe(store), observe(copy)) == []
    assert copy.store_id == store.store_id
    assert copy.fsck() == []
    WriterScript("run-2").run().points("loss", [1.0]).send(copy)
    assert len(store.find(RunQuery())) == 1
    copy.close()


def test_a_backup_is_of_one_moment(store: SQLiteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = full_run(store, "run-1")
    before = observe(store)

    def write_more(*arguments: Any) -> Any:
        script.points("loss", [99.0]).send(store)
        return copy_blobs(*arguments)

    copy_blobs = maintenance._copy_blobs
    monkeypatch.setattr(maintenance, "_copy_blobs", write_more)
    store.backup(tmp_path / "copy")
    copy = SQLiteStore(tmp_path / "copy")
    assert differences(before, observe(copy)) == []
    copy.close()


def test_a_backup_overwrites_nothing(store: SQLiteStore, tmp_path: Path) -> None:
    full_run(store, "run-1")
    store.backup(tmp_path / "copy")
    before = (tmp_path / "copy" / "store.db").read_bytes()
    with pytest.raises(InvalidValueError, match="already"):
        store.backup(tmp_path / "copy")
    assert (tmp_path / "copy" / "store.db").read_bytes() == before


def test_a_backup_of_a_damaged_store_is_refused(store: SQLiteStore, tmp_path: Path) -> None:
    full_run(store, "run-1")
    # an index that lacks a row
    write(
        store,
        "PRAGMA writable_schema=ON",
        "CREATE INDEX extra ON tags (value)",
        "UPDATE sqlite_schema SET sql = replace(sql, '(value)', '(key)') WHERE name = 'extra'",
    )
    assert any("index extra" in problem.what for problem in store.fsck())
    with pytest.raises(StoreCorruptError, match="copy is damaged"):
        store.backup(tmp_path / "copy")
    assert not (tmp_path / "copy" / "store.db").exists()


def test_a_backup_says_which_bytes_it_lacks(store: SQLiteStore, tmp_path: Path) -> None:
    full_run(store, "run-1")
    digest = store.load(["run-1"], ["artifacts"])["run-1"].artifacts[0].sha256
    store.blobs.remove(digest)
    assert store.backup(tmp_path / "copy").missing == (digest,)


def test_stats_count_what_is_there(store: SQLiteStore) -> None:
    full_run(store, "run-1")
    full_run(store, "run-2")
    trash(store, "run-2")
    stats = store.stats()
    assert (stats.runs, stats.deleted_runs, stats.experiments, stats.metrics) == (1, 1, 1, 4)
    assert (stats.points, stats.rejected, stats.blobs) == (2 * 3002, 2, 1)
    assert (stats.journal_mode, stats.schema_version) == ("wal", SCHEMA_VERSION)
    assert stats.database_bytes > 0
    assert stats.wal_bytes > 0
