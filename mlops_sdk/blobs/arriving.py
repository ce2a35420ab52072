"""A file that is filled from the network: hashed by a thread of its own, so that neither waits for the other."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from mlops_sdk.blobs.copying import write_all

BLOCK_BYTES = 1 << 18
"""Small enough to be still in the processor's cache when it is hashed."""
_BLOCKS = 16
"""Filled again and again: fresh memory costs as much as a copy."""


class Arriving:
    """Bytes written to an open, empty file, and their SHA-256.

    Parameters
    ----------
    target : int
        File descriptor, open for writing; nobody else writes to it.

    Notes
    -----
    A context manager: its thread ends with it. For one writer.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.n_bytes = 0
        self.has_failed = False
        self._digest = hashlib.sha256()
        self._free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        for _ in range(_BLOCKS):
            self._free.put(bytearray(BLOCK_BYTES))
        self._filled: queue.SimpleQueue[tuple[bytearray, int]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._hash, name="mlops-hash", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def take(self, read_into: Callable[[memoryview], int]) -> int:
        """Have a block filled, and take what it holds; returns its size, 0 at the end.

        Raises
        ------
        OSError
            From writing; then `has_failed` is true. And what `read_into` raises.
        """
        block = self._free.get()
        view = memoryview(block)
        try:
            size = read_into(view)
        except BaseException:
            self._free.put(block)
            raise
        self._filled.put((block, size))
        if size == 0:
            return 0
        try:
            write_all(self._target, view[:size])
        except OSError:
            self.has_failed = True
            raise
        self.n_bytes += size
        return size

    def restart(self) -> None:
        """Forget all of it."""
        self._end()
        os.ftruncate(self._target, 0)
        os.lseek(self._target, 0, os.SEEK_SET)
        self.__init__(self._target)  # type: ignore[misc]
        self._thread.start()

    def hexdigest(self) -> str:
        """SHA-256 of what was written; nothing may follow."""
        self._end()
        return self._digest.hexdigest()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._filled.put((bytearray(), 0))
            self._thread.join()

    def _hash(self) -> None:
        while True:
            block, size = self._filled.get()
            if not block:
                return
            self._digest.update(memoryview(block)[:size])
            self._free.put(block)
