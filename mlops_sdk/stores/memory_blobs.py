"""`MemoryBlobs`: the blob protocol over a dict."""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlops_sdk.blobs.local import Blob
from mlops_sdk.errors import ArtifactNotFoundError, IntegrityError, InvalidValueError

if TYPE_CHECKING:
    from mlops_sdk.blobs.progress import Progress


class MemoryBlobs:
    """Content-addressed bytes in a dict.

    Attributes
    ----------
    contents : dict of str to bytes
        The bytes by digest; a side door for tests.

    Notes
    -----
    Thread-safe. `path` writes into a private temporary directory, which `close` removes.
    """

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self._directory: Path | None = None
        self._lock = threading.Lock()

    def put_bytes(self, data: bytes | memoryview) -> Blob:
        """See `Blobs.put_bytes`."""
        kept = bytes(data)
        sha256 = hashlib.sha256(kept).hexdigest()
        with self._lock:
            is_new = sha256 not in self.contents
            self.contents.setdefault(sha256, kept)
        return Blob(sha256, len(kept), is_new)

    def put_file(self, path: str | Path, *, progress: Progress | None = None) -> Blob:
        """See `Blobs.put_file`."""
        if not Path(path).is_file():
            raise InvalidValueError(f"{path} is no regular file")
        with Path(path).open("rb") as source:
            return self.put_open(source, progress=progress)

    def put_open(self, source: BinaryIO, *, progress: Progress | None = None) -> Blob:
        """See `Blobs.put_open`."""
        source.seek(0)
        blob = self.put_bytes(source.read())
        if progress is not None:
            progress.update(blob.size_bytes)
        return blob

    def has(self, sha256: str) -> bool:
        """See `Blobs.has`."""
        return sha256 in self.contents

    def path(self, sha256: str, *, verify: bool = True) -> Path:
        """See `Blobs.path`."""
        data = self._data(sha256)
        found = hashlib.sha256(data).hexdigest() if verify else sha256
        if found != sha256:
            raise IntegrityError("blob", sha256, found)
        with self._lock:
            self._directory = self._directory or Path(tempfile.mkdtemp(prefix="mlops-memory-"))
            path = self._directory / sha256
            if not path.exists():
                path.write_bytes(data)
                path.chmod(stat.S_IRUSR)
        return path

    def open(self, sha256: str) -> BinaryIO:
        """See `Blobs.open`."""
        return io.BytesIO(self._data(sha256))

    def digests(self) -> Iterator[str]:
        """See `Blobs.digests`."""
        return iter(list(self.contents))

    def remove(self, sha256: str) -> int:
        """See `Blobs.remove`."""
        with self._lock:
            if self._directory is not None:
                _unlink(self._directory / sha256)
            return len(self.contents.pop(sha256, b""))

    def close(self) -> None:
        """Remove the temporary directory."""
        with self._lock:
            directory, self._directory = self._directory, None
        if directory is not None:
            for path in directory.iterdir():
                _unlink(path)
            shutil.rmtree(directory, ignore_errors=True)

    def _data(self, sha256: str) -> bytes:
        if sha256 not in self.contents:
            raise ArtifactNotFoundError(sha256, f"no blob {sha256} in this store")
        return self.contents[sha256]


def _unlink(path: Path) -> None:
    """Remove a read-only file; Windows wants it writable first."""
    with contextlib.suppress(FileNotFoundError):
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        path.unlink()
