"""Figures that fit the task, drawn without `pyplot`: the user's own figures and backend stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlops_sdk.integrations.sklearn.describing import is_a

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_CLASSES = 50

Figures = Iterator[tuple[str, "Figure"]]


def figures_of(estimator: Any, X: Any, y: Any) -> Figures:
    """Names and figures: confusion matrix, ROC, precision and recall, calibration; residuals of a regression."""
    if y is None or getattr(y, "ndim", 1) > 1:
        return
    if is_a("classifier", estimator):
        yield from _of_classifier(estimator, X, y)
    elif is_a("regressor", estimator):
        yield "residuals", _residuals(y, estimator.predict(X))


def _axes(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def _of_classifier(estimator: Any, X: Any, y: Any) -> Figures:
    from sklearn import metrics
    from sklearn.calibration import calibration_curve

    labels = list(getattr(estimator, "classes_", []))
    if 1 < len(labels) <= _MAX_CLASSES:
        yield "confusion_matrix", _confusion(metrics.confusion_matrix(y, estimator.predict(X), labels=labels), labels)
    if len(labels) != 2 or not hasattr(estimator, "predict_proba"):
        return
    positive = estimator.predict_proba(X)[:, 1]
    truth = [label == labels[1] for label in y]
    fpr, tpr, _ = metrics.roc_curve(truth, positive)
    yield "roc", _line(fpr, tpr, "false positive rate", "true positive rate", [0, 1])
    precision, recall, _ = metrics.precision_recall_curve(truth, positive)
    yield "precision_recall", _line(recall, precision, "recall", "precision", None)
    observed, predicted = calibration_curve(truth, positive, n_bins=10, strategy="quantile")
    yield "calibration", _line(predicted, observed, "predicted probability", "observed fraction", [0, 1])


def _confusion(matrix: Any, labels: list[Any]) -> Figure:
    figure, axes = _axes("predicted", "true")
    axes.imshow(matrix, cmap="Blues")
    axes.set_xticks(range(len(labels)), [str(label) for label in labels])
    axes.set_yticks(range(len(labels)), [str(label) for label in labels])
    middle = matrix.max() / 2
    if len(labels) <= 20:
        for i, row in enumerate(matrix.tolist()):
            for j, count in enumerate(row):
                axes.text(j, i, str(count), ha="center", va="center", color="white" if count > middle else "black")
    return figure


def _line(x: Any, y: Any, x_label: str, y_label: str, diagonal: list[int] | None) -> Figure:
    figure, axes = _axes(x_label, y_label)
    if diagonal:
        axes.plot(diagonal, diagonal, color="0.7", linewidth=1)
    axes.plot(x, y)
    return figure


def _residuals(y: Any, predicted: Any) -> Figure:
    import numpy as np

    figure, axes = _axes("predicted", "true - predicted")
    axes.axhline(0, color="0.7", linewidth=1)
    axes.scatter(predicted, np.asarray(y) - np.asarray(predicted), s=8)
    return figure
