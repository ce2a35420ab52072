"""What tracking adds to scikit-learn: a grid search inside ``run.sklearn()``, a small fit under ``autolog()``."""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlops_sdk
from benchmarks.workloads import Row, scratch

_PEER = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlops_sdk-bench" / "mlflow" / "bin" / "python"
)
"""Where `make bench-peers` installs mlflow; without it mlflow's rows are left out."""


def grid_search(pairs: int = 5) -> list[Row]:
    """100 candidates x 5 folds of a tree on digits, n_jobs=2, with and without tracking in turn."""
    with scratch() as path:
        plain, tracked = [], []
        search = _search()
        search()  # the workers start, and the modules load
        with mlops_sdk.start_run(tracking_uri=path / "store") as run, run.sklearn():
            search()
        for _ in range(pairs):
            plain.append(_seconds(search))
            tracked.append(_seconds(lambda: _tracked(search, path / "store")))
        base, added = statistics.median(plain), statistics.median(b - a for a, b in zip(plain, tracked, strict=True))
    allowed = max(0.05 * base, 0.05)
    what = f"GridSearchCV of 100 candidates x 5 folds ({base:.1f} s) inside run.sklearn(), start and finish included"
    rows = [Row(what, f"{added * 1e3:+.0f} ms ({added / base:+.1%})", f"<= {allowed * 1e3:.0f} ms", added <= allowed)]
    return rows + _beside("grid", "the same under mlflow.sklearn.autolog()")


def _search() -> Callable[[], Any]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV
    from sklearn.tree import DecisionTreeClassifier

    X, y = load_digits(return_X_y=True)
    grid = {"max_depth": range(2, 12), "min_samples_leaf": range(1, 11)}
    return lambda: GridSearchCV(DecisionTreeClassifier(random_state=0), grid, cv=5, n_jobs=2).fit(X, y)


def _tracked(search: Callable[[], Any], uri: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=uri) as run, run.sklearn():
        search()


def small_fit(n: int = 15) -> list[Row]:
    """LogisticRegression on iris under `autolog`: a run for each fit; what the caller waits for beyond the pickle."""
    import joblib
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    X, y = load_iris(return_X_y=True)

    def fit() -> Any:
        return LogisticRegression(max_iter=500).fit(X, y)

    with scratch() as path:
        mlops_sdk.set_tracking_uri(path / "store")
        plain, tracked = [], []
        pickled = min(_seconds(lambda: joblib.dump(fit(), io.BytesIO())) - _seconds(fit) for _ in range(5))
        for _ in range(n):
            plain.append(_seconds(fit))
            mlops_sdk.autolog()
            tracked.append(_seconds(fit))
            mlops_sdk.autolog(disable=True)
        mlops_sdk.set_tracking_uri(None)
    added = 1e3 * (statistics.median(tracked[2:]) - statistics.median(plain[2:]) - max(0.0, pickled))
    what = f"LogisticRegression on iris under autolog(): added to a fit of {1e3 * statistics.median(plain):.0f} ms"
    rows = [Row(what, f"{added:.0f} ms (the first: {1e3 * tracked[0]:.0f} ms)", "<= 60 ms", added <= 60)]
    return rows + _beside("fit", "the same under mlflow.sklearn.autolog()")


def _seconds(call: Callable[[], object]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.perf_counter()
        call()
        return time.perf_counter() - began


def _beside(what: str, said: str) -> list[Row]:
    """mlflow's row, measured the same way in its own environment."""
    if not _PEER.exists():
        return []
    with scratch() as path:
        done = subprocess.run(
            [str(_PEER), "-m", "benchmarks.estimators_mlflow", what],
            env=os.environ
            | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "BENCH_STORE": str(path)}
            | {"PYTHONPATH": str(Path(__file__).parents[1])},
            cwd=path,  # mlflow makes its directories where it is
            capture_output=True,
            text=True,
            timeout=300,
        )
    figure = done.stdout.strip().splitlines()[-1] if done.returncode == 0 else f"failed: {done.stderr.strip()[-80:]}"
    return [Row(said, figure, "", None)]
