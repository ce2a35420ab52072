"""Metrics of several outputs at once: multilabel targets, and one metric an output where there are several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

_MOST_OUTPUTS = 20

Pairs = Iterator[tuple[str, Callable[[], Any]]]


def names_of(y: Any) -> list[str]:
    """Names of the outputs: columns of a frame, else their numbers."""
    columns = getattr(y, "columns", None)
    names = range(y.shape[1]) if columns is None else columns
    return [str(name) for name in names]


def of_labels(y: Any, predicted: Any, scores: Any, sample_weight: Any) -> Pairs:
    """Of a multilabel target: how many labels are wrong, how much the sets overlap, how labels are ranked."""
    from sklearn import metrics

    weight = {"sample_weight": sample_weight}
    yield "hamming_loss", lambda: metrics.hamming_loss(y, predicted, **weight)
    yield "jaccard", lambda: metrics.jaccard_score(y, predicted, average="samples", zero_division=0, **weight)
    for average in ("micro", "macro"):
        yield (
            f"f1_{average}",
            partial(metrics.f1_score, y, predicted, average=average, zero_division=0, **weight),
        )
    if scores is not None:
        yield (
            "label_ranking_average_precision",
            lambda: metrics.label_ranking_average_precision_score(y, scores, **weight),
        )
        yield "label_ranking_loss", lambda: metrics.label_ranking_loss(y, scores, **weight)
        yield "coverage_error", lambda: metrics.coverage_error(y, scores, **weight)


def of_classes(y: Any, predicted: Any, sample_weight: Any) -> Pairs:
    """Of several outputs that are classes: the mean accuracy, all outputs right, and each output's accuracy."""
    import numpy as np

    right = np.asarray(y) == np.asarray(predicted)

    def mean(hits: Any) -> Any:
        return np.average(hits, weights=sample_weight)

    yield "accuracy", lambda: np.mean([mean(right[:, i]) for i in range(right.shape[1])])
    yield "exact_match", lambda: mean(right.all(axis=1))
    for i, name in enumerate(names_of(y)[:_MOST_OUTPUTS]):
        yield f"accuracy/{name}", partial(mean, right[:, i])


def of_numbers(y: Any, predicted: Any, sample_weight: Any) -> Pairs:
    """Of several outputs that are numbers: each one's r2."""
    import numpy as np
    from sklearn import metrics

    truth, guess = np.asarray(y), np.asarray(predicted)
    for i, name in enumerate(names_of(y)[:_MOST_OUTPUTS]):
        yield f"r2/{name}", partial(metrics.r2_score, truth[:, i], guess[:, i], sample_weight=sample_weight)
