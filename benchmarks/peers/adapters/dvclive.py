"""DVCLive outside a Git repository: plots as TSV. `next_step()`, which rewrites the summary (some ms), is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.adapters.base import Adapter, MissingError


class Dvclive(Adapter):
    _live_class: Any
    _live: Any

    def load(self) -> None:
        from dvclive import Live

        self._live_class = Live

    def start(self, name: str) -> str:
        directory = str(Path(self.place, name))
        self._live = self._live_class(directory)
        return directory

    def log(self, key: str, value: float, step: int) -> None:
        self._live.step = step
        self._live.log_metric(key, value)

    def finish(self) -> None:
        self._live.end()

    def read(self, ref: str, key: str) -> list[float]:
        from dvclive.utils import parse_tsv

        return [float(row[key]) for row in parse_tsv(Path(ref, "plots", "metrics", f"{key}.tsv")) if row[key]]

    def build(self, n_runs: int) -> None:
        raise MissingError("no table of runs without Git and DVC")

    def table(self) -> int:
        raise MissingError("no table of runs without Git and DVC")
