"""What a store holds, as plain data: runs, summaries, series, artifacts.

Everything here is immutable and knows nothing of disks or networks. Times are integer nanoseconds since the Unix epoch
(UTC) and end in ``_ns``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mlops_sdk._types import FloatArray, IntArray, JsonDict, ParamValue
    from mlops_sdk.conditions import Condition, Mode

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED", "LOST"]
ENDED: frozenset[str] = frozenset({"FINISHED", "FAILED", "KILLED"})
"""Statuses that a run can end with; LOST is derived when read, never stored."""

SILENT_AFTER_S = 600.0
"""A RUNNING run not heard from for this long, whose process cannot be looked at, reads as LOST."""

Role = Literal["owner", "attached", "editor"]
"""owner: decides the run's status; attached: a further process; editor: changes from outside (tags, trash)."""

Part = Literal[
    "params", "tags", "metrics", "last", "artifacts", "datasets", "writers", "environment", "children", "warnings"
]
PARTS: tuple[Part, ...] = (
    "params", "tags", "metrics", "last", "artifacts", "datasets", "writers", "environment", "children", "warnings",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """Summary of one metric of one run; NaN is left out of min, max and mean, and counted.

    ``last`` is the value at the greatest (step, time, writer, sequence); ``first`` at the smallest. Of equal extremes
    the one at the smallest step stands.
    """

    key: str
    count: int
    nan_count: int
    first: float
    first_step: int
    first_time_ns: int
    last: float
    last_step: int
    last_time_ns: int
    min: float
    min_step: int
    min_time_ns: int
    max: float
    max_step: int
    max_time_ns: int
    mean: float


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What `define_metric` said of a key."""

    key: str
    mode: Literal["max", "min"] | None = None
    unit: str | None = None
    x: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MetricSeries:
    """Every logged point of a metric, ordered by (step, time, writer, sequence).

    Attributes
    ----------
    key : str
    step : numpy.ndarray of int64, shape (n,)
    value : numpy.ndarray of float64, shape (n,)
        Bit for bit as logged.
    time_ns : numpy.ndarray of int64, shape (n,)
    rank : numpy.ndarray of int64, shape (n,), or None
        Rank of the writer of each point, when several were asked for.
    n_total : int
        Points stored; more than n when the series was reduced.
    """

    key: str
    step: IntArray
    value: FloatArray
    time_ns: IntArray
    rank: IntArray | None = None
    n_total: int = 0

    def __len__(self) -> int:
        return len(self.value)

    @property
    def is_reduced(self) -> bool:
        """Whether points were left out because `max_points` asked for it."""
        return self.n_total > len(self.value)

    def __repr__(self) -> str:
        reduced = f" of {self.n_total}" if self.is_reduced else ""
        return f"MetricSeries({self.key!r}, {len(self)}{reduced} points)"


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """A logged file; falsy, with `error` set, when logging it failed.

    Attributes
    ----------
    path : str
        The artifact's name in its run, "/"-separated; never a path on disk.
    sha256 : str
        Digest of the bytes, lower-case hex.
    size_bytes : int
    media_type : str
    version : int
        1 for the first of that path, counting up.
    step : int or None
    error : str or None
    """

    path: str
    sha256: str = ""
    size_bytes: int = 0
    media_type: str = "application/octet-stream"
    version: int = 1
    step: int | None = None
    error: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class Experiment:
    """A named set of runs."""

    name: str
    created_ns: int
    n_runs: int = 0
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class WriterState:
    """What a store knows of one writer: a process that logged to a run.

    Attributes
    ----------
    writer_id, run_id : str
    role : {"owner", "attached", "editor"}
    rank : int or None
    host, boot_id : str
    pid : int
    sequence : int
        Up to which record the store has it.
    chain : int
        Rolling hash over those records (unsigned 64-bit).
    attempt : int
        0 before any rewind, then counting up.
    end_status, end_reason : str or None
        How this writer ended; an attached writer's ending does not change the run.
    heard_ns : int
        Time of its newest record.
    dropped : int
        Records it could not keep (full disk, quota), by its own count.
    """

    writer_id: str
    run_id: str
    role: str = "owner"
    rank: int | None = None
    host: str = ""
    boot_id: str = ""
    pid: int = 0
    sequence: int = 0
    chain: int = 0
    attempt: int = 0
    end_status: str | None = None
    end_reason: str | None = None
    heard_ns: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class RunHead:
    """The row of a run: what every listing needs, without its params and metrics.

    `status` is as stored; `mlops_sdk.query` derives LOST from `heard_ns`.
    """

    run_id: str
    name: str
    experiment: str
    status: Status
    start_ns: int
    end_ns: int | None
    heard_ns: int
    description: str
    parent: str | None
    user: str
    host: str
    entry_point: str
    end_reason: str | None
    is_provisional: bool = False
    is_deleted: bool = False
    git_commit: str | None = None
    git_branch: str | None = None
    git_dirty: bool | None = None

    @property
    def duration_s(self) -> float:
        """Seconds from start to end, or to the newest record while it runs; never negative."""
        return max(0, (self.heard_ns if self.end_ns is None else self.end_ns) - self.start_ns) / 1e9


@dataclass(frozen=True, slots=True)
class RunParts:
    """The parts of one run that were asked for; the others are empty.

    ``last`` is the last value of every metric, for tables: all of ``metrics`` takes several times as long.
    """

    params: Mapping[str, ParamValue] = field(default_factory=dict)
    config: JsonDict = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, MetricSummary] = field(default_factory=dict)
    last: Mapping[str, float] = field(default_factory=dict)
    definitions: Mapping[str, MetricDefinition] = field(default_factory=dict)
    artifacts: Sequence[ArtifactRef] = ()
    datasets: Sequence[JsonDict] = ()
    writers: Sequence[WriterState] = ()
    environment: JsonDict = field(default_factory=dict)
    children: Sequence[str] = ()
    warnings: Sequence[JsonDict] = ()


@dataclass(frozen=True, slots=True)
class OrderBy:
    """One term of an ordering: an attribute of `RunHead` or ``root``, a param, a tag, or a metric summary.

    ``best`` of a metric is its greatest or least value, as the run's `define_metric` says or else `mode`; missing where
    neither does.
    """

    kind: Literal["attribute", "params", "tags", "metrics"]
    key: str
    summary: str = "last"
    descending: bool = False
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs, in which order.

    Attributes
    ----------
    experiment : str or None
        Only runs of that experiment.
    run_ids : tuple of str or None
        Only those.
    id_like : str or None
        Full id, unique prefix or suffix, or name: every run that fits is returned.
    parent : str or None
        Only children of that run.
    deleted : bool or None
        False: live runs; True: the trash; None: both.
    where : Condition or None
        Only runs of which it is true: see `mlops_sdk.conditions`.
    order_by : tuple of OrderBy
        Missing values and NaN come last in either direction; ties and the default are newest first.
    limit : int or None
    offset : int
    timeout_s : float or None
        How long a search with `where` may take; None: as long as it takes.
    """

    experiment: str | None = None
    run_ids: tuple[str, ...] | None = None
    id_like: str | None = None
    parent: str | None = None
    deleted: bool | None = False
    where: Condition | None = None
    order_by: tuple[OrderBy, ...] = ()
    limit: int | None = None
    offset: int = 0
    timeout_s: float | None = None


def is_nan(value: float) -> bool:
    """Whether `value` is NaN."""
    return math.isnan(value)
