"""A content-addressed store of bytes on a local disk: ``<root>/sha256/ab/abcdef...``.

A blob's path is its SHA-256 and nothing else: no name given by anyone is ever part of it. A blob appears whole or not
at all (written and synced under `<root>/tmp`, then linked into place), is never overwritten while it is sound, and is
hashed again when it is read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from mlops_sdk.blobs.copying import copy_and_hash, write_all
from mlops_sdk.blobs.durable import (
    create_file,
    delete,
    make_directories,
    place_new,
    regular_size,
    replace,
    set_mode,
    sync_directory,
    sync_file,
)
from mlops_sdk.blobs.progress import Progress
from mlops_sdk.blobs.tree import open_regular
from mlops_sdk.errors import (
    ArtifactNotFoundError,
    IntegrityError,
    InvalidValueError,
    StoreCorruptError,
    StoreUnavailableError,
)

_DIGEST = re.compile("[0-9a-f]{64}")
_TEMPORARY = re.compile("[0-9a-f]{32}")
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_NO_SPACE = "free some disk space"
_NO_ACCESS = "check the owner and the permissions of the directory"
_WHAT_TO_DO = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE + ", or have the quota raised",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or use another file system",
    errno.EROFS: "mount the file system writable, or use another directory",
    errno.EACCES: _NO_ACCESS,
    errno.EPERM: _NO_ACCESS,
    errno.EMFILE: "close some files, or raise the limit on open files (ulimit -n)",
    errno.EIO: "check the disk: the system reports it faulty",
}


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that are in the store.

    Attributes
    ----------
    sha256 : str
        64 lower-case hex digits.
    size_bytes : int
    is_new : bool
        Whether this call stored them; False if they were there already.
    """

    sha256: str
    size_bytes: int
    is_new: bool


class LocalBlobs:
    """Bytes by their SHA-256 in a directory.

    Parameters
    ----------
    root : Path
        The directory; made, with missing parents, by the first put.

    Notes
    -----
    Thread-safe, and safe to use on both sides of a fork. Any number of processes may put, read and sweep at once; see
    `remove` for deleting. Directories get mode 0700, blobs 0400, whatever the umask.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # the program may change its working directory later
        self._blobs = self.root / "sha256"
        self._temporaries = self.root / "tmp"
        self._synced_shards: set[str] = set()

    def put_bytes(self, data: bytes | bytearray | memoryview) -> Blob:
        """Store bytes.

        Parameters
        ----------
        data : bytes, bytearray or memoryview
            Anything but bytes is copied first, for it could change between hashing and writing.

        Returns
        -------
        Blob

        Raises
        ------
        InvalidValueError
            If `data` is something else.
        StoreUnavailableError
            If the bytes could not be stored; nothing was.

        Notes
        -----
        Durable when it returns. Idempotent. Thread-safe.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise InvalidValueError(f"a blob is bytes, not {type(data).__name__}")
        content = bytes(data)
        sha256 = hashlib.sha256(content).hexdigest()

        def fill(target: int) -> tuple[str, int]:
            write_all(target, content)
            return sha256, len(content)

        with self._storing():
            if self._reuse(sha256, len(content)):
                return Blob(sha256, len(content), is_new=False)
            return self._intake(fill)

    def put_file(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Blob:
        """Store a copy of a file.

        Parameters
        ----------
        path : path-like
            Of a regular file; a link to one is followed. For files below a directory see `tree.walk_tree`.
        progress : Progress, optional
            Told of each piece that was copied and hashed; the caller closes it.

        Returns
        -------
        Blob
            Of the bytes that were stored, also when the file changed meanwhile.

        Raises
        ------
        InvalidValueError
            If there is no such file, or it is not a regular one (the text says what it is).
        StoreUnavailableError
            If the bytes could not be stored; nothing was.

        Notes
        -----
        Durable when it returns; the file may be deleted then. Idempotent. Thread-safe. Shares the blocks with the file
        where the file system can (reflink).
        """
        with open_regular(path) as source:
            return self.put_open(source, progress=progress)

    def put_open(self, source: BinaryIO, *, progress: Progress | None = None) -> Blob:
        """Store a copy of an open regular file, from its beginning; as `put_file` (see `tree.TreeEntry.open`)."""
        descriptor = source.fileno()
        with self._storing():
            return self._intake(lambda target: copy_and_hash(descriptor, target, progress=progress))

    def adopt(self, path: str | Path, sha256: str, size_bytes: int, *, sync: bool = True) -> Blob:
        """Move a file of this file system into the store, without a copy.

        Parameters
        ----------
        path : str or pathlib.Path
            A file that nobody writes to any more; gone afterwards.
        sha256 : str
            Of its bytes, computed by the caller while they were written.
        size_bytes : int
        sync : bool
            Make it durable; a cache need not be.

        Raises
        ------
        InvalidValueError
            If `sha256` is no digest.
        StoreUnavailableError
            If it could not be moved: the file is on another file system, say.
        """
        self._place(sha256)
        with self._storing():
            is_new = not self._reuse(sha256, size_bytes)
            if is_new:
                set_mode(Path(path), 0o400)
                if sync:
                    _sync(Path(path))
                is_new = self._publish(Path(path), sha256, size_bytes)
            with suppress(FileNotFoundError):
                delete(Path(path))
        return Blob(sha256, size_bytes, is_new=is_new)

    def has(self, sha256: str) -> bool:
        """Whether there is a blob of this digest; its bytes are not checked.

        Raises
        ------
        InvalidValueError
            If `sha256` is not 64 lower-case hex digits.
        """
        return regular_size(self._place(sha256)) is not None

    def size(self, sha256: str) -> int:
        """Size in bytes of a blob as it is on the disk; its bytes are not checked.

        Raises
        ------
        InvalidValueError, ArtifactNotFoundError
            If `sha256` is no digest; if there is no such blob.
        """
        size_bytes = regular_size(self._place(sha256))
        if size_bytes is None:
            raise _missing(sha256)
        return size_bytes

    def open(self, sha256: str, *, verify: bool = True) -> BinaryIO:
        """Open a blob for reading.

        Parameters
        ----------
        sha256 : str
            64 lower-case hex digits.
        verify : bool
            Read it whole and check it first; without, the caller must.

        Returns
        -------
        BinaryIO
            At its beginning; what was checked is what is read, even if the blob is removed meanwhile. Close it.

        Raises
        ------
        InvalidValueError
            If `sha256` is no digest.
        ArtifactNotFoundError
            If there is no such blob.
        IntegrityError
            If the bytes are not those of the digest; carries `.expected` and `.found`.
        StoreCorruptError, StoreUnavailableError
            If something else than a file stands there; if it cannot be read.
        """
        with _reading(sha256):
            file = self._open_unverified(sha256)
            try:
                if verify:
                    _check(sha256, hashlib.file_digest(file, "sha256").hexdigest())
                    file.seek(0)
            except BaseException:
                file.close()
                raise
            return file

    def path(self, sha256: str, *, verify: bool = True) -> Path:
        """Path of a blob, for programs that want a file; checked now. Raises as `open` does. The file is read-only."""
        with self.open(sha256, verify=verify):
            return self._place(sha256)

    def read_bytes(self, sha256: str) -> bytes:
        """All bytes of a blob, checked. Raises as `open` does."""
        with _reading(sha256), self._open_unverified(sha256) as file:
            content = file.read()
        _check(sha256, hashlib.sha256(content).hexdigest())
        return content

    def digests(self) -> Iterator[str]:
        """Digests of all blobs, in ascending order; lazy, one directory of 256 at a time. Other files are ignored."""
        for shard in _names_in(self._blobs):
            for name in _names_in(self._blobs / shard):
                if _DIGEST.fullmatch(name) and name.startswith(shard) and len(shard) == 2:
                    yield name

    def remove(self, sha256: str, *, older_than_s: float = 0.0) -> int:
        """Delete a blob.

        Parameters
        ----------
        sha256 : str
            64 lower-case hex digits.
        older_than_s : float
            Keep it if it was put (again) within so many seconds: its record may still be on the way.

        Returns
        -------
        int
            Bytes freed; 0 if there was no such blob, or it is too young.

        Raises
        ------
        InvalidValueError
            If `sha256` is no digest.
        StoreUnavailableError
            If it could not be deleted.

        Notes
        -----
        Not safe against a put of the same bytes at this very moment: delete what has been unused for hours.
        """
        place = self._place(sha256)
        with self._storing("delete"):
            try:
                status = os.lstat(place)
                if older_than_s > 0 and time.time() - status.st_mtime < older_than_s:
                    return 0
                delete(place)
            except FileNotFoundError:
                return 0
            return status.st_size

    def sweep_temp(self, older_than_s: float = 86400) -> int:
        """Delete what puts that were killed left behind.

        Parameters
        ----------
        older_than_s : float
            Keep files written to within so many seconds: they may belong to a put that is still running.

        Returns
        -------
        int
            Number of files deleted; files that are not ours are left alone.
        """
        n_deleted = 0
        for name in filter(_TEMPORARY.fullmatch, _names_in(self._temporaries)):
            with self._storing("delete"), suppress(FileNotFoundError):
                if time.time() - os.lstat(self._temporaries / name).st_mtime >= older_than_s:
                    delete(self._temporaries / name)
                    n_deleted += 1
        return n_deleted

    # -- storing

    def _intake(self, fill: Callable[[int], tuple[str, int]]) -> Blob:
        """Have a new temporary file filled, and put it in its place by the digest that `fill` returns."""
        make_directories(self._temporaries)
        temporary = self._temporaries / secrets.token_hex(16)
        descriptor = create_file(temporary)
        try:
            with os.fdopen(descriptor, "wb", buffering=0):
                sha256, size_bytes = fill(descriptor)
                if self._reuse(sha256, size_bytes):
                    return Blob(sha256, size_bytes, is_new=False)
                set_mode(temporary, 0o400)
                sync_file(descriptor)
            return Blob(sha256, size_bytes, is_new=self._publish(temporary, sha256, size_bytes))
        finally:
            with suppress(OSError):  # gone already, or to be swept; must not hide the real error
                delete(temporary)

    def _publish(self, temporary: Path, sha256: str, size_bytes: int) -> bool:
        """Link a synced file into its place; False if another process was faster."""
        place = self._place(sha256)
        make_directories(place.parent)
        try:
            place_new(temporary, place)
        except FileExistsError:
            if self._reuse(sha256, size_bytes):
                return False
            replace(temporary, place)  # damaged: it has another size than its bytes
        self._sync_way(place.parent)
        return True

    def _reuse(self, sha256: str, size_bytes: int) -> bool:
        """Whether a blob of this digest and size is there; then it is durable, and young again (see `remove`)."""
        place = self._place(sha256)
        if regular_size(place) != size_bytes:
            return False
        try:
            os.utime(place)
        except PermissionError:
            pass  # another user's blob in a shared store: it keeps its age
        except FileNotFoundError:
            return False  # removed this very moment
        self._sync_way(place.parent)  # the process that linked it may not have come to that yet
        return True

    def _sync_way(self, shard: Path) -> None:
        sync_directory(shard)
        if shard.name not in self._synced_shards:
            sync_directory(self._blobs)
            sync_directory(self.root)
            self._synced_shards.add(shard.name)

    @contextmanager
    def _storing(self, action: str = "store") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = _WHAT_TO_DO.get(error.errno or 0, "try again")
            raise StoreUnavailableError(
                f"cannot {action} artifact bytes in {self.root}: {error.strerror or error}; nothing was done: {what}"
            ) from error

    # -- places

    def _place(self, sha256: str) -> Path:
        if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
            raise InvalidValueError(f"{str(sha256)[:80]!r} is no SHA-256: 64 lower-case hex digits are")
        return self._blobs / sha256[:2] / sha256

    def _open_unverified(self, sha256: str) -> BufferedReader:
        place = self._place(sha256)
        if not stat.S_ISREG(os.lstat(place).st_mode):
            raise StoreCorruptError(f"what stands at {place} is not a file", place=str(place))
        return open(place, "rb", opener=lambda path, _: os.open(path, _READ))


def _sync(path: Path) -> None:
    descriptor = os.open(path, _READ)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def _check(expected: str, found: str) -> None:
    if found != expected:
        raise IntegrityError(f"blob {expected[:12]}", expected, found)


def _missing(sha256: str) -> ArtifactNotFoundError:
    return ArtifactNotFoundError(sha256, f"no blob {sha256} in this store: its bytes are gone, or were never stored")


@contextmanager
def _reading(sha256: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(sha256) from None
    except OSError as error:
        what = _WHAT_TO_DO.get(error.errno or 0, "try again")
        raise StoreUnavailableError(f"cannot read blob {sha256}: {error.strerror or error}: {what}") from error


def _names_in(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
