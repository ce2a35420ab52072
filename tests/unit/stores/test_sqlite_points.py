"""Points in the SQLite store: bytes, tails, chunks, compaction."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_sdk.errors import StoreCorruptError, StoreVersionError
from mlops_sdk.journal.records import Batch, Kind, WriterHeader, encode_frame
from mlops_sdk.stores.sqlite import columns, points
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import Clock, WriterScript, differences, observe
from mlops_sdk.testing.batches import START_NS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "store")
    yield store
    store.close()


def many_points(n: int, *, keys: int = 1, seed: int = 0) -> tuple[list[Batch], Any, Any]:
    """Batches of a run "run-1" of 50,000 slots each, steps and values of all points; noisy as losses are."""
    header = WriterHeader("run-1", "w", clock_offset_ns=1_700_000_000_000_000_000)
    generator = np.random.default_rng(seed)
    number = np.arange(n)
    step, key = number // keys, 1 + number % keys
    value = np.exp(-step / 2e4) + generator.normal(0, 0.1, n)
    time = np.cumsum(generator.lognormal(6.8, 0.15, n).astype(np.int64))
    frames = [encode_frame(Kind.RUN, 0, {"experiment": "e"}, header.seed)]
    frames += [encode_frame(Kind.KEY, 0, {"id": k, "name": f"metric {k}"}, header.seed) for k in range(1, keys + 1)]
    batches = [Batch(header, 1, b"".join(frames))]
    for start in range(0, n, 50_000):
        part = slice(start, start + 50_000)
        batches.append(
            Batch(header, batches[-1].last + 1, slots_of(header, key[part], time[part], step[part], value[part]))
        )
    return batches, step, value


def slots_of(header: WriterHeader, key: Any, time: Any, step: Any, value: Any) -> bytes:
    body = np.zeros(len(step), np.dtype([("key", "<u4"), ("time", "<i8"), ("step", "<i8"), ("value", "<f8")]))
    for name, column in (("key", key), ("time", time), ("step", step), ("value", value)):
        body[name] = column
    records = body.view("V28")
    return b"".join(
        record.tobytes() + struct.pack("<I", zlib.crc32(record.tobytes(), header.seed)) for record in records
    )


def rows(store: SQLiteStore, sql: str) -> list[tuple[Any, ...]]:
    with store.database.reading() as connection:
        return connection.execute(sql).fetchall()


# -- columns -----------------------------------------------------------------------------------------------------------

STEP = np.array([-(2**63), -1, 0, 2**63 - 1] * 80)
VALUE = np.frombuffer(np.random.default_rng(1).bytes(8 * len(STEP)), np.float64)


@pytest.mark.parametrize("encode", [columns.encode_arrays, columns.compress])
def test_columns_come_back_bit_for_bit(encode: Any) -> None:
    blob = encode([STEP, VALUE])
    step, value = columns.decode(blob, "qd", place="here", n=len(STEP))
    assert np.array_equal(step, STEP)
    assert np.array_equal(value.view("u8"), VALUE.view("u8"))


def test_lists_and_arrays_are_the_same_bytes() -> None:
    from_lists = columns.encode_lists([("q", STEP.tolist()), ("d", VALUE.tolist())])
    assert from_lists == columns.encode_arrays([STEP, VALUE])


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_every_kind_of_float64_survives_compression(scale: float) -> None:
    patterns = np.arange(65536, dtype="u8") << 48
    patterns[::2] |= np.uint64(0x0000_DEAD_BEEF_0001)  # payloads of NaNs, lowest bits of subnormals
    smooth = np.round(np.arange(65536) * scale, 2)  # what pcodec has its cleverest modes for
    for values in (patterns.view("f8"), np.where(np.arange(65536) % 97 == 0, patterns.view("f8"), smooth)):
        (found,) = columns.decode(columns.compress([values]), "d", place="here", n=65536)
        assert np.array_equal(found.view("u8"), values.view("u8"))


@given(st.data())
def test_damaged_columns_are_noticed(data: st.DataObject) -> None:
    blob = columns.compress([STEP, VALUE]) if data.draw(st.booleans()) else columns.encode_arrays([STEP, VALUE])
    place = data.draw(st.integers(0, len(blob) - 1).filter(lambda number: number not in (2, 3)))  # these mean nothing
    flipped = bytearray(blob)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (bytes(flipped), blob[:place]):
        with pytest.raises((StoreCorruptError, StoreVersionError), match="chunk 7"):
            columns.decode(damaged, "qd", place="chunk 7", n=len(STEP))


@given(st.binary(max_size=200), st.booleans())
def test_whatever_bytes_are_refused_with_an_error_of_ours(body: bytes, compressed: bool) -> None:
    blob = struct.pack("<BBHI", 1 + compressed, 2, 0, zlib.crc32(body)) + body
    with pytest.raises(StoreCorruptError):
        columns.decode(blob, "qd", place="here", n=1000)


def test_columns_of_a_newer_format_are_named() -> None:
    blob = bytearray(columns.encode_arrays([STEP]))
    blob[0] = 9
    with pytest.raises(StoreVersionError, match="format 9"):
        columns.decode(bytes(blob), "q", place="here", n=len(STEP))


# -- tails and chunks --------------------------------------------------------------------------------------------------


def test_a_batch_of_many_metrics_is_one_row(store: SQLiteStore) -> None:
    script = WriterScript("run-1").run()
    for number in range(200):
        script.points(f"metric {number}", [float(number)])
    script.send(store)
    assert rows(store, "SELECT count(*), sum(n), max(is_merged) FROM tails") == [(1, 200, 0)]
    assert rows(store, "SELECT count(*) FROM chunks") == [(0,)]
    assert store.series("run-1", "metric 7").value.tolist() == [7.0]


def test_a_metric_with_many_points_in_a_batch_gets_a_chunk(store: SQLiteStore) -> None:
    batches, step, value = many_points(100_000)
    for batch in batches:
        store.append(batch)
    assert rows(store, "SELECT n, min_step, max_step FROM chunks ORDER BY id") == [
        (50_000, 0, 49_999),
        (50_000, 50_000, 99_999),
    ]
    assert rows(store, "SELECT count(*) FROM tails") == [(0,)]
    series = store.series("run-1", "metric 1")
    assert np.array_equal(series.step, step)
    assert np.array_equal(series.value, value)


def test_a_long_run_is_compacted_while_it_runs(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "TAIL_ROWS", 20)
    script = WriterScript("run-1").run()
    for number in range(100):
        script.points("loss", [float(number)] * 30).points(f"rare {number % 3}", [1.0]).send(store)
    (n_tails, n_fresh), *_ = rows(store, "SELECT count(*), sum(NOT is_merged) FROM tails")
    assert n_tails <= 25
    assert n_fresh <= 21
    assert rows(store, "SELECT count(*), sum(n) >= 1024 FROM chunks")[0] == (2, 1)
    assert store.series("run-1", "loss").value.tolist() == [float(number) for number in range(100) for _ in range(30)]
    assert len(store.series("run-1", "rare 1")) == 33


def test_many_small_chunks_become_few(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "TAIL_ROWS", 40)
    batches, step, value = many_points(120_000, keys=2)
    store.append(batches[0])
    for batch in batches[1:]:
        for start in range(0, len(batch.data), 2500 * 32):
            store.append(Batch(batch.writer, batch.first + start // 32, batch.data[start : start + 2500 * 32]))
    assert rows(store, "SELECT count(*) < 40 FROM chunks") == [(1,)]
    store.settle("run-1")
    assert rows(store, "SELECT metric, count(*), sum(n) FROM chunks GROUP BY metric") == [
        (1, 2, 60_000),
        (2, 2, 60_000),
    ]
    for key in (0, 1):
        series = store.series("run-1", f"metric {key + 1}")
        assert np.array_equal(series.value, value[key::2])
        assert np.array_equal(series.step, step[key::2])


def test_a_million_noisy_points_take_at_most_nine_bytes_each(tmp_path: Path) -> None:
    n = 300_000  # a million in the benchmark; the share of what is not points only falls
    store = SQLiteStore(tmp_path / "store")
    for batch in many_points(n)[0]:
        store.append(batch)
    store.settle("run-1")
    store.close()
    used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert used / n <= 9


def test_what_compaction_leaves_free_is_given_back(store: SQLiteStore) -> None:
    for batch in many_points(60_000, keys=100)[0]:
        for start in range(0, len(batch.data), 2000 * 32):
            store.append(Batch(batch.writer, batch.first + start // 32, batch.data[start : start + 2000 * 32]))
    assert store.stats().tails > 20
    store.settle("run-1")
    stats = store.stats()
    assert (stats.tails, stats.free_bytes) == (1, 0)
    assert stats.database_bytes / 60_000 < 13


@pytest.mark.parametrize("n", [100, 3_000])
def test_points_of_one_step_and_time_stay_in_the_order_of_the_log(store: SQLiteStore, n: int) -> None:
    script = WriterScript("run-1").run()
    for part in range(2):
        values = [float(value) for value in range(part * n, (part + 1) * n)]
        script.points(
            "loss", values, steps=[7] * n, times_ns=[script.clock.now_ns] * n if part == 0 else [START_NS] * n
        )
        script.send(store)
    expected = [*range(n, 2 * n), *range(n)]
    assert store.series("run-1", "loss").value.tolist() == expected
    store.compact("run-1")
    assert store.series("run-1", "loss").value.tolist() == expected
    assert store.fsck() == []


def test_chunks_that_overlap_are_read_in_the_order_of_the_log(store: SQLiteStore) -> None:
    script, n = WriterScript("run-1").run(), 0
    for size in (600, 3000, 600):  # tail, chunk, tail: compaction makes one chunk of what is before and behind another
        values = [float(value) for value in range(n, n + size)]
        script.points("loss", values, steps=[7] * size, times_ns=[START_NS] * size).send(store)
        n += size
    store.compact("run-1")
    (one, two) = rows(store, "SELECT first_sequence, last_sequence FROM chunks ORDER BY first_sequence")
    assert one[1] > two[0]
    assert store.series("run-1", "loss").value.tolist() == [*range(n)]
    store.settle("run-1")
    assert rows(store, "SELECT count(*) FROM chunks") == [(1,)]
    assert store.series("run-1", "loss").value.tolist() == [*range(n)]


def test_a_short_run_stays_as_it_is(store: SQLiteStore) -> None:
    script = WriterScript("run-1").run()
    for number in range(5):
        script.points("loss", [float(number)] * 100).send(store)
    before = rows(store, "SELECT * FROM tails")
    store.settle("run-1")
    assert rows(store, "SELECT * FROM tails") == before


def test_settling_again_rewrites_nothing(store: SQLiteStore) -> None:
    for batch in many_points(30_000, keys=40)[0]:
        store.append(batch)
    store.settle("run-1")
    before = rows(store, "SELECT id, points FROM tails UNION ALL SELECT id, points FROM chunks")
    store.settle("run-1")
    assert rows(store, "SELECT id, points FROM tails UNION ALL SELECT id, points FROM chunks") == before


PROGRAM = st.lists(
    st.tuples(
        st.sampled_from(["w1", "w2"]),
        st.sampled_from(["loss", "acc", "lr"]),
        st.lists(st.tuples(st.integers(-3, 9), st.integers(0, 2), st.floats(width=64)), min_size=1, max_size=12),
        st.sampled_from(["", "", "compact", "settle"]),
    ),
    min_size=1,
    max_size=10,
)


@pytest.mark.slow
@settings(max_examples=10)
@given(PROGRAM)
def test_compaction_changes_nothing_that_can_be_read(tmp_path_factory: pytest.TempPathFactory, program: Any) -> None:
    """Two stores are told the same; one compacts in between. Ties in step and time are frequent."""
    with pytest.MonkeyPatch.context() as patch:
        for name, size in {"CHUNK_FROM": 4, "CHUNK_POINTS": 10, "SMALL_CHUNK": 6, "MANY_CHUNKS": 2}.items():
            patch.setattr(points, name, size)
        patch.setattr(points, "LEAVE_POINTS", 1)
        patch.setattr(points, "_COMPRESS_FROM", 3)
        plain, compacted = (SQLiteStore(tmp_path_factory.mktemp("store")) for _ in range(2))
        clock = Clock()
        scripts = {name: WriterScript("run-1", name, clock=clock).run() for name in ("w1", "w2")}
        for name, key, logged, then in program:
            steps, times, values = zip(*logged, strict=True)
            batch = scripts[name].points(key, values, steps=steps, times_ns=times).batch()
            plain.append(batch)
            compacted.append(batch)
            if then:
                compacted.compact("run-1", final=then == "settle")
        assert differences(observe(plain), observe(compacted)) == []
        assert compacted.fsck() == []
        plain.close()
        compacted.close()


def test_a_reader_sees_one_state_while_points_move(store: SQLiteStore) -> None:
    for batch in many_points(30_000, keys=3)[0]:
        store.append(batch)
    with store.database.reading() as connection:
        connection.execute("SELECT count(*) FROM tails").fetchall()
        store.compact("run-1", final=True)
        inside = connection.execute("SELECT (SELECT sum(n) FROM tails), (SELECT sum(n) FROM chunks)").fetchone()
    assert (inside[0] or 0) + (inside[1] or 0) == 30_000
    assert len(store.series("run-1", "metric 1")) == 10_000


def test_a_rewind_makes_summaries_anew_from_chunks_and_tails(store: SQLiteStore) -> None:
    clock = Clock(1_800_000_000_000_000_000)
    batches, _, value = many_points(20_000)
    for batch in batches:
        store.append(batch)
    WriterScript("run-1", "attached", clock=clock, role="attached").run().points("metric 1", [1e9]).send(store)
    again = WriterScript("run-1", "again", clock=clock).run(from_step=5_000)
    again.points("metric 1", [7.0], steps=[5_000]).send(store)
    summary = store.load(["run-1"], ["metrics"])["run-1"].metrics["metric 1"]
    assert (summary.count, summary.last, summary.last_step) == (5_001, 7.0, 5_000)
    assert summary.min == value[:5_000].min()
    assert summary.mean == pytest.approx((value[:5_000].sum() + 7.0) / 5_001, rel=1e-12)
    store.settle("run-1")
    assert store.fsck() == []
    assert len(store.series("run-1", "metric 1")) == 5_001
    assert len(store.series("run-1", "metric 1", attempt=0)) == 20_000
    assert len(store.series("run-1", "metric 1", attempt=0, rank="all")) == 20_001
