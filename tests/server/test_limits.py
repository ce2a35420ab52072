"""A5-A8, A26, A27, A36: what lies beyond a limit is refused before it costs anything, and nobody else notices."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import random
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import InvalidValueError, StoreUnavailableError
from mlops_sdk.journal.records import Batch
from mlops_sdk.server.guard import API
from mlops_sdk.server.limits import Limits
from mlops_sdk.stores.http import coding, wire
from mlops_sdk.stores.http.client import Patience
from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript
from tests.server.running import Running, server
from tests.server.test_door import ask

SMALL = Limits(
    body_bytes=20_000,
    inflated_bytes=60_000,
    json_bytes=2_000,
    batch_slots=100,
    key_bytes=100,
    runs=5,
    idle_s=0.3,
    body_s=1.0,
    blob_bytes=30_000,
    chunk_bytes=10_000,
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with server(MemoryStore(), tmp_path / "server", limits=SMALL) as running:
        yield running


def post(running: Running, route: str, body: bytes, *more: tuple[str, str], kind: str = "octet-stream") -> int:
    headers = [("Host", "localhost"), ("Authorization", f"Bearer {running.secret}"), *more]
    headers.append(("Content-Type", f"application/{kind}"))
    return ask(running.port, "POST", f"{API}/{route}", headers, body)[0]


def good(count: int = 10) -> Batch:
    return WriterScript("r").run().points("loss", [1.0] * count).batch()


def test_a_body_has_a_size(running: Running) -> None:
    assert post(running, "batches", wire.encode_batch(good())) == 200
    assert post(running, "batches", b"x" * 20_001) == 413
    assert post(running, "batches", b"") == 400
    assert post(running, "find", b" " * 2_001, kind="json") == 413


@pytest.mark.parametrize("size", ["-1", "0x10", "9" * 30, "+5", "1, 2"])
def test_a_length_that_is_none_is_refused(running: Running, size: str) -> None:
    headers = [("Host", "localhost"), ("Authorization", f"Bearer {running.secret}"), ("Content-Length", size)]
    headers.append(("Content-Type", "application/octet-stream"))
    assert ask(running.port, "POST", f"{API}/batches", headers)[0] in (400, 413)


def test_a_body_in_chunks_is_counted_too(running: Running) -> None:
    head = (
        f"POST {API}/batches HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.secret}\r\n"
        "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(head.encode())
        answer = b""
        try:
            for _ in range(100):
                connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            answer = connection.recv(65536)
        except OSError:
            pass
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413"), answer


def test_two_lengths_and_both_framings_are_refused(running: Running) -> None:
    base = [("Host", "localhost"), ("Authorization", f"Bearer {running.secret}")]
    base.append(("Content-Type", "application/octet-stream"))
    assert (
        ask(running.port, "POST", f"{API}/batches", [*base, ("Content-Length", "3"), ("Content-Length", "4")])[0] == 400
    )
    both = [*base, ("Transfer-Encoding", "chunked")]
    assert ask(running.port, "POST", f"{API}/batches", both, b"0\r\n\r\n")[0] in (400, 413)


BOMB = b"\0" * 5_000_000
COMPRESSED: dict[str, tuple[str, bytes, tuple[int, ...]]] = {
    "a bomb": ("deflate", zlib.compress(BOMB), (413,)),
    "a gzip bomb": ("gzip", gzip.compress(BOMB), (413,)),
    "a nested bomb": ("deflate", zlib.compress(zlib.compress(BOMB)), (422,)),
    "cut short": ("deflate", zlib.compress(random.Random(1).randbytes(1000))[:-5], (400,)),
    "trailing garbage": ("deflate", zlib.compress(b"x" * 99) + b"more", (400,)),
    "two members": ("gzip", gzip.compress(b"a") + gzip.compress(b"b"), (400,)),
    "not compressed": ("deflate", b"hello there", (400,)),
    "a zstd bomb": ("zstd", coding.compress(BOMB, "zstd"), (413,)),
    "zstd cut short": ("zstd", coding.compress(random.Random(1).randbytes(1000), "zstd")[:-5], (400,)),
    "zstd with garbage behind": ("zstd", coding.compress(b"x" * 99, "zstd") + b"more", (400,)),
    "two frames of zstd": ("zstd", coding.compress(b"a", "zstd") * 2, (400,)),
    "no zstd": ("zstd", b"hello there", (400,)),
    "zstd in gzip": ("gzip, zstd", gzip.compress(coding.compress(b"a", "zstd")), (415,)),
    "unknown": ("br", b"x", (415,)),
    "twice": ("deflate, deflate", zlib.compress(zlib.compress(b"x")), (415,)),
}


@pytest.mark.parametrize("what", COMPRESSED)
def test_compressed_bodies_are_inflated_within_bounds(running: Running, what: str) -> None:
    encoding, body, expected = COMPRESSED[what]
    assert post(running, "batches", body, ("Content-Encoding", encoding)) in expected


JSON: dict[str, bytes] = {
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 1_000,
    "many digits": b'{"query": ' + b"9" * 1_900 + b"}",
    "beyond float64": b'{"query": 1e400}',
    "NaN": b'{"query": NaN}',
    "Infinity": b'{"query": -Infinity}',
    "a key twice": b'{"query": 1, "query": 2}',
    "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "invalid UTF-8": b'{"query": "\xff"}',
    "trailing data": b"{} {}",
    "empty": b"",
    "a list": b"[]",
    "a number": b"5",
    "nothing of ours": b'{"query": {"$c": ["Popen", {"args": "id"}]}}',
    "a class with wrong fields": b'{"query": {"$c": ["MetricSeries", {"key": 5}]}}',
    "a query of nonsense": b'{"query": {"$c": ["RunQuery", {"limit": "x", "order_by": 5, "run_ids": {"a": 1}}]}}',
    "an unknown special": b'{"query": {"$x": 1}}',
    "no query": b"{}",
    "a lone surrogate": b'{"query": {"$c": ["RunQuery", {"experiment": "\\ud800"}]}}',
}


@pytest.mark.parametrize("what", JSON)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_json_is_strict(tmp_path: Path, what: str, kind: str) -> None:
    store: Any = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "store")
    with server(store, tmp_path / "server", limits=dataclasses.replace(SMALL, json_bytes=200_000)) as running:
        HTTPStore(running.uri, token=running.secret).append(good())
        began = time.monotonic()
        status = post(running, "find", JSON[what], kind="json")
        assert status == 400 or (what == "a lone surrogate" and status == 200), status
        assert time.monotonic() - began < 1.0
    store.close()


def test_batches_and_questions_are_bounded(running: Running) -> None:
    store = HTTPStore(running.uri, token=running.secret, patience=Patience(budget_s=0))
    assert post(running, "batches", wire.encode_batch(good(97))) == 413
    for body in (b"\xff\xff\xff\xff", b"\0\0\0\0", wire.encode_batch(good())[:-1], b"abc", b"\x02\0\0\0{}" + b"\0" * 8):
        assert post(running, "batches", body) in (400, 422)
    with pytest.raises(InvalidValueError, match="run_ids"):
        store.load(["x"] * 6, ["params"])
    with pytest.raises(InvalidValueError, match="100 bytes"):
        store.series("x" * 101, "loss")


def test_headers_are_bounded(running: Running) -> None:
    base = [("Host", "localhost"), ("Authorization", f"Bearer {running.secret}")]
    assert ask(running.port, "GET", f"{API}/hello", [*base, *((f"X-{n}", "1") for n in range(100))])[0] in (400, 431)
    assert ask(running.port, "GET", f"{API}/hello", [*base, ("X-Long", "x" * 17_000)])[0] in (400, 431)


def test_a_slow_body_ends(running: Running) -> None:
    head = (
        f"POST {API}/batches HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.secret}\r\n"
        "Content-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\nabc"
    )
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 1.5


def test_an_artifact_has_a_size_and_pieces_one_too(running: Running) -> None:
    data = random.Random(3).randbytes(9_000)
    digest = hashlib.sha256(data).hexdigest()
    base = [("Host", "localhost"), ("Authorization", f"Bearer {running.secret}")]
    base.append(("Content-Type", "application/octet-stream"))

    def put(query: str, body: bytes) -> int:
        return ask(running.port, "PUT", f"{API}/blobs/{digest}{query}", base, body)[0]

    assert put("", b"x" * 10_001) == 413
    assert put("?offset=0&total=30001", b"x") == 400
    assert put("?offset=-1&total=9", b"x") == 400
    assert put("?offset=0&total=2", b"xyz") == 400
    assert put("?offset=5&total=9000", data[5:]) == 409
    assert put("", b"other bytes") == 422
    assert put("?offset=0&total=9000", data[:4000]) == 200
    assert put("?offset=4000&total=9000", data[4000:]) == 200
    assert running.store.blobs.path(digest).read_bytes() == data
    for wanted, status in (("bytes=0-1,3-4", 416), ("bytes=-5", 416), ("bytes=9000-", 416), ("bytes=10-20", 206)):
        assert ask(running.port, "GET", f"{API}/blobs/{digest}", [*base, ("Range", wanted)])[0] == status
    for name in ("..%2f..%2fetc%2fpasswd", "x" * 64, digest.upper(), digest + "0"):
        assert ask(running.port, "GET", f"{API}/blobs/{name}", base)[0] in (400, 404)


def test_when_too_much_waits_clients_come_again_later(tmp_path: Path) -> None:
    store = MemoryStore()
    is_let_go, append = threading.Event(), store.append
    store.append = lambda batch: (is_let_go.wait(10), append(batch))[1]  # type: ignore[method-assign]
    with server(store, tmp_path / "s", limits=dataclasses.replace(SMALL, waiting_bytes=1_000)) as running:
        hasty = HTTPStore(running.uri, token=running.secret, patience=Patience(budget_s=0))
        patient = HTTPStore(running.uri, token=running.secret, patience=Patience(budget_s=20))
        scripts = [WriterScript(f"r{n}").run().points("loss", [1.0] * 20) for n in range(3)]
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(patient.append, scripts[0].batch())
            while not _waits(running):
                time.sleep(0.01)
            with pytest.raises(StoreUnavailableError, match="too much to do"):
                hasty.append(scripts[1].batch())
            is_let_go.set()
            assert first.result() == scripts[0].last
        assert patient.append(scripts[2].batch()) == scripts[2].last


def _waits(running: Running) -> bool:
    base = [("Host", "localhost"), ("Authorization", f"Bearer {running.secret}")]
    return b"mlops_waiting_bytes 0\n" not in ask(running.port, "GET", "/metrics", base)[1]


def test_batches_that_wait_together_are_one_transaction(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store")
    scripts = [WriterScript(f"r{n}").run().points("loss", [float(n)] * 5) for n in range(6)]
    batches = [script.batch() for script in scripts]
    gap = WriterScript("r9").run().run().batches(1)[1]
    damaged = dataclasses.replace(batches[5], data=batches[5].data[:-1])
    outcomes = store.append_all([batches[0], gap, batches[1], damaged, batches[0], batches[2]])
    assert [type(each).__name__ for each in outcomes] == [
        "int",
        "SequenceGapError",
        "int",
        "StoreCorruptError",
        "int",
        "int",
    ]
    assert sorted(head.run_id for head in store.find(RunQuery())) == ["r0", "r1", "r2"]
    assert store.acknowledged(gap.writer.writer_id) is None
    assert store.append_all(batches) == [script.last for script in scripts]
    store.close()


@pytest.mark.slow
def test_slow_clients_keep_nobody_waiting(tmp_path: Path) -> None:
    """A26: p99 of the others, with and without two hundred clients that say nothing, or half a header."""
    with server(MemoryStore(), tmp_path / "s") as running:
        store = HTTPStore(running.uri, token=running.secret)

        def p99_s() -> float:
            took = []
            for _ in range(200):
                began = time.perf_counter()
                store.acknowledged("nobody")
                took.append(time.perf_counter() - began)
            return sorted(took)[197]

        p99_s()
        alone = min(p99_s() for _ in range(3))
        slow = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(200)]
        for number, each in enumerate(slow):
            if number % 2:
                each.sendall(b"GET / HTTP/1.1\r\nHost: local")
        beside = min(p99_s() for _ in range(3))
        for each in slow:
            each.close()
    print(f"A26: p99 {alone * 1e3:.1f} ms alone, {beside * 1e3:.1f} ms beside 200 slow clients")
    assert beside < 2 * alone + 0.005
