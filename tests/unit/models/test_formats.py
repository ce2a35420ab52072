"""Each format gives back the model that was logged, and none runs code of the file without trust."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlops_sdk
from mlops_sdk.errors import InvalidValueError, UntrustedModelError

RNG = np.random.RandomState(0)
X = RNG.randn(120, 4)
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 1)
QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[mlops_sdk.Run]:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        yield run


def logged_as(ref: Any) -> tuple[str, str]:
    return ref.path, ref.metadata["format"]


# -- joblib and skops ----------------------------------------------------------------------------------------------------


def test_joblib_is_what_is_taken_for_scikit_learn(run: mlops_sdk.Run) -> None:
    assert logged_as(run.log_model(LogisticRegression().fit(X, Y))) == ("model/model.joblib", "joblib")


def test_skops_loads_without_trust_what_it_vouches_for(run: mlops_sdk.Run) -> None:
    pytest.importorskip("skops")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    ref = run.log_model(model, format="skops")
    assert logged_as(ref) == ("model/model.skops", "skops")
    assert "skops" in ref.metadata["packages"]
    loaded = run.load_model()
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))


class Custom(LogisticRegression):
    """A class that skops has never heard of."""


def test_skops_names_the_types_that_must_be_trusted(run: mlops_sdk.Run) -> None:
    pytest.importorskip("skops")
    model = Custom().fit(X, Y)
    run.log_model(model, format="skops")
    with pytest.raises(UntrustedModelError, match=r"does not vouch for: .*Custom.*trust=True"):
        run.load_model()
    assert np.array_equal(run.load_model(trust=True).predict(X), model.predict(X))


def test_what_a_format_cannot_hold_is_kept_with_joblib_and_counted(run: mlops_sdk.Run) -> None:
    model = LogisticRegression().fit(X, Y)
    for name in ("xgboost", "torch", "lightgbm", "catboost", "a format", 7):
        assert logged_as(run.log_model(model, format=name)) == ("model/model.joblib", "joblib")  # type: ignore[arg-type]
    assert run.health()["errors"] == {"InvalidValueError": 6}
    assert np.array_equal(run.load_model(trust=True).predict(X), model.predict(X))


def test_the_model_logged_last_is_the_one_loaded(run: mlops_sdk.Run) -> None:
    pytest.importorskip("skops")
    for c, kept_in in ((1.0, "joblib"), (2.0, "skops"), (3.0, "joblib")):
        run.log_model(LogisticRegression(C=c).fit(X, Y), format=kept_in)
        assert c == run.load_model(trust=True).C


def test_a_run_without_that_model_says_so(run: mlops_sdk.Run) -> None:
    with pytest.raises(mlops_sdk.ArtifactNotFoundError, match="no model 'other'"):
        run.load_model("other")


# -- boosters ------------------------------------------------------------------------------------------------------------


def test_an_xgboost_estimator_comes_back_whole(run: mlops_sdk.Run) -> None:
    xgboost = pytest.importorskip("xgboost", reason="xgboost-cpu is installed where it has wheels")
    model = xgboost.XGBClassifier(n_estimators=4, n_jobs=1, max_depth=2, learning_rate=np.float64(0.3)).fit(X, Y)
    ref = run.log_model(model, input_example=X[:3])
    assert logged_as(ref) == ("model/model.ubj", "xgboost")
    loaded = run.load_model(check=True)
    assert type(loaded) is xgboost.XGBClassifier
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert repr(loaded.get_params()) == repr({**model.get_params(), "learning_rate": 0.3})
    assert loaded.n_classes_ == 3
    with pytest.raises(InvalidValueError, match=r"shape is \(n, 3\)"):
        loaded.predict(X[:, :3])


def test_an_xgboost_booster_comes_back(run: mlops_sdk.Run) -> None:
    xgboost = pytest.importorskip("xgboost", reason="xgboost-cpu is installed where it has wheels")
    data = xgboost.DMatrix(pd.DataFrame(X, columns=list("abcd")), label=X[:, 0])
    booster = xgboost.train({"max_depth": 2, "nthread": 1}, data, num_boost_round=3)
    assert logged_as(run.log_model(booster)) == ("model/model.ubj", "xgboost")
    loaded = run.load_model()
    assert loaded.feature_names == list("abcd")
    assert np.array_equal(loaded.predict(data), booster.predict(data))


def test_an_xgboost_estimator_with_an_object_among_its_params_is_pickled(run: mlops_sdk.Run) -> None:
    xgboost = pytest.importorskip("xgboost", reason="xgboost-cpu is installed where it has wheels")
    model = xgboost.XGBRegressor(n_estimators=2, eval_metric=np.mean).set_params(eval_metric=sorted).fit(X, X[:, 0])
    assert logged_as(run.log_model(model)) == ("model/model.joblib", "joblib")
    assert logged_as(run.log_model(xgboost.XGBRegressor())) == ("model/model.joblib", "joblib"), "not fitted"


def test_a_class_named_in_the_details_is_never_looked_up_elsewhere(run: mlops_sdk.Run, tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost", reason="xgboost-cpu is installed where it has wheels")
    from mlops_sdk.models.boosters import dump_xgboost, load_xgboost

    data, _ = dump_xgboost(xgboost.XGBRegressor(n_estimators=2).fit(X, X[:, 0]))
    (tmp_path / "m").write_bytes(data)
    assert type(load_xgboost(tmp_path / "m", {"loads_as": "DMatrix"})) is xgboost.Booster


def test_lightgbm_keeps_boosters_as_text(run: mlops_sdk.Run) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1, min_child_samples=5).fit(X, Y)
    assert logged_as(run.log_model(model)) == ("model/model.joblib", "joblib"), (
        "the estimator knows more than its booster"
    )
    assert logged_as(run.log_model(model, "booster", format="lightgbm")) == ("booster/model.txt", "lightgbm")
    assert logged_as(run.log_model(model.booster_, "other")) == ("other/model.txt", "lightgbm")
    loaded = run.load_model("booster")
    assert type(loaded) is lightgbm.Booster
    assert np.array_equal(loaded.predict(X), model.predict_proba(X))


def test_catboost_comes_back_whole(run: mlops_sdk.Run) -> None:
    catboost = pytest.importorskip("catboost", reason="270 MB: make test-integrations")
    model = catboost.CatBoostClassifier(iterations=3, verbose=0, thread_count=1, allow_writing_files=False).fit(X, Y)
    assert logged_as(run.log_model(model, input_example=X[:2])) == ("model/model.cbm", "catboost")
    loaded = run.load_model(check=True)
    assert type(loaded) is catboost.CatBoostClassifier
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert loaded.get_params()["iterations"] == 3


# -- PyTorch -------------------------------------------------------------------------------------------------------------


def test_a_module_is_its_weights(run: mlops_sdk.Run) -> None:
    torch = pytest.importorskip("torch", reason="gigabytes: make test-integrations")
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Dropout(), torch.nn.Linear(3, 2))
    example = torch.zeros(5, 4)
    ref = run.log_model(module, input_example=example)
    assert logged_as(ref) == ("model/model.pt", "torch")
    assert module.training
    assert ref.metadata["details"] == {"n_tensors": 4, "n_weights": 23}
    assert ref.metadata["signature"]["outputs"] == {"shape": [None, 2], "dtype": "float32"}
    state = run.load_model()
    assert torch.equal(state["0.weight"], module[0].weight)
    other = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Dropout(), torch.nn.Linear(3, 2)).eval()
    loaded = run.load_model(into=other, check=True)
    assert loaded is other
    assert torch.equal(loaded(example), module.eval()(example))
    with pytest.raises(InvalidValueError, match=r"shape is \(n, 3\)"):
        loaded(torch.zeros(2, 3))
    assert logged_as(run.log_model(module.state_dict(), "state")) == ("state/model.pt", "torch")
    run.log_model(module, "whole", format="joblib")
    assert isinstance(run.load_model("whole", trust=True), torch.nn.Sequential)


def test_into_is_for_weights(run: mlops_sdk.Run) -> None:
    run.log_model([1])
    with pytest.raises(InvalidValueError, match="into="):
        run.load_model(trust=True, into=object())


# -- what is looked at when predicting -----------------------------------------------------------------------------------

FRAME = pd.DataFrame({"age": [30, 40, 50, 60], "size": [1.0, 2.0, 3.0, 4.0]})


@pytest.fixture
def loaded(run: mlops_sdk.Run) -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, [0, 0, 1, 1])
    run.log_model(model, input_example=FRAME[:2])
    return run.load_model(trust=True, check=True)


@pytest.mark.parametrize(
    "data, said",
    [
        (FRAME[["age"]], "columns are missing: 'size'"),
        (FRAME[["size", "age"]], "another order: 'age' was column 0, now it is 'size'"),
        (FRAME.assign(more=1), "was not given: 'more'"),
        (FRAME.astype({"age": str}), r"column 'age' should be number \(int64\), not text"),
        (np.zeros((2, 3)), r"shape is \(n, 3\), the model was given \(n, 2\)"),
        (np.zeros(2), r"shape is \(n\)"),
        ([[1.0], [2.0]], r"shape is \(n, 1\)"),
    ],
)
def test_what_is_not_like_the_signature_is_refused(loaded: Any, data: Any, said: str) -> None:
    for method in (loaded.predict, loaded.predict_proba):
        with pytest.raises(InvalidValueError, match=said):
            method(data)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_what_is_like_it_is_predicted(loaded: Any) -> None:
    for data in (
        FRAME,
        FRAME.astype(float),
        FRAME.astype({"size": "float32"}),
        FRAME.to_numpy(),
        FRAME.values.tolist(),
    ):
        assert loaded.predict(data).tolist() == [0, 0, 1, 1]
    assert loaded.predict(X=FRAME).tolist() == [0, 0, 1, 1]


def test_a_checked_model_is_still_what_it_was(loaded: Any) -> None:
    assert type(loaded) is type(make_pipeline(LogisticRegression()))
    again = pickle.loads(pickle.dumps(loaded))
    assert again.predict.owner is again
    with pytest.raises(InvalidValueError, match="missing"):
        again.predict(FRAME[["age"]])
    fresh = clone(loaded).fit(FRAME[["age"]], [0, 0, 1, 1])
    assert fresh.predict(FRAME[["age"]]).tolist() == [0, 0, 1, 1], "a clone is fitted to data of its own"


def test_without_an_example_the_signature_is_what_the_model_says_of_itself(run: mlops_sdk.Run) -> None:
    ref = run.log_model(RandomForestClassifier(2).fit(FRAME, [0, 0, 1, 1]))
    assert ref.metadata["signature"] == {"inputs": {"columns": [["age", None], ["size", None]]}}
    with pytest.raises(InvalidValueError, match="missing: 'age'"):
        run.load_model(trust=True, check=True).predict(FRAME[["size"]])
    assert json.loads(run.artifact("model/model.json").read_text())["format"] == "joblib"
