"""What a client does to a server that has no time, a proxy, or a certificate of its own; and that it never keeps a script."""

from __future__ import annotations

import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mlops_sdk
from mlops_sdk.errors import StoreUnavailableError
from mlops_sdk.stores.http.client import Patience
from mlops_sdk.stores.http.store import HTTPStore
from tests.server.test_remote_runs import QUIET

HELLO = b'{"protocol":1,"store_id":"x","version":"0","role":"admin"}'


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers with what the server was given, in turn; the last for ever."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        server.seen.append((time.monotonic(), self.path))  # type: ignore[attr-defined]
        status, headers = server.answers[min(len(server.seen), len(server.answers)) - 1]  # type: ignore[attr-defined]
        body = HELLO if status == 200 else b""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(
    *answers: tuple[int, dict[str, str]], context: ssl.SSLContext | None = None
) -> Iterator[http.server.HTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.seen, server.answers = [], answers or ((200, {}),)  # type: ignore[attr-defined]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_it_comes_again_when_the_server_says() -> None:
    with answering((429, {"Retry-After": "1"}), (200, {})) as server:
        store = HTTPStore(f"http://127.0.0.1:{server.server_port}", patience=Patience(budget_s=20.0))
        assert store.store_id == "x"
        (first, _), (second, _) = server.seen  # type: ignore[attr-defined]
        assert second - first >= 0.95
        store.close()


def test_it_does_not_wait_longer_than_its_budget() -> None:
    with answering((429, {"Retry-After": "1000"})) as server:
        store = HTTPStore(f"http://127.0.0.1:{server.server_port}", patience=Patience(budget_s=2.0))
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            store.hello()
        assert time.monotonic() - began < 2.5
        assert len(server.seen) == 1  # type: ignore[attr-defined]
        store.close()


def test_a_budget_bounds_all_tries_together() -> None:
    with answering((503, {})) as server:
        patience = Patience(budget_s=0.5, first_pause_s=0.01)
        store = HTTPStore(f"http://127.0.0.1:{server.server_port}", patience=patience)
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            store.hello()
        assert time.monotonic() - began < 5.0
        assert 2 <= len(server.seen) < 100  # type: ignore[attr-defined]
        store.close()


def test_a_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        store = HTTPStore("http://tracking.invalid:5005")
        assert store.store_id == "x"
        assert proxy.seen[0][1].startswith("http://tracking.invalid:5005/")  # type: ignore[attr-defined]
        store.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_authority_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run(
        [*words, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with answering(context=context) as server:
        uri = f"https://127.0.0.1:{server.server_port}"
        with pytest.raises(StoreUnavailableError, match="certificate cannot be verified"):
            HTTPStore(uri, patience=Patience(budget_s=0.0)).hello()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        store = HTTPStore(uri)
        assert store.store_id == "x"
        store.close()


@pytest.mark.slow
def test_a_server_that_swallows_everything_does_not_hold_finish(tmp_path: Path) -> None:
    with socket.socket() as listener:  # listens, and never accepts
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        began = time.monotonic()
        run = mlops_sdk.start_run(tracking_uri=uri, run_id="r", **QUIET)
        started = time.monotonic()
        run.log_metric("loss", 0.5)
        run.finish()
        ended = time.monotonic()
        assert started - began < 3.0, "a second, on a machine that is not busy"
        assert ended - started < 7.0, "five seconds, likewise"
        assert mlops_sdk.get_run("r", tracking_uri=tmp_path / ".mlops").summary("loss").last == 0.5
