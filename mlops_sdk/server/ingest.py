"""Batches of all clients go through one thread: those that wait together share one transaction, and so one fsync."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from mlops_sdk.errors import MlopsError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from mlops_sdk.journal.records import Batch
    from mlops_sdk.stores.protocol import Store

_TOGETHER_BYTES = 8 << 20
_TOGETHER = 64


class BusyError(StoreUnavailableError):
    """So much waits to be applied that a client has to come again later."""


class Ingest:
    """Applies batches to a store.

    Parameters
    ----------
    store : Store
    waiting_bytes : int
        How much may wait.

    Notes
    -----
    A future is done when its batch is durable, or refused; a batch that is refused harms none of those it shared a
    transaction with.
    """

    def __init__(self, store: Store, waiting_bytes: int) -> None:
        self._store = store
        self._limit = waiting_bytes
        self._waiting = 0
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[Batch, Future[int]] | None] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="mlops-ingest", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Of batches that were submitted and are not answered yet."""
        return self._waiting

    def submit(self, batch: Batch) -> Future[int]:
        """Have a batch applied; the result is what `Store.append` returns or raises.

        Raises
        ------
        BusyError
            If too much waits.
        """
        with self._lock:
            if self._is_closed:
                raise BusyError("the server is stopping")
            if self._waiting and self._waiting + len(batch.data) > self._limit:
                raise BusyError("the server has too much to do")
            self._waiting += len(batch.data)
            future: Future[int] = Future()
            self._queue.put((batch, future))
        return future

    def close(self) -> None:
        """Apply what waits, and end; idempotent."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group, goes_on = self._gather(first)
            self._apply(group)
            if not goes_on:
                return

    def _gather(self, first: tuple[Batch, Future[int]]) -> tuple[list[tuple[Batch, Future[int]]], bool]:
        """What waits by now, up to a bound; and whether more may come."""
        group, size = [first], len(first[0].data)
        while size < _TOGETHER_BYTES and len(group) < _TOGETHER:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return group, False
            group.append(item)
            size += len(item[0].data)
        return group, True

    def _apply(self, group: list[tuple[Batch, Future[int]]]) -> None:
        try:
            results = apply_together(self._store, [batch for batch, _ in group])
        except Exception as error:  # noqa: BLE001 - whoever waits has to be told, whatever it is
            results = [error] * len(group)
        with self._lock:
            self._waiting -= sum(len(batch.data) for batch, _ in group)
        for (_, future), result in zip(group, results, strict=True):
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)


def apply_together(store: Store, batches: Sequence[Batch]) -> Sequence[int | Exception]:
    """The outcome of each batch, in order: in one transaction where the store can, else one by one."""
    append_all: Callable[[Sequence[Batch]], Sequence[int | Exception]] | None = getattr(store, "append_all", None)
    if append_all is not None:
        return append_all(batches)
    outcomes: list[int | Exception] = []
    for batch in batches:
        try:
            outcomes.append(store.append(batch))
        except (MlopsError, StoreError) as error:
            outcomes.append(error)
    return outcomes
