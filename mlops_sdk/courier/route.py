"""One journal's way to its stores: what each has acknowledged, what is next, what went wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mlops_sdk._logging import warn
from mlops_sdk.courier.delivery import Delivery
from mlops_sdk.errors import DivergedError, MlopsError, SequenceGapError, StoreCorruptError, StoreError
from mlops_sdk.journal.records import SLOT_BYTES, Batch, Kind, sound_prefix

if TYPE_CHECKING:
    from mlops_sdk.journal.writer import Journal
    from mlops_sdk.stores.protocol import Store

HEARTBEAT_S = 30.0
_RETRY_FIRST_S = 0.25
_RETRY_LONGEST_S = 30.0


class Opened(Protocol):
    """Something that has a store, or will have one when it is asked; `mlops_sdk.stores.opening.Place` is one."""

    @property
    def store(self) -> Store:
        """The store."""
        ...


@dataclass(slots=True)
class Sink(Delivery):
    """A store at the end of a route.

    Attributes
    ----------
    place : Opened
        Its `store` is opened by the first delivery.
    error : Exception or None
        What stopped the last delivery; None when it went well.
    """

    place: Opened = field(kw_only=True)
    error: Exception | None = None
    retry_at: float = 0.0
    retry_s: float = _RETRY_FIRST_S

    def succeed(self) -> None:
        """Note a delivery."""
        self.error = None
        self.retry_at, self.retry_s = 0.0, _RETRY_FIRST_S

    def fail(self, error: Exception) -> None:
        """Note a failure; the next try waits, longer each time."""
        self.error = error
        self.retry_at = time.monotonic() + self.retry_s
        self.retry_s = min(self.retry_s * 2, _RETRY_LONGEST_S)


@dataclass(slots=True)
class Route:
    """A journal and its sinks.

    Notes
    -----
    `deliver` is called by one thread at a time (`lock`); each sink acknowledges for itself, and a segment goes when every
    sink has acknowledged it, those of the routes in `beside` too: the way to a server is a route of its own, in a thread of
    its own, so that a dead network does not keep the local store waiting. Such a route `is_second`: the first one looks
    after the journal itself.
    """

    journal: Journal
    sinks: list[Sink]
    lock: threading.Lock = field(default_factory=threading.Lock)
    errors: Counter[str] = field(default_factory=Counter)
    last_error: Exception | None = None
    heartbeat_at: float = field(default_factory=lambda: time.monotonic() + HEARTBEAT_S)
    beside: list[Route] = field(default_factory=list)
    is_second: bool = False
    told: set[str] = field(default_factory=set)

    @property
    def acknowledged(self) -> int:
        """Sequence number up to which every sink has the journal; 0 without sinks."""
        return min((sink.acknowledged for sink in self.sinks), default=0)

    @property
    def waiting(self) -> int:
        """Slots that are in the journal only."""
        return max(0, self.journal.last - self.acknowledged)

    @property
    def is_behind(self) -> bool:
        """Whether more waits than one round should leave."""
        return self.waiting * SLOT_BYTES > 1 << 20

    def deliver(self, *, now: bool = False) -> bool:
        """Carry what waits to every sink; returns whether all of it arrived.

        Parameters
        ----------
        now : bool
            Try also where the last failure asks to wait.
        """
        target = self.journal.last
        for sink in self.sinks:
            if now or time.monotonic() >= sink.retry_at:
                self._deliver_to(sink, target)
        together = [self, *self.beside]
        if not any(
            sink.branches or sink.opening for route in together for sink in route.sinks
        ):  # recovery has to find the branching off
            self.journal.release(min(route.acknowledged for route in together))
        return self.acknowledged >= target

    def _deliver_to(self, sink: Sink, target: int) -> None:
        after = self.journal.batch_after
        try:
            while sink.acknowledged < target and (batch := sink.next(after)):
                sink.accepted(sink.place.store.append(batch))
                sink.succeed()
        except DivergedError as error:
            self._branch_off(sink, error)
        except SequenceGapError as error:
            sink.gap(after, error)
            self.note(error, sink)
        except StoreCorruptError as error:
            self._deliver_prefix(sink, error)
        except MlopsError as error:
            self.note(error, sink)
        except Exception as error:  # noqa: BLE001 - a third-party store, or a defect: kept, counted, tried again
            self.note(error, sink)

    def _branch_off(self, sink: Sink, error: DivergedError) -> None:
        """The store has another history after some record (this process, or its journal, was copied)."""
        if not sink.diverged(error):
            self.note(error, sink)
            return
        warn(
            "mlops_sdk: run %s: the store has another history of this process's records (a copy of it, or of its journal, "
            "went on elsewhere): what follows is kept under a writer of its own",
            self.journal.run_id,
        )
        self._deliver_to(sink, self.journal.last)

    def _deliver_prefix(self, sink: Sink, error: StoreCorruptError) -> None:
        """Memory or disk damaged a record: deliver what is sound before it."""
        batch = self.journal.batch_after(sink.acknowledged)
        end = sound_prefix(batch.data, batch.writer.seed) if batch else 0
        if batch and 0 < end < len(batch.data):
            prefix = Batch(batch.writer, batch.first, batch.data[:end])
            try:
                sent = sink.next(lambda _: prefix)
                assert sent is not None
                sink.accepted(sink.place.store.append(sent))
            except StoreError as second:
                error = second if isinstance(second, StoreCorruptError) else error
        self.note(error, sink)

    def note(self, error: Exception, sink: Sink | None = None) -> None:
        """Keep and count an error, and say it once: training goes on, and so does the journal."""
        self.last_error = error
        cause = f"delivery: {type(error).__name__}"
        self.errors[cause] += 1
        if cause not in self.told:
            self.told.add(cause)
            warn("mlops_sdk: run %s: %s; it is kept in the journal and tried again", self.journal.run_id, error)
        if sink is not None:
            sink.fail(error)

    def keep_safe(self) -> None:
        """Make what no sink has yet durable in the journal, and have room ready for what comes."""
        if self.is_second:
            return
        for step in (self.journal.retry_room, self.journal.prepare_spare, self._sync):
            try:
                step()
            except OSError as error:  # a disk without room for a spare can still sync
                self.note(error)

    def _sync(self) -> None:
        if self.waiting:
            self.journal.sync()

    def beat(self) -> None:
        """Log a heartbeat when one is due; a journal that is closed needs none."""
        if time.monotonic() < self.heartbeat_at or self.journal.is_closed or self.is_second:
            return
        self.heartbeat_at = time.monotonic() + HEARTBEAT_S
        try:
            self.journal.reanchor()
            self.journal.event(Kind.HEARTBEAT, {})
        except (MlopsError, OSError) as error:
            self.note(error)
