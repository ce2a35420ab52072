"""Private files and directories that are still there after a power cut.

A file is durable when it was synced itself and the directory that holds its name was synced after the name was made.
Every function raises OSError as the system gives it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform == "darwin":
    import fcntl

ON_WINDOWS = os.name == "nt"

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY})
# link(2) where there are no hard links, none between two directories (AFS), or no room for one more
_NO_LINKS = _UNSUPPORTED | {errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK}


def create_file(path: Path) -> int:
    """Create a file that only its owner can use, mode 0600 at most; FileExistsError if anything stands at `path`."""
    return os.open(path, _CREATE, 0o600)


def make_directories(path: Path) -> None:
    """Make a directory with what is missing above it, all of mode 0700 and durable; what is there is left as it is.

    Raises NotADirectoryError if something else has one of the names.
    """
    missing = []
    above = path
    while not above.is_dir() and above != above.parent:
        missing.append(above)
        above = above.parent
    for directory in reversed(missing):
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:  # another process made it
            if not directory.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory)) from None
            continue
        set_mode(directory, 0o700)  # mkdir obeys the umask
        sync_directory(directory.parent)


def set_mode(path: Path, mode: int) -> None:
    """Set a mode whatever the umask; does nothing on file systems without modes (FAT), which refuse it."""
    with suppress(PermissionError):
        os.chmod(path, mode)


def sync_file(descriptor: int) -> None:
    """Bring a file's bytes and size to the disk, and on macOS out of the disk's own cache too."""
    if sys.platform == "darwin":
        with suppress(OSError):  # network and foreign file systems do not know it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_directory(path: Path) -> None:
    """Bring a directory's names to the disk; Windows and some network file systems do so by themselves."""
    if ON_WINDOWS:
        return
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def place_new(temporary: Path, place: Path) -> None:
    """Give a file its final name; FileExistsError if that is taken. `temporary` may stay behind as a second name."""
    if ON_WINDOWS:
        os.rename(temporary, place)  # refuses a name that is taken
        return
    try:
        os.link(temporary, place)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(temporary, place)  # overwrites; by its name what stands there has the same bytes


def replace(temporary: Path, place: Path) -> None:
    """Give a file its final name, in place of what has it now."""
    if ON_WINDOWS:
        set_mode(place, 0o600)  # a read-only file cannot be replaced there
    os.replace(temporary, place)


def delete(path: Path) -> None:
    """Delete a file, a read-only one too."""
    if ON_WINDOWS:
        set_mode(path, 0o600)
    os.unlink(path)


def regular_size(path: Path) -> int | None:
    """Size in bytes of the regular file at `path`; None if nothing or anything else is there."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
