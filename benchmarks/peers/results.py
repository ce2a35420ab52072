"""What was measured: plain data, which is JSON as it stands."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1


@dataclass
class Results:
    """Figures of one run of the benchmark.

    Attributes
    ----------
    about : dict
        Machine, date, versions, options.
    systems : dict
        By name: label, version, note, whether it is ours.
    figures : dict
        By system and metric: the values of all repeats.
    troubles : dict
        By system and workload: ``missing`` (no such thing) or ``failed``, with the reason and how often.
    """

    about: dict[str, Any] = field(default_factory=dict)
    systems: dict[str, dict[str, Any]] = field(default_factory=dict)
    figures: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    troubles: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    format: int = FORMAT

    def add(self, system: str, metric: str, *values: Any) -> None:
        """Note values of one repeat."""
        self.figures.setdefault(system, {}).setdefault(metric, []).extend(values)

    def trouble(self, system: str, workload: str, kind: str, reason: str) -> None:
        """Note that there is no such thing, or that it failed."""
        noted = self.troubles.setdefault(system, {}).setdefault(workload, {"kind": kind, "reason": reason, "times": 0})
        noted["times"] += 1

    def values(self, system: str, metric: str) -> list[Any]:
        """All values; empty where there are none."""
        return self.figures.get(system, {}).get(metric, [])

    def median(self, system: str, metric: str) -> float | None:
        """The median, if there is a value."""
        values = self.values(system, metric)
        return statistics.median(values) if values else None

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_short(asdict(self)), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If it is of another format.
        """
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.get("format") != FORMAT:
            raise ValueError(f"{path}: format {data.get('format')}, {FORMAT} expected")
        return cls(**data)


def _short(value: Any) -> Any:
    """Four significant digits are more than a benchmark knows."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value]
    return value


def size_bytes(directories: Iterable[Path]) -> int:
    """Bytes of all files below."""
    total = 0
    for directory in directories:
        for path in directory.rglob("*"):
            try:
                if path.is_file() and not path.is_symlink():
                    total += path.stat().st_size
            except OSError:  # removed in the meantime, by a helper process
                continue
    return total
