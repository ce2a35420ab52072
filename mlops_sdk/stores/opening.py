"""From a tracking URI to a store.

Third-party stores register under the entry-point group ``mlops_sdk.stores``: the name is the URI's scheme, the object a
callable that takes the URI.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from mlops_sdk import _forking, config
from mlops_sdk.errors import ForeignStoreError, InvalidValueError
from mlops_sdk.journal import filesystem
from mlops_sdk.stores import location as locations
from mlops_sdk.stores.location import Location

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]+):")


class Place:
    """A store and where its journals are.

    Attributes
    ----------
    uri : str
        Opens it again.
    journals : Path or None
        None where the store has no local directory.
    location : Location or None
        Of a local store.
    """

    def __init__(self, uri: str, opener: Callable[[], Store], location: Location | None = None) -> None:
        self.uri = uri
        self.location = location
        self.journals = None if location is None else location.path / locations.JOURNALS
        self._opener = opener
        self._store: Store | None = None
        self._lock = threading.RLock()

    @property
    def store(self) -> Store:
        """The store, opened when first used: loading a backend is not for the path of `start_run`."""
        with self._lock:
            if self._store is None:
                self._store = self._opener()
            return self._store

    @property
    def home(self) -> Place:
        """The store on this machine that has everything it logged: itself, unless it is a server."""
        return self

    def journal_roots(self) -> list[Path]:
        """Directories that journals of the store are in: its own, and the one in `MLOPS_SPOOL`."""
        spool = config.resolve().spool
        named = [self.journals, locations.spool_of(spool, self.uri) if spool else None]
        return [root for root in named if root is not None and os.path.isdir(root)]

    def roots_for_servers(self) -> list[Path]:
        """Directories of journals that are for servers too: delivered here, kept until they are there."""
        from mlops_sdk.stores.remote import DIRECTORY, directories

        if self.location is None or not os.path.isdir(self.location.path / DIRECTORY):
            return []
        return [root for root, _ in directories(self.location.path)]

    def close(self) -> None:
        """Close the store, if it was opened; it is opened again when it is used again."""
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            store.close()

    @property
    def is_merged_by_readers(self) -> bool:
        """Whether writers only journal, because the store is on a network file system."""
        return (
            self.journals is not None and os.path.isdir(self.journals) and filesystem.inspect(self.journals).is_network
        )


_open: dict[str, Place] = {}
_lock = threading.RLock()


def locate(uri: str | os.PathLike[str] | None) -> Location | None:
    """The directory a URI means; None for stores that are not a local directory.

    Raises
    ------
    InvalidValueError
        If the URI cannot be read.
    """
    if uri is None:
        return locations.discover()
    text = os.fspath(uri)
    if not text:
        raise InvalidValueError("tracking_uri is empty: give a directory, or leave it out")
    scheme = _scheme(text)
    if scheme == "":
        return _directory(Path(text).expanduser())
    if scheme == "sqlite":
        return _database(text)
    if scheme == "file":
        return _directory(Path(unquote(urlsplit(text).path)))
    return None


def _scheme(text: str) -> str:
    found = _SCHEME.match(text)
    # One letter is a Windows drive.
    return found.group(1).lower() if found and len(found.group(1)) > 1 else ""


def _database(uri: str) -> Location:
    """Of ``sqlite:///relative`` or ``sqlite:////absolute``, as SQLAlchemy writes it."""
    if not uri.startswith("sqlite:///"):
        raise InvalidValueError(f"{uri!r} names no file: sqlite:///RELATIVE/PATH or sqlite:////ABSOLUTE/PATH does")
    return _directory(Path(unquote(uri.removeprefix("sqlite:///")) or "."))


def _directory(path: Path) -> Location:
    """A store is a directory: its database may be named as well, and a name that nothing has becomes a directory.

    Raises
    ------
    ForeignStoreError
        If the path is of a file that is not the database of a store.
    """
    path = Path(os.path.abspath(path))
    # os.path, for a Path raises where a directory may not be looked into: that is for the store to say, in its words
    if path.name == "store.db" and not os.path.isdir(path):
        path = path.parent
    elif os.path.isfile(path):
        raise ForeignStoreError(
            f"{path} is a file, and a store is a directory with a store.db in it; it was not touched. Name a directory"
        )
    is_store = os.path.isdir(path / locations.JOURNALS) or os.path.exists(path / "store.db")
    if path.name != locations.DIRECTORY and not is_store and os.path.isdir(path / locations.DIRECTORY):
        path = path / locations.DIRECTORY
    return Location(path, "named by the tracking URI", is_explicit=True)


def open_place(uri: str | os.PathLike[str] | None = None, *, make: bool = False) -> Place:
    """Open the store of a URI, once per process.

    Parameters
    ----------
    uri : str or path, optional
        Default: discovered.
    make : bool
        Make a local store's directory when it is not there.

    Raises
    ------
    InvalidValueError
        If no store answers to the URI's scheme.
    StoreUnavailableError
        If its directory cannot be made.
    """
    location = locate(uri)
    with _lock:
        if location is None and _scheme(str(uri)) in ("http", "https"):
            return _open_server(str(uri), make=make)
        if location is None:
            place = _cached(str(uri), lambda: Place(str(uri), lambda: _open_scheme(str(uri))))
            if make:
                _ = place.store  # a scheme that nobody knows is said now, not by the courier
            return place
        if make:
            location, is_new = locations.make(location)
            if is_new:
                _announce(location)
        chosen = location
        return _cached(str(chosen.path), lambda: _open_local(chosen))


def is_made(location: Location) -> bool:
    """Whether there is a store at a location, be it one that has only journals yet."""
    return any(os.path.exists(location.path / name) for name in ("store.db", locations.JOURNALS))


def open_nothing() -> Place:
    """A place without runs, for those who read where no store is."""
    return Place("memory:", lambda: _open_scheme("memory:"))


def _cached(key: str, maker: Callable[[], Place]) -> Place:
    place = _open.get(key)
    if place is None:
        place = _open[key] = maker()
    return place


def _open_server(uri: str, *, make: bool) -> Place:
    from mlops_sdk.stores.http.credentials import address
    from mlops_sdk.stores.remote import RemotePlace

    address(uri)
    place = _cached(uri.rstrip("/"), lambda: RemotePlace(uri.rstrip("/")))
    if make and isinstance(place, RemotePlace):
        place.make()
    return place


def open_unsent() -> Place:
    """The discovered local store, as one whose runs wait for a server that is not named yet: ``MLOPS_MODE=offline``."""
    from mlops_sdk.stores.remote import RemotePlace

    with _lock:
        return _cached("offline:", lambda: RemotePlace("", make=True))


def _open_local(location: Location) -> Place:
    def opener() -> Store:
        from mlops_sdk.stores.sqlite.store import SQLiteStore

        return SQLiteStore(location.path, wal=not place.is_merged_by_readers)

    place = Place(str(location.path), opener, location)
    return place


def _open_scheme(uri: str) -> Store:
    scheme = _scheme(uri)
    if scheme == "memory":  # each name is a store of its own
        from mlops_sdk.stores.memory import MemoryStore

        return cast("Store", MemoryStore())
    if scheme == "postgresql":
        raise InvalidValueError(f"no store for {uri!r}: this version keeps runs in SQLite, or on an `mlops server`")
    from importlib.metadata import entry_points

    for entry in entry_points(group="mlops_sdk.stores", name=scheme):
        return cast("Store", entry.load()(uri))
    raise InvalidValueError(f"no store for {uri!r}: give a directory, sqlite:///PATH or memory:")


def _announce(location: Location) -> None:
    """Say once, where the first run goes; a log record would be lost in most scripts."""
    import sys

    sys.stderr.write(f"mlops_sdk: runs are kept in {location.path} ({location.reason})\n")


def close_places() -> None:
    """At the end of the process: the last one to close a local store leaves one clean file."""
    with _lock:
        places = list(_open.values())
    for place in places:
        place.close()


def forget_places() -> None:
    """In a forked child: the parent's connections are not ours."""
    global _lock
    _lock = threading.RLock()
    _abandoned.append(dict(_open))
    _open.clear()


_abandoned: list[dict[str, Place]] = []
"""Kept referenced: closing a connection in a child would drop the parent's locks."""

_forking.watch(_forking.STORES, after_in_child=forget_places)
