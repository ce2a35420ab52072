"""Delivery of what dead writers left: the same records, the same way, by somebody else."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk import _forking
from mlops_sdk._logging import warn
from mlops_sdk.courier import diverged
from mlops_sdk.errors import MlopsError, StoreVersionError
from mlops_sdk.journal import liveness, reader
from mlops_sdk.journal.editor import edit
from mlops_sdk.journal.records import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_sdk.entities import WriterState
    from mlops_sdk.journal.records import Batch
    from mlops_sdk.stores.protocol import Store

READER_LIMIT_S = 0.25
"""How long a reader of many runs recovers at most before it answers."""

_WAIT_S = 5.0
_sweeping = threading.RLock()

_told: set[reader.Damage] = set()
"""Damage that this process has warned about."""


@dataclass(slots=True)
class Report:
    """What a sweep did.

    Attributes
    ----------
    adopted : list of str
        Run ids of the dead writers whose records were delivered.
    damage : list of Damage
    errors : list of Exception
    is_complete : bool
        False when time ran out.
    """

    adopted: list[str] = field(default_factory=list)
    damage: list[reader.Damage] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    is_complete: bool = True


KEPT = "kept-here"
"""Marks the journal of a dead writer whose records are all in the local store, and wait to be sent elsewhere."""


def sweep(store: Store, root: Path, *, limit_s: float | None = None, keep: bool = False) -> Report:
    """Deliver the journals of dead writers to `store` and give their runs a provisional ending.

    Parameters
    ----------
    store : Store
    root : Path
        The ``journals`` directory.
    limit_s : float, optional
        Seconds after which no further journal is begun.
    keep : bool
        The journals are for another store too: mark what is delivered instead of removing it.

    Notes
    -----
    Never raises; several processes may sweep at once. A wrong verdict is harmless: records are applied by sequence number
    and a writer that speaks again takes the provisional ending back.
    """
    deadline = None if limit_s is None else time.monotonic() + limit_s
    # Whoever reads waits for the courier of its own process: it may have the journal of a dead writer in hand.
    lock = _sweeping
    is_alone = lock.acquire(timeout=_WAIT_S if limit_s is None else limit_s)
    try:
        return _sweep(store, root, deadline, keep=keep)
    finally:
        if is_alone:
            lock.release()


def _sweep(store: Store, root: Path, deadline: float | None, *, keep: bool) -> Report:
    report = Report()
    for number, orphan in enumerate(reader.orphans(root)):
        try:
            if number and deadline is not None and time.monotonic() > deadline:
                report.is_complete = False
                break
            _deliver(store, orphan, report, keep=keep)
        except Exception as error:  # noqa: BLE001 - one journal, or a third-party store, must not hide the others
            report.errors.append(error)
        finally:
            orphan.close()
    return report


def _deliver(store: Store, orphan: reader.Orphan, report: Report, *, keep: bool) -> None:
    if keep and (orphan.directory / KEPT).exists():
        return
    recovered = orphan.recovered
    header = recovered.header
    if header is not None:
        state = _catch_up(store, header.writer_id, recovered)
        if state is not None and (state.end_status is None or recovered.dropped > state.dropped):
            lost = {"writer": state.writer_id, "status": "KILLED", "end_reason": _reason(orphan.verdict)}
            store.append(edit(header.run_id, (Kind.LOST, {**lost, "dropped": recovered.dropped})))
        report.adopted.append(header.run_id)
        store.settle(header.run_id)
    for damage in recovered.damage:
        if damage not in _told:  # a journal that may not be removed yet is swept again and again
            warn("mlops_sdk: %s: %s; `mlops doctor` says more", damage.path, damage.what)
            _told.add(damage)
    report.damage.extend(recovered.damage)
    if keep and orphan.may_remove:
        (orphan.directory / KEPT).touch(mode=0o600)
    elif orphan.may_remove:
        orphan.remove()


def _forget_in_child() -> None:
    global _sweeping
    _sweeping = threading.RLock()


_forking.watch(_forking.COURIER, after_in_child=_forget_in_child)


def send_news(store: Store, directory: Path) -> None:
    """Deliver what a writer has published that the store lacks; a journal that is finished meanwhile is left to others.

    Raises
    ------
    StoreError, OSError
    """
    try:
        recovered = reader.recover(directory)
    except (FileNotFoundError, StoreVersionError):
        return
    if recovered.header is not None:
        _catch_up(store, directory.name, recovered, only_news=True)


def _catch_up(
    store: Store, writer_id: str, recovered: reader.Recovered, *, only_news: bool = False
) -> WriterState | None:
    """Deliver what the store lacks of a writer; returns what it has then.

    Notes
    -----
    What is kept is sent from its first record on, stored or not, so that the store sees whether it is the same history:
    the journal may be a copy that went another way. Then the state is that of the writer that the rest was filed under.
    With `only_news`, for writers that live and are looked at again and again, only where there is more than is stored.
    """
    state = store.acknowledged(writer_id)
    stored = state.sequence if state else 0
    if only_news and next(recovered.batches(stored), None) is None:
        return state
    after = min(stored, recovered.first - 1)

    def batches(known: int) -> Iterator[Batch]:
        return recovered.batches(after, stored=known)

    return store.acknowledged(diverged.deliver(store, batches, writer_id, stored=stored))


def _reason(verdict: str) -> str:
    return "lost:process" if verdict == "silent" else verdict


def collect(store: Store, root: Path, run_id: str, *, but: str) -> None:
    """Deliver what the other writers of a run have published so far, living ones too.

    Parameters
    ----------
    store : Store
    root : Path
    run_id : str
    but : str
        Id of the writer that delivers for itself.

    Notes
    -----
    Their own couriers find the records stored already, by number.
    """
    for directory in reader.writers(root):
        if directory.name == but:
            continue
        try:
            recovered = reader.recover(directory)
        except (OSError, StoreVersionError):  # it was finished and removed meanwhile, or is not ours to read
            continue
        if recovered.header is None or recovered.header.run_id != run_id:
            continue
        _catch_up(store, directory.name, recovered, only_news=True)


def merge(store: Store, root: Path) -> Report:
    """Deliver every journal in `root`, of living writers too: for stores whose writers do not deliver themselves.

    Notes
    -----
    On network file systems writers only journal; one reader at a time, the holder of the store's lock, merges. A journal
    is removed once its writer has ended and all of it is stored.
    """
    report = Report()
    for directory in reader.writers(root):
        try:
            _merge_one(store, directory, report)
        except (MlopsError, StoreVersionError, OSError) as error:
            report.errors.append(error)
    swept = sweep(store, root)
    report.adopted += swept.adopted
    report.damage += swept.damage
    report.errors += swept.errors
    return report


def _merge_one(store: Store, directory: Path, report: Report) -> None:
    recovered = reader.recover(directory)
    if recovered.header is None:
        return
    state = _catch_up(store, directory.name, recovered, only_news=True)
    if state is not None and state.end_status is not None and liveness.heard_ago_s(directory) > 60:
        orphan = reader.adopt(directory)
        if orphan is not None:
            try:
                _catch_up(store, directory.name, orphan.recovered)  # what came meanwhile; and it finds the damage
                orphan.remove()
            finally:
                orphan.close()
    report.damage.extend(recovered.damage)
