"""Bodies and answers are compressed where both sides can, and a side that cannot is served all the same."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.server.guard import API
from mlops_sdk.stores.http import coding, wire
from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.testing import WriterScript
from tests.server.running import Running, server
from tests.server.test_door import ask

zstd = coding.zstd()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with server(MemoryStore(), tmp_path / "server") as running:
        yield running


def noisy(count: int) -> list[float]:
    draw = random.Random(1)
    return [round(draw.random(), 2) for _ in range(count)]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The encoding of each batch that is sent."""
    found: list[str] = []
    request = coding_of_request(found)
    monkeypatch.setattr("mlops_sdk.stores.http.client.Client.request", request)
    return found


def coding_of_request(found: list[str]) -> Any:
    from mlops_sdk.stores.http.client import Client

    real = Client.request

    def request(self: Client, method: str, path: str, data: Any = None, headers: Any = None, **more: Any) -> Any:
        if path.endswith("/batches"):
            found.append((headers or {}).get("Content-Encoding", "identity"))
        return real(self, method, path, data, headers, **more)

    return request


def test_batches_travel_as_zstd_once_the_server_has_said_that_it_takes_it(running: Running, sent: list[str]) -> None:
    store = HTTPStore(running.uri, token=running.secret)
    script = WriterScript("r").run()
    for _ in range(3):
        assert store.append(script.points("loss", noisy(100)).batch()) == script.last
    assert sent == ["deflate", "zstd", "zstd"]
    assert store.series("r", "loss").value.tolist() == noisy(100) * 3


def test_a_server_without_zstd_is_sent_deflate_and_one_that_forgot_is_understood(
    running: Running, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = HTTPStore(running.uri, token=running.secret)
    script = WriterScript("r").run()
    store.append(script.points("loss", noisy(100)).batch())
    monkeypatch.setattr(
        coding, "encodings", lambda: ("gzip", "deflate")
    )  # the server behind the address is an older one
    assert store.append(script.points("loss", noisy(100)).batch()) == script.last
    assert sent == ["deflate", "zstd", "identity"]
    monkeypatch.setattr(coding, "zstd", lambda: None)
    bare = HTTPStore(running.uri, token=running.secret)  # a client without zstd
    for _ in range(2):
        bare.append(script.points("loss", noisy(100)).batch())
    assert sent[-2:] == ["deflate", "deflate"]


@pytest.mark.parametrize(
    "asked, expected",
    [
        ("zstd, gzip", "zstd"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("deflate", None),
        ("identity", None),
        ("", None),
        ("zstd;q=0, gzip", "gzip"),
        ("*", "zstd"),
        ("br", None),
    ],
)
def test_answers_are_compressed_as_the_client_takes_it(running: Running, asked: str, expected: str | None) -> None:
    HTTPStore(running.uri, token=running.secret).append(WriterScript("r").run().points("loss", noisy(500)).batch())
    headers = [("Host", "localhost"), ("Authorization", f"Bearer {running.secret}"), ("Accept-Encoding", asked)]
    headers.append(("Content-Type", "application/json"))
    status, answer = ask(running.port, "POST", f"{API}/series", headers, b'{"run_id": "r", "key": "loss"}')
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status == 200
    assert b"vary: accept-encoding" in head.lower()
    assert (f"content-encoding: {expected}".encode() in head.lower()) == (expected is not None)
    if expected is None:
        assert b"content-encoding" not in head.lower()
    else:
        assert len(body) < 24 * 500
        body = gzip.decompress(body) if expected == "gzip" else zstd.decompress(body)
    assert wire.decode_series(body).value.tolist() == noisy(500)


def test_small_answers_and_artifacts_are_sent_as_they_are(running: Running) -> None:
    blob = running.store.blobs.put_bytes(b"x" * 100_000)
    headers = [("Host", "localhost"), ("Authorization", f"Bearer {running.secret}"), ("Accept-Encoding", "gzip, zstd")]
    for path in (f"{API}/hello", f"{API}/blobs/{blob.sha256}"):
        status, answer = ask(running.port, "GET", path, headers)
        assert status == 200
        assert b"content-encoding" not in answer.partition(b"\r\n\r\n")[0].lower()


@pytest.mark.parametrize("encoding", coding.encodings())
def test_what_is_compressed_comes_back_or_is_refused(encoding: str) -> None:
    data = random.Random(2).randbytes(3_000) * 100
    packed = coding.compress(data, encoding)
    assert coding.decompress(packed, encoding, len(data)) == data
    for wrong in (packed[:-3], packed + b"x", packed + packed, b"hello", b"", packed[:2]):
        with pytest.raises(InvalidValueError, match=r"header says|cut short"):
            coding.decompress(wrong, encoding, len(data) * 3)
    with pytest.raises(coding.TooLargeError):
        coding.decompress(packed, encoding, len(data) - 1)


def test_a_window_of_gigabytes_is_refused() -> None:
    """A few bytes of header may ask the decoder for memory: RFC 8878 has it refuse more than 8 MiB."""
    wide = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    body = wide.compress(b"a" * 1000) + wide.flush()
    assert zstd.decompress(body) == b"a" * 1000
    with pytest.raises(InvalidValueError, match="header says"):
        coding.decompress(body, "zstd", 10_000)
