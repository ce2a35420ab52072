"""Aim, into a local repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.adapters.base import Adapter


class Aim(Adapter):
    _aim: Any
    _run: Any

    def load(self) -> None:
        import aim

        self._aim = aim

    def start(self, name: str) -> str:
        Path(self.place).mkdir(parents=True, exist_ok=True)
        self._run = self._aim.Run(repo=self.place, experiment="bench")
        self._run.name = name
        return str(self._run.hash)

    def log(self, key: str, value: float, step: int) -> None:
        self._run.track(value, name=key, step=step)

    def log_many(self, values: dict[str, float], step: int) -> None:
        self._run.track(values, step=step)

    def params(self, values: dict[str, float]) -> None:
        self._run["hparams"] = values

    def finish(self) -> None:
        self._run.close()

    def build(self, n_runs: int) -> None:
        super().build(n_runs)
        self.recover()

    def recover(self) -> None:
        # Until they are indexed, by this or by `aim up`, the readers of the SDK find no runs.
        self.command("aim", "storage", "--repo", self.place, "reindex", "--yes", timeout_s=120)

    def read(self, ref: str, key: str) -> list[float]:
        from aim.storage.context import Context

        run = self._aim.Run(run_hash=ref, repo=self.place, read_only=True)
        metric = run.get_metric(key, Context({}))
        if metric is None:
            raise LookupError(f"run {ref} has no metric {key}")
        _, (values, *_) = metric.data.view(("val",)).numpy()  # by step
        return values.tolist()  # type: ignore[no-any-return]

    def table(self) -> int:
        from aim.sdk.types import QueryReportMode

        # Read-only repositories are not implemented.
        found = self._aim.Repo.from_path(self.place).query_runs(
            "run.hparams.p0 >= 0", report_mode=QueryReportMode.DISABLED
        )
        runs = (each.run for each in found.iter_runs())
        rows = [(run.hash, run["hparams"], run.collect_sequence_info(("metric",))) for run in runs]
        return len(rows)
