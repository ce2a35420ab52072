"""`MemoryStore`: the store protocol in plain Python, for tests and as the model that other stores are compared with.

Clarity before speed: state is what the records said; summaries and orders are worked out when they are read.
"""

from __future__ import annotations

import copy
import math
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from mlops_sdk.conditions import Field, FieldKind, comparable
from mlops_sdk.entities import (
    PARTS,
    Experiment,
    MetricSeries,
    MetricSummary,
    OrderBy,
    Part,
    RunHead,
    RunParts,
    RunQuery,
    WriterState,
)
from mlops_sdk.errors import InvalidValueError, MetricNotFoundError, RunNotFoundError
from mlops_sdk.journal.acknowledging import news
from mlops_sdk.journal.records import Batch, Decoded, Event, Kind, decode, extend_chain
from mlops_sdk.stores.memory_blobs import MemoryBlobs
from mlops_sdk.stores.memory_conditions import Search, attribute, param_value, summary_value
from mlops_sdk.stores.memory_run import MemoryRun, Point, ending, get, new_run

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Blobs

LIKE_FROM = 4
"""A prefix or suffix of an id has at least so many characters."""


class Rejected(NamedTuple):
    """A record, or a part of it, that was acknowledged and could not be applied; `kind` is 0 for a point."""

    writer_id: str
    sequence: int
    kind: int
    reason: str


class MemoryStore:
    """A store that lives as long as the object.

    Attributes
    ----------
    rejected : list of Rejected
        What was acknowledged and could not be applied.

    Notes
    -----
    Thread-safe: one lock around every method. "Durable" means as durable as the process. Use it in one process only.
    """

    def __init__(self) -> None:
        self.uri = "memory:"
        self.is_remote = False
        self.store_id = uuid.uuid4().hex
        self.blobs: Blobs = MemoryBlobs()
        self.rejected: list[Rejected] = []
        self._lock = threading.RLock()
        self._runs: dict[str, MemoryRun] = {}
        self._experiments: dict[str, Experiment] = {}
        self._writers: dict[str, WriterState] = {}
        self._presumed_dead: set[str] = set()
        self._keys: dict[tuple[str, int], str] = {}
        self._defined: dict[tuple[str, int], int] = {}
        self._checksums: dict[str, dict[int, int]] = {}

    def append(self, batch: Batch) -> int:
        """See `Store.append`."""
        header = batch.writer
        with self._lock:
            writer = self._writers.get(header.writer_id) or _new_writer(batch)
            history = self._checksums.setdefault(header.writer_id, {})
            fresh = news(batch, decode(batch), writer.sequence, history, partial(self._keys_before, header.writer_id))
            if fresh is None:
                return writer.sequence
            decoded = decode(fresh)
            chain = extend_chain(writer.chain, decoded.checksums)
            heard_ns = max([writer.heard_ns, *_times(decoded)])
            self._writers[header.writer_id] = replace(writer, sequence=fresh.last, chain=chain, heard_ns=heard_ns)
            history.update(zip(_column(decoded.numbers), _column(decoded.checksums), strict=True))
            self._apply(header.writer_id, decoded)
            return fresh.last

    def _keys_before(self, writer_id: str, number: int) -> dict[int, str]:
        return {
            key_id: self._keys[owner, key_id]
            for (owner, key_id), at in self._defined.items()
            if owner == writer_id and at < number
        }

    def acknowledged(self, writer_id: str) -> WriterState | None:
        """See `Store.acknowledged`."""
        with self._lock:
            return self._writers.get(writer_id)

    def find(self, query: RunQuery) -> list[RunHead]:
        """See `Store.find`."""
        with self._lock:
            runs = [run for run in self._runs.values() if _fits(run.head, query)]
            if query.where is not None:
                search = Search(self._runs, query.where, query.timeout_s)
                runs = [run for run in runs if search.finds(run)]
            heads = [run.head for run in runs]
            heads.sort(key=lambda head: (head.start_ns, head.run_id), reverse=True)
            for term in reversed(query.order_by):
                heads = self._ordered(heads, term)
        end = None if query.limit is None else query.offset + query.limit
        return heads[query.offset : end]

    def keys(self, kind: FieldKind) -> list[str]:
        """See `Store.keys`."""
        with self._lock:
            return sorted({key for run in self._runs.values() for key in run.keys(kind)})

    def load(self, run_ids: Sequence[str], parts: Sequence[Part]) -> dict[str, RunParts]:
        """See `Store.load`."""
        if unknown := set(parts) - set(PARTS):
            raise InvalidValueError(f"no such parts: {sorted(unknown)}; there are {', '.join(PARTS)}")
        with self._lock:
            return {run_id: self._parts(run_id, parts) for run_id in run_ids if run_id in self._runs}

    def series(
        self, run_id: str, key: str, *, rank: int | str | None = None, attempt: int | str | None = None
    ) -> MetricSeries:
        """See `Store.series`."""
        import numpy as np

        with self._lock:
            if run_id not in self._runs:
                raise RunNotFoundError(run_id)
            run = self._runs[run_id]
            if key not in run.points:
                raise MetricNotFoundError(key, list(run.points))
            points = run.select(key, rank=rank, attempt=attempt)
        ranks = [-1 if point.writer.rank is None else point.writer.rank for point in points]
        return MetricSeries(
            key,
            np.array([point.step for point in points], np.int64),
            np.array([point.value for point in points], np.float64),
            np.array([point.time_ns for point in points], np.int64),
            np.array(ranks, np.int64) if rank == "all" else None,
            len(points),
        )

    def experiments(self, *, deleted: bool | None = False) -> list[Experiment]:
        """See `Store.experiments`."""
        with self._lock:
            live = [run.head.experiment for run in self._runs.values() if not run.head.is_deleted]
            found = [replace(each, n_runs=live.count(each.name)) for each in self._experiments.values()]
        return sorted((each for each in found if deleted in (None, each.is_deleted)), key=lambda each: each.name)

    def settle(self, run_id: str) -> None:
        """See `Store.settle`; there is no house to keep."""

    def close(self) -> None:
        """See `Store.close`; what the store holds stays until the object goes."""
        cast(MemoryBlobs, self.blobs).close()

    # ------------------------------------------------------------------------------------------------ applying

    def _apply(self, writer_id: str, decoded: Decoded) -> None:
        self._take_back_death(writer_id)
        self._keys.update({(writer_id, key_id): name for key_id, name in decoded.keys.items()})
        self._defined.update({(writer_id, key_id): number for key_id, number in decoded.defined.items()})
        for event in decoded.events:
            try:
                self._apply_event(self._writers[writer_id], event)
            except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
                reason = f"{type(error).__name__}: {error}"
                self.rejected.append(Rejected(writer_id, event.sequence, event.kind, reason))
        self._add_points(writer_id, decoded)
        writer = self._writers[writer_id]
        if writer.role != "editor" and writer.run_id in self._runs:
            run = self._runs[writer.run_id]
            run.head = replace(run.head, heard_ns=max(run.head.heard_ns, writer.heard_ns))

    def _take_back_death(self, writer_id: str) -> None:
        """It speaks: a death that was only presumed did not happen."""
        if writer_id not in self._presumed_dead:
            return
        self._presumed_dead.discard(writer_id)
        writer = replace(self._writers[writer_id], end_status=None, end_reason=None)
        self._writers[writer_id] = writer
        if self._runs[writer.run_id].newest_owner == writer_id:
            self._runs[writer.run_id].resume()

    def _apply_event(self, writer: WriterState, event: Event) -> None:
        apply = _APPLY.get(event.kind)
        if apply is not None:
            apply(self, writer, event)
            return
        run = self._run_of(writer)
        run.apply(event)
        self._need_experiment(run.head.experiment, event.time_ns)  # INFO moves the run

    def _add_points(self, writer_id: str, decoded: Decoded) -> None:
        writer = self._writers[writer_id]
        run = self._runs.get(writer.run_id)
        for sequence, key_id, step, time_ns, value in _rows(decoded):
            key = self._keys.get((writer_id, key_id))
            if run is None or key is None:
                reason = "no such run" if run is None else f"no key has id {key_id}"
                self.rejected.append(Rejected(writer_id, sequence, 0, reason))
            else:
                run.points.setdefault(key, []).append(Point(step, time_ns, writer_id, sequence, value, writer))

    def _run_of(self, writer: WriterState) -> MemoryRun:
        if writer.run_id not in self._runs:
            raise LookupError("no such run")
        return self._runs[writer.run_id]

    def _need_experiment(self, name: str, time_ns: int) -> None:
        self._experiments.setdefault(name, Experiment(name, time_ns))

    def _on_run(self, writer: WriterState, event: Event) -> None:
        is_owner = writer.role == "owner"
        from_step = get(event.payload, "from_step", int, None) if is_owner else None
        run = self._runs.get(writer.run_id)
        if run is None:
            run = self._runs[writer.run_id] = new_run(writer.run_id, event)
            self._need_experiment(run.head.experiment, event.time_ns)
        if is_owner:
            if not run.newest_owner:
                run.name_by_owner(event)
                self._need_experiment(run.head.experiment, event.time_ns)
            run.resume()
            run.newest_owner = writer.writer_id
            run.rewinds += [] if from_step is None else [from_step]
        self._writers[writer.writer_id] = replace(writer, attempt=len(run.rewinds))

    def _on_status(self, writer: WriterState, event: Event) -> None:
        self._end(writer, event, event.time_ns, is_provisional=False)
        run = self._run_of(writer)
        if run.newest_owner == writer.writer_id:
            run.note_ending(event.payload)

    def _on_lost(self, _editor: WriterState, event: Event) -> None:
        writer = self._writers[get(event.payload, "writer", str)]
        ending(event.payload)
        dropped = max(writer.dropped, get(event.payload, "dropped", int, 0))
        writer = self._writers[writer.writer_id] = replace(writer, dropped=dropped)
        if writer.end_status is None:
            self._end(writer, event, writer.heard_ns, is_provisional=True)
            self._presumed_dead.add(writer.writer_id)

    def _end(self, writer: WriterState, event: Event, end_ns: int, *, is_provisional: bool) -> None:
        run = self._run_of(writer)
        status, reason = ending(event.payload)
        self._writers[writer.writer_id] = replace(writer, end_status=status, end_reason=reason)
        if run.newest_owner == writer.writer_id:
            run.end(event.payload, end_ns, is_provisional=is_provisional)

    def _on_heartbeat(self, _writer: WriterState, _event: Event) -> None:
        """That the writer was heard of is noted for every record."""

    def _on_dropped(self, writer: WriterState, event: Event) -> None:
        self._writers[writer.writer_id] = replace(writer, dropped=get(event.payload, "total", int))

    def _on_experiment(self, _writer: WriterState, event: Event) -> None:
        name, is_deleted = get(event.payload, "name", str), get(event.payload, "deleted", bool, False)
        self._need_experiment(name, event.time_ns)
        self._experiments[name] = replace(self._experiments[name], is_deleted=is_deleted)

    # ------------------------------------------------------------------------------------------------- reading

    def _parts(self, run_id: str, parts: Sequence[Part]) -> RunParts:
        run = self._runs[run_id]
        writers = [each for each in self._writers.values() if each.run_id == run_id and each.role != "editor"]
        read: dict[str, Callable[[], dict[str, Any]]] = {
            "params": lambda: {"params": run.decoded_params(), "config": run.config},
            "tags": lambda: {"tags": run.tags},
            "last": lambda: {"last": {key: summary.last for key, summary in run.summaries().items()}},
            "metrics": lambda: {"metrics": run.summaries(), "definitions": run.definitions},
            "artifacts": lambda: {"artifacts": run.artifacts},
            "datasets": lambda: {"datasets": run.datasets},
            "writers": lambda: {"writers": writers},
            "environment": lambda: {"environment": run.environment},
            "children": lambda: {"children": [head.run_id for head in self.find(RunQuery(parent=run_id))]},
            "warnings": lambda: {"warnings": list(run.warnings.values())},
        }
        asked: dict[str, Any] = {}
        for part in parts:
            asked.update(read[part]())
        return RunParts(**copy.deepcopy(asked))

    def _ordered(self, heads: list[RunHead], term: OrderBy) -> list[RunHead]:
        """`heads` by one term; stable, so that terms are applied from the last to the first."""
        values = {head.run_id: _sortable(self._value(head, term)) for head in heads}
        present = [head for head in heads if values[head.run_id] is not None]
        missing = [head for head in heads if values[head.run_id] is None]
        present.sort(key=lambda head: cast(Any, values[head.run_id]), reverse=term.descending)
        return present + missing

    def _value(self, head: RunHead, term: OrderBy) -> object:
        run = self._runs[head.run_id]
        if term.kind == "attribute":
            return attribute(self._runs, head, term.key)
        if term.kind == "tags":
            return run.tags.get(term.key)
        if term.kind == "params":
            return param_value(run, term.key)
        if term.summary == "best":
            return summary_value(run, Field("metrics", term.key, "best", term.mode))
        summary = run.summaries().get(term.key)
        return None if summary is None else _summary(summary, term.summary)


_APPLY: dict[int, Callable[[MemoryStore, WriterState, Event], None]] = {
    Kind.RUN: MemoryStore._on_run,
    Kind.STATUS: MemoryStore._on_status,
    Kind.LOST: MemoryStore._on_lost,
    Kind.HEARTBEAT: MemoryStore._on_heartbeat,
    Kind.DROPPED: MemoryStore._on_dropped,
    Kind.EXPERIMENT: MemoryStore._on_experiment,
}
"""What concerns more than one run, or none; the other kinds are `MemoryRun.apply`'s, unknown ones no one's."""


def _new_writer(batch: Batch) -> WriterState:
    header = batch.writer
    return WriterState(
        header.writer_id, header.run_id, header.role, header.rank, header.host, header.boot_id, header.pid
    )


def _column(values: Any) -> list[Any]:
    """A column of a decoded batch as a list: large batches bring numpy arrays."""
    return values if isinstance(values, list) else cast("list[Any]", values.tolist())


def _rows(decoded: Decoded) -> Iterable[tuple[int, int, int, int, float]]:
    points = decoded.points
    columns = (points.sequence, points.key_id, points.step, points.time_ns, points.value)
    return zip(*map(_column, columns), strict=True)


def _times(decoded: Decoded) -> list[int]:
    return [event.time_ns for event in decoded.events] + _column(decoded.points.time_ns)


def _fits(head: RunHead, query: RunQuery) -> bool:
    return (
        query.experiment in (None, head.experiment)
        and (query.run_ids is None or head.run_id in query.run_ids)
        and (query.id_like is None or _is_like(head, query.id_like))
        and query.parent in (None, head.parent)
        and query.deleted in (None, head.is_deleted)
    )


def _is_like(head: RunHead, text: str) -> bool:
    is_part = len(text) >= LIKE_FROM and (head.run_id.startswith(text) or head.run_id.endswith(text))
    return is_part or text in (head.run_id, head.name)


def _summary(summary: MetricSummary, name: str) -> object:
    if name not in summary.__slots__:
        raise InvalidValueError(f"cannot order by {name!r}; there are {', '.join(summary.__slots__)}", key=summary.key)
    return getattr(summary, name)


def _sortable(value: object) -> tuple[int, Any] | None:
    """A key that orders values of one type, numbers before text; None for what is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return (0, comparable(value)) if isinstance(value, int | float) else (1, str(value))
