"""Artifact names: opaque text in the store, and a path only where a person downloads one into a directory.

`check_artifact_name` says what may be a name; nothing in it is read as a path. `safe_target` is the single place where
a name turns into one, and it refuses what it cannot map to exactly one file inside the directory, on any platform.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path, PurePath

from mlops_sdk.blobs.kinds import describe_kind, is_link
from mlops_sdk.errors import InvalidValueError

MAX_NAME_BYTES = 1024
"""Longest artifact name, in UTF-8 bytes; hence at most 512 levels of directories."""

MAX_PART_BYTES = 255
"""Longest part of a name between slashes that may become a file name (NAME_MAX of the usual file systems)."""

_DRIVE = re.compile(r"[A-Za-z]:")
# C0, DEL, C1, line and paragraph separators, and the marks that reorder what a reader sees
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_WINDOWS_ONLY = re.compile(r'[<>:"|?*]')
_RESERVED = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [port + digit for port in ("COM", "LPT") for digit in "0123456789\u00b9\u00b2\u00b3"]
)


def check_artifact_name(name: str | PurePath) -> str:
    """Check that a name can be stored and return it as text.

    Parameters
    ----------
    name : str or PurePath
        Any text of 1 to `MAX_NAME_BYTES` UTF-8 bytes. A str comes back unchanged: `../x`, backslashes, control
        characters and both of two Unicode twins (NFC, NFD) are names of their own. A path gets forward slashes.

    Returns
    -------
    str
        The name as it is to be stored. Not a path: see `safe_target`.

    Raises
    ------
    InvalidValueError
        If the name is not text, empty, too long, or holds a NUL or a lone surrogate.

    Notes
    -----
    Touches no file system. Thread-safe.
    """
    text = name.as_posix() if isinstance(name, PurePath) else name
    if not isinstance(text, str):
        raise InvalidValueError(f"an artifact name is text, not {type(name).__name__}")
    if not text:
        raise InvalidValueError("an artifact name needs at least one character")
    if "\0" in text:
        raise InvalidValueError(f"artifact name {_shown(text)} holds a NUL: no store can keep it")
    try:
        n_bytes = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidValueError(
            f"artifact name {_shown(text)} holds a lone surrogate: it is not Unicode text"
        ) from None
    if n_bytes > MAX_NAME_BYTES:
        raise InvalidValueError(f"artifact name {_shown(text)} has {n_bytes:,} bytes, at most {MAX_NAME_BYTES:,} fit")
    return text


def safe_target(directory: Path, name: str) -> Path:
    """Map an artifact name to the file inside `directory` that a download of it may write.

    Parameters
    ----------
    directory : Path
        Where the person wants the files; it need not exist, and may be a symbolic link.
    name : str
        An artifact name from a store or server, trusted in nothing.

    Returns
    -------
    Path
        A path inside `directory`, a different one for each accepted name; at it stands a regular file or nothing.

    Raises
    ------
    InvalidValueError
        If the name is absolute, has an empty, `.` or `..` part, a backslash, a drive letter, a control or reordering
        character, a trailing dot or space, a name that Windows reserves (CON, aux.txt), a part above `MAX_PART_BYTES`,
        or if a link or anything but a directory stands on the way. The verdict on the text is the same on every
        platform, but for the characters ``<>:"|?*``, which only Windows refuses.

    Notes
    -----
    Creates nothing. What stands on the way is checked, not locked: where others can write into `directory`, write to a
    new file (O_EXCL) and rename it onto the target, for a rename does not follow a link. File systems that fold case
    or Unicode forms may give two targets one file.

    References
    ----------
    .. [1] https://learn.microsoft.com/windows/win32/fileio/naming-a-file
    """
    parts = check_artifact_name(name).split("/")
    problem = next(filter(None, map(_part_problem, parts)), None) or _way_problem(directory, parts)
    if problem:
        raise InvalidValueError(f"artifact {_shown(name)} cannot become a file in {directory}: {problem}")
    return Path(directory, *parts)


def _part_problem(part: str) -> str | None:
    """Say why one part of a name cannot be a file name on some platform, or None."""
    if part == "":
        return "it is absolute, or has an empty part"
    if part in (".", ".."):
        return f"it has a part {part!r}"
    if "\\" in part:
        return "it has a backslash, a separator on Windows"
    if _CONTROL.search(part):
        return "it has a control character"
    if _DRIVE.match(part):
        return "it has a drive letter"
    if part[-1] in ". ":
        return "a part ends with a dot or a space, which Windows drops"
    if re.split("[.:]", part, maxsplit=1)[0].rstrip(" ").upper() in _RESERVED:
        return f"{part!r} is a device on Windows"
    if len(part.encode()) > MAX_PART_BYTES:
        return f"a part has more than {MAX_PART_BYTES} bytes"
    if os.name == "nt" and _WINDOWS_ONLY.search(part):
        return 'it has one of <>:"|?*'
    return None


def _way_problem(directory: Path, parts: list[str]) -> str | None:
    """Say what stands in the way of writing `parts` below `directory`, or None."""
    current = directory
    for depth, part in enumerate(parts, start=1):
        current = current / part
        try:
            status = os.lstat(current)
        except FileNotFoundError:
            return None  # nor can anything stand below it
        except (OSError, ValueError) as error:  # ValueError: the file system's encoding lacks a character
            return str(error)
        fits = stat.S_ISREG if depth == len(parts) else stat.S_ISDIR
        if is_link(status):
            return f"{'/'.join(parts[:depth])!r} is a link there already: remove it, or choose another directory"
        if not fits(status.st_mode):
            return f"{'/'.join(parts[:depth])!r} is {describe_kind(status.st_mode)} there already"
    return None


def _shown(name: str) -> str:
    """Name for an error text: short, and with everything unprintable escaped."""
    return repr(name if len(name) <= 80 else name[:80] + "...")
