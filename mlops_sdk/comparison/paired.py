"""Tests of paired differences: the results of two settings with the same seed, or on the same fold.

References
----------
.. [1] F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1 (1945), 80-83; J. L. Hodges and
       E. L. Lehmann, "Estimates of location based on rank tests", Ann. Math. Statist. 34 (1963), 598-611.
.. [2] B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 12 (the bootstrap-t interval).
.. [3] C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003), 239-281.
.. [4] D. S. Kerby, "The simple difference formula", Comprehensive Psychology 3 (2014) (the rank-biserial correlation).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlops_sdk.comparison.statistics import (
    Finding,
    RefusedError,
    require,
    require_spread,
    scaled,
    scipy_stats,
    small_sample_correction,
    t_quantile,
)

if TYPE_CHECKING:
    from mlops_sdk._types import FloatArray

LEAST_N_BOOTSTRAP = 8
"""Fewer pairs give resamples that repeat one pair only, too often for an interval."""
MOST_N_RANKS = 2000
"""The interval by ranks takes n (n + 1) / 2 means of pairs."""
_EXACT_N_RANKS = 50
_RESAMPLES = 9999


@scaled
def paired_t(differences: FloatArray, level: float = 0.95) -> Finding:
    """Student's t-test of paired differences.

    Parameters
    ----------
    differences : numpy.ndarray of float64, shape (n,)
        Candidate minus reference, pair by pair.
    level : float

    Raises
    ------
    RefusedError
        If there are fewer than 3, or they do not vary.
    MissingDependencyError
        Without scipy.
    """
    return _t_of_differences(
        differences, level, 0.0, "paired t-test",
        ("pairs that are independent of each other", "differences that are about normal"),
    )  # fmt: skip


@scaled
def corrected_t(differences: FloatArray, test_ratio: float, level: float = 0.95) -> Finding:
    """The corrected resampled t-test of Nadeau and Bengio [3]_, for folds or random splits of one data set.

    Training sets of different folds overlap, so that their results vary together, and a plain t-test takes noise for a
    difference. The variance of the mean is (1/n + n_test/n_train) s^2 here, instead of s^2/n.

    Parameters
    ----------
    differences : numpy.ndarray of float64, shape (n,)
        Candidate minus reference, fold by fold.
    test_ratio : float
        n_test / n_train: 1 / (k - 1) for k folds.
    level : float

    Raises
    ------
    RefusedError, MissingDependencyError
        As `paired_t`.
    """
    return _t_of_differences(
        differences, level, test_ratio, "corrected resampled t-test",
        ("differences that are about normal", f"folds or splits of one data set, n_test / n_train = {test_ratio:.3g}"),
    )  # fmt: skip


def _t_of_differences(
    differences: FloatArray, level: float, test_ratio: float, test: str, assumptions: tuple[str, ...]
) -> Finding:
    n = len(differences)
    require(n)
    mean, std = float(np.mean(differences)), float(np.std(differences, ddof=1))
    require_spread(std, float(np.max(np.abs(differences))))
    error = std * math.sqrt(1 / n + test_ratio)
    half = t_quantile(level, n - 1) * error
    p_value = float(2 * scipy_stats().t.sf(abs(mean) / error, n - 1))
    effect = small_sample_correction(n - 1) * mean / std
    return Finding(test, mean, mean - half, mean + half, p_value, effect, "Hedges' g of the differences", assumptions)


@scaled
def wilcoxon(differences: FloatArray, level: float = 0.95) -> Finding:
    """Wilcoxon's signed-rank test [1]_, with the Hodges-Lehmann estimate and its interval; the effect is the rank-biserial correlation [4]_.

    Parameters
    ----------
    differences : numpy.ndarray of float64, shape (n,)
        Candidate minus reference, pair by pair.
    level : float
        Of the interval; where n is too small for it (below 6 at 95 %) the interval is everything.

    Raises
    ------
    RefusedError
        If there are fewer than 3 or more than 2,000, or they do not vary.
    MissingDependencyError
        Without scipy.

    Notes
    -----
    Exact up to 50 pairs without ties. The interval is made of the ordered means of all pairs of differences: those that
    the test of the same level would not reject.
    """
    n = len(differences)
    require(n)
    if n > MOST_N_RANKS:
        raise RefusedError(f"{n:,} pairs are more than the ranks of {MOST_N_RANKS:,}: test='paired_t' takes any number")
    require_spread(float(np.std(differences, ddof=1)), float(np.max(np.abs(differences))))
    nonzero = differences[differences != 0]
    ranks = scipy_stats().rankdata(np.abs(nonzero))
    positive, negative = float(np.sum(ranks[nonzero > 0])), float(np.sum(ranks[nonzero < 0]))
    p_value = float(scipy_stats().wilcoxon(differences).pvalue)
    means = np.sort(((differences[:, None] + differences[None, :]) / 2)[np.triu_indices(n)])
    rank = _signed_rank_quantile(n, 1 - level)
    low, high = (float(means[rank - 1]), float(means[-rank])) if rank else (-math.inf, math.inf)
    effect = (positive - negative) / (positive + negative)
    return Finding(
        "Wilcoxon signed-rank test", float(np.median(means)), low, high, p_value, effect, "rank-biserial correlation",
        ("pairs that are independent of each other", "differences that lie about their middle symmetrically"),
    )  # fmt: skip


def _signed_rank_quantile(n: int, alpha: float) -> int:
    """The greatest k with P(T < k) <= alpha / 2 for the signed-rank statistic T of n pairs; 0 where there is none."""
    if n > _EXACT_N_RANKS:
        mean, std = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return max(0, math.floor(mean + float(scipy_stats().norm.ppf(alpha / 2)) * std + 0.5))
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1.0
    for rank in range(1, n + 1):  # in how many ways ranks 1..n add up to each sum
        counts[rank:] += counts[:-rank].copy()
    return int(np.searchsorted(np.cumsum(counts) / 2.0**n, alpha / 2, side="right"))


@scaled
def bootstrap_t(differences: FloatArray, level: float = 0.95, *, seed: int = 0) -> Finding:
    """Paired bootstrap-t [2]_: the distribution of the t statistic is had from the differences themselves.

    Parameters
    ----------
    differences : numpy.ndarray of float64, shape (n,)
        Candidate minus reference, pair by pair.
    level : float
    seed : int
        Of the 9,999 resamples: the same differences give the same finding.

    Raises
    ------
    RefusedError
        If there are fewer than 8, or they do not vary.
    """
    n = len(differences)
    require(n, LEAST_N_BOOTSTRAP)
    mean, std = float(np.mean(differences)), float(np.std(differences, ddof=1))
    require_spread(std, float(np.max(np.abs(differences))))
    error = std / math.sqrt(n)
    statistic = np.sort(np.abs(_resampled_t(differences, mean, seed)))
    half = float(statistic[min(len(statistic) - 1, math.ceil(level * (len(statistic) + 1)) - 1)]) * error
    n_beyond = len(statistic) - int(np.searchsorted(statistic, abs(mean) / error))
    effect = small_sample_correction(n - 1) * mean / std
    return Finding(
        "paired bootstrap-t test", mean, mean - half, mean + half, (1 + n_beyond) / (1 + len(statistic)),
        effect, "Hedges' g of the differences",
        ("pairs that are independent of each other", "differences that show how they are distributed"),
    )  # fmt: skip


def _resampled_t(differences: FloatArray, mean: float, seed: int) -> FloatArray:
    """Statistics of resamples about the mean; those without a spread (one pair, again and again) lie beyond everything."""
    generator = np.random.default_rng(seed)
    parts = []
    size = max(1, 1_000_000 // len(differences))  # in pieces: memory stays flat whatever n
    for start in range(0, _RESAMPLES, size):
        n_rows = min(size, _RESAMPLES - start)
        drawn = differences[generator.integers(len(differences), size=(n_rows, len(differences)))]
        error = np.std(drawn, axis=1, ddof=1) / math.sqrt(len(differences))
        shift = np.mean(drawn, axis=1) - mean
        parts.append(np.divide(shift, error, out=np.full(n_rows, np.inf), where=error > 0))
    return np.concatenate(parts)
