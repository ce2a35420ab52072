"""Every candidate and every fold of a search or a cross-validation, as one table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from mlops_sdk.integrations.sklearn.describing import attribute, plain
from mlops_sdk.integrations.sklearn.splits import Fold

FILE = "cv_results.json"
_SPLIT = re.compile(r"split(\d+)_(train|test)_(.+)")

Table = dict[str, Any]


def is_search(estimator: Any) -> bool:
    """Whether it is a fitted search: scikit-learn's, or anybody's that keeps `cv_results_` or `trials_`."""
    return trials_of(estimator) is not None or (
        isinstance(attribute(estimator, "cv_results_"), dict) and hasattr(estimator, "best_index_")
    )


def searches(estimator: Any) -> bool:
    """Whether fitting it is a search."""
    from sklearn.model_selection._search import BaseSearchCV

    return isinstance(estimator, BaseSearchCV) or _is_of_trials(estimator)


def _is_of_trials(estimator: Any) -> bool:
    """Whether it is a search in optuna's form: a list of trials, each with its params and attributes."""
    return hasattr(type(estimator), "trials_") and hasattr(estimator, "estimator")


def trials_of(estimator: Any) -> list[Any] | None:
    """Trials of a fitted search that keeps trials, in the order they were tried; None of another one."""
    found = attribute(estimator, "trials_") if _is_of_trials(estimator) else None
    return found if isinstance(found, list) and all(hasattr(each, "user_attrs") for each in found) else None


def table_of_trials(search: Any, trials: list[Any], folds: list[list[Fold]]) -> Table:
    """All trials, also those that failed or were pruned: their state is a column, their scores are None."""
    import numpy as np

    names = dict.fromkeys(name for each in trials for name in each.user_attrs if _is_score(name))
    columns: dict[str, list[Any]] = {name: [plain(each.user_attrs.get(name)) for each in trials] for name in names}
    columns["state"] = [getattr(each.state, "name", str(each.state)) for each in trials]
    score = np.array([np.nan if each is None else each for each in columns.get("mean_test_score", [])], dtype=float)
    if len(score):
        ranks = 1 + (score[None, :] > score[:, None]).sum(axis=1)
        columns["rank_test_score"] = [int(r) if np.isfinite(s) else None for r, s in zip(ranks, score, strict=True)]
    best = attribute(search, "best_index_")
    numbers = [each.number for each in trials]
    return {
        "version": 1,
        "kind": type(search).__name__,
        "params": [plain(dict(each.params)) for each in trials],
        "columns": columns,
        "scorers": dict.fromkeys(_scorers(columns), "max"),
        "best_index": numbers.index(best) if best in numbers else None,
        "scoring": plain(getattr(search, "scoring", None)),
        "refit": plain(getattr(search, "refit", None)),
        "folds": _folds(folds[:1]),
    }


def _is_score(name: str) -> bool:
    return bool(_SPLIT.fullmatch(name)) or name.startswith(("mean_", "std_"))


def table_of_search(search: Any, folds: list[list[Fold]]) -> Table:
    """The whole of `cv_results_` as plain data.

    Returns
    -------
    dict
        ``columns`` (candidates in the order they were tried), ``params`` (one mapping a candidate), ``scorers`` (name to
        "max": scikit-learn's scorers are all signed so that more is better), ``best_index``, ``folds``.
    """
    trials = trials_of(search)
    if trials is not None:
        return table_of_trials(search, trials, folds)
    results = search.cv_results_
    columns = {name: _column(values) for name, values in results.items() if name != "params" and _is_kept(name)}
    best = search.best_index_ if isinstance(getattr(search, "best_index_", None), (int, float)) else None
    return {
        "version": 1,
        "kind": type(search).__name__,
        "params": [plain(params) for params in results.get("params", [])],
        "columns": columns,
        "scorers": dict.fromkeys(_scorers(columns), "max"),
        "best_index": plain(search.best_index_) if best is None else int(best),
        "scoring": plain(getattr(search, "scoring", None)),
        "refit": plain(getattr(search, "refit", None)),
        "folds": _folds(folds),
    }


def table_of_validation(kind: str, scores: dict[str, Any], params: dict[str, Any], folds: list[list[Fold]]) -> Table:
    """The scores of one cross-validation, in the form of a search with one candidate."""
    import numpy as np

    columns: dict[str, list[Any]] = {}
    for name, values in scores.items():
        side, _, scorer = name.partition("_")
        if name in ("fit_time", "score_time"):
            columns[f"mean_{name}"] = [float(np.mean(values))]
            columns[f"std_{name}"] = [float(np.std(values))]
        elif side in ("test", "train"):
            columns |= {f"split{i}_{side}_{scorer}": [float(value)] for i, value in enumerate(values)}
            columns[f"mean_{side}_{scorer}"] = [float(np.mean(values))]
            columns[f"std_{side}_{scorer}"] = [float(np.std(values))]
    return {
        "version": 1, "kind": kind, "params": [params], "columns": columns,
        "scorers": dict.fromkeys(_scorers(columns), "max"), "best_index": 0, "folds": _folds(folds),
    }  # fmt: skip


def _is_kept(name: str) -> bool:
    return not name.startswith("param_")  # the same as `params`


def _column(values: Any) -> list[Any]:
    return [plain(value) for value in (values.tolist() if hasattr(values, "tolist") else values)]


def _scorers(columns: Iterable[str]) -> Iterator[str]:
    """Names of the scorers, in the order of the columns."""
    seen = set()
    for column in columns:
        found = _SPLIT.fullmatch(column)
        if found and found[2] == "test" and found[3] not in seen:
            seen.add(found[3])
            yield found[3]


def _folds(folds: list[list[Fold]]) -> list[dict[str, Any]]:
    """Folds of the first splitting; a halving search splits anew in each iteration, `iteration` tells them apart."""
    return [
        {"iteration": iteration, "fold": number, **fold._asdict()}
        for iteration, used in enumerate(folds)
        for number, fold in enumerate(used)
    ]


def split_scores(table: Table, index: int, scorer: str) -> list[float]:
    """Scores of one candidate on the test side of each fold; folds that it was not tried on are left out."""
    found = []
    for column, values in table["columns"].items():
        match = _SPLIT.fullmatch(column)
        if match and match[2] == "test" and match[3] == scorer and isinstance(values[index], (int, float)):
            found.append((int(match[1]), float(values[index])))
    return [value for _, value in sorted(found)]
