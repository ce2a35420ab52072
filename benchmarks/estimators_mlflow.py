"""mlflow's autolog on the work of `benchmarks.estimators`; run by the interpreter that has mlflow, prints one figure."""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings

import mlflow
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier


def _seconds(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _measure(call, pairs):
    """Medians of `call` without and of what autolog adds."""
    call()
    plain, tracked = [], []
    for _ in range(pairs):
        mlflow.sklearn.autolog(disable=True, silent=True)
        plain.append(_seconds(call))
        mlflow.sklearn.autolog(silent=True)
        tracked.append(_seconds(call))
    base = statistics.median(plain)
    return base, statistics.median(tracked) - base


def main(what: str) -> None:
    """Print what tracking adds to the work called `what`."""
    warnings.simplefilter("ignore")
    mlflow.set_tracking_uri(f"sqlite:///{os.environ['BENCH_STORE']}/mlflow.db")
    mlflow.set_experiment("bench")
    if what == "grid":
        X, y = load_digits(return_X_y=True)
        grid = {"max_depth": range(2, 12), "min_samples_leaf": range(1, 11)}
        base, added = _measure(
            lambda: GridSearchCV(DecisionTreeClassifier(random_state=0), grid, cv=5, n_jobs=2).fit(X, y), 2
        )
    else:
        X, y = load_iris(return_X_y=True)
        base, added = _measure(lambda: LogisticRegression(max_iter=500).fit(X, y), 3)
    print(f"{added * 1e3:+.0f} ms ({added / base:+.1%}), mlflow {mlflow.__version__}")


main(sys.argv[1])
