"""The sweep, in the process that started it: what is left to run, and what came of it."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops_sdk.entities import RunHead, RunQuery
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.integrations.parallel.trial import RESULT_FILE, Job, Trial, run_trial
from mlops_sdk.query import search
from mlops_sdk.query.view import RunView
from mlops_sdk.run.disabled import DisabledRun
from mlops_sdk.values.params import check_key, encode_param

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

_LOST_WORKER = ("KilledWorker", "WorkerCrashedError", "RayActorError", "NodeDiedError")
_NAMED_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def sweep(
    run: Run,
    function: Callable[..., Any],
    grid: Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]],
    *,
    n_jobs: int | None = None,
    name: str = "",
    backend: str | None = None,
    retries: int = 1,
) -> Iterator[Trial]:
    """See `Run.map`.

    Raises
    ------
    InvalidValueError
        If the grid is none, or names no params.
    """
    if not callable(function):
        raise InvalidValueError(f"the function of a sweep is called; {type(function).__name__} cannot be")
    jobs = _jobs(run, function, points_of(grid), name)
    return _results(run, function, jobs, n_jobs, backend, retries)


def points_of(grid: Any) -> list[dict[str, Any]]:
    """Points of a grid: all combinations of a mapping's values, the last name fastest; or the mappings themselves."""
    if isinstance(grid, Mapping):
        names = [check_key(name, "param") for name in grid]
        for name, values in grid.items():
            if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
                raise InvalidValueError(f"values of {name!r} are a {type(values).__name__}: give a list", key=name)
        return [dict(zip(names, values, strict=True)) for values in itertools.product(*grid.values())]
    points = list(grid)
    if not all(isinstance(point, Mapping) for point in points):
        raise InvalidValueError(
            "a grid is a mapping of names to values, or an iterable of mappings of names to one value"
        )
    return [{check_key(name, "param"): value for name, value in point.items()} for point in points]


def _jobs(run: Run, function: Callable[..., Any], points: list[dict[str, Any]], name: str) -> list[Job]:
    is_disabled = isinstance(run, DisabledRun)
    experiment = None if is_disabled else run._recorder.opening.payload.get("experiment")
    uri = None if is_disabled else run._recorder.place.uri
    mode = "disabled" if is_disabled else run._recorder.settings.mode
    seen: Counter[str] = Counter()
    jobs = []
    for number, point in enumerate(points):
        text = _text_of(point)
        seen[text] += 1
        run_id = _trial_id(run.run_id, name or getattr(function, "__qualname__", ""), text, seen[text])
        label = f"{name}-{number}" if name else f"trial-{number}"
        jobs.append(Job(run_id, label, point, run.run_id, experiment, uri, mode))
    return jobs


def _text_of(point: dict[str, Any]) -> str:
    """The point as text that is the same in every process."""
    try:
        return json.dumps({name: encode_param(value)[:2] for name, value in point.items()}, sort_keys=True)
    except InvalidValueError:  # too large for a param: by its content
        import joblib

        return str(joblib.hash(point))


def _trial_id(parent: str, what: str, point: str, occurrence: int) -> str:
    """The same trial of the same sweep has the same id: that is how a sweep is resumed."""
    from blake3 import blake3

    return f"trial-{blake3(json.dumps([parent, what, point, occurrence]).encode()).hexdigest(length=16)}"


# -- running -------------------------------------------------------------------------------------------------------------


class _Rest:
    """Trials that wait to be run, and what is known of those under which a worker died.

    Notes
    -----
    When a worker dies, joblib gives up all trials in flight. One of them did it: from then on each of these runs alone, so
    that none pays for another.
    """

    def __init__(self, run: Run, retries: int) -> None:
        self._run = run
        self._retries = max(retries, 1)
        self._suspects: list[str] = []
        self._deaths: Counter[str] = Counter()
        self.waiting: dict[str, Job] = {}

    def batch(self) -> list[Job]:
        """What to run next."""
        return [self.waiting[self._suspects[0]]] if self._suspects else list(self.waiting.values())

    def done(self, run_id: str) -> None:
        """A trial has ended."""
        del self.waiting[run_id]
        self._suspects = [each for each in self._suspects if each != run_id]

    def after_death(self, batch: list[Job], error: Exception) -> Iterator[Trial]:
        """Sort out a batch under which a worker died; yields the trials that are over."""
        heads = _heads(self._run, [job.run_id for job in batch if job.run_id in self.waiting])
        if not heads and len(batch) == len(self.waiting):
            raise error  # no worker ever got as far as a trial: trying again will not help
        for run_id, head in heads.items():
            if head.status == "FINISHED":  # only its answer was lost
                yield _finished_before(self._run, self.waiting[run_id], head)
            else:
                self.waiting[run_id] = replace(self.waiting[run_id], is_again=True)
        if not self._suspects:
            self._suspects = [run_id for run_id, head in heads.items() if head.status != "FINISHED"]
            return
        suspect = batch[0]
        self._deaths[suspect.run_id] += 1
        if suspect.run_id in self.waiting and self._deaths[suspect.run_id] >= self._retries:
            yield Trial(suspect.point, None, "KILLED", f"the worker died: {error}", suspect.run_id)


def _results(
    run: Run, function: Callable[..., Any], jobs: list[Job], n_jobs: int | None, backend: str | None, retries: int
) -> Iterator[Trial]:
    begun = _heads(run, [job.run_id for job in jobs])
    rest = _Rest(run, retries)
    for job in jobs:
        head = begun.get(job.run_id)
        if head is not None and head.status == "FINISHED":
            yield _finished_before(run, job, head)
        else:
            rest.waiting[job.run_id] = replace(job, is_again=head is not None)
    n_done = n_failed = 0
    while rest.waiting:
        for trial in _round(rest, function, n_jobs, backend):
            rest.done(trial.run_id)
            n_done, n_failed = n_done + 1, n_failed + (trial.status != "FINISHED")
            run.log_metrics({"trials_done": n_done, "trials_failed": n_failed}, n_done)
            yield trial


def _round(rest: _Rest, function: Callable[..., Any], n_jobs: int | None, backend: str | None) -> Iterator[Trial]:
    """Run what comes next, until it is done or a worker dies."""
    batch = rest.batch()
    try:
        yield from _parallel(batch, function, n_jobs, backend)
    except Exception as error:
        if not _is_lost_worker(error):
            raise
        yield from rest.after_death(batch, error)


def _parallel(
    jobs: list[Job], function: Callable[..., Any], n_jobs: int | None, backend: str | None
) -> Iterator[Trial]:
    """Outcomes as they come, where the backend can; else when all are there."""
    from joblib import Parallel, delayed

    options: dict[str, Any] = {"n_jobs": n_jobs, "batch_size": 1}
    if backend is not None:
        options["backend"] = backend
    try:
        parallel = Parallel(return_as="generator_unordered", **options)
    except ValueError:  # multiprocessing cannot
        parallel = Parallel(**options)
    yield from parallel(delayed(run_trial)(job, function) for job in jobs)


def _is_lost_worker(error: Exception) -> bool:
    """Whether a worker died: in joblib's words, Dask's or Ray's."""
    return isinstance(error, BrokenExecutor) or any(kind.__name__ in _LOST_WORKER for kind in type(error).__mro__)


# -- what was there before -----------------------------------------------------------------------------------------------


def _heads(run: Run, run_ids: list[str]) -> dict[str, RunHead]:
    if isinstance(run, DisabledRun) or not run_ids:
        return {}
    place = run._recorder.place
    search.catch_up(place)
    return {head.run_id: head for head in place.store.find(RunQuery(run_ids=tuple(run_ids)))}


def _finished_before(run: Run, job: Job, head: RunHead) -> Trial:
    """A trial that need not be run again."""
    return Trial(job.point, _value_of(RunView(run._store, head)), "FINISHED", None, job.run_id, is_resumed=True)


def _value_of(view: RunView) -> Any:
    kept = any(ref.path == RESULT_FILE for ref in view.artifacts)
    value = json.loads(view.artifact(RESULT_FILE).read_text(encoding="utf-8"))["value"] if kept else None
    return _NAMED_FLOATS.get(value, value) if isinstance(value, str) else value
