"""Whom a batch is from and the run it is for; reading payloads; keeping what cannot be applied."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

_T = TypeVar("_T")
_REQUIRED: Any = object()


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


Refused = Sequence[tuple[Any, str]]
"""Parts of a record that were refused, each with the reason."""


def reject(target: Target, sequence: int, count: int, kind: int, payload: str | bytes, reason: str) -> None:
    """Keep what was acknowledged and could not be applied."""
    target.execute(
        "INSERT INTO rejected (writer, sequence, count, kind, payload, reason) VALUES (?, ?, ?, ?, ?, ?)",
        *(target.writer, sequence, count, kind, payload, reason.encode("utf-8", "backslashreplace").decode()[:1000]),
    )


def get(payload: Mapping[str, Any], name: str, kind: type[_T], default: Any = _REQUIRED) -> _T:
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
    return is_a(value, kind, name)


def is_a(value: Any, kind: type[_T], name: str) -> _T:
    """`value`, which is a `kind`; raises TypeError, which rejects the record, when it is not."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def as_ascii(value: Any) -> str:
    """JSON that any text column takes, whatever the text in it."""
    return json.dumps(value, separators=(",", ":"))


def as_json(value: Any) -> str:
    """JSON that is pleasant to read with SQL."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def need_experiment(target: Target, name: str, time_ns: int) -> int:
    """Row id of an experiment, which is made when it is not there."""
    target.execute("INSERT OR IGNORE INTO experiments (name, created_ns) VALUES (?, ?)", name, time_ns)
    (row_id,) = target.execute("SELECT id FROM experiments WHERE name = ?", name).fetchone()
    return int(row_id)
