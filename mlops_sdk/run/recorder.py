"""A run's way into the journal: opened at start, opened again as an attached writer in a forked child."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk.courier import recovery
from mlops_sdk.courier.courier import courier
from mlops_sdk.courier.route import Opened, Route
from mlops_sdk.errors import StoreUnavailableError
from mlops_sdk.journal import filesystem
from mlops_sdk.journal.records import Kind
from mlops_sdk.journal.writer import Journal, JournalOptions
from mlops_sdk.run import background
from mlops_sdk.stores.location import make_directories, spool_of

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.config import Settings
    from mlops_sdk.stores.opening import Place

_LEAVE_S = 0.25


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
        places: list[Opened] = [] if self.verdict.is_network else [place]
        self.route: Route = courier().add(self.journal, places)
        if places:
            courier().watch(self.root, place)

    def deliver(self, timeout_s: float) -> bool:
        """Carry everything logged so far to the stores; returns whether it arrived in time."""
        if not self.route.sinks:
            return self._sync()
        return courier().deliver(self.route, timeout_s)

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
            recovery.collect(self.place.store, self.root, self.opening.run_id, but=self.journal.writer_id)
        except Exception as error:
            self.route.note(error)

    def close(self, timeout_s: float) -> bool:
        """End the journal: deliver, tidy up, remove; returns whether everything arrived in time.

        Notes
        -----
        What did not arrive stays on disk for the next opener.
        """
        self.journal.close()
        if not self.route.sinks:
            courier().forget(self.route)
            self.journal.leave()
            return True
        arrived = courier().deliver(self.route, timeout_s, self._tidy)
        courier().forget(self.route)
        if not arrived:
            background.bounded(self.journal.leave, _LEAVE_S)  # it syncs, on a disk that may hang
        return arrived

    def _tidy(self) -> None:
        self.journal.remove()
        self.collect()  # what workers that still live have published belongs to the run that a reader sees now
        self.place.store.settle(self.opening.run_id)

    @property
    def delivery_error(self) -> Exception | None:
        """What stopped the last delivery; None when it went well."""
        return next((sink.error for sink in self.route.sinks if sink.error is not None), None)


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
