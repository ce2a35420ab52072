"""What `mlops doctor` finds out, as plain data; nothing is changed, delivered or made.

Every part is looked at for itself: trouble with one of them is a finding, and the others go on.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlops_sdk
from mlops_sdk import config
from mlops_sdk.cli import journals
from mlops_sdk.errors import StoreError
from mlops_sdk.journal import filesystem
from mlops_sdk.stores.location import spool_of
from mlops_sdk.stores.opening import locate

if TYPE_CHECKING:
    from mlops_sdk.stores.location import Location
    from mlops_sdk.stores.sqlite.store import SQLiteStore

_PACKAGES = ("numpy", "pcodec", "sqlite-utils")
_LITTLE_SPACE_BYTES = 256 << 20
_QUICK_BYTES = 1 << 30
"""Up to this size the structure of the database is looked through: a second or so."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong (a problem), or worth knowing."""

    place: str
    what: str
    advice: str = ""


@dataclass(slots=True)
class Diagnosis:
    """Facts by part, and what is wrong.

    Attributes
    ----------
    versions, store, database, journal : dict
    settings : list of dict
        ``name``, ``value``, ``source`` of each setting.
    writers : list of Pending
        Writers whose journals are there, with what is not delivered yet.
    problems : list of Finding
        Damage: the exit code is 1.
    notes : list of Finding
        Worth knowing, nothing lost.
    """

    versions: dict[str, str] = field(default_factory=dict)
    settings: list[dict[str, Any]] = field(default_factory=list)
    store: dict[str, Any] = field(default_factory=dict)
    database: dict[str, Any] = field(default_factory=dict)
    journal: dict[str, Any] = field(default_factory=dict)
    writers: list[journals.Pending] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "is_sound": not self.problems}


def diagnose(store: str | None) -> Diagnosis:
    """Look at everything.

    Parameters
    ----------
    store : str or None
        As ``--store`` gave it.

    Raises
    ------
    InvalidValueError
        If a setting, or the store's URI, cannot be read.
    """
    found = Diagnosis(versions=_versions(), settings=list(_settings(store)))
    uri = config.resolve(tracking_uri=store).tracking_uri
    location = locate(uri)
    if location is None:
        found.store = {"uri": uri, "reason": "named by the tracking URI", "is_local": False}
        return found
    for look in (_look_at_store, _look_at_journals):
        try:
            look(found, location)
        except OSError as error:
            place = str(error.filename or location.path)
            found.problems.append(
                Finding(place, f"cannot be read: {error.strerror}", "check its owner and permissions")
            )
    return found


def _versions() -> dict[str, str]:
    from importlib import metadata

    versions = {
        "mlops_sdk": mlops_sdk.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    versions["sqlite"] = sqlite3.sqlite_version
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _settings(store: str | None) -> Iterator[dict[str, Any]]:
    """What is in force and where it came from; a token is never shown."""
    in_force, defaults = config.resolve(tracking_uri=store), config.Settings()
    for name in ("tracking_uri", "experiment", "run_id", "resume", "mode", "token", "strict", "journal", "spool"):
        value, variable = getattr(in_force, name), f"MLOPS_{name.upper()}"
        source = "default"
        if name == "tracking_uri" and store is not None:
            source = "--store"
        elif os.environ.get(variable):
            source = variable
        elif value != getattr(defaults, name):
            source = "the program"
        yield {"name": name, "value": "(set)" if name == "token" and value else value, "source": source}


# -- the store -----------------------------------------------------------------------------------------------------------


def _look_at_store(found: Diagnosis, location: Location) -> None:
    path = location.path
    found.store = {"path": str(path), "reason": location.reason, "is_local": True, "exists": path.is_dir()}
    there = next(each for each in (path, *path.parents) if each.exists())
    usage = shutil.disk_usage(there)
    found.store |= {"disk_free_bytes": usage.free, "disk_total_bytes": usage.total}
    if usage.free < _LITTLE_SPACE_BYTES:
        found.notes.append(Finding(str(there), "the disk is nearly full", "free some space, or run `mlops gc`"))
    if not path.is_dir():
        return
    _look_at_owner(found, path)
    if (path / "store.db").exists():
        _look_at_database(found, path)
    else:
        found.notes.append(Finding(str(path), "no database yet", "the first command that reads runs makes it"))


def _look_at_owner(found: Diagnosis, path: Path) -> None:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    is_shared = mode & 0o2020 == 0o2020
    found.store |= {"mode": f"{mode:04o}", "is_shared": is_shared}
    if not hasattr(os, "getuid"):
        return
    found.store["owner"] = _owner(status.st_uid)
    for each in (path, path / "store.db", path / "journals", path / "blobs"):
        open_to = stat.S_IMODE(each.stat().st_mode) & (0o007 if is_shared else 0o077) if each.exists() else 0
        if open_to:
            advice = f"chmod {'o' if is_shared else 'go'}= {each}"
            found.notes.append(Finding(str(each), "others may look into it", advice))
    if status.st_uid != os.getuid() and not is_shared:
        found.notes.append(
            Finding(
                str(path), f"it belongs to {found.store['owner']}", "it can be read, not written: use one of your own"
            )
        )


def _owner(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return f"user {uid}"


def _look_at_database(found: Diagnosis, path: Path) -> None:
    from mlops_sdk.stores.sqlite.store import SQLiteStore

    store = SQLiteStore(path, read_only=True)
    try:
        found.database = {"store_id": store.store_id, **asdict(store.stats())}
        if found.database["database_bytes"] <= _QUICK_BYTES:
            found.problems += _quick_check(store)
    except StoreError as error:
        found.problems.append(Finding(getattr(error, "place", "") or str(path), str(error), _FSCK))
    if rejected := found.database.get("rejected"):
        found.notes.append(
            Finding(str(path), f"{rejected} records could not be applied", "they are kept in table rejected")
        )


_FSCK = "`mlops fsck` checks everything; restore what is damaged from a backup"


def _quick_check(store: SQLiteStore) -> list[Finding]:
    with store.database.reading("its structure") as connection:
        messages = [message for (message,) in connection.execute("PRAGMA quick_check(5)").fetchall()]
    return [Finding(str(store.database.path), message, _FSCK) for message in messages if message != "ok"]


# -- journals ------------------------------------------------------------------------------------------------------------


def _look_at_journals(found: Diagnosis, location: Location) -> None:
    settings = config.resolve()
    root = spool_of(settings.spool, str(location.path)) if settings.spool else location.path / "journals"
    there = next(each for each in (root, *root.parents) if each.is_dir())
    verdict = filesystem.inspect(there, settings.journal)
    found.journal = {
        "path": str(root),
        "mode": "mapped" if verdict.is_mapped else "append",
        "reason": verdict.reason,
        "file_system": verdict.kind,
        "is_network": verdict.is_network,
    }
    if not location.path.is_dir():
        return
    acknowledged = _acknowledged(location.path)
    for each in journals.roots(location.path / "journals"):
        found.writers += journals.pending(each, acknowledged)
        found.problems += [
            Finding(str(directory), "a damaged journal, set aside", journals.SET_ASIDE_ADVICE)
            for directory in journals.set_aside(each)
        ]
    found.problems += _damage(found.writers)


def _acknowledged(path: Path) -> Any:
    from mlops_sdk.stores.sqlite.store import SQLiteStore

    return SQLiteStore(path, read_only=True).acknowledged


def _damage(writers: list[journals.Pending]) -> Iterator[Finding]:
    for writer in writers:
        for damage in writer.damage:
            yield Finding(str(damage.path), damage.what, journals.ADVICE)
        if writer.unreadable:
            yield Finding(str(writer.directory), writer.unreadable, journals.UNREADABLE_ADVICE)
