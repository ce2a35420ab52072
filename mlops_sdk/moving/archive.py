"""Runs in a file: a zip archive of batches and bytes, of which no name is ever used as a path.

==================  ====================================================================================================
member              content
==================  ====================================================================================================
``manifest.json``   ``{format, runs: [{run_id, digest, n_points, n_artifacts, member, sha256, blobs: [digest, ...]}]}``
``runs/N``          the run's batches as they travel to a server, each behind its length (uint32, little-endian)
``blobs/SHA256``    bytes of an artifact
==================  ====================================================================================================

References
----------
.. [1] ``docs/adr/0015-moving-runs.md``
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError, StoreCorruptError, StoreUnavailableError, StoreVersionError
from mlops_sdk.moving.copying import Copied, place, send
from mlops_sdk.moving.identity import Identity, identify, parts_of
from mlops_sdk.moving.rebuild import rebuild
from mlops_sdk.stores.http import wire

if TYPE_CHECKING:
    from mlops_sdk.journal.records import Batch
    from mlops_sdk.stores.protocol import Store

FORMAT = 1
_MANIFEST = "manifest.json"
_MEMBER = re.compile(r"manifest\.json|runs/[0-9]{1,7}|blobs/[0-9a-f]{64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LENGTH = struct.Struct("<I")
_MOST_MANIFEST_BYTES = 64 << 20
_MOST_BATCH_BYTES = 32 << 20
_MOST_RATIO = 200
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Entry:
    """A run as the manifest has it."""

    identity: Identity
    member: str
    sha256: str
    blobs: tuple[str, ...]


# -- writing -------------------------------------------------------------------------------------------------------------


def export_runs(store: Store, run_ids: Sequence[str], path: str | Path) -> list[Identity]:
    """Write runs with their history and artifacts into a file.

    Parameters
    ----------
    store : Store
    run_ids : sequence of str
    path : path-like
        Replaced when all is written, not before.

    Raises
    ------
    RunNotFoundError, ArtifactNotFoundError, IntegrityError, StoreError
    """
    path = Path(path)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise StoreUnavailableError(f"{path} cannot be written: {error.strerror or error}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                entries = _write(store, dict.fromkeys(run_ids), archive)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        raise StoreUnavailableError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
    return [each.identity for each in entries]


def _write(store: Store, run_ids: Sequence[str] | dict[str, None], archive: zipfile.ZipFile) -> list[_Entry]:
    entries: list[_Entry] = []
    written: set[str] = set()
    for number, run_id in enumerate(run_ids):
        identity = identify(store, run_id)
        digests = dict.fromkeys(ref.sha256 for ref in parts_of(store, run_id).artifacts)
        hasher = hashlib.sha256()
        with archive.open(f"runs/{number}", "w", force_zip64=True) as member:
            for batch in rebuild(store, identity):
                body = wire.encode_batch(batch)
                for part in (_LENGTH.pack(len(body)), body):
                    hasher.update(part)
                    member.write(part)
        for digest in digests:
            if digest not in written:
                archive.write(store.blobs.path(digest), f"blobs/{digest}", zipfile.ZIP_STORED)
                written.add(digest)
        entries.append(_Entry(identity, f"runs/{number}", hasher.hexdigest(), tuple(digests)))
    archive.writestr(_MANIFEST, wire.dumps({"format": FORMAT, "runs": [_said(each) for each in entries]}))
    return entries


def _said(entry: _Entry) -> dict[str, Any]:
    who = entry.identity
    return {
        "run_id": who.run_id,
        "digest": who.digest,
        "n_points": who.n_points,
        "n_artifacts": who.n_artifacts,
        "member": entry.member,
        "sha256": entry.sha256,
        "blobs": list(entry.blobs),
    }


# -- reading -------------------------------------------------------------------------------------------------------------


def import_runs(store: Store, path: str | Path) -> Iterator[Copied]:
    """Bring the runs of a file into a store, one by one.

    Parameters
    ----------
    store : Store
    path : path-like
        Written by `export_runs`; by anybody, in fact: nothing in it is trusted.

    Yields
    ------
    Copied

    Raises
    ------
    StoreCorruptError
        If it is no such file, cut short, damaged, or made to do harm; runs before the damage are there, whole.
    StoreVersionError
        If a later version wrote it.
    RunExistsError, IntegrityError, StoreError
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, os.stat(path).st_size)
            for entry in _manifest(archive, members):
                yield _bring(store, archive, members, entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, RuntimeError) as error:
        raise StoreCorruptError(f"{path} is no export of runs, or a damaged one: {error}") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # zipfile seeks to where the damaged directory says
            raise StoreCorruptError(f"{path} is no export of runs, or a damaged one") from error
        raise StoreUnavailableError(f"{path} cannot be read: {error.strerror or error}") from error


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """What is in the archive, if all of it is what we write."""
    found: dict[str, zipfile.ZipInfo] = {}
    packed = 0
    for info in archive.infolist():
        if not _MEMBER.fullmatch(info.filename) or info.filename in found:
            raise StoreCorruptError(f"{info.filename[:80]!r} has no place in an export of runs")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise StoreCorruptError(f"{info.filename} is encrypted, or packed in a way that we do not use")
        if info.file_size > max(_BLOCK_BYTES, info.compress_size * _MOST_RATIO):
            raise StoreCorruptError(f"{info.filename} unpacks to {info.file_size} bytes: that is no export of runs")
        found[info.filename] = info
        packed += info.compress_size
    if packed > size:
        raise StoreCorruptError("the members of the archive overlap")
    return found


def _manifest(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> list[_Entry]:
    info = members.get(_MANIFEST)
    if info is None or info.file_size > _MOST_MANIFEST_BYTES:
        raise StoreCorruptError("there is no manifest in it, or one without end")
    try:
        said = wire.loads(archive.read(info))
        version, runs = said["format"], said["runs"]
        if type(version) is not int:
            raise TypeError
        if version > FORMAT:
            raise StoreVersionError("the export", version, FORMAT)
        return [_entry(each) for each in runs]
    except (InvalidValueError, KeyError, TypeError, ValueError, AttributeError):
        raise StoreCorruptError("its manifest is none of ours") from None


def _entry(said: dict[str, Any]) -> _Entry:
    texts = [said[name] for name in ("run_id", "digest", "member", "sha256")]
    numbers = [said["n_points"], said["n_artifacts"]]
    blobs = said["blobs"]
    if not all(isinstance(each, str) for each in (*texts, *blobs)) or not all(type(each) is int for each in numbers):
        raise TypeError
    if not all(_DIGEST.fullmatch(each) for each in (texts[1], texts[3], *blobs)):
        raise ValueError
    return _Entry(Identity(texts[0], texts[1], *numbers), texts[2], texts[3], tuple(blobs))


def _bring(store: Store, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], entry: _Entry) -> Copied:
    for digest in dict.fromkeys(entry.blobs):
        if not store.blobs.has(digest):
            _bring_blob(store, archive, _member(members, f"blobs/{digest}"), digest)
    info = _member(members, entry.member)
    with archive.open(info) as member:
        _check(member, entry)
    with archive.open(info) as member:
        return Copied(entry.identity, place(store, entry.identity, _batches(member, entry)))


def _member(members: dict[str, zipfile.ZipInfo], name: str) -> zipfile.ZipInfo:
    if name not in members:
        raise StoreCorruptError(f"{name[:80]!r} is missing in the export")
    return members[name]


def _bring_blob(store: Store, archive: zipfile.ZipFile, info: zipfile.ZipInfo, digest: str) -> None:
    with tempfile.NamedTemporaryFile(prefix="mlops-import-") as file, archive.open(info) as member:
        while block := member.read(_BLOCK_BYTES):
            file.write(block)
        file.flush()
        send(store.blobs, Path(file.name), digest)


def _check(member: IO[bytes], entry: _Entry) -> None:
    """The whole of a run is hashed before a record of it is applied: a damaged one changes nothing."""
    hasher = hashlib.sha256()
    while block := member.read(_BLOCK_BYTES):
        hasher.update(block)
    if hasher.hexdigest() != entry.sha256:
        raise StoreCorruptError(f"run {entry.identity.run_id[:80]!r} is damaged in the export")


def _batches(member: IO[bytes], entry: _Entry) -> Iterator[Batch]:
    while head := member.read(_LENGTH.size):
        (length,) = _LENGTH.unpack(head)
        if length > _MOST_BATCH_BYTES:
            raise StoreCorruptError("a batch without end")
        body = member.read(length)
        try:
            batch = wire.decode_batch(body)
        except InvalidValueError as error:
            raise StoreCorruptError(f"a batch in the export cannot be read: {error}") from error
        if batch.writer.run_id != entry.identity.run_id:
            raise StoreCorruptError("a batch in the export belongs to another run")
        yield batch
