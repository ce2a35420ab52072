"""A real server on loopback, in a thread of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from mlops_sdk.server.app import LOOPBACK, make_app
from mlops_sdk.server.limits import Limits
from mlops_sdk.server.tokens import Tokens
from mlops_sdk.stores.protocol import Store


@dataclass
class Running:
    """A server that runs."""

    uri: str
    port: int
    store: Store
    tokens: Tokens
    secret: str


@contextlib.contextmanager
def server(
    store: Store, directory: Path, *, limits: Limits | None = None, port: int = 0, **options: Any
) -> Iterator[Running]:
    """Serve `store` on a free port of loopback; `secret` is an admin's token."""
    directory.mkdir(parents=True, exist_ok=True)
    tokens = Tokens(directory)
    _, secret = tokens.create("test", "admin")
    app = make_app(store, tokens=tokens, uploads=directory / "uploads", limits=limits, **{"hosts": LOOPBACK, **options})
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # else asyncio leaves Nagle on: 40 ms a request
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        port = listener.getsockname()[1]
        config = uvicorn.Config(app, log_level="critical", lifespan="on", timeout_keep_alive=30, ws="none")
        running = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: running.run([listener]), daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.005)
        try:
            yield Running(f"http://127.0.0.1:{port}", port, store, tokens, secret)
        finally:
            running.should_exit = True
            thread.join(10)
