"""Where the local store is: found the way git finds ``.git``, or made.

References
----------
.. [1] XDG Base Directory Specification
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path

from mlops_sdk.blobs.durable import make_directories
from mlops_sdk.errors import StoreUnavailableError

DIRECTORY = ".mlops"
JOURNALS = "journals"


@dataclass(frozen=True, slots=True)
class Location:
    """A store's directory and how it was arrived at.

    Attributes
    ----------
    path : Path
    reason : str
        In words, for `mlops doctor`.
    is_explicit : bool
        Whether the user named it: then trouble with it is an error, not a reason to go elsewhere.
    """

    path: Path
    reason: str
    is_explicit: bool = False


def discover(start: Path | None = None) -> Location:
    """Find the store for `start` (default: the working directory), or say where it would be made.

    Notes
    -----
    In order: a ``.mlops`` here or above; the enclosing git root if the user owns it (for a worktree, the main one); here.
    Never made in the home directory itself or in ``/``: then it is ``$XDG_STATE_HOME/mlops/home``.
    """
    here = _working_directory() if start is None else start
    for directory in (here, *here.parents):
        if os.path.isdir(directory / DIRECTORY):  # a Path would raise where it may not look
            return Location(directory / DIRECTORY, f"found {DIRECTORY} in {directory}")
    root = _git_root(here)
    if root is not None and _may_be_made_in(root):
        return Location(root / DIRECTORY, f"in the git repository {root}")
    if _may_be_made_in(here):
        return Location(here / DIRECTORY, "in the working directory")
    return Location(state_directory() / "home", "the working directory is no place for a store")


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was deleted
        return _temporary_directory()


def _temporary_directory() -> Path:
    import tempfile

    return Path(tempfile.gettempdir())


def state_directory() -> Path:
    """``$XDG_STATE_HOME/mlops``: where stores go that cannot be where they belong."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(base) / "mlops"


def _may_be_made_in(directory: Path) -> bool:
    home = os.path.realpath(os.path.expanduser("~"))
    real = os.path.realpath(directory)
    return real not in (home, os.path.realpath(os.sep))


def _git_root(here: Path) -> Path | None:
    for directory in (here, *here.parents):
        marker = directory / ".git"
        if not os.path.exists(marker):
            continue
        root = _main_worktree(marker) if marker.is_file() else directory
        return root if root is not None and _is_mine(root) else None
    return None


def _main_worktree(marker: Path) -> Path | None:
    """Of a worktree's ``.git`` file, the main work tree; of a submodule's, its own."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = marker.read_text(encoding="utf-8").strip()
        git_directory = (marker.parent / text.removeprefix("gitdir:").strip()).resolve()
        common = git_directory / "commondir"
        if common.is_file():
            return (git_directory / common.read_text(encoding="utf-8").strip()).resolve().parent
    return marker.parent


def _is_mine(directory: Path) -> bool:
    if not hasattr(os, "getuid"):
        return True
    with contextlib.suppress(OSError):
        return directory.stat().st_uid == os.getuid()
    return False


def spool_of(spool: str, uri: str) -> Path:
    """The part of a spool directory (`MLOPS_SPOOL`) that holds the journals of one store: several may share the spool."""
    return Path(spool).expanduser() / f"{zlib.crc32(os.fsencode(uri)):08x}"


def make(location: Location, *, shared: bool = False) -> tuple[Location, bool]:
    """Make the store's directories; returns the location used and whether it is new.

    Parameters
    ----------
    location : Location
    shared : bool
        Set-group-id and group-writable, for a lab's directory.

    Raises
    ------
    StoreUnavailableError
        If it cannot be written and the user named it.

    Notes
    -----
    A place nobody named that cannot be written is replaced by one under `state_directory`, then by a temporary one.
    """
    errors = []
    for candidate in _candidates(location):
        try:
            return candidate, _make(candidate.path, shared)
        except OSError as error:
            errors.append(f"{candidate.path}: {error.strerror or error}")
    raise StoreUnavailableError(f"the store cannot be written ({'; '.join(errors)}): name another with tracking_uri=")


def _candidates(location: Location) -> list[Location]:
    if location.is_explicit:
        return [location]
    project = f"{zlib.crc32(os.fsencode(location.path)):08x}"
    name = f"{location.path.parent.name or 'root'}-{project}"
    refused = f"{location.path} cannot be written"
    return [
        location,
        Location(state_directory() / name, refused),
        Location(_temporary_root() / name, f"{refused}, nor the state directory"),
    ]


def _temporary_root() -> Path:
    """Where stores go that found no other place; anybody could have made it before us."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return _temporary_directory() / f"mlops-{user}"


def _make(path: Path, shared: bool) -> bool:
    if path.parent == _temporary_root():  # a directory that the user named is the user's choice
        _refuse_prepared(path.parent)
    is_new = not path.is_dir()
    mode = 0o2770 if shared else 0o700
    if is_new:
        make_directories(path)
        os.chmod(path, mode)
    _refuse_foreign(path)
    is_shared = bool(path.stat().st_mode & 0o2000)
    for name in (JOURNALS, "blobs"):
        directory = path / name
        if not directory.is_dir():
            directory.mkdir(mode=0o700, exist_ok=True)
            os.chmod(directory, 0o2770 if is_shared else 0o700)
    if not os.access(path / JOURNALS, os.W_OK | os.X_OK):
        raise PermissionError(13, "not writable", str(path))
    ignore = path / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="ascii")
        os.chmod(ignore, 0o600)
    return is_new


def _refuse_foreign(path: Path) -> None:
    """Another user's private store is not written, a shared one and root's doings are."""
    if not hasattr(os, "getuid") or os.getuid() == 0:
        return
    info = path.stat()
    if info.st_uid != os.getuid() and not info.st_mode & 0o2020 == 0o2020:
        raise PermissionError(13, f"it belongs to user {info.st_uid}", str(path))


def _refuse_prepared(path: Path) -> None:
    """In a directory for all, the one with our name must not be what somebody else put there."""
    if not hasattr(os, "getuid") or not os.path.lexists(path):
        return
    info = path.lstat()
    if info.st_uid != os.getuid() or not stat.S_ISDIR(info.st_mode) or info.st_mode & 0o022:
        raise PermissionError(13, "it is not a private directory of this user", str(path))
