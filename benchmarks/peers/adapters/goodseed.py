"""GoodSeed with `storage="local"` (GOODSEED_STORAGE)."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.adapters.base import Adapter


class Goodseed(Adapter):
    _goodseed: Any
    _run: Any

    def load(self) -> None:
        import goodseed

        self._goodseed = goodseed

    def start(self, name: str) -> str:
        self._run = self._goodseed.Run(project="bench", name=name)
        return str(self._run.run_id)

    def log(self, key: str, value: float, step: int) -> None:
        self._run[key].log(value, step=step)

    def log_many(self, values: dict[str, float], step: int) -> None:
        self._run.log_metrics(values, step=step)

    def params(self, values: dict[str, float]) -> None:
        self._run.log_configs(values)

    def finish(self) -> None:
        self._run.close()

    def read(self, ref: str, key: str) -> list[float]:
        from goodseed.config import get_run_db_path
        from goodseed.storage import read_metrics

        return [point["value"] for point in read_metrics(get_run_db_path("bench", ref), key)]

    def table(self) -> int:
        from goodseed.config import get_run_db_path
        from goodseed.storage import read_configs, read_metrics

        rows = []
        for run in self._goodseed.list_runs("default", "bench", storage="local"):
            path = get_run_db_path("bench", run["run_id"])
            metrics = {point["path"]: point["value"] for point in read_metrics(path)}
            rows.append((run["run_id"], read_configs(path), metrics))
        return len(rows)
