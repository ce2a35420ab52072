"""A store that fails in every way, and journals to deliver to it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mlops_sdk.courier.route import Route, Sink
from mlops_sdk.entities import WriterState
from mlops_sdk.errors import SequenceGapError
from mlops_sdk.journal.chain import JournalOptions
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES, Batch, decode
from mlops_sdk.journal.writer import Journal
from mlops_sdk.stores.protocol import Store

SMALL = HEADER_BYTES + 32 * SLOT_BYTES


class FailingStore:
    """Applies batches as a store does, and fails when told to.

    Attributes
    ----------
    batches : list of Batch
        Every batch it was given, refused ones too.
    known : dict of str to int
        Sequence number per writer.
    steps : dict of str to list of int
        Steps of the points applied, per writer.
    fault : callable or None
        Called with each batch before anything is applied; what it raises, `append` raises.
    """

    uri = "failing:"
    store_id = "failing"
    is_remote = False

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.known: dict[str, int] = {}
        self.steps: dict[str, list[int]] = {}
        self.settled: list[str] = []
        self.endings: list[dict[str, Any]] = []
        self.fault: Callable[[Batch], object] | None = None
        self.lock = threading.Lock()

    @property
    def store(self) -> Store:
        """As `mlops_sdk.courier.route.Opened`."""
        return cast(Store, self)

    def append(self, batch: Batch) -> int:
        """See `Store.append`."""
        self.batches.append(batch)
        if self.fault is not None:
            self.fault(batch)
        with self.lock:
            return self._apply(batch)

    def _apply(self, batch: Batch) -> int:
        writer_id = batch.writer.writer_id
        known = self.known.get(writer_id, 0)
        if batch.first > known + 1:
            raise SequenceGapError(writer_id, known + 1, batch.first)
        decoded = decode(batch)
        fresh = [
            int(step)
            for sequence, step in zip(decoded.points.sequence, decoded.points.step, strict=True)
            if sequence > known
        ]
        self.steps.setdefault(writer_id, []).extend(fresh)
        self.endings += [event.payload for event in decoded.events if "end_reason" in event.payload]
        self.known[writer_id] = max(known, batch.last)
        return self.known[writer_id]

    def acknowledged(self, writer_id: str) -> WriterState | None:
        """See `Store.acknowledged`."""
        if writer_id not in self.known:
            return None
        state = WriterState(writer_id, "run", sequence=self.known[writer_id])
        ending = next((each for each in reversed(self.endings) if each["writer"] == writer_id), None)
        if ending is None:
            return state
        return replace(state, end_status=ending["status"], end_reason=ending["end_reason"], dropped=ending["dropped"])

    def settle(self, run_id: str) -> None:
        """See `Store.settle`."""
        self.settled.append(run_id)


def journal_in(root: Path, count: int = 0) -> Journal:
    """A journal with one key, "a", and so many points."""
    journal = Journal(root, "run", options=JournalOptions(is_mapped=False, first_bytes=SMALL))
    journal.define("a")
    log(journal, count)
    return journal


def log(journal: Journal, count: int) -> None:
    """Log so many more points of "a", at the next steps."""
    for _ in range(count):
        journal.point("a", 0.5)


def route_to(journal: Journal, *stores: FailingStore) -> Route:
    """A route that no courier knows."""
    return Route(journal, [Sink(place=store) for store in stores])
