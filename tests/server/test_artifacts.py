"""Bytes of artifacts: in pieces, gone on with where they broke off, verified on both sides, each read once."""

from __future__ import annotations

import hashlib
import http.server
import os
import random
import socket
import threading
import time
from pathlib import Path

import pytest

from mlops_sdk.blobs.local import LocalBlobs
from mlops_sdk.errors import IntegrityError
from mlops_sdk.server.transfers import Uploads
from mlops_sdk.stores.http import blobs as http_blobs
from mlops_sdk.stores.http.blobs import HTTPBlobs
from mlops_sdk.stores.http.client import API, Client
from mlops_sdk.stores.http.store import HTTPStore
from tests.server.running import Running

CONTENT = random.Random(1).randbytes(3_000_001)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def test_pieces_there_and_back(served: Running, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_blobs, "PIECE_BYTES", 700_000)
    store = HTTPStore(served.uri, cache=tmp_path / "cache")
    told: list[int] = []

    class Told:
        def update(self, n_bytes: int) -> None:
            told.append(n_bytes)

        def close(self) -> None:
            pass

    blob = store.blobs.put_file(file, progress=Told())
    assert (blob.sha256, blob.size_bytes, blob.is_new) == (DIGEST, len(CONTENT), True)
    assert (sum(told), len(told)) == (len(CONTENT), 5)
    assert not store.blobs.put_known(file, DIGEST).is_new
    assert served.store.blobs.path(DIGEST).read_bytes() == CONTENT
    path = store.blobs.path(DIGEST)
    assert path.read_bytes() == CONTENT
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    assert store.blobs.path(DIGEST).read_bytes() == CONTENT, "what is damaged here is fetched again"
    store.close()


def test_an_upload_that_broke_off_is_gone_on_with(served: Running, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = HTTPStore(served.uri)
    head = f"PUT {API}/blobs/{DIGEST}?offset=0&total={len(CONTENT)} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Authorization: Bearer {served.secret}\r\nContent-Type: application/octet-stream\r\n"
    head += f"Content-Length: {len(CONTENT)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(head.encode() + CONTENT[:2_500_000])
    deadline = time.monotonic() + 20
    while not store.blobs._offset(DIGEST):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    sent: list[int] = []
    real = http_blobs.Piece

    def piece(descriptor: int, offset: int, size: int) -> http_blobs.Piece:
        sent.append(offset)
        return real(descriptor, offset, size)

    monkeypatch.setattr(http_blobs, "Piece", piece)
    monkeypatch.setattr(http_blobs, "PIECE_BYTES", 1 << 20)
    store.blobs.put_file(file)
    assert sent[0] > 0, "what was there was not sent again"
    assert served.store.blobs.path(DIGEST).read_bytes() == CONTENT
    store.close()


def test_a_file_that_is_not_what_it_was_is_not_kept(served: Running, file: Path) -> None:
    store = HTTPStore(served.uri)
    wrong = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(IntegrityError):
        store.blobs.put_known(file, wrong)
    assert list(served.store.blobs.digests()) == []
    assert store.blobs._offset(wrong) == 0
    store.close()


def test_a_server_that_was_restarted_hashes_what_it_has(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "store")
    Uploads(tmp_path / "store" / "uploads", blobs).write(DIGEST, 0, [CONTENT[:1_000_000]])
    after = Uploads(tmp_path / "store" / "uploads", blobs)
    assert after.offset(DIGEST) == 1_000_000
    after.write(DIGEST, 1_000_000, [CONTENT[1_000_000:]])
    assert after.keep(DIGEST, len(CONTENT))
    assert blobs.read_bytes(DIGEST) == CONTENT
    assert os.listdir(tmp_path / "store" / "uploads") == []


def test_a_download_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    asked: list[int] = []

    class Breaking(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            asked.append(start)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start : start + 1_200_000])

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        blobs = HTTPBlobs(Client(f"http://127.0.0.1:{server.server_port}"), tmp_path / "cache")
        assert blobs.path(DIGEST).read_bytes() == CONTENT
        assert asked[0] == 0
        assert len(asked) == 3
        assert asked[1:] == sorted(asked[1:])
        with pytest.raises(IntegrityError):
            blobs.path("0" * 64)
        assert [each.name for each in (tmp_path / "cache").iterdir() if each.name.startswith("download-")] == []
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
