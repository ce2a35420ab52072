"""Which runs, in which order: a `RunQuery` as one SQL statement.

Values and keys are always bound, never part of the text. The statement is built from pieces that name what they need
(`_Statement.metric`, `.param`, `.tag` join it once); `conditions` makes those of a filter.

A first term on a metric is answered from the index on its summary, value by value, so that the best hundred of a hundred
thousand runs are found without looking at the others; runs without a value come from a second statement.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from mlops_sdk.entities import MetricSummary, OrderBy, RunHead, RunQuery
from mlops_sdk.errors import InvalidValueError, QueryTimeoutError, StoreCorruptError
from mlops_sdk.stores.sqlite.conditions import ATTRIBUTES, INDEXED, as_sql, best_value
from mlops_sdk.stores.sqlite.faults import primary_code

_HEAD = """r.run_id, r.name, e.name, r.status, r.start_ns, r.end_ns, r.heard_ns, r.description, r.parent, r.user, r.host,
r.entry_point, r.end_reason, r.is_provisional, r.deleted_ns IS NOT NULL, r.git_commit, r.git_branch, r.git_dirty"""
_TIMES = (int, type(None))
_SUMMARIES = frozenset(MetricSummary.__slots__) - {"key"} | {"best"}
_OPCODES = 20_000
"""The clock is looked at every so many steps of SQLite's machine: a fraction of a millisecond."""

_LIKE_FROM = 4
"""A prefix or suffix of an id has at least so many characters."""


def find_runs(connection: sqlite3.Connection, query: RunQuery) -> list[RunHead]:
    """See `Store.find`; `connection` is in a read transaction."""
    if query.limit is not None and query.limit <= 0:
        return []
    with _limited(connection, query):
        return _find(connection, _with_plain_best(connection, query))


@contextlib.contextmanager
def _limited(connection: sqlite3.Connection, query: RunQuery) -> Iterator[None]:
    """Give up when the time is over."""
    if query.where is None or query.timeout_s is None:
        yield
        return
    deadline, timeout_s = time.monotonic() + query.timeout_s, query.timeout_s
    connection.set_progress_handler(lambda: time.monotonic() >= deadline, _OPCODES)
    try:
        yield
    except sqlite3.OperationalError as error:
        if primary_code(error) != sqlite3.SQLITE_INTERRUPT:
            raise
        raise QueryTimeoutError(timeout_s) from error
    finally:
        connection.set_progress_handler(None, 0)


def _find(connection: sqlite3.Connection, query: RunQuery) -> list[RunHead]:
    rows: list[tuple[Any, ...]] = []
    end = None if query.limit is None else query.offset + query.limit
    for statement in _statements(query):
        if end is None or len(rows) < end:
            rows += connection.execute(*statement.build(None if end is None else end - len(rows)))
    return [_head(row) for row in rows[query.offset : end]]


def _with_plain_best(connection: sqlite3.Connection, query: RunQuery) -> RunQuery:
    """An order by the best value, by the greatest or least where no run said otherwise: an index knows those."""
    first = query.order_by[0] if query.order_by else None
    if first is None or first.summary != "best" or first.mode is None:
        return query
    sql = "SELECT 1 FROM definitions WHERE key = ? AND mode <> ? LIMIT 1"
    if connection.execute(sql, (first.key, first.mode)).fetchone():
        return query
    return replace(query, order_by=(replace(first, summary=first.mode), *query.order_by[1:]))


def _head(row: tuple[Any, ...]) -> RunHead:
    *values, is_provisional, is_deleted, commit, branch, is_dirty = row
    values += [bool(is_provisional), bool(is_deleted), commit, branch, None if is_dirty is None else bool(is_dirty)]
    if not all(type(time_ns) in _TIMES for time_ns in values[4:7]):  # a column's type binds nobody in SQLite
        raise StoreCorruptError(f"times of run {values[0]} are no numbers: restore a backup", place="table runs")
    return RunHead(*values)


@dataclass(slots=True)
class _Statement:
    """A SELECT over runs that is being put together; values are bound by name."""

    source: str = "runs r"
    run: str = "r.id"
    joins: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)

    def bind(self, value: Any) -> str:
        """The placeholder of a value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"  # numbers (?1) bring a DeprecationWarning from Python 3.12.0 to 3.12.3

    def metric(self, key: str) -> str:
        """Alias of the run's row of a metric, joined once; its columns are NULL where there is none."""
        return self._joined("metrics", key, self._is_metric)

    def param(self, key: str) -> str:
        """Alias of a param, likewise."""
        return self._joined("params", key, self._has_key)

    def tag(self, key: str) -> str:
        """Alias of a tag, likewise."""
        return self._joined("tags", key, self._has_key)

    def drive_by_metric(self, key: str) -> str:
        """Begin with the rows of a metric instead of the runs; runs without it are left out. Returns its alias."""
        alias = self.aliases["metrics", key] = "m0"
        self.run = f"{alias}.run"
        self.source = f"metrics {alias} CROSS JOIN runs r ON r.id = {alias}.run"
        self.conditions.append(self._is_metric(alias, key))
        return alias

    def _is_metric(self, alias: str, key: str) -> str:
        return f"{alias}.metric = (SELECT id FROM metric_keys WHERE name = {self.bind(key)})"  # noqa: S608 - placeholders

    def _has_key(self, alias: str, key: str) -> str:
        return f"{alias}.key = {self.bind(key)}"

    def _joined(self, table: str, key: str, condition: Callable[[str, str], str]) -> str:
        if (table, key) not in self.aliases:
            alias = self.aliases[table, key] = f"{table[0]}{len(self.aliases)}"
            self.joins.append(f"LEFT JOIN {table} {alias} ON {alias}.run = r.id AND {condition(alias, key)}")
        return self.aliases[table, key]

    def build(self, limit: int | None) -> tuple[str, dict[str, Any]]:
        """Text and values."""
        limited = f"LIMIT {self.bind(limit)}" if limit is not None else ""
        where = f"WHERE {' AND '.join(self.conditions)}" if self.conditions else ""
        # CROSS: the order of the tables is ours, or an index that gives the order of the rows would not be used
        sql = f"""SELECT {_HEAD} FROM {self.source} CROSS JOIN experiments e ON e.id = r.experiment
            {" ".join(self.joins)} {where} ORDER BY {", ".join([*self.order, "r.start_ns DESC", "r.run_id DESC"])} {limited}"""  # noqa: S608
        return sql, self.values


def _statements(query: RunQuery) -> list[_Statement]:
    """One statement, or two that follow each other: runs with a value of the metric, then runs without."""
    if not _is_index_driven(query):
        statement = _Statement()
        _add_conditions(statement, query)
        _add_order(statement, query.order_by)
        return [statement]
    first, rest = query.order_by[0], query.order_by[1:]
    having, lacking = _Statement(), _Statement()
    value = f"{having.drive_by_metric(first.key)}.{first.summary}"
    having.conditions.append(f"{value} IS NOT NULL")
    having.order.append(f"{value}{_direction(first)}")
    lacking.conditions.append(f"{lacking.metric(first.key)}.{first.summary} IS NULL")
    for statement in (having, lacking):
        _add_conditions(statement, query)
        _add_order(statement, rest)
    return [having, lacking]


def _is_index_driven(query: RunQuery) -> bool:
    if not query.order_by or query.limit is None:
        return False
    # conditions that leave few runs are better looked at first
    is_selective = query.run_ids is not None or query.id_like is not None or query.parent is not None
    first = query.order_by[0]
    return first.kind == "metrics" and first.summary in INDEXED and not is_selective


def _add_conditions(statement: _Statement, query: RunQuery) -> None:
    add, bind = statement.conditions.append, statement.bind
    if query.deleted is not None:
        add(f"r.deleted_ns IS {'NOT ' if query.deleted else ''}NULL")
    if query.experiment is not None:
        add(f"r.experiment = (SELECT id FROM experiments WHERE name = {bind(query.experiment)})")  # noqa: S608 - placeholders
    if query.parent is not None:
        add(f"r.parent = {bind(query.parent)}")
    if query.run_ids is not None:
        add(f"r.run_id IN (SELECT value FROM json_each({bind(json.dumps(query.run_ids))}))")  # noqa: S608
    if query.id_like is not None:
        _add_like(statement, query.id_like)
    if query.where is not None:
        add(as_sql(query.where, bind, statement.run))


def _add_like(statement: _Statement, text: str) -> None:
    """A full id, a prefix or suffix of one, or a name; the ids are looked at in their index."""
    value, n = statement.bind(text), len(text)
    ends = f"substr(run_id, 1, {n}) = {value} OR substr(run_id, -{n}) = {value}" if n >= _LIKE_FROM else "0"
    statement.conditions.append(
        f"""r.id IN (SELECT id FROM runs WHERE name = {value} UNION ALL SELECT id FROM runs WHERE run_id = {value}
            UNION ALL SELECT id FROM runs WHERE {ends})"""  # noqa: S608 - placeholders
    )


def _add_order(statement: _Statement, terms: tuple[OrderBy, ...]) -> None:
    for term in terms:
        direction = _direction(term)
        if term.kind == "params":
            alias = statement.param(term.key)
            # NaN is the float without a number
            has_none = f"({alias}.run IS NULL OR {alias}.number IS NULL AND {alias}.kind IN ('float', 'none'))"
            text = f"CASE WHEN {alias}.number IS NULL AND NOT {has_none} THEN {alias}.text END"
            statement.order.append(has_none)
            statement.order += [f"{each}{direction}" for each in (f"({alias}.number IS NULL)", f"{alias}.number", text)]
        else:
            value = _value(statement, term)
            statement.order += [f"({value} IS NULL)", f"{value}{direction}"]


def _value(statement: _Statement, term: OrderBy) -> str:
    if term.kind == "tags":
        return f"{statement.tag(term.key)}.value"
    if term.kind == "metrics":
        if term.summary not in _SUMMARIES:
            raise InvalidValueError(
                f"cannot order by {term.summary!r} of a metric; there are {', '.join(sorted(_SUMMARIES))}", key=term.key
            )
        alias = statement.metric(term.key)
        if term.summary == "best":
            return best_value(alias, statement.bind(term.key), statement.bind(term.mode))
        return f"{alias}.{term.summary}"
    if term.key not in ATTRIBUTES:
        raise InvalidValueError(
            f"cannot order by {term.key!r}; there are {', '.join(sorted(ATTRIBUTES))}", key=term.key
        )
    return ATTRIBUTES[term.key]


def _direction(term: OrderBy) -> str:
    return " DESC" if term.descending else ""
