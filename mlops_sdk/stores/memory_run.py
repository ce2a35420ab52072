"""`MemoryRun`: one run of a `MemoryStore`, and what the records that concern one run only mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from mlops_sdk.entities import (
    ENDED,
    ArtifactRef,
    MetricDefinition,
    MetricSummary,
    RunHead,
    Status,
    WriterState,
)
from mlops_sdk.journal.records import Event, Kind
from mlops_sdk.values.params import EncodedParam, decode_param, same_param

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict, ParamValue
    from mlops_sdk.conditions import FieldKind

_T = TypeVar("_T")
_REQUIRED: Any = object()


def get(payload: JsonDict, name: str, kind: type[_T], default: Any = _REQUIRED) -> _T:
    """Read a field of a payload; null and absent are the same.

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


class Point(NamedTuple):
    """One point; compares as (step, time, writer, sequence), which no two points share."""

    step: int
    time_ns: int
    writer_id: str
    sequence: int
    value: float
    writer: WriterState


@dataclass
class MemoryRun:
    """Everything a store knows of a run.

    Attributes
    ----------
    head : RunHead
    newest_owner : str
        The owner whose RUN came last: its ending is the run's.
    rewinds : list of int
        From which step attempts 1, 2, ... began.
    param_history : list of (str, EncodedParam)
        Values that were overwritten.
    points : dict of str to list of Point
        In the order of delivery, all attempts.
    """

    head: RunHead
    newest_owner: str = ""
    rewinds: list[int] = field(default_factory=list)
    params: dict[str, EncodedParam] = field(default_factory=dict)
    param_history: list[tuple[str, EncodedParam]] = field(default_factory=list)
    config: JsonDict = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: dict[str, list[Point]] = field(default_factory=dict)
    definitions: dict[str, MetricDefinition] = field(default_factory=dict)
    artifacts: list[ArtifactRef] = field(default_factory=list)
    datasets: list[JsonDict] = field(default_factory=list)
    environment: JsonDict = field(default_factory=dict)
    warnings: dict[str, JsonDict] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------ applying

    def apply(self, event: Event) -> None:
        """Apply a record that concerns this run only.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError, RecursionError
            If it cannot be applied, or a part of it (the rest is): it is to be rejected.
        """
        _APPLY[event.kind](self, event.payload)

    def name_by_owner(self, event: Event) -> None:
        """An attached writer that came first could only make the name up: the first owner knows."""
        said = new_run(self.head.run_id, event).head
        names = ("experiment", "parent", "name", "description", "user", "host", "entry_point")
        changes = {name: getattr(said, name) for name in names}
        self.head = replace(self.head, start_ns=min(self.head.start_ns, said.start_ns), **changes)

    def resume(self) -> None:
        """RUNNING again, or still."""
        self.head = replace(self.head, status="RUNNING", end_ns=None, end_reason=None, is_provisional=False)

    def end(self, payload: JsonDict, end_ns: int, *, is_provisional: bool) -> None:
        """End as `payload` says."""
        status, reason = ending(payload)
        head = replace(self.head, status=status, end_reason=reason, end_ns=end_ns)
        self.head = replace(head, is_provisional=is_provisional)

    def note_ending(self, payload: JsonDict) -> None:
        """Keep what else was said of the ending, with the environment."""
        said = {name: payload.get(name) for name in ("traceback", "attributes")}
        self.environment.update({name: value for name, value in said.items() if value is not None})

    def _on_params(self, payload: JsonDict) -> None:
        entries = [_param(entry) for entry in get(payload, "params", list, [])]
        config, overwrite = get(payload, "config", dict, {}), get(payload, "overwrite", bool, False)
        refused = []
        for key, value in entries:
            old = self.params.get(key)
            if old is None:
                self.params[key] = value
            elif overwrite and old != value:
                self.param_history.append((key, old))
                self.params[key] = value
            elif not same_param(old, value):
                refused.append(f"param {key!r} is {old} already, {value} was refused")
        self.config.update(config)
        if refused:
            raise ValueError("; ".join(refused))

    def _on_tags(self, payload: JsonDict) -> None:
        tags, gone = get(payload, "set", dict, {}), get(payload, "delete", list, [])
        for text in [*tags.values(), *gone]:
            _is(text, str)
        self.tags = {key: text for key, text in {**self.tags, **tags}.items() if key not in gone}

    def _on_info(self, payload: JsonDict) -> None:
        given = {name: get(payload, name, str, None) for name in ("name", "description", "experiment")}
        changes: dict[str, Any] = {name: text for name, text in given.items() if text is not None}
        self.head = replace(self.head, **changes)

    def _on_artifact(self, payload: JsonDict) -> None:
        path = get(payload, "path", str)
        ref = ArtifactRef(
            path=path,
            sha256=get(payload, "sha256", str),
            size_bytes=get(payload, "size_bytes", int, 0),
            media_type=get(payload, "media_type", str, "application/octet-stream"),
            version=1 + sum(other.path == path for other in self.artifacts),
            step=get(payload, "step", int, None),
            metadata=get(payload, "metadata", dict, {}),
        )
        self.artifacts.append(ref)

    def _on_dataset(self, payload: JsonDict) -> None:
        self.datasets.append(_is(payload, dict))

    def _on_define(self, payload: JsonDict) -> None:
        key, mode = get(payload, "key", str), get(payload, "mode", str, None)
        if mode not in ("max", "min", None):
            raise ValueError(f"mode is {mode!r}")
        unit, x = get(payload, "unit", str, None), get(payload, "x", str, None)
        self.definitions[key] = MetricDefinition(key, cast(Any, mode), unit, x)

    def _on_environment(self, payload: JsonDict) -> None:
        git = get(payload, "git", dict, None)
        if git is not None:
            commit, branch = get(git, "commit", str, None), get(git, "branch", str, None)
            is_dirty = get(git, "dirty", bool, None)
            self.head = replace(self.head, git_commit=commit, git_branch=branch, git_dirty=is_dirty)
        self.environment.update(payload)

    def _on_trash(self, payload: JsonDict) -> None:
        self.head = replace(self.head, is_deleted=get(payload, "deleted", bool))

    def _on_warning(self, payload: JsonDict) -> None:
        cause, count = get(payload, "cause", str), get(payload, "count", int)
        if count > self.warnings.get(cause, {"count": 0})["count"]:
            self.warnings[cause] = {"cause": cause, "count": count, "message": get(payload, "message", str, "")}

    # ------------------------------------------------------------------------------------------------- reading

    def keys(self, kind: FieldKind) -> list[str]:
        """Keys of params, tags or metrics, or contexts of datasets."""
        if kind == "params":
            return list(self.params)
        if kind == "tags":
            return list(self.tags)
        if kind == "metrics":
            return list(self.summaries())
        contexts = [each.get("context") for each in self.datasets] if kind == "datasets" else []
        return [context for context in contexts if isinstance(context, str)]

    def decoded_params(self) -> dict[str, ParamValue]:
        """Params with their type."""
        return {key: decode_param(param.kind, param.text) for key, param in self.params.items()}

    def select(self, key: str, *, rank: int | str | None, attempt: int | str | None) -> list[Point]:
        """Points of `key` in order; `rank` and `attempt` as in `Store.series`."""
        points = sorted(self.points.get(key, ()))
        if attempt is None:
            points = [point for point in points if self._stands(point)]
        elif attempt != "all":
            points = [point for point in points if point.writer.attempt == attempt]
        if rank is None:
            return [point for point in points if point.writer.role == "owner"] or points
        return points if rank == "all" else [point for point in points if point.writer.rank == rank]

    def _stands(self, point: Point) -> bool:
        return all(point.step < from_step for from_step in self.rewinds[point.writer.attempt :])

    def summaries(self) -> dict[str, MetricSummary]:
        """Summaries of the metrics that have a point that stands."""
        chosen = {key: self.select(key, rank=None, attempt=None) for key in self.points}
        return {key: summarise(key, points) for key, points in chosen.items() if points}


_APPLY: Mapping[int, Callable[[MemoryRun, JsonDict], None]] = {
    Kind.PARAMS: MemoryRun._on_params,
    Kind.TAGS: MemoryRun._on_tags,
    Kind.INFO: MemoryRun._on_info,
    Kind.ARTIFACT: MemoryRun._on_artifact,
    Kind.DATASET: MemoryRun._on_dataset,
    Kind.DEFINE: MemoryRun._on_define,
    Kind.ENVIRONMENT: MemoryRun._on_environment,
    Kind.TRASH: MemoryRun._on_trash,
    Kind.WARNING: MemoryRun._on_warning,
}


def new_run(run_id: str, event: Event) -> MemoryRun:
    """Make the run that a RUN record creates."""
    payload = event.payload
    head = RunHead(
        run_id=run_id,
        name=get(payload, "name", str, ""),
        experiment=get(payload, "experiment", str, "default"),
        status="RUNNING",
        start_ns=event.time_ns,
        end_ns=None,
        heard_ns=event.time_ns,
        description=get(payload, "description", str, ""),
        parent=get(payload, "parent", str, None),
        user=get(payload, "user", str, ""),
        host=get(payload, "host", str, ""),
        entry_point=get(payload, "entry_point", str, ""),
        end_reason=None,
    )
    return MemoryRun(head)


def ending(payload: JsonDict) -> tuple[Status, str | None]:
    """Status and reason of a STATUS or LOST record."""
    status, reason = get(payload, "status", str), get(payload, "end_reason", str, None)
    if status not in ENDED:
        raise ValueError(f"nothing ends as {status!r}")
    return cast(Status, status), reason


def summarise(key: str, points: Sequence[Point]) -> MetricSummary:
    """Summarise ordered points, n >= 1."""
    first, last = points[0], points[-1]
    numbers = [point for point in points if not math.isnan(point.value)]
    # min() and max() give the first of equals, which is the one at the smallest step
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


def _param(entry: Sequence[Any]) -> tuple[str, EncodedParam]:
    """Key and value of a param that can be read back."""
    key, kind, text = (_is(field, str) for field in entry[:3])
    decode_param(kind, text)
    return key, EncodedParam(kind, text, entry[3])
