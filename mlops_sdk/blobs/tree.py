"""Regular files to log: one that a person named, or all below a directory, never through a link out of it.

A directory to log may hold anything: links to `/etc`, FIFOs, devices, a part that another process swaps for a link
between our look and our open. So a special file is not opened; what is opened is opened part by part from the top
directory without following links, does not block, and is looked at again through its descriptor.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from mlops_sdk.blobs.kinds import describe_kind, is_link
from mlops_sdk.blobs.names import check_artifact_name
from mlops_sdk.errors import InvalidValueError

MAX_FILES = 1_000_000
"""Entries looked at below one directory, and in any one directory. Depth is bounded by `names.MAX_NAME_BYTES`."""

# O_NONBLOCK: a FIFO put in the file's place after the look must not hang the open
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_LIST = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_HAS_DIR_FD = os.open in os.supports_dir_fd and os.scandir in os.supports_fd and _NOFOLLOW != 0


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A regular file below a walked directory.

    Attributes
    ----------
    name : str
        Relative name with forward slashes, as seen from the top (through links inside the tree): an artifact name.
    size_bytes : int
        When it was looked at.
    """

    name: str
    size_bytes: int
    _top: str = field(repr=False)
    _parts: tuple[str, ...] = field(repr=False)

    def open(self) -> BinaryIO:
        """Open the file for reading, following no link and blocking on nothing.

        Returns
        -------
        BinaryIO
            At its beginning; close it.

        Raises
        ------
        InvalidValueError
            If a link or special file has taken the place of the file or of a directory above it, or the file is gone
            or cannot be read.
        """
        try:
            return _as_regular(_open_below(self._top, self._parts, _READ), self.name)
        except OSError as error:
            raise InvalidValueError(f"{self.name!r} cannot be read any more: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something below a walked directory that is left out, and why; `name` has unprintable bytes escaped."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Directory:
    """A directory still to list: its name as seen from the top, and the parts that lead there without a link."""

    name: str
    parts: tuple[str, ...]
    parent: _Directory | None

    def leads_through(self, parts: tuple[str, ...]) -> bool:
        """Whether the way from the top to here leads through the directory `parts`."""
        here: _Directory | None = self
        while here is not None and here.parts != parts:
            here = here.parent
        return here is not None


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file that a person named; links are followed, for they were named with it.

    Parameters
    ----------
    path : path-like
        Of a regular file, or of a link to one.

    Returns
    -------
    BinaryIO
        At its beginning; close it.

    Raises
    ------
    InvalidValueError
        If there is nothing, or not a regular file (the text says what it is), or it cannot be read.

    Notes
    -----
    A special file is not opened at all (opening a device or FIFO can act on it); one that takes the file's place
    between the look and the open neither blocks nor is read.
    """
    try:
        _check_regular(os.stat(path).st_mode, path)
        return _as_regular(os.open(path, _READ), path)
    except InvalidValueError:
        raise
    except FileNotFoundError:
        raise InvalidValueError(f"there is no file {os.fspath(path)!r}") from None
    except OSError as error:
        raise InvalidValueError(f"file {os.fspath(path)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path, or what the file system's encoding lacks
        raise InvalidValueError(f"{os.fspath(path)!r} is no path: {error}") from error


def walk_tree(root: str | os.PathLike[str], *, max_files: int = MAX_FILES) -> Iterator[TreeEntry | Skipped]:
    """List the regular files below a directory, in the order of their names' UTF-8 bytes.

    Parameters
    ----------
    root : path-like
        The directory; may itself be a link to one.
    max_files : int
        Entries (files, directories and what is skipped) to look at; the walk says where it stopped.

    Returns
    -------
    iterator of TreeEntry or Skipped
        Lazy: one directory is read at a time. A link is followed only if its target is inside the tree, and not a
        directory that leads to the link; its files then come under the link's name too. Skipped with the reason: other
        links, FIFOs, sockets, devices, unreadable directories, names that are not artifact names (too long, so too
        deep; not Unicode).

    Raises
    ------
    InvalidValueError
        If `root` is not a directory.

    Notes
    -----
    Opens no file. Does not recurse, and holds no descriptor between two entries. Where the platform cannot open
    relative to a directory (Windows) a link that replaces a directory during the open itself goes unnoticed.
    """
    if not os.path.isdir(root):
        raise InvalidValueError(f"there is no directory {os.fspath(root)!r}")
    return _walk(os.path.realpath(root), max_files)


def _walk(top: str, max_files: int) -> Iterator[TreeEntry | Skipped]:
    waiting: list[TreeEntry | Skipped | _Directory] = [_Directory("", (), None)]
    n_seen = -1  # the top is not counted
    while waiting:
        item = waiting.pop()
        if n_seen == max_files:
            yield Skipped(item.name, f"more than {max_files:,} files and directories: this and all after it left out")
            return
        n_seen += 1
        if isinstance(item, _Directory):
            waiting.extend(reversed(_list(top, item, max_files)))
        else:
            yield item


def _list(top: str, directory: _Directory, max_files: int) -> list[TreeEntry | Skipped | _Directory]:
    """List one directory in the order of the names' bytes, or say why it is left out."""
    name = directory.name or "."
    try:
        with _scan(top, directory.parts) as entries:
            found = [_examine(top, directory, entry) for entry in islice(entries, max_files + 1)]
    except OSError as error:
        return [Skipped(name, f"a directory that cannot be read: {error.strerror}")]
    if len(found) > max_files:  # any choice among them would hang on the order of the disk
        return [Skipped(name, f"a directory of more than {max_files:,} entries")]
    return sorted(found, key=_order)


def _order(item: TreeEntry | Skipped | _Directory) -> bytes:
    # a directory sorts as the prefix of the names below it: "a-b" < "a/x" < "a0"
    return item.name.encode() + (b"/" if isinstance(item, _Directory) else b"")


def _examine(top: str, directory: _Directory, entry: os.DirEntry[str]) -> TreeEntry | Skipped | _Directory:
    name = f"{directory.name}/{entry.name}" if directory.name else entry.name
    try:
        check_artifact_name(name)
        status = entry.stat(follow_symlinks=False)
        if is_link(status):
            return _follow(top, directory, name, (*directory.parts, entry.name))
        return _sort_out(top, directory, name, (*directory.parts, entry.name), status)
    except InvalidValueError as error:
        return Skipped(_printable(name), str(error))
    except OSError as error:
        return Skipped(_printable(name), f"cannot be looked at: {error.strerror}")


def _follow(top: str, directory: _Directory, name: str, link: tuple[str, ...]) -> TreeEntry | Skipped | _Directory:
    parts = _target_inside(top, link)
    if directory.leads_through(parts):
        return Skipped(name, "a link to a directory that it is in")
    return _sort_out(top, directory, name, parts, os.lstat(os.path.join(top, *parts)))


def _sort_out(
    top: str, directory: _Directory, name: str, parts: tuple[str, ...], status: os.stat_result
) -> TreeEntry | Skipped | _Directory:
    if stat.S_ISDIR(status.st_mode):
        return _Directory(name, parts, directory)
    if stat.S_ISREG(status.st_mode):
        return TreeEntry(name, status.st_size, top, parts)
    return Skipped(name, describe_kind(status.st_mode))


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _target_inside(top: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parts that lead to a link's final target without a link.

    Raises
    ------
    InvalidValueError
        If the target does not exist, or is not inside `top`.
    """
    try:
        target = os.path.realpath(os.path.join(top, *parts), strict=True)
        is_inside = os.path.commonpath([top, target]) == top
    except FileNotFoundError:
        raise InvalidValueError("a link to nothing") from None
    except OSError as error:
        raise InvalidValueError(f"a link that leads nowhere: {error.strerror}") from None
    except ValueError:  # commonpath: another drive
        is_inside = False
    if not is_inside:
        raise InvalidValueError("a link out of the directory")
    return tuple(part for part in os.path.relpath(target, top).split(os.sep) if part != os.curdir)


@contextmanager
def _scan(top: str, parts: tuple[str, ...]) -> Iterator[Iterable[os.DirEntry[str]]]:
    """Open a directory for listing, following no link below `top`."""
    if not _HAS_DIR_FD:
        with os.scandir(_unlinked_path(top, parts)) as entries:
            yield entries
        return
    descriptor = _open_below(top, parts, _LIST)
    try:
        with os.scandir(descriptor) as entries:
            yield entries
    finally:
        os.close(descriptor)


def _open_below(top: str, parts: tuple[str, ...], flags: int) -> int:
    """Open `parts` one by one from `top`, so that none of them can be a link."""
    if not _HAS_DIR_FD:
        return os.open(_unlinked_path(top, parts), flags)
    descriptor = os.open(top, _LIST)
    for depth, part in enumerate(parts, start=1):
        try:
            below = os.open(part, (flags if depth == len(parts) else _LIST) | _NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _unlinked_path(top: str, parts: tuple[str, ...]) -> str:
    """Join for platforms without descriptor-relative opens, after a look that no part is a link now."""
    path = os.path.join(top, *parts)
    if os.path.normcase(os.path.realpath(path)) != os.path.normcase(path):
        raise OSError(errno.ELOOP, "a link has taken the place of a part of it")
    return path


def _check_regular(mode: int, what: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(mode):
        hint = "; log_artifacts() keeps all that is in it" if stat.S_ISDIR(mode) else ""
        raise InvalidValueError(f"{os.fspath(what)!r} is {describe_kind(mode)}, not a regular file{hint}")


def _as_regular(descriptor: int, what: str | os.PathLike[str]) -> BinaryIO:
    """Wrap a descriptor if it is of a regular file; else close it and say what it is."""
    try:
        _check_regular(os.fstat(descriptor).st_mode, what)
        if hasattr(os, "O_NONBLOCK"):
            os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
