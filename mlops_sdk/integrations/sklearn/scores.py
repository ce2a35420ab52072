"""Metrics that fit the task, from what the estimator predicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

from mlops_sdk.integrations.sklearn import outputs, ranking
from mlops_sdk.integrations.sklearn.describing import attribute, final_of, is_a

MODES = {
    "accuracy": "max", "precision": "max", "recall": "max", "f1": "max", "roc_auc": "max", "log_loss": "min",
    "r2": "max", "mean_squared_error": "min", "root_mean_squared_error": "min", "mean_absolute_error": "min",
    "silhouette": "max", "calinski_harabasz": "max", "davies_bouldin": "min", "adjusted_rand": "max",
    "adjusted_mutual_info": "max", "brier": "min", "inertia": "min", "aic": "min", "bic": "min",
}  # fmt: skip
_SMALLER_IS_BETTER = ("loss", "error", "deviance", "bouldin", "coverage", "brier", "inertia")
_MAX_SILHOUETTE_ROWS = 2_000
_PROBE_ROWS = 200
_MAX_EXTRA_S = 1.0

Scores = dict[str, float]


def mode_of(name: str) -> Literal["max", "min"]:
    """Whether more or less of a metric is better, by its name."""
    if name in MODES:
        return "max" if MODES[name] == "max" else "min"
    is_loss = not name.startswith("neg_") and any(word in name for word in _SMALLER_IS_BETTER)
    return "min" if is_loss else "max"


def would_take_long(estimator: Any, X: Any, fit_s: float) -> bool:
    """Whether predicting all rows would take more than a second and than the fit, judged from the first rows."""
    n_rows = n_samples(X)
    if n_rows <= 10 * _PROBE_ROWS or not hasattr(estimator, "predict"):
        return False
    head = rows(X, _PROBE_ROWS)
    started = time.perf_counter()
    estimator.predict(head)
    predict_s = (time.perf_counter() - started) * n_rows / _PROBE_ROWS
    return predict_s > max(_MAX_EXTRA_S, fit_s)


def n_samples(X: Any) -> int:
    """Number of rows; 0 when it cannot be told."""
    shape = getattr(X, "shape", None)
    if isinstance(shape, tuple) and shape:
        return int(shape[0])
    return len(X) if hasattr(X, "__len__") else 0


def rows(X: Any, n: int) -> Any:
    """The first rows."""
    return X.iloc[:n] if hasattr(X, "iloc") else X[:n]


def scores_of(estimator: Any, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Scores:
    """Metrics of an estimator on data.

    Parameters
    ----------
    estimator : fitted estimator
    X : data of shape (n_samples, n_features)
    y : array of shape (n_samples,) or (n_samples, n_outputs), or None
    sample_weight : array of shape (n_samples,), optional
    groups : array of shape (n_samples,), optional
        Of a ranker: the query that each row belongs to.

    Returns
    -------
    dict of str to float
        Empty where no metric fits. A metric that cannot be computed is left out.
    """
    found: Scores = {}
    if attribute(estimator, "cv_results_") is not None and not hasattr(
        estimator, "best_estimator_"
    ):  # a search that did not refit
        return found
    if y is not None and ranking.is_ranker(estimator):
        pairs = ranking.pairs(estimator, X, y, groups)
    elif y is not None and is_a("classifier", estimator):
        pairs = _of_classifier(estimator, X, y, sample_weight)
    elif y is not None and is_a("regressor", estimator):
        pairs = _of_regressor(estimator, X, y, sample_weight)
    elif _is_clusterer(estimator):
        pairs = _of_clusterer(estimator, X, y)
    elif is_a("outlier_detector", estimator):
        pairs = _of_outlier_detector(estimator, X)
    else:
        pairs = _of_anything(estimator, X, y)
    for name, compute in pairs:
        try:
            found[name] = float(compute())
        except Exception:  # noqa: BLE001, S112 - a metric that is not defined for this data is left out
            continue
    return found


Pairs = Iterator[tuple[str, Callable[[], Any]]]


def _is_clusterer(estimator: Any) -> bool:
    kind = final_of(estimator)
    return getattr(kind, "_estimator_type", None) == "clusterer" or (
        hasattr(kind, "fit_predict") and hasattr(kind, "labels_")
    )


def _of_classifier(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Pairs:
    from sklearn import metrics
    from sklearn.utils.multiclass import type_of_target

    predicted = estimator.predict(X)
    weight = {"sample_weight": sample_weight}
    kind = type_of_target(y)
    if kind == "multiclass-multioutput":
        yield from outputs.of_classes(y, predicted, sample_weight)
        return
    yield "accuracy", lambda: metrics.accuracy_score(y, predicted, **weight)
    means = metrics.precision_recall_fscore_support(y, predicted, average="weighted", zero_division=0, **weight)
    for name, value in zip(("precision", "recall", "f1"), means[:3], strict=True):
        yield name, partial(float, value)
    scores, probabilities = _class_scores(estimator, X)
    if kind == "multilabel-indicator":
        yield from outputs.of_labels(y, predicted, scores, sample_weight)
    else:
        yield "balanced_accuracy", lambda: metrics.balanced_accuracy_score(y, predicted, **weight)
    if scores is not None:
        yield "roc_auc", lambda: metrics.roc_auc_score(y, scores, average="weighted", multi_class="ovr", **weight)
    if kind == "binary" and scores is not None:
        positive = estimator.classes_[-1]
        yield "average_precision", lambda: metrics.average_precision_score(y, scores, pos_label=positive, **weight)
    if probabilities is not None:
        labels = getattr(estimator, "classes_", None)
        yield "log_loss", lambda: metrics.log_loss(y, probabilities, labels=labels, **weight)
        if kind == "binary":
            yield "brier", lambda: metrics.brier_score_loss(y, scores, pos_label=labels[-1], **weight)  # type: ignore[index]


def _class_scores(estimator: Any, X: Any) -> tuple[Any, Any]:
    """What ROC needs, and probabilities where the estimator has them."""
    import numpy as np

    for method in ("predict_proba", "decision_function"):
        if not hasattr(estimator, method):
            continue
        try:
            found = getattr(estimator, method)(X)
        except Exception:  # noqa: BLE001, S112 - some have the method and refuse to answer
            continue
        if isinstance(found, list):  # one array an output: the positive class of each
            return (
                np.column_stack([each[:, -1] for each in found]) if all(e.shape[1] == 2 for e in found) else None
            ), None
        is_probability = method == "predict_proba"
        scores = found[:, 1] if found.ndim == 2 and found.shape[1] == 2 and is_probability else found
        return scores, found if is_probability else None
    return None, None


def _of_regressor(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Pairs:
    from sklearn import metrics

    predicted = estimator.predict(X)
    weight = {"sample_weight": sample_weight}
    yield "r2", lambda: metrics.r2_score(y, predicted, **weight)
    yield "mean_squared_error", lambda: metrics.mean_squared_error(y, predicted, **weight)
    yield "root_mean_squared_error", lambda: metrics.mean_squared_error(y, predicted, **weight) ** 0.5
    yield "mean_absolute_error", lambda: metrics.mean_absolute_error(y, predicted, **weight)
    yield "median_absolute_error", lambda: metrics.median_absolute_error(y, predicted, **weight)
    if getattr(y, "ndim", 1) == 2 and y.shape[1] > 1:
        yield from outputs.of_numbers(y, predicted, sample_weight)


def _of_clusterer(estimator: Any, X: Any, y: Any) -> Pairs:
    import numpy as np
    from sklearn import metrics

    final = final_of(estimator)
    labels = getattr(final, "labels_", None)
    labels = estimator.predict(X) if labels is None or len(labels) != n_samples(X) else labels
    n_clusters = len(set(np.unique(labels).tolist()) - {-1})
    yield "n_clusters", lambda: n_clusters
    if -1 in labels:
        yield "noise_fraction", lambda: np.mean(np.asarray(labels) == -1)
    if n_clusters > 1 and getattr(final, "metric", None) != "precomputed":
        size = min(_MAX_SILHOUETTE_ROWS, n_samples(X))
        yield "silhouette", lambda: metrics.silhouette_score(X, labels, sample_size=size, random_state=0)
        yield "calinski_harabasz", lambda: metrics.calinski_harabasz_score(X, labels)
        yield "davies_bouldin", lambda: metrics.davies_bouldin_score(X, labels)
    if hasattr(final, "inertia_"):
        yield "inertia", lambda: final.inertia_
    if y is not None:
        yield "adjusted_rand", lambda: metrics.adjusted_rand_score(y, labels)
        yield "adjusted_mutual_info", lambda: metrics.adjusted_mutual_info_score(y, labels)


def _of_outlier_detector(estimator: Any, X: Any) -> Pairs:
    import numpy as np

    if hasattr(estimator, "predict"):
        yield "outlier_fraction", lambda: np.mean(np.asarray(estimator.predict(X)) == -1)


def _of_anything(estimator: Any, X: Any, y: Any) -> Pairs:
    if hasattr(estimator, "score") and attribute(estimator, "cv_results_") is None:
        yield "score", lambda: estimator.score(X, y) if y is not None else estimator.score(X)
    for name in ("aic", "bic"):  # mixtures
        if callable(getattr(estimator, name, None)):
            yield name, partial(getattr(estimator, name), X)
