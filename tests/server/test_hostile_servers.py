"""A3, and replies from hell: whatever answers, the client raises errors of ours, in time, and keeps nothing that is wrong."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlops_sdk
from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import IntegrityError, MlopsError, StoreUnavailableError
from mlops_sdk.stores.http.client import Patience
from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.testing import WriterScript
from tests.server.test_remote_runs import QUIET

HELLO = b'{"protocol":1,"store_id":"x","version":"0","role":"admin"}'


def reply(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


REPLIES: dict[str, bytes] = {
    "another acknowledgement": reply("200 OK", b'{"sequence": 0}'),
    "a number without end": reply("200 OK", b'{"sequence": ' + b"9" * 5000 + b"}"),
    "HTML": reply("200 OK", b"<html>Sign in</html>", "Content-Type: text/html"),
    "nothing": reply("200 OK", b""),
    "null": reply("200 OK", b"null"),
    "a list": reply("200 OK", b"[1, 2]"),
    "wrong types": reply("200 OK", b'{"sequence": [], "protocol": {}, "offset": "x", "is_kept": null}'),
    "an error of nonsense": reply("409 Conflict", b'{"error": {"code": "gap", "data": [1]}}'),
    "an error of no form": reply("409 Conflict", b'{"error": 7}'),
    "diverged from nowhere": reply("409 Conflict", b'{"error": {"code": "diverged", "data": {"writer_id": "w"}}}'),
    "500": reply("500 No", b"Traceback"),
    "503 for ever": reply("503 No", b"", "Retry-After: 1000000000"),
    "429 for ever": reply("429 No", b"", "Retry-After: -1"),
    "a redirect": reply("302 Found", b"", "Location: http://127.0.0.1:1/elsewhere"),
    "a redirect to a file": reply("301 Moved", b"", "Location: file:///etc/passwd"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "garbage": bytes(range(256)) * 8,
    "a lie about the length": reply("200 OK", b"{}").replace(b"Content-Length: 2", b"Content-Length: 200"),
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "a broken encoding": reply("200 OK", b"no gzip", "Content-Encoding: gzip"),
    "deep JSON": reply("200 OK", b"[" * 200_000),
    "a bomb": reply("200 OK", gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip"),
    "many headers": reply("200 OK", b"{}", *(f"X-{n}: 1" for n in range(500))),
    "hangs up": b"",
}


@contextlib.contextmanager
def answering(answer: bytes, *, hello: bytes | None = None) -> Iterator[str]:
    """A server that says the same to everything; `hello`, if given, to the first question."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection:
                connection.settimeout(5)
                asked = b""
                while b"\r\n\r\n" not in asked and (piece := connection.recv(65536)):
                    asked += piece
                is_hello = b"/hello" in asked.split(b"\r\n", 1)[0]
                connection.sendall(hello if hello is not None and is_hello else answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

        def work() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=work, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("what", REPLIES)
def test_every_reply_is_an_error_of_ours(what: str, tmp_path: Path) -> None:
    batch = WriterScript("r").run().points("loss", [1.0]).batch()
    digest = hashlib.sha256(b"wanted").hexdigest()
    began = time.monotonic()
    with answering(REPLIES[what]) as uri:
        store = HTTPStore(uri, token="t", patience=Patience(1.0, 2.0, budget_s=0.2), cache=tmp_path)
        calls = {
            "hello": store.hello,
            "find": lambda: store.find(RunQuery()),
            "series": lambda: store.series("r", "loss"),
            "download": lambda: store.blobs.path(digest),
            "upload": lambda: store.blobs.put_bytes(b"bytes"),
        }
        for name, call in calls.items():
            try:
                call()
            except MlopsError:
                continue
            has_it = name == "upload" and REPLIES[what].startswith(b"HTTP/1.1 200")  # it says that it has the bytes
            assert has_it, f"{name} takes {what} for an answer"
        with contextlib.suppress(MlopsError):
            assert store.append(batch) < batch.last, "the courier notices"
        store.close()
    assert not list(tmp_path.rglob(digest))
    assert time.monotonic() - began < 15


def test_wrong_bytes_are_never_kept(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"wanted").hexdigest()
    with answering(reply("200 OK", b"other", "Content-Disposition: attachment; filename=../../x")) as uri:
        store = HTTPStore(uri, cache=tmp_path / "cache")
        with pytest.raises(IntegrityError):
            store.blobs.path(digest)
        store.close()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("what", ["HTML", "500", "garbage", "503 for ever", "another acknowledgement", "hangs up"])
def test_a_run_goes_on_whatever_the_server_says(what: str, tmp_path: Path) -> None:
    """G6: nothing raises after the start, the end comes in time, and everything is in the local store."""
    with answering(REPLIES[what], hello=reply("200 OK", HELLO)) as uri:
        run = mlops_sdk.start_run(tracking_uri=uri, **QUIET)
        run.log_params({"lr": 0.1})
        for step in range(300):
            run.log_metric("loss", float(step), step=step)
        run.log_text("text", "a.txt")
        assert len(run.metric("loss")) == 300
        with pytest.raises(MlopsError):
            run.flush(3.0)
        began = time.monotonic()
        run.finish()
        assert time.monotonic() - began < 5.5
        assert run.health()["waiting"] > 0
    view = mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path / ".mlops")
    assert (view.status, len(view.metric("loss")), view.params) == ("FINISHED", 300, {"lr": 0.1})


def test_a_password_in_the_address_is_refused() -> None:
    with pytest.raises(mlops_sdk.InvalidValueError, match="MLOPS_TOKEN"):
        mlops_sdk.search_runs(tracking_uri="http://me:secret@127.0.0.1:1")


def test_a_server_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    store = HTTPStore("http://127.0.0.1:1", patience=Patience(budget_s=0))
    with pytest.raises(StoreUnavailableError, match="nobody listens there"):
        store.hello()
    store.close()
