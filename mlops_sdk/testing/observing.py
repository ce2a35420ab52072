"""Everything that a store's readers can see, as plain data that compares, and what differs between two of them."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_sdk.entities import PARTS, MetricSummary, RunParts, RunQuery
from mlops_sdk.errors import MetricNotFoundError

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store


class Mean(NamedTuple):
    """A mean, which a store may add up in another order; `scale` is the greatest magnitude among the values."""

    value: float
    scale: float

    def is_close(self, other: Mean) -> bool:
        """Whether both can be the mean of the same values."""
        if math.isnan(self.value) or math.isnan(other.value):
            return math.isnan(self.value) == math.isnan(other.value)
        return math.isclose(self.value, other.value, rel_tol=1e-9, abs_tol=1e-12 * self.scale)


def observe(store: Store, *, keys: Iterable[str] = ()) -> dict[str, Any]:
    """Read everything of a store.

    Parameters
    ----------
    store : Store
    keys : iterable of str
        Metrics to ask for besides those that have a summary.

    Returns
    -------
    dict
        Plain data: floats as their bits, sequences whose order means nothing sorted. Two stores that were told the same
        have no `differences`.
    """
    heads = store.find(RunQuery(deleted=None))
    parts = store.load([head.run_id for head in heads], PARTS)
    return {
        "experiments": {each.name: plain(each) for each in store.experiments(deleted=None)},
        "order": [head.run_id for head in heads],
        "runs": {
            head.run_id: {
                "head": plain(head),
                **_parts(parts[head.run_id]),
                "series": _all_series(store, head.run_id, parts[head.run_id], keys),
            }
            for head in heads
        },
    }


def _parts(parts: RunParts) -> dict[str, Any]:
    seen: dict[str, Any] = {
        name: plain(getattr(parts, name)) for name in ("params", "config", "tags", "definitions", "environment")
    }
    seen["metrics"] = {key: _summary(summary) for key, summary in parts.metrics.items()}
    seen["artifacts"] = sorted(plain(parts.artifacts), key=lambda ref: (ref["path"], ref["version"]))
    seen["datasets"] = plain(parts.datasets)
    seen["writers"] = {state.writer_id: plain(state) for state in parts.writers if state.role != "editor"}
    seen["children"] = sorted(parts.children)
    seen["warnings"] = {warning["cause"]: plain(warning) for warning in parts.warnings}
    return seen


def _summary(summary: MetricSummary) -> dict[str, Any]:
    seen = asdict(summary)
    if summary.nan_count == summary.count:  # no extremes: where they are means nothing
        seen = {name: value for name, value in seen.items() if not name.startswith(("min_", "max_"))}
    scale = max(abs(summary.min), abs(summary.max))
    return {**{name: _plain_number(value) for name, value in seen.items()}, "mean": Mean(summary.mean, scale)}


def _plain_number(value: Any) -> Any:
    """Bits of a float, NaNs alike: a summary says that it is one, the series keeps which."""
    return "nan" if isinstance(value, float) and math.isnan(value) else plain(value)


def _all_series(store: Store, run_id: str, parts: RunParts, keys: Iterable[str]) -> dict[str, Any]:
    attempts = {writer.attempt for writer in parts.writers}
    chosen = [(rank, attempt) for rank in (None, 0, 1, "all") for attempt in (None, "all", *sorted(attempts))]
    return {
        f"{key}, rank {rank}, attempt {attempt}": _series(store, run_id, key, rank, attempt)
        for key in sorted({*parts.metrics, *keys})
        for rank, attempt in chosen
    }


def _series(store: Store, run_id: str, key: str, rank: int | str | None, attempt: int | str | None) -> Any:
    try:
        series = store.series(run_id, key, rank=rank, attempt=attempt)
    except MetricNotFoundError:
        return "no such metric"
    return {
        "step": series.step.tolist(),
        "bits": series.value.view("u8").tolist(),
        "time_ns": series.time_ns.tolist(),
        "rank": None if series.rank is None else series.rank.tolist(),
        "n_total": series.n_total,
    }


def plain(value: Any) -> Any:
    """`value` as data that compares: floats become their bits, with their sign and payload."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(each) for name, each in asdict(value).items()}
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return f"float {value!r} {struct.pack('>d', value).hex()}"
    return (type(value).__name__, value) if isinstance(value, bool | int) else value


def differences(expected: Any, found: Any, place: str = "") -> list[str]:
    """What differs between two observations, each with its place; empty when nothing does."""
    return list(_differences(expected, found, place))


def _differences(expected: Any, found: Any, place: str) -> Iterator[str]:
    if isinstance(expected, Mean) and isinstance(found, Mean):
        if not expected.is_close(found):
            yield f"{place}: {expected.value!r} expected, {found.value!r} found"
    elif isinstance(expected, dict) and isinstance(found, dict):
        for key in [*expected, *(key for key in found if key not in expected)]:
            missing = f"{place}/{key}: only in " + ("the store" if key in found else "the model")
            if key in expected and key in found:
                yield from _differences(expected[key], found[key], f"{place}/{key}")
            else:
                yield missing
    elif expected != found:
        yield f"{place}: {expected!r} expected, {found!r} found"
