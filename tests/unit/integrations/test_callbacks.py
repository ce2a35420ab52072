"""Callbacks of other libraries, against those libraries. Heavy ones are skipped where they are not installed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlops_sdk

RNG = np.random.RandomState(0)
X = RNG.randn(120, 4)
Y = (X[:, 0] > 0).astype(int)
QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}
HEAVY = "hundreds of megabytes: make test-integrations"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[mlops_sdk.Run]:
    with mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET) as run:
        yield run
    assert run.health()["errors"] == {}


def values(run: Any, key: str) -> list[float]:
    series = run.metric(key)
    assert series.step.tolist() == list(range(len(series)))
    return series.value.tolist()  # type: ignore[no-any-return]


# -- boosters ------------------------------------------------------------------------------------------------------------


def test_xgboost(run: mlops_sdk.Run) -> None:
    xgboost = pytest.importorskip("xgboost", reason="xgboost-cpu is installed where it has wheels")
    from mlops_sdk.integrations.xgboost import Callback

    data, held_out = xgboost.DMatrix(X[:80], label=Y[:80]), xgboost.DMatrix(X[80:], label=Y[80:])
    seen: dict[str, Any] = {}
    booster = xgboost.train(
        {"max_depth": 2, "nthread": 1, "objective": "binary:logistic", "eval_metric": ["logloss", "auc"]},
        data,
        num_boost_round=5,
        evals=[(data, "train"), (held_out, "val")],
        evals_result=seen,
        verbose_eval=False,
        callbacks=[Callback(log_model=True), xgboost.callback.EarlyStopping(rounds=2, metric_name="logloss")],
    )
    assert values(run, "val/logloss") == seen["val"]["logloss"]
    assert values(run, "train/auc") == seen["train"]["auc"]
    assert (run.params["max_depth"], run.params["objective"]) == (2, "binary:logistic")
    assert np.array_equal(run.load_model().predict(held_out), booster.predict(held_out))


def test_xgboost_estimators_and_cross_validation(run: mlops_sdk.Run) -> None:
    xgboost = pytest.importorskip("xgboost", reason="xgboost-cpu is installed where it has wheels")
    from mlops_sdk.integrations.xgboost import Callback

    xgboost.XGBClassifier(n_estimators=3, n_jobs=1, callbacks=[Callback()]).fit(X, Y, eval_set=[(X, Y)], verbose=False)
    assert len(values(run, "validation_0/logloss")) == 3
    with run.child("cv", **QUIET) as child:
        table = xgboost.cv(
            {"max_depth": 2, "nthread": 1}, xgboost.DMatrix(X, label=Y), 3, nfold=3, callbacks=[Callback()]
        )
        assert np.allclose(values(child, "test/rmse"), table["test-rmse-mean"])
        assert np.allclose(values(child, "test/rmse_std"), table["test-rmse-std"])


def test_lightgbm(run: mlops_sdk.Run) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from mlops_sdk.integrations.lightgbm import Callback

    params = {
        "objective": "binary",
        "metric": ["auc", "binary_logloss"],
        "verbose": -1,
        "num_leaves": 4,
        "num_threads": 1,
    }
    data = lightgbm.Dataset(X[:80], label=Y[:80])
    seen: dict[str, Any] = {}
    booster = lightgbm.train(
        params,
        data,
        num_boost_round=5,
        valid_sets=[lightgbm.Dataset(X[80:], label=Y[80:], reference=data)],
        valid_names=["val"],
        callbacks=[Callback(log_model=True), lightgbm.record_evaluation(seen)],
    )
    assert values(run, "val/auc") == seen["val"]["auc"]
    assert (run.definition("val/auc").mode, run.definition("val/binary_logloss").mode) == ("max", "min")
    assert run.params["num_leaves"] == 4
    assert np.array_equal(run.load_model().predict(X), booster.predict(X))
    with run.child("cv", **QUIET) as child:
        table = lightgbm.cv(params, lightgbm.Dataset(X, label=Y), 3, nfold=3, callbacks=[Callback()])
        assert np.allclose(values(child, "valid/auc"), table["valid auc-mean"])
        assert np.allclose(values(child, "valid/auc_std"), table["valid auc-stdv"])


@pytest.mark.filterwarnings("ignore:The argument 'eval_set'")  # newer LightGBM; older ones know no other
def test_lightgbm_stopped_early_by_its_estimator(run: mlops_sdk.Run) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from mlops_sdk.integrations.lightgbm import Callback

    model = lightgbm.LGBMClassifier(n_estimators=200, min_child_samples=5, verbose=-1, n_jobs=1)
    stop = lightgbm.early_stopping(3, verbose=False)
    model.fit(X[:80], Y[:80], eval_set=[(X[80:], Y[80:])], callbacks=[stop, Callback()])
    assert len(values(run, "valid_0/binary_logloss")) == model.best_iteration_ + 3


def test_catboost(run: mlops_sdk.Run) -> None:
    catboost = pytest.importorskip("catboost", reason=HEAVY)
    from mlops_sdk.integrations.catboost import Callback

    model = catboost.CatBoostClassifier(iterations=4, verbose=0, thread_count=1, allow_writing_files=False)
    model.fit(X[:80], Y[:80], eval_set=(X[80:], Y[80:]), callbacks=[Callback()])
    assert values(run, "validation/Logloss") == model.evals_result_["validation"]["Logloss"]
    assert values(run, "learn/Logloss") == model.evals_result_["learn"]["Logloss"]


# -- neural networks -----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras, of numpy and PyTorch
def test_keras(run: mlops_sdk.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason=HEAVY)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason=HEAVY)
    from mlops_sdk.integrations.keras import Callback

    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1, "sigmoid")]
    )
    model.compile(keras.optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy"])
    callback = Callback(every_n_batches=2, log_model=True)
    history = model.fit(X, Y, epochs=3, batch_size=30, validation_split=0.2, verbose=0, callbacks=[callback])
    assert values(run, "loss") == history.history["loss"]
    assert values(run, "val_accuracy") == history.history["val_accuracy"]
    assert run.metric("batch/loss").step.tolist() == [1, 3, 5, 7, 9, 11]
    assert (run.params["epochs"], run.params["optimizer.name"], run.params["n_weights"]) == (3, "adam", 19)
    assert "dense" in run.artifact("model_summary.txt").read_text()
    assert "test_loss" not in run.metrics
    model.evaluate(X, Y, verbose=0, callbacks=[callback])
    assert 0 < run.metrics["test_loss"] < 2
    assert np.allclose(run.load_model(trust=True).predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.filterwarnings("ignore")
def test_lightning(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason=HEAVY)
    import torch

    from mlops_sdk.integrations.lightning import MlopsLogger

    class Net(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self, lr: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch: Any, _: int) -> Any:
            loss = torch.nn.functional.mse_loss(self.layer(batch[0]).squeeze(), batch[1])
            self.log("train/loss", loss)
            if self.current_epoch == 1 and getattr(self, "fails", False):
                raise ValueError("in the second epoch")
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val/loss", torch.nn.functional.mse_loss(self.layer(batch[0]).squeeze(), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

    data = torch.utils.data.TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(Y, dtype=torch.float32))
    loader = torch.utils.data.DataLoader(data, batch_size=40)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "log_every_n_steps": 1}
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    def fit(logger: Any, fails: bool = False) -> None:
        model = Net()
        model.fails = fails  # type: ignore[assignment]
        lightning.Trainer(max_epochs=2, logger=logger, default_root_dir=tmp_path, **quiet).fit(model, loader, loader)

    fit(MlopsLogger(log_checkpoints="best", tracking_uri=tmp_path / "store", name="own", **QUIET))
    own = mlops_sdk.get_run("own", tracking_uri=tmp_path / "store")
    assert own.status == "FINISHED", "the logger started it, so it ends with the training"
    assert own.params["lr"] == 0.1
    assert own.metric("train/loss").step.tolist() == list(range(6))
    assert own.metric("val/loss").step.tolist() == [2, 5]
    assert [ref.path for ref in own.artifacts] == ["checkpoints/epoch=1-step=6.ckpt"]

    with mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET) as run:
        fit(MlopsLogger())
        assert run.status == "RUNNING", "the logger found it, so it goes on"
        assert run.summary("train/loss").count == 6
    logger = MlopsLogger(tracking_uri=tmp_path / "store", name="failing", **QUIET)
    with pytest.raises(ValueError, match="second epoch"):
        fit(logger, fails=True)
    assert mlops_sdk.get_run("failing", tracking_uri=tmp_path / "store").status == "FAILED"


@pytest.mark.filterwarnings("ignore")
def test_transformers(run: mlops_sdk.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers", reason=HEAVY)
    torch = pytest.importorskip("torch", reason=HEAVY)
    from mlops_sdk.integrations.transformers import Callback

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=2
    )
    model = transformers.BertForSequenceClassification(config)
    rows = [{"input_ids": torch.tensor([1, 2, 3, i % 5]), "labels": torch.tensor(i % 2)} for i in range(16)]
    args = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"),
        num_train_epochs=2,
        per_device_train_batch_size=4,
        logging_steps=2,
        eval_strategy="epoch",
        save_strategy="epoch",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        hub_token="very secret",
    )
    callback = Callback(log_checkpoints=True)
    trainer = transformers.Trainer(model=model, args=args, train_dataset=rows, eval_dataset=rows, callbacks=[callback])
    trainer.train()
    assert run.metric("loss").step.tolist() == [2, 4, 6, 8]
    assert run.metric("eval_loss").step.tolist() == [4, 8]
    assert (run.params["num_train_epochs"], run.params["logging_steps"]) == (2, 2)
    assert "weight_decay" not in run.params, "as it would have been anyway"
    assert "very secret" not in json.dumps([dict(run.params), run.artifact("training_args.json").read_text()])
    assert json.loads(run.artifact("model_config.json").read_text())["hidden_size"] == 8
    paths = [ref.path for ref in run.artifacts]
    assert {"checkpoint-4/model.safetensors", "checkpoint-8/model.safetensors"} <= set(paths)


# -- Optuna --------------------------------------------------------------------------------------------------------------


def objective(trial: Any) -> float:
    x = trial.suggest_float("x", -2, 2)
    if trial.number == 2:
        raise ValueError("this point fails")
    for step in range(3):
        trial.report(x * x + step, step)
    if trial.number == 3:
        import optuna

        raise optuna.TrialPruned
    return x * x  # type: ignore[no-any-return]


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_optuna(run: mlops_sdk.Run, n_jobs: int) -> None:
    optuna = pytest.importorskip("optuna")
    from mlops_sdk.integrations.optuna import Callback

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), study_name="parabola")
    study.optimize(objective, n_trials=6, n_jobs=n_jobs, callbacks=[Callback(metric="loss")], catch=(ValueError,))
    children = [mlops_sdk.get_run(each, tracking_uri=run._recorder.place.uri) for each in run.children]
    found = {int(child.tags["optuna.number"]): child for child in children}
    assert sorted(found) == list(range(6))
    states = {number: (child.status, child.tags["optuna.state"]) for number, child in found.items()}
    expected = dict.fromkeys((0, 1, 4, 5), ("FINISHED", "COMPLETE"))
    assert states == expected | {2: ("FAILED", "FAIL"), 3: ("FINISHED", "PRUNED")}
    for trial in study.trials:
        assert found[trial.number].params == trial.params
        assert found[trial.number].metrics.get("loss") == trial.value
    assert values(found[3], "intermediate") == list(study.trials[3].intermediate_values.values())
    assert found[0].definition("loss").mode == "min"
    assert json.loads(found[0].artifact("distributions.json").read_text())["x"]["attributes"]["high"] == 2.0
    assert run.summary("best_loss").min == study.best_value
    assert sorted(run.metric("loss").step.tolist()) == [0, 1, 4, 5]
    assert mlops_sdk.active_run() is run


def test_optuna_with_several_values_and_live_trials(run: mlops_sdk.Run) -> None:
    optuna = pytest.importorskip("optuna")
    from mlops_sdk.integrations.optuna import Callback

    callback = Callback(run, metric=("error", "size"))

    def two(trial: Any) -> tuple[float, float]:
        callback.run_of(trial).log_metric("live", 1.0)
        return trial.suggest_float("x", 0, 1), 2.0

    study = optuna.create_study(directions=["minimize", "maximize"])
    study.optimize(two, n_trials=2, callbacks=[callback])
    child = mlops_sdk.get_run(run.children[0], tracking_uri=run._recorder.place.uri)
    assert (child.metrics["size"], child.metrics["live"]) == (2.0, 1.0)
    assert child.definition("size").mode == "max"


# -- all of them ---------------------------------------------------------------------------------------------------------


def test_without_a_run_training_does_not_begin() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from mlops_sdk.integrations.lightgbm import Callback

    with pytest.raises(mlops_sdk.NoActiveRunError, match="start_run"):
        lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, label=Y), 2, callbacks=[Callback()])


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "mlops_sdk.integrations.optuna", raising=False)
    with pytest.raises(mlops_sdk.MissingDependencyError, match="pip install optuna"):
        __import__("mlops_sdk.integrations.optuna")
