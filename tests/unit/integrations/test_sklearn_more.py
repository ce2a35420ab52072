"""Metrics of every kind of task, warnings of workers, searches of other libraries, bars and pictures."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn import metrics
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.svm import SVC

import mlops_sdk
import mlops_sdk.parallel
import mlops_sdk.sklearn
from mlops_sdk import Run
from mlops_sdk.errors import InvalidValueError, NoActiveRunError
from mlops_sdk.integrations.sklearn import bar, ranking, totals

X, y = load_iris(return_X_y=True)
QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        yield run
    assert run.health()["errors"] == {}, run.health()["messages"]


# -- names ---------------------------------------------------------------------------------------------------------------


def test_the_modules_stand_on_the_active_run(run: Run) -> None:
    with mlops_sdk.sklearn.track(log_models=False) as tracked:
        Ridge().fit(X, y)
    assert tracked is run
    assert "train_r2" in run.metrics
    (trial,) = mlops_sdk.parallel.map(lambda a: a + 1, {"a": [1]})
    assert isinstance(trial, mlops_sdk.parallel.Trial)
    assert trial.value == 2


def test_without_a_run_one_is_made_for_the_block(tmp_path: Path) -> None:
    with mlops_sdk.sklearn.track(tracking_uri=tmp_path, start=QUIET, experiment="made") as made:
        Ridge(alpha=2.0).fit(X, y)
    assert (made.status, made.experiment, made.params) == ("FINISHED", "made", {"alpha": 2.0})
    with pytest.raises(NoActiveRunError, match="start one"):
        mlops_sdk.parallel.map(print, {"a": [1]})


# -- metrics -------------------------------------------------------------------------------------------------------------


class Ranker(BaseEstimator):
    """Scores by the first column."""

    _estimator_type = "ranker"

    def fit(self, X: Any, y: Any, qid: Any = None) -> Ranker:
        self.is_fitted_ = True
        return self

    def predict(self, X: Any) -> Any:
        return X[:, 0]


def test_a_ranker_is_judged_query_by_query(run: Run) -> None:
    rows = np.array([[3.0], [2.0], [1.0], [1.0], [2.0], [3.0]])
    relevance, queries = np.array([2, 1, 0, 1, 0, 0]), [7, 7, 7, 9, 9, 9]
    with run.sklearn(log_models=False):
        Ranker().fit(rows, relevance, qid=queries)
    second = metrics.ndcg_score([[1, 0, 0]], [[1, 2, 3]])
    assert run.metrics["train_ndcg"] == pytest.approx((1 + second) / 2)
    assert run.metrics["train_mean_reciprocal_rank"] == pytest.approx((1 + 1 / 3) / 2)
    assert ranking.groups_of({"group": [2, 1]}).tolist() == [0, 0, 1]


def test_many_labels_and_many_outputs(run: Run) -> None:
    features, labels = make_multilabel_classification(60, random_state=0)
    with run.sklearn(log_models=False):
        model = MultiOutputClassifier(LogisticRegression()).fit(features, labels)
        RandomForestClassifier(5, random_state=0).fit(features, labels * 2 + np.arange(5)[:, None].T)
        Ridge().fit(X[:, :2], X[:, 2:])
    assert run.metrics["train_hamming_loss"] == metrics.hamming_loss(labels, model.predict(features))
    assert 0 < run.metrics["train_label_ranking_average_precision"] <= 1
    views = [mlops_sdk.get_run(child, tracking_uri=run._recorder.place.uri) for child in run.children]
    by_name = {view.name: view for view in views}
    outputs = [by_name["fit-2"].metrics[f"train_accuracy/{i}"] for i in range(5)]
    assert by_name["fit-2"].metrics["train_accuracy"] == pytest.approx(np.mean(outputs))
    assert by_name["fit-2"].metrics["train_exact_match"] <= min(outputs)
    assert {"train_r2/0", "train_r2/1"} <= set(by_name["fit-3"].metrics)
    assert {each["context"] for each in by_name["fit-3"].datasets} == {"train", "train_target"}


def test_stages_of_boosting_are_curves_of_training_and_test(run: Run) -> None:
    with run.sklearn(log_models=False):
        model = GradientBoostingRegressor(n_estimators=4, random_state=0).fit(X[:100], y[:100])
        model.score(X[100:], y[100:])
    expected = [((guess - y[100:]) ** 2).mean() for guess in model.staged_predict(X[100:])]
    assert run.metric("eval_staged_mean_squared_error").value == pytest.approx(expected)
    assert len(run.metric("train_staged_mean_squared_error").value) == 4


# -- workers -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_warnings_of_workers_and_all_candidates_are_recorded(run: Run, backend: str) -> None:
    with run.sklearn(log_models=False), joblib.parallel_config(backend, n_jobs=2):
        search = GridSearchCV(LogisticRegression(max_iter=1), {"C": [1, 2, 3]}, cv=2).fit(X, y)
    counts = {each["cause"]: each["count"] for each in run.warnings}
    assert counts["ConvergenceWarning"] == 7, "two folds of three candidates, and the last fit"
    assert [row["mean_test_score"] for row in run.cv_results()] == search.cv_results_["mean_test_score"].tolist()
    assert list(run.children) == []
    assert run.metrics["tasks_done"] == 6


def test_the_trees_of_a_refit_are_no_progress_of_the_search(run: Run) -> None:
    with run.sklearn(log_models=False):
        GridSearchCV(RandomForestClassifier(9, random_state=0), {"max_depth": [1, 2]}, cv=2).fit(X, y)
    assert run.metrics["tasks_done"] == 4


# -- searches of other libraries -----------------------------------------------------------------------------------------


class Trials(BaseEstimator):
    """A search in optuna's form, one trial of which was pruned."""

    def __init__(self, estimator: Any, values: Any = (1.0, 2.0, 3.0)) -> None:
        self.estimator = estimator
        self.values = values

    def fit(self, X: Any, y: Any) -> Trials:
        from types import SimpleNamespace as Trial

        self.found_ = []
        for number, value in enumerate(self.values):
            scores = cross_val_score(self.estimator.set_params(C=value), X, y, cv=2)
            attributes = {f"split{i}_test_score": float(each) for i, each in enumerate(scores)}
            attributes["mean_test_score"] = float(scores.mean())
            is_pruned = number == 1
            state = Trial(name="PRUNED" if is_pruned else "COMPLETE")
            self.found_.append(
                Trial(number=number, params={"C": value}, user_attrs={} if is_pruned else attributes, state=state)
            )
        self.best_estimator_ = self.estimator.fit(X, y)
        return self

    @property
    def trials_(self) -> list[Any]:
        return list(self.found_)

    @property
    def best_index_(self) -> int:
        return 2

    @property
    def cv_results_(self) -> dict[str, Any]:
        raise KeyError("mean_test_score")

    def predict(self, X: Any) -> Any:
        return self.best_estimator_.predict(X)


def test_a_search_that_keeps_trials(run: Run) -> None:
    with run.sklearn(log_models=False):
        Trials(SVC()).fit(X, y)
    results = run.cv_results()
    assert [row["params"] for row in results] == [{"C": 1.0}, {"C": 2.0}, {"C": 3.0}]
    assert [row["state"] for row in results] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert results[1]["mean_test_score"] is None
    assert results.best_index == 2
    assert len(results.fold_scores()) == 2
    assert run.params["best.C"] == 3.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_real_search_of_optuna(run: Run) -> None:
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    integration = pytest.importorskip("optuna_integration", reason="optuna-integration is not installed")
    space = {"C": optuna.distributions.FloatDistribution(0.1, 10.0)}
    with run.sklearn(log_models=False):
        search = integration.OptunaSearchCV(SVC(), space, n_trials=3, cv=2, random_state=0).fit(X, y)
    results = run.cv_results()
    assert [row["params"] for row in results] == [each.params for each in search.trials_]
    assert results.best["mean_test_score"] == search.best_score_
    assert run.metrics["tasks_done"] == 6


# -- bars and pictures ---------------------------------------------------------------------------------------------------


def test_a_bar_says_how_far_it_is_and_how_long_it_takes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert bar.make("search", "auto") is None, "nobody sees it"
    with run.sklearn(log_models=False, progress=True):
        GridSearchCV(SVC(), {"C": [1, 2, 3]}, cv=2).fit(X, y)
    first, *_, last = stream.getvalue().strip("\r\n").split("\r")
    assert "1/6, " in first
    assert first.rstrip().endswith("left")
    assert "6/6, " in last
    assert "left" not in last


def test_a_cell_is_replaced_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("IPython")
    cell = bar.Cell("<search>")
    assert 'value="1" max="4"' in cell._html(1, 4, is_over=False)
    assert "&lt;search&gt;" in cell._html(1, None, is_over=False)
    assert " left" in cell._html(1, 4, is_over=False)


def test_a_display_that_fails_is_no_matter_of_the_search() -> None:
    class Broken:
        n_calls = 0

        def show(self, n_done: int, n_all: int | None, *, is_over: bool) -> None:
            self.n_calls += 1
            raise OSError("closed")

    broken = Broken()
    progress = bar.Progress(broken, 2)
    progress.update(1)
    progress.close()
    assert broken.n_calls == 1


def test_totals_are_known_before_and_splits_are_not_used_up() -> None:
    data = {"X": X, "y": y}
    assert totals.of_search(GridSearchCV(SVC(), {"C": [1, 2]}, cv=3), data) == 6
    assert totals.of_search(RandomizedSearchCV(SVC(), {"C": [1, 2]}, n_iter=9, cv=3), data) == 6
    splits = iter([([0], [1])])
    assert totals.of_search(GridSearchCV(SVC(), {"C": [1, 2]}, cv=splits), data) is None
    assert next(splits) == ([0], [1])


def test_pictures_of_a_search(run: Run) -> None:
    with run.sklearn(log_models=False):
        GridSearchCV(SVC(), {"C": [0.1, 1, 10], "kernel": ["rbf", "linear"]}, cv=2).fit(X, y)
    results = run.cv_results()
    assert results.plot("C").get_xlabel() == "C"
    assert results.plot().get_xlabel() == "mean fit time (s)"
    mean, best = results.plot("C", kind="marginal").lines
    assert (np.asarray(best.get_ydata()) >= np.asarray(mean.get_ydata())).all()
    assert [label.get_text() for label in results.plot("kernel", kind="marginal").get_xticklabels()] == [
        "rbf",
        "linear",
    ]
    assert len(results.plot(kind="parallel").get_xticks()) == 3
    with pytest.raises(InvalidValueError, match="use one of"):
        results.plot(kind="pie")
    with pytest.raises(InvalidValueError, match="there are C, kernel"):
        results.plot("gamma")


def test_importance_with_intervals_and_a_learning_curve(run: Run) -> None:
    with run.sklearn(log_models=False, importance=True, learning_curve=True):
        LogisticRegression(max_iter=500).fit(X[::2], y[::2]).score(X[1::2], y[1::2])
    import json

    table = json.loads(run.artifact("eval_permutation_importance.json").read_text())
    assert table["features"] == ["0", "1", "2", "3"]
    assert all(low <= mean <= high for low, mean, high in zip(table["low"], table["mean"], table["high"], strict=True))
    curve = json.loads(run.artifact("learning_curve.json").read_text())
    assert np.shape(curve["test_scores"]) == (5, 5)
    drawn = {ref.path for ref in run.artifacts if ref.path.endswith(".png")}
    assert drawn == {"figures/eval_permutation_importance.png", "figures/learning_curve.png"}


# -- scikit-learn 1.9 ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_a_callback_counts_what_goes_on_inside(run: Run) -> None:
    if not hasattr(GridSearchCV, "set_callbacks"):
        pytest.skip("this release of scikit-learn has no callbacks")
    callback = mlops_sdk.sklearn.RunCallback(run)
    search = GridSearchCV(LogisticRegression(max_iter=50), {"C": [1, 2]}, cv=2).set_callbacks(callback)
    assert search.fit(X, y).best_score_ > 0.9
    assert run.metrics["GridSearchCV.fit_done"] == 1
    assert run.metrics["LogisticRegression.fit_done"] >= 4


def test_without_scikit_learn_the_import_says_what_to_install() -> None:
    import subprocess

    program = "import sys; sys.modules['sklearn'] = None\nimport mlops_sdk.parallel\nimport mlops_sdk.sklearn"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "MissingDependencyError" in done.stderr
    assert "pip install 'mlops_sdk[sklearn]'" in done.stderr
