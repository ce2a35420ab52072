"""exptrack's Python API; the database is in the working directory."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.adapters.base import Adapter


class Exptrack(Adapter):
    _experiment_class: Any
    _experiment: Any

    def load(self) -> None:
        from exptrack import Experiment

        self._experiment_class = Experiment

    def start(self, name: str) -> str:
        self._experiment = self._experiment_class(name=name)
        return str(self._experiment.id)

    def log(self, key: str, value: float, step: int) -> None:
        self._experiment.log_metric(key, value, step=step)

    def log_many(self, values: dict[str, float], step: int) -> None:
        self._experiment.log_metrics(values, step=step)

    def params(self, values: dict[str, float]) -> None:
        self._experiment.log_params(values)

    def finish(self) -> None:
        self._experiment.finish()

    def read(self, ref: str, key: str) -> list[float]:
        from exptrack.core import queries
        from exptrack.core.db import get_db

        series = queries.get_metrics_series(get_db(), ref, max_points=1 << 40)
        return [point["value"] for point in series[key]]

    def table(self) -> int:
        from exptrack.core import queries
        from exptrack.core.db import get_db

        return len(queries.list_experiments(get_db(), limit=1 << 30))
