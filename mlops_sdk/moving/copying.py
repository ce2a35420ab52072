"""Runs brought from one store to another: their bytes first, then their records; then both are read and compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_sdk.blobs.progress import transfer_progress
from mlops_sdk.errors import IntegrityError, RunExistsError
from mlops_sdk.moving.identity import Identity, head_of, identify, parts_of
from mlops_sdk.moving.rebuild import rebuild, writer_ids

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_sdk.journal.records import Batch
    from mlops_sdk.stores.protocol import Blobs, Store


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of a run.

    Attributes
    ----------
    identity : Identity
    is_new : bool
        False: the other store had it already, equal in everything.
    """

    identity: Identity
    is_new: bool


def copy_run(source: Store, target: Store, run_id: str) -> Copied:
    """Copy a run with its history, artifacts and lineage.

    Parameters
    ----------
    source, target : Store
    run_id : str

    Raises
    ------
    RunNotFoundError
    RunExistsError
        If the target has another run of that id; nothing was changed.
    IntegrityError
        If what arrived is not what was sent: bytes, or the run as a whole.
    ArtifactNotFoundError
        If bytes are gone.
    StoreError

    Notes
    -----
    Idempotent, and goes on where it was interrupted. Parents are named by id: copy them too.
    """
    identity = identify(source, run_id)
    ship(source.blobs, target.blobs, [ref.sha256 for ref in parts_of(source, run_id).artifacts])
    return Copied(identity, place(target, identity, rebuild(source, identity)))


def place(target: Store, identity: Identity, batches: Iterable[Batch]) -> bool:
    """Have `target` hold a run, and compare; returns whether it was new.

    Raises
    ------
    RunExistsError, IntegrityError, StoreError
    """
    is_new = not _has(target, identity)
    if is_new:
        for batch in batches:
            target.append(batch)
        found = identify(target, identity.run_id)
        if found != identity:
            raise IntegrityError(f"run {identity.run_id}", identity.digest, found.digest)
        target.settle(identity.run_id)
    return is_new


def _has(target: Store, identity: Identity) -> bool:
    """Whether the run is there, whole; a copy that broke off is gone on with."""
    if head_of(target, identity.run_id) is None:
        return False
    if identify(target, identity.run_id) == identity:
        return True
    theirs = {each.writer_id for each in parts_of(target, identity.run_id).writers}
    if theirs and theirs <= writer_ids(identity):
        return False
    raise RunExistsError(identity.run_id)


def ship(source: Blobs, target: Blobs, digests: Iterable[str]) -> None:
    """Bytes of artifacts, each once; verified by the reader here and by the writer there."""
    for digest in dict.fromkeys(digests):
        if not target.has(digest):
            send(target, source.path(digest), digest)


def send(target: Blobs, path: Path, digest: str) -> None:
    """Have `target` keep a file.

    Raises
    ------
    IntegrityError
        If its bytes are not those of the digest.
    """
    with transfer_progress(path.stat().st_size, digest[:12]) as progress:
        blob = target.put_file(path, progress=progress)
    if blob.sha256 != digest:
        if blob.is_new:
            target.remove(blob.sha256)
        raise IntegrityError(f"blob {digest[:12]}", digest, blob.sha256)
