"""Bytes of artifacts on their way to the server: in pieces, resumable, kept only under the digest they have.

A piece is written at the end of a file that is named by the digest it is to have; whoever continues asks first how much is
there. Names of clients are no part of any path: the digest is checked to be one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk.blobs.copying import write_all
from mlops_sdk.blobs.durable import make_directories
from mlops_sdk.blobs.local import LocalBlobs
from mlops_sdk.errors import IntegrityError, StoreUnavailableError
from mlops_sdk.server.bodies import RefusedError

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Blobs

_DIGEST = re.compile("[0-9a-f]{64}")
_STALE_S = 7 * 86400.0
_MOST_HASHED = 1000


def check_digest(sha256: str) -> str:
    """A digest in a URL.

    Raises
    ------
    RefusedError
        400 if it is none.
    """
    if not _DIGEST.fullmatch(sha256):
        raise RefusedError(400, "invalid", "a digest is 64 lower-case hex digits")
    return sha256


class _Hashed:
    """The digest of what has arrived of one upload, so that it need not be read again."""

    def __init__(self) -> None:
        self.size = 0
        self._digest = hashlib.sha256()
        self.hexdigest = self._digest.hexdigest

    def update(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.size += len(piece)


class Uploads:
    """Uploads that are not complete yet, in a directory of their own.

    Notes
    -----
    Thread-safe. Two clients that send the same bytes share one upload: what one has sent, the other need not.
    """

    def __init__(self, directory: Path, blobs: Blobs) -> None:
        self._directory = directory
        self._blobs = blobs
        self._hashed: dict[str, _Hashed] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def offset(self, sha256: str) -> int:
        """Bytes that are there of an upload."""
        try:
            return os.stat(self._path(sha256)).st_size
        except FileNotFoundError:
            return 0

    def write(self, sha256: str, offset: int, data: Sequence[bytes]) -> int:
        """Take a block; returns how much is there now.

        Raises
        ------
        RefusedError
            409 if the block does not begin where the last one ended: carries the offset in its text.
        StoreUnavailableError
        """
        with self._of(sha256), _writing():
            there = self.offset(sha256)
            if offset == 0 and there:  # somebody begins anew
                os.truncate(self._path(sha256), 0)
                there = 0
            if offset != there:
                raise RefusedError(409, "offset", f"{there} bytes are there")
            if there == 0:
                make_directories(self._directory)
            hashed = self._hashed.pop(sha256, None) if there else _Hashed()
            descriptor = os.open(self._path(sha256), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                for piece in data:
                    write_all(descriptor, piece)
                    there += len(piece)
                    if hashed is not None:
                        hashed.update(piece)
            finally:
                os.close(descriptor)
            if hashed is not None:
                self._remember(sha256, hashed)
            return there

    def keep(self, sha256: str, total: int) -> bool:
        """Keep an upload under its digest when all of it is there; returns whether it was.

        Raises
        ------
        IntegrityError
            If all of it is there and has another digest; the upload begins anew.
        StoreUnavailableError
        """
        with self._of(sha256):
            there = self.offset(sha256)
            if there < total:
                return self._blobs.has(sha256)  # another client may have sent the same bytes, and been faster
            path, hashed = self._path(sha256), self._hashed.pop(sha256, None)
            if total == 0 and not path.exists():
                self._blobs.put_bytes(b"")
                found = hashlib.sha256(b"").hexdigest()
            else:
                found = hashed.hexdigest() if hashed and hashed.size == there else _digest_of(path)
            if found == sha256 and path.exists():
                self._move(path, sha256, there)
            with contextlib.suppress(OSError):
                os.unlink(path)
            if found != sha256:
                raise IntegrityError("the uploaded bytes", sha256, found)
            return True

    def _move(self, path: Path, sha256: str, size: int) -> None:
        """The bytes were hashed as they were written: they are moved, not copied, where the store can."""
        if isinstance(self._blobs, LocalBlobs) and path.stat().st_dev == _device(self._blobs.root):
            self._blobs.adopt(path, sha256, size)
        else:
            self._blobs.put_file(path)

    def _remember(self, sha256: str, hashed: _Hashed) -> None:
        while len(self._hashed) >= _MOST_HASHED:  # one that is forgotten is hashed from the disk at its end
            self._hashed.pop(next(iter(self._hashed)), None)
        self._hashed[sha256] = hashed

    def sweep(self) -> None:
        """Delete what nobody has gone on with for a week."""
        with contextlib.suppress(OSError):
            for path in self._directory.iterdir():
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self._directory / check_digest(sha256)

    @contextlib.contextmanager
    def _of(self, sha256: str) -> Iterator[None]:
        with self._lock:
            lock = self._locks.setdefault(sha256, threading.Lock())
            if len(self._locks) > 10_000:
                self._locks = {sha256: lock}
        with lock:
            yield


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(f"an upload cannot be written: {error.strerror or error}") from error


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _device(root: Path) -> int:
    try:
        return os.stat(root).st_dev
    except FileNotFoundError:
        return -1
