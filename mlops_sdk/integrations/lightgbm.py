"""LightGBM: `Callback` for ``lightgbm.train``, ``lightgbm.cv`` and the ``callbacks=`` of its estimators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_sdk.integrations.target import run_or_active

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run


class Callback:
    """Log every round of evaluation, with the direction of each metric, and the params.

    Parameters
    ----------
    run : Run, optional
        Default: the one that is active when training begins.
    log_params : bool
    log_model : bool
        Keep the booster after the last round. (LightGBM tells a callback nothing of an early stop: log that model yourself.)

    Notes
    -----
    Metrics are ``<data set>/<metric>``, a point a round; of ``lightgbm.cv`` the mean, and ``..._std``.
    """

    order = 15
    """Before early stopping (30), which ends the round by an exception."""
    before_iteration = False

    def __init__(self, run: Run | None = None, *, log_params: bool = True, log_model: bool = False) -> None:
        self._run = run
        self._log_params = log_params
        self._log_model = log_model

    def __call__(self, env: Any) -> None:
        """Log one round; `env` is LightGBM's ``CallbackEnv``."""
        if env.iteration == env.begin_iteration:
            self._run = run_or_active(self._run)
            if self._log_params:
                self._run.log_params({key: value for key, value in env.params.items() if not callable(value)})
            for data, metric, _, is_higher_better, *_rest in env.evaluation_result_list or ():
                self._run.define_metric(f"{data}/{metric}", mode="max" if is_higher_better else "min")
        assert self._run is not None
        values: dict[str, float] = {}
        for data, metric, value, _, *spread in env.evaluation_result_list or ():
            values[f"{data}/{metric}"] = value
            if spread:
                values[f"{data}/{metric}_std"] = spread[0]
        if values:
            self._run.log_metrics(values, step=env.iteration)
        if self._log_model and env.iteration == env.end_iteration - 1 and hasattr(env.model, "model_to_string"):
            self._run.log_model(env.model)
