"""XGBoost: `Callback` for ``xgboost.train``, ``xgboost.cv`` and the ``callbacks=`` of its estimators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_sdk.integrations.target import needed, run_or_active

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

_TrainingCallback: Any = needed("xgboost.callback").TrainingCallback


class Callback(_TrainingCallback):  # type: ignore[misc]  # its base has no types here
    """Log every round of evaluation, the params in force and the best round.

    Parameters
    ----------
    run : Run, optional
        Default: the one that is active when training begins.
    log_params : bool
        Params as the booster has them, defaults included.
    log_model : bool
        Keep the booster at the end.

    Notes
    -----
    Metrics are ``<data set>/<metric>``, a point a round; of ``xgboost.cv`` the mean, and ``..._std``.
    """

    def __init__(self, run: Run | None = None, *, log_params: bool = True, log_model: bool = False) -> None:
        super().__init__()
        self._run = run
        self._log_params = log_params
        self._log_model = log_model

    def before_training(self, model: Any) -> Any:
        """Find the run."""
        self._run = run_or_active(self._run)
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, Any]]) -> bool:
        """Log what was evaluated in this round; never stops the training."""
        assert self._run is not None
        if self._log_params and epoch == 0:
            self._run.log_params(params_of(model))
        values: dict[str, float] = {}
        for data, metrics in evals_log.items():
            for metric, history in metrics.items():
                if isinstance(history[-1], tuple):
                    values[f"{data}/{metric}"], values[f"{data}/{metric}_std"] = history[-1]
                else:
                    values[f"{data}/{metric}"] = history[-1]
        if values:
            self._run.log_metrics(values, step=epoch)
        return False

    def after_training(self, model: Any) -> Any:
        """Log the best round where early stopping found one, and the model if asked."""
        assert self._run is not None
        best = model.attr("best_iteration") if hasattr(model, "attr") else None
        if best is not None:
            self._run.log_metrics({"best_iteration": int(best), "best_score": float(model.attr("best_score"))}, step=0)
        if self._log_model and hasattr(model, "save_raw"):
            self._run.log_model(model)
        return model


def params_of(booster: Any) -> dict[str, Any]:
    """Params that the booster trains with, from its configuration; empty for the folds of ``xgboost.cv``."""
    if not hasattr(booster, "save_config"):
        return {}
    learner = json.loads(booster.save_config()).get("learner") or {}
    ensemble = learner.get("gradient_booster") or {}
    parts = (learner.get("learner_train_param"), ensemble.get("tree_train_param"), ensemble.get("gblinear_train_param"))
    return {key: _number(value) for part in parts if isinstance(part, dict) for key, value in part.items()}


def _number(text: Any) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return text
