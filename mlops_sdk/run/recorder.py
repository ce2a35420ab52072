"""A run's way into the journal: opened at start, opened again as an attached writer in a forked child."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk.blobs.durable import make_directories
from mlops_sdk.courier import recovery
from mlops_sdk.courier.courier import courier, uplink
from mlops_sdk.courier.route import Opened, Route
from mlops_sdk.errors import StoreUnavailableError
from mlops_sdk.journal import filesystem
from mlops_sdk.journal.chain import JournalOptions
from mlops_sdk.journal.records import Kind
from mlops_sdk.journal.writer import Journal
from mlops_sdk.run import background
from mlops_sdk.stores.location import spool_of
from mlops_sdk.stores.remote import RemotePlace

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.config import Settings
    from mlops_sdk.stores.opening import Place

_LEAVE_S = 0.25
_LAST_TRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Opening:
    """What a writer says first.

    Attributes
    ----------
    run_id : str
    role : {"owner", "attached"}
    rank : int or None
    payload : dict
        Of the RUN record.
    last_steps : mapping of str to int
        Highest step of each metric so far.
    """

    run_id: str
    role: str = "owner"
    rank: int | None = None
    payload: JsonDict = field(default_factory=dict)
    last_steps: Mapping[str, int] = field(default_factory=dict)


class Recorder:
    """A journal, and the route that carries it.

    Raises
    ------
    StoreUnavailableError
        If no journal can be written.
    """

    def __init__(self, place: Place, settings: Settings, opening: Opening) -> None:
        self.place = place
        self.settings = settings
        self.opening = opening
        self.root = _journal_root(place, settings)
        self.verdict = filesystem.inspect(self.root, settings.journal)
        options = JournalOptions(is_mapped=self.verdict.is_mapped, quota_bytes=settings.quota_bytes)
        try:
            self.journal = _open_journal(self.root, opening, options)
        except OSError as error:
            raise StoreUnavailableError(f"the journal in {self.root} cannot be written: {error}") from error
        self.journal.event(Kind.RUN, opening.payload)
        # On a network file system nobody but a reader touches the database.
        places: list[Opened] = [] if self.verdict.is_network else [place.home]
        self.route: Route = courier().add(self.journal, places)
        self.to_server: Route | None = None
        if place.home is not place:
            self._add_server()
        elif places:
            courier().watch(self.root, place)

    def _add_server(self) -> None:
        """The journal is for a server too; offline it waits for `mlops sync`."""
        from mlops_sdk.courier.outbound import WithBlobs, send

        place, root = self.place, self.root
        assert isinstance(place, RemotePlace)
        if place.uri and self.settings.mode != "offline":
            home, server = place.home, place.remote
            self.to_server = uplink().add_second(self.route, WithBlobs(home, server))
            if place.has_warned:
                self.to_server.told.add("delivery: StoreUnavailableError")  # the start has said it
            uplink().watch(root, home, lambda: send(home, server, root))
        elif self.route.sinks:
            courier().watch(root, place.home, lambda: recovery.sweep(place.home.store, root, keep=True))

    @property
    def waits(self) -> bool:
        """Whether what is logged stays in the journal until somebody sends it."""
        return self.place.home is not self.place and self.to_server is None

    @property
    def acknowledged(self) -> int:
        """Sequence number up to which every store has the journal."""
        routes = [self.route] if self.to_server is None else [self.route, self.to_server]
        return min(route.acknowledged for route in routes)

    def deliver(self, timeout_s: float) -> bool:
        """Carry everything logged so far to the stores; returns whether it arrived in time."""
        deadline = time.monotonic() + timeout_s
        here = courier().deliver(self.route, timeout_s) if self.route.sinks else self._sync()
        if self.to_server is None:
            return here
        return uplink().deliver(self.to_server, max(0.0, deadline - time.monotonic())) and here

    def deliver_home(self, timeout_s: float) -> bool:
        """Carry everything logged so far to the local store."""
        return courier().deliver(self.route, timeout_s) if self.route.sinks else self._sync()

    def _sync(self) -> bool:
        try:
            self.journal.sync()
        except OSError as error:
            self.route.note(error)
            return False
        return True

    def collect(self) -> None:
        """Deliver what other writers of this run, living ones too, have published; errors are kept in the route."""
        try:
            recovery.collect(self.place.home.store, self.root, self.opening.run_id, but=self.journal.writer_id)
        except Exception as error:
            self.route.note(error)

    def close(self, timeout_s: float) -> bool:
        """End the journal: deliver, tidy up, remove; returns whether everything arrived in time.

        Notes
        -----
        What did not arrive stays on disk for the next opener.
        """
        self.journal.close()
        if self.place.home is not self.place:
            return self._close_for_server(timeout_s)
        if not self.route.sinks:
            courier().forget(self.route)
            self.journal.leave()
            return True
        arrived = courier().deliver(self.route, timeout_s, self._tidy)
        courier().forget(self.route)
        if not arrived:
            background.bounded(self.journal.leave, _LEAVE_S)  # it syncs, on a disk that may hang
        return arrived

    def _close_for_server(self, timeout_s: float) -> bool:
        """As `close`, of a journal that is for two stores: it goes when both have it."""
        deadline = time.monotonic() + timeout_s
        here = not self.route.sinks or courier().deliver(self.route, timeout_s, self._settle_home)
        courier().forget(self.route)
        there = False
        if self.to_server is not None:
            left_s = max(0.0, deadline - time.monotonic())
            if isinstance(self.delivery_error, StoreUnavailableError):  # no use waiting for it, but it may be back
                left_s = min(left_s, _LAST_TRY_S)
            there = uplink().deliver(self.to_server, left_s, self._settle_there)
            uplink().forget(self.to_server)
        if here and there:
            self.journal.remove()
        else:
            background.bounded(self.journal.leave, _LEAVE_S)
        return here and (there or self.to_server is None)

    def _settle_home(self) -> None:
        self.collect()
        self.place.home.store.settle(self.opening.run_id)

    def _settle_there(self) -> None:
        if self.to_server is not None:
            self.to_server.sinks[0].place.store.settle(self.opening.run_id)

    def _tidy(self) -> None:
        self.journal.remove()
        self.collect()  # what workers that still live have published belongs to the run that a reader sees now
        self.place.store.settle(self.opening.run_id)

    @property
    def what_waits(self) -> str:
        """In words, of a run whose records are not all where they belong."""
        if self.to_server is None:
            return "not all of it is in the store yet: the next process that opens it delivers the rest"
        waiting = self.journal.last - self.to_server.acknowledged
        return (
            f"{waiting} records that wait for {self.place.uri}: they are safe in {self.root}, and sent by the next run or "
            "by `mlops sync`"
        )

    @property
    def delivery_error(self) -> Exception | None:
        """What stopped the last delivery; None when it went well."""
        sinks = [*self.route.sinks, *(self.to_server.sinks if self.to_server is not None else ())]
        return next((sink.error for sink in sinks if sink.error is not None), None)


def _open_journal(root: Path, opening: Opening, options: JournalOptions) -> Journal:
    def make() -> Journal:
        return Journal(
            root, opening.run_id, role=opening.role, rank=opening.rank, options=options, last_steps=opening.last_steps
        )

    try:
        return make()
    except OSError:
        if not options.is_mapped:
            raise
        options.is_mapped = False  # the file system refuses to reserve: append
        return make()


def _journal_root(place: Place, settings: Settings) -> Path:
    if settings.spool:
        root = spool_of(settings.spool, place.uri)
        make_directories(root)
        return root
    return place.journals or _temporary_root()


@cache
def _temporary_root() -> Path:
    """Journals of stores that live in memory: they end with the process."""
    import atexit
    import shutil
    import tempfile

    root = tempfile.mkdtemp(prefix="mlops-")
    atexit.register(shutil.rmtree, root, True)
    return Path(root)
