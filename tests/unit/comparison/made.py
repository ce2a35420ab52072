"""Runs made of plain data, as a store would give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_sdk.comparison.comparison import Comparison
from mlops_sdk.comparison.question import Question
from mlops_sdk.comparison.subject import RunRecord, Subject, labels
from mlops_sdk.entities import MetricDefinition, MetricSummary, RunHead, RunParts

HOSTILE = "\x1b[31mred\x1b]8;;http://evil.example\x07link\x1b]8;;\x07\u202egnp.exe\r\n<img src=x onerror=alert(1)>'\"&"


def head(name: str = "run", *, number: int = 0, duration_s: float = 1.0, **changes: Any) -> RunHead:
    start = 1_700_000_000_000_000_000 + number * 10**9
    plain = {
        "run_id": f"id-{name}-{number}", "name": name, "experiment": "e", "status": "FINISHED", "start_ns": start,
        "end_ns": start + int(duration_s * 1e9), "heard_ns": start, "description": "", "parent": None, "user": "u",
        "host": "h", "entry_point": "train.py", "end_reason": None,
    }  # fmt: skip
    return RunHead(**(plain | changes))  # type: ignore[arg-type]


def summary(key: str, *values: float) -> MetricSummary:
    first, last, low, high = values[0], values[-1], min(values), max(values)
    return MetricSummary(
        key, len(values), 0, first, 0, 1, last, len(values) - 1, 2, low, 0, 1, high, 0, 1, sum(values) / len(values)
    )


def record(
    name: str = "run",
    *,
    metrics: Mapping[str, float | Sequence[float]] | None = None,
    modes: Mapping[str, Any] | None = None,
    number: int = 0,
    duration_s: float = 1.0,
    predictions: Any = None,
    changes: Mapping[str, Any] | None = None,
    **parts: Any,
) -> RunRecord:
    found = {
        key: summary(key, *(value if isinstance(value, Sequence) else [value]))
        for key, value in (metrics or {}).items()
    }
    definitions = {key: MetricDefinition(key, mode) for key, mode in (modes or {}).items()}
    return RunRecord(
        head(name, number=number, duration_s=duration_s, **(changes or {})),
        RunParts(metrics=found, definitions=definitions, **parts),
        lambda: predictions,
    )


def runs(*records: RunRecord) -> Comparison:
    """Runs beside each other."""
    return Comparison([
        Subject(label, [each])
        for label, each in zip(labels([each.head for each in records]), records, strict=True)
    ])  # fmt: skip


def group(label: str, values: Sequence[float], key: str = "val/acc", **params: Sequence[Any]) -> Subject:
    """A group whose runs have these values, and these params, one a run."""
    records = [
        record(
            f"{label}-{number}",
            metrics={} if value is None else {key: value},
            number=number,
            params={name: each[number] for name, each in params.items()},
        )
        for number, value in enumerate(values)
    ]
    return Subject(label, records, is_group=True)


def groups(*subjects: Subject, **options: Any) -> Comparison:
    """Groups judged in ``val/acc`` unless another metric is named."""
    return Comparison(subjects, [Question(**({"metric": "val/acc"} | options))])
