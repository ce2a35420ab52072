"""What stands at a path: links and special files, told apart from an `os.stat_result`."""

from __future__ import annotations

import os
import stat

_JUNCTION = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT; `stat` defines it on Windows only

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISREG, "a regular file"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def is_link(status: os.stat_result) -> bool:
    """Whether an `lstat` result is a symbolic link, or a junction (Windows), which `S_ISLNK` does not know."""
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


def describe_kind(mode: int) -> str:
    """Name the kind of file in `st_mode` with its article: "a FIFO", "a directory"."""
    return next((kind for test, kind in _KINDS if test(mode)), "not a regular file")
