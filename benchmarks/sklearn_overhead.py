"""What recording costs around scikit-learn: pairs of the same work with and without it, in turn, in one process."""

from __future__ import annotations

import importlib.util
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import mlops_sdk
from benchmarks.workloads import Row, scratch

_QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}


def overhead(n_candidates: int = 100, n_pairs: int = 2) -> list[Row]:
    """A search on digits, and a tiny fit under autolog; mlflow's autolog beside each where mlflow is installed."""
    with scratch() as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [*_search_rows(path, n_candidates, n_pairs), *_tiny_rows(path)]


def _search_rows(path: Path, n_candidates: int, n_pairs: int) -> list[Row]:
    _searched(2)  # the workers are there
    plain, tracked = [], []
    for _ in range(n_pairs):
        plain.append(_timed(lambda: _searched(n_candidates)))
        tracked.append(_timed(lambda: _tracked_search(path, n_candidates)))
    added = statistics.median(b - a for a, b in zip(plain, tracked, strict=True))
    base = statistics.median(plain)
    limit = max(0.05, 0.05 * base)
    what = f"run.sklearn() around a GridSearchCV of {n_candidates} x 5 fits on digits ({base:.1f} s), n_jobs=2, adds"
    rows = [Row(what, f"{1000 * added:.0f} ms ({100 * added / base:.1f} %)", "<= 5 % or 50 ms", added <= limit)]
    if _has_mlflow():
        _under_mlflow(path, lambda: _searched(2))  # imports, and the tables of its database
        theirs = _timed(lambda: _under_mlflow(path, lambda: _searched(n_candidates))) - base
        figure = f"{1000 * theirs:.0f} ms ({100 * theirs / base:.1f} %)"
        rows.append(Row("mlflow.sklearn.autolog() adds to the same", figure, "beside it", None))
    return rows


def _searched(n_candidates: int) -> Any:
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import GridSearchCV

    grid = {"alpha": np.logspace(-4, 4, n_candidates)}
    return GridSearchCV(RidgeClassifier(), grid, cv=5, n_jobs=2).fit(*load_digits(return_X_y=True))


def _tracked_search(path: Path, n_candidates: int) -> None:
    with mlops_sdk.start_run(tracking_uri=path / "store", **_QUIET) as run:
        with run.sklearn():
            _searched(n_candidates)
        assert len(run.cv_results()) == n_candidates


def _tiny_rows(path: Path, n: int = 15) -> list[Row]:
    """The fit alone counts; of what recording adds, writing the model with joblib is taken off."""
    import io

    import joblib
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    X, y = load_iris(return_X_y=True)

    def fit() -> Any:
        return LogisticRegression(max_iter=500).fit(X, y)

    def recorded() -> float:
        with mlops_sdk.start_run(tracking_uri=path / "tiny", **_QUIET):
            mlops_sdk.autolog()
            try:
                return _timed(fit)
            finally:
                mlops_sdk.autolog(disable=True)

    first = recorded()
    pairs = [(_timed(fit), recorded()) for _ in range(n)]
    written = statistics.median(_timed(lambda: joblib.dump(fit(), io.BytesIO())) - _timed(fit) for _ in range(n))
    base = statistics.median(plain for plain, _ in pairs)
    added = statistics.median(taken - plain for plain, taken in pairs) - max(0.0, written)
    rows = [
        Row("autolog, a LogisticRegression on iris, adds beyond serialising", f"{1000 * added:.1f} ms", "<= 60 ms", added <= 0.06),
        Row("the same, first in the process", f"{1000 * (first - base):.0f} ms", "reported", None),
    ]  # fmt: skip
    if _has_mlflow():
        theirs = statistics.median(_timed(lambda: _under_mlflow(path, fit)) for _ in range(3)) - base
        rows.append(Row("mlflow.sklearn.autolog() adds to the same", f"{1000 * theirs:.0f} ms", "beside it", None))
    return rows


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _has_mlflow() -> bool:
    return importlib.util.find_spec("mlflow") is not None


def _under_mlflow(path: Path, work: Callable[[], object]) -> None:
    import mlflow
    import mlflow.sklearn

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(f"sqlite:///{path}/mlflow.db")
    if mlflow.get_experiment_by_name("bench") is None:
        mlflow.create_experiment("bench", artifact_location=(path / "mlruns").as_uri())
    mlflow.set_experiment("bench")
    mlflow.sklearn.autolog(silent=True)
    try:
        with mlflow.start_run() if mlflow.active_run() is None else nullcontext():
            work()
    finally:
        mlflow.sklearn.autolog(disable=True, silent=True)
