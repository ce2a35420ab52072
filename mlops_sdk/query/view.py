"""One run, as it can be read."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_sdk.entities import (
    SILENT_AFTER_S,
    ArtifactRef,
    MetricDefinition,
    MetricSeries,
    MetricSummary,
    Part,
    RunHead,
    RunParts,
)
from mlops_sdk.errors import ArtifactNotFoundError, InvalidValueError, MetricNotFoundError
from mlops_sdk.journal.editor import edit
from mlops_sdk.journal.records import Kind
from mlops_sdk.query.times import from_ns
from mlops_sdk.values.params import check_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlops_sdk._types import JsonDict, ParamValue
    from mlops_sdk.comparison.comparison import Comparison
    from mlops_sdk.query.cv import CVResults
    from mlops_sdk.stores.protocol import Store


def derived_status(head: RunHead, now_ns: int | None = None) -> str:
    """Status as a reader should see it: RUNNING and silent for ten minutes reads as LOST."""
    if head.status != "RUNNING":
        return head.status
    silent_s = ((time.time_ns() if now_ns is None else now_ns) - head.heard_ns) / 1e9
    return "LOST" if silent_s > SILENT_AFTER_S else "RUNNING"


class RunView:
    """One run of a store; parts are read when first asked for, and kept.

    Notes
    -----
    `refresh` forgets what was read. None of the setters touches the run's status or times.
    """

    def __init__(self, store: Store, head: RunHead) -> None:
        self._store = store
        self._head_ = head
        self._parts: dict[Part, RunParts] = {}

    # -- what was read -------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read anew from now on."""
        self._parts.clear()
        from mlops_sdk.query.search import head_of

        self._head_ = head_of(self._store, self._head_.run_id)

    def _head(self) -> RunHead:
        return self._head_

    def _part(self, part: Part) -> RunParts:
        if part not in self._parts:
            self._parts[part] = self._store.load([self.run_id], [part]).get(self.run_id, RunParts())
        return self._parts[part]

    @property
    def run_id(self) -> str:
        """Id of the run, as it was given or made."""
        return self._head_.run_id

    @property
    def short_id(self) -> str:
        """The last 8 characters of the id."""
        return self.run_id[-8:]

    @property
    def name(self) -> str:
        """Name, given or made up."""
        return self._head().name

    @property
    def experiment(self) -> str:
        """Name of its experiment."""
        return self._head().experiment

    @property
    def status(self) -> str:
        """RUNNING, FINISHED, FAILED, KILLED, or LOST: running, and not heard from for ten minutes."""
        return derived_status(self._head())

    @property
    def end_reason(self) -> str | None:
        """What was seen of its ending: ``exception``, ``exit:N``, ``signal:N``, ``lost:process``, ``lost:reboot``."""
        return self._head().end_reason

    @property
    def start_time(self) -> datetime:
        """Start, in UTC."""
        return from_ns(self._head().start_ns)

    @property
    def end_time(self) -> datetime | None:
        """End, in UTC; None while it runs."""
        end_ns = self._head().end_ns
        return None if end_ns is None else from_ns(end_ns)

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end, or to the newest record while it runs."""
        return self._head().duration_s

    @property
    def url(self) -> str | None:
        """Address of its page, where the store has one."""
        return None

    @property
    def description(self) -> str:
        """Free text."""
        return self._head().description

    @property
    def parent(self) -> str | None:
        """Id of the run it is nested in."""
        return self._head().parent

    @property
    def root(self) -> str | None:
        """Id of the run at the top of the nest, its own where it has no parent; None where runs are each other's parents."""
        from mlops_sdk.entities import RunQuery

        at, seen = self._head(), set[str]()
        while at.parent is not None and at.run_id not in seen:
            seen.add(at.run_id)
            above = self._store.find(RunQuery(run_ids=(at.parent,), deleted=None))
            if not above:
                return at.parent
            at = above[0]
        return None if at.run_id in seen else at.run_id

    @property
    def params(self) -> Mapping[str, ParamValue]:
        """Params by flat key, with the type they were logged with."""
        return self._part("params").params

    @property
    def config(self) -> JsonDict:
        """Params as the nested original."""
        return self._part("params").config

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags by key."""
        return self._part("tags").tags

    @property
    def metrics(self) -> Mapping[str, float]:
        """Last value of every metric."""
        return {key: summary.last for key, summary in self._part("metrics").metrics.items()}

    @property
    def artifacts(self) -> Sequence[ArtifactRef]:
        """The newest version of every artifact."""
        newest = {ref.path: ref for ref in sorted(self._part("artifacts").artifacts, key=lambda ref: ref.version)}
        return tuple(newest[path] for path in sorted(newest))

    @property
    def artifact_versions(self) -> Sequence[ArtifactRef]:
        """Every version of every artifact, in log order."""
        return self._part("artifacts").artifacts

    @property
    def datasets(self) -> Sequence[JsonDict]:
        """Datasets in log order."""
        return self._part("datasets").datasets

    @property
    def environment(self) -> JsonDict:
        """What was captured of interpreter, packages, arguments, seeds, output and failure."""
        captured = self._part("environment").environment
        return {key: value for key, value in captured.items() if key not in ("git", "system")}

    @property
    def git(self) -> JsonDict:
        """Commit, branch, dirty flag and remote, as captured."""
        return dict(self._part("environment").environment.get("git") or {})

    @property
    def system(self) -> JsonDict:
        """Host, processor, memory, GPUs and container, as captured."""
        return dict(self._part("environment").environment.get("system") or {})

    @property
    def traceback(self) -> str | None:
        """Traceback of the exception that ended it."""
        return self._part("environment").environment.get("traceback")

    @property
    def warnings(self) -> Sequence[JsonDict]:
        """Trouble the run counted: cause, count, message."""
        return self._part("warnings").warnings

    @property
    def children(self) -> Sequence[str]:
        """Ids of the runs nested in it."""
        return self._part("children").children

    def summary(self, key: str) -> MetricSummary:
        """Summary of a metric.

        Raises
        ------
        MetricNotFoundError
        """
        metrics = self._part("metrics").metrics
        if key not in metrics:
            raise MetricNotFoundError(key, tuple(metrics))
        return metrics[key]

    def definition(self, key: str) -> MetricDefinition:
        """What `define_metric` said of a metric; empty where nothing was said."""
        return self._part("metrics").definitions.get(key) or MetricDefinition(key)

    def metric(
        self,
        key: str,
        *,
        rank: int | str | None = None,
        max_points: int | None = None,
        attempts: int | str | None = None,
    ) -> MetricSeries:
        """Every point of a metric, in order of (step, time, writer, sequence).

        Parameters
        ----------
        key : str
        rank : int or "all", optional
            Of one rank, or of all with a rank column; default: the owner's if it logged the key, else everybody's.
        max_points : int, optional
            Reduce to about so many points, keeping the least and the greatest of each stretch; `is_reduced` says so.
        attempts : int or "all", optional
            Points of one attempt, or of all, those hidden by a rewind included.

        Raises
        ------
        MetricNotFoundError
        InvalidValueError
            If `max_points` is not a number above 0.
        """
        if max_points is not None and not (hasattr(type(max_points), "__index__") and max_points > 0):
            raise InvalidValueError(
                f"max_points is {max_points!r}; give a whole number above 0, or None for every point"
            )
        series = self._store.series(self.run_id, key, rank=rank, attempt=attempts)
        series = replace(series, n_total=len(series))
        if max_points is not None and len(series) > max_points:
            from mlops_sdk.query.reduce import min_max

            return min_max(series, max_points)
        return series

    def artifact(self, path: str) -> Path:
        """A local, read-only file with the artifact's newest bytes, verified against its digest.

        Raises
        ------
        ArtifactNotFoundError
        IntegrityError
            If the stored bytes are damaged.
        """
        for ref in self.artifacts:
            if ref.path == path:
                return self._store.blobs.path(ref.sha256)
        raise ArtifactNotFoundError(path)

    def download(self, path: str, target: str | os.PathLike[str]) -> Path:
        """Copy an artifact into the directory `target` under its name; returns the file.

        Raises
        ------
        ArtifactNotFoundError, IntegrityError
        InvalidValueError
            If the name would lead out of `target`.
        """
        import shutil

        from mlops_sdk.blobs.names import safe_target

        source = self.artifact(path)
        file = safe_target(Path(target), path)
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, file)
        return file

    def load_model(self, name: str = "model", *, trust: bool = False, check: bool = False) -> Any:
        """Load a model logged by `log_model`.

        Parameters
        ----------
        name : str
        trust : bool
            Loading runs code that the file contains: only True allows it.
        check : bool
            Warn where the versions of the packages differ from those it was logged with.

        Raises
        ------
        ArtifactNotFoundError, IntegrityError, UntrustedModelError
        """
        from mlops_sdk.query.models import load

        return load(self, name, trust=trust, check=check)

    def cv_results(self) -> CVResults:
        """Candidates and folds of the search or cross-validation that was recorded.

        Raises
        ------
        ArtifactNotFoundError
            If none was.
        IntegrityError
        """
        from mlops_sdk.query.cv import read

        return read(self)

    # -- comparing -----------------------------------------------------------------------------------------------

    def compare(self, *others: Any, **options: Any) -> Comparison:
        """What differs between other runs and this one; what is said is said of this one.

        Parameters
        ----------
        *others : RunView or str
            Runs or ids, the first of which is the reference; none: the previous run of the same entry point.
        **options
            Of `mlops_sdk.compare`.

        Raises
        ------
        RunNotFoundError
            If there is no earlier run of the same entry point.
        """
        from mlops_sdk.query.comparing import compare_with

        return compare_with(self, others, **options)

    # -- pictures ------------------------------------------------------------------------------------------------

    def plot(self, *keys: str, kind: str = "curves", ax: Axes | None = None, **options: Any) -> Axes:
        """Draw metrics of this run.

        Parameters
        ----------
        *keys : str
            Metrics; none: all of its own, those with one last part of their name (``train/loss``, ``val/loss``) together.
        kind : {"curves", "system"}
            Over steps, or the load of the machine over time, a panel a unit.
        ax : matplotlib.axes.Axes, optional
            Where to draw, where one panel holds all; default a new figure, which a notebook shows.
        **options
            Of curves: ``x`` ("step", "time" or a metric), ``smooth`` (0 to below 1), ``yscale``.

        Returns
        -------
        matplotlib.axes.Axes
            Of the first panel; ``ax.figure`` is the picture.

        Raises
        ------
        InvalidValueError
            If there is nothing to draw, or an option has no meaning.
        """
        from mlops_sdk.plots.kinds import draw_run

        return draw_run(self, keys, kind, ax, options)

    def _repr_html_(self) -> str:
        """A card for notebooks: static, escaped, without a script."""
        from mlops_sdk.query.card import run_card

        return run_card(self)

    # -- changes from outside ------------------------------------------------------------------------------------

    def _edit(self, kind: Kind, payload: JsonDict) -> None:
        self._store.append(edit(self.run_id, (kind, payload)))
        self.refresh()

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag."""
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags."""
        self._edit(Kind.TAGS, {"set": {check_key(key, "tag"): str(value) for key, value in tags.items()}})

    def delete_tag(self, key: str) -> None:
        """Remove a tag; quiet when it is not there."""
        self._edit(Kind.TAGS, {"delete": [key]})

    def rename(self, name: str) -> None:
        """Give the run another name."""
        self._edit(Kind.INFO, {"name": check_key(name, "name")})

    def set_description(self, text: str) -> None:
        """Replace the description."""
        self._edit(Kind.INFO, {"description": text})

    def move(self, experiment: str) -> None:
        """Move the run to another experiment, made when it is not there."""
        self._edit(Kind.INFO, {"experiment": check_key(experiment, "experiment")})

    def __repr__(self) -> str:
        head = self._head()
        return f"<{type(self).__name__} {head.name!r} {head.run_id} {derived_status(head)} in {head.experiment!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunView) and other.run_id == self.run_id

    def __hash__(self) -> int:
        return hash(self.run_id)
