"""Reduction of long series for display, only when asked for.

tsdownsample does it where it is installed (extra ``fast``), numpy where it is not: both keep the least and the greatest
point of each stretch, tsdownsample several times faster.

References
----------
.. [1] J. Van Der Donckt, J. Van Der Donckt, S. Van Hoecke: "tsdownsample: High-performance time series downsampling for
   scalable visualization", SoftwareX 29 (2025)
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.entities import MetricSeries

if TYPE_CHECKING:
    from mlops_sdk._types import FloatArray, IntArray


def min_max(series: MetricSeries, max_points: int) -> MetricSeries:
    """Keep the least and the greatest point of each of about `max_points` / 2 equal stretches, and both ends.

    Parameters
    ----------
    series : MetricSeries
        n points.
    max_points : int
        At least 4; at most so many points are returned.

    Notes
    -----
    NaN is left out, but for both ends: it is neither least nor greatest.
    """
    n = len(series)
    max_points = max(4, max_points)
    if n <= max_points:
        return series
    numbers = np.flatnonzero(~np.isnan(series.value))
    chosen = numbers[_extremes(series.value[numbers], (max_points - 2) // 2 * 2)]
    keep = np.unique(np.concatenate([[0], chosen, [n - 1]]))
    rank = None if series.rank is None else series.rank[keep]
    return replace(
        series, step=series.step[keep], value=series.value[keep], time_ns=series.time_ns[keep], rank=rank, n_total=n
    )


def _extremes(values: FloatArray, n_out: int) -> IntArray:
    """Places of the least and the greatest of each of `n_out` / 2 stretches; no value is NaN."""
    if len(values) <= n_out:
        return np.arange(len(values))
    try:
        import tsdownsample
    except ImportError:
        return _extremes_by_numpy(values, n_out)
    make: Any = tsdownsample.MinMaxDownsampler
    return np.asarray(make().downsample(np.ascontiguousarray(values), n_out=n_out), np.int64)


def _extremes_by_numpy(values: FloatArray, n_out: int) -> IntArray:
    bounds = np.linspace(0, len(values), n_out // 2 + 1).astype(np.int64)
    places = [
        start + int(choose(values[start:end]))
        for start, end in itertools.pairwise(bounds)
        for choose in (np.argmin, np.argmax)
    ]
    return np.array(places, np.int64)
