"""What goes to a server: the bytes that records refer to first, then the records; of living writers, dead ones, and copies.

A journal that is for a server too stands in a directory of its own (``<store>/remote/<server>/``), so that nobody removes it
when the local store has everything. There it stays until both stores have it.

References
----------
.. [1] ``docs/adr/0009-remote.md``
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk._logging import warn
from mlops_sdk.blobs.progress import transfer_progress
from mlops_sdk.courier import recovery
from mlops_sdk.errors import ArtifactNotFoundError, MlopsError, StoreCorruptError, StoreError
from mlops_sdk.journal import reader
from mlops_sdk.journal.records import Kind, decode

if TYPE_CHECKING:
    from mlops_sdk.courier.route import Opened
    from mlops_sdk.journal.records import Batch
    from mlops_sdk.stores.protocol import Blobs, Store


def ship_blobs(batch: Batch, source: Blobs, target: Blobs, shipped: set[str]) -> None:
    """Have `target` hold the bytes of every artifact that a batch names.

    Parameters
    ----------
    batch : Batch
    source, target : Blobs
    shipped : set of str
        Digests that need not be asked for again; grows.

    Raises
    ------
    StoreError
        If they could not be sent.

    Notes
    -----
    Bytes that are gone here are said, and the record goes without them: what else was logged must not wait for ever.
    """
    try:
        events = decode(batch).events
    except StoreCorruptError:  # for the store to refuse
        return
    for event in events:
        digest = event.payload.get("sha256") if event.kind == Kind.ARTIFACT and event.payload else None
        if not isinstance(digest, str) or digest in shipped:
            continue
        _ship(digest, source, target)
        shipped.add(digest)


def _ship(digest: str, source: Blobs, target: Blobs) -> None:
    if target.has(digest):
        return
    try:
        path = source.path(digest, verify=False)
    except ArtifactNotFoundError:
        warn("mlops_sdk: the bytes with sha256 %s are not here any more: the server gets their name only", digest)
        return
    put_known = getattr(target, "put_known", None)  # it was hashed when it was stored here: once is enough
    # a bar is for whoever waits, as `mlops sync` does: not for a training with a courier in the background
    size = path.stat().st_size if threading.current_thread() is threading.main_thread() else 0
    with transfer_progress(size, digest[:12]) as progress:
        if put_known is None:
            target.put_file(path, progress=progress)
        else:
            put_known(path, digest, progress=progress)


class WithBlobs:
    """A remote store whose `append` sends the bytes first; otherwise the store itself."""

    def __init__(self, local: Opened, remote: Opened) -> None:
        self._local = local
        self._remote = remote
        self._shipped: set[str] = set()

    @property
    def store(self) -> Store:
        """Itself: as `Opened`."""
        return self  # type: ignore[return-value]  # what it does not define is the store's

    def append(self, batch: Batch) -> int:
        """See `Store.append`."""
        store = self._remote.store
        ship_blobs(batch, self._local.store.blobs, store.blobs, self._shipped)
        return store.append(batch)

    def settle(self, run_id: str) -> None:
        """See `Store.settle`; housekeeping is no reason to send something again."""
        try:
            self._remote.store.settle(run_id)
        except StoreError:
            return

    def __getattr__(self, name: str) -> object:
        return getattr(self._remote.store, name)


def send(local: Opened, remote: Opened, root: Path, *, limit_s: float | None = None) -> recovery.Report:
    """Deliver the journals of dead writers in `root` to both stores; removed is what both have.

    Never raises; see `recovery.sweep`.
    """
    report = recovery.sweep(local.store, root, limit_s=limit_s, keep=True)
    sent = recovery.sweep(WithBlobs(local, remote).store, root, limit_s=limit_s)
    report.adopted = sent.adopted
    report.errors += sent.errors
    report.is_complete = report.is_complete and sent.is_complete
    return report


def send_living(local: Opened, remote: Opened, root: Path) -> list[Exception]:
    """Deliver what writers that live have published: those of ``MLOPS_MODE=offline`` do not do so themselves."""
    errors: list[Exception] = []
    outbound = WithBlobs(local, remote).store
    for directory in reader.writers(root):
        try:
            recovery.send_news(outbound, directory)
        except (MlopsError, OSError) as error:
            errors.append(error)
    return errors


def waiting(root: Path) -> int:
    """How many writers' journals stand in `root`."""
    return len(reader.writers(root))
