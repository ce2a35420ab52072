"""Methodology checks: each one is raised by the mistake that it names, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import mlops_sdk
from mlops_sdk import Run
from mlops_sdk.integrations.sklearn import checks

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
TREE = DecisionTreeClassifier(max_depth=2, random_state=0)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with mlops_sdk.start_run(tracking_uri=tmp_path, capture=False, system_metrics=False) as run:
        yield run
    assert run.health()["errors"] == {}, run.health()["messages"]


def _found(run: Run) -> dict[str, str]:
    return {each["cause"]: each["message"] for each in run.warnings}


def _tracked(run: Run, **options: Any) -> Any:
    return run.sklearn(log_models=False, log_datasets=False, training_metrics=False, **options)


def test_sound_work_has_no_findings(run: Run) -> None:
    with _tracked(run):
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X_train, y_train)
        model.score(X_test, y_test)
        accuracy_score(y_test, model.predict(X_test))
        model.score(X_train, y_train)
    assert _found(run) == {}


def test_rows_that_were_trained_on(run: Run) -> None:
    with _tracked(run):
        model = TREE.fit(X, y)
        accuracy_score(y_test, model.predict(X_test))
        model.predict(X_test)
    found = _found(run)
    assert set(found) == {"TestRowsInTraining"}
    assert found["TestRowsInTraining"].startswith("143 of 143 rows")
    assert "https://scikit-learn.org/" in found["TestRowsInTraining"]
    assert [each["count"] for each in run.warnings] == [1]


def test_a_pair_of_data_sets_given_to_fit_is_checked_too(run: Run) -> None:
    run.fit(TREE, X, y, validation=(X_test, y_test))
    assert "TestRowsInTraining" in _found(run)


def test_data_that_repeats_rows_by_itself_shares_some_by_chance() -> None:
    few = np.random.default_rng(0).integers(0, 3, (200, 2))
    assert list(checks.rows_shared(few[:100], few[100:])) == []
    assert list(checks.rows_shared(X[:300], X[290:400])) != []


def test_rows_are_told_by_value() -> None:
    data = np.array([[0.0, 1.0], [2.0, 3.0], [1.0, 0.0]])
    hashes = checks.row_hashes(data)
    assert len(set(hashes.tolist())) == 3, "columns that are swapped are another row"
    assert (checks.row_hashes(data.astype(np.float32)) == hashes).all()
    assert (checks.row_hashes(-data * [[-1.0, -1.0]]) == hashes).all(), "-0.0 is 0.0"
    assert checks.row_hashes(np.array([["a", 1], ["b", 2]], dtype=object)).shape == (2,)


def test_a_scaler_fitted_before_the_split(run: Run) -> None:
    with _tracked(run):
        scaled = StandardScaler().fit_transform(X)
        a, b, c, d = train_test_split(scaled, y, random_state=0)
        LogisticRegression().fit(a, c).score(b, d)
    found = _found(run)
    assert set(found) == {"PreparedBeforeSplit"}
    assert found["PreparedBeforeSplit"].startswith("StandardScaler was fitted on rows")


def test_a_scaler_fitted_before_a_cross_validation(run: Run) -> None:
    with _tracked(run):
        cross_val_score(LogisticRegression(), StandardScaler().fit_transform(X), y)
    assert set(_found(run)) == {"PreparedBeforeSplit"}


def test_a_scaler_fitted_on_training_rows_is_sound(run: Run) -> None:
    with _tracked(run):
        scaler = StandardScaler()
        model = LogisticRegression().fit(scaler.fit_transform(X_train), y_train)
        model.score(scaler.transform(X_test), y_test)
    assert _found(run) == {}


@pytest.mark.parametrize(
    "model, target",
    [(TREE, y), (TREE, np.array(["no", "yes"])[y]), (Ridge(), X[:, 3] * 2.0 + 1.0)],
    ids=["class", "name of class", "line"],
)
def test_the_target_among_the_features(run: Run, model: Any, target: Any) -> None:
    features = np.c_[X[:, :3], y if model is TREE else X[:, 3]]
    with _tracked(run):
        model.fit(features, target)
    assert _found(run)["TargetAmongFeatures"].startswith("the target can be read off column 3")


def test_a_search_that_ends_at_the_edge(run: Run) -> None:
    with _tracked(run):
        GridSearchCV(TREE, {"max_depth": [2, 3, 4], "min_samples_leaf": [1, 5]}, cv=3).fit(X, y)
    depth = run.params["best.max_depth"]
    assert ("BestParamAtEdge" in _found(run)) == (depth != 3)
    assert list(checks.best_at_edge({"C": [1, 2, 3]}, {"C": 2})) == []
    assert list(checks.best_at_edge({"C": [1, 2]}, {"C": 2})) == [], "two values are all edge"
    assert list(checks.best_at_edge({"l1_ratio": [0, 0.5, 1]}, {"l1_ratio": 1})) == [], "nothing lies beyond"
    assert list(checks.best_at_edge({"leaf": [1, 2, 3]}, {"leaf": 1})) == [], "a count"
    (finding,) = checks.best_at_edge([{"k": ["a"]}, {"C": [1, 2, 3]}], {"C": 3})
    assert "the greatest of 3 values" in finding.reason


def test_accuracy_where_one_class_is_most_of_the_data(run: Run) -> None:
    rare = np.r_[np.flatnonzero(y == 0)[:20], np.flatnonzero(y == 1)]
    with _tracked(run):
        cross_val_score(TREE, X[rare], y[rare], cv=2)
        cross_val_score(DecisionTreeClassifier(max_depth=3), X[rare], y[rare], cv=2, scoring="balanced_accuracy")
    assert "always answering 1 is right in 94.7%" in _found(run)["MisleadingMetric"]
    (child,) = run.children
    assert not mlops_sdk.get_run(child, tracking_uri=run._recorder.place.uri).warnings


def test_a_shuffle_without_a_seed(run: Run) -> None:
    with _tracked(run):
        parts = train_test_split(X, y)
        TREE.fit(parts[0], parts[2])
    assert _found(run)["UnseededShuffle"].startswith("train_test_split")
    assert [*checks.unseeded(KFold(3, shuffle=True))]
    assert not [
        *checks.unseeded(KFold(3)),
        *checks.unseeded(KFold(3, shuffle=True, random_state=1)),
        *checks.unseeded(5),
    ]


def test_one_option_turns_all_of_them_off(run: Run) -> None:
    with _tracked(run, checks=False):
        parts = train_test_split(np.c_[X, y], y)
        TREE.fit(parts[0], parts[2]).score(parts[0][:50].copy(), parts[2][:50])
    assert _found(run) == {}
