"""Searches and cross-validations, written to a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_sdk.integrations.sklearn import search
from mlops_sdk.integrations.sklearn.describing import changed_params, final_of, plain
from mlops_sdk.integrations.sklearn.evaluating import score_name, scoring_name
from mlops_sdk.integrations.sklearn.splits import Fold
from mlops_sdk.run import active

if TYPE_CHECKING:
    from mlops_sdk.integrations.sklearn.record import Record


def write_search(record: Record, estimator: Any, folds: list[list[Fold]]) -> None:
    """All candidates and folds as one table; the best one as params and metrics; children as asked for."""
    table = search.table_of_search(estimator, folds)
    default = _default_scorer(estimator)
    record.run.log_dict(table, search.FILE)
    index = table["best_index"]
    n_candidates = len(table["params"])
    record.log_metrics({"n_candidates": n_candidates})
    if isinstance(index, int):
        best = {f"best.{name}": value for name, value in table["params"][index].items()}
        record.run.log_params(best)
        for scorer in table["scorers"]:
            write_fold_scores(
                record, default if scorer == "score" else scorer, search.split_scores(table, index, scorer)
            )
        if isinstance(getattr(estimator, "best_score_", None), (int, float)):
            record.log_metrics({"best_score": float(estimator.best_score_)})
    _write_children(record, table, default)


def _default_scorer(estimator: Any) -> str:
    scoring = getattr(estimator, "scoring", None)
    return (
        score_name(final_of(getattr(estimator, "estimator", estimator))) if scoring is None else scoring_name(scoring)
    )


def write_fold_scores(record: Record, scorer: str, values: list[float]) -> None:
    """One point a fold under ``cv_<scorer>``, and mean and standard deviation; what `compare` pairs."""
    import numpy as np

    if not values:
        return
    record.run.define_metric(f"cv_{scorer}", mode="max")
    for fold, value in enumerate(values):
        record.run.log_metric(f"cv_{scorer}", value, fold)
    record.run.define_metric(f"cv_{scorer}_mean", mode="max")
    record.run.log_metrics(
        {f"cv_{scorer}_mean": float(np.mean(values)), f"cv_{scorer}_std": float(np.std(values, ddof=len(values) > 1))}
    )


def _write_children(record: Record, table: search.Table, default: str) -> None:
    wanted = record.options.children
    indices = [*range(len(table["params"]))] if wanted == "all" else []
    if wanted == "best" and isinstance(table["best_index"], int):
        indices = [table["best_index"]]
    for index in indices:
        with active.aside():
            child = record.run.child(f"candidate-{index}", capture=False, system_metrics=False)
        with child:
            child.log_params(table["params"][index])
            for column, values in table["columns"].items():
                if isinstance(values[index], (int, float)) and not column.startswith("split"):
                    child.log_metric(column, values[index])
            for scorer in table["scorers"]:
                for fold, value in enumerate(search.split_scores(table, index, scorer)):
                    child.log_metric(f"cv_{default if scorer == 'score' else scorer}", value, fold)


def write_validation(record: Record, kind: str, given: Mapping[str, Any], result: Any, folds: list[list[Fold]]) -> None:
    """What a function of `sklearn.model_selection` returned."""
    estimator, scoring = given.get("estimator"), given.get("scoring")
    scorer = score_name(final_of(estimator)) if scoring is None else scoring_name(scoring)
    if kind in ("cross_validate", "cross_val_score"):
        scores = {"test_score": result} if kind == "cross_val_score" else result
        table = search.table_of_validation(kind, scores, plain(changed_params(estimator)), folds)
        record.run.log_dict(table, search.FILE)
        for name in table["scorers"]:
            write_fold_scores(record, scorer if name == "score" else name, search.split_scores(table, 0, name))
    elif kind in ("learning_curve", "validation_curve"):
        _write_curve(record, kind, given, result)
    elif kind == "permutation_test_score":
        score, permuted, p_value = result
        record.log_metrics({f"cv_{scorer}_mean": float(score), "permutation_p_value": float(p_value)})
        record.run.log_dict(
            {"score": float(score), "permutation_scores": permuted.tolist(), "p_value": float(p_value)},
            "permutation_test.json",
        )


def _write_curve(record: Record, kind: str, given: Mapping[str, Any], result: Any) -> None:
    is_learning = kind == "learning_curve"
    x = [plain(value) for value in (result[0] if is_learning else given["param_range"])]
    train, test = result[1:3] if is_learning else result[:2]
    table = {
        "x": x,
        "x_name": "n_samples" if is_learning else given["param_name"],
        "train_scores": train.tolist(),
        "test_scores": test.tolist(),
    }
    record.run.log_dict(table, f"{kind}.json")
    for side, values in (("train", train), ("test", test)):
        for position, value in enumerate(values.mean(axis=1).tolist()):
            step = x[position] if is_learning else position
            record.run.log_metric(f"{kind}_{side}_score", value, step)
