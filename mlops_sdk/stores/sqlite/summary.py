"""One row per run and metric: first, last, min, max, mean, kept up to date by merging the summary of each batch.

Merging needs neither the points nor the order in which batches arrive: a summary depends on what was logged alone. Points
of owners take the place of everybody else's.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from mlops_sdk.entities import MetricSummary
from mlops_sdk.journal.summaries import PointSummary, mean_of, summarise
from mlops_sdk.stores.sqlite import history

_COLUMNS = (
    *("run", "metric", "is_owners", "count", "nan_count", "total", "mean"),
    *("first", "first_step", "first_time_ns", "first_writer", "first_sequence"),
    *("last", "last_step", "last_time_ns", "last_writer", "last_sequence"),
    *("min", "min_step", "min_time_ns", "max", "max_step", "max_time_ns"),
)


def _comes(new: str, comparison: str, old: str, then: str) -> str:
    """Condition that one (step, time) is before or behind another; `then` decides ties. Row values would be slower."""
    return f"""({new}_step {comparison} {old}_step OR {new}_step = {old}_step AND ({new}_time_ns {comparison} {old}_time_ns
        OR {new}_time_ns = {old}_time_ns AND {then}))"""


def _takes_end(which: str, comparison: str) -> str:
    """Condition on which the new first (or last) point takes the old one's place."""
    new, old = f"excluded.{which}", f"metrics.{which}"
    text = "(SELECT writer_id FROM writers WHERE id = {0}_writer)"
    by_writer = f"""CASE WHEN {new}_writer = {old}_writer THEN {new}_sequence {comparison} {old}_sequence
        ELSE {text.format(new)} {comparison} {text.format(old)} END"""
    return _comes(new, comparison, old, by_writer)


def _takes_extreme(which: str, comparison: str) -> str:
    """Condition on which the new min (or max) takes the old one's place; of equals the one at the smallest step does."""
    new, old = f"excluded.{which}", f"metrics.{which}"
    return f"""({new} {comparison} {old} OR {new} = {old} AND {_comes(new, "<", old, "0")}
        OR {old} IS NULL AND {new} IS NOT NULL)"""


def _assignments() -> Iterable[str]:
    conditions = {
        "first": _takes_end("first", "<"),
        "last": _takes_end("last", ">"),
        "min": _takes_extreme("min", "<"),
        "max": _takes_extreme("max", ">"),
    }
    for column in _COLUMNS[7:]:
        condition = conditions[column.partition("_")[0]]
        yield f"{column} = CASE WHEN {condition} THEN excluded.{column} ELSE metrics.{column} END"
    for column in ("count", "nan_count", "total"):
        yield f"{column} = metrics.{column} + excluded.{column}"
    yield """mean = max(coalesce(min(metrics.min, excluded.min), metrics.min, excluded.min),
        min(coalesce(max(metrics.max, excluded.max), metrics.max, excluded.max), (metrics.total + excluded.total)
            / nullif(metrics.count - metrics.nan_count + excluded.count - excluded.nan_count, 0)))"""


_MERGE = f"""
INSERT INTO metrics ({", ".join(_COLUMNS)}) VALUES ({", ".join("?" * len(_COLUMNS))})
ON CONFLICT (run, metric) DO UPDATE SET {", ".join(_assignments())}
WHERE metrics.is_owners <= excluded.is_owners
"""  # noqa: S608 - put together from the names above


def merge(
    connection: sqlite3.Connection, run: int, writer: int, summaries: Mapping[int, PointSummary], *, is_owner: bool
) -> None:
    """Merge summaries of one writer's points into the run's.

    Parameters
    ----------
    connection : sqlite3.Connection
        In a write transaction.
    run, writer : int
        Row ids.
    summaries : mapping of int to PointSummary
        By row id of the metric.
    is_owner : bool
        Whether the writer is an owner of the run.
    """
    if is_owner:
        connection.executemany(
            "DELETE FROM metrics WHERE run = ? AND metric = ? AND NOT is_owners",
            [(run, metric) for metric in summaries],
        )
    rows = [(run, metric, is_owner, *_values(writer, summary)) for metric, summary in summaries.items()]
    connection.executemany(_MERGE, rows)


def _values(writer: int, summary: PointSummary) -> tuple[Any, ...]:
    count, nan_count, total = summary.n, summary.n_nan, summary.total
    step, time_ns, sequence, value = summary.first
    if count == 1:  # a metric a step: the case that has to be quick
        end = (value, step, time_ns, writer, sequence)
        extreme = _NONE if nan_count else (value, step, time_ns)
        return (1, nan_count, total, None if nan_count else value, *end, *end, *extreme, *extreme)
    low, high = summary.min, summary.max
    if low is None or high is None:
        mean, extremes = math.nan, _NONE * 2
    else:
        mean = mean_of(total, count - nan_count, low.value, high.value)
        extremes = (low.value, low.step, low.time_ns, high.value, high.step, high.time_ns)
    last = summary.last
    return (
        *(count, nan_count, total, mean, value, step, time_ns, writer, sequence),
        *(last.value, last.step, last.time_ns, writer, last.sequence, *extremes),
    )


_NONE: tuple[Any, ...] = (None, None, None)

READ_COLUMNS = ", ".join("k.name" if column == "key" else f"m.{column}" for column in MetricSummary.__slots__)
"""The columns of a summary, in order, of the tables metrics (alias ``m``) and metric_keys (``k``)."""


def summary_of(row: tuple[Any, ...]) -> MetricSummary:
    """The summary in a row of `READ_COLUMNS`; NULL is NaN, for a row has points."""
    if None not in row:
        return MetricSummary(*row)
    values: dict[str, Any] = dict(zip(MetricSummary.__slots__, row, strict=True))
    for name in ("min", "max"):
        if values[name] is None:  # nothing but NaN: the extremes are where the first point is
            values[f"{name}_step"], values[f"{name}_time_ns"] = values["first_step"], values["first_time_ns"]
    filled: dict[str, Any] = {name: math.nan if value is None else value for name, value in values.items()}
    return MetricSummary(**filled)


def recompute(connection: sqlite3.Connection, run: int, metrics: Iterable[int]) -> None:
    """Make the summaries of some metrics of a run anew, from the points that stand."""
    wanted = sorted(metrics)
    connection.executemany("DELETE FROM metrics WHERE run = ? AND metric = ?", [(run, metric) for metric in wanted])
    is_owner = dict(
        connection.execute(
            "SELECT w.id, w.role = 'owner' FROM writers w JOIN runs r ON r.run_id = w.run_id WHERE r.id = ?", (run,)
        )
    )
    for writer, points in history.standing_points(connection, run, wanted):
        merge(connection, run, writer, summarise(points), is_owner=bool(is_owner[writer]))
