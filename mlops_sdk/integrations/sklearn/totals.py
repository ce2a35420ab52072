"""How many fits a search or a cross-validation will make, without starting anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def of_search(search: Any, data: Mapping[str, Any]) -> int | None:
    """Candidates times folds; None where only the search itself knows: halving, and those of other libraries."""
    from sklearn.model_selection import GridSearchCV, ParameterGrid, RandomizedSearchCV

    n_folds = _n_folds(getattr(search, "cv", None), data, getattr(search, "estimator", None))
    if n_folds is None:
        return None
    if isinstance(search, GridSearchCV):
        return len(ParameterGrid(search.param_grid)) * n_folds
    if isinstance(search, RandomizedSearchCV):
        return _n_samples(search) * n_folds
    n_trials = getattr(search, "n_trials", None)
    return n_trials * n_folds if isinstance(n_trials, int) and hasattr(type(search), "trials_") else None


def _n_samples(search: Any) -> int:
    """A random search of lists alone draws no candidate twice."""
    from sklearn.model_selection import ParameterGrid

    spaces = search.param_distributions
    spaces = [spaces] if isinstance(spaces, Mapping) else list(spaces)
    if any(hasattr(values, "rvs") for space in spaces for values in space.values()):
        return int(search.n_iter)
    return min(int(search.n_iter), len(ParameterGrid(spaces)))


def of_validation(kind: str, given: Mapping[str, Any]) -> int | None:
    """Fits of a function of `sklearn.model_selection`."""
    n_folds = _n_folds(given.get("cv"), given, given.get("estimator"))
    if n_folds is None:
        return None
    if kind in ("cross_validate", "cross_val_score", "cross_val_predict"):
        return n_folds
    if kind == "validation_curve":
        return n_folds * len(given["param_range"])
    if kind == "permutation_test_score":
        return int(given.get("n_permutations", 100))
    return None


def _n_folds(cv: Any, data: Mapping[str, Any], estimator: Any) -> int | None:
    """Folds of a number or a splitter; an iterable of splits is not touched, for it may be read once only."""
    from sklearn.base import is_classifier
    from sklearn.model_selection import check_cv

    if cv is not None and not isinstance(cv, int) and not hasattr(cv, "get_n_splits"):
        return len(cv) if isinstance(cv, (list, tuple)) else None
    groups = data.get("groups")
    checked = check_cv(cv, data.get("y"), classifier=estimator is not None and is_classifier(estimator))
    return int(checked.get_n_splits(data.get("X"), data.get("y"), groups))
