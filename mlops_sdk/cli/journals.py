"""What waits in the journals of a store, looked at without touching it.

The library adopts a dead writer's journal when it delivers it. Here nothing is delivered, moved or removed: `mlops doctor`
tells what is there, and `mlops gc` keeps what is referred to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk import config
from mlops_sdk.errors import StoreCorruptError, StoreError, StoreUnavailableError, StoreVersionError
from mlops_sdk.journal import liveness, reader
from mlops_sdk.journal.records import Kind, decode
from mlops_sdk.stores.location import spool_of

if TYPE_CHECKING:
    from mlops_sdk.entities import WriterState
    from mlops_sdk.journal.reader import Damage, Recovered

SET_ASIDE = "damaged"
"""Where in a ``journals`` directory the library leaves what it could not read to the end."""

ADVICE = "what is sound before it is delivered by the next command that reads runs; the file is kept"
SET_ASIDE_ADVICE = "what was sound in it is in the store: delete it when you need nothing more of it"
UNREADABLE_ADVICE = "it stays as it is; upgrade mlops_sdk, or check the permissions"

_IN_WORDS = {
    "alive": "alive",
    "lost:process": "dead: its process is gone",
    "lost:reboot": "dead: the machine was started anew",
    "silent": "silent for ten minutes or more, on another machine",
}


@dataclass(slots=True)
class Pending:
    """A writer's journal, and what of it is not in the store.

    Attributes
    ----------
    directory : Path
    run_id, writer_id, role, host : str
    pid : int
    state : str
        In words: whether the writer lives.
    records, pending_bytes : int
        Not in the store yet.
    dropped : int
        Records the writer could not keep, by its own count.
    damage : list of Damage
    unreadable : str or None
        Why it cannot be read at all; it stays where it is.
    """

    directory: Path
    run_id: str = ""
    writer_id: str = ""
    role: str = ""
    host: str = ""
    pid: int = 0
    state: str = "unknown"
    records: int = 0
    pending_bytes: int = 0
    dropped: int = 0
    damage: list[Damage] = field(default_factory=list)
    unreadable: str | None = None


def roots(journals: Path | None) -> list[Path]:
    """Directories that journals of a store may be in: its own, and the one that MLOPS_SPOOL names."""
    spool = config.resolve().spool
    named = [journals, spool_of(spool, str(journals.parent)) if spool and journals else None]
    return [root for root in dict.fromkeys(named) if root is not None and root.is_dir()]


def pending(root: Path, acknowledged: Callable[[str], WriterState | None]) -> Iterator[Pending]:
    """Every writer that has a journal below `root`, and what of it the store does not have.

    Parameters
    ----------
    root : Path
        A ``journals`` directory.
    acknowledged : callable
        `Store.acknowledged`.
    """
    for directory in reader.writers(root):
        try:
            yield _inspect(directory, acknowledged)
        except FileNotFoundError:  # it ended meanwhile
            continue
        except (OSError, StoreVersionError) as error:
            yield Pending(directory, writer_id=directory.name, unreadable=str(error))


def _inspect(directory: Path, acknowledged: Callable[[str], WriterState | None]) -> Pending:
    recovered = reader.recover(directory)
    found = Pending(directory, writer_id=directory.name, dropped=recovered.dropped)
    if recovered.header is not None:
        found.run_id, found.role = recovered.header.run_id, recovered.header.role
        found.host, found.pid = recovered.header.host, recovered.header.pid
        found.state = _state(directory, recovered)
        found.records, found.pending_bytes = _measure(recovered, _sequence(acknowledged, directory.name))
    found.damage = recovered.damage
    if found.damage and found.state == "alive":
        found.damage = _lasting(directory, found.damage)
    return found


def _state(directory: Path, recovered: Recovered) -> str:
    assert recovered.header is not None
    lock = liveness.WriterLock.acquire(directory) if (directory / liveness.LOCK_NAME).exists() else None
    is_free = lock is not None or not (directory / liveness.LOCK_NAME).exists()
    if lock is not None:
        lock.close()
    return _IN_WORDS[liveness.judge(recovered.header, liveness.heard_ago_s(directory), lock_is_free=is_free)]


def _sequence(acknowledged: Callable[[str], WriterState | None], writer_id: str) -> int:
    try:
        state = acknowledged(writer_id)
    except StoreError:  # told elsewhere; as far as we can know, nothing of it is stored
        return 0
    return state.sequence if state else 0


def _measure(recovered: Recovered, after: int) -> tuple[int, int]:
    """Number and bytes of the sound records behind sequence number `after`; adds to the damage what it finds."""
    records = n_bytes = 0
    for batch in recovered.batches(after):
        records += len(decode(batch).checksums)
        n_bytes += len(batch.data)
    return records, n_bytes


def _lasting(directory: Path, damage: list[Damage]) -> list[Damage]:
    """Of the damage to a living writer's journal, what is still there: a record may just have been under way."""
    again = reader.recover(directory)
    for _ in again.batches(0):
        pass
    return [each for each in damage if each in again.damage]


def set_aside(root: Path) -> list[Path]:
    """Journals with damage, which the library moved out of the way once it had delivered what was sound in them."""
    try:
        return sorted(path for path in (root / SET_ASIDE).iterdir() if path.is_dir())
    except OSError:
        return []


def referenced_digests(root: Path) -> set[str]:
    """SHA-256 digests of the artifacts that the journals below `root` refer to.

    Raises
    ------
    StoreUnavailableError
        If one of them cannot be read: then nobody knows what it refers to.
    """
    found: set[str] = set()
    for directory in reader.writers(root):
        try:
            for batch in reader.recover(directory).batches(0):
                events = (event for event in decode(batch).events if event.kind == Kind.ARTIFACT)
                found |= {str(event.payload.get("sha256")) for event in events}
        except FileNotFoundError:
            continue
        except (OSError, StoreVersionError, StoreCorruptError) as error:
            raise StoreUnavailableError(
                f"the journal {directory} cannot be read, so that nobody knows which files it refers to ({error}): "
                "nothing was freed. `mlops doctor` says more"
            ) from error
    return found
