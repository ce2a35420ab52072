"""What the tables show of the results: a column is a title, a figure of a system, and the workload that it came from."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.results import Results

NOTHING = "no such thing"
UNMEASURED = "-"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    title : str
    workload : str
        Whose trouble stands here when there is no figure.
    text : callable
        The cell of a system, None without a figure.
    number : callable
        The same as a number that is better when it is smaller, for the chart and for what we are behind in.
    unit : str
        Of that number.
    metric : str
        Whose median it is, if it is one.
    """

    title: str
    workload: str
    text: Callable[[Results, str], str | None]
    number: Callable[[Results, str], float | None] = lambda _results, _system: None
    unit: str = ""
    metric: str = ""

    def cell(self, results: Results, system: str) -> str:
        """The figure; without one, that there is no such thing or that it failed."""
        text = self.text(results, system)
        trouble = results.troubles.get(system, {}).get(self.workload)
        if text is not None:
            return text
        if trouble is None:
            return UNMEASURED
        return NOTHING if trouble["kind"] == "missing" else "failed"

    def is_measured(self, results: Results) -> bool:
        """Whether there is anything to show, be it a failure."""
        return any(self.cell(results, system) != UNMEASURED for system in results.systems)


def short(value: float) -> str:
    """Three significant digits."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 2)}f}"


def spread(values: Sequence[float], scale: float = 1.0) -> str | None:
    """Median, least and greatest."""
    if not values:
        return None
    scaled = [value * scale for value in values]
    middle = short(statistics.median(scaled))
    if len(scaled) == 1:
        return middle
    return f"{middle} ({short(min(scaled))}-{short(max(scaled))})"


def _plain(title: str, workload: str, metric: str, unit: str, *, is_less_better: bool = True) -> Column:
    def number(results: Results, system: str) -> float | None:
        median = results.median(system, metric)
        return median if median is None or is_less_better else 1 / median

    return Column(title, workload, lambda results, system: spread(results.values(system, metric)), number, unit, metric)


# -- columns that are more than a list of numbers ----------------------------------------------------------------------


def _until_first(results: Results, system: str) -> float | None:
    parts = [results.median(system, metric) for metric in ("import_ms", "start_ms")]
    return None if None in parts else sum(part for part in parts if part is not None)


def _until_first_text(results: Results, system: str) -> str | None:
    value = _until_first(results, system)
    return None if value is None else short(value)


def _fidelity(results: Results, system: str) -> str | None:
    values = results.values(system, "fidelity")
    return {"exact": "yes"}.get(values[-1], values[-1]) if values else None


def _killed(metric: str) -> Callable[[Results, str], str | None]:
    def text(results: Results, system: str) -> str | None:
        found = _sum(results.values(system, metric))
        if found is None:
            return None
        share = f" ({100 * found['lost'] / found['acknowledged']:.0f} %)" if found["lost"] else ""
        parts = [f"{found['lost']:,} of {found['acknowledged']:,}{share}"]
        if found["runs_with_gaps"]:
            parts.append(f"gaps or strays in {found['runs_with_gaps']} of {found['trials']}")
        if found["runs_unreadable"]:
            parts.append(f"{found['runs_unreadable']} of {found['trials']} unreadable")
        if found["late"]:
            parts.append(f"{found['late']:,} only at the second read")
        return "; ".join(parts)

    return text


def lost_share(metric: str) -> Callable[[Results, str], float | None]:
    """Share of the acknowledged points that a kill lost."""

    def number(results: Results, system: str) -> float | None:
        found = _sum(results.values(system, metric))
        return None if not found or not found["acknowledged"] else found["lost"] / found["acknowledged"]

    return number


def _sum(repeats: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    keys = ("trials", "acknowledged", "lost", "late", "runs_with_loss", "runs_with_gaps", "runs_unreadable")
    return {key: sum(repeat[key] for repeat in repeats) for key in keys} if repeats else None


def _processes(results: Results, system: str) -> str | None:
    values = results.values(system, "processes")
    if not values:
        return None
    errors, lost = (sum(value[key] for value in values) for key in ("errors", "lost"))
    logged = sum(value["logged"] for value in values)
    seconds = spread([value["seconds"] for value in values])
    return f"{seconds} s; {errors} errors; " + (f"{lost:,} of {logged:,} lost" if lost else "0 lost")


def _sees_a_change(results: Results, system: str) -> str | None:
    values = results.values(system, "sees_a_change")
    return ("yes" if all(values) else "**no**") if values else None


ONE = _plain("one metric, us", "calls", "one_us", "us")
TEN = _plain("ten metrics, us", "calls", "ten_us", "us")
START = _plain("start, ms", "start", "start_ms", "ms")
FIRST = Column("import + start, ms", "start", _until_first_text, _until_first, "ms")
BYTES = _plain("bytes a point", "history", "bytes_point", "bytes")
READ = _plain("read a long metric, ms", "read", "read_ms", "ms")
TABLE = _plain("table of runs, ms", "table", "table_ms", "ms")
MEMORY = _plain("memory with a run open, MiB", "calls", "memory_mib", "MiB")
TIGHT = Column("lost, tight loop", "kill", _killed("kill_tight"), lost_share("kill_tight"), "of what was acknowledged")
PACED = Column(
    "lost, 100 a second", "kill", _killed("kill_paced"), lost_share("kill_paced"), "of what was acknowledged"
)

SECTIONS: dict[str, tuple[Column, ...]] = {
    "Logging": (
        _plain("import, ms", "import", "import_ms", "ms"),
        _plain("start on a fresh store, ms", "start", "start_fresh_ms", "ms"),
        START,
        FIRST,
        ONE,
        _plain("its p99, us", "calls", "one_p99_us", "us"),
        _plain("in text lines", "calls", "one_in_lines", "lines"),
        TEN,
        _plain("calls a second, with finish", "calls", "per_s", "s a call", is_less_better=False),
        _plain("finish, ms", "start", "finish_ms", "ms"),
    ),
    "Keeping and reading": (
        BYTES,
        READ,
        Column("as it was logged", "read", _fidelity),
        TABLE,
        Column("8 processes on a fresh store", "processes", _processes),
        MEMORY,
        _plain("memory added by a long metric, MiB", "history", "grown_mib", "MiB"),
    ),
    "Losing": (
        TIGHT,
        PACED,
        _plain("digest of data, ms", "dataset", "digest_ms", "ms"),
        Column("sees a changed value", "dataset", _sees_a_change),
    ),
}
README_COLUMNS = (FIRST, ONE, BYTES, READ, TABLE, TIGHT, PACED)
