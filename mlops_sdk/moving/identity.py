"""What a run is, whichever store it is in: counts, and one hash over all that can be read of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import RunNotFoundError
from mlops_sdk.stores.http import wire

if TYPE_CHECKING:
    from mlops_sdk.entities import MetricSeries, Part, RunHead, RunParts
    from mlops_sdk.stores.protocol import Store

NEEDED: tuple[Part, ...] = ("params", "tags", "metrics", "artifacts", "datasets", "writers", "environment", "warnings")
_HEAD = (
    "run_id", "name", "experiment", "status", "start_ns", "end_ns", "description", "parent", "user", "host",
    "entry_point", "end_reason", "is_provisional",
)  # fmt: skip
_PARTS = ("params", "config", "tags", "definitions", "artifacts", "datasets", "environment", "warnings")


@dataclass(frozen=True, slots=True)
class Identity:
    """What two copies of a run have in common.

    Attributes
    ----------
    run_id : str
    digest : str
        SHA-256, hex, over everything: head, params, tags, every point of every metric (those of earlier attempts too),
        artifacts by their digests, datasets, environment, warnings. Not over when the run was last heard of, nor over
        which process wrote what.
    n_points, n_artifacts : int
    """

    run_id: str
    digest: str
    n_points: int
    n_artifacts: int


def head_of(store: Store, run_id: str) -> RunHead | None:
    """The row of a run, None where the store has none of that id; also one in the trash."""
    found = store.find(RunQuery(run_ids=(run_id,), deleted=None))
    return found[0] if found else None


def parts_of(store: Store, run_id: str) -> RunParts:
    """Everything of a run but its points.

    Raises
    ------
    RunNotFoundError
    """
    try:
        return store.load([run_id], NEEDED)[run_id]
    except KeyError:
        raise RunNotFoundError(run_id) from None


def identify(store: Store, run_id: str) -> Identity:
    """Read a run whole, and say what it is.

    Raises
    ------
    RunNotFoundError
    StoreError
    """
    head = head_of(store, run_id)
    if head is None:
        raise RunNotFoundError(run_id)
    parts = parts_of(store, run_id)
    hasher, n_points = hashlib.sha256(), 0
    hasher.update(wire.dumps([getattr(head, name) for name in _HEAD]))
    hasher.update(wire.dumps([_sorted(getattr(parts, name)) for name in _PARTS]))
    for key in sorted(metric_keys(parts)):
        every, standing = all_points(store, run_id, key), store.series(run_id, key)
        n_points += len(every)
        hasher.update(wire.dumps([key, len(every), len(standing)]))
        hasher.update(_columns(every))
        hasher.update(_columns(standing))
    return Identity(run_id, hasher.hexdigest(), n_points, len(parts.artifacts))


def metric_keys(parts: RunParts) -> list[str]:
    """Names of the metrics of a run."""
    return sorted(parts.metrics)


def all_points(store: Store, run_id: str, key: str) -> MetricSeries:
    """Points of every writer and every attempt."""
    return store.series(run_id, key, rank="all", attempt="all")


def _columns(series: MetricSeries) -> bytes:
    """The points in an order that does not depend on the store: of equal steps and times, the writers' order does."""
    import numpy as np

    bits = np.ascontiguousarray(series.value).view(np.int64)
    ranks = np.zeros(len(series), np.int64) if series.rank is None else series.rank
    order = np.lexsort((bits, ranks, series.time_ns, series.step))
    return b"".join(column[order].astype("<i8").tobytes() for column in (series.step, series.time_ns, ranks, bits))


def _sorted(value: Any) -> Any:
    """Mappings in the order of their keys; data classes as lists of their fields."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        return [_sorted(getattr(value, each.name)) for each in fields(value)]
    return value
