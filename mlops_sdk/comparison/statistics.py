"""Tests for a difference between two sets of results, on plain arrays; scipy does the mathematics.

Every test gives the same `Finding`: the difference (candidate minus reference) with its interval, the p-value, a size of
effect, and what it takes for granted. What a test cannot answer honestly it refuses, with the reason.

References
----------
.. [1] B. L. Welch, "The generalization of 'Student's' problem when several different population variances are involved",
       Biometrika 34 (1947), 28-35.
.. [2] F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1 (1945), 80-83; J. L. Hodges and
       E. L. Lehmann, "Estimates of location based on rank tests", Ann. Math. Statist. 34 (1963), 598-611.
.. [3] B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 12 (the bootstrap-t interval).
.. [4] C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003), 239-281.
.. [5] Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
       Psychometrika 12 (1947), 153-157; T. G. Dietterich, "Approximate statistical tests for comparing supervised
       classification learning algorithms", Neural Computation 10 (1998), 1895-1923.
.. [6] S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979), 65-70.
.. [7] L. V. Hedges, "Distribution theory for Glass's estimator of effect size", J. Educ. Statist. 6 (1981), 107-128.
.. [8] D. S. Kerby, "The simple difference formula", Comprehensive Psychology 3 (2014) (the rank-biserial correlation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, cast

import numpy as np

from mlops_sdk.errors import MissingDependencyError

if TYPE_CHECKING:
    from mlops_sdk._types import FloatArray

LEAST_N = 3
"""Fewer values of one side say nothing of its spread that could be relied on."""
LEAST_N_BOOTSTRAP = 8
"""Fewer pairs give resamples that repeat one pair only, too often for an interval."""
MOST_N_RANKS = 2000
"""The interval by ranks takes n (n + 1) / 2 means of pairs."""
_EXACT_N_RANKS = 50
_RESAMPLES = 9999


class RefusedError(Exception):
    """A test that would not be honest; the text says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a test found.

    Attributes
    ----------
    test : str
        Name of the test.
    difference, low, high : float
        Candidate minus reference, with its interval.
    p_value : float
        Two-sided.
    effect_size : float
    effect : str
        What `effect_size` is.
    assumptions : tuple of str
        What the test takes for granted.
    """

    test: str
    difference: float
    low: float
    high: float
    p_value: float
    effect_size: float
    effect: str
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """n, mean and spread of a set of values.

    Attributes
    ----------
    n : int
    mean, std : float
        `std` with n - 1; NaN where n is too small.
    low, high : float
        Interval of the mean; NaN where n is too small.
    """

    n: int
    mean: float
    std: float
    low: float
    high: float


def scipy_stats() -> Any:
    """The module `scipy.stats`.

    Raises
    ------
    MissingDependencyError
        If scipy is not installed; the text names the extra.
    """
    try:
        from scipy import stats
    except ImportError as error:
        raise MissingDependencyError("scipy", extra="stats", purpose="the statistics of compare()") from error
    return stats


def describe(values: FloatArray, level: float = 0.95, *, test_ratio: float = 0.0) -> Description:
    """Mean, standard deviation, and the t interval of the mean.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (n,)
        Finite.
    level : float
        Of the interval.
    test_ratio : float
        n_test / n_train where the values are folds or splits of one data set: widens the interval as `corrected_t` does.

    Raises
    ------
    MissingDependencyError
        Without scipy.
    """
    n = len(values)
    scale = _scale(values)
    mean = float(np.mean(values / scale)) * scale if n else math.nan
    if n < 2:
        return Description(n, mean, math.nan, math.nan, math.nan)
    std = float(np.std(values / scale, ddof=1)) * scale
    half = _t_quantile(level, n - 1) * std * math.sqrt(1 / n + test_ratio)
    return Description(n, mean, std, mean - half, mean + half)


def _t_quantile(level: float, df: float) -> float:
    return float(scipy_stats().t.ppf(0.5 + level / 2, df))


# -- scale -----------------------------------------------------------------------------------------------------------------

P = ParamSpec("P")


def _scale(*values: FloatArray) -> float:
    """A power of two near the greatest of the values: squares of what is divided by it neither overflow nor vanish."""
    greatest = max((float(np.max(np.abs(each))) for each in values if len(each)), default=0.0)
    return float(2.0 ** min(1000, max(-1000, math.frexp(greatest)[1])))


def _scaled(test: Callable[P, Finding]) -> Callable[P, Finding]:
    """The test on values near 1: a diverged run may have logged 1e300."""

    @wraps(test)
    def scaled(*args: P.args, **kwargs: P.kwargs) -> Finding:
        scale = _scale(*(each for each in args if isinstance(each, np.ndarray)))
        near_one = cast(Any, [each / scale if isinstance(each, np.ndarray) else each for each in args])
        found = test(*near_one, **kwargs)
        return replace(found, difference=found.difference * scale, low=found.low * scale, high=found.high * scale)

    return scaled


# -- independent values ----------------------------------------------------------------------------------------------------


@_scaled
def welch_t(reference: FloatArray, candidate: FloatArray, level: float = 0.95) -> Finding:
    """Welch's t-test [1]_: two independent sets, each with a spread of its own.

    Parameters
    ----------
    reference, candidate : numpy.ndarray of float64, shape (n,) and (m,)
    level : float
        Of the interval.

    Raises
    ------
    RefusedError
        If a side has fewer than 3 values, or neither varies.
    MissingDependencyError
        Without scipy.
    """
    _require(min(len(reference), len(candidate)))
    spread = math.sqrt((np.var(reference, ddof=1) + np.var(candidate, ddof=1)) / 2)
    difference = float(np.mean(candidate) - np.mean(reference))
    _require_spread(spread, float(max(np.max(np.abs(reference)), np.max(np.abs(candidate)))))
    found = scipy_stats().ttest_ind(candidate, reference, equal_var=False)
    low, high = found.confidence_interval(level)
    correction = _small_sample_correction(len(reference) + len(candidate) - 2)
    return Finding(
        "Welch's t-test", difference, float(low), float(high), float(found.pvalue),
        correction * difference / spread, "Hedges' g",
        ("independent runs", "means that are about normal (values without heavy tails, or many of them)"),
    )  # fmt: skip


# -- pairs -----------------------------------------------------------------------------------------------------------------


@_scaled
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


@_scaled
def corrected_t(differences: FloatArray, test_ratio: float, level: float = 0.95) -> Finding:
    """The corrected resampled t-test of Nadeau and Bengio [4]_, for folds or random splits of one data set.

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
    RefusedError
        If there are fewer than 3, or they do not vary.
    MissingDependencyError
        Without scipy.
    """
    return _t_of_differences(
        differences, level, test_ratio, "corrected resampled t-test",
        ("differences that are about normal", f"folds or splits of one data set, n_test / n_train = {test_ratio:.3g}"),
    )  # fmt: skip


def _t_of_differences(
    differences: FloatArray, level: float, test_ratio: float, test: str, assumptions: tuple[str, ...]
) -> Finding:
    n = len(differences)
    _require(n)
    mean, std = float(np.mean(differences)), float(np.std(differences, ddof=1))
    _require_spread(std, float(np.max(np.abs(differences))))
    error = std * math.sqrt(1 / n + test_ratio)
    half = _t_quantile(level, n - 1) * error
    p_value = float(2 * scipy_stats().t.sf(abs(mean) / error, n - 1))
    effect = _small_sample_correction(n - 1) * mean / std
    return Finding(test, mean, mean - half, mean + half, p_value, effect, "Hedges' g of the differences", assumptions)


@_scaled
def wilcoxon(differences: FloatArray, level: float = 0.95) -> Finding:
    """Wilcoxon's signed-rank test [2]_, with the Hodges-Lehmann estimate and its interval.

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
    _require(n)
    if n > MOST_N_RANKS:
        raise RefusedError(f"{n:,} pairs are more than the ranks of {MOST_N_RANKS:,}: test='paired_t' takes any number")
    _require_spread(float(np.std(differences, ddof=1)), float(np.max(np.abs(differences))))
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


@_scaled
def bootstrap_t(differences: FloatArray, level: float = 0.95, *, seed: int = 0) -> Finding:
    """Paired bootstrap-t [3]_: the distribution of the t statistic is had from the differences themselves.

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
    MissingDependencyError
        Without scipy.
    """
    n = len(differences)
    _require(n, LEAST_N_BOOTSTRAP)
    mean, std = float(np.mean(differences)), float(np.std(differences, ddof=1))
    _require_spread(std, float(np.max(np.abs(differences))))
    error = std / math.sqrt(n)
    statistic = np.sort(np.abs(_resampled_t(differences, mean, seed)))
    half = float(statistic[min(len(statistic) - 1, math.ceil(level * (len(statistic) + 1)) - 1)]) * error
    n_beyond = len(statistic) - int(np.searchsorted(statistic, abs(mean) / error))
    effect = _small_sample_correction(n - 1) * mean / std
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


# -- predictions -----------------------------------------------------------------------------------------------------------


def mcnemar(only_reference: int, only_candidate: int, n: int, level: float = 0.95) -> Finding:
    """McNemar's exact test [5]_: predictions of two models on the same examples.

    Parameters
    ----------
    only_reference, only_candidate : int
        Examples that only the one of the two got right.
    n : int
        All examples.
    level : float

    Raises
    ------
    RefusedError
        If there are no examples.
    MissingDependencyError
        Without scipy.

    Notes
    -----
    Conditional on the examples in which the two differ: the interval of the difference in accuracy is that of
    Clopper and Pearson for the share of them that the candidate got right.
    """
    if n < 1:
        raise RefusedError("there is no prediction on an example that both have")
    n_discordant = only_reference + only_candidate
    difference = (only_candidate - only_reference) / n
    assumptions = (
        "examples that are independent of each other",
        "says nothing of training again: one model a side",
    )
    name, effect = "McNemar's exact test", "odds ratio of the examples that only one got right"
    if n_discordant == 0:
        return Finding(name, 0.0, 0.0, 0.0, 1.0, 1.0, effect, assumptions)
    found = scipy_stats().binomtest(only_candidate, n_discordant)
    interval = found.proportion_ci(level, method="exact")
    low, high = ((2 * float(share) - 1) * n_discordant / n for share in (interval.low, interval.high))
    odds = only_candidate / only_reference if only_reference else math.inf
    return Finding(name, difference, low, high, float(found.pvalue), odds, effect, assumptions)


# -- several ---------------------------------------------------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, by Holm's step-down procedure [6]_; in the same order.

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for position, index in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - position) * p_values[index]))
        adjusted[index] = least
    return adjusted


# -- what they share -------------------------------------------------------------------------------------------------------


def _require(n: int, least: int = LEAST_N) -> None:
    if n < least:
        raise RefusedError(f"n = {n}: at least {least} of each are needed to tell a difference from noise")


def _require_spread(std: float, size: float) -> None:
    """What differs by rounding only does not vary either."""
    if not std > 1e-12 * size:
        raise RefusedError("the values do not vary at all: without a spread nothing can be told from noise")


def _small_sample_correction(df: int) -> float:
    """Hedges' factor J [7]_, which takes the bias of small samples out of a standardised difference."""
    return 1 - 3 / (4 * df - 1)
