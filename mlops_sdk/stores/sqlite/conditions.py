"""Conditions as SQL: text of ours with placeholders, values and keys bound.

A condition on a param, tag, metric or dataset is a scalar subquery, which is NULL where the run has none: SQL's three-valued
logic does the rest. Within the subquery a comparison is 0 or 1, as what is present is never unknown.

Conditions that every found run must meet, and that an index on values answers, become ``r.id IN (SELECT run ...)``: with
two of them over 100,000 runs the search is several times faster, and never looks at runs that fit neither.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from mlops_sdk.conditions import (
    DATASET_FIELDS,
    SUMMARIES,
    Compare,
    Condition,
    Every,
    Field,
    IsNull,
    Like,
    Not,
    OneOf,
    Some,
    Value,
    comparable,
)
from mlops_sdk.entities import RunHead
from mlops_sdk.errors import InvalidValueError

Bind = Callable[[Any], str]
"""Takes a value, gives its placeholder."""

ROOT = """(WITH RECURSIVE up (id) AS (SELECT r.run_id
    UNION SELECT p.parent FROM up JOIN runs p ON p.run_id = up.id WHERE p.parent IS NOT NULL)
    SELECT id FROM up WHERE NOT EXISTS (SELECT 1 FROM runs p WHERE p.run_id = up.id AND p.parent IS NOT NULL))"""
"""Id of the run at the top of the nest; NULL where runs are each other's parents."""

ATTRIBUTES = {name: f"r.{name}" for name in RunHead.__slots__} | {
    "experiment": "e.name",
    "is_deleted": "(r.deleted_ns IS NOT NULL)",
    "duration_s": "(max(0, coalesce(r.end_ns, r.heard_ns) - r.start_ns) / 1e9)",
    "root": ROOT,
}
"""By name in `Field`: an expression over runs (alias ``r``) and experiments (``e``)."""

INDEXED = frozenset({"last", "min", "max", "mean"})
"""Summaries that an index is kept of."""

_HOLDS = dict.fromkeys(("start_ns", "end_ns", "heard_ns", "duration_s"), "number") | dict.fromkeys(
    ("git_dirty", "is_deleted", "is_provisional"), "truth"
)
"""Attributes that are no text."""

_CONTENT = (
    "CASE json_type(d.description, '$.content_digest') WHEN 'text' "
    "THEN json_extract(d.description, '$.content_digest') END"
)
_CASEFOLD = "mlops_casefold"
_METRIC = "(SELECT id FROM metric_keys WHERE name = {0})"
_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})

# ruff: noqa: S608 - put together from constants and placeholders


def add_functions(connection: sqlite3.Connection) -> None:
    """Give a connection what conditions need and SQLite lacks."""
    connection.create_function(_CASEFOLD, 1, _casefold, deterministic=True)


def _casefold(text: Any) -> Any:
    return text.casefold() if isinstance(text, str) else text


def best_value(alias: str, key: str, mode: str) -> str:
    """The best value in a row of metrics; NULL where it is NaN, and where the direction is not known.

    Parameters
    ----------
    alias : str
        Of the row.
    key, mode : str
        Placeholders of the metric's name, and of what is better where the run did not say it.
    """
    return _by_direction(alias, key, mode, f"{alias}.max", f"{alias}.min")


def _by_direction(alias: str, key: str, mode: str, of_max: str, of_min: str) -> str:
    """One expression or the other, NULL where the direction is not known."""
    said = f"(SELECT d.mode FROM definitions d WHERE d.run = {alias}.run AND d.key = {key})"
    return f"CASE coalesce({said}, {mode}) WHEN 'max' THEN {of_max} WHEN 'min' THEN {of_min} END"


def top_level(condition: Condition) -> Iterator[Condition]:
    """Conditions that must all be true."""
    if isinstance(condition, Every):
        for each in condition.conditions:
            yield from top_level(each)
    else:
        yield condition


def as_sql(condition: Condition, bind: Bind, run: str = "r.id") -> str:
    """The condition as an expression over runs (alias ``r``) and experiments (``e``).

    Parameters
    ----------
    condition : Condition
    bind : callable
    run : str
        Where the row id of the run stands: what can be judged by it alone needs no row of runs.
    """
    compiler = _Compiler(bind, run)
    return " AND ".join(f"({_indexed(each, bind, run) or compiler.sql(each)})" for each in top_level(condition))


def _indexed(condition: Condition, bind: Bind, run: str) -> str | None:
    """A condition whose truth an index tells; what is unknown or false is left out alike."""
    if not isinstance(condition, Compare) or not _is_plain_number(condition.value):
        return None
    field, operator = condition.field, condition.operator
    if field.kind == "metrics" and field.part in INDEXED:
        where = f"metric = {_METRIC.format(bind(field.key))} AND {field.part} {operator} {bind(comparable(condition.value))}"  # type: ignore[arg-type]
        return f"{run} IN (SELECT run FROM metrics WHERE {where})"
    if field.kind == "params":
        where = f"key = {bind(field.key)} AND number {operator} {bind(comparable(condition.value))}"  # type: ignore[arg-type]
        return f"{run} IN (SELECT run FROM params WHERE {where})"
    return None


def _is_plain_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


class _Compiler:
    def __init__(self, bind: Bind, run: str) -> None:
        self.bind = bind
        self.run = run

    def sql(self, condition: Condition, *, is_negated: bool = False) -> str:
        """The condition, or its contrary: negations are handed down, so that each level costs one parenthesis."""
        if isinstance(condition, Not):
            return self.sql(condition.condition, is_negated=not is_negated)
        if isinstance(condition, Every | Some):
            # the deepest first: SQLite's parser keeps what stands before an open parenthesis on a stack of 100
            joined = sorted(condition.conditions, key=_depth, reverse=True)
            word = " OR " if isinstance(condition, Some) != is_negated else " AND "
            return word.join(f"({self.sql(each, is_negated=is_negated)})" for each in joined)
        return f"NOT ({self._leaf(condition)})" if is_negated else self._leaf(condition)

    def _leaf(self, condition: Compare | OneOf | Like | IsNull) -> str:
        field = condition.field
        if field.kind == "attribute":
            return self._of_attribute(condition, self._attribute(field))
        if field.kind == "datasets":
            return self._of_dataset(condition)
        return {"params": self._of_param, "tags": self._of_tag, "metrics": self._of_metric}[field.kind](condition)

    # -- tests of one value ----------------------------------------------------------------------------------------

    def _test(self, condition: Compare | OneOf | Like, column: str, holds: str = "text") -> str:
        """Whether a column of one type fits, NULL where it is NULL; a value of another type is equal to none."""
        if isinstance(condition, Like):
            return self._like(condition, column) if holds == "text" else _never(column)
        if isinstance(condition, OneOf):
            bound = [self._bound(value) for value in condition.values if _is_comparable(value, holds)]
            return f"{column} IN ({', '.join(bound)})" if bound else _never(column)
        if not _is_comparable(condition.value, holds):
            return _never(column)
        return f"{column} {condition.operator} {self._bound(condition.value)}"

    def _bound(self, value: Value) -> str:
        return self.bind(value if isinstance(value, str) else comparable(value))

    def _like(self, condition: Like, column: str) -> str:
        text = f"{_CASEFOLD}({column})" if condition.ignores_case else column
        return f"{text} GLOB {self.bind(condition.pattern.translate(_GLOB))}"

    # -- fields ----------------------------------------------------------------------------------------------------

    def _attribute(self, field: Field) -> str:
        if field.key not in ATTRIBUTES:
            raise InvalidValueError(f"there is no attribute {field.key!r}; there are {', '.join(sorted(ATTRIBUTES))}")
        return ATTRIBUTES[field.key]

    def _of_attribute(self, condition: Compare | OneOf | Like | IsNull, column: str) -> str:
        if isinstance(condition, IsNull):
            return f"{column} IS NULL"
        return self._test(condition, column, _HOLDS.get(condition.field.key, "text"))

    def _of_tag(self, condition: Compare | OneOf | Like | IsNull) -> str:
        rows = f"FROM tags t WHERE t.run = {self.run} AND t.key = {self.bind(condition.field.key)}"
        if isinstance(condition, IsNull):
            return f"NOT EXISTS (SELECT 1 {rows})"
        return f"(SELECT {self._test(condition, 't.value')} {rows})"

    def _of_param(self, condition: Compare | OneOf | Like | IsNull) -> str:
        rows = (
            f"FROM params p WHERE p.run = {self.run} AND p.key = {self.bind(condition.field.key)} AND p.kind <> 'none'"
        )
        if isinstance(condition, IsNull):
            return f"NOT EXISTS (SELECT 1 {rows})"
        return f"(SELECT {self._param_test(condition)} {rows})"

    def _param_test(self, condition: Compare | OneOf | Like) -> str:
        if isinstance(condition, OneOf):
            field = condition.field
            return " OR ".join(f"({self._param_test(Compare(field, '=', value))})" for value in condition.values) or "0"
        is_text = "p.kind IN ('str', 'json')"
        if isinstance(condition, Like):
            return f"{is_text} AND {self._like(condition, 'p.text')}"
        value, operator = condition.value, condition.operator
        if isinstance(value, str):
            return f"{is_text} AND p.text {operator} {self.bind(value)}"
        if isinstance(value, bool):
            return f"p.kind = 'bool' AND p.number {operator} {self.bind(int(value))}"
        if math.isnan(value):
            return "p.kind = 'float' AND p.number IS NULL" if operator == "=" else "0"
        return f"coalesce(p.number {operator} {self._bound(value)}, 0)"

    def _of_metric(self, condition: Compare | OneOf | Like | IsNull) -> str:
        field = condition.field
        if field.part not in SUMMARIES:
            raise InvalidValueError(
                f"there is no summary {field.part!r}; there are {', '.join(SUMMARIES)}", key=field.key
            )
        key = self.bind(field.key)
        rows = f"FROM metrics m WHERE m.run = {self.run} AND m.metric = {_METRIC.format(key)}"
        if field.part != "best":
            if isinstance(condition, IsNull):
                return f"NOT EXISTS (SELECT 1 {rows})"
            return f"(SELECT {self._metric_test(condition, f'm.{field.part}')} {rows})"
        mode = self.bind(field.mode)
        if isinstance(condition, IsNull):
            return f"coalesce((SELECT {_by_direction('m', key, mode, '0', '0')} {rows}), 1)"
        tests = [self._metric_test(condition, column) for column in ("m.max", "m.min")]
        return f"(SELECT {_by_direction('m', key, mode, *tests)} {rows})"

    def _metric_test(self, condition: Compare | OneOf | Like, column: str) -> str:
        if isinstance(condition, Like):
            return "0"
        if isinstance(condition, OneOf):
            field = condition.field
            tests = (self._metric_test(Compare(field, "=", value), column) for value in condition.values)
            return " OR ".join(f"({test})" for test in tests) or "0"
        value = condition.value
        if isinstance(value, float) and math.isnan(value):
            return f"{column} IS NULL" if condition.operator == "=" else "0"
        if isinstance(value, str | bool):
            return "0"
        return f"coalesce({column} {condition.operator} {self._bound(value)}, 0)"

    def _of_dataset(self, condition: Compare | OneOf | Like | IsNull) -> str:
        field = condition.field
        if field.part not in DATASET_FIELDS:
            raise InvalidValueError(f"a dataset has {', '.join(DATASET_FIELDS)}, not {field.part!r}", key=field.key)
        column = _CONTENT if field.part == "content" else f"d.{field.part}"
        rows = f"FROM datasets d WHERE d.run = {self.run} AND d.context = {self.bind(field.key)}"
        if isinstance(condition, IsNull):
            return f"NOT EXISTS (SELECT 1 {rows} AND {column} IS NOT NULL)"
        return f"(SELECT max({self._test(condition, column)}) {rows} AND {column} IS NOT NULL)"


def _never(column: str) -> str:
    """False where there is a value, NULL where there is none."""
    return f"CASE WHEN {column} IS NOT NULL THEN 0 END"


def _is_comparable(value: Value, holds: str) -> bool:
    if isinstance(value, str) or holds == "text":
        return isinstance(value, str) and holds == "text"
    return not math.isnan(value) and (holds == "truth" or not isinstance(value, bool))


def _depth(condition: Condition) -> int:
    if isinstance(condition, Not):
        return 1 + _depth(condition.condition)
    if isinstance(condition, Every | Some):
        return 1 + max(map(_depth, condition.conditions), default=0)
    return 0
