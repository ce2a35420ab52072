"""The directory of a store: whose it is, who may write to it, and the permissions of what is made in it.

Everything is private: directory 0700, files 0600, whatever the umask. The one exception is a directory that was made to be
shared (set-group-id and writable by its group, `mlops init --shared`): files in it are 0660.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mlops_sdk.blobs.durable import make_directories
from mlops_sdk.errors import StoreUnavailableError

_SHARED = stat.S_ISGID | stat.S_IWGRP
PRIVATE_FILE = 0o600
_SHARED_FILE = 0o660
_IS_POSIX = hasattr(os, "geteuid")


def prepare(directory: Path) -> int:
    """Have `directory` ready to be written to; returns the permissions that files in it get.

    Raises
    ------
    StoreUnavailableError
        If it belongs to somebody else and is not shared: files that we made there could lock its owner out, and what he
        put there could mislead us. Root may write: containers run as root on a user's directory.
    OSError
        If it cannot be made.
    """
    if not directory.is_dir():
        make_directories(directory)
    is_shared = directory.stat().st_mode & _SHARED == _SHARED
    if not is_shared:
        refuse_somebody_elses(directory)
    return _SHARED_FILE if is_shared else PRIVATE_FILE


def create_file(path: Path, mode: int) -> None:
    """Make an empty file with these permissions, unless it is there.

    Raises
    ------
    StoreUnavailableError
        If it is there and belongs to somebody else.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)
    except FileExistsError:
        if mode == PRIVATE_FILE:
            refuse_somebody_elses(path)
        return
    try:
        claim(descriptor, path.parent, mode)
    finally:
        os.close(descriptor)


def refuse_somebody_elses(path: Path) -> None:
    """Refuse to write what another user owns.

    Raises
    ------
    StoreUnavailableError
    """
    owner = path.stat().st_uid
    if _IS_POSIX and os.geteuid() not in (0, owner):
        raise StoreUnavailableError(
            f"{path} belongs to {_user_name(owner)}: it can be read, not written. Use a store of your own "
            "(tracking_uri=), or have its owner share it with `mlops init --shared`"
        )


def claim(descriptor: int, directory: Path, mode: int) -> None:
    """Give an open file of ours the permissions `mode`; what root makes belongs to the directory's owner."""
    if not _IS_POSIX:
        return
    status = os.fstat(descriptor)
    if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != mode:
        os.fchmod(descriptor, mode)
    owner = directory.stat()
    if os.geteuid() == 0 and status.st_uid == 0 and owner.st_uid != 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _user_name(uid: int) -> str:
    try:
        import pwd

        return f"user {pwd.getpwuid(uid).pw_name!r}"
    except (ImportError, KeyError):
        return f"user {uid}"
