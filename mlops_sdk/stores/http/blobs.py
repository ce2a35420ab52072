"""Bytes of artifacts on a server: sent in pieces and resumed, read through a cache that is verified."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlops_sdk.blobs.local import Blob, LocalBlobs
from mlops_sdk.blobs.tree import open_regular
from mlops_sdk.errors import IntegrityError, InvalidValueError, StoreError, StoreUnavailableError
from mlops_sdk.stores.http.client import API, Client

if TYPE_CHECKING:
    from mlops_sdk.blobs.progress import Progress

PIECE_BYTES = 8 << 20
_READ_BYTES = 1 << 20
_TRIES = 5
_BINARY = {"Content-Type": "application/octet-stream"}


def cache_directory() -> Path:
    """Where what was downloaded is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "mlops" / "blobs"


class HTTPBlobs:
    """The blobs of a server.

    Parameters
    ----------
    client : Client
    cache : Path, optional
        Where downloads are kept.

    Notes
    -----
    Bytes that the server has are not sent again: asking costs one round trip. Both sides compute the digest. Thread-safe.
    """

    def __init__(self, client: Client, cache: Path | None = None) -> None:
        self._client = client
        self._cache = LocalBlobs(cache_directory() if cache is None else cache)

    def put_bytes(self, data: bytes | memoryview) -> Blob:
        """See `Blobs.put_bytes`."""
        content = bytes(data)
        sha256 = hashlib.sha256(content).hexdigest()
        if self.has(sha256):
            return Blob(sha256, len(content), is_new=False)
        self._send(sha256, len(content), lambda offset, size: content[offset : offset + size], None)
        return Blob(sha256, len(content), is_new=True)

    def put_file(self, path: str | Path, *, progress: Progress | None = None) -> Blob:
        """See `Blobs.put_file`."""
        with open_regular(path) as source:
            return self.put_open(source, progress=progress)

    def put_open(self, source: BinaryIO, *, progress: Progress | None = None) -> Blob:
        """See `Blobs.put_open`.

        Raises
        ------
        IntegrityError
            If the file was changed while it was sent.
        """
        source.seek(0)
        sha256, size = _digest(source)
        if self.has(sha256):
            if progress is not None:
                progress.update(size)
            return Blob(sha256, size, is_new=False)

        def read(offset: int, count: int) -> bytes:
            source.seek(offset)
            return source.read(count)

        self._send(sha256, size, read, progress)
        return Blob(sha256, size, is_new=True)

    def _send(self, sha256: str, size: int, read: object, progress: Progress | None) -> None:
        offset, known = self._offset(sha256) if size > PIECE_BYTES else 0, 0
        while True:
            piece = read(offset, min(PIECE_BYTES, size - offset))  # type: ignore[operator]
            path = f"{API}/blobs/{sha256}?offset={offset}&total={size}"
            try:
                answer = self._client.request("PUT", path, piece, _BINARY)
                said = self._client.understand(answer, "offset", "is_kept")
            except StoreUnavailableError:
                raise
            except StoreError:  # 409: another client, or an earlier try of this one, has sent more
                if (known := known + 1) > _TRIES:
                    raise
                if self.has(sha256):
                    return
                offset = self._offset(sha256)
                continue
            if progress is not None:
                progress.update(len(piece))
            offset = int(said["offset"])
            if said["is_kept"]:
                return
            if offset >= size:
                raise StoreError(f"{self._client.uri} took all of {sha256[:12]} and did not keep it")

    def _offset(self, sha256: str) -> int:
        answer = self._client.request("GET", f"{API}/blobs/{sha256}/upload")
        return int(self._client.understand(answer, "offset")["offset"])

    def has(self, sha256: str) -> bool:
        """See `Blobs.has`."""
        path = f"{API}/blobs/{_checked(sha256)}"
        return self._client.request("HEAD", path, missing_is_fine=True).status_code == 200

    def path(self, sha256: str, *, verify: bool = True) -> Path:
        """See `Blobs.path`: of the cache, filled when it lacks the bytes.

        Raises
        ------
        ArtifactNotFoundError, IntegrityError, StoreUnavailableError
        """
        if not self._cache.has(_checked(sha256)):
            self._download(sha256)
        try:
            return self._cache.path(sha256, verify=verify)
        except IntegrityError:  # damaged here: the server's are another matter
            self._cache.remove(sha256)
            self._download(sha256)
            return self._cache.path(sha256, verify=verify)

    def open(self, sha256: str) -> BinaryIO:
        """See `Blobs.open`."""
        return self._cache_open(self.path(sha256, verify=False))

    @staticmethod
    def _cache_open(path: Path) -> BinaryIO:
        return path.open("rb")

    def _download(self, sha256: str) -> None:
        """Fetch the bytes into the cache, going on where a connection broke; nothing wrong is ever kept."""
        with tempfile.TemporaryFile() as target:
            for number in range(_TRIES):
                try:
                    self._fetch(sha256, target)
                    break
                except StoreUnavailableError:
                    if number == _TRIES - 1:
                        raise
            target.seek(0)
            found, _ = _digest(target)
            if found != sha256:
                raise IntegrityError(f"blob {sha256[:12]} from {self._client.uri}", sha256, found)
            self._cache.put_open(target)

    def _fetch(self, sha256: str, target: BinaryIO) -> None:
        import requests

        there = target.seek(0, os.SEEK_END)
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={there}-"} if there else {})}
        with self._client.stream(f"{API}/blobs/{sha256}", headers) as answer:
            if there and answer.status_code != 206:
                target.truncate(0)
                target.seek(0)
            try:
                target.writelines(answer.iter_content(_READ_BYTES))
            except (requests.exceptions.RequestException, OSError) as error:
                raise StoreUnavailableError(f"{self._client.uri}: the download broke off: {error}") from error

    def digests(self) -> Iterator[str]:
        """See `Blobs.digests`."""
        return iter(self._client.request("GET", f"{API}/blobs").text.split())

    def remove(self, sha256: str) -> int:
        """See `Blobs.remove`; needs a token with the role admin."""
        self._cache.remove(_checked(sha256))
        answer = self._client.request("DELETE", f"{API}/blobs/{sha256}")
        return int(self._client.understand(answer, "freed")["freed"])


def _digest(source: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while piece := source.read(_READ_BYTES):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def _checked(sha256: str) -> str:
    if not isinstance(sha256, str) or len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise InvalidValueError(f"{str(sha256)[:80]!r} is no SHA-256: 64 lower-case hex digits are")
    return sha256
