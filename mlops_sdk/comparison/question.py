"""What is asked of groups of runs, and which names in their params say how they belong together."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_sdk.comparison.metrics import SUMMARIES
from mlops_sdk.errors import InvalidValueError

TESTS = ("auto", "welch", "paired_t", "wilcoxon", "bootstrap", "corrected", "mcnemar")
SEEDS = ("seed", "random_state")
FOLDS = ("fold", "cv_fold")
SPLITS = ("split",)
REPEATS = ("repeat",)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the groups.

    Attributes
    ----------
    metric : str
    by : str
        Which summary of the metric is a run's value.
    mode, test : str
    alpha : float
    seed : tuple of str
        Params (or tags) that number repetitions.
    test_size : float or None
        Share of the data that each fold or split tests on.
    """

    metric: str
    by: str = "last"
    mode: str = "auto"
    test: str = "auto"
    alpha: float = 0.05
    seed: tuple[str, ...] = SEEDS
    test_size: float | None = None

    def __post_init__(self) -> None:
        if self.test not in TESTS:
            raise InvalidValueError(f"test is {self.test!r}; use one of {', '.join(TESTS)}")
        if not 0 < self.alpha < 1:
            raise InvalidValueError(f"alpha is {self.alpha!r}; give a number between 0 and 1, such as 0.05")
        if self.by not in SUMMARIES:
            raise InvalidValueError(f"by is {self.by!r}; use one of {', '.join(SUMMARIES)}")
        if self.test_size is not None and not 0 < self.test_size < 1:
            raise InvalidValueError(f"test_size is {self.test_size!r}; give the share of the data, such as 0.2")
