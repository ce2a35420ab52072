"""Pictures of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_sdk.comparison.metrics import MetricDifference
from mlops_sdk.comparison.verdict import GroupSummary
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.plots.bars import Bar, bars

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlops_sdk.comparison.comparison import Comparison

_COLOURS = {"better": "#009E73", "worse": "#D55E00"}
_MOST_METRICS = 20


def draw(comparison: Comparison, *, ax: Axes | None = None) -> Axes:
    """Groups as means with intervals, runs as the change of each metric.

    Raises
    ------
    InvalidValueError
        If no metric of two runs differs.
    """
    if comparison.groups:
        return draw_groups(comparison.groups, ax=ax)
    changed = [each for each in comparison.results if math.isfinite(each.change) and each.trend][:_MOST_METRICS]
    if not changed:
        raise InvalidValueError("there is nothing to draw: no metric that both have differs")
    marked = {each.key: _COLOURS[each.trend] for each in changed if each.trend in _COLOURS}
    label = f"change in % of the greater value, {comparison.labels[-1][:40]} beside {comparison.labels[0][:40]}"
    return bars([_bar(each) for each in changed], xlabel=label, reference=0.0, style="bars", marked=marked, ax=ax)


def draw_groups(groups: Sequence[GroupSummary], *, ax: Axes | None = None) -> Axes:
    """Means of groups with their intervals and the runs behind them.

    Raises
    ------
    InvalidValueError
        If none has a value.
    """
    metrics = list(dict.fromkeys(group.metric for group in groups))
    rows = [_group_bar(group, has_metric=len(metrics) > 1) for group in groups]
    label = (
        f"{metrics[0]}: mean with its {groups[0].level:.0%} interval" if len(metrics) == 1 else "mean with its interval"
    )
    return bars(rows, xlabel=label, style="points", ax=ax)


def _bar(each: MetricDifference) -> Bar:
    old, new = each.values[0], each.values[-1]
    return Bar(each.key, 100 * (new - old) / max(abs(old), abs(new)), note=each.trend)


def _group_bar(group: GroupSummary, *, has_metric: bool) -> Bar:
    found = group.description
    low, high = (value if math.isfinite(value) else math.nan for value in (found.low, found.high))
    label = f"{group.label}: {group.metric}" if has_metric else group.label
    return Bar(label, found.mean, low, high, group.values, f"n={found.n}")
