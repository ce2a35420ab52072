"""A batch of journal records as rows: what each kind of record does to the database.

What a record means is said in `mlops_sdk.stores.protocol`. Every record is applied alone: one that cannot be is kept in
``rejected`` with the reason, and the rest goes on.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mlops_sdk.entities import ENDED
from mlops_sdk.journal.records import Kind
from mlops_sdk.stores.sqlite import summary
from mlops_sdk.stores.sqlite.history import hidden_from
from mlops_sdk.values.params import decode_param

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.journal.records import Event

_T = TypeVar("_T")
_REQUIRED: Any = object()
_CANNOT_BE_APPLIED = (
    LookupError,
    TypeError,
    ValueError,  # lone surrogates, too: text that is not Unicode
    AttributeError,
    OverflowError,  # integers beyond 64 bits
    RecursionError,
)


@dataclass(slots=True)
class Target:
    """Whom a batch is from, and the run it is for.

    Attributes
    ----------
    writer, run : int
        Row ids; `run` is None while there is no such run.
    writer_id, run_id, role : str
    attempt : int
        Of the writer.
    """

    connection: sqlite3.Connection
    writer: int
    writer_id: str
    run_id: str
    role: str
    run: int | None
    attempt: int

    @property
    def is_owner(self) -> bool:
        """Whether the writer decides the run's status."""
        return self.role == "owner"

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Run a statement."""
        return self.connection.execute(sql, values)

    def need_run(self) -> int:
        """Row id of the run; raises LookupError, which rejects the record, when there is none."""
        if self.run is None:
            raise LookupError("there is no such run")
        return self.run


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


Refused = Sequence[tuple[Any, str]]
"""Parts of a record that were refused, each with the reason."""


def reject(target: Target, sequence: int, count: int, kind: int, payload: str | bytes, reason: str) -> None:
    """Keep what was acknowledged and could not be applied."""
    target.execute(
        "INSERT INTO rejected (writer, sequence, count, kind, payload, reason) VALUES (?, ?, ?, ?, ?, ?)",
        *(target.writer, sequence, count, kind, payload, reason.encode("utf-8", "backslashreplace").decode()[:1000]),
    )


def _unknown(event: Event) -> tuple[Any, str]:
    return event.payload, "unknown kind of record"


# -- reading payloads --------------------------------------------------------------------------------------------------


def _get(payload: Mapping[str, Any], name: str, kind: type[_T], default: Any = _REQUIRED) -> _T:
    """Field of a payload; null and absent are the same.

    Raises
    ------
    LookupError, TypeError
        If it is missing without a default, or of another type: the record is rejected.
    """
    value = payload.get(name)
    if value is None:
        if default is _REQUIRED:
            raise LookupError(f"{name} is missing")
        return cast("_T", default)
    return _is(value, kind, name)


def _is(value: Any, kind: type[_T], name: str) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def as_ascii(value: Any) -> str:
    """JSON that any text column takes, whatever the text in it."""
    return json.dumps(value, separators=(",", ":"))


def as_json(value: Any) -> str:
    """JSON that is pleasant to read with SQL."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# -- the run -----------------------------------------------------------------------------------------------------------


def _on_run(target: Target, event: Event) -> None:
    from_step = _get(event.payload, "from_step", int, None) if target.is_owner else None
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
    texts = [_get(payload, name, str, "") for name in ("name", "description", "user", "host", "entry_point")]
    experiment = _need_experiment(target, _get(payload, "experiment", str, "default"), event.time_ns)
    return (experiment, event.time_ns, _get(payload, "parent", str, None), *texts)


def _need_experiment(target: Target, name: str, time_ns: int) -> int:
    target.execute("INSERT OR IGNORE INTO experiments (name, created_ns) VALUES (?, ?)", name, time_ns)
    (row_id,) = target.execute("SELECT id FROM experiments WHERE name = ?", name).fetchone()
    return int(row_id)


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
        _merge_environment(target, said)


def _on_lost(target: Target, event: Event) -> None:
    row = target.execute(
        "SELECT id, end_status, heard_ns FROM writers WHERE writer_id = ?", _get(event.payload, "writer", str)
    ).fetchone()
    if row is None:
        raise LookupError("there is no such writer")
    writer, end_status, heard_ns = row
    dropped = _get(event.payload, "dropped", int, 0)
    target.execute("UPDATE writers SET dropped = max(dropped, ?) WHERE id = ?", dropped, writer)
    if end_status is None:
        _end(target, writer, event.payload, heard_ns, is_presumed=True)


def _end(target: Target, writer: int, payload: JsonDict, end_ns: int, *, is_presumed: bool) -> None:
    status, reason = _get(payload, "status", str), _get(payload, "end_reason", str, None)
    if status not in ENDED:
        raise ValueError(f"nothing ends as {status!r}")
    target.execute(
        "UPDATE writers SET end_status = ?, end_reason = ?, is_presumed_dead = ? WHERE id = ?",
        *(status, reason, is_presumed, writer),
    )
    target.execute(
        """UPDATE runs SET status = ?1, end_reason = ?2, end_ns = ?3, is_provisional = ?4
        WHERE owner = ?5 AND run_id = (SELECT run_id FROM writers WHERE id = ?5)""",
        *(status, reason, end_ns, is_presumed, writer),
    )


def _on_info(target: Target, event: Event) -> None:
    run = target.need_run()
    for column in ("name", "description"):
        text = _get(event.payload, column, str, None)
        if text is not None:
            target.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", text, run)  # noqa: S608 - a name from above
    experiment = _get(event.payload, "experiment", str, None)
    if experiment is not None:
        row_id = _need_experiment(target, experiment, event.time_ns)
        target.execute("UPDATE runs SET experiment = ? WHERE id = ?", row_id, run)


def _on_trash(target: Target, event: Event) -> None:
    deleted_ns = event.time_ns if _get(event.payload, "deleted", bool) else None
    target.execute("UPDATE runs SET deleted_ns = ? WHERE id = ?", deleted_ns, target.need_run())


def _on_experiment(target: Target, event: Event) -> None:
    is_deleted = _get(event.payload, "deleted", bool, False)
    row_id = _need_experiment(target, _get(event.payload, "name", str), event.time_ns)
    target.execute("UPDATE experiments SET is_deleted = ? WHERE id = ?", is_deleted, row_id)


def _on_heartbeat(_target: Target, _event: Event) -> None:
    """That the writer was heard of is noted for every record."""


def _on_dropped(target: Target, event: Event) -> None:
    target.execute("UPDATE writers SET dropped = ? WHERE id = ?", _get(event.payload, "total", int), target.writer)


# -- what was logged ---------------------------------------------------------------------------------------------------


def _on_params(target: Target, event: Event) -> Refused:
    run, payload = target.need_run(), event.payload
    entries = [_param(entry) for entry in _get(payload, "params", list, [])]
    overwrite, config = _get(payload, "overwrite", bool, False), _get(payload, "config", dict, {})
    refused = []
    for key, kind, text, number in entries:
        old = target.execute("SELECT kind, text FROM params WHERE run = ? AND key = ?", run, key).fetchone()
        if old is not None and not overwrite:
            if not _is_same(old, (kind, text)):
                entry = {"params": [[key, kind, text, number]]}
                refused.append((entry, f"param {key!r} is {old[1]!r} ({old[0]}) already"))
            continue
        if old is not None and old != (kind, text):
            target.execute(
                "INSERT INTO param_history (run, key, kind, text, replaced_ns) VALUES (?, ?, ?, ?, ?)",
                *(run, key, *old, event.time_ns),
            )
        target.execute("INSERT OR REPLACE INTO params VALUES (?, ?, ?, ?, ?)", run, key, kind, text, number)
    _merge_keys(target, "config", config)
    return refused


def _param(entry: Any) -> tuple[str, str, str, int | float | None]:
    """(key, kind, text, number) of a param that can be read back."""
    key, kind, text, *_ = _is(entry, list, "a param")
    value = decode_param(_is(kind, str, "kind"), _is(text, str, "text"))
    return _is(key, str, "key"), kind, text, _number(value)


def _number(value: Any) -> int | float | None:
    """What SQLite compares a param by: exact up to 64 bits, as float64 beyond; None for text and NaN."""
    if not isinstance(value, int | float) or value != value:
        return None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value) if abs(value) < 2**1023 else (math.inf if value > 0 else -math.inf)
    return value


def _is_same(old: tuple[str, str], new: tuple[str, str]) -> bool:
    """Whether two params (kind, text) are equal: numbers by value, everything else by kind and text."""
    numbers = {old[0], new[0]} <= {"int", "float"}
    return old == new or (numbers and decode_param(*old) == decode_param(*new))


def _merge_keys(target: Target, table: str, values: JsonDict) -> None:
    rows = [(target.run, key, as_json(value)) for key, value in values.items()]
    target.connection.executemany(
        f"""INSERT INTO {table} (run, key, value) VALUES (?, ?, ?)
        ON CONFLICT (run, key) DO UPDATE SET value = excluded.value""",  # noqa: S608 - one of two names
        rows,
    )


def _on_tags(target: Target, event: Event) -> None:
    run = target.need_run()
    tags, gone = _get(event.payload, "set", dict, {}), _get(event.payload, "delete", list, [])
    rows = [(run, key, _is(text, str, "a tag")) for key, text in tags.items()]
    target.connection.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", rows)
    keys = [(run, _is(key, str, "a tag to delete")) for key in gone]
    target.connection.executemany("DELETE FROM tags WHERE run = ? AND key = ?", keys)


def _on_artifact(target: Target, event: Event) -> None:
    run, payload = target.need_run(), event.payload
    path = _get(payload, "path", str)
    target.execute(
        """INSERT INTO artifacts (run, path, version, sha256, size_bytes, media_type, step, metadata, time_ns)
        SELECT ?1, ?2, 1 + coalesce(max(version), 0), ?3, ?4, ?5, ?6, ?7, ?8 FROM artifacts WHERE run = ?1 AND path = ?2""",
        *(run, path, _get(payload, "sha256", str), _get(payload, "size_bytes", int, 0)),
        *(_get(payload, "media_type", str, "application/octet-stream"), _get(payload, "step", int, None)),
        *(as_json(_get(payload, "metadata", dict, {})), event.time_ns),
    )


def _on_dataset(target: Target, event: Event) -> None:
    said = [
        text if isinstance(text := event.payload.get(name), str) else None for name in ("name", "context", "digest")
    ]
    target.execute(
        "INSERT INTO datasets (run, name, context, digest, description) VALUES (?, ?, ?, ?, ?)",
        *(target.need_run(), *said, as_json(event.payload)),
    )


def _on_define(target: Target, event: Event) -> None:
    key, mode = _get(event.payload, "key", str), _get(event.payload, "mode", str, None)
    if mode not in ("max", "min", None):
        raise ValueError(f"mode is {mode!r}")
    unit, x = _get(event.payload, "unit", str, None), _get(event.payload, "x", str, None)
    target.execute("INSERT OR REPLACE INTO definitions VALUES (?, ?, ?, ?, ?)", target.need_run(), key, mode, unit, x)


def _on_environment(target: Target, event: Event) -> None:
    target.need_run()
    git = _get(event.payload, "git", dict, None)
    if git is not None:
        target.execute(
            "UPDATE runs SET git_commit = ?, git_branch = ?, git_dirty = ? WHERE id = ?",
            *(_get(git, "commit", str, None), _get(git, "branch", str, None), _get(git, "dirty", bool, None)),
            target.run,
        )
    _merge_environment(target, event.payload)


def _merge_environment(target: Target, said: JsonDict) -> None:
    packages = _get(said, "packages", dict, {})
    digest = _get(packages, "digest", str, None)
    _merge_keys(target, "environment", said)
    if digest is not None:
        target.execute("INSERT OR IGNORE INTO packages VALUES (?, ?)", digest, as_json(packages))
    if "packages" in said:
        target.execute(
            """UPDATE environment SET packages = ?1, value = CASE WHEN ?1 IS NULL THEN value END
            WHERE run = ?2 AND key = 'packages'""",
            *(digest, target.run),
        )


def _on_warning(target: Target, event: Event) -> None:
    payload = event.payload
    target.execute(
        """INSERT INTO warnings (run, cause, count, message) VALUES (?, ?, ?, ?) ON CONFLICT (run, cause) DO UPDATE
        SET count = excluded.count, message = excluded.message WHERE excluded.count > warnings.count""",
        *(
            target.need_run(),
            _get(payload, "cause", str),
            _get(payload, "count", int),
            _get(payload, "message", str, ""),
        ),
    )


_HANDLERS: Mapping[int, Callable[[Target, Event], Refused | None]] = {
    Kind.RUN: _on_run,
    Kind.PARAMS: _on_params,
    Kind.TAGS: _on_tags,
    Kind.INFO: _on_info,
    Kind.ARTIFACT: _on_artifact,
    Kind.DATASET: _on_dataset,
    Kind.DEFINE: _on_define,
    Kind.STATUS: _on_status,
    Kind.ENVIRONMENT: _on_environment,
    Kind.HEARTBEAT: _on_heartbeat,
    Kind.DROPPED: _on_dropped,
    Kind.LOST: _on_lost,
    Kind.TRASH: _on_trash,
    Kind.EXPERIMENT: _on_experiment,
    Kind.WARNING: _on_warning,
}
