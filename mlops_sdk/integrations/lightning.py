"""PyTorch Lightning: `MlopsLogger` for the ``logger=`` of a ``Trainer``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import MissingDependencyError
from mlops_sdk.integrations.target import needed
from mlops_sdk.run import active
from mlops_sdk.run.start import start_run

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run


def _base() -> tuple[Any, Any]:
    """`Logger` and `rank_zero_only` of whichever of Lightning's two packages is there."""
    try:
        return needed("lightning.pytorch.loggers").Logger, needed("lightning.pytorch.utilities").rank_zero_only
    except MissingDependencyError:
        loggers = needed("pytorch_lightning.loggers", package="lightning")
        return loggers.Logger, needed("pytorch_lightning.utilities").rank_zero_only


_Logger: Any
_rank_zero_only: Any
_Logger, _rank_zero_only = _base()


class MlopsLogger(_Logger):  # type: ignore[misc]  # its base has no types here
    """What modules and trainers log goes to a run.

    Parameters
    ----------
    run : Run, optional
        Default: the active one when something is first logged, else one that is started then.
    log_checkpoints : {False, "best", "all"}
        Keep the checkpoints that Lightning writes as artifacts.
    **start
        Of `mlops_sdk.start_run`, for a run that it starts itself, which ends as the training does.
    """

    def __init__(self, run: Run | None = None, *, log_checkpoints: bool | str = False, **start: Any) -> None:
        super().__init__()
        self._run = run
        self._is_ours = False
        self._start = start
        self._log_checkpoints = log_checkpoints
        self._checkpoints: Any = None

    @property
    def experiment(self) -> Run:
        """The run."""
        if self._run is None:
            self._run = active.find()
        if self._run is None:
            self._run = start_run(**self._start)
            self._is_ours = True
        return self._run

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.experiment

    @property
    def version(self) -> str:
        """The run's id."""
        return self.experiment.run_id

    @_rank_zero_only  # type: ignore[untyped-decorator]
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics at Lightning's global step."""
        self.experiment.log_metrics(dict(metrics), step=step)

    @_rank_zero_only  # type: ignore[untyped-decorator]
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *_args: Any, **_options: Any) -> None:
        """Log hyperparameters as params."""
        found = vars(params) if isinstance(params, Namespace) else dict(params)
        if found:
            self.experiment.log_params(found)

    @_rank_zero_only  # type: ignore[untyped-decorator]
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Remember where checkpoints are; they are kept at the end, when it is known which are the best."""
        self._checkpoints = checkpoint_callback

    @_rank_zero_only  # type: ignore[untyped-decorator]
    def finalize(self, status: str) -> None:
        """Keep the checkpoints that are asked for; end a run that this logger started."""
        if self._log_checkpoints and self._checkpoints is not None:
            self._keep_checkpoints()
        if self._is_ours and self._run is not None:
            self._run.finish("FINISHED" if status in ("success", "finished") else "FAILED")

    def _keep_checkpoints(self) -> None:
        best = self._checkpoints.best_model_path
        paths = {best} if self._log_checkpoints == "best" else {best, *self._checkpoints.best_k_models}
        for path in sorted(path for path in map(str, paths) if path):
            self.experiment.log_artifact(path, "checkpoints")
        if best and self._checkpoints.best_model_score is not None:
            self.experiment.set_tag("best_checkpoint", f"checkpoints/{best.rpartition('/')[2]}")
