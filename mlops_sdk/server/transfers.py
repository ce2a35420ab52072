"""Bytes of artifacts on their way to the server: in pieces, resumable, kept only under the digest they have.

A piece is written at the end of a file that is named by the digest it is to have; whoever continues asks first how much is
there. Names of clients are no part of any path: the digest is checked to be one.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk.blobs.durable import make_directories
from mlops_sdk.errors import IntegrityError
from mlops_sdk.server.bodies import RefusedError

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Blobs

_DIGEST = re.compile("[0-9a-f]{64}")
_STALE_S = 7 * 86400.0


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


class Uploads:
    """Uploads that are not complete yet, in a directory of their own.

    Notes
    -----
    Thread-safe. Two clients that send the same bytes share one upload: what one has sent, the other need not.
    """

    def __init__(self, directory: Path, blobs: Blobs) -> None:
        self._directory = directory
        self._blobs = blobs
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def offset(self, sha256: str) -> int:
        """Bytes that are there of an upload."""
        try:
            return os.stat(self._path(sha256)).st_size
        except FileNotFoundError:
            return 0

    def write(self, sha256: str, offset: int, data: bytes, total: int) -> tuple[int, bool]:
        """Take a piece; returns how much is there now, and whether that is all and was kept.

        Raises
        ------
        RefusedError
            409 if the piece does not begin where the last one ended: carries the offset in its text.
        IntegrityError
            If all of it is there and has another digest; the upload begins anew.
        StoreUnavailableError
        """
        with self._of(sha256):
            there = self.offset(sha256)
            if offset == 0 and there:  # somebody begins anew
                os.truncate(self._path(sha256), 0)
                there = 0
            if offset != there:
                raise RefusedError(409, "offset", f"{there} bytes are there")
            make_directories(self._directory)
            descriptor = os.open(self._path(sha256), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(data)
            there += len(data)
            if there < total:
                return there, False
            return there, self._keep(sha256)

    def _keep(self, sha256: str) -> bool:
        path = self._path(sha256)
        blob = self._blobs.put_file(path)
        with contextlib.suppress(OSError):
            os.unlink(path)
        if blob.sha256 != sha256:
            if blob.is_new:
                self._blobs.remove(blob.sha256)
            raise IntegrityError("the uploaded bytes", sha256, blob.sha256)
        return True

    def sweep(self) -> None:
        """Delete what nobody has gone on with for a week."""
        with contextlib.suppress(OSError):
            for path in self._directory.iterdir():
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self._directory / check_digest(sha256)

    @contextlib.contextmanager
    def _of(self, sha256: str):  # type: ignore[no-untyped-def]  # a context manager
        with self._lock:
            lock = self._locks.setdefault(sha256, threading.Lock())
            if len(self._locks) > 10_000:
                self._locks = {sha256: lock}
        with lock:
            yield
