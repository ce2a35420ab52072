"""Recording scikit-learn: what is written, where, and what stays as it was."""

from __future__ import annotations

import pickle
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn import metrics, model_selection
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import BaggingClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, make_scorer, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import mlops_sdk
from mlops_sdk import Run
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.integrations.sklearn import patches

QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}
X, y = load_iris(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        yield run
    assert run.health()["errors"] == {}, run.health()["messages"]


def _children(run: Run) -> dict[str, Any]:
    views = [mlops_sdk.get_run(child, tracking_uri=run._recorder.place.uri) for child in run.children]
    return {view.name: view for view in views}


def _standing() -> dict[str, Any]:
    """What the patch could touch, as it stands."""
    kinds = [*patches._subclasses(BaseEstimator), *patches._scorers(), model_selection.KFold]
    kinds = [kind for kind in kinds if kind.__module__.startswith("sklearn.")]
    found = {f"{kind.__module__}.{kind.__qualname__}": dict(vars(kind)) for kind in kinds}
    cells = {name: patches._inner_cell(getattr(metrics, name)) for name in metrics.__all__}
    cells |= {name: patches._inner_cell(getattr(model_selection, name)) for name in patches.CV_FUNCTIONS}
    from sklearn.utils.parallel import Parallel

    return {
        "kinds": {name: {key: id(value) for key, value in members.items() if key in _PATCHED} for name, members in found.items()},
        "cells": {name: id(cell.cell_contents) for name, cell in cells.items() if cell is not None},
        "warn": warnings.warn,
        "parallel": sorted(vars(Parallel)),
        "hook": "__init_subclass__" in vars(BaseEstimator),
    }  # fmt: skip


_PATCHED = {*patches.METHODS, "__call__", "split"}


# -- one fit -------------------------------------------------------------------------------------------------------------


def test_a_fit_is_recorded(run: Run) -> None:
    model = LogisticRegression(C=2.0, max_iter=500)
    assert run.fit(model, X_train, y_train, validation=(X_test, y_test)) is model
    assert run.params == {"C": 2.0, "max_iter": 500}
    assert run.tags["estimator"] == "LogisticRegression"
    assert run.metrics["train_accuracy"] == model.score(X_train, y_train)
    assert run.metrics["val_accuracy"] == model.score(X_test, y_test)
    assert run.metrics["train_log_loss"] == pytest.approx(metrics.log_loss(y_train, model.predict_proba(X_train)))
    assert 0 < run.metrics["fit_time_s"] < 60
    assert "<style>" in run.artifact("estimator.html").read_text()
    loaded = run.load_model(trust=True)
    assert np.array_equal(loaded.predict(X_test), model.predict(X_test))
    (ref,) = [ref for ref in run.artifacts if ref.path == "model/model.joblib"]
    assert ref.metadata["signature"]["inputs"] == {"shape": [None, 4], "dtype": "float64"}


def test_the_users_own_evaluations_are_recorded_under_what_the_data_is(run: Run) -> None:
    with run.sklearn():
        model = LogisticRegression(max_iter=500).fit(X_train, y_train)
        score = model.score(X_test, y_test)
        predicted = model.predict(X_test)
        f1 = f1_score(y_test, predicted, average="macro")
        confusion_matrix(y_test, predicted)
        on_train = accuracy_score(y_train, model.predict(X_train.copy()))
        scorer = make_scorer(metrics.balanced_accuracy_score)
        balanced = scorer(model, X_test, y_test)
        unnamed = accuracy_score(y[:50], model.predict(X[:50]))
    assert run.metrics["test_accuracy"] == score
    assert run.metrics["test_f1_macro"] == f1
    assert run.metrics["train_accuracy"] == on_train
    assert run.metrics["test_balanced_accuracy"] == balanced
    assert run.metrics["eval_accuracy"] == unnamed
    assert run.summary("test_accuracy").count == 1
    assert "test_confusion_matrix.json" in {ref.path for ref in run.artifacts}


def test_a_column_and_a_threshold_of_predictions_are_traced(tmp_path: Path, run: Run) -> None:
    X2, y2 = make_classification(80, random_state=0)
    with run.sklearn(training_metrics=False, log_models=False):
        model = LogisticRegression().fit(X2[:40], y2[:40])
        X_val, y_val = X2[40:], y2[40:]  # noqa: N806 - the name is the subject
        probability = model.predict_proba(X_val)
        auc = roc_auc_score(y_val, probability[:, 1])
        accuracy = accuracy_score(y_val, probability[:, 1] > 0.5)
    assert run.metrics["val_roc_auc"] == auc
    assert run.metrics["val_accuracy"] == accuracy


def test_preparation_does_not_take_the_models_place(run: Run) -> None:
    with run.sklearn():
        scaled = StandardScaler(with_mean=False).fit_transform(X_train)
        LogisticRegression(C=3.0, max_iter=500).fit(scaled, y_train)
        Ridge(alpha=2.0).fit(X_train, y_train)
    assert run.params == {"StandardScaler.with_mean": False, "C": 3.0, "max_iter": 500}
    assert "train_accuracy" in run.metrics
    assert "preparation/StandardScaler/model/model.joblib" in {ref.path for ref in run.artifacts}
    (child,) = _children(run).values()
    assert (child.name, child.status, child.params) == ("fit-2", "FINISHED", {"alpha": 2.0})
    assert child.metrics["train_r2"] > 0.8


def test_only_the_outermost_fit_counts(run: Run) -> None:
    with run.sklearn():
        make_pipeline(StandardScaler(), BaggingClassifier(SVC(), n_estimators=3)).fit(X_train, y_train)
    assert list(run.children) == []
    assert run.tags["estimator"] == "Pipeline(StandardScaler, BaggingClassifier(SVC))"
    assert run.params["baggingclassifier__estimator"] == "SVC"


def test_what_a_library_fits_is_not_the_users(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_sdk.integrations.sklearn import watching

    code = compile("def helper(model, X, y):\n    return model.fit(X, y)\n", "/opt/site-packages/lib/helper.py", "exec")
    library: dict[str, Any] = {"__name__": "lib.helper"}
    exec(code, library)
    monkeypatch.setattr(watching, "_installed_below", lambda: ("/opt/site-packages/",))
    watching._is_installed.cache_clear()
    with run.sklearn():
        library["helper"](LogisticRegression(max_iter=500), X, y)
        assert run.metrics == {}
    with run.sklearn(include=("lib",)):
        library["helper"](LogisticRegression(max_iter=500), X, y)
    watching._is_installed.cache_clear()
    assert "train_accuracy" in run.metrics


def test_warnings_of_each_fit_are_kept(run: Run) -> None:
    with run.sklearn(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        LogisticRegression(max_iter=1).fit(X_train, y_train)
        LogisticRegression(max_iter=2).fit(X_train, y_train)
    (warned,) = run.warnings
    assert (warned["cause"], warned["count"]) == ("ConvergenceWarning", 1)
    (again,) = _children(run)["fit-2"].warnings
    assert again["cause"] == "ConvergenceWarning"


def test_warnings_still_reach_the_user_at_the_same_place(run: Run) -> None:
    def shown() -> tuple[str, int]:
        with pytest.warns(Warning, match="lbfgs") as caught:
            LogisticRegression(max_iter=1).fit(X_train, y_train)
        return caught[0].filename, caught[0].lineno

    plain = shown()
    with run.sklearn():
        assert shown() == plain


def test_curves_and_clusters(run: Run) -> None:
    with run.sklearn():
        boosted = GradientBoostingRegressor(n_estimators=7, random_state=0).fit(X_train, y_train)
        labels = KMeans(3, n_init=1, random_state=0).fit_predict(X_train)
        rand = metrics.adjusted_rand_score(y_train, labels)
    assert run.metric("train_score").value.tolist() == boosted.train_score_.tolist()
    clustered = _children(run)["fit-2"]
    assert clustered.metrics["train_n_clusters"] == 3
    assert clustered.metrics["train_adjusted_rand"] == rand
    assert 0 < clustered.metrics["train_silhouette"] < 1


def test_weights_and_figures(run: Run) -> None:
    X2, y2 = make_classification(60, random_state=0)
    weight = np.linspace(0.1, 1, 60)
    with run.sklearn(figures=True, log_models=False):
        model = LogisticRegression().fit(X2, y2, sample_weight=weight)
    expected = accuracy_score(y2, model.predict(X2), sample_weight=weight)
    assert run.metrics["train_accuracy"] == expected
    drawn = {ref.path for ref in run.artifacts if ref.path.startswith("figures/")}
    assert drawn == {
        f"figures/train_{name}.png" for name in ("confusion_matrix", "roc", "precision_recall", "calibration")
    }


# -- nothing else changes ------------------------------------------------------------------------------------------------


def test_the_patch_is_undone_whatever_happens(run: Run) -> None:
    before = _standing()
    with pytest.raises(ZeroDivisionError), run.sklearn():  # noqa: PT012 - the block is the subject
        with run.sklearn(log_models=False):
            LogisticRegression(max_iter=500).fit(X, y)
        assert _standing() != before
        raise ZeroDivisionError
    assert _standing() == before
    mlops_sdk.autolog()
    mlops_sdk.autolog(log_models=False)
    mlops_sdk.autolog(disable=True)
    assert _standing() == before


def test_what_the_user_gets_is_the_error_of_the_fit(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, strict=True, **QUIET) as run, run.sklearn():
        LogisticRegression(max_iter=500).fit(X, y)
        with pytest.raises(ValueError, match="NaN"):
            LogisticRegression(C=2).fit(X * np.nan, y)
    assert run.status == "FINISHED"
    failed = _children(run)["fit-2"]
    assert failed.status == "FAILED"
    assert failed.params == {"C": 2}
    assert failed.traceback is not None


class Odd(ClassifierMixin, BaseEstimator):
    """Breaks the conventions: params that are not attributes, a repr and a predict that raise."""

    def __init__(self, depth: int = 3) -> None:
        self.height = depth

    def fit(self, X: Any, y: Any) -> Odd:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        raise RuntimeError("never")

    def __repr__(self, **options: Any) -> str:
        raise RuntimeError("no words")

    def __getstate__(self) -> Any:
        raise RuntimeError("no pickle")


def test_an_estimator_that_breaks_every_convention_is_fitted_all_the_same(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, strict=True, **QUIET) as run, run.sklearn():
        model = Odd().fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2]
    assert run.status == "FINISHED"
    assert "fit_time_s" in run.metrics
    assert all(cause.startswith("sklearn:") for cause in run.health()["errors"])


def test_models_clones_and_pickles_are_as_without_tracking(run: Run) -> None:
    def work() -> tuple[Any, ...]:
        forest = RandomForestClassifier(5, random_state=np.random.RandomState(3)).fit(X_train, y_train)
        return joblib.hash(forest), pickle.dumps(clone(forest)), forest.predict(X_test).tolist(), np.random.random()  # noqa: NPY002

    np.random.seed(1)  # noqa: NPY002 - the global state is the subject
    plain = work()
    np.random.seed(1)  # noqa: NPY002
    with run.sklearn():
        tracked = work()
    assert tracked == plain


def test_nothing_of_the_tracker_travels_to_workers(run: Run) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")

    class Local(LogisticRegression):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Local:
            return super().fit(X, y, sample_weight)

    with run.sklearn():
        sent = [
            cloudpickle.dumps(thing) for thing in (Local, Local().fit, LogisticRegression().fit, make_scorer(f1_score))
        ]
        assert isinstance(vars(Local)["fit"], patches.PatchedMethod)
    assert not any(b"mlops_sdk" in data for data in sent)


def test_other_threads_are_not_watched(run: Run) -> None:
    with run.sklearn():
        thread = threading.Thread(target=lambda: LogisticRegression(max_iter=500).fit(X, y))
        thread.start()
        thread.join()
    assert run.metrics == {}


def test_threads_record_into_their_own_runs(tmp_path: Path) -> None:
    found: dict[float, Any] = {}

    def work(c: float) -> None:
        with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as mine:
            for _ in range(3):
                with mine.sklearn(log_models=False):
                    LogisticRegression(C=c, max_iter=500).fit(X, y)
        found[c] = mine

    before = _standing()
    threads = [threading.Thread(target=work, args=(c,)) for c in (2.0, 3.0, 4.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {c: (mine.params["C"], len(mine.children)) for c, mine in found.items()} == {
        c: (c, 2) for c in (2.0, 3.0, 4.0)
    }
    assert _standing() == before


def test_an_unknown_option_is_refused(run: Run) -> None:
    with pytest.raises(InvalidValueError, match="log_modles"), run.sklearn(log_modles=False):
        pass
    with pytest.raises(InvalidValueError, match="children"), run.sklearn(children="some"):
        pass


def test_a_disabled_run_only_fits(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path / "never", mode="disabled") as run:
        with run.sklearn():
            assert LogisticRegression(max_iter=500).fit(X, y).score(X, y) > 0.9
        assert run.fit(Ridge(), X, y).alpha == 1.0
    assert not (tmp_path / "never").exists()


class Plain:
    """Fits and predicts, and is no scikit-learn estimator."""

    def fit(self, X: Any, y: Any) -> Plain:
        self.mean = float(np.mean(y))
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.mean)


def test_what_only_looks_like_an_estimator_can_be_fitted(run: Run) -> None:
    model = run.fit(Plain(), X, y)
    assert model.mean == 1.0
    assert run.tags["estimator"] == "Plain"
    assert run.load_model(trust=True).mean == 1.0


def test_a_pickled_run_in_workers_takes_children(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        jobs = (joblib.delayed(_fit_in_worker)(run, c) for c in (2.0, 3.0))
        joblib.Parallel(n_jobs=2, backend="multiprocessing")(jobs)
        assert run.health()["errors"] == {}
    children = _children(run)
    assert sorted(child.params["C"] for child in children.values()) == [2.0, 3.0]
    assert all(child.status == "FINISHED" and "train_accuracy" in child.metrics for child in children.values())
    assert "train_accuracy" not in run.metrics


def _fit_in_worker(run: Run, c: float) -> None:
    with run.sklearn(log_models=False):
        LogisticRegression(C=c, max_iter=500).fit(X, y)


@pytest.mark.skipif(not hasattr(Run, "log_dataset"), reason="runs cannot log data sets yet")
def test_the_context_is_what_the_data_was_logged_under(run: Run) -> None:
    run.log_dataset(X_test, context="holdout", target=y_test)  # type: ignore[attr-defined]
    with run.sklearn():
        model = LogisticRegression(max_iter=500).fit(X_train, y_train)
        model.score(X_test.copy(), y_test)
    assert "holdout_accuracy" in run.metrics
    assert [data["context"] for data in run.datasets] == ["holdout", "train"]


# -- autolog -------------------------------------------------------------------------------------------------------------


def test_autolog_makes_a_run_for_each_outermost_fit(tmp_path: Path) -> None:
    mlops_sdk.autolog(tracking_uri=tmp_path, experiment="auto", start=QUIET, exclude="KMeans")
    try:
        KMeans(2, n_init=1).fit(X)
        scaled = StandardScaler().fit_transform(X_train)
        first = LogisticRegression(max_iter=500).fit(scaled, y_train)
        assert mlops_sdk.active_run() is not None
        SVC(C=2.0).fit(X_train, y_train)
        late = first.score(StandardScaler().fit(X_train).transform(X_test), y_test)
        with mlops_sdk.start_run(tracking_uri=tmp_path, name="mine", **QUIET):
            Ridge().fit(X_train, y_train)
    finally:
        mlops_sdk.autolog(disable=True)
    runs = {view.tags["estimator"]: view for view in mlops_sdk.search_runs(tracking_uri=tmp_path)}
    assert set(runs) == {"LogisticRegression", "SVC", "Ridge"}
    assert {view.status for view in runs.values()} == {"FINISHED"}
    assert runs["LogisticRegression"].experiment == "auto"
    assert "StandardScaler_fit_time_s" in runs["LogisticRegression"].metrics
    assert late in runs["LogisticRegression"].metrics.values(), "scored when its run had ended"
    assert runs["Ridge"].name == "mine"


def test_threads_of_a_search_are_inside_it(tmp_path: Path) -> None:
    mlops_sdk.autolog(tracking_uri=tmp_path, start=QUIET)
    try:
        with joblib.parallel_config("threading", n_jobs=2):
            GridSearchCV(SVC(), {"C": [1, 2, 3]}, cv=2).fit(X, y)
    finally:
        mlops_sdk.autolog(disable=True)
    (only,) = mlops_sdk.search_runs(tracking_uri=tmp_path)
    assert only.tags["estimator"] == "GridSearchCV(SVC)"


# -- searches and cross-validation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_search_is_recorded_with_all_candidates_and_folds(run: Run, n_jobs: int) -> None:
    folds = KFold(3, shuffle=True, random_state=np.random.RandomState(0))
    with run.sklearn(children="best"):
        search = GridSearchCV(SVC(), {"C": [0.1, 1.0, 10.0]}, cv=folds, scoring=["accuracy", "f1_macro"], refit="accuracy",
                              return_train_score=True, n_jobs=n_jobs).fit(X, y)  # fmt: skip
        search.score(X_test, y_test)
    results = run.cv_results()
    assert [row["params"] for row in results] == search.cv_results_["params"]
    for name in (
        "mean_test_accuracy",
        "split2_test_f1_macro",
        "split0_train_accuracy",
        "rank_test_f1_macro",
        "mean_fit_time",
    ):
        assert [row[name] for row in results] == search.cv_results_[name].tolist()
    assert results.scorers == {"accuracy": "max", "f1_macro": "max"}
    assert results.best_index == search.best_index_
    assert results.fold_scores("accuracy").tolist() == run.metric("cv_accuracy").value.tolist()
    expected = [(len(train), len(test)) for train, test in KFold(3, shuffle=True, random_state=0).split(X)]
    assert [(fold["n_train"], fold["n_test"]) for fold in results.folds] == expected
    assert len({fold["test"] for fold in results.folds}) == 3
    assert run.params["best.C"] == search.best_params_["C"]
    assert run.metrics["tasks_done"] == 9
    assert run.metrics["best_score"] == search.best_score_
    assert results.to_pandas().shape[0] == 3
    axes = results.plot("C")
    assert axes.get_xlabel() == "C"
    assert axes._repr_png_()[0].startswith(b"\x89PNG")  # type: ignore[attr-defined]  # a notebook shows it
    assert np.array_equal(run.load_model(trust=True).predict(X), search.predict(X))
    (best,) = _children(run).values()
    assert best.params == search.best_params_
    assert best.metrics["mean_test_accuracy"] == search.best_score_


def test_scores_are_named_by_what_they_are(run: Run) -> None:
    macro = make_scorer(f1_score, average="macro")
    error = make_scorer(metrics.zero_one_loss, greater_is_better=False)
    with run.sklearn():
        search = GridSearchCV(SVC(), {"C": [1]}, cv=2, scoring=macro, refit=False).fit(X, y)
        cross_val_score(SVC(), X, y, cv=2, scoring=error)
        cross_val_score(SVC(C=2), X, y, cv=2, scoring=lambda model, X, y: 0.5)
        GridSearchCV(SVC(), {"C": [1]}, cv=2, scoring=macro).fit(X_train, y_train).score(X_test, y_test)
    assert run.metrics["cv_f1_macro_mean"] == pytest.approx(search.cv_results_["mean_test_score"][0])
    assert not any("accuracy" in key for key in run.metrics)
    children = _children(run)
    assert children["fit-2"].metrics["cv_neg_zero_one_loss_mean"] < 0
    assert children["fit-3"].metrics["cv_score_mean"] == 0.5
    assert "test_f1_macro" in children["fit-4"].metrics


def test_the_folds_are_those_that_were_used(run: Run) -> None:
    from mlops_sdk.integrations.sklearn.splits import digest_of

    splits = list(KFold(2).split(X))
    with run.sklearn(log_models=False):
        GridSearchCV(SVC(), {"C": [1]}, cv=splits).fit(X, y)
    assert [fold["train"] for fold in run.cv_results().folds] == [digest_of(train) for train, _ in splits]
    mask = np.zeros(150, dtype=bool)
    mask[splits[0][0]] = True
    assert digest_of(mask) == digest_of(splits[0][0])


def test_cross_validation_and_the_fit_after_it_share_the_run(run: Run) -> None:
    with run.sklearn():
        scores = cross_val_score(SVC(C=2.0), X, y, cv=4)
        SVC(C=2.0).fit(X, y)
        more = cross_validate(SVC(C=3.0), X, y, cv=3, scoring=["f1_macro"], return_train_score=True)
        predicted = cross_val_predict(SVC(C=4.0), X, y, cv=3)
        accuracy = accuracy_score(y, predicted)
    assert run.metric("cv_accuracy").value.tolist() == scores.tolist()
    assert run.metrics["cv_accuracy_mean"] == pytest.approx(scores.mean())
    assert "train_accuracy" in run.metrics
    children = _children(run)
    assert children["fit-2"].metric("cv_f1_macro").value.tolist() == more["test_f1_macro"].tolist()
    assert "split0_train_f1_macro" in children["fit-2"].cv_results()[0]
    assert children["fit-3"].metrics["cv_accuracy"] == accuracy


def test_curves_of_model_selection(run: Run) -> None:
    with run.sklearn():
        sizes, _, test_scores, *_ = model_selection.learning_curve(
            SVC(), X, y, cv=3, train_sizes=[0.5, 1.0], shuffle=True, random_state=0
        )
        score, _, p_value = model_selection.permutation_test_score(
            SVC(C=2), X, y, cv=2, n_permutations=5, random_state=0
        )
    series = run.metric("learning_curve_test_score")
    assert series.step.tolist() == sizes.tolist()
    assert series.value.tolist() == test_scores.mean(axis=1).tolist()
    assert _children(run)["fit-2"].metrics == {
        "cv_accuracy_mean": score,
        "permutation_p_value": p_value,
        "tasks_done": 5,
    }
