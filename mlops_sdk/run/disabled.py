"""A run that records nothing and costs nothing: ``mode="disabled"``."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_sdk.entities import ArtifactRef, MetricSeries, Part, RunHead, RunParts
from mlops_sdk.errors import MetricNotFoundError
from mlops_sdk.run.run import Run
from mlops_sdk.values.describing import text_of

if TYPE_CHECKING:
    from mlops_sdk.fingerprint.fingerprint import Fingerprint

_WHY = "tracking is disabled"


class DisabledRun(Run):
    """Takes every call of `Run` and does nothing; reads as an empty run."""

    def __init__(self, run_id: str, name: str) -> None:
        self._run_id = run_id
        self.name_hint = name
        self._is_over = False
        self._is_attached = False
        self._previous = None
        self._start_ns = time.time_ns()

    def log_metric(self, key: str, value: Any, step: int | None = None, *, timestamp: Any = None) -> None:
        """Do nothing."""

    def log_metrics(self, mapping: Any, step: int | None = None, *, timestamp: Any = None) -> None:
        """Do nothing."""

    def live(self, *keys: str) -> None:
        """Do nothing."""

    def log(self, mapping: Any, step: int | None = None) -> None:
        """Do nothing."""

    def _guard(self, key: str | None, action: Any) -> None:
        """Do nothing."""

    def _keep(self, name: object, put: Any) -> ArtifactRef:
        return ArtifactRef(text_of(name), error=_WHY)

    def _log_dataset(self, data: Any, name: Any, context: Any, target: Any, tags: Any) -> Fingerprint:
        from mlops_sdk.fingerprint.fingerprint import Fingerprint

        return Fingerprint(None, None, "", 0, error=_WHY)

    def track_dataset(self, iterable: Any, *, name: Any = None, context: Any = None, target: Any = None) -> Any:
        """The iterable itself."""
        return iterable

    def log_artifacts(
        self,
        dir: Any,  # noqa: A002 - as in Run
        artifact_path: str | None = None,
        *,
        step: int | None = None,
    ) -> list[ArtifactRef]:
        """Do nothing."""
        return []

    def artifact_path(self, name: str) -> Path:
        """A path in a temporary directory that nobody looks at."""
        import tempfile

        return Path(tempfile.mkdtemp(prefix="mlops-disabled-")) / Path(name).name

    def _head(self) -> RunHead:
        end_ns = time.time_ns() if self._is_over else None
        status: Any = "FINISHED" if self._is_over else "RUNNING"
        start = self._start_ns
        return RunHead(
            self._run_id, self.name_hint, "", status, start, end_ns, time.time_ns(), "", None, "", "", "", None
        )

    def _part(self, part: Part) -> RunParts:
        return RunParts()

    def metric(self, key: str, **options: Any) -> MetricSeries:
        """Nothing was recorded.

        Raises
        ------
        MetricNotFoundError
        """
        raise MetricNotFoundError(key)

    def child(self, name: str | None = None, **options: Any) -> Run:
        """Another run that records nothing."""
        return DisabledRun(self._run_id, name or self.name_hint)

    def fit(self, estimator: Any, X: Any, y: Any = None, *, validation: Any = None, **fit_params: Any) -> Any:
        """Fit, and record nothing."""
        return estimator.fit(X, **fit_params) if y is None else estimator.fit(X, y, **fit_params)

    def sklearn(self, **options: Any) -> AbstractContextManager[Run]:
        """Do nothing around the block."""
        return nullcontext(self)

    def flush(self, timeout_s: float = 30.0, *, count_dropped: bool = True) -> None:
        """Do nothing."""

    def health(self) -> dict[str, Any]:
        """All zero."""
        return {
            "logged": 0,
            "delivered": 0,
            "waiting": 0,
            "dropped": 0,
            "errors": {},
            "messages": {},
            "last_error": None,
        }

    def finish(self, status: str | None = None) -> None:
        """Do nothing."""
        self._is_over = True

    def _finish(self, ending: Any, *, deadline: float | None = None) -> None:
        self._is_over = True

    def __reduce__(self) -> tuple[Any, ...]:
        return DisabledRun, (self._run_id, self.name_hint)

    def __repr__(self) -> str:
        return f"<Run {self.name_hint!r} disabled>"
