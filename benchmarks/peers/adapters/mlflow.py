"""MLflow's fluent API, over SQLite or over its server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.adapters.base import Adapter


class Sqlite(Adapter):
    _mlflow: Any
    _run_id: str

    @property
    def _uri(self) -> str:
        return f"sqlite:///{self.place}/mlflow.db"

    def load(self) -> None:
        import mlflow

        self._mlflow = mlflow

    def _connect(self) -> None:
        Path(self.place).mkdir(parents=True, exist_ok=True)
        self._mlflow.set_tracking_uri(self._uri)

    def start(self, name: str) -> str:
        self._connect()
        self._mlflow.set_experiment("bench")
        self._run_id = str(self._mlflow.start_run(run_name=name).info.run_id)
        return self._run_id

    def log(self, key: str, value: float, step: int) -> None:
        self._mlflow.log_metric(key, value, step=step)

    def log_many(self, values: dict[str, float], step: int) -> None:
        self._mlflow.log_metrics(values, step=step)

    def params(self, values: dict[str, float]) -> None:
        self._mlflow.log_params(values)

    def fill(self, key: str, values: Sequence[float]) -> None:
        from mlflow.entities import Metric

        client = self._mlflow.MlflowClient()
        for first in range(0, len(values), 1000):  # the most that one call takes
            now = int(time.time() * 1000)
            batch = [Metric(key, value, now, first + at) for at, value in enumerate(values[first : first + 1000])]
            client.log_batch(self._run_id, metrics=batch)

    def finish(self) -> None:
        self._mlflow.end_run()

    def read(self, ref: str, key: str) -> list[float]:
        self._connect()
        history = self._mlflow.MlflowClient().get_metric_history(ref, key)
        return [point.value for point in sorted(history, key=lambda point: point.step)]

    def table(self) -> int:
        self._connect()
        runs = self._mlflow.search_runs(experiment_names=["bench"], filter_string="metrics.m0 >= 0", max_results=50_000)
        return len(runs)

    def digest(self, data: object) -> str:
        return str(self._mlflow.data.from_numpy(data).digest)


class Server(Sqlite):
    @property
    def _uri(self) -> str:
        assert self.url is not None
        return self.url
