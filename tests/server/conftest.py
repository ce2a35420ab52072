"""A server for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_sdk.stores import opening
from mlops_sdk.stores.sqlite.store import SQLiteStore
from tests.server.running import Running, server


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A server over a new SQLite store, with the token in the environment."""
    store = SQLiteStore(tmp_path / "served")
    with server(store, tmp_path / "server") as running:
        monkeypatch.setenv("MLOPS_TOKEN", running.secret)
        yield running
    store.close()


@pytest.fixture(autouse=True)
def _places() -> Iterator[None]:
    """Every test has a store of its own in its own directory; nobody else's is cached."""
    opening._open.clear()
    yield
    opening.close_places()
    opening._open.clear()
