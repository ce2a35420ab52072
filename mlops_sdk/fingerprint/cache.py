"""Fingerprints of files remembered by path, size, modification time and inode."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.canonical import VERSION
from mlops_sdk.fingerprint.fingerprint import Fingerprint

if TYPE_CHECKING:
    from mlops_sdk.fingerprint.streaming import Options

_SETTLED_S = 2.0
_MOST_BYTES = 64 << 20
_MOST_ENTRIES = 1000


class Cached:
    """One file's entry.

    Notes
    -----
    In ``$XDG_CACHE_HOME/mlops/fingerprints`` (mode 0700); not where that directory, or the one above it, is somebody else's
    or can be written by others, who could put false entries there. A file changed within the last two seconds is not kept: another
    change in the same tick of its clock would not be seen. Salted fingerprints are never kept. Trouble with the cache is no
    trouble for the caller.
    """

    def __init__(self, path: Path, options: Options, target: str | None) -> None:
        self._path = path
        found = path.stat()
        self._settled = time.time() - found.st_mtime > _SETTLED_S
        said = [
            VERSION, os.path.realpath(path), found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev, target,
            options.rules.nan_is_null, options.rows, options.sketches, options.profile, options.secure, options.n_cells,
        ]  # fmt: skip
        self._key = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        self._is_usable = options.salt is None and not options.keep_rows

    @property
    def _entry(self) -> Path:
        root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        return Path(root) / "mlops" / "fingerprints" / f"{self._key}.json"

    def find(self) -> Fingerprint | None:
        """The fingerprint of last time, if nothing changed since."""
        if not self._is_usable:
            return None
        try:
            if not _is_private(self._entry.parent):
                return None
            return Fingerprint.from_dict(json.loads(_content_of(self._entry)))
        except (OSError, ValueError, InvalidValueError, RecursionError):
            return None

    def keep(self, made: Fingerprint) -> None:
        """Remember for the next time."""
        if not self._is_usable or not self._settled:
            return
        entry = self._entry
        try:
            _make_private(entry.parent)
            if not _is_private(entry.parent):
                return
            handle, temporary = tempfile.mkstemp(dir=entry.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(made.to_dict(), file)
            os.replace(temporary, entry)
            _tidy(entry.parent)
        except OSError:
            return  # a cache that cannot be written is no cache


def _make_private(directory: Path) -> None:
    """Make it and those above it that are not there, for the owner only, whatever the umask."""
    if not directory.is_dir():
        _make_private(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def _is_private(directory: Path) -> bool:
    """Whether only this user can put files there, or another directory in its place."""
    if not hasattr(os, "geteuid"):
        return True
    for each in (directory, directory.parent):
        found = each.lstat()
        is_mine = found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022
        if not is_mine or not stat.S_ISDIR(found.st_mode):
            return False
    return True


def _content_of(entry: Path) -> bytes:
    """Of a regular file; nothing else is opened for long, and no link is followed."""
    descriptor = os.open(entry, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            raise InvalidValueError("no entry of ours")
        return file.read()


def _tidy(directory: Path) -> None:
    """Forget the oldest entries beyond a thousand."""
    entries = list(directory.iterdir())
    if len(entries) > _MOST_ENTRIES:
        for entry in sorted(entries, key=lambda each: each.stat().st_mtime)[: len(entries) - _MOST_ENTRIES]:
            entry.unlink(missing_ok=True)
