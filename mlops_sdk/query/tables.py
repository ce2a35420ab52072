"""Runs as columns, and columns as rows and frames of pandas, polars and arrow; nothing is loaded that was not asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_sdk.conditions import Field
from mlops_sdk.entities import Part, RunHead, RunParts
from mlops_sdk.errors import InvalidValueError, MissingDependencyError
from mlops_sdk.query.filtering.order import fields_in
from mlops_sdk.query.times import from_ns
from mlops_sdk.query.view import derived_status
from mlops_sdk.values.directions import known_direction

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

SYSTEM = "system/"
_ATTRIBUTES: dict[str, Callable[[RunHead], Any]] = {
    "run_id": lambda head: head.run_id,
    "name": lambda head: head.name,
    "experiment": lambda head: head.experiment,
    "status": derived_status,
    "start_ns": lambda head: from_ns(head.start_ns),
    "end_ns": lambda head: None if head.end_ns is None else from_ns(head.end_ns),
    "duration_s": lambda head: head.duration_s,
    "parent": lambda head: head.parent,
    "user": lambda head: head.user,
    "host": lambda head: head.host,
}
_TITLES = {"start_ns": "start_time", "end_ns": "end_time"}


@dataclass(frozen=True, slots=True)
class Table:
    """Runs as columns.

    Attributes
    ----------
    columns : dict of str to list
        By title, each of length n: one value a run, None where it has none. ``run_id`` is the first.
    metrics : frozenset of str
        Titles of columns that hold metrics: numbers, NaN included.
    """

    columns: dict[str, list[Any]]
    metrics: frozenset[str]

    def rows(self, *, sparse: bool) -> list[dict[str, Any]]:
        """One dict a run; without what it lacks when `sparse`, but with every attribute."""
        n = len(self.columns["run_id"])
        rows: list[dict[str, Any]] = [{} for _ in range(n)]
        for title, values in self.columns.items():
            is_kept = not sparse or "." not in title
            for row, value in zip(rows, values, strict=True):
                if is_kept or value is not _MISSING:
                    row[title] = None if value is _MISSING else value
        return rows

    def plain(self, title: str) -> list[Any]:
        """A column with None for what is missing."""
        return [None if value is _MISSING else value for value in self.columns[title]]


class _Missing:
    """What a run lacks; a param may be None."""


_MISSING: Any = _Missing()


def parts_needed(columns: Sequence[str] | None) -> tuple[Part, ...]:
    """What has to be read for a table: the last values of metrics are enough unless a summary is named."""
    if columns is None or all(field.part in ("", "last") for field in fields_in(columns)):
        return ("params", "tags", "last")
    return ("params", "tags", "metrics", "last")


def tabulate(heads: Sequence[RunHead], parts: Mapping[str, RunParts], columns: Sequence[str] | None) -> Table:
    """The table of some runs.

    Parameters
    ----------
    heads : sequence of RunHead
        n runs.
    parts : mapping of str to RunParts
        By run id: params, tags, last, and metrics where summaries are among `columns`.
    columns : sequence of str, optional
        Titles, in order; default: attributes and every param, metric and tag that occurs, without ``system/``.

    Raises
    ------
    FilterSyntaxError, InvalidValueError
        If a title is neither an attribute nor a param, metric or tag.
    """
    found = [parts.get(head.run_id, _NOTHING) for head in heads]
    if columns is not None:
        fields = {title: _field(title) for title in columns}
        named = {title: [_value(field, head, each) for head, each in zip(heads, found, strict=True)]
                 for title, field in fields.items()}  # fmt: skip
        is_metric = frozenset(title for title, field in fields.items() if field.kind == "metrics")
        return Table({"run_id": [head.run_id for head in heads]} | named, is_metric)
    table = {_TITLES.get(name, name): [read(head) for head in heads] for name, read in _ATTRIBUTES.items()}
    table |= _gathered("params", [each.params for each in found])
    metrics = _gathered("metrics", [each.last for each in found])
    metrics = {title: values for title, values in metrics.items() if not title.startswith(f"metrics.{SYSTEM}")}
    return Table(table | metrics | _gathered("tags", [each.tags for each in found]), frozenset(metrics))


_NOTHING = RunParts()


def _field(title: str) -> Field:
    field, *more = fields_in([title])
    if more or field.kind == "datasets" or field.key == "root":
        raise InvalidValueError(f"{title!r} is no column: give one attribute, param, tag or metric summary", key=title)
    return field


def _gathered(kind: str, mappings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """A column for every key that occurs, in the order in which they do."""
    n = len(mappings)
    columns: dict[str, list[Any]] = {}
    for row, mapping in enumerate(mappings):
        for key, value in mapping.items():
            column = columns.get(key)
            if column is None:
                column = columns[key] = [_MISSING] * n
            column[row] = value
    return {f"{kind}.{key}": values for key, values in columns.items()}


def _value(field: Field, head: RunHead, parts: RunParts) -> Any:
    if field.kind == "attribute":
        read = _ATTRIBUTES.get(field.key)
        return read(head) if read else getattr(head, field.key, None)
    if field.kind == "metrics":
        return _summary(field, parts)
    return (parts.params if field.kind == "params" else parts.tags).get(field.key, _MISSING)


def _summary(field: Field, parts: RunParts) -> Any:
    if field.part == "last":
        return parts.last.get(field.key, _MISSING)
    definition = parts.definitions.get(field.key)
    best = (definition.mode if definition else None) or known_direction(field.key)
    part = best if field.part == "best" else field.part
    summary = parts.metrics.get(field.key)
    return _MISSING if summary is None or part is None else getattr(summary, part)


# -- frames --------------------------------------------------------------------------------------------------------------


def as_pandas(table: Table) -> pd.DataFrame:
    """The table as a pandas frame with index ``run_id``."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingDependencyError("pandas", extra="pandas", purpose="to_pandas()") from error
    import numpy as np

    columns: dict[str, Any] = {title: table.plain(title) for title in table.columns}
    columns |= {title: np.array(columns[title], np.float64) for title in table.metrics}
    return pd.DataFrame(columns).set_index("run_id")


def as_polars(table: Table) -> pl.DataFrame:
    """The table as a polars frame; ``run_id`` is its first column."""
    try:
        import polars as pl
    except ImportError as error:
        raise MissingDependencyError("polars", extra="polars", purpose="to_polars()") from error
    return pl.DataFrame({title: _uniform(table.plain(title)) for title in table.columns}, strict=True)


def as_arrow(table: Table) -> pa.Table:
    """The table as an arrow table; ``run_id`` is its first column."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingDependencyError("pyarrow", extra="arrow", purpose="to_arrow()") from error
    return pa.table({title: _uniform(table.plain(title)) for title in table.columns})


def _uniform(values: list[Any]) -> list[Any]:
    """A column of one type: numbers of both kinds as floats, what is mixed or nested as text."""
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) <= 1 and kinds <= {bool, str, float, datetime}:
        return values
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return values
    if kinds == {int, float} and all(value is None or abs(value) <= 2**53 or value in _INFINITE or value != value
                                     for value in values):  # fmt: skip
        return [None if value is None else float(value) for value in values]
    return [None if value is None else as_text(value) for value in values]


_INFINITE = (math.inf, -math.inf)


def as_text(value: Any) -> str:
    """A value as text from which it can be had back."""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    return repr(value) if isinstance(value, int | float) else json.dumps(value, ensure_ascii=False)
