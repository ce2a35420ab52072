"""Reduction of long series for display, only when asked for."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from mlops_sdk.entities import MetricSeries


def min_max(series: MetricSeries, max_points: int) -> MetricSeries:
    """Keep the least and the greatest point of each of `max_points` / 2 equal stretches, and both ends.

    Parameters
    ----------
    series : MetricSeries
        n points.
    max_points : int
        At least 4; at most so many points are returned.
    """
    n = len(series)
    max_points = max(4, max_points)
    if n <= max_points:
        return series
    bounds = np.linspace(0, n, (max_points - 2) // 2 + 1).astype(np.int64)
    chosen = {0, n - 1}
    finite = np.where(np.isnan(series.value), -np.inf, series.value)
    floor = np.where(np.isnan(series.value), np.inf, series.value)
    for start, end in itertools.pairwise(bounds):
        if end > start:
            chosen.add(int(start + np.argmin(floor[start:end])))
            chosen.add(int(start + np.argmax(finite[start:end])))
    keep = np.array(sorted(chosen))
    rank = None if series.rank is None else series.rank[keep]
    return replace(
        series, step=series.step[keep], value=series.value[keep], time_ns=series.time_ns[keep], rank=rank, n_total=n
    )
