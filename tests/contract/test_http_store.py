"""The store contract over `HTTPStore`, against a real server on loopback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.stores.protocol import Store
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import StoreContract
from tests.server.running import Running, server


class TestHTTPStore(StoreContract):
    servers: dict[Path, Running]

    @pytest.fixture(autouse=True)
    def _serving(self) -> Iterator[None]:
        """Servers live as long as the test: a store that is closed and opened again finds its own."""
        self.servers = {}
        with contextlib.ExitStack() as self.stack:
            yield

    def open_store(self, tmp_path: Path) -> Store:
        if tmp_path not in self.servers:
            self.servers[tmp_path] = self.stack.enter_context(server(SQLiteStore(tmp_path / "s"), tmp_path / "a"))
        running = self.servers[tmp_path]
        return HTTPStore(running.uri, token=running.secret, cache=tmp_path / f"cache {len(self.servers)}")

    def damage_blob(self, store: Store, sha256: str) -> None:
        (running,) = (each for each in self.servers.values() if each.uri == store.uri)
        super().damage_blob(running.store, sha256)
