"""Everything but points read back: run heads in any order, their parts, writers, experiments."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mlops_sdk.entities import (
    PARTS,
    ArtifactRef,
    Experiment,
    MetricDefinition,
    Part,
    RunParts,
    WriterState,
)
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.stores.sqlite.summary import READ_COLUMNS, summary_of
from mlops_sdk.values.params import decode_param

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict

Gathered = dict[int, dict[str, Any]]
"""By row id of the run: fields of `RunParts`."""

_WRITER = "writer_id, run_id, role, rank, host, boot_id, pid, sequence, chain, attempt, end_status, end_reason, heard_ns, dropped"
_ASKED = "(SELECT value FROM json_each(?))"


def read_writer(connection: sqlite3.Connection, writer_id: str) -> WriterState | None:
    """See `Store.acknowledged`."""
    row = connection.execute(f"SELECT {_WRITER} FROM writers WHERE writer_id = ?", (writer_id,)).fetchone()  # noqa: S608
    return _writer(row) if row else None


def _writer(row: tuple[Any, ...]) -> WriterState:
    state = WriterState(*row)
    object.__setattr__(state, "chain", state.chain & 0xFFFF_FFFF_FFFF_FFFF)  # SQLite's integers are signed
    return state


def read_experiments(connection: sqlite3.Connection, *, deleted: bool | None) -> list[Experiment]:
    """See `Store.experiments`."""
    rows = connection.execute(
        """SELECT e.name, e.created_ns, e.is_deleted, count(r.id) FROM experiments e
        LEFT JOIN runs r ON r.experiment = e.id AND r.deleted_ns IS NULL
        WHERE :deleted IS NULL OR e.is_deleted = :deleted GROUP BY e.id ORDER BY e.name""",
        {"deleted": deleted},
    )
    return [Experiment(name, created_ns, n_runs, bool(is_deleted)) for name, created_ns, is_deleted, n_runs in rows]


def read_parts(connection: sqlite3.Connection, run_ids: Sequence[str], parts: Sequence[Part]) -> dict[str, RunParts]:
    """See `Store.load`; the number of statements depends on `parts` only."""
    if unknown := set(parts) - set(PARTS):
        raise InvalidValueError(f"no such parts: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    found = connection.execute(
        f"SELECT id, run_id FROM runs WHERE run_id IN {_ASKED}",  # noqa: S608 - a constant
        (json.dumps(list(run_ids)),),
    ).fetchall()
    gathered: Gathered = {row_id: {} for row_id, _ in found}
    asked = json.dumps(list(gathered))
    for part in parts:
        _READERS[part](connection, asked, gathered)
    by_id = {run_id: RunParts(**gathered[row_id]) for row_id, run_id in found}
    return {run_id: by_id[run_id] for run_id in run_ids if run_id in by_id}


def _rows(connection: sqlite3.Connection, sql: str, asked: str) -> Iterator[tuple[Any, ...]]:
    """Rows of a statement that ends in "IN" and the runs asked for, with an ORDER BY behind "|"."""
    condition, _, order = sql.partition("|")
    yield from connection.execute(f"{condition} {_ASKED} {order}", (asked,))


def _collect(gathered: Gathered, name: str, kind: Callable[[], Any]) -> dict[int, Any]:
    """A new, empty field of every run."""
    for fields in gathered.values():
        fields[name] = kind()
    return {row_id: fields[name] for row_id, fields in gathered.items()}


def _read_params(connection: sqlite3.Connection, asked: str, gathered: Gathered) -> None:
    params, config = _collect(gathered, "params", dict), _collect(gathered, "config", dict)
    sql = "SELECT run, key, kind, text, number FROM params WHERE run IN |ORDER BY run, key"
    for run, key, kind, text, number in _rows(connection, sql, asked):
        # a float's number is its text, read once: for tables of many runs that is half of the time
        params[run][key] = number if kind == "float" and type(number) is float else decode_param(kind, text)
    for run, key, value in _rows(connection, "SELECT run, key, value FROM config WHERE run IN |ORDER BY id", asked):
        config[run][key] = json.loads(value)


def _read_tags(connection: sqlite3.Connection, asked: str, gathered: Gathered) -> None:
    tags = _collect(gathered, "tags", dict)
    for run, key, value in _rows(connection, "SELECT run, key, value FROM tags WHERE run IN |ORDER BY run, key", asked):
        tags[run][key] = value


def _read_metrics(connection: sqlite3.Connection, asked: str, gathered: Gathered) -> None:
    metrics, definitions = _collect(gathered, "metrics", dict), _collect(gathered, "definitions", dict)
    sql = f"""SELECT m.run, {READ_COLUMNS} FROM metrics m JOIN metric_keys k ON k.id = m.metric
        WHERE m.run IN |ORDER BY m.run, k.name"""  # noqa: S608 - a constant
    for row in _rows(connection, sql, asked):
        metrics[row[0]][row[1]] = summary_of(row[1:])
    sql = "SELECT run, key, mode, unit, x FROM definitions WHERE run IN |ORDER BY run, key"
    for run, *values in _rows(connection, sql, asked):
        definitions[run][values[0]] = MetricDefinition(*values)


def _read_last(connection: sqlite3.Connection, asked: str, gathered: Gathered) -> None:
    last = _collect(gathered, "last", dict)
    names = dict(connection.execute("SELECT id, name FROM metric_keys").fetchall())
    sql = "SELECT run, metric, last FROM metrics WHERE run IN |"
    for run, metric, value in _rows(connection, sql, asked):
        last[run][names[metric]] = math.nan if value is None else value


def _read_artifacts(connection: sqlite3.Connection, asked: str, gathered: Gathered) -> None:
    artifacts = _collect(gathered, "artifacts", list)
    sql = """SELECT run, metadata, path, sha256, size_bytes, media_type, version, step FROM artifacts
        WHERE run IN |ORDER BY id"""
    for run, metadata, path, sha256, size_bytes, media_type, version, step in _rows(connection, sql, asked):
        ref = ArtifactRef(path, sha256, size_bytes, media_type, version, step, metadata=json.loads(metadata))
        artifacts[run].append(ref)


def _read_datasets(connection: sqlite3.Connection, asked: str, gathered: Gathered) -> None:
    datasets = _collect(gathered, "datasets", list)
    for run, description in _rows(connection, "SELECT run, description FROM datasets WHERE run IN |ORDER BY id", asked):
        datasets[run].append(json.loads(description))


def _read_writers(connection: sqlite3.Connection, asked: str, gathered: Gathered) -> None:
    writers = _collect(gathered, "writers", list)
    sql = f"""SELECT (SELECT id FROM runs WHERE runs.run_id = writers.run_id), {_WRITER} FROM writers
        WHERE role <> 'editor' AND run_id IN (SELECT run_id FROM runs WHERE id IN |) ORDER BY id"""  # noqa: S608 - constants
    for run, *values in _rows(connection, sql, asked):
        writers[run].append(_writer(tuple(values)))


def _read_environment(connection: sqlite3.Connection, asked: str, gathered: Gathered) -> None:
    environment = _collect(gathered, "environment", dict)
    sql = """SELECT e.run, e.key, coalesce(p.value, e.value) FROM environment e
        LEFT JOIN packages p ON p.digest = e.packages WHERE e.run IN |ORDER BY e.id"""
    for run, key, value in _rows(connection, sql, asked):
        environment[run][key] = _json_or_none(value)


def _json_or_none(value: str | None) -> JsonDict | None:
    return None if value is None else json.loads(value)


def _read_children(connection: sqlite3.Connection, asked: str, gathered: Gathered) -> None:
    children = _collect(gathered, "children", list)
    sql = """SELECT p.id, c.run_id FROM runs p JOIN runs c ON c.parent = p.run_id
        WHERE c.deleted_ns IS NULL AND p.id IN |ORDER BY c.start_ns DESC, c.run_id DESC"""
    for run, child in _rows(connection, sql, asked):
        children[run].append(child)


def _read_warnings(connection: sqlite3.Connection, asked: str, gathered: Gathered) -> None:
    warnings = _collect(gathered, "warnings", list)
    sql = "SELECT run, cause, count, message FROM warnings WHERE run IN |ORDER BY id"
    for run, cause, count, message in _rows(connection, sql, asked):
        warnings[run].append({"cause": cause, "count": count, "message": message})


_READERS: dict[Part, Callable[[sqlite3.Connection, str, Gathered], None]] = {
    "params": _read_params,
    "tags": _read_tags,
    "metrics": _read_metrics,
    "last": _read_last,
    "artifacts": _read_artifacts,
    "datasets": _read_datasets,
    "writers": _read_writers,
    "environment": _read_environment,
    "children": _read_children,
    "warnings": _read_warnings,
}
