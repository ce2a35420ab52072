"""Which test fits which groups, and what is said of them."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

import mlops_sdk
from mlops_sdk import InvalidValueError
from mlops_sdk.comparison.comparison import Comparison
from mlops_sdk.comparison.predictions import Predictions, discordance, parse
from mlops_sdk.comparison.question import Question
from mlops_sdk.comparison.subject import Subject
from mlops_sdk.comparison.verdict import Verdict
from tests.unit.comparison.made import group, groups, record, runs

LOW = [0.80, 0.82, 0.81, 0.83, 0.79, 0.80, 0.82, 0.84]
HIGH = [value + 0.05 + 0.001 * number for number, value in enumerate(LOW)]
SEEDS = list(range(8))


def verdict(*subjects: Subject, **options: Any) -> Verdict:
    (found,) = groups(*subjects, **options).verdicts
    return found


def name_of(found: Verdict) -> str:
    return found.finding.test if found.finding else f"refused: {found.reason}"


# -- which test ------------------------------------------------------------------------------------------------------------


def test_independent_runs_are_judged_by_welch() -> None:
    found = verdict(group("a", LOW), group("b", HIGH))
    assert (name_of(found), found.outcome, found.n_reference, found.is_paired) == ("Welch's t-test", "better", 8, False)
    assert found.finding is not None
    assert found.finding.p_value == pytest.approx(stats.ttest_ind(HIGH, LOW, equal_var=False).pvalue)
    assert str(found).startswith("val/acc: b is better than a: +0.0535 [")


def test_shared_seeds_are_pairs_whatever_their_order() -> None:
    found = verdict(group("a", LOW, seed=SEEDS), group("b", HIGH[::-1], seed=SEEDS[::-1]))
    assert (name_of(found), found.is_paired, found.n_reference) == ("Wilcoxon signed-rank test", True, 8)
    assert found.finding is not None
    assert found.finding.difference == pytest.approx(np.median([0.05 + 0.001 * n for n in range(8)]), abs=1e-9)


def test_few_pairs_are_judged_by_the_paired_t_test() -> None:
    found = verdict(group("a", LOW[:5], seed=SEEDS[:5]), group("b", HIGH[:5], seed=SEEDS[:5]))
    assert name_of(found) == "paired t-test"


def test_seeds_that_do_not_match_are_no_pairs() -> None:
    found = verdict(group("a", LOW, seed=SEEDS), group("b", HIGH, seed=[*SEEDS[:-1], 99]))
    assert name_of(found) == "Welch's t-test"
    for seeds, reason in (([*SEEDS[:-1], 0], "same seeds"), ([*SEEDS[:-1], 99], "not the same")):
        refused = verdict(group("a", LOW, seed=SEEDS), group("b", HIGH, seed=seeds), test="wilcoxon")
        assert refused.outcome == "refused"
        assert reason in refused.reason
    refused = verdict(group("a", LOW), group("b", HIGH), test="paired_t")
    assert "not all runs say their seeds" in refused.reason


def test_seeds_are_found_nested_in_tags_and_under_other_names() -> None:
    nested = {"model.random_state": SEEDS}
    assert verdict(group("a", LOW, **nested), group("b", HIGH, **nested)).is_paired
    named = {"trial": SEEDS}
    assert verdict(group("a", LOW, **named), group("b", HIGH, **named), seed=("trial",)).is_paired
    assert not verdict(group("a", LOW, **named), group("b", HIGH, **named)).is_paired
    tagged = [
        Subject(label, [record(f"{label}{n}", number=n, metrics={"val/acc": value}, tags={"seed": str(n)}) for n, value in enumerate(values)])
        for label, values in (("a", LOW), ("b", HIGH))
    ]  # fmt: skip
    assert verdict(*tagged).is_paired


def test_folds_are_judged_by_the_corrected_test() -> None:
    found = verdict(group("a", LOW, fold=SEEDS), group("b", HIGH, fold=SEEDS))
    assert name_of(found) == "corrected resampled t-test"
    assert found.finding is not None
    assert "n_test / n_train = 0.143" in found.finding.assumptions[-1]  # 1 / 7
    repeated = {"fold": [0, 1, 2, 3] * 2, "repeat": [0] * 4 + [1] * 4}
    found = verdict(group("a", LOW, **repeated), group("b", HIGH, **repeated))
    assert found.finding is not None
    assert "= 0.333" in found.finding.assumptions[-1]
    by_seed = {"fold": [0, 1, 2, 3] * 2, "seed": [0] * 4 + [1] * 4}
    assert name_of(verdict(group("a", LOW, **by_seed), group("b", HIGH, **by_seed))) == "corrected resampled t-test"


def test_folds_of_other_seeds_are_pairs_where_each_occurs_once() -> None:
    a, b = group("a", LOW, fold=SEEDS, seed=[1] * 8), group("b", HIGH, fold=SEEDS, seed=[2] * 8)
    assert name_of(verdict(a, b)) == "corrected resampled t-test"


def test_folds_that_do_not_match_are_refused_and_never_taken_for_independent() -> None:
    a = group("a", LOW, fold=SEEDS)
    for other in (group("b", HIGH), group("b", HIGH, fold=[*SEEDS[:-1], 9]), group("b", HIGH, fold=[0] * 8)):
        found = verdict(a, other)
        assert (found.outcome, "folds" in found.reason) == ("refused", True)
    forced = verdict(a, group("b", HIGH), test="welch")
    assert "takes noise for a difference" in forced.notes[0]


def test_splits_need_to_say_how_much_they_test_on() -> None:
    a, b = group("a", LOW, split=SEEDS), group("b", HIGH, split=SEEDS)
    assert "pass test_size=" in verdict(a, b).reason
    assert math.isnan(groups(a, b).groups[0].description.low)
    assert "= 0.25" in assumption(verdict(a, b, test_size=0.2))
    sizes = {"split": SEEDS, "test_size": [0.1] * 8}
    assert "= 0.111" in assumption(verdict(group("a", LOW, **sizes), group("b", HIGH, **sizes)))
    rows = [{"context": "train", "n_rows": 900}, {"context": "test", "n_rows": 300}]
    counted = [
        Subject(label, [record(f"{label}{n}", metrics={"val/acc": value}, params={"split": n}, datasets=rows) for n, value in enumerate(values)])
        for label, values in (("a", LOW), ("b", HIGH))
    ]  # fmt: skip
    assert "= 0.333" in assumption(verdict(*counted))


def assumption(found: Verdict) -> str:
    assert found.finding is not None
    return found.finding.assumptions[-1]


@pytest.mark.parametrize(
    "test, name",
    [("welch", "Welch"), ("paired_t", "paired t"), ("wilcoxon", "Wilcoxon"), ("bootstrap", "bootstrap-t"), ("corrected", "corrected")],
)  # fmt: skip
def test_each_test_can_be_asked_for(test: str, name: str) -> None:
    found = verdict(group("a", LOW, seed=SEEDS), group("b", HIGH, seed=SEEDS), test=test, test_size=0.2)
    assert name in name_of(found)
    assert found.outcome == "better"


# -- what is said ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metric, mode, outcome",
    [("val/acc", "auto", "better"), ("loss", "auto", "worse"), ("odd", "auto", "greater"), ("odd", "max", "better"),
     ("odd", "min", "worse"), ("val/acc", "min", "worse")],
)  # fmt: skip
def test_the_outcome_follows_the_direction(metric: str, mode: str, outcome: str) -> None:
    a, b = group("a", LOW, metric), group("b", HIGH, metric)
    found = verdict(a, b, metric=metric, mode=mode)
    assert found.outcome == outcome
    assert any("not known" in note for note in found.notes) is (outcome == "greater")
    opposite = {"better": "worse", "worse": "better", "greater": "less"}
    assert verdict(b, a, metric=metric, mode=mode).outcome == opposite[outcome]


def test_noise_is_not_distinguishable() -> None:
    found = verdict(group("a", LOW), group("b", LOW[1:] + LOW[:1]))
    assert found.outcome == "not distinguishable"
    assert "is not distinguishable from a" in str(found)


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_are_refused_with_the_reason(n: int) -> None:
    found = verdict(group("a", LOW), group("b", HIGH[:n]))
    assert (found.outcome, found.finding) == ("refused", None)
    assert f"n = {n}: at least 3" in str(found)
    assert math.isnan(found.p_adjusted)


def test_values_that_are_missing_or_not_finite_are_left_out_and_said() -> None:
    a = group("a", [*LOW[:6], math.nan, None], seed=SEEDS)  # type: ignore[list-item]
    b = group("b", [math.inf, *HIGH[1:]], seed=SEEDS)
    found = verdict(a, b)
    assert (name_of(found), found.n_reference) == ("paired t-test", 5)
    assert "2 of 8 runs of a have no finite value" in found.notes
    assert "1 of 8 runs of b have no finite value" in found.notes
    assert [each.n_missing for each in groups(a, b).groups] == [2, 1]
    assert "6 (+2 without)" in groups(a, b).summary()


def test_identical_seeds_without_effect_are_no_evidence() -> None:
    found = verdict(group("a", [0.5] * 5), group("b", [0.6] * 5))
    assert "do not vary" in found.reason


def test_a_run_in_both_groups_is_refused() -> None:
    a = group("a", LOW)
    assert "in both" in verdict(a, Subject("b", [*a.records[:4], *group("c", HIGH[:4]).records])).reason


def test_several_groups_are_compared_pair_by_pair_with_holms_correction() -> None:
    middle = [value + 0.02 for value in LOW]
    found = groups(group("a", LOW), group("b", middle), group("c", HIGH))
    pairs = [(each.reference, each.candidate) for each in found.verdicts]
    assert pairs == [("a", "b"), ("a", "c"), ("b", "c")]
    p_values = [each.finding.p_value for each in found.verdicts if each.finding]
    assert [each.p_adjusted for each in found.verdicts] == pytest.approx(mlops_holm(p_values))
    assert any("Holm" in note for note in found.notes)
    assert "after Holm" in found.summary()


def mlops_holm(p_values: list[float]) -> list[float]:
    """Holm's procedure as the definition has it."""
    order = sorted(p_values)
    return [max(min(1.0, (len(order) - i) * order[i]) for i in range(order.index(p) + 1)) for p in p_values]


def test_a_group_without_the_metric_is_in_the_table_and_in_no_pair() -> None:
    found = groups(group("a", LOW), group("none", [None, None]), group("b", HIGH))  # type: ignore[list-item]
    assert [(each.reference, each.candidate) for each in found.verdicts] == [("a", "b")]
    assert [each.description.n for each in found.groups] == [8, 0, 8]
    alone = groups(group("a", LOW), group("none", [None, None]))  # type: ignore[list-item]
    assert "n = 0" in alone.verdicts[0].reason


def test_several_metrics_are_one_family() -> None:
    a, b = (
        Subject(
            label, [record(f"{label}{n}", metrics={"acc": value, "loss": 1 - value}) for n, value in enumerate(values)]
        )
        for label, values in (("a", LOW), ("b", HIGH))
    )
    found = Comparison([a, b], [Question("acc"), Question("loss")])
    assert [(each.metric, each.outcome) for each in found.verdicts] == [("acc", "better"), ("loss", "better")]
    assert all(each.p_adjusted > each.finding.p_value for each in found.verdicts if each.finding)
    assert len(found.groups) == 4


def test_the_best_of_each_run_may_be_its_value() -> None:
    a, b = (
        Subject(label, [record(f"{label}{n}", metrics={"loss": [value, 9.0]}) for n, value in enumerate(values)])
        for label, values in (("a", LOW), ("b", HIGH))
    )
    found = verdict(a, b, metric="loss", by="best")
    assert found.finding is not None
    assert found.finding.difference == pytest.approx(0.0535)
    with pytest.raises(InvalidValueError, match="mode="):
        verdict(group("a", LOW, "odd"), group("b", HIGH, "odd"), metric="odd", by="best")


def test_the_same_data_is_said_to_limit_the_verdict() -> None:
    a, b = (
        Subject(label, [record(f"{label}{n}", metrics={"acc": value}, datasets=[{"context": "train", "digest": "d"}]) for n, value in enumerate(values)])
        for label, values in (("a", LOW), ("b", HIGH))
    )  # fmt: skip
    assert any("nothing of other data" in note for note in verdict(a, b, metric="acc").notes)


def test_assumptions_are_said() -> None:
    text = groups(group("a", LOW), group("b", HIGH)).summary()
    assert "Welch's t-test takes for granted: independent runs" in text
    assert "Hedges' g" in text


@pytest.mark.parametrize(
    "options, said",
    [({"test": "anova"}, "use one of auto, welch"), ({"alpha": 0}, "between 0 and 1"), ({"mode": "up"}, "'max', 'min'"),
     ({"by": "median"}, "use one of last"), ({"test_size": 2}, "share"), ({"metric": "nope"}, "none of these runs")],
)  # fmt: skip
def test_wrong_options_say_what_to_do(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        groups(group("a", LOW), group("b", HIGH), **options)


def test_without_scipy_runs_are_compared_and_groups_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert runs(record(params={"a": 1}), record(params={"a": 2})).summary()
    with pytest.raises(mlops_sdk.MissingDependencyError, match="stats"):
        groups(group("a", LOW), group("b", HIGH))


def test_the_table_of_verdicts() -> None:
    frame = groups(group("a", LOW), group("b", HIGH), group("c", HIGH[:2])).to_pandas()
    assert frame["outcome"].tolist() == ["better", "refused", "refused"]
    assert frame.loc[0, ["metric", "reference", "candidate", "test"]].tolist() == [
        "val/acc",
        "a",
        "b",
        "Welch's t-test",
    ]
    assert frame["p_value"].isna().tolist() == [False, True, True]


# -- predictions -----------------------------------------------------------------------------------------------------------


def predictions(right: list[bool]) -> Predictions:
    return Predictions(dict.fromkeys(range(len(right)), "yes"), dict(enumerate(right)))


def test_predictions_of_two_runs_are_judged_by_mcnemar() -> None:
    one = record("one", metrics={"accuracy": 0.5}, predictions=predictions([False] * 30 + [True] * 20))
    two = record("two", metrics={"accuracy": 0.9}, predictions=predictions([True] * 45 + [False] * 5))
    for options in ({"metric": "accuracy"}, {"metric": "", "test": "mcnemar"}):
        found = verdict(Subject("one", [one]), Subject("two", [two]), **options)
        assert (name_of(found), found.outcome) == ("McNemar's exact test", "better")
        assert found.metric == "accuracy of the logged predictions"
        assert found.finding is not None
        assert found.finding.difference == pytest.approx((30 - 5) / 50)
        assert found.finding.p_value == pytest.approx(stats.binomtest(30, 35).pvalue)


def test_without_predictions_two_runs_are_too_few() -> None:
    one, two = record("one", metrics={"acc": 0.5}), record("two", metrics={"acc": 0.6})
    assert "n = 1" in verdict(Subject("one", [one]), Subject("two", [two]), metric="acc").reason
    asked = verdict(Subject("one", [one]), Subject("two", [two]), metric="acc", test="mcnemar")
    assert "no predictions.csv" in asked.reason
    many = verdict(group("a", LOW), group("b", HIGH), test="mcnemar")
    assert "one run" in many.reason


def test_predictions_of_other_examples_or_other_truth_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="same examples"):
        discordance(predictions([True]), predictions([True, True]))
    with pytest.raises(InvalidValueError, match="what is right"):
        discordance(Predictions({0: "a"}, {0: True}), Predictions({0: "b"}, {0: True}))


@pytest.mark.parametrize(
    "file, content",
    [
        ("predictions.csv", b"id,y_true,y_pred,p\n7,1,1.0,0.5\n9,2,1,0.4\n"),
        ("predictions.json", b'[{"id": 7, "y_true": 1, "y_pred": 1.0}, {"id": 9, "y_true": 2, "y_pred": 1}]'),
    ],
)
def test_predictions_are_read_from_tables(file: str, content: bytes) -> None:
    found = parse(file, content)
    assert found.is_right == {"7": True, "9": False}


def test_without_ids_the_order_counts() -> None:
    found = parse("predictions.csv", b'y_pred,y_true\ncat,cat\n"d,og","d,og"\nx,y\n')
    assert found.is_right == {"0": True, "1": True, "2": False}


@pytest.mark.parametrize(
    "file, content",
    [
        ("predictions.csv", b""), ("predictions.csv", b"a,b\n1,2\n"), ("predictions.csv", b"y_true,y_pred\n1\n"),
        ("predictions.csv", b"id,y_true,y_pred\n1,1,1\n1,1,1\n"), ("predictions.csv", b"\xff\xfe\x00"),
        ("predictions.csv", b"y_true,y_pred\n" + b"x" * 200_000), ("predictions.json", b"{}"), ("predictions.json", b"[1, 2]"),
        ("predictions.json", b"[" * 100_000), ("predictions.json", b'[{"y_true": 1, "y_pred": 1}, {}]'),
        ("predictions.json", b"\x80"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_predictions_is_refused(file: str, content: bytes) -> None:
    with pytest.raises(InvalidValueError):
        parse(file, content)
