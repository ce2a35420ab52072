"""Beginning: start, resume, rewind, attach."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_sdk import config
from mlops_sdk.courier import recovery
from mlops_sdk.entities import RunHead, RunQuery
from mlops_sdk.errors import InvalidValueError, RunActiveError, RunExistsError, RunNotFoundError
from mlops_sdk.journal import liveness
from mlops_sdk.query.search import catch_up_remote
from mlops_sdk.run import active, background, cells, endings
from mlops_sdk.run.disabled import DisabledRun
from mlops_sdk.run.names import check_run_id, name_for, new_run_id
from mlops_sdk.run.recorder import Opening, Recorder
from mlops_sdk.run.run import Run
from mlops_sdk.stores.opening import Place, open_place, open_unsent
from mlops_sdk.stores.remote import OfflineCopy, RemotePlace
from mlops_sdk.values.params import check_key

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.config import Settings
    from mlops_sdk.stores.protocol import Store

_RECOVER_S = 5.0


def start_run(
    *,
    experiment: str | None = None,
    name: str | None = None,
    run_id: str | None = None,
    resume: str | None = None,
    from_step: int | None = None,
    params: Any = None,
    tags: Mapping[str, Any] | Iterable[str] | None = None,
    description: str | None = None,
    parent: str | Run | None = None,
    nested: bool = False,
    tracking_uri: str | os.PathLike[str] | None = None,
    mode: str | None = None,
    system_metrics: bool = True,
    capture: bool | set[str] = True,
    strict: bool = False,
) -> Run:
    """Start a run, or go on with one.

    Parameters
    ----------
    experiment : str, optional
        Made on first use. Default: `set_experiment` > ``MLOPS_EXPERIMENT`` > ``"default"``.
    name : str, optional
        Default: made up from the id.
    run_id : str, optional
        Up to 128 bytes, taken exactly; default a UUID version 7.
    resume : {"must", "allow"}, optional
        Go on with the run `run_id`; None: it must be new.
    from_step : int, optional
        When resuming: points at and after this step become an earlier attempt, kept and hidden.
    params : mapping, optional
        Logged at once; see `Run.log_params`.
    tags : mapping or list of str, optional
    description : str, optional
    parent : str or Run, optional
        The run to nest this one in.
    nested : bool
        Nest it in the active run.
    tracking_uri : str or path, optional
        Where runs are kept. Default: `set_tracking_uri` > ``MLOPS_TRACKING_URI`` > discovered.
    mode : {"online", "offline", "disabled"}, optional
    system_metrics : bool
        Sample processor, memory, disk, network and GPUs every 10 s.
    capture : bool or set of {"git", "diff", "packages", "argv", "system", "stdout"}
    strict : bool
        `log_*` and `set_*` raise instead of counting.

    Returns
    -------
    Run
        Active in this context until it ends.

    Raises
    ------
    InvalidValueError
        If an argument cannot be used.
    RunExistsError, RunNotFoundError
        If `run_id` is there and may not be, or is not and must.
    RunActiveError
        If a run is active already, in a script, and neither `nested` nor `parent` is given.
    StoreUnavailableError
        If the store was named and cannot be written.
    """
    settings = config.resolve(
        experiment=experiment,
        run_id=run_id,
        resume=resume,
        mode=mode,
        tracking_uri=None if tracking_uri is None else os.fspath(tracking_uri),
        strict=strict or None,
    )
    _check_start(settings, name, from_step, description)
    labels = _labels(tags)
    if isinstance(params, (str, bytes, int, float, list, tuple, set)):
        raise InvalidValueError(f"params is a {type(params).__name__}: give a mapping, or an object with fields")
    parts = background.chosen_parts(capture)
    if settings.mode == "disabled":
        return DisabledRun(settings.run_id or new_run_id(), name or "disabled")
    rank = _rank()
    if rank and settings.run_id and "MLOPS_RUN_ID" in os.environ and run_id is None:
        return attach_run(settings.run_id, tracking_uri=settings.tracking_uri)
    parent_id = _parent(parent, nested)
    place = _open(settings)
    run = _start(place, settings, name, from_step, parent_id, rank, description)
    active.enter(run)
    endings.install()
    cells.watch()
    _watch(run, parts, system_metrics)
    try:
        if params is not None:
            run.log_params(params)
        if labels:
            run.set_tags(labels)
    except BaseException:  # a strict run, or Ctrl-C: who has no run in hand cannot end it
        run.finish("FAILED")
        raise
    return run


def _check_start(settings: Settings, name: str | None, from_step: int | None, description: str | None) -> None:
    check_key(settings.experiment, "experiment")
    if name is not None:
        check_key(name, "run")
    if description is not None and not isinstance(description, str):
        raise InvalidValueError(f"the description is a {type(description).__name__}; give text")
    if settings.run_id is not None:
        check_run_id(settings.run_id)
    if settings.resume and settings.run_id is None:
        raise InvalidValueError("resume= needs run_id=: which run shall go on?")
    if from_step is not None and not settings.resume:
        raise InvalidValueError("from_step= needs resume=: it rewinds a run that is there")


def _labels(tags: Mapping[str, Any] | Iterable[str] | None) -> Mapping[str, Any]:
    """The tags to set: read before anything is started, so that a mistake leaves no run behind."""
    if tags is None:
        return {}
    if isinstance(tags, Mapping):
        return tags
    if isinstance(tags, (str, bytes)) or not isinstance(tags, Iterable):
        raise InvalidValueError(f"tags is {tags!r}: give a mapping, or a list of labels such as ['baseline']")
    return {check_key(label, "tag"): "true" for label in tags}


def _parent(parent: str | Run | None, nested: bool) -> str | None:
    """The id of the run to nest in; in a notebook an earlier run that is still active is ended."""
    current = active.current()
    if isinstance(parent, Run):
        return parent.run_id
    if parent is not None:
        return parent
    if nested:
        return current.run_id if current is not None else None
    if current is not None and active.in_notebook():
        ending = current._cell_ending or endings.Ending()
        said = (
            "is finished now"
            if ending.status == "FINISHED"
            else f"is ended now as {ending.status}, as its last cell was"
        )
        sys.stderr.write(f"mlops_sdk: run {current.name_hint} was still active and {said}\n")
        current._finish(ending)
    elif current is not None:
        raise RunActiveError(current.run_id)
    return None


def _start(
    place: Place,
    settings: Settings,
    name: str | None,
    from_step: int | None,
    parent: str | None,
    rank: int | None,
    description: str | None,
) -> Run:
    run_id = settings.run_id or new_run_id()
    standing = _standing(place, settings, run_id) if settings.run_id else None
    payload: JsonDict = {
        "experiment": settings.experiment,
        "name": name or name_for(run_id),
        "parent": parent,
        "user": _user(),
        "host": liveness.identity().host,
        "entry_point": _entry_point(),
        "description": description or "",
        "from_step": from_step,
    }
    if standing is None:
        recorder = Recorder(place, settings, Opening(run_id, "owner", rank, payload))
        return Run(recorder, name_hint=payload["name"])
    loaded = _readable(place, settings).load([run_id], ["params", "metrics"])[run_id]
    last_steps = {key: summary.last_step for key, summary in loaded.metrics.items()}
    if from_step is not None:
        last_steps = {key: min(step, from_step - 1) for key, step in last_steps.items()}
    recorder = Recorder(place, settings, Opening(run_id, "owner", rank, payload, last_steps))
    if from_step is not None:
        recorder.deliver(settings.finish_timeout_s)  # a worker that attaches at once must find the new attempt
    return Run(recorder, name_hint=standing.name, previous_params=loaded.params)


def _readable(place: Place, settings: Settings) -> Store:
    """What is asked for a run that may be there already."""
    return place.copy() if isinstance(place, RemotePlace) and settings.mode == "offline" else place.store


def _standing(place: Place, settings: Settings, run_id: str) -> RunHead | None:
    """The run that is there already, after what its dead writers left has been delivered.

    Raises
    ------
    RunExistsError, RunNotFoundError
        As `resume` asks.
    """
    for root in place.journal_roots():
        recovery.sweep(place.store, root, limit_s=_RECOVER_S)
        recovery.collect(place.store, root, run_id, but="")
    if isinstance(place, RemotePlace):
        catch_up_remote(place)
    store = _readable(place, settings)
    heads = store.find(RunQuery(run_ids=(run_id,), deleted=None))
    if not heads:
        if settings.resume == "must" and not isinstance(
            store, OfflineCopy
        ):  # it may be there, and is settled by the sync
            raise RunNotFoundError(run_id)
        return None
    if settings.resume is None:
        raise RunExistsError(run_id)
    return heads[0]


def _watch(run: Run, parts: frozenset[str], system_metrics: bool) -> None:
    run._background = background.Background(parts, run._emit_late, run._emit_system if system_metrics else None)
    run._background.start()


def attach_run(run_id: str, *, tracking_uri: str | os.PathLike[str] | None = None) -> Run:
    """Write to a run that another process owns.

    Parameters
    ----------
    run_id : str
        Full id.
    tracking_uri : str or path, optional

    Returns
    -------
    Run
        Its ending is recorded and never changes the run's status.

    Raises
    ------
    InvalidValueError
        If the id cannot be one.
    StoreUnavailableError
        If the store cannot be written.

    Notes
    -----
    The run need not be in the store yet: its owner may still be on the way.
    """
    check_run_id(run_id)
    known = active.opened(run_id)
    if known is not None and not known._is_over and known._is_attached:
        return known
    settings = config.resolve(tracking_uri=None if tracking_uri is None else os.fspath(tracking_uri), run_id=run_id)
    if settings.mode == "disabled":
        return DisabledRun(run_id, "disabled")
    run = _attach(_open(settings), settings, run_id, settings.experiment)
    active.register(run)
    endings.install()
    return run


def _open(settings: Settings) -> Place:
    """The place that is meant; a server is asked whether it lets us in, and one that does not answer is no trouble.

    Raises
    ------
    StoreUnavailableError
        If the local directory cannot be written.
    StoreError
        If the server refuses, or is none.
    """
    if settings.mode == "offline" and settings.tracking_uri is None:
        return open_unsent()
    place = open_place(settings.tracking_uri, make=True)
    if isinstance(place, RemotePlace) and settings.mode != "offline":
        place.greet()
    return place


def _attach(place: Place, settings: Settings, run_id: str, experiment: str | None) -> Run:
    recorder = Recorder(place, settings, _attached(run_id, experiment))
    return Run(recorder, name_hint=run_id[-8:])


def _attached(run_id: str, experiment: str | None) -> Opening:
    payload: JsonDict = {
        "experiment": experiment or "default",
        "name": name_for(run_id),
        "user": _user(),
        "host": liveness.identity().host,
        "entry_point": _entry_point(),
    }
    return Opening(run_id, "attached", _rank(), payload)


def open_attached(parent: Recorder, run_id: str) -> Recorder:
    """In a forked child: a writer of its own to the parent's run."""
    location = parent.place.location
    place = _reopen(str(location.path) if location else parent.place.uri)
    endings.install()
    return Recorder(place, parent.settings, _attached(run_id, parent.opening.payload.get("experiment")))


def unpickle(run_id: str, uri: str, experiment: str | None) -> Run:
    """A run that was sent to another process attaches there; in its own process it is itself."""
    known = active.opened(run_id)
    if known is not None and not known._is_over:
        return known
    settings = config.resolve(tracking_uri=uri or None, run_id=run_id)
    run = _attach(_reopen(uri), settings, run_id, experiment)
    active.register(run)
    endings.install()
    return run


def _reopen(uri: str) -> Place:
    """The place that another process had; "" is that of a run that is offline and names no server."""
    return open_place(uri, make=True) if uri else open_unsent()


def _rank() -> int | None:
    """Rank of this process among several, from the launcher's variables."""
    for name in ("RANK", "SLURM_PROCID"):
        text = os.environ.get(name, "")
        if text.isdigit():
            return int(text)
    return None


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def _entry_point() -> str:
    """What was started: a script's name, ``-m module``, ``notebook`` or ``interactive``."""
    if active.in_notebook():
        return "notebook"
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return f"-m {spec.name.removesuffix('.__main__')}"
    file = getattr(main, "__file__", None)
    return Path(file).name if file else "interactive"
