"""Weights & Biases, offline. What it wrote is read from its own log: there is no local reader in the package any more."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.adapters.base import Adapter, MissingError

_BLOCK_BYTES = 32 * 1024
_FILE_HEADER_BYTES = 7
_RECORD_HEADER = struct.Struct("<IHB")  # checksum, length, type: whole 1, first 2, middle 3, last 4


class Wandb(Adapter):
    _wandb: Any
    _run: Any

    def load(self) -> None:
        import wandb

        self._wandb = wandb

    def start(self, name: str) -> str:
        Path(self.place).mkdir(parents=True, exist_ok=True)
        self._run = self._wandb.init(project="bench", name=name, dir=self.place)
        return str(self._run.id)

    def log(self, key: str, value: float, step: int) -> None:
        self._run.log({key: value}, step=step)

    def log_many(self, values: dict[str, float], step: int) -> None:
        self._run.log(values, step=step)

    def finish(self) -> None:
        self._run.finish()

    def read(self, ref: str, key: str) -> list[float]:
        from wandb.proto.wandb_internal_pb2 import Record

        files = sorted(Path(self.place).rglob(f"run-{ref}.wandb"))
        if not files:
            raise LookupError(f"no file of run {ref}")
        found: list[float] = []
        for payload in records_of(files[0].read_bytes()):
            record = Record()
            record.ParseFromString(payload)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                found += [json.loads(item.value_json) for item in items if key in (item.key, *item.nested_key)]
        return found

    def build(self, n_runs: int) -> None:
        raise MissingError("no query of local runs")

    def table(self) -> int:
        raise MissingError("no query of local runs")

    def digest(self, data: Any) -> str:
        import numpy as np

        path = Path(self.place, "data.npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, data)
        artifact = self._wandb.Artifact("data", type="dataset")
        artifact.add_file(str(path))
        return str(artifact.digest)


def records_of(data: bytes) -> Iterator[bytes]:
    """Payloads of a log in LevelDB's format; ends at the first that is torn."""
    at, parts = _FILE_HEADER_BYTES, b""
    while True:
        if _BLOCK_BYTES - at % _BLOCK_BYTES < _RECORD_HEADER.size:
            at += _BLOCK_BYTES - at % _BLOCK_BYTES
        if at + _RECORD_HEADER.size > len(data):
            return
        _, length, kind = _RECORD_HEADER.unpack_from(data, at)
        at += _RECORD_HEADER.size
        if kind == 0 or at + length > len(data):
            return
        parts += data[at : at + length]
        at += length
        if kind in (1, 4):
            yield parts
            parts = b""
