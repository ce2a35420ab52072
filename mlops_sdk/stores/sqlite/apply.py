"""A framed journal record as rows: what each kind of record does to the database.

What a record means is said in `mlops_sdk.stores.protocol`. Every record is applied alone: one that cannot be is kept in
``rejected`` with the reason, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mlops_sdk.entities import ENDED
from mlops_sdk.journal.records import Kind
from mlops_sdk.stores.sqlite import logged, summary
from mlops_sdk.stores.sqlite.history import hidden_from
from mlops_sdk.stores.sqlite.target import Refused, Target, as_ascii, get, need_experiment, reject

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.journal.records import Event

_CANNOT_BE_APPLIED = (
    LookupError,
    TypeError,
    ValueError,  # lone surrogates, too: text that is not Unicode
    AttributeError,
    OverflowError,  # integers beyond 64 bits
    RecursionError,
)


def apply_event(target: Target, event: Event) -> None:
    """Apply one framed record, or keep it as rejected."""
    before = target.run, target.attempt
    target.execute("SAVEPOINT record")
    try:
        if not isinstance(event.payload, dict):
            raise TypeError("the payload is no JSON object")
        refused = _HANDLERS[event.kind](target, event) if event.kind in _HANDLERS else [_unknown(event)]
    except _CANNOT_BE_APPLIED as error:
        target.execute("ROLLBACK TO record")
        target.run, target.attempt = before
        refused = [(event.payload, f"{type(error).__name__}: {error}")]
    target.execute("RELEASE record")
    for payload, reason in refused or ():
        reject(target, event.sequence, 1, event.kind, as_ascii(payload), reason)


def _unknown(event: Event) -> tuple[Any, str]:
    return event.payload, "unknown kind of record"


def _on_run(target: Target, event: Event) -> None:
    from_step = get(event.payload, "from_step", int, None) if target.is_owner else None
    if target.run is None:
        _create_run(target, event)
    if target.run is None:  # it was deleted for good
        return
    if target.is_owner:
        _name_by_owner(target, event)
        target.execute("UPDATE runs SET owner = ? WHERE id = ?", target.writer, target.run)
        _reopen(target)
        if from_step is not None:
            _rewind(target, event, from_step)
    (attempt,) = target.execute("SELECT attempt FROM runs WHERE id = ?", target.run).fetchone()
    target.execute("UPDATE writers SET attempt = ? WHERE id = ?", attempt, target.writer)
    target.attempt = attempt


def _create_run(target: Target, event: Event) -> None:
    purged = target.execute("SELECT purged_ns FROM purged WHERE run_id = ?", target.run_id).fetchone()
    if purged is not None and event.time_ns <= purged[0]:
        return
    cursor = target.execute(
        """INSERT INTO runs (run_id, status, heard_ns, experiment, start_ns, parent, name, description, user, host,
        entry_point) VALUES (?, 'RUNNING', ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        *(target.run_id, event.time_ns, *_identity(target, event)),
    )
    target.run = cursor.lastrowid


def _name_by_owner(target: Target, event: Event) -> None:
    """An attached writer that came first could only make the run's name up: its first owner knows."""
    if target.execute("SELECT owner FROM runs WHERE id = ?", target.run).fetchone()[0] is not None:
        return
    target.execute(
        """UPDATE runs SET experiment = ?, start_ns = min(start_ns, ?), parent = ?, name = ?, description = ?, user = ?,
        host = ?, entry_point = ? WHERE id = ?""",
        *(*_identity(target, event), target.run),
    )


def _identity(target: Target, event: Event) -> tuple[object, ...]:
    """Experiment, start, parent, name, description, user, host and entry point as a RUN record has them."""
    payload = event.payload
    texts = [get(payload, name, str, "") for name in ("name", "description", "user", "host", "entry_point")]
    experiment = need_experiment(target, get(payload, "experiment", str, "default"), event.time_ns)
    return (experiment, event.time_ns, get(payload, "parent", str, None), *texts)


def _rewind(target: Target, event: Event, from_step: int) -> None:
    run = target.need_run()
    affected = target.execute("SELECT metric FROM metrics WHERE run = ? AND last_step >= ?", run, from_step).fetchall()
    target.execute("UPDATE runs SET attempt = attempt + 1 WHERE id = ?", run)
    target.execute(
        "INSERT INTO rewinds (run, attempt, from_step, time_ns) SELECT id, attempt, ?, ? FROM runs WHERE id = ?",
        *(from_step, event.time_ns, run),
    )
    if affected:
        summary.recompute(target.connection, run, [metric for (metric,) in affected])


def hidden_at(target: Target) -> int | None:
    """Step at and after which the writer's points are hidden; None where none are."""
    return hidden_from(target.connection, target.need_run()).get(target.attempt)


def _reopen(target: Target) -> None:
    target.execute(
        "UPDATE runs SET status = 'RUNNING', end_ns = NULL, end_reason = NULL, is_provisional = 0 WHERE id = ?",
        target.run,
    )


def take_back_death(target: Target) -> None:
    """The writer speaks: a death that was only presumed did not happen."""
    presumed = target.execute(
        """UPDATE writers SET end_status = NULL, end_reason = NULL, is_presumed_dead = 0
        WHERE id = ? AND is_presumed_dead""",
        target.writer,
    )
    if presumed.rowcount and _is_newest_owner(target):
        _reopen(target)


def _is_newest_owner(target: Target) -> bool:
    row = target.execute("SELECT owner FROM runs WHERE id = ?", target.run).fetchone()
    return row is not None and row[0] == target.writer


def _on_status(target: Target, event: Event) -> None:
    target.need_run()
    _end(target, target.writer, event.payload, event.time_ns, is_presumed=False)
    said = {name: event.payload[name] for name in ("traceback", "attributes") if event.payload.get(name) is not None}
    if said and _is_newest_owner(target):
        logged.merge_environment(target, said)


def _on_lost(target: Target, event: Event) -> None:
    row = target.execute(
        "SELECT id, end_status, heard_ns FROM writers WHERE writer_id = ?", get(event.payload, "writer", str)
    ).fetchone()
    if row is None:
        raise LookupError("there is no such writer")
    writer, end_status, heard_ns = row
    dropped = get(event.payload, "dropped", int, 0)
    target.execute("UPDATE writers SET dropped = max(dropped, ?) WHERE id = ?", dropped, writer)
    if end_status is None:
        _end(target, writer, event.payload, heard_ns, is_presumed=True)


def _end(target: Target, writer: int, payload: JsonDict, end_ns: int, *, is_presumed: bool) -> None:
    status, reason = get(payload, "status", str), get(payload, "end_reason", str, None)
    if status not in ENDED:
        raise ValueError(f"nothing ends as {status!r}")
    target.execute(
        "UPDATE writers SET end_status = ?, end_reason = ?, is_presumed_dead = ? WHERE id = ?",
        *(status, reason, is_presumed, writer),
    )
    target.execute(
        """UPDATE runs SET status = ?, end_reason = ?, end_ns = ?, is_provisional = ?
        WHERE owner = ? AND run_id = (SELECT run_id FROM writers WHERE id = ?)""",
        *(status, reason, end_ns, is_presumed, writer, writer),
    )


def _on_info(target: Target, event: Event) -> None:
    run = target.need_run()
    for column in ("name", "description"):
        text = get(event.payload, column, str, None)
        if text is not None:
            target.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", text, run)  # noqa: S608 - a name from above
    experiment = get(event.payload, "experiment", str, None)
    if experiment is not None:
        row_id = need_experiment(target, experiment, event.time_ns)
        target.execute("UPDATE runs SET experiment = ? WHERE id = ?", row_id, run)


def _on_trash(target: Target, event: Event) -> None:
    deleted_ns = event.time_ns if get(event.payload, "deleted", bool) else None
    target.execute("UPDATE runs SET deleted_ns = ? WHERE id = ?", deleted_ns, target.need_run())


def _on_experiment(target: Target, event: Event) -> None:
    is_deleted = get(event.payload, "deleted", bool, False)
    row_id = need_experiment(target, get(event.payload, "name", str), event.time_ns)
    target.execute("UPDATE experiments SET is_deleted = ? WHERE id = ?", is_deleted, row_id)


def _on_heartbeat(_target: Target, _event: Event) -> None:
    """That the writer was heard of is noted for every record."""


def _on_dropped(target: Target, event: Event) -> None:
    target.execute("UPDATE writers SET dropped = ? WHERE id = ?", get(event.payload, "total", int), target.writer)


_HANDLERS: Mapping[int, Callable[[Target, Event], Refused | None]] = {
    **logged.HANDLERS,
    Kind.RUN: _on_run,
    Kind.INFO: _on_info,
    Kind.STATUS: _on_status,
    Kind.HEARTBEAT: _on_heartbeat,
    Kind.DROPPED: _on_dropped,
    Kind.LOST: _on_lost,
    Kind.TRASH: _on_trash,
    Kind.EXPERIMENT: _on_experiment,
}
