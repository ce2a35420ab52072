"""One trial, in the process that runs it."""

from __future__ import annotations

import inspect
import os
import pickle
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.run.start import start_run
from mlops_sdk.run.trouble import words_of
from mlops_sdk.values.plain import to_plain

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

RESULT_FILE = "result.json"
_MAX_CHARS = 1 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to run one trial."""

    run_id: str
    name: str
    point: dict[str, Any]
    parent: str
    experiment: str | None
    uri: str | None
    mode: str | None
    is_again: bool = False
    sender: tuple[str, int] = field(default_factory=lambda: (socket.gethostname(), os.getpid()))


@dataclass(frozen=True, slots=True)
class Trial:
    """How a trial ended.

    Attributes
    ----------
    point : dict
        Its params.
    value : object
        What the function returned; as JSON where it comes from the store (`is_resumed`), None where the trial failed.
    status : {"FINISHED", "FAILED", "KILLED"}
        KILLED: the worker died under it.
    error : str or None
    run_id : str
    is_resumed : bool
        It had finished in an earlier sweep, and was not run again.
    """

    point: dict[str, Any] = field(default_factory=dict)
    value: Any = None
    status: str = "FINISHED"
    error: str | None = None
    run_id: str = ""
    is_resumed: bool = False


def run_trial(job: Job, function: Callable[..., Any]) -> Trial:
    """Run a trial in a run of its own; what the function raises becomes the trial's error.

    Notes
    -----
    A trial that ran before and did not finish begins anew: its earlier points are kept, and hidden.
    """
    try:
        with _start(job) as run:
            value = function(**_arguments(function, job.point, run))
            _keep(run, value)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - one trial that fails does not stop the sweep
        return Trial(job.point, None, "FAILED", words_of(error), job.run_id)
    if job.sender != (socket.gethostname(), os.getpid()) and not _can_be_sent(value):
        return Trial(job.point, None, "FINISHED", f"its value, a {type(value).__name__}, cannot be pickled", job.run_id)
    return Trial(job.point, value, "FINISHED", None, job.run_id)


def _start(job: Job) -> Run:
    return start_run(
        run_id=job.run_id, resume="allow", from_step=0 if job.is_again else None, name=job.name, parent=job.parent,
        experiment=job.experiment, tracking_uri=job.uri, mode=job.mode, params=job.point, capture=False, system_metrics=False,
    )  # fmt: skip


def _arguments(function: Callable[..., Any], point: dict[str, Any], run: Run) -> dict[str, Any]:
    try:
        takes_run = "run" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        takes_run = False
    return {**point, "run": run} if takes_run and "run" not in point else point


def _keep(run: Run, value: Any) -> None:
    """Numbers as metrics, and the value as JSON, for a sweep that is resumed."""
    numbers = value if isinstance(value, Mapping) else {"value": value}
    metrics = {str(key): each for key, each in numbers.items() if isinstance(each, Real) and not isinstance(each, bool)}
    if metrics:
        run.log_metrics(metrics)
    try:
        plain = to_plain(value, max_chars=_MAX_CHARS)
    except InvalidValueError:
        plain = None
    run.log_dict({"value": plain}, RESULT_FILE)


def _can_be_sent(value: Any) -> bool:
    if value is None or isinstance(value, (bool, int, float, str)):
        return True
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever pickling raises: it cannot be sent
        return False
    return True
