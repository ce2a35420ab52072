"""The store contract over `MemoryStore`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from mlops_sdk.stores.memory import MemoryStore
from mlops_sdk.stores.memory_blobs import MemoryBlobs
from mlops_sdk.stores.protocol import Store
from mlops_sdk.testing import StoreContract, StoreMachine, programs


class TestMemoryStore(StoreContract):
    survives_reopen = False

    def open_store(self, tmp_path: Path) -> Store:
        return MemoryStore()

    def damage_blob(self, store: Store, sha256: str) -> None:
        contents = cast(MemoryBlobs, store.blobs).contents
        contents[sha256] = contents[sha256][:-1] + b"?"


class MemoryMachine(StoreMachine):
    """The model against itself: nothing may depend on how records were cut into batches."""

    survives_reopen = False

    def open_store(self, tmp_path: Path) -> Store:
        return MemoryStore()


TestMemoryPrograms = programs(MemoryMachine)
