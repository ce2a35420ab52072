"""Optuna: `Callback` for the ``callbacks=`` of ``study.optimize``; each trial is a child run."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from mlops_sdk.integrations.target import needed, run_or_active
from mlops_sdk.run import active

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

needed("optuna")


class Callback:
    """A child run a trial, and the course of the study in the run itself.

    Parameters
    ----------
    run : Run, optional
        The study's; default: the one that is active when the first trial begins or ends.
    metric : str or sequence of str
        Names of the values that the objective returns.

    Notes
    -----
    A trial that raised is FAILED, one that was pruned is FINISHED with the tag ``optuna.state`` PRUNED. Intermediate values
    are the metric ``intermediate``, distributions ``distributions.json``. Thread-safe: ``n_jobs`` may be anything.

    Examples
    --------
    To log to the trial's run while it goes on, ask for it::

        callback = Callback()

        def objective(trial):
            run = callback.run_of(trial)
            ...

        study.optimize(objective, callbacks=[callback])
    """

    def __init__(self, run: Run | None = None, *, metric: str | tuple[str, ...] | list[str] = "value") -> None:
        self._run = run
        self._names = [metric] if isinstance(metric, str) else list(metric)
        self._lock = threading.RLock()
        self._trials: dict[int, Run] = {}

    def run_of(self, trial: Any) -> Run:
        """The child run of a trial, started when it is first asked for."""
        with self._lock:
            self._run = run_or_active(self._run)
            if trial.number not in self._trials:
                with active.aside():
                    self._trials[trial.number] = self._run.child(
                        f"trial-{trial.number}", capture=False, system_metrics=False
                    )
            return self._trials[trial.number]

    def __call__(self, study: Any, trial: Any) -> None:
        """Write what came of a trial, and end its run."""
        child = self.run_of(trial)
        child.log_params(trial.params)
        child.set_tags({"optuna.state": trial.state.name, "optuna.number": trial.number})
        if trial.user_attrs:
            child.log_dict(trial.user_attrs, "user_attrs.json")
        child.log_dict(_distributions(trial), "distributions.json")
        for step, value in sorted(trial.intermediate_values.items()):
            child.log_metric("intermediate", value, step=step)
        values = dict(zip(self._names_for(trial.values or ()), trial.values or (), strict=True))
        for (key, value), direction in zip(values.items(), study.directions, strict=False):
            child.define_metric(key, mode=_mode(direction))
            child.log_metric(key, value, step=0)
        if trial.duration is not None:
            child.log_metric("duration_s", trial.duration.total_seconds(), step=0)
        with self._lock:
            self._trials.pop(trial.number, None)
            self._log_course(study, trial, values)
        child.finish("FAILED" if trial.state.name == "FAIL" else "FINISHED")

    def _log_course(self, study: Any, trial: Any, values: dict[str, float]) -> None:
        run = run_or_active(self._run)
        if values and trial.state.name == "COMPLETE":
            run.log_metrics(values, step=trial.number)
        if len(study.directions) == 1 and any(
            each.state.name == "COMPLETE" for each in study.get_trials(deepcopy=False)
        ):
            run.define_metric(f"best_{self._names[0]}", mode=_mode(study.direction))
            run.log_metric(f"best_{self._names[0]}", study.best_value, step=trial.number)
            run.log_param("best", study.best_params, overwrite=True)
        run.set_tags({"optuna.study": study.study_name})

    def _names_for(self, values: Any) -> list[str]:
        if len(self._names) == len(values):
            return self._names
        return [f"{self._names[0]}_{number}" for number in range(len(values))]


def _distributions(trial: Any) -> dict[str, Any]:
    from optuna.distributions import distribution_to_json

    return {name: json.loads(distribution_to_json(each)) for name, each in trial.distributions.items()}


def _mode(direction: Any) -> Any:
    return {"MINIMIZE": "min", "MAXIMIZE": "max"}.get(direction.name)
