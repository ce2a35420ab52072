"""Conditions evaluated one run at a time, as `mlops_sdk.conditions` says."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

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
    is_like,
)
from mlops_sdk.entities import MetricSummary, RunHead
from mlops_sdk.errors import InvalidValueError, QueryTimeoutError
from mlops_sdk.values.params import decode_param

if TYPE_CHECKING:
    from mlops_sdk.stores.memory_run import MemoryRun

Runs = dict[str, "MemoryRun"]


class Search:
    """Tells which runs a condition is true of.

    Parameters
    ----------
    runs : dict of str to MemoryRun
        All of the store.
    condition : Condition
    timeout_s : float or None
    """

    def __init__(self, runs: Runs, condition: Condition, timeout_s: float | None) -> None:
        self._runs = runs
        self._condition = condition
        self._timeout_s = timeout_s
        self._deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s

    def finds(self, run: MemoryRun) -> bool:
        """Whether the condition is true of a run.

        Raises
        ------
        QueryTimeoutError
        """
        if self._timeout_s is not None and time.monotonic() >= self._deadline:
            raise QueryTimeoutError(self._timeout_s)
        return self._truth(self._condition, run) is True

    def _truth(self, condition: Condition, run: MemoryRun) -> bool | None:
        if isinstance(condition, Not):
            truth = self._truth(condition.condition, run)
            return None if truth is None else not truth
        if isinstance(condition, Every):
            return _all([self._truth(each, run) for each in condition.conditions])
        if isinstance(condition, Some):
            return _any([self._truth(each, run) for each in condition.conditions])
        values = values_of(self._runs, run, condition.field)
        if isinstance(condition, IsNull):
            return not values
        return any(_fits(condition, value) for value in values) if values else None


def _all(truths: Iterable[bool | None]) -> bool | None:
    found = set(truths)
    return False if False in found else None if None in found else True


def _any(truths: Iterable[bool | None]) -> bool | None:
    found = set(truths)
    return True if True in found else None if None in found else False


def _fits(condition: Compare | OneOf | Like, value: Value) -> bool:
    if isinstance(condition, Like):
        text = value.casefold() if condition.ignores_case and isinstance(value, str) else value
        return isinstance(text, str) and is_like(text, condition.pattern)
    if isinstance(condition, OneOf):
        return any(_compares(condition.field, value, "=", each) for each in condition.values)
    return _compares(condition.field, value, condition.operator, condition.value)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _compares(field: Field, value: Value, operator: str, given: Value) -> bool:
    if isinstance(given, float) and math.isnan(given):
        return operator == "=" and isinstance(value, float) and math.isnan(value)
    if isinstance(given, str) != isinstance(value, str) or (isinstance(given, bool) and not isinstance(value, bool)):
        return False
    if isinstance(value, str):
        return _OPERATORS[operator](value, given)
    return _OPERATORS[operator](comparable(value), comparable(given))  # type: ignore[arg-type]


def values_of(runs: Runs, run: MemoryRun, field: Field) -> list[Value]:
    """Values of a field: none where it is missing, several of datasets only."""
    if field.kind == "datasets":
        return _dataset_values(run, field)
    value: Any
    if field.kind == "attribute":
        value = attribute(runs, run.head, field.key)
    elif field.kind == "tags":
        value = run.tags.get(field.key)
    elif field.kind == "params":
        value = param_value(run, field.key)
    else:
        value = summary_value(run, field)
    return [] if value is None else [value]


def _dataset_values(run: MemoryRun, field: Field) -> list[Value]:
    if field.part not in DATASET_FIELDS:
        raise InvalidValueError(f"a dataset has {', '.join(DATASET_FIELDS)}, not {field.part!r}", key=field.key)
    said = [each.get(DATASET_FIELDS[field.part]) for each in run.datasets if each.get("context") == field.key]
    return [value for value in said if isinstance(value, str)]


def param_value(run: MemoryRun, key: str) -> Value | None:
    """A param as it is compared: lists and mappings as their JSON text; None where there is none."""
    param = run.params.get(key)
    if param is None or param.kind == "none":
        return None
    return param.text if param.kind in ("str", "json") else cast(Value, decode_param(param.kind, param.text))


def summary_value(run: MemoryRun, field: Field) -> int | float | None:
    """A summary of a metric; None where there is none, or no direction is known for the best."""
    if field.part not in SUMMARIES:
        raise InvalidValueError(f"there is no summary {field.part!r}; there are {', '.join(SUMMARIES)}", key=field.key)
    summary: MetricSummary | None = run.summaries().get(field.key)
    part: str | None = field.part
    if part == "best":
        definition = run.definitions.get(field.key)
        part = (definition.mode if definition else None) or field.mode
    return None if summary is None or part is None else getattr(summary, part)


def attribute(runs: Runs, head: RunHead, name: str) -> Any:
    """An attribute of a run, ``root`` and ``duration_s`` included."""
    if name == "root":
        return _root(runs, head.run_id)
    if name not in head.__slots__ and name != "duration_s":
        raise InvalidValueError(f"there is no attribute {name!r}; there are {', '.join(head.__slots__)}", key=name)
    return getattr(head, name)


def _root(runs: Runs, run_id: str) -> str | None:
    seen: set[str] = set()
    while run_id not in seen:
        seen.add(run_id)
        parent = runs[run_id].head.parent if run_id in runs else None
        if parent is None:
            return run_id
        run_id = parent
    return None  # runs that are each other's parents
