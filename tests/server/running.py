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
from mlops_sdk.server.serving import uvicorn_config
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
    app, tokens, secret = make(store, directory, limits=limits, **options)
    with listening(app, port, limits=limits) as at:
        yield Running(f"http://127.0.0.1:{at}", at, store, tokens, secret)


def make(store: Store, directory: Path, **options: Any) -> tuple[Any, Tokens, str]:
    """The application over `store`, its tokens, and an admin's."""
    directory.mkdir(parents=True, exist_ok=True)
    tokens = Tokens(directory)
    _, secret = tokens.create("test", "admin")
    app = make_app(store, tokens=tokens, uploads=directory / "uploads", **{"hosts": LOOPBACK, **options})
    return app, tokens, secret


@contextlib.contextmanager
def listening(app: Any, port: int = 0, *, limits: Limits | None = None) -> Iterator[int]:
    """Run an application on loopback in a thread; yields the port."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # else asyncio leaves Nagle on: 40 ms a request
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn_config(app, limits or Limits())
        running = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: running.run([listener]), daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.005)
        try:
            yield int(listener.getsockname()[1])
        finally:
            running.should_exit = True
            thread.join(10)


class Switchboard:
    """Many applications under one address, ``/0``, ``/1``, ...: starting a server for each test takes most of its time."""

    def __init__(self) -> None:
        self.apps: dict[str, Any] = {}

    def add(self, app: Any) -> str:
        """Serve an application; returns its prefix."""
        prefix = f"/{len(self.apps)}"
        self.apps[prefix] = app
        return prefix

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for done in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{done}.complete"})
            return
        prefix = "/" + scope["path"].split("/", 2)[1]
        await self.apps[prefix]({**scope, "root_path": prefix}, receive, send)
