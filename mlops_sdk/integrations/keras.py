"""Keras 3: `Callback` for the ``callbacks=`` of ``fit`` and ``evaluate``, on any backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_sdk.integrations.target import needed, run_or_active

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

_Callback: Any = needed("keras.callbacks", package="keras").Callback


class Callback(_Callback):  # type: ignore[misc]  # its base has no types here
    """Log metrics an epoch, the optimizer's params and the model's summary.

    Parameters
    ----------
    run : Run, optional
        Default: the one that is active when training begins.
    every_n_batches : int, optional
        Log ``batch/...`` metrics too, every so many batches.
    log_params : bool
    log_model : bool
        Keep the model at the end, pickled (Keras' own archive inside).
    """

    def __init__(
        self,
        run: Run | None = None,
        *,
        every_n_batches: int | None = None,
        log_params: bool = True,
        log_model: bool = False,
    ) -> None:
        super().__init__()
        self._run = run
        self._every = every_n_batches
        self._log_params = log_params
        self._log_model = log_model
        self._n_batches = 0
        self._is_fitting = False  # which evaluates too, for validation

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Find the run; log params and the summary."""
        self._run = run_or_active(self._run)
        self._is_fitting = True
        if not self._log_params:
            return
        config = self.model.optimizer.get_config() if getattr(self.model, "optimizer", None) is not None else {}
        planned = {key: self.params[key] for key in ("epochs", "steps") if self.params.get(key) is not None}
        self._run.log_params({**planned, "optimizer": _plain(config), "n_weights": self.model.count_params()})
        lines: list[str] = []
        self.model.summary(print_fn=lambda line, **_: lines.append(str(line)))
        self._run.log_text("\n".join(lines) + "\n", "model_summary.txt")

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Log a batch, when asked."""
        self._n_batches += 1
        if self._run is not None and self._every and logs and self._n_batches % self._every == 0:
            self._run.log_metrics({f"batch/{key}": value for key, value in logs.items()}, step=self._n_batches - 1)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Log an epoch."""
        if self._run is not None and logs:
            self._run.log_metrics(dict(logs), step=epoch)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Log an evaluation that is not part of a training, as ``test_...``."""
        if not self._is_fitting and logs:
            self._run = run_or_active(self._run)
            self._run.log_metrics({f"test_{key}": value for key, value in logs.items()})

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Keep the model, when asked."""
        self._is_fitting = False
        if self._run is not None and self._log_model:
            self._run.log_model(self.model)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's settings; what is no number or text (a schedule) as text."""
    return {
        key: value if isinstance(value, (bool, int, float, str)) else str(value)
        for key, value in config.items()
        if value is not None
    }
