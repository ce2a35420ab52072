"""The tests against published worked examples, scipy, and plain counting."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

import mlops_sdk
from mlops_sdk.comparison import paired, statistics
from mlops_sdk.comparison.statistics import RefusedError, holm

# Student's sleep data, as R documents it: extra hours of sleep of ten patients with two drugs (Biometrika 6, 1908).
SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
# Hollander and Wolfe, Nonparametric Statistical Methods (1973), table 3.1: a depression scale before and after.
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
# Example 1 of https://en.wikipedia.org/wiki/Welch%27s_t-test
WELCH_1 = np.array([27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4])
WELCH_2 = np.array([27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4])


def test_welch_as_published() -> None:
    found = statistics.welch_t(WELCH_2, WELCH_1)
    assert found.p_value == pytest.approx(0.021, abs=5e-4)
    assert found.difference == pytest.approx(20.82 - 22.98667, abs=1e-3)
    half = (found.high - found.low) / 2
    assert half / stats.t.ppf(0.975, 25.0) == pytest.approx(abs(found.difference) / 2.46, rel=5e-3)


def test_paired_t_as_published() -> None:
    found = paired.paired_t(SLEEP)
    assert (found.difference, found.p_value) == (pytest.approx(1.58), pytest.approx(0.002833, abs=1e-6))
    assert (found.low, found.high) == (pytest.approx(0.7001142, abs=1e-6), pytest.approx(2.4598858, abs=1e-6))


def test_wilcoxon_as_published() -> None:
    found = paired.wilcoxon(AFTER - BEFORE)
    assert found.p_value == pytest.approx(0.0390625)
    assert found.difference == pytest.approx(-0.46)
    assert (found.low, found.high) == (pytest.approx(-0.786), pytest.approx(-0.010))
    assert found.effect_size == pytest.approx((5 - 40) / 45)


def test_mcnemar_as_published() -> None:
    # statsmodels documents this table: exact p-value 4.434e-06
    found = statistics.mcnemar(121, 59, n=101 + 121 + 59 + 33)
    assert found.p_value == pytest.approx(4.43444926375551e-06)
    assert found.difference == pytest.approx((59 - 121) / 314)
    assert found.low < found.difference < found.high < 0
    assert found.effect_size == pytest.approx(59 / 121)


def test_holm_as_in_r() -> None:
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.05, 0.01]) == pytest.approx([0.05, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_correction_of_nadeau_and_bengio_by_hand() -> None:
    differences = np.array([0.02, -0.01, 0.03, 0.01, 0.0])
    found = paired.corrected_t(differences, 1 / 4)
    t = 0.01 / math.sqrt((1 / 5 + 1 / 4) * 0.00025)
    assert found.p_value == pytest.approx(2 * stats.t.sf(t, 4))
    assert (found.low + found.high) / 2 == pytest.approx(0.01)
    assert paired.corrected_t(differences, 0.0).p_value == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_the_mean_and_its_interval() -> None:
    found = statistics.describe(SLEEP)
    interval = stats.ttest_1samp(SLEEP, 0).confidence_interval(0.95)
    assert (found.n, found.mean, found.std) == (10, pytest.approx(1.58), pytest.approx(np.std(SLEEP, ddof=1)))
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    wider = statistics.describe(SLEEP, test_ratio=1 / 9)
    assert wider.high - wider.low == pytest.approx((found.high - found.low) * math.sqrt(1 + 10 / 9))
    assert math.isnan(statistics.describe(SLEEP[:1]).std)
    assert math.isnan(statistics.describe(SLEEP[:0]).mean)


@pytest.mark.parametrize("n", range(1, 13))
def test_ranks_of_the_interval_are_those_of_the_signed_rank_distribution(n: int) -> None:
    """Every assignment of signs is counted, one by one."""
    sums = np.array([np.dot(signs, range(1, n + 1)) for signs in itertools.product((0, 1), repeat=n)])
    for alpha in (0.01, 0.05, 0.1, 0.2):
        rank = paired._signed_rank_quantile(n, alpha)
        assert rank == 0 or np.mean(sums <= rank - 1) <= alpha / 2
        assert np.mean(sums <= rank) > alpha / 2


@pytest.mark.parametrize("n", [8, 20, 51, 200])
def test_wilcoxons_interval_holds_what_its_test_would_not_reject(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.3, 1.0, size=n)
    found = paired.wilcoxon(differences)
    width = found.high - found.low
    for shift, is_inside in ((found.low, False), (found.high, False), (found.low, True), (found.high, True)):
        moved = shift + (1 if (shift == found.low) == is_inside else -1) * 0.02 * width
        assert (stats.wilcoxon(differences - moved).pvalue > 0.05) == is_inside


def test_the_bootstrap_is_the_same_each_time_and_near_the_t_test() -> None:
    differences = np.random.default_rng(3).normal(0.1, 0.2, size=40)
    one, two = (paired.bootstrap_t(differences) for _ in range(2))
    exact = paired.paired_t(differences)
    assert one == two
    assert (one.low, one.high) == (pytest.approx(exact.low, abs=0.01), pytest.approx(exact.high, abs=0.01))
    assert one.p_value == pytest.approx(exact.p_value, abs=0.01)


def test_effects_are_free_of_small_sample_bias() -> None:
    """Hedges' factor against the exact one, by gamma functions."""
    for df in (2, 4, 10, 50):
        exact = math.gamma(df / 2) / (math.sqrt(df / 2) * math.gamma((df - 1) / 2))
        assert statistics.small_sample_correction(df) == pytest.approx(exact, rel=0.015)


@pytest.mark.parametrize("test", [paired.paired_t, paired.wilcoxon, paired.bootstrap_t])
@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e150])
def test_findings_scale_with_their_unit(test: Callable[..., statistics.Finding], scale: float) -> None:
    found, plain = test(SLEEP * scale), test(SLEEP)
    assert found.p_value == pytest.approx(plain.p_value)
    assert found.low == pytest.approx(plain.low * scale)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_are_refused(n: int) -> None:
    few, many = SLEEP[:n], SLEEP
    for test in (paired.paired_t, paired.wilcoxon, paired.bootstrap_t):
        with pytest.raises(RefusedError, match=f"n = {n}"):
            test(few)
    with pytest.raises(RefusedError, match="at least 3"):
        statistics.welch_t(many, few)
    with pytest.raises(RefusedError, match="at least 3"):
        paired.corrected_t(few, 0.1)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e300, 1e-310])
def test_values_without_a_spread_are_refused(value: float) -> None:
    same = np.full(10, value)
    for test in (paired.paired_t, paired.wilcoxon, paired.bootstrap_t):
        with pytest.raises(RefusedError, match="do not vary"):
            test(same)
    with pytest.raises(RefusedError, match="do not vary"):
        statistics.welch_t(same, same + 1.0)


def test_too_many_pairs_for_ranks_are_refused_with_what_to_do() -> None:
    with pytest.raises(RefusedError, match="paired_t"):
        paired.wilcoxon(np.arange(2001.0))


def test_mcnemar_on_equal_and_on_no_predictions() -> None:
    found = statistics.mcnemar(0, 0, 100)
    assert (found.p_value, found.low, found.high) == (1.0, 0.0, 0.0)
    assert math.isinf(statistics.mcnemar(0, 9, 100).effect_size)
    with pytest.raises(RefusedError, match="no prediction"):
        statistics.mcnemar(0, 0, 0)


def test_without_scipy_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(mlops_sdk.MissingDependencyError, match=r"pip install 'mlops_sdk\[stats\]'"):
        paired.paired_t(SLEEP)
    with pytest.raises(mlops_sdk.MissingDependencyError, match="compare"):
        statistics.describe(SLEEP)
