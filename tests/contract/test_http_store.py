"""The store contract over `HTTPStore`, against a real server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.stores.protocol import Store
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import StoreContract
from tests.server.running import Switchboard, listening, make


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, Switchboard]]:
    """One server for all tests, with an application for each store."""
    switchboard = Switchboard()
    with listening(switchboard) as port:
        yield f"http://127.0.0.1:{port}", switchboard


class TestHTTPStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _serving(self, address: tuple[str, Switchboard]) -> Iterator[None]:
        """A store that is closed and opened again in a test finds what it had."""
        self.base, self.switchboard = address
        self.served: dict[Path, tuple[str, str, SQLiteStore]] = {}
        yield
        for _, _, store in self.served.values():
            store.close()

    def open_store(self, tmp_path: Path) -> Store:
        if tmp_path not in self.served:
            store = SQLiteStore(tmp_path / "s")
            app, _, secret = make(store, tmp_path / "a")
            self.served[tmp_path] = (self.base + self.switchboard.add(app), secret, store)
        uri, secret, _ = self.served[tmp_path]
        return HTTPStore(uri, token=secret, cache=tmp_path / "cache")

    def damage_blob(self, store: Store, sha256: str) -> None:
        (served,) = (each for uri, _, each in self.served.values() if uri == store.uri)
        super().damage_blob(served, sha256)
