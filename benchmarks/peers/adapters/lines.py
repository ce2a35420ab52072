"""The floor: a line of text per point, in a file that is flushed at every line. A tracker in name only."""

from __future__ import annotations

from pathlib import Path
from time import time_ns

from benchmarks.peers.adapters.base import Adapter, MissingError


class Lines(Adapter):
    buffering = 1

    def start(self, name: str) -> str:
        path = Path(self.place, f"{name}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", buffering=self.buffering, encoding="utf-8")
        return str(path)

    def log(self, key: str, value: float, step: int) -> None:
        self._file.write(f"{key} {value} {step} {time_ns()}\n")

    def finish(self) -> None:
        self._file.close()

    def build(self, n_runs: int) -> None:
        raise MissingError("no table of runs")

    def read(self, ref: str, key: str) -> list[float]:
        found = []
        with open(ref, encoding="utf-8") as file:
            for line in file:
                fields = line.split(" ")
                if fields[0] == key and len(fields) == 4:
                    found.append(float(fields[1]))
        return found
