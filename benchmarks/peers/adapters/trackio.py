"""Trackio, into its local SQLite file (TRACKIO_DIR)."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.adapters.base import Adapter


class Trackio(Adapter):
    _trackio: Any

    def load(self) -> None:
        import trackio

        self._trackio = trackio

    def start(self, name: str) -> str:
        self._trackio.init(project="bench", name=name)
        return name

    def log(self, key: str, value: float, step: int) -> None:
        self._trackio.log({key: value}, step=step)

    def log_many(self, values: dict[str, float], step: int) -> None:
        self._trackio.log(values, step=step)

    def finish(self) -> None:
        self._trackio.finish()

    def build(self, n_runs: int) -> None:
        for number in range(n_runs):  # params are given at the start
            self._trackio.init(
                project="bench", name=f"run{number}", config={f"p{each}": number / (each + 1) for each in range(5)}
            )
            self._trackio.log({f"m{each}": number / n_runs for each in range(5)}, step=0)
            self._trackio.finish()

    def read(self, ref: str, key: str) -> list[float]:
        from trackio.sqlite_storage import SQLiteStorage

        points = SQLiteStorage.get_metric_values("bench", ref, key)
        return [point["value"] for point in sorted(points, key=lambda point: point["step"])]

    def table(self) -> int:
        from trackio.sqlite_storage import SQLiteStorage

        rows = SQLiteStorage.query_project("bench", "SELECT run_name, step, metrics FROM metrics")
        params = SQLiteStorage.get_all_run_configs("bench")
        return min(len(rows["rows"]), len(params))
