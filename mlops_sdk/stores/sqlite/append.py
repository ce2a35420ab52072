"""One batch as one transaction: who it is from, what is new in it, its records, its points, and that it was applied.

References
----------
.. [1] ``docs/adr/0010-diverged-histories.md``
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_sdk.errors import InvalidValueError, SequenceGapError
from mlops_sdk.journal.records import SLOT_BYTES, Batch, Points, decode, extend_chain
from mlops_sdk.journal.summaries import summarise
from mlops_sdk.stores.sqlite import checkpoints, overlap, summary
from mlops_sdk.stores.sqlite import points as stored_points
from mlops_sdk.stores.sqlite.apply import apply_event, hidden_at, take_back_death
from mlops_sdk.stores.sqlite.checkpoints import signed, unsigned
from mlops_sdk.stores.sqlite.target import Target, as_ascii, reject

if TYPE_CHECKING:
    from mlops_sdk.journal.records import Decoded, WriterHeader

_INT64_MAX = 2**63 - 1


class Applied(NamedTuple):
    """What became of a batch.

    Attributes
    ----------
    sequence : int
        Up to where the writer is stored.
    run : int or None
        Row id of the run, when there is something new in it.
    """

    sequence: int
    run: int | None


def check_header(header: WriterHeader) -> None:
    """Refuse ids that are not Unicode text.

    Raises
    ------
    InvalidValueError
    """
    for name in ("writer_id", "run_id", "role"):
        try:
            getattr(header, name).encode()
        except (UnicodeEncodeError, AttributeError):
            raise InvalidValueError(f"{name} {getattr(header, name)!r} is not Unicode text", key=name) from None


def apply_batch(connection: sqlite3.Connection, batch: Batch, decoded: Decoded) -> Applied:
    """Apply what is new in `batch`.

    Parameters
    ----------
    connection : sqlite3.Connection
        In a write transaction.
    batch : Batch
    decoded : Decoded
        All of the batch.

    Raises
    ------
    SequenceGapError
    DivergedError
        If what is stored under the numbers of the batch is another history.
    """
    header = batch.writer
    row = connection.execute(
        "SELECT id, sequence, chain, attempt FROM writers WHERE writer_id = ?", (header.writer_id,)
    ).fetchone()
    stored = row[1] if row else 0
    if batch.first > stored + 1:
        raise SequenceGapError(header.writer_id, stored + 1, batch.first)
    if batch.first <= stored:
        overlap.verify(connection, overlap.Stored(row[0], stored, unsigned(row[2])), batch, decoded)
    if batch.last <= stored:
        return Applied(stored, None)
    if batch.first <= stored:
        known = stored + 1 - batch.first
        batch = Batch(header, stored + 1, batch.data[known * SLOT_BYTES :])
        decoded = decode(batch)
    chain = extend_chain(unsigned(row[2]) if row else 0, decoded.checksums)
    target = _target(connection, header, row)
    rejected = _apply(target, decoded)
    _note_writer(target, decoded, batch.last, chain)
    checkpoints.add(connection, target.writer, batch, chain, checkpoints.pack(decoded, rejected))
    return Applied(batch.last, target.run)


def _target(connection: sqlite3.Connection, header: WriterHeader, row: tuple[Any, ...] | None) -> Target:
    if row is None:
        cursor = connection.execute(
            """INSERT INTO writers (writer_id, run_id, role, rank, host, boot_id, pid, sequence, chain, heard_ns)
            VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0)""",
            (
                *(header.writer_id, header.run_id, header.role, _int_or_none(header.rank)),
                *(_text(header.host), _text(header.boot_id), _int_or_none(header.pid) or 0),
            ),
        )
        row = (cursor.lastrowid, 0, 0, 0)
    run = connection.execute("SELECT id FROM runs WHERE run_id = ?", (header.run_id,)).fetchone()
    return Target(connection, row[0], header.writer_id, header.run_id, header.role, run[0] if run else None, row[3])


def _apply(target: Target, decoded: Decoded) -> set[int]:
    """Apply everything; returns the sequence numbers of the points that were rejected."""
    take_back_death(target)
    _learn_keys(target, decoded)
    for event in decoded.events:
        apply_event(target, event)
    return _apply_points(target, decoded) if len(decoded.points) else set()


def _learn_keys(target: Target, decoded: Decoded) -> None:
    for key_id, name in decoded.keys.items():
        try:
            target.execute("INSERT OR IGNORE INTO metric_keys (name) VALUES (?)", name)
            target.execute(
                "INSERT OR IGNORE INTO writer_keys (writer, key_id, metric, sequence) "
                "SELECT ?, ?, id, ? FROM metric_keys WHERE name = ?",
                *(target.writer, key_id, decoded.defined[key_id], name),
            )
        except (UnicodeEncodeError, OverflowError) as error:
            reject(target, 0, 1, 1, as_ascii({"id": key_id, "name": name}), f"{type(error).__name__}: {error}")


def _apply_points(target: Target, decoded: Decoded) -> set[int]:
    metrics = dict(target.execute("SELECT key_id, metric FROM writer_keys WHERE writer = ?", target.writer))
    points, unknown = _resolve(decoded.points, metrics if target.run is not None else {})
    if len(unknown):
        _reject_points(target, unknown)
    rejected = {int(number) for number in unknown.sequence}
    if not len(points):
        return rejected
    run = target.need_run()
    stored_points.add(target.connection, stored_points.Owner(run, target.writer, target.attempt), points)
    hidden = hidden_at(target)
    standing = points if hidden is None else _select(points, _is_below(points.step, hidden))
    summary.merge(target.connection, run, target.writer, summarise(standing), is_owner=target.is_owner)
    return rejected


def _resolve(points: Points, metrics: dict[int, int]) -> tuple[Points, Points]:
    """Points with the row ids of their metrics as `key_id`, and those of unknown keys as they are."""
    if isinstance(points.key_id, list):
        found: Any = [metrics.get(key_id, 0) for key_id in points.key_id]
        is_known: Any = [metric != 0 for metric in found]
        all_known = all(is_known)
        points.time_ns = [_int64(time_ns) for time_ns in points.time_ns]
    else:
        found = _look_up(points.key_id, metrics)
        is_known = found != 0
        all_known = bool(is_known.all())
    resolved = Points(points.sequence, found, points.step, points.time_ns, points.value)
    if all_known:
        return resolved, Points([], [], [], [], [])
    is_unknown = [not known for known in is_known] if isinstance(is_known, list) else ~is_known
    return _select(resolved, is_known), _select(points, is_unknown)


def _look_up(key_id: Any, metrics: dict[int, int]) -> Any:
    """Row ids of the metrics that an array of key ids means, 0 where there is none."""
    import numpy as np

    known = np.array([0, *sorted(metrics)])
    found = np.array([0, *(metrics[number] for number in known[1:].tolist())])
    place = np.searchsorted(known, key_id, side="right") - 1
    return np.where(known[place] == key_id, found[place], 0)


def _is_below(steps: Any, limit: int) -> Any:
    return [step < limit for step in steps] if isinstance(steps, list) else steps < limit


def _select(points: Points, mask: Any) -> Points:
    values = (points.sequence, points.key_id, points.step, points.time_ns, points.value)
    if isinstance(points.key_id, list):
        return Points(*([value for value, chosen in zip(column, mask, strict=True) if chosen] for column in values))
    import numpy as np

    return Points(*(column[np.asarray(mask, bool)] for column in values))


def _reject_points(target: Target, points: Points) -> None:
    """Keep points that belong nowhere, one row for all."""
    columns = (points.sequence, points.key_id, points.step, points.time_ns, points.value)
    values = [column if isinstance(column, list) else column.tolist() for column in columns]
    payload = {"sequence": values[0], "key_id": values[1], "step": values[2], "time_ns": values[3], "value": values[4]}
    reason = "there is no such run" if target.run is None else "their key ids were never defined"
    if target.run is None and _is_purged(target):
        return
    reject(target, values[0][0], len(points), 0, as_ascii(payload), reason)


def _is_purged(target: Target) -> bool:
    return target.execute("SELECT 1 FROM purged WHERE run_id = ?", target.run_id).fetchone() is not None


def _note_writer(target: Target, decoded: Decoded, sequence: int, chain: int) -> None:
    heard_ns = _int64(_newest(decoded))
    target.execute(
        "UPDATE writers SET sequence = ?, chain = ?, heard_ns = max(heard_ns, ?) WHERE id = ?",
        *(sequence, signed(chain), heard_ns, target.writer),
    )
    if target.run is not None and target.role != "editor":
        target.execute("UPDATE runs SET heard_ns = max(heard_ns, ?) WHERE id = ?", heard_ns, target.run)


def _newest(decoded: Decoded) -> int:
    times = decoded.points.time_ns
    newest = [event.time_ns for event in decoded.events]
    if len(times):
        newest.append(max(times) if isinstance(times, list) else int(times.max()))
    return max(newest, default=0)


def _int64(value: int) -> int:
    return max(-_INT64_MAX - 1, min(value, _INT64_MAX))


def _int_or_none(value: Any) -> int | None:
    return value if isinstance(value, int) and abs(value) <= _INT64_MAX else None


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()
