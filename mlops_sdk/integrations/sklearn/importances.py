"""Figures that need more fits or predictions than the user made: permutation importance, and the learning curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_sdk.plots.axes import dress, new_figure, plain
from mlops_sdk.plots.palette import GREY, PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_REPEATS = 10
_MOST_SHOWN = 20
_MOST_ROWS = 2_000
_SIZES = (0.1, 0.325, 0.55, 0.775, 1.0)
_FOLDS = 5
_T_9 = 2.262
"""97.5 % point of Student's distribution of 9 degrees of freedom: of 10 repetitions."""

Table = dict[str, Any]


def permutation_table(estimator: Any, X: Any, y: Any) -> Table:
    """How much worse the score is when a feature is shuffled: mean of 10 repetitions with its 95 % interval.

    Notes
    -----
    Of the first 2,000 rows; always with the same shuffles.
    """
    from sklearn.inspection import permutation_importance

    from mlops_sdk.integrations.sklearn.evaluating import score_name
    from mlops_sdk.integrations.sklearn.scores import rows

    found = permutation_importance(
        estimator, rows(X, _MOST_ROWS), rows(y, _MOST_ROWS), n_repeats=_REPEATS, random_state=0
    )
    half = _T_9 * found.importances.std(axis=1, ddof=1) / _REPEATS**0.5
    names = getattr(X, "columns", range(X.shape[1]))
    return {
        "features": [str(name) for name in names],
        "mean": found.importances_mean.tolist(),
        "low": (found.importances_mean - half).tolist(),
        "high": (found.importances_mean + half).tolist(),
        "n_repeats": _REPEATS,
        "score": score_name(estimator),
    }


def permutation_figure(table: Table) -> Figure:
    """The most important features, the greatest first."""
    order = sorted(range(len(table["mean"])), key=lambda i: table["mean"][i])[-_MOST_SHOWN:]
    figure = new_figure(6, 1.2 + 0.28 * len(order))
    axes = figure.add_subplot()
    for place, i in enumerate(order):
        mean, low, high = table["mean"][i], table["low"][i], table["high"][i]
        axes.plot([low, high], [place, place], color=PALETTE[0], linewidth=2)
        axes.plot(mean, place, "o", color=PALETTE[0])
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_yticks(range(len(order)), [plain(table["features"][i], 30) for i in order])
    more = len(table["mean"]) - len(order)
    axes.set_title(
        f"mean and 95 % interval of {table['n_repeats']} shuffles" + (f"; {more:,} more features" if more else ""),
        fontsize="medium",
    )
    axes.locator_params(axis="x", nbins=5)
    dress(axes, x=f"loss of {table['score']} when shuffled")
    return figure


def learning_table(estimator: Any, X: Any, y: Any) -> Table:
    """Scores of clones fitted on more and more of the data, on five folds."""
    from sklearn.base import clone
    from sklearn.model_selection import learning_curve

    from mlops_sdk.integrations.sklearn.evaluating import score_name

    sizes, train, test, *_ = learning_curve(
        clone(estimator), X, y, train_sizes=_SIZES, cv=_FOLDS, shuffle=True, random_state=0, error_score=float("nan")
    )
    return {
        "x": sizes.tolist(), "x_name": "n_samples", "train_scores": train.tolist(), "test_scores": test.tolist(),
        "score": score_name(estimator),
    }  # fmt: skip


def learning_figure(table: Table) -> Figure:
    """Mean and spread over the folds, of the training side and the test side."""
    import numpy as np

    figure = new_figure(5.5, 4)
    axes = figure.add_subplot()
    x = np.asarray(table["x"])
    for side, colour in (("train", PALETTE[1]), ("test", PALETTE[0])):
        scores = np.asarray(table[f"{side}_scores"], dtype=float)
        mean, std = np.nanmean(scores, axis=1), np.nanstd(scores, axis=1, ddof=1)
        axes.fill_between(x, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)
        axes.plot(x, mean, "o-", color=colour, label=f"{side} (mean, ± standard deviation of folds)")
    axes.legend(frameon=False, fontsize="small", loc="best")
    dress(axes, x="training rows", y=str(table.get("score") or "score"))
    return figure
