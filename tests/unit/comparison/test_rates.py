"""How often the tests are wrong: 2,000 seeded simulations each.

An interval of 95 % covers the truth in 93 to 97 % of them; two equals are told apart in at most 6 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from mlops_sdk.comparison import paired, statistics
from mlops_sdk.comparison.statistics import Finding

N_SIMULATIONS = 2000
N_SPLITS, TEST_SHARE = 15, 0.1
Generator = np.random.Generator

pytestmark = pytest.mark.slow


def rates(find: Callable[[Generator], Finding], truth: float = 0.0) -> tuple[float, float]:
    """Share of intervals that cover the truth, and of p-values of at most 5 %."""
    generator = np.random.default_rng(20261124)
    found = [find(generator) for _ in range(N_SIMULATIONS)]
    covered = np.mean([each.low <= truth <= each.high for each in found])
    return float(covered), float(np.mean([each.p_value <= 0.05 for each in found]))


@pytest.mark.parametrize("n, m, spread", [(5, 5, 1.0), (5, 12, 3.0), (30, 8, 0.3)])
def test_welch(n: int, m: int, spread: float) -> None:
    covered, wrong = rates(lambda g: statistics.welch_t(g.normal(size=n), g.normal(0, spread, size=m)))
    assert 0.93 <= covered <= 0.97
    assert wrong <= 0.06


@pytest.mark.parametrize("n", [3, 5, 20])
def test_paired_t(n: int) -> None:
    covered, wrong = rates(lambda g: paired.paired_t(g.normal(size=n)))
    assert 0.93 <= covered <= 0.97
    assert wrong <= 0.06


@pytest.mark.parametrize("n, draw", [(7, "normal"), (10, "laplace"), (60, "uniform")])
def test_wilcoxon(n: int, draw: str) -> None:
    covered, wrong = rates(lambda g: paired.wilcoxon(getattr(g, draw)(-1.0, 1.0, size=n) - MIDDLE[draw]))
    assert 0.93 <= covered <= 0.97
    assert wrong <= 0.06


MIDDLE = {"normal": -1.0, "laplace": -1.0, "uniform": 0.0}


@pytest.mark.parametrize("n", [10, 30])
def test_bootstrap(n: int) -> None:
    covered, wrong = rates(lambda g: paired.bootstrap_t(g.normal(size=n)))
    assert 0.93 <= covered <= 0.97
    assert wrong <= 0.06


def test_interval_of_a_mean() -> None:
    generator = np.random.default_rng(7)
    found = [statistics.describe(generator.normal(5.0, 2.0, size=6)) for _ in range(N_SIMULATIONS)]
    assert 0.93 <= np.mean([each.low <= 5.0 <= each.high for each in found]) <= 0.97


def test_holm_keeps_the_rate_of_a_family() -> None:
    generator = np.random.default_rng(11)
    p_values = generator.uniform(size=(N_SIMULATIONS, 6))
    assert np.mean([min(statistics.holm(list(row))) <= 0.05 for row in p_values]) <= 0.06
    assert np.mean(p_values.min(axis=1) <= 0.05) > 0.2  # what it is for


# -- splits of one data set: two learners that are equally good -----------------------------------------------------------


def right_answers(generator: Generator, n: int = 200) -> Iterator[np.ndarray]:
    """Which of the tested examples each learner got right, split by split; shape (2, n_test).

    Each learner sees one of two features that say equally much, and puts its threshold between the means of the classes.
    """
    label = np.arange(n) % 2
    features = generator.normal(size=(2, n)) + label
    for _ in range(N_SPLITS):
        order = generator.permutation(n)
        test, train = order[: int(n * TEST_SHARE)], order[int(n * TEST_SHARE) :]
        means = [features[:, train[label[train] == each]].mean(axis=1) for each in (0, 1)]
        threshold = (means[0] + means[1]) / 2
        yield (features[:, test] > threshold[:, None]) == label[test]


def simulated_differences() -> np.ndarray:
    generator = np.random.default_rng(2003)
    answers = (list(right_answers(generator)) for _ in range(N_SIMULATIONS))
    return np.array([[right.mean(axis=1) @ (-1, 1) for right in splits] for splits in answers])


def test_a_naive_t_test_declares_winners_among_equals_and_the_corrected_one_does_not() -> None:
    differences = simulated_differences()
    naive = [paired.paired_t(each) for each in differences]
    corrected = [paired.corrected_t(each, TEST_SHARE / (1 - TEST_SHARE)) for each in differences]
    wrong = [float(np.mean([each.p_value <= 0.05 for each in found])) for found in (naive, corrected)]
    print(f"naive {wrong[0]:.1%}, corrected {wrong[1]:.1%}")
    assert wrong[0] > 0.17
    assert wrong[1] <= 0.06
    assert 0.93 <= np.mean([each.low <= 0 <= each.high for each in corrected]) <= 0.97


def test_mcnemar_on_two_equals() -> None:
    generator = np.random.default_rng(1947)

    def once() -> float:
        right = generator.random(size=(2, 200)) < 0.8
        one, other = int(np.sum(right[0] & ~right[1])), int(np.sum(right[1] & ~right[0]))
        return statistics.mcnemar(one, other, 200).p_value

    assert np.mean([once() <= 0.05 for _ in range(N_SIMULATIONS)]) <= 0.06
