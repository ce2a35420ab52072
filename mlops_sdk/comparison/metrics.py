"""What became better or worse: metrics of runs side by side, every summary of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlops_sdk.comparison.difference import MISSING, Difference, all_same, relative_change
from mlops_sdk.comparison.subject import Subject
from mlops_sdk.entities import MetricSummary
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.directions import Direction, agreed_direction

SUMMARIES = ("last", "best", "min", "max", "mean", "first", "count", "nan_count", "last_step")
Trend = Literal["better", "worse", "greater", "less", ""]


@dataclass(frozen=True, slots=True)
class MetricDifference(Difference):
    """A metric in which runs differ; `values` are the last ones.

    Attributes
    ----------
    direction : "max", "min" or None
        Which way it gets better; None where nobody said it and the name does not.
    summaries : tuple of MetricSummary or None
        One for each run; None where it has no such metric.
    """

    direction: Direction | None = None
    summaries: tuple[MetricSummary | None, ...] = ()

    def of(self, summary: str) -> tuple[Any, ...]:
        """A summary of each run, `MISSING` where there is none; ``"best"`` needs the direction.

        Parameters
        ----------
        summary : {"last", "best", "min", "max", "mean", "first", "count", "nan_count", "last_step"}
        """
        name = (self.direction or "") if summary == "best" else summary
        return tuple(MISSING if each is None or not name else getattr(each, name) for each in self.summaries)

    @property
    def trend(self) -> Trend:
        """The last run's last value beside the first's: better or worse, or (direction unknown) greater or less."""
        old, new = self.values[0], self.values[-1]
        if MISSING in (old, new) or math.isnan(old) or math.isnan(new) or old == new:
            return ""
        if self.direction is None:
            return "greater" if new > old else "less"
        return "better" if (new > old) == (self.direction == "max") else "worse"

    @property
    def change(self) -> float:
        """Size of the change, 0 to 2; infinite where a value is missing or not finite."""
        old, new = self.values[0], self.values[-1]
        return math.inf if MISSING in (old, new) else relative_change(old, new)


def direction_of(key: str, subjects: Sequence[Subject], mode: str = "auto") -> Direction | None:
    """Which way a metric gets better.

    Parameters
    ----------
    key : str
    subjects : sequence of Subject
        What `define_metric` said in their runs comes before what the name says.
    mode : {"auto", "max", "min"}
        Comes before both.

    Raises
    ------
    InvalidValueError
        If the mode is another.
    """
    if mode in ("max", "min"):
        return "max" if mode == "max" else "min"
    if mode != "auto":
        raise InvalidValueError(f"mode is {mode!r}; use 'max', 'min' or 'auto'", key=key)
    definitions = [record.parts.definitions.get(key) for subject in subjects for record in subject.records]
    return agreed_direction((each.mode for each in definitions if each is not None), key)


def metric_differences(subjects: Sequence[Subject]) -> Iterator[MetricDifference]:
    """Metrics in which runs differ in any summary; those below ``system/`` are left out.

    Parameters
    ----------
    subjects : sequence of Subject
        Runs: metrics of groups are compared by statistics.
    """
    of_runs = [subject.records[0].parts.metrics for subject in subjects]
    for key in dict.fromkeys(key for metrics in of_runs for key in metrics):
        summaries = tuple(metrics.get(key) for metrics in of_runs)
        if key.startswith("system/") or all_same([_identity(each) for each in summaries]):
            continue
        values = tuple(MISSING if each is None else each.last for each in summaries)
        direction = direction_of(key, subjects)
        note = "" if direction else "whether more or less is better is not known"
        yield MetricDifference("metrics", key, values, note, direction, summaries)


def _identity(summary: MetricSummary | None) -> list[float] | None:
    """What tells summaries apart; times always differ, and mean nothing."""
    if summary is None:
        return None
    return [float(getattr(summary, name)) for name in SUMMARIES if name != "best"]
