"""CatBoost: `Callback` for the ``callbacks=`` of ``fit``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_sdk.integrations.target import run_or_active

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run


class Callback:
    """Log every round of evaluation.

    Parameters
    ----------
    run : Run, optional
        Default: the one that is active when training begins.

    Notes
    -----
    Metrics are ``<data set>/<metric>`` (``learn/Logloss``, ``validation/AUC``), a point a round. CatBoost hands neither params
    nor the model to a callback: log them yourself, or fit by ``run.fit``. It takes callbacks on the CPU only.
    """

    def __init__(self, run: Run | None = None) -> None:
        self._run = run

    def after_iteration(self, info: Any) -> bool:
        """Log one round; True: go on."""
        self._run = run_or_active(self._run)
        values = {
            f"{data}/{metric}": history[-1]
            for data, metrics in (info.metrics or {}).items()
            for metric, history in metrics.items()
            if history
        }
        if values:
            self._run.log_metrics(values, step=info.iteration - 1)  # CatBoost counts from 1
        return True
