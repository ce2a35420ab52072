"""A slow reading of the filter language: what was logged, compared in plain Python, one run at a time.

It takes filters apart by hand (as nested tuples, rendered to text by `render`), shares nothing with the lexer, the grammar
or the stores, and works from what the test logged.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

SUMMARIES = ("last", "min", "max", "mean", "first", "count", "last_step", "best")


@dataclass
class Logged:
    """A run as the test logged it."""

    run_id: str
    name: str
    start_ms: int
    parent: str | None
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)


def render(node: Any) -> str:
    """Filter text of a node."""
    kind, *rest = node
    if kind in ("and", "or"):
        return f" {kind.upper()} ".join(f"({render(each)})" for each in rest[0])
    if kind == "not":
        return f"NOT ({render(rest[0])})"
    key, value = rest[0], rest[1] if len(rest) > 1 else None
    text = key_text(key)
    if kind == "null":
        return f"{text} IS {'' if value else 'NOT '}NULL"
    if kind == "in":
        return f"{text} {'' if rest[2] else 'NOT '}IN ({', '.join(map(value_text, value))})"
    if kind == "between":
        return f"{text} BETWEEN {value_text(value)} AND {value_text(rest[2])}"
    return f"{text} {kind} {value_text(value)}"


def key_text(key: tuple[str, ...]) -> str:
    kind, name, *part = key
    if kind == "attribute":
        return name
    if re.fullmatch(r"[A-Za-z0-9_./@:+\-\[\]]+", name) and name.rpartition(".")[2] not in SUMMARIES:
        return ".".join([kind, name, *part])
    return ".".join([kind, f"`{name.replace('`', '``')}`", *part])


def value_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-inf"
    return "NaN" if math.isnan(value) else repr(value)


def truth(node: Any, run: Logged, runs: dict[str, Logged]) -> bool | None:
    """True, false, or None: unknown."""
    kind, *rest = node
    if kind == "and":
        found = [truth(each, run, runs) for each in rest[0]]
        return False if False in found else None if None in found else True
    if kind == "or":
        found = [truth(each, run, runs) for each in rest[0]]
        return True if True in found else None if None in found else False
    if kind == "not":
        inner = truth(rest[0], run, runs)
        return None if inner is None else not inner
    here = value_of(rest[0], run, runs)
    if kind == "null":
        return (here is None) == rest[1]
    if here is None:
        return None
    if kind == "in":
        return any(equal(here, each) for each in rest[1]) == rest[2]
    if kind == "between":
        return less(rest[1], here, or_equal=True) and less(here, rest[2], or_equal=True)
    return compare(kind, here, rest[1])


def compare(operator: str, here: Any, given: Any) -> bool:
    if operator in ("LIKE", "ILIKE"):
        if not isinstance(here, str):
            return False
        if operator == "ILIKE":
            here, given = here.casefold(), given.casefold()
        pattern = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in given)
        return re.fullmatch(pattern, here, re.DOTALL) is not None
    if operator in ("=", "=="):
        return equal(here, given)
    if operator in ("!=", "<>"):
        return not equal(here, given)
    if operator in ("<", "<="):
        return less(here, given, or_equal=operator == "<=")
    return less(given, here, or_equal=operator == ">=")


def equal(here: Any, given: Any) -> bool:
    if isinstance(given, float) and math.isnan(given):
        return isinstance(here, float) and math.isnan(here)
    if isinstance(given, bool) and not isinstance(here, bool):
        return False
    return isinstance(here, str) == isinstance(given, str) and here == given


def less(a: Any, b: Any, *, or_equal: bool) -> bool:
    if isinstance(a, str) != isinstance(b, str):
        return False
    return a < b or (or_equal and a == b)


def value_of(key: tuple[str, ...], run: Logged, runs: dict[str, Logged]) -> Any:
    kind, name, *part = key
    if kind == "attribute":
        return attribute(name, run, runs)
    if kind == "tags":
        return run.tags.get(name)
    if kind == "params":
        value = run.params.get(name)
        return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
    return summary(run, name, part[0] if part else "last")


def attribute(name: str, run: Logged, runs: dict[str, Logged]) -> Any:
    if name == "start_time":
        return run.start_ms
    if name == "root":
        seen = []
        while run.run_id not in seen:
            seen.append(run.run_id)
            if run.parent is None:
                return run.run_id
            if run.parent not in runs:
                return run.parent
            run = runs[run.parent]
        return None
    return getattr(run, name)


def summary(run: Logged, name: str, part: str) -> float | int | None:
    values = run.metrics.get(name)
    if not values:
        return None
    numbers = [value for value in values if not math.isnan(value)]
    if part == "best":
        part = run.modes.get(name) or {"acc": "max", "loss": "min"}.get(name, "")
        if not part:
            return None
    return {
        "last": values[-1],
        "first": values[0],
        "count": len(values),
        "last_step": len(values) - 1,
        "min": min(numbers, default=math.nan),
        "max": max(numbers, default=math.nan),
        "mean": sum(numbers) / len(numbers) if numbers else math.nan,
    }[part]


def order(found: list[Logged], terms: list[tuple[Any, bool]], runs: dict[str, Logged]) -> list[Logged]:
    """Newest first, then by the terms; what is missing or NaN comes last."""
    found = sorted(found, key=lambda run: (run.start_ms, run.run_id), reverse=True)
    for key, descending in reversed(terms):
        values = {run.run_id: rank(value_of(key, run, runs)) for run in found}
        present = [run for run in found if values[run.run_id] is not None]
        present.sort(key=lambda run: values[run.run_id], reverse=descending)
        found = present + [run for run in found if values[run.run_id] is None]
    return found


def rank(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return (1, value) if isinstance(value, str) else (0, value)
