"""Curves that a fitted estimator has: one point an iteration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from mlops_sdk.integrations.sklearn.describing import is_a

_ATTRIBUTES = {
    "loss_curve_": "train_loss",  # multilayer perceptrons
    "validation_scores_": "validation_score",
    "train_score_": "train_score",  # boosting; for GradientBoosting the loss, for HistGradientBoosting what it watched
    "validation_score_": "validation_score",
    "oob_scores_": "oob_score",
    "oob_improvement_": "oob_improvement",
    "lower_bounds_": "lower_bound",  # mixtures
    "errors_": "train_error",
    "cost_": "cost",
}
_MAX_POINTS = 10_000
_MAX_STAGES_S = 1.0


def curves_of(estimator: Any) -> Iterator[tuple[str, list[float]]]:
    """Names and values of the curves of an estimator, in the order of its iterations."""
    for attribute, name in _ATTRIBUTES.items():
        values = _as_curve(getattr(estimator, attribute, None))
        if values:
            yield name, values
    for name, values in _evaluation_history(estimator):
        if curve := _as_curve(values):
            yield name, curve


def _evaluation_history(estimator: Any) -> Iterator[tuple[str, Any]]:
    """What boosting libraries kept of their evaluation sets: ``{"valid_0": {"auc": [...]}}``."""
    history = getattr(estimator, "evals_result_", None)  # LightGBM, and CatBoost
    if not isinstance(history, dict) and type(estimator).__module__.startswith("xgboost."):
        try:
            history = estimator.evals_result()
        except Exception:  # noqa: BLE001 - it raises where there was no evaluation set
            return
    if isinstance(history, dict):
        for data, metrics in history.items():
            for metric, values in metrics.items() if isinstance(metrics, dict) else ():
                yield f"{data}_{metric}", values


def _as_curve(values: Any) -> list[float]:
    import numpy as np

    if values is None or isinstance(values, (str, bytes, dict)):
        return []
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        return []
    return array[:_MAX_POINTS].tolist() if array.ndim == 1 and array.size > 1 else []


def stages_of(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> Iterator[tuple[str, list[float]]]:
    """How good the predictions are after each stage of boosting: accuracy, or the mean squared error.

    Notes
    -----
    The curve ends where it has taken a second.
    """
    import numpy as np

    if y is None or getattr(y, "ndim", 1) != 1 or not hasattr(estimator, "staged_predict"):
        return
    is_class = is_a("classifier", estimator)
    truth, values, until_s = np.asarray(y), [], time.monotonic() + _MAX_STAGES_S
    for predicted in estimator.staged_predict(X):
        off = (predicted == truth) if is_class else (predicted - truth) ** 2
        values.append(float(np.average(off, weights=sample_weight)))
        if time.monotonic() > until_s or len(values) >= _MAX_POINTS:
            break
    if len(values) > 1:
        yield "accuracy" if is_class else "mean_squared_error", values
