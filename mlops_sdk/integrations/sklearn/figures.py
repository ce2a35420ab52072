"""Figures that fit the task, drawn without `pyplot`: the user's own figures and backend stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlops_sdk.integrations.sklearn.describing import is_a
from mlops_sdk.plots.axes import dress, plain
from mlops_sdk.plots.palette import GREY, PALETTE, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_CLASSES = 50
_MAX_CURVES = 12
_BINS = 10

Figures = Iterator[tuple[str, "Figure"]]


def figures_of(estimator: Any, X: Any, y: Any) -> Figures:
    """Names and figures: confusion matrix, ROC, precision and recall, calibration; residuals of a regression."""
    if y is None or getattr(y, "ndim", 1) > 1:
        return
    if is_a("classifier", estimator):
        yield from _of_classifier(estimator, X, y)
    elif is_a("regressor", estimator):
        yield "residuals", _residuals(y, estimator.predict(X))


def _new_figure(width: float, height: float) -> Figure:
    from mlops_sdk.plots.axes import new_figure

    return new_figure(width, height)


def _axes(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = _new_figure(5, 4)
    axes = figure.add_subplot()
    dress(axes, x=x_label, y=y_label)
    return figure, axes


def _of_classifier(estimator: Any, X: Any, y: Any) -> Figures:
    from sklearn import metrics

    labels = list(getattr(estimator, "classes_", []))
    if 1 < len(labels) <= _MAX_CLASSES:
        yield "confusion_matrix", _confusion(metrics.confusion_matrix(y, estimator.predict(X), labels=labels), labels)
    if not hasattr(estimator, "predict_proba"):
        return
    if len(labels) == 2:
        truth = [label == labels[1] for label in y]
        yield from _of_positive(truth, estimator.predict_proba(X)[:, 1])
    elif 2 < len(labels) <= _MAX_CURVES:
        yield from _one_against_rest(estimator.predict_proba(X), y, labels)


def _of_positive(truth: Any, positive: Any) -> Figures:
    """Curves of the positive class."""
    from sklearn import metrics

    fpr, tpr, _ = metrics.roc_curve(truth, positive)
    figure = _line(fpr, tpr, "false positive rate", "true positive rate", [0, 1])
    figure.axes[0].set_title(f"area under the curve {metrics.auc(fpr, tpr):.3f}", fontsize="medium")
    yield "roc", figure
    precision, recall, _ = metrics.precision_recall_curve(truth, positive)
    figure = _line(recall, precision, "recall", "precision", None)
    share = sum(truth) / len(truth)
    figure.axes[0].axhline(share, color=GREY, linewidth=1, linestyle=":")
    figure.axes[0].set_title(
        f"average precision {metrics.average_precision_score(truth, positive):.3f}; by chance {share:.3f}",
        fontsize="medium",
    )
    figure.axes[0].set_ylim(0, 1.03)
    yield "precision_recall", figure
    yield "calibration", _calibration(truth, positive)


def _one_against_rest(probabilities: Any, y: Any, labels: list[Any]) -> Figures:
    """ROC of each class against the others."""
    from sklearn import metrics

    figure, axes = _axes("false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    for i, label in enumerate(labels):
        truth = [each == label for each in y]
        if not 0 < sum(truth) < len(truth):
            continue
        fpr, tpr, _ = metrics.roc_curve(truth, probabilities[:, i])
        drawn = look(i)
        axes.plot(
            fpr, tpr, color=drawn.colour, linestyle=drawn.dash, label=f"{plain(label, 20)}: {metrics.auc(fpr, tpr):.3f}"
        )
    axes.legend(title="class: area", frameon=False, fontsize="small", loc="lower right")
    yield "roc", figure


def _calibration(truth: Any, positive: Any) -> Figure:
    """What is observed against what was predicted, with 95 % intervals, and below how often each was predicted."""
    import numpy as np

    hits, predicted = np.asarray(truth, dtype=float), np.asarray(positive, dtype=float)
    order = np.argsort(predicted, kind="stable")
    bins = [each for each in np.array_split(order, min(_BINS, max(len(order) // 5, 1))) if len(each)]
    x = np.array([predicted[each].mean() for each in bins])
    y = np.array([hits[each].mean() for each in bins])
    low, high = _wilson(y, np.array([len(each) for each in bins]))
    figure = _new_figure(5, 5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    above.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    above.errorbar(
        x, y, yerr=[np.clip(y - low, 0, 1), np.clip(high - y, 0, 1)], fmt="o-", color=PALETTE[0], capsize=2, linewidth=1
    )
    dress(above, y="observed fraction")
    below.hist(predicted, bins=20, range=(0, 1), color=PALETTE[0])
    dress(below, x="predicted probability", y="rows")
    return figure


def _wilson(share: Any, n: Any) -> tuple[Any, Any]:
    """95 % interval of a fraction, after Wilson: also right near 0 and 1, where the usual one has no width."""
    import numpy as np

    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def _confusion(matrix: Any, labels: list[Any]) -> Figure:
    figure, axes = _axes("predicted", "true")
    axes.grid(visible=False)
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
        axes.plot(diagonal, diagonal, color=GREY, linewidth=1)
    axes.plot(x, y, color=PALETTE[0])
    return figure


def _residuals(y: Any, predicted: Any) -> Figure:
    """Residuals against predictions, and how they are spread."""
    import numpy as np

    left = np.asarray(y, dtype=float) - np.asarray(predicted, dtype=float).reshape(np.shape(y))
    figure = _new_figure(6.5, 4)
    axes, side = figure.subplots(1, 2, sharey=True, width_ratios=[4, 1])
    axes.axhline(0, color=GREY, linewidth=1)
    axes.scatter(predicted, left, s=8, color=PALETTE[0], alpha=0.6, linewidth=0)
    dress(axes, x="predicted", y="true - predicted")
    side.hist(left, bins=30, orientation="horizontal", color=PALETTE[0])
    dress(side, x="rows")
    return figure
