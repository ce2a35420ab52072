"""tensorboardX; TensorBoard reads what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.adapters.base import Adapter, MissingError


class TensorboardX(Adapter):
    _tensorboardx: Any
    _writer: Any

    def load(self) -> None:
        import tensorboardX

        self._tensorboardx = tensorboardX

    def start(self, name: str) -> str:
        directory = str(Path(self.place, name))
        self._writer = self._tensorboardx.SummaryWriter(directory)
        return directory

    def log(self, key: str, value: float, step: int) -> None:
        self._writer.add_scalar(key, value, step)

    def finish(self) -> None:
        self._writer.close()

    def read(self, ref: str, key: str) -> list[float]:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(ref, size_guidance={"scalars": 0})
        events.Reload()
        return [event.value for event in events.Scalars(key)]

    def build(self, n_runs: int) -> None:
        raise MissingError("no table of runs outside the viewer")

    def table(self) -> int:
        raise MissingError("no table of runs outside the viewer")
