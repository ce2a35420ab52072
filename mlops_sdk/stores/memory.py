"""`MemoryStore`: the store protocol in plain Python, for tests and as the model that other stores are compared with.

Clarity before speed: state is what the records said, summaries and orderings are worked out when they are read.
"""

from __future__ import annotations

import copy
import math
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from mlops_sdk.entities import (
    ENDED,
    PARTS,
    ArtifactRef,
    Experiment,
    MetricDefinition,
    MetricSeries,
    MetricSummary,
    OrderBy,
    Part,
    RunHead,
    RunParts,
    RunQuery,
    Status,
    WriterState,
)
from mlops_sdk.errors import InvalidValueError, MetricNotFoundError, RunNotFoundError, SequenceGapError
from mlops_sdk.journal.records import SLOT_BYTES, Batch, Decoded, Event, Kind, decode, extend_chain
from mlops_sdk.stores.memory_blobs import MemoryBlobs
from mlops_sdk.values.params import decode_param

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict, ParamValue

_T = TypeVar("_T")


class Rejected(NamedTuple):
    """A record, or one param of it, that was acknowledged and could not be applied."""

    writer_id: str
    sequence: int
    kind: int
    reason: str


class _Point(NamedTuple):
    """One point; compares as (step, time, writer, sequence), which no two points share."""

    step: int
    time_ns: int
    writer_id: str
    sequence: int
    value: float
    writer: WriterState


@dataclass
class _Run:
    head: RunHead
    newest_owner: str = ""
    """The owner whose RUN came last: its ending is the run's."""
    rewinds: list[int] = field(default_factory=list)
    """From which step attempts 1, 2, ... began."""
    params: dict[str, tuple[str, str]] = field(default_factory=dict)
    param_history: list[tuple[str, str, str]] = field(default_factory=list)
    config: JsonDict = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: dict[str, list[_Point]] = field(default_factory=dict)
    definitions: dict[str, MetricDefinition] = field(default_factory=dict)
    artifacts: list[ArtifactRef] = field(default_factory=list)
    datasets: list[JsonDict] = field(default_factory=list)
    environment: JsonDict = field(default_factory=dict)
    warnings: dict[str, JsonDict] = field(default_factory=dict)

    def select(self, key: str, *, rank: int | str | None, attempt: int | str | None) -> list[_Point]:
        """Points of `key` in order; `rank` and `attempt` as in `Store.series`."""
        points = sorted(self.points.get(key, ()))
        if attempt is None:
            points = [point for point in points if self._stands(point)]
        elif attempt != "all":
            points = [point for point in points if point.writer.attempt == attempt]
        if rank is None:
            return [point for point in points if point.writer.role == "owner"] or points
        return points if rank == "all" else [point for point in points if point.writer.rank == rank]

    def _stands(self, point: _Point) -> bool:
        return all(point.step < from_step for from_step in self.rewinds[point.writer.attempt :])

    def summaries(self) -> dict[str, MetricSummary]:
        """Summaries of the metrics that have a point that stands."""
        chosen = {key: self.select(key, rank=None, attempt=None) for key in self.points}
        return {key: summarise(key, points) for key, points in chosen.items() if points}


def summarise(key: str, points: Sequence[_Point]) -> MetricSummary:
    """Summary of ordered points, n >= 1."""
    first, last = points[0], points[-1]
    numbers = [point for point in points if not math.isnan(point.value)]
    # min() and max() return the first of equals, which is the one at the smallest step
    low = min(numbers, key=lambda point: point.value, default=first)
    high = max(numbers, key=lambda point: point.value, default=first)
    return MetricSummary(
        key=key,
        count=len(points),
        nan_count=len(points) - len(numbers),
        first=first.value,
        first_step=first.step,
        first_time_ns=first.time_ns,
        last=last.value,
        last_step=last.step,
        last_time_ns=last.time_ns,
        min=low.value,
        min_step=low.step,
        min_time_ns=low.time_ns,
        max=high.value,
        max_step=high.step,
        max_time_ns=high.time_ns,
        mean=sum(point.value for point in numbers) / len(numbers) if numbers else math.nan,
    )


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

    uri = "memory:"
    is_remote = False

    def __init__(self) -> None:
        self.store_id = uuid.uuid4().hex
        self.blobs = MemoryBlobs()
        self.rejected: list[Rejected] = []
        self._lock = threading.RLock()
        self._runs: dict[str, _Run] = {}
        self._experiments: dict[str, Experiment] = {}
        self._writers: dict[str, WriterState] = {}
        self._presumed_dead: set[str] = set()
        self._keys: dict[tuple[str, int], str] = {}
        self._packages: dict[str, JsonDict] = {}

    def append(self, batch: Batch) -> int:
        """See `Store.append`."""
        header = batch.writer
        with self._lock:
            writer = self._writers.get(header.writer_id) or _new_writer(batch)
            if batch.first > writer.sequence + 1:
                raise SequenceGapError(header.writer_id, writer.sequence + 1, batch.first)
            if batch.data and batch.last <= writer.sequence:
                return writer.sequence
            fresh = _beyond(batch, writer.sequence)
            decoded = decode(fresh)
            chain = extend_chain(writer.chain, decoded.checksums)
            heard_ns = max([writer.heard_ns, *_times(decoded)])
            self._writers[header.writer_id] = replace(writer, sequence=fresh.last, chain=chain, heard_ns=heard_ns)
            self._apply(header.writer_id, decoded)
            return fresh.last

    def acknowledged(self, writer_id: str) -> WriterState | None:
        """See `Store.acknowledged`."""
        with self._lock:
            return self._writers.get(writer_id)

    def find(self, query: RunQuery) -> list[RunHead]:
        """See `Store.find`."""
        with self._lock:
            heads = [run.head for run in self._runs.values() if _fits(run.head, query)]
            heads.sort(key=lambda head: (head.start_ns, head.run_id), reverse=True)
            for term in reversed(query.order_by):
                heads = self._ordered(heads, term)
        end = None if query.limit is None else query.offset + query.limit
        return heads[query.offset : end]

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
        self.blobs.close()

    # ------------------------------------------------------------------------------------------------ applying

    def _apply(self, writer_id: str, decoded: Decoded) -> None:
        self._take_back_death(writer_id)
        self._keys.update({(writer_id, key_id): name for key_id, name in decoded.keys.items()})
        for event in decoded.events:
            try:
                apply = _APPLY.get(event.kind)
                if apply is None:
                    raise ValueError("unknown kind of record")
                apply(self, self._writers[writer_id], event)
            except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
                self._reject(writer_id, event, f"{type(error).__name__}: {error}")
        self._add_points(writer_id, decoded)
        writer = self._writers[writer_id]
        if writer.role != "editor" and writer.run_id in self._runs:
            run = self._runs[writer.run_id]
            run.head = replace(run.head, heard_ns=max(run.head.heard_ns, writer.heard_ns))

    def _reject(self, writer_id: str, event: Event, reason: str) -> None:
        self.rejected.append(Rejected(writer_id, event.sequence, event.kind, reason))

    def _add_points(self, writer_id: str, decoded: Decoded) -> None:
        writer, run = self._writers[writer_id], self._runs.get(self._writers[writer_id].run_id)
        for sequence, key_id, step, time_ns, value in _rows(decoded):
            key = self._keys.get((writer_id, key_id))
            if run is None or key is None:
                reason = "no such run" if run is None else f"no key has id {key_id}"
                self.rejected.append(Rejected(writer_id, sequence, 0, reason))
                continue
            run.points.setdefault(key, []).append(_Point(step, time_ns, writer_id, sequence, value, writer))

    def _take_back_death(self, writer_id: str) -> None:
        """It speaks: a death that was only presumed did not happen."""
        if writer_id not in self._presumed_dead:
            return
        self._presumed_dead.discard(writer_id)
        self._writers[writer_id] = replace(self._writers[writer_id], end_status=None, end_reason=None)
        run = self._runs[self._writers[writer_id].run_id]
        if run.newest_owner == writer_id:
            run.head = _running(run.head)

    def _run_of(self, writer: WriterState) -> _Run:
        if writer.run_id not in self._runs:
            raise LookupError("no such run")
        return self._runs[writer.run_id]

    def _need_experiment(self, name: str, time_ns: int) -> None:
        self._experiments.setdefault(name, Experiment(name, time_ns))

    def _on_run(self, writer: WriterState, event: Event) -> None:
        is_owner = writer.role == "owner"
        from_step = _get(event.payload, "from_step", int, None)
        run = self._runs.get(writer.run_id)
        if run is None:
            run = self._runs[writer.run_id] = _Run(_new_head(writer.run_id, event))
            self._need_experiment(run.head.experiment, event.time_ns)
        elif is_owner:
            run.head = _running(run.head)
        if is_owner:
            run.newest_owner = writer.writer_id
            run.rewinds += [] if from_step is None else [from_step]
        self._writers[writer.writer_id] = replace(writer, attempt=len(run.rewinds))

    def _on_params(self, writer: WriterState, event: Event) -> None:
        run, payload = self._run_of(writer), event.payload
        entries = [_param(entry) for entry in _get(payload, "params", list, [])]
        config = _get(payload, "config", dict, {})
        for key, value in entries:
            old = run.params.get(key)
            if old is None or (payload.get("overwrite") and old != value):
                run.params[key] = value
                run.param_history += [] if old is None else [(key, *old)]
            elif not _is_same_param(old, value):
                self._reject(writer.writer_id, event, f"param {key!r} is {old} already, {value} was refused")
        run.config.update(config)

    def _on_tags(self, writer: WriterState, event: Event) -> None:
        run = self._run_of(writer)
        tags, gone = _get(event.payload, "set", dict, {}), _get(event.payload, "delete", list, [])
        tags = {_is(key, str): _is(text, str) for key, text in tags.items()}
        gone = {_is(key, str) for key in gone}
        run.tags = {key: text for key, text in {**run.tags, **tags}.items() if key not in gone}

    def _on_info(self, writer: WriterState, event: Event) -> None:
        run = self._run_of(writer)
        names = ("name", "description", "experiment")
        given = {name: _get(event.payload, name, str, None) for name in names}
        run.head = replace(run.head, **{name: text for name, text in given.items() if text is not None})
        self._need_experiment(run.head.experiment, event.time_ns)

    def _on_artifact(self, writer: WriterState, event: Event) -> None:
        run, payload = self._run_of(writer), event.payload
        path = _get(payload, "path", str)
        ref = ArtifactRef(
            path,
            _get(payload, "sha256", str),
            _get(payload, "size_bytes", int, 0),
            _get(payload, "media_type", str, "application/octet-stream"),
            1 + sum(other.path == path for other in run.artifacts),
            _get(payload, "step", int, None),
            metadata=_get(payload, "metadata", dict, {}),
        )
        run.artifacts.append(ref)

    def _on_dataset(self, writer: WriterState, event: Event) -> None:
        self._run_of(writer).datasets.append(_is(event.payload, dict))

    def _on_define(self, writer: WriterState, event: Event) -> None:
        run, payload = self._run_of(writer), event.payload
        mode = _get(payload, "mode", str, None)
        if mode not in ("max", "min", None):
            raise ValueError(f"mode is {mode!r}")
        key = _get(payload, "key", str)
        run.definitions[key] = MetricDefinition(
            key, cast(Any, mode), _get(payload, "unit", str, None), _get(payload, "x", str, None)
        )

    def _on_status(self, writer: WriterState, event: Event) -> None:
        run = self._run_of(writer)
        self._end(run, writer, event.payload, event.time_ns)

    def _on_lost(self, _editor: WriterState, event: Event) -> None:
        writer = self._writers[_get(event.payload, "writer", str)]
        run = self._run_of(writer)
        dropped = _get(event.payload, "dropped", int, 0)
        writer = self._writers[writer.writer_id] = replace(writer, dropped=max(writer.dropped, dropped))
        if writer.end_status is None:
            self._end(run, writer, event.payload, writer.heard_ns)
            self._presumed_dead.add(writer.writer_id)
            if run.newest_owner == writer.writer_id:
                run.head = replace(run.head, is_provisional=True)

    def _end(self, run: _Run, writer: WriterState, payload: JsonDict, end_ns: int) -> None:
        status, reason = _get(payload, "status", str), _get(payload, "end_reason", str, None)
        if status not in ENDED:
            raise ValueError(f"no run ends as {status!r}")
        self._writers[writer.writer_id] = replace(writer, end_status=status, end_reason=reason)
        if run.newest_owner == writer.writer_id:
            head = replace(run.head, status=cast(Status, status), end_reason=reason, end_ns=end_ns)
            run.head = replace(head, is_provisional=False)

    def _on_environment(self, writer: WriterState, event: Event) -> None:
        run, said = self._run_of(writer), dict(_is(event.payload, dict))
        if "packages" in said:
            digest = _get(_get(said, "packages", dict), "digest", str)
            said["packages"] = self._packages.setdefault(digest, said["packages"])
        if "git" in said:
            git = _get(said, "git", dict, {})
            commit, branch = _get(git, "commit", str, None), _get(git, "branch", str, None)
            dirty = _get(git, "dirty", bool, None)
            run.head = replace(run.head, git_commit=commit, git_branch=branch, git_dirty=dirty)
        run.environment.update(said)

    def _on_heartbeat(self, _writer: WriterState, _event: Event) -> None:
        """That it was heard of is noted for every record."""

    def _on_dropped(self, writer: WriterState, event: Event) -> None:
        self._writers[writer.writer_id] = replace(writer, dropped=_get(event.payload, "total", int))

    def _on_trash(self, writer: WriterState, event: Event) -> None:
        run = self._run_of(writer)
        run.head = replace(run.head, is_deleted=_get(event.payload, "deleted", bool))

    def _on_experiment(self, _writer: WriterState, event: Event) -> None:
        name, is_deleted = _get(event.payload, "name", str), _get(event.payload, "deleted", bool, False)
        self._need_experiment(name, event.time_ns)
        self._experiments[name] = replace(self._experiments[name], is_deleted=is_deleted)

    def _on_warning(self, writer: WriterState, event: Event) -> None:
        run, cause = self._run_of(writer), _get(event.payload, "cause", str)
        count = _get(event.payload, "count", int)
        if count > run.warnings.get(cause, {"count": 0})["count"]:
            message = _get(event.payload, "message", str, "")
            run.warnings[cause] = {"cause": cause, "count": count, "message": message}

    # ------------------------------------------------------------------------------------------------- reading

    def _parts(self, run_id: str, parts: Sequence[Part]) -> RunParts:
        run = self._runs[run_id]
        read: dict[str, Callable[[], dict[str, Any]]] = {
            "params": lambda: {"params": _decoded(run), "config": run.config},
            "tags": lambda: {"tags": run.tags},
            "metrics": lambda: {"metrics": run.summaries(), "definitions": run.definitions},
            "artifacts": lambda: {"artifacts": run.artifacts},
            "datasets": lambda: {"datasets": run.datasets},
            "writers": lambda: {"writers": self._processes(run_id)},
            "environment": lambda: {"environment": run.environment},
            "children": lambda: {"children": [head.run_id for head in self.find(RunQuery(parent=run_id))]},
            "warnings": lambda: {"warnings": list(run.warnings.values())},
        }
        asked: dict[str, Any] = {}
        for part in parts:
            asked.update(read[part]())
        return RunParts(**copy.deepcopy(asked))

    def _processes(self, run_id: str) -> list[WriterState]:
        """Writers that logged to the run; editors only changed it from outside."""
        return [each for each in self._writers.values() if each.run_id == run_id and each.role != "editor"]

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
            return _attribute(head, term.key)
        if term.kind == "tags":
            return run.tags.get(term.key)
        if term.kind == "params":
            return _decoded(run).get(term.key)
        summary = run.summaries().get(term.key)
        return None if summary is None else _attribute(summary, term.summary)


_APPLY: dict[int, Callable[[MemoryStore, WriterState, Event], None]] = {
    kind: getattr(MemoryStore, f"_on_{kind.name.lower()}") for kind in Kind if kind is not Kind.KEY
}


# ------------------------------------------------------------------------------------------ records taken apart


def _new_writer(batch: Batch) -> WriterState:
    header = batch.writer
    return WriterState(
        header.writer_id, header.run_id, header.role, header.rank, header.host, header.boot_id, header.pid
    )


def _beyond(batch: Batch, sequence: int) -> Batch:
    """The records of `batch` behind `sequence`; numbers count slots."""
    known = max(0, sequence + 1 - batch.first)
    return Batch(batch.writer, batch.first + known, batch.data[known * SLOT_BYTES :])


def _column(values: Any) -> list[Any]:
    """A column of a decoded batch as a list: large batches bring numpy arrays."""
    return values if isinstance(values, list) else cast("list[Any]", values.tolist())


def _rows(decoded: Decoded) -> Iterable[tuple[int, int, int, int, float]]:
    points = decoded.points
    columns = (points.sequence, points.key_id, points.step, points.time_ns, points.value)
    return zip(*map(_column, columns), strict=True)


def _times(decoded: Decoded) -> list[int]:
    return [event.time_ns for event in decoded.events] + _column(decoded.points.time_ns)


_REQUIRED: Any = object()


def _get(payload: JsonDict, name: str, kind: type[_T], default: Any = _REQUIRED) -> _T:
    """A field of a payload; null and absent are the same.

    Raises
    ------
    KeyError, TypeError
        If it is missing without a default, or of another type: the record is to be rejected.
    """
    value = payload.get(name)
    if value is None:
        if default is _REQUIRED:
            raise KeyError(name)
        return cast(_T, default)
    return _is(value, kind)


def _is(value: object, kind: type[_T]) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r:.100} is no {kind.__name__}")
    return value


def _new_head(run_id: str, event: Event) -> RunHead:
    payload = event.payload
    return RunHead(
        run_id=run_id,
        name=_get(payload, "name", str, ""),
        experiment=_get(payload, "experiment", str, "default"),
        status="RUNNING",
        start_ns=event.time_ns,
        end_ns=None,
        heard_ns=event.time_ns,
        description=_get(payload, "description", str, ""),
        parent=_get(payload, "parent", str, None),
        user=_get(payload, "user", str, ""),
        host=_get(payload, "host", str, ""),
        entry_point=_get(payload, "entry_point", str, ""),
        end_reason=None,
    )


def _running(head: RunHead) -> RunHead:
    return replace(head, status="RUNNING", end_ns=None, end_reason=None, is_provisional=False)


# ------------------------------------------------------------------------------------------------------ params


def _param(entry: Sequence[Any]) -> tuple[str, tuple[str, str]]:
    """(key, (kind, text)) of a param that can be read back."""
    key, kind, text = _is(entry[0], str), _is(entry[1], str), _is(entry[2], str)
    decode_param(kind, text)
    return key, (kind, text)


def _decoded(run: _Run) -> dict[str, ParamValue]:
    return {key: decode_param(kind, text) for key, (kind, text) in run.params.items()}


def _is_same_param(old: tuple[str, str], new: tuple[str, str]) -> bool:
    if {old[0], new[0]} <= {"int", "float"} and decode_param(*old) == decode_param(*new):
        return True
    return old == new


# ----------------------------------------------------------------------------------------------------- finding


def _fits(head: RunHead, query: RunQuery) -> bool:
    return (
        query.experiment in (None, head.experiment)
        and (query.run_ids is None or head.run_id in query.run_ids)
        and (query.id_like is None or _is_like(head, query.id_like))
        and query.parent in (None, head.parent)
        and query.deleted in (None, head.is_deleted)
    )


def _is_like(head: RunHead, text: str) -> bool:
    return head.name == text or head.run_id.startswith(text) or head.run_id.endswith(text)


def _attribute(of: RunHead | MetricSummary, name: str) -> object:
    if name not in of.__slots__:
        raise InvalidValueError(f"cannot order by {name!r}; there are {', '.join(of.__slots__)}", key=name)
    return getattr(of, name)


def _sortable(value: object) -> tuple[int, Any] | None:
    """A key that orders values of one type, numbers before text; None for what is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return (0, value) if isinstance(value, int | float) else (1, str(value))
