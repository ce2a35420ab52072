"""Tests for a difference between two sets of results, on plain arrays; scipy does the mathematics.

Every test gives the same `Finding`: the difference (candidate minus reference) with its interval, the p-value, a size of
effect, and what it takes for granted. What a test cannot answer honestly it refuses, with the reason.

References
----------
.. [1] B. L. Welch, "The generalization of 'Student's' problem when several different population variances are involved",
       Biometrika 34 (1947), 28-35.
.. [2] Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
       Psychometrika 12 (1947), 153-157; T. G. Dietterich, "Approximate statistical tests for comparing supervised
       classification learning algorithms", Neural Computation 10 (1998), 1895-1923.
.. [3] S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979), 65-70.
.. [4] L. V. Hedges, "Distribution theory for Glass's estimator of effect size", J. Educ. Statist. 6 (1981), 107-128.
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
    half = t_quantile(level, n - 1) * std * math.sqrt(1 / n + test_ratio)
    return Description(n, mean, std, mean - half, mean + half)


def t_quantile(level: float, df: float) -> float:
    """Half the width of an interval of that level, in standard errors."""
    return float(scipy_stats().t.ppf(0.5 + level / 2, df))


# -- scale -----------------------------------------------------------------------------------------------------------------

P = ParamSpec("P")


def _scale(*values: FloatArray) -> float:
    """A power of two near the greatest of the values: squares of what is divided by it neither overflow nor vanish."""
    greatest = max((float(np.max(np.abs(each))) for each in values if len(each)), default=0.0)
    return float(2.0 ** min(1000, max(-1000, math.frexp(greatest)[1])))


def scaled(test: Callable[P, Finding]) -> Callable[P, Finding]:
    """The test on values near 1: a diverged run may have logged 1e300."""

    @wraps(test)
    def scaled(*args: P.args, **kwargs: P.kwargs) -> Finding:
        scale = _scale(*(each for each in args if isinstance(each, np.ndarray)))
        near_one = cast(Any, [each / scale if isinstance(each, np.ndarray) else each for each in args])
        found = test(*near_one, **kwargs)
        return replace(found, difference=found.difference * scale, low=found.low * scale, high=found.high * scale)

    return scaled


# -- independent values ----------------------------------------------------------------------------------------------------


@scaled
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
    require(min(len(reference), len(candidate)))
    spread = math.sqrt((np.var(reference, ddof=1) + np.var(candidate, ddof=1)) / 2)
    difference = float(np.mean(candidate) - np.mean(reference))
    require_spread(spread, float(max(np.max(np.abs(reference)), np.max(np.abs(candidate)))))
    found = scipy_stats().ttest_ind(candidate, reference, equal_var=False)
    low, high = found.confidence_interval(level)
    correction = small_sample_correction(len(reference) + len(candidate) - 2)
    return Finding(
        "Welch's t-test", difference, float(low), float(high), float(found.pvalue),
        correction * difference / spread, "Hedges' g",
        ("independent runs", "means that are about normal (values without heavy tails, or many of them)"),
    )  # fmt: skip


# -- predictions -----------------------------------------------------------------------------------------------------------


def mcnemar(only_reference: int, only_candidate: int, n: int, level: float = 0.95) -> Finding:
    """McNemar's exact test [2]_: predictions of two models on the same examples.

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
    Conditional on the examples that only one of the two got right, whose ratio is the effect: the interval of the difference in accuracy is that of
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
    name, effect = "McNemar's exact test", "odds ratio"
    if n_discordant == 0:
        return Finding(name, 0.0, 0.0, 0.0, 1.0, 1.0, effect, assumptions)
    found = scipy_stats().binomtest(only_candidate, n_discordant)
    interval = found.proportion_ci(level, method="exact")
    low, high = ((2 * float(share) - 1) * n_discordant / n for share in (interval.low, interval.high))
    odds = only_candidate / only_reference if only_reference else math.inf
    return Finding(name, difference, low, high, float(found.pvalue), odds, effect, assumptions)


# -- several ---------------------------------------------------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, by Holm's step-down procedure [3]_; in the same order.

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


def require(n: int, least: int = LEAST_N) -> None:
    """Refuse too few values."""
    if n < least:
        raise RefusedError(f"n = {n}: at least {least} of each are needed to tell a difference from noise")


def require_spread(std: float, size: float) -> None:
    """Refuse values that do not vary; what differs by rounding only does not either."""
    if not std > 1e-12 * size:
        raise RefusedError("the values do not vary at all: without a spread nothing can be told from noise")


def small_sample_correction(df: int) -> float:
    """Hedges' factor J [4]_, which takes the bias of small samples out of a standardised difference."""
    return 1 - 3 / (4 * df - 1)
