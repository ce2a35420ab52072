"""A curve in one line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_sdk.cli.text import BARS

if TYPE_CHECKING:
    from mlops_sdk._types import FloatArray

WIDTH = 24


def sparkline(values: FloatArray, width: int = WIDTH) -> str:
    """Draw values, in their order, as bars between their least and greatest.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (n,)
        Each of at most `width` equal stretches is drawn as the mean of its finite values, a stretch without any as a gap.
    width : int
        In cells.
    """
    import numpy as np

    if len(values) < 2:
        return ""
    stretches = np.array_split(np.asarray(values, np.float64), min(width, len(values)))
    heights = np.array([_mean(stretch[np.isfinite(stretch)]) for stretch in stretches])
    known = heights[np.isfinite(heights)]
    if not len(known):
        return ""
    low, high = float(known.min()) / 2, float(known.max()) / 2  # halves: their difference cannot overflow
    span = high - low
    scaled = (heights / 2 - low) / span if span > 0 else np.where(np.isfinite(heights), 0.0, np.nan)
    return "".join(" " if np.isnan(level) else BARS[round(level * (len(BARS) - 1))] for level in scaled)


def _mean(values: FloatArray) -> float:
    """Mean that cannot overflow; NaN of nothing."""
    return float((values / len(values)).sum()) if len(values) else float("nan")
