"""Which keys there are: a walk from key to key along an index, however many runs have each."""

from __future__ import annotations

import sqlite3

from mlops_sdk.conditions import FieldKind

_WALK = """WITH RECURSIVE walk (name) AS (SELECT min({column}) FROM {table}
    UNION ALL SELECT (SELECT min({column}) FROM {table} WHERE {column} > walk.name) FROM walk WHERE walk.name IS NOT NULL)
    SELECT name FROM walk WHERE name IS NOT NULL"""
_COLUMNS = {"params": ("params", "key"), "tags": ("tags", "key"), "datasets": ("datasets", "context")}


def read_keys(connection: sqlite3.Connection, kind: FieldKind) -> list[str]:
    """See `Store.keys`."""
    if kind == "metrics":
        sql = (
            "SELECT name FROM metric_keys k WHERE EXISTS (SELECT 1 FROM metrics m WHERE m.metric = k.id) ORDER BY name"
        )
    elif kind in _COLUMNS:
        table, column = _COLUMNS[kind]
        sql = _WALK.format(table=table, column=column)
    else:
        return []
    return [name for (name,) in connection.execute(sql)]
