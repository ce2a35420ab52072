"""The store contract over `SQLiteStore`, and programs that make it compact its points all the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_sdk.stores.protocol import Store
from mlops_sdk.stores.sqlite import points
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import StoreContract, StoreMachine, programs


class TestSQLiteStore(StoreContract):
    def open_store(self, tmp_path: Path) -> Store:
        return SQLiteStore(tmp_path)


class SQLiteMachine(StoreMachine):
    def open_store(self, tmp_path: Path) -> Store:
        return SQLiteStore(tmp_path)


class CompactingMachine(SQLiteMachine):
    """Points move from tails to chunks as soon as there are some."""

    def __init__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        sizes = {"CHUNK_FROM": 4, "CHUNK_POINTS": 16, "SMALL_CHUNK": 4, "MANY_CHUNKS": 2, "TAIL_POINTS": 12}
        for name, size in {**sizes, "TAIL_ROWS": 3, "LEAVE_POINTS": 2, "_COMPRESS_FROM": 4}.items():
            self.patch.setattr(points, name, size)
        super().__init__()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.patch.undo()


TestSQLitePrograms = pytest.mark.slow(programs(SQLiteMachine))
TestCompactingPrograms = pytest.mark.slow(programs(CompactingMachine))
