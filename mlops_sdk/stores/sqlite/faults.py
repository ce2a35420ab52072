"""What SQLite and the file system report, as errors of ours that say what to do."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mlops_sdk.errors import StoreCorruptError, StoreError, StoreUnavailableError

_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    # not reached by a sound database: an index that lies, a table that is missing
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_ERROR,
}
_WHAT_TO_DO = {
    sqlite3.SQLITE_BUSY: "another program keeps it locked (a database browser?): close it and try again",
    sqlite3.SQLITE_LOCKED: "another program keeps it locked (a database browser?): close it and try again",
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_READONLY: "it cannot be written: check the permissions of file and directory",
    sqlite3.SQLITE_PERM: "it cannot be written: check the permissions of file and directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check the permissions of file and directory",
    sqlite3.SQLITE_IOERR: "the file system reports an error: check the disk, or its quota",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}


@contextlib.contextmanager
def translated(path: Path, what: str = "") -> Iterator[None]:
    """Turn errors of sqlite3 and of the operating system into `StoreError`.

    Parameters
    ----------
    path : Path
        The database.
    what : str
        What was read or written, in words; stands in the error's place.

    Raises
    ------
    StoreCorruptError
    StoreUnavailableError
    """
    place = f"{path}{f', {what}' if what else ''}"
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a defect of ours; it is not to look like something that passes
    except sqlite3.Error as error:
        raise _translate(error, place) from error
    except OSError as error:
        raise StoreUnavailableError(
            f"{place}: {error.strerror or error}; nothing was written. Check disk and permissions, then try again"
        ) from error


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error tells of damaged bytes, rather than of something that passes."""
    # undecodable text comes without a code
    return primary_code(error) in _DAMAGE or "Could not decode to UTF-8" in str(error)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension, 0 where the error has none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _translate(error: sqlite3.Error, place: str) -> StoreError:
    if is_damage(error):
        return StoreCorruptError(
            f"{place}: the database is damaged ({error}). `mlops fsck` says where; what is elsewhere stays readable",
            place=place,
        )
    advice = _WHAT_TO_DO.get(primary_code(error), "try again")
    return StoreUnavailableError(f"{place}: {error}; nothing was written: {advice}")
