"""Bytes of artifacts on a server: sent in pieces and resumed, read through a cache that is verified."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlops_sdk.blobs.arriving import Arriving
from mlops_sdk.blobs.durable import make_directories
from mlops_sdk.blobs.local import Blob, LocalBlobs
from mlops_sdk.blobs.progress import transfer_progress
from mlops_sdk.blobs.tree import open_regular
from mlops_sdk.errors import IntegrityError, InvalidValueError, StoreError, StoreUnavailableError
from mlops_sdk.stores.http.client import API, Client
from mlops_sdk.stores.http.pieces import Piece

if TYPE_CHECKING:
    import requests

    from mlops_sdk.blobs.progress import Progress

    _Read = Callable[[int, int], Piece | bytes]

PIECE_BYTES = 32 << 20
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

    def put_known(self, path: str | Path, sha256: str, *, progress: Progress | None = None) -> Blob:
        """Send a file whose digest was computed when it was stored here: it is read once, and the server checks it.

        Raises
        ------
        IntegrityError
            If the file is not what it was.
        StoreError
        """
        with open_regular(path) as source:
            return self._put(source, _checked(sha256), os.fstat(source.fileno()).st_size, progress)

    def put_open(self, source: BinaryIO, *, progress: Progress | None = None) -> Blob:
        """See `Blobs.put_open`.

        Raises
        ------
        IntegrityError
            If the file was changed while it was sent.
        """
        source.seek(0)
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]  # binary files have `readinto`
        return self._put(source, sha256, source.tell(), progress)

    def _put(self, source: BinaryIO, sha256: str, size: int, progress: Progress | None) -> Blob:
        if self.has(sha256):
            if progress is not None:
                progress.update(size)
            return Blob(sha256, size, is_new=False)
        self._send(sha256, size, lambda offset, count: Piece(source.fileno(), offset, count), progress)
        return Blob(sha256, size, is_new=True)

    def _send(self, sha256: str, size: int, read: _Read, progress: Progress | None) -> None:
        """Send from where the server is, in pieces; what a broken connection brought is not sent again."""
        offset, fruitless, told = self._offset(sha256) if size > PIECE_BYTES else 0, 0, 0
        while True:
            piece = read(offset, min(PIECE_BYTES, size - offset))
            path = f"{API}/blobs/{sha256}?offset={offset}&total={size}"
            try:
                answer = self._client.request("PUT", path, piece, _BINARY)
                said = self._client.understand(answer, "offset", "is_kept")
                there, is_kept = int(said["offset"]), bool(said["is_kept"])
            except (StoreUnavailableError, IntegrityError):
                raise
            except StoreError:  # 409: another client, or an earlier try of this one, has sent more
                is_kept = self.has(sha256)
                there = size if is_kept else self._offset(sha256)
                fruitless = 0 if there > offset else fruitless + 1
                if not is_kept and fruitless > _TRIES:
                    raise
            else:
                if there >= size and not is_kept:
                    raise StoreError(f"{self._client.uri} took all of {sha256[:12]} and did not keep it")
            offset = there
            if progress is not None and (size if is_kept else offset) > told:
                progress.update((size if is_kept else offset) - told)
                told = offset
            if is_kept:
                return

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
        if self._cache.has(_checked(sha256)):
            try:
                return self._cache.path(sha256, verify=verify)
            except IntegrityError:  # damaged here: the server's are another matter
                self._cache.remove(sha256)
        self._download(sha256)
        return self._cache.path(sha256, verify=False)  # hashed as it came

    def open(self, sha256: str) -> BinaryIO:
        """See `Blobs.open`."""
        return self.path(sha256, verify=False).open("rb")

    def _download(self, sha256: str) -> None:
        """Fetch the bytes into the cache, going on where a connection broke; nothing wrong is ever kept."""
        make_directories(self._cache.root)
        descriptor, name = tempfile.mkstemp(prefix="download-", dir=self._cache.root)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as target, Arriving(target.fileno()) as arriving:
                self._fetch_all(sha256, arriving)
                found = arriving.hexdigest()
                if found != sha256:
                    raise IntegrityError(f"blob {sha256[:12]} from {self._client.uri}", sha256, found)
            self._cache.adopt(name, sha256, arriving.n_bytes, sync=False)  # lost by a power cut, it is fetched again
        except OSError as error:
            raise StoreUnavailableError(f"the cache {self._cache.root} cannot be written: {error}") from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(name)

    def _fetch_all(self, sha256: str, arriving: Arriving) -> None:
        fruitless = 0
        while True:
            before = arriving.n_bytes
            try:
                self._fetch(sha256, arriving)
                return
            except StoreUnavailableError:
                fruitless = 0 if arriving.n_bytes > before else fruitless + 1
                if fruitless >= _TRIES:
                    raise

    def _fetch(self, sha256: str, arriving: Arriving) -> None:
        import requests
        import urllib3

        there = arriving.n_bytes
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={there}-"} if there else {})}
        with self._client.stream(f"{API}/blobs/{sha256}", headers) as answer:
            if there and answer.status_code != 206:
                arriving.restart()
            with transfer_progress(_length(answer), sha256[:12]) as progress:
                try:
                    read_into = _reader(answer)
                    while size := arriving.take(read_into):
                        progress.update(size)
                except (
                    requests.exceptions.RequestException,
                    urllib3.exceptions.HTTPError,
                    http.client.HTTPException,
                ) as error:
                    raise StoreUnavailableError(f"{self._client.uri}: the download broke off: {error}") from error
                except OSError as error:
                    if arriving.has_failed:
                        raise
                    raise StoreUnavailableError(f"{self._client.uri}: the download broke off: {error}") from error

    def digests(self) -> Iterator[str]:
        """See `Blobs.digests`."""
        return iter(self._client.request("GET", f"{API}/blobs").text.split())

    def remove(self, sha256: str) -> int:
        """See `Blobs.remove`; needs a token with the role admin."""
        self._cache.remove(_checked(sha256))
        answer = self._client.request("DELETE", f"{API}/blobs/{sha256}")
        return int(self._client.understand(answer, "freed")["freed"])


def _reader(answer: requests.Response) -> Callable[[memoryview], int]:
    """What fills a block from an answer; from the connection itself where its length is known, so that nothing is copied."""
    below = getattr(answer.raw, "_fp", None)
    if isinstance(below, http.client.HTTPResponse) and not below.chunked and below.length is not None:
        expected, response = below.length, below

        def read_into(block: memoryview) -> int:
            nonlocal expected
            size = response.readinto(block)
            expected -= size
            if size == 0 and expected > 0:
                raise http.client.IncompleteRead(b"", expected)
            return size

        return read_into

    def read_copy(block: memoryview) -> int:
        piece = answer.raw.read(len(block), decode_content=False)
        block[: len(piece)] = piece
        return len(piece)

    return read_copy


def _length(answer: requests.Response) -> int:
    said = answer.headers.get("Content-Length", "")
    return int(said) if said.isdigit() and len(said) < 19 else 0


def _checked(sha256: str) -> str:
    if not isinstance(sha256, str) or len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise InvalidValueError(f"{str(sha256)[:80]!r} is no SHA-256: 64 lower-case hex digits are")
    return sha256
