"""Better, worse, or not distinguishable: which test fits two groups of runs, and what it says.

The test follows from how the runs belong together, which their params (or tags) say:

=========================================================  ====================================================
both groups have the same folds (``fold``, ``split``)      corrected resampled t-test
both groups have the same seeds (``seed``...)              Wilcoxon signed-rank from 6 pairs on, paired t below
neither                                                    Welch's t-test
one run a side, both with logged predictions               McNemar's exact test
=========================================================  ====================================================

Folds that do not match are refused: their training sets overlap, and no test of independent values may be used on them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mlops_sdk.comparison import paired as paired_tests
from mlops_sdk.comparison import statistics
from mlops_sdk.comparison.metrics import direction_of
from mlops_sdk.comparison.pairing import Pair, as_array, finite, has_any, paired, test_ratio, values_of
from mlops_sdk.comparison.predictions import discordance
from mlops_sdk.comparison.question import FOLDS, SPLITS, Question
from mlops_sdk.comparison.statistics import Description, Finding, RefusedError
from mlops_sdk.comparison.subject import Subject
from mlops_sdk.errors import InvalidValueError, StoreError
from mlops_sdk.values.directions import Direction

if TYPE_CHECKING:
    from mlops_sdk._types import FloatArray

Outcome = Literal["better", "worse", "greater", "less", "not distinguishable", "refused"]
ACCURACY = "accuracy of the logged predictions"
_LEAST_WILCOXON = 6  # below it no result of the ranks is significant at 5 %


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said of a candidate beside a reference.

    Attributes
    ----------
    metric, reference, candidate : str
    outcome : {"better", "worse", "greater", "less", "not distinguishable", "refused"}
        Of the candidate; "greater" and "less" where it is not known which way the metric gets better.
    reason : str
        Why it was refused.
    n_reference, n_candidate : int
        Values that were used; equal where they are pairs.
    is_paired : bool
    finding : Finding or None
        Test, difference, interval, p-value, effect size, assumptions; None where refused.
    p_adjusted : float
        The p-value after Holm's correction for the number of comparisons; NaN where refused.
    level : float
        Of the interval, which is that of this comparison alone.
    notes : tuple of str
        What was left out, and what to bear in mind.
    """

    metric: str
    reference: str
    candidate: str
    outcome: Outcome
    reason: str = ""
    n_reference: int = 0
    n_candidate: int = 0
    is_paired: bool = False
    finding: Finding | None = None
    p_adjusted: float = math.nan
    level: float = 0.95
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        subject = f"{self.metric}: {self.candidate}"
        if self.finding is None:
            return f"{subject} and {self.reference}: no verdict, {self.reason}"
        relation = "not distinguishable from" if self.outcome == "not distinguishable" else f"{self.outcome} than"
        return f"{subject} is {relation} {self.reference}: {self.evidence}"

    @property
    def evidence(self) -> str:
        """Difference, interval, test, p-value, n and effect size in a line."""
        found = self.finding
        if found is None:
            return self.reason
        counts = f"{self.n_reference} pairs" if self.is_paired else f"n = {self.n_reference} and {self.n_candidate}"
        adjusted = f", {_p(self.p_adjusted)} after Holm" if self.p_adjusted != found.p_value else ""
        return (
            f"{found.difference:+.4g} [{found.low:.4g}, {found.high:.4g}] at {self.level:.0%}, "
            f"{found.test}, {_p(found.p_value)}{adjusted}, {counts}, {found.effect} {found.effect_size:.3g}"
        )


def _p(value: float) -> str:
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.2g}"


# -- groups ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """One row of a table of groups.

    Attributes
    ----------
    label, metric : str
    description : Description
        n, mean, std, and the interval of the mean.
    values : tuple of float
        What it was made of.
    n_missing : int
        Runs without a finite value.
    level : float
        Of the interval.
    """

    label: str
    metric: str
    description: Description
    values: tuple[float, ...]
    n_missing: int
    level: float


def summarise(subjects: Sequence[Subject], question: Question) -> list[GroupSummary]:
    """The row of each group.

    Raises
    ------
    InvalidValueError
        If no run has the metric, or the best value is asked for and the direction is not known.
    MissingDependencyError
        Without scipy.
    """
    direction = _direction(question, subjects)
    return [_summary(subject, question, direction) for subject in subjects]


def _summary(subject: Subject, question: Question, direction: Direction | None) -> GroupSummary:
    values = finite(values_of(subject, question, direction))
    level = 1 - question.alpha
    try:
        ratio = test_ratio([subject], question) if has_any(subject, (*FOLDS, *SPLITS)) else 0.0
    except RefusedError:
        ratio = math.nan  # the interval of folds is not known then
    description = statistics.describe(as_array(values), level, test_ratio=ratio)
    return GroupSummary(
        subject.label, question.metric, description, tuple(values), len(subject.records) - len(values), level
    )


def judge(subjects: Sequence[Subject], questions: Sequence[Question]) -> list[Verdict]:
    """Every pair of groups in every metric, p-values corrected for their number.

    Parameters
    ----------
    subjects : sequence of Subject
        Of each pair the one that comes first is the reference.
    questions : sequence of Question
        One for each metric.

    Raises
    ------
    InvalidValueError
        If no run has the metric, or the best value is asked for and the direction is not known.
    MissingDependencyError
        Without scipy.
    """
    found: list[tuple[Verdict, Direction | None, float]] = []
    for question in questions:
        direction = None if question.test == "mcnemar" else _direction(question, subjects)
        for reference, candidate in itertools.combinations(_with_metric(subjects, question), 2):
            verdict = _test(reference, candidate, question, direction)
            found.append((verdict, "max" if verdict.metric == ACCURACY else direction, question.alpha))
    tested = [verdict.finding.p_value for verdict, _, _ in found if verdict.finding is not None]
    adjusted = iter(statistics.holm(tested))
    return [
        verdict if verdict.finding is None else _concluded(verdict, next(adjusted), direction, alpha)
        for verdict, direction, alpha in found
    ]


def _with_metric(subjects: Sequence[Subject], question: Question) -> Sequence[Subject]:
    """Those that have the metric at all, where that leaves something to compare: the table of groups says who has not."""
    having = [each for each in subjects if any(question.metric in record.parts.metrics for record in each.records)]
    return having if len(having) > 1 else subjects


def _concluded(verdict: Verdict, p_adjusted: float, direction: Direction | None, alpha: float) -> Verdict:
    assert verdict.finding is not None
    outcome: Outcome = "not distinguishable"
    if p_adjusted <= alpha:
        is_greater = verdict.finding.difference > 0
        if direction is None:
            outcome = "greater" if is_greater else "less"
        else:
            outcome = "better" if is_greater == (direction == "max") else "worse"
    unknown = () if direction else ("whether more or less is better is not known: pass mode='max' or 'min'",)
    return replace(verdict, outcome=outcome, p_adjusted=p_adjusted, notes=verdict.notes + unknown)


def _direction(question: Question, subjects: Sequence[Subject]) -> Direction | None:
    direction = direction_of(question.metric, subjects, question.mode)
    if question.by == "best" and direction is None:
        raise InvalidValueError(
            f"whether more or less of {question.metric!r} is better is not known, so neither is its best value: pass "
            "mode='max' or 'min'",
            key=question.metric,
        )
    if not any(question.metric in record.parts.metrics for subject in subjects for record in subject.records):
        raise InvalidValueError(f"none of these runs has metric {question.metric!r}", key=question.metric)
    return direction


# -- one pair --------------------------------------------------------------------------------------------------------------


def _test(reference: Subject, candidate: Subject, question: Question, direction: Direction | None) -> Verdict:
    verdict = Verdict(
        question.metric, reference.label, candidate.label, "refused", level=1 - question.alpha
    )  # fmt: skip
    try:
        _refuse_shared_runs(reference, candidate)
        if _is_about_predictions(reference, candidate, question):
            return _mcnemar(reference, candidate, verdict)
        pair = paired(reference, candidate, question, direction)
        verdict = replace(
            verdict, n_reference=len(pair.reference), n_candidate=len(pair.candidate), notes=tuple(pair.notes)
        )
        return _chosen(pair, question, [reference, candidate], verdict)
    except RefusedError as error:
        return replace(verdict, reason=str(error))


def _refuse_shared_runs(reference: Subject, candidate: Subject) -> None:
    ids = [{record.head.run_id for record in subject.records} for subject in (reference, candidate)]
    if shared := ids[0] & ids[1]:
        raise RefusedError(f"{len(shared)} of their runs are in both groups")


def _chosen(pair: Pair, question: Question, subjects: Sequence[Subject], verdict: Verdict) -> Verdict:
    test = _fitting_test(pair) if question.test == "auto" else question.test
    level = 1 - question.alpha
    if test == "welch":
        note = ("folds are no independent values: this test takes noise for a difference",) if pair.is_folds else ()
        finding = statistics.welch_t(as_array(pair.reference), as_array(pair.candidate), level)
        return replace(verdict, finding=finding, notes=verdict.notes + note)
    if pair.pairs is None:
        raise RefusedError(pair.mismatch)
    differences = as_array(finite([new - old for old, new in pair.pairs]))
    if len(differences) < len(pair.pairs):
        raise RefusedError("the differences are too large to be calculated with")
    verdict = replace(verdict, n_reference=len(differences), n_candidate=len(differences), is_paired=True)
    try:
        if test == "corrected":
            finding = paired_tests.corrected_t(differences, test_ratio(subjects, question), level)
        else:
            finding = _PAIRED[test](differences, level)
    except RefusedError as error:
        return replace(verdict, reason=str(error))
    return replace(verdict, finding=finding)


_PAIRED: Mapping[str, Callable[[FloatArray, float], Finding]] = {
    "paired_t": paired_tests.paired_t,
    "wilcoxon": paired_tests.wilcoxon,
    "bootstrap": paired_tests.bootstrap_t,
}


def _fitting_test(pair: Pair) -> str:
    if pair.is_folds:
        return "corrected"
    if pair.pairs is None:
        return "welch"
    return "wilcoxon" if _LEAST_WILCOXON <= len(pair.pairs) <= paired_tests.MOST_N_RANKS else "paired_t"


# -- predictions -----------------------------------------------------------------------------------------------------------


def _is_about_predictions(reference: Subject, candidate: Subject, question: Question) -> bool:
    if question.test == "mcnemar":
        return True
    is_one_a_side = len(reference.records) == len(candidate.records) == 1
    return question.test == "auto" and is_one_a_side and all(_predictions(each) for each in (reference, candidate))


def _predictions(subject: Subject) -> Any:
    try:
        return subject.records[0].predictions()
    except (InvalidValueError, StoreError) as error:
        raise RefusedError(f"predictions of {subject.label}: {error}") from error


def _mcnemar(reference: Subject, candidate: Subject, verdict: Verdict) -> Verdict:
    if len(reference.records) != 1 or len(candidate.records) != 1:
        raise RefusedError("McNemar's test compares the predictions of one run with those of another")
    old, new = _predictions(reference), _predictions(candidate)
    lacking = [each.label for each, found in ((reference, old), (candidate, new)) if found is None]
    if lacking:
        raise RefusedError(f"no predictions.csv with y_true and y_pred was logged in {' and '.join(lacking)}")
    try:
        counts = discordance(old, new)
    except InvalidValueError as error:
        raise RefusedError(str(error)) from error
    finding = statistics.mcnemar(*counts, level=verdict.level)
    return replace(
        verdict, metric=ACCURACY, n_reference=counts[2], n_candidate=counts[2], is_paired=True, finding=finding
    )
