"""What is drawn: runs as pictures see them, and their values by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from mlops_sdk.errors import InvalidValueError

if TYPE_CHECKING:
    from mlops_sdk._types import ParamValue
    from mlops_sdk.entities import MetricDefinition, MetricSeries

_ATTRIBUTES = ("name", "experiment", "status", "run_id")


class Plotted(Protocol):
    """What is read of a run; `mlops_sdk.RunView` and `mlops_sdk.Run` are such."""

    @property
    def run_id(self) -> str:
        """Tells runs of one name apart."""
        ...

    @property
    def name(self) -> str:
        """Label."""
        ...

    @property
    def experiment(self) -> str:
        """Name of its experiment."""
        ...

    @property
    def status(self) -> str:
        """RUNNING, FINISHED, ..."""
        ...

    @property
    def start_time(self) -> datetime:
        """Where its time axis begins."""
        ...

    @property
    def params(self) -> Mapping[str, ParamValue]:
        """Params by flat key."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags by key."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """Last value of every metric."""
        ...

    def definition(self, key: str) -> MetricDefinition:
        """What was said of a metric: its unit, and what it is drawn over."""
        ...

    def metric(self, key: str, *, max_points: int | None = None) -> MetricSeries:
        """Points of a metric; raises MetricNotFoundError."""
        ...


def labels(runs: Sequence[Plotted]) -> list[str]:
    """A label a run: its name, with the end of its id where the name is another's too."""
    names = [run.name for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({run.run_id[-8:]})" for name, run in zip(names, runs, strict=True)
    ]


def known_metrics(runs: Iterable[Plotted]) -> set[str]:
    """Every metric that one of the runs has."""
    return {key for run in runs for key in run.metrics}


def defined_x(runs: Iterable[Plotted], keys: Sequence[str]) -> str:
    """The metric that `define_metric` says these are drawn over, where it says the same of all; else "step"."""
    found = {run.definition(key).x for run in runs for key in keys if key in run.metrics}
    return (found.pop() or "step") if len(found) == 1 else "step"


def with_unit(name: str, runs: Iterable[Plotted], keys: Sequence[str]) -> str:
    """A name with the unit that `define_metric` gave all of these, if any."""
    found = {run.definition(key).unit for run in runs for key in keys if key in run.metrics}
    unit = found.pop() if len(found) == 1 else None
    return f"{name} [{unit}]" if unit else name


def value(run: Plotted, name: str) -> ParamValue:
    """A param, tag, metric (its last value) or attribute of a run; None where the run has none.

    Parameters
    ----------
    run : Plotted
    name : str
        ``params.KEY``, ``tags.KEY``, ``metrics.KEY``, ``name``, ``experiment``, ``status``, ``run_id``; another bare key is a
        param's, or else a metric's.

    Raises
    ------
    InvalidValueError
        If a dotted name begins with something else that is no key.
    """
    kind, _, key = name.partition(".")
    of_kind: dict[str, Mapping[str, ParamValue]] = {"params": run.params, "tags": run.tags, "metrics": run.metrics}
    if key and kind in of_kind:
        return of_kind[kind].get(key)
    if name in _ATTRIBUTES:
        return str(getattr(run, name))
    found = run.params.get(name)
    return run.metrics.get(name) if found is None else found


def number(found: ParamValue) -> float:
    """A value as a number; NaN where it is none (truth values are none)."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return math.nan
    try:
        return float(found)
    except OverflowError:
        return math.nan


def text_of(found: ParamValue) -> str:
    """A value as a label."""
    if found is None:
        return "none"
    return f"{found:.6g}" if isinstance(found, float) else str(found)


def grouped(runs: Iterable[Plotted], by: str | Sequence[str]) -> dict[str, list[Plotted]]:
    """Runs by the values of params, tags or attributes, groups in the order of their values.

    Raises
    ------
    InvalidValueError
        If no name is given.
    """
    names = [by] if isinstance(by, str) else list(by)
    if not names:
        raise InvalidValueError("by= names nothing to group by: give 'params.KEY', 'tags.KEY' or an attribute")
    groups: dict[tuple[str, ...], list[Plotted]] = {}
    order: dict[tuple[str, ...], tuple[object, ...]] = {}
    for run in runs:
        values = [value(run, name) for name in names]
        key = tuple(text_of(each) for each in values)
        groups.setdefault(key, []).append(run)
        order[key] = tuple((math.isnan(number(each)), number(each), text_of(each)) for each in values)
    short = [name.removeprefix("params.").removeprefix("tags.") for name in names]
    ordered = sorted(groups, key=lambda key: [_sortable(part) for part in order[key]])
    return {", ".join(f"{name}={part}" for name, part in zip(short, key, strict=True)): groups[key] for key in ordered}


def _sortable(part: object) -> tuple[bool, float, str]:
    assert isinstance(part, tuple)
    is_text, as_number, as_text = part
    return is_text, 0.0 if is_text else as_number, as_text
