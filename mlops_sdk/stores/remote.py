"""A place on a server, and the local store beside it that has everything this machine logged.

References
----------
.. [1] ``docs/adr/0009-remote.md``
"""

from __future__ import annotations

import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from mlops_sdk import config
from mlops_sdk._logging import warn
from mlops_sdk.blobs.durable import make_directories
from mlops_sdk.errors import MlopsError, StoreUnavailableError
from mlops_sdk.stores.opening import Place, open_place

if TYPE_CHECKING:
    from mlops_sdk.stores.http.store import HTTPStore
    from mlops_sdk.stores.protocol import Store

DIRECTORY = "remote"
"""Of a local store: the journals that are for servers too, a directory for each server."""
UNSENT = "unsent"
"""Among them: of runs that were offline and named no server."""
URI_FILE = "uri"
GREET_S = 1.0
"""How long a run waits for a server when it starts."""
_LOOK_AGAIN_S = 30.0


class RemotePlace(Place):
    """A server, or (uri "") one that will be named later.

    Attributes
    ----------
    uri : str
    home : Place
        The local store beside it.
    journals : Path
        Where the journals are that are for both.
    """

    def __init__(self, uri: str, *, make: bool = False) -> None:
        super().__init__(uri, self._open)
        self._home: Place | None = None
        self._server: HTTPStore | None = None
        self._look_again_at = 0.0
        self.has_warned = False
        if make:
            self.make()

    def make(self) -> None:
        """Make the local store and the directory of journals, where they are missing.

        Raises
        ------
        StoreUnavailableError
            If they cannot be made.
        """
        self._home = open_place(None, make=True) if self._home is None else self._home
        assert self._home.location is not None
        self.journals = directory_of(self._home.location.path, self.uri)
        try:
            make_directories(self.journals)
            if self.uri:
                (self.journals / URI_FILE).write_text(self.uri + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreUnavailableError(f"the journals in {self.journals} cannot be written: {error}") from error

    @property
    def home(self) -> Place:
        """The local store beside it; found, not made."""
        if self._home is None:
            self._home = open_place(None)
        return self._home

    @property
    def server(self) -> HTTPStore:
        """The store on the server; nothing is sent by asking for it."""
        with self._lock:
            if self._server is None:
                from mlops_sdk.stores.http.store import HTTPStore

                self._server = HTTPStore(self.uri)
            return self._server

    @property
    def remote(self) -> ForCourier:
        """Has the server's store as `store`, one that tries once: what the courier is given, which has a patience of its own."""
        return ForCourier(self.uri)

    @property
    def is_online(self) -> bool:
        """Whether there is a server that is to be spoken to."""
        return bool(self.uri) and config.resolve().mode != "offline"

    @property
    def store(self) -> Store:
        """What is read: the server's store, or while it cannot be reached the local one."""
        if not self.is_online:
            return self.copy()
        with self._lock:
            if self._store is not None:
                return self._store
            if time.monotonic() < self._look_again_at:
                return self.copy()
        if self.greet() is None:
            with self._lock:
                self._store = self.server
            return self.server
        return self.copy()

    def _open(self) -> Store:
        return self.store

    def copy(self) -> Store:
        """The local store, to be read in the server's place."""
        return cast("Store", OfflineCopy(self.home.store, self.uri))  # the rest is the local store's

    def greet(self) -> MlopsError | None:
        """Ask the server who it is, for a second; returns why it cannot be reached, and says so once.

        Raises
        ------
        AccessDeniedError
            If it refuses the token.
        StoreError, StoreVersionError
            If it is no server of ours.
        """
        error = greet(self.server, GREET_S)
        if error is None:
            self.has_warned = False
            return None
        if not isinstance(error, StoreUnavailableError):
            raise error
        self._look_again_at = time.monotonic() + _LOOK_AGAIN_S
        if not self.has_warned:
            self.has_warned = True
            warn("mlops_sdk: %s: runs are kept here and sent when it answers, or by `mlops sync`", error)
        return error

    def journal_roots(self) -> list[Path]:
        """None: these journals are for two stores, see `mlops_sdk.courier.outbound`."""
        return []

    def close(self) -> None:
        """Close connections; they are opened again when they are used again."""
        with self._lock:
            server, self._server, self._store = self._server, None, None
        if server is not None:
            server.close()


class ForCourier:
    """A server's store for a courier: each call is tried once, for the courier waits and tries again by itself."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._store: HTTPStore | None = None

    @property
    def store(self) -> HTTPStore:
        """The store; made when first used, for it loads `requests`."""
        if self._store is None:
            from mlops_sdk.stores.http.client import Patience
            from mlops_sdk.stores.http.store import HTTPStore

            self._store = HTTPStore(self.uri, patience=Patience(budget_s=0.0))
        return self._store


class OfflineCopy:
    """The local store while its server cannot be reached: read, not changed."""

    def __init__(self, local: Store, uri: str) -> None:
        self._local = local
        self._uri = uri

    def append(self, _: object) -> NoReturn:
        """Refuse: a change made here would never reach the server.

        Raises
        ------
        StoreUnavailableError
        """
        raise StoreUnavailableError(f"{self._uri or 'the server'} cannot be reached: nothing was changed, try again")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._local, name)


def greet(server: HTTPStore, limit_s: float) -> MlopsError | None:
    """Say hello within so many seconds, whatever hangs: name servers know no timeout of ours.

    Returns
    -------
    MlopsError or None
        Why it did not go well.
    """
    from mlops_sdk.stores.http.client import Patience

    outcome: list[MlopsError | None] = []

    def work() -> None:
        try:
            server.hello(patience=Patience(connect_s=limit_s, read_s=limit_s, budget_s=0.0))
            outcome.append(None)
        except MlopsError as error:
            outcome.append(error)

    thread = threading.Thread(target=work, name="mlops-greet", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is ending
        return StoreUnavailableError(f"{server.uri} was not asked: the interpreter is ending")
    thread.join(limit_s)
    return outcome[0] if outcome else StoreUnavailableError(f"{server.uri} does not answer within {limit_s:g} s")


def directory_of(home: Path, uri: str) -> Path:
    """Where a local store keeps the journals that are for the server of `uri` too."""
    return home / DIRECTORY / (f"{zlib.crc32(uri.rstrip('/').encode()):08x}" if uri else UNSENT)


def directories(home: Path) -> list[tuple[Path, str]]:
    """Directories of journals that are for servers, each with the server's URI, "" where none was named."""
    found = []
    try:
        entries = sorted(each for each in (home / DIRECTORY).iterdir() if each.is_dir() and not each.is_symlink())
    except OSError:
        return []
    for each in entries:
        try:
            uri = (each / URI_FILE).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            uri = ""
        found.append((each, uri))
    return found
