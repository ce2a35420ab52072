"""The module-level functions: the active run's methods, and reading.

References
----------
.. [1] ``docs/reference.md``
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_sdk import _logging, config
from mlops_sdk.entities import Experiment, RunQuery
from mlops_sdk.errors import ExperimentNotFoundError, StateError
from mlops_sdk.journal.editor import edit
from mlops_sdk.journal.records import Kind
from mlops_sdk.query import search as _search
from mlops_sdk.query.runs import Runs
from mlops_sdk.query.view import RunView
from mlops_sdk.run import active
from mlops_sdk.run.run import Run
from mlops_sdk.run.start import attach_run, start_run
from mlops_sdk.stores.opening import Place, is_made, locate, open_nothing, open_place
from mlops_sdk.values.params import check_key

if TYPE_CHECKING:
    from types import FrameType

    from mlops_sdk.comparison.comparison import Comparison
    from mlops_sdk.entities import ArtifactRef
    from mlops_sdk.fingerprint.fingerprint import Fingerprint
    from mlops_sdk.fingerprint.making import fingerprint
    from mlops_sdk.stores.protocol import Store
else:
    import mlops_sdk.fingerprint as fingerprint  # the package is the function; its modules load numpy when it is called

__all__ = [
    "active_run", "attach_run", "autolog", "compare", "define_metric", "delete_experiment", "delete_run", "delete_tag", "end_run",
    "fingerprint", "get_run", "get_tracking_uri", "last_run", "list_experiments", "load_model", "log", "log_artifact",
    "log_artifacts", "log_dataset", "log_dict", "log_figure", "log_image", "log_input", "log_metric", "log_metrics",
    "log_model", "log_param", "log_params", "log_table", "log_text",
    "open_store", "restore_experiment", "restore_run", "search_runs", "set_description", "set_experiment", "set_tag",
    "set_tags", "set_tracking_uri", "start_run", "track_dataset",
]  # fmt: skip


# -- the active run ------------------------------------------------------------------------------------------------------


def active_run() -> Run | None:
    """The open run of this context, or the process's only one; None when there is none."""
    try:
        return active.find()
    except StateError:
        return None


def end_run(status: str | None = None) -> None:
    """End the active run; quiet when there is none."""
    run = active_run()
    if run is not None:
        run.finish(status)


def _run() -> Run:
    """The run that is meant; one is started when there is none."""
    run = active.find()
    if run is None:
        place = _calling_place()
        run = start_run()
        _logging.log().warning(
            "mlops_sdk: no run was active, %s started run %s; use `with mlops_sdk.start_run():`", place, run.run_id
        )
    return run


def _calling_place() -> str:
    """File and line that called into this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _guarded(method: str, *args: Any, **options: Any) -> Any:
    """Call a method of the run that is meant; several open runs are an error, logged unless strict."""
    try:
        run = _run()
    except StateError as error:
        if config.resolve().strict:
            raise
        for open_run in active.all_open():
            open_run._troubles.count(type(error).__name__, str(error))
        return None
    return getattr(run, method)(*args, **options)


def log_metric(key: str, value: Any, step: int | None = None, *, timestamp: Any = None) -> None:
    """`Run.log_metric` of the active run."""
    run = active._current.get()
    if run is not None and not run._is_over:
        run.log_metric(key, value, step, timestamp=timestamp)
    else:
        _guarded("log_metric", key, value, step, timestamp=timestamp)


def log_metrics(mapping: Mapping[str, Any], step: int | None = None, *, timestamp: Any = None) -> None:
    """`Run.log_metrics` of the active run."""
    _guarded("log_metrics", mapping, step, timestamp=timestamp)


def log(mapping: Mapping[str, Any], step: int | None = None) -> None:
    """`Run.log` of the active run."""
    _guarded("log", mapping, step)


def log_param(key: str, value: Any, *, overwrite: bool = False) -> None:
    """`Run.log_param` of the active run."""
    _guarded("log_param", key, value, overwrite=overwrite)


def log_params(mapping: Any, *, overwrite: bool = False) -> None:
    """`Run.log_params` of the active run."""
    _guarded("log_params", mapping, overwrite=overwrite)


def log_artifact(
    path: str | os.PathLike[str], artifact_path: str | None = None, *, step: int | None = None
) -> ArtifactRef | None:
    """`Run.log_artifact` of the active run."""
    return _guarded("log_artifact", path, artifact_path, step=step)  # type: ignore[no-any-return]


def log_artifacts(
    dir: str | os.PathLike[str],  # noqa: A002 - the public name of api.md
    artifact_path: str | None = None,
    *,
    step: int | None = None,
) -> list[ArtifactRef] | None:
    """`Run.log_artifacts` of the active run."""
    return _guarded("log_artifacts", dir, artifact_path, step=step)  # type: ignore[no-any-return]


def log_text(text: str, file: str, *, step: int | None = None) -> ArtifactRef | None:
    """`Run.log_text` of the active run."""
    return _guarded("log_text", text, file, step=step)  # type: ignore[no-any-return]


def log_dict(d: Any, file: str, *, step: int | None = None) -> ArtifactRef | None:
    """`Run.log_dict` of the active run."""
    return _guarded("log_dict", d, file, step=step)  # type: ignore[no-any-return]


def log_figure(fig: Any, file: str, *, step: int | None = None) -> ArtifactRef | None:
    """`Run.log_figure` of the active run."""
    return _guarded("log_figure", fig, file, step=step)  # type: ignore[no-any-return]


def log_image(img: Any, file: str, *, step: int | None = None) -> ArtifactRef | None:
    """`Run.log_image` of the active run."""
    return _guarded("log_image", img, file, step=step)  # type: ignore[no-any-return]


def log_table(table: Any, file: str, *, step: int | None = None) -> ArtifactRef | None:
    """`Run.log_table` of the active run."""
    return _guarded("log_table", table, file, step=step)  # type: ignore[no-any-return]


def log_model(
    model: Any,
    name: str = "model",
    *,
    input_example: Any = None,
    metadata: Mapping[str, Any] | None = None,
    format: str = "auto",  # noqa: A002 - as of `Run.log_model`
) -> ArtifactRef | None:
    """`Run.log_model` of the active run."""
    return _guarded(  # type: ignore[no-any-return]
        "log_model", model, name, input_example=input_example, metadata=metadata, format=format
    )


def log_dataset(
    data: Any, *, name: str | None = None, context: str | None = None, target: Any = None
) -> Fingerprint | None:
    """`Run.log_dataset` of the active run."""
    return _guarded("log_dataset", data, name=name, context=context, target=target)  # type: ignore[no-any-return]


def log_input(
    dataset: Any, context: str | None = None, tags: Mapping[str, str] | None = None, *, name: str | None = None,
    target: Any = None,
) -> Fingerprint | None:  # fmt: skip
    """`Run.log_input` of the active run."""
    return _guarded("log_input", dataset, context, tags, name=name, target=target)  # type: ignore[no-any-return]


def track_dataset(
    iterable: Iterable[Any], *, name: str | None = None, context: str | None = None, target: str | None = None
) -> Iterable[Any]:
    """`Run.track_dataset` of the active run; the iterable itself when there is no one run that is meant."""
    tracked = _guarded("track_dataset", iterable, name=name, context=context, target=target)
    return iterable if tracked is None else tracked


def define_metric(key: str, *, mode: Any = None, unit: str | None = None, x: str | None = None) -> None:
    """`Run.define_metric` of the active run."""
    _guarded("define_metric", key, mode=mode, unit=unit, x=x)


def set_tag(key: str, value: Any) -> None:
    """`Run.set_tag` of the active run."""
    _guarded("set_tag", key, value)


def set_tags(tags: Mapping[str, Any]) -> None:
    """`Run.set_tags` of the active run."""
    _guarded("set_tags", tags)


def delete_tag(key: str) -> None:
    """`Run.delete_tag` of the active run."""
    _guarded("delete_tag", key)


def set_description(text: str) -> None:
    """`Run.set_description` of the active run."""
    _guarded("set_description", text)


def autolog(*, disable: bool = False, **options: Any) -> None:
    """Record every outermost scikit-learn fit of this process from now on.

    Parameters
    ----------
    disable : bool
        Stop; everything is as it was before.
    **options
        ``log_models`` (True), ``log_datasets`` (True), ``training_metrics`` (True, False or "auto": not when predicting
        the training data would take much longer than fitting), ``children`` ("none", "best" or "all" candidates of a
        search as child runs), ``figures`` (False), ``importance`` and ``learning_curve`` (False: figures that cost fits or
        predictions of their own), ``checks`` (True: methodology checks), ``progress`` ("auto", True or False: a bar while a
        search runs), ``exclude`` and ``include`` (classes or their names; packages whose
        fits count as the user's own), ``experiment``, ``tracking_uri``.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    InvalidValueError
        If an option is unknown.

    Notes
    -----
    A fit goes to the active run; when there is none, to a run of its own, which takes what is scored later too, and ends
    with the next fit or the process.
    """
    from mlops_sdk.run.integrations import load

    load("autolog")(disable=disable, **options)


# -- settings ------------------------------------------------------------------------------------------------------------


def set_experiment(name: str | None) -> None:
    """Experiment of the runs started from now on in this process; None takes it back."""
    config.choose(experiment=None if name is None else check_key(name, "experiment"))


def set_tracking_uri(uri: str | os.PathLike[str] | None) -> None:
    """Store of the runs started and read from now on in this process; None takes it back."""
    config.choose(tracking_uri=None if uri is None else os.fspath(uri))


def get_tracking_uri() -> str:
    """Where runs go now: what was set, or the directory that was discovered."""
    uri = config.resolve().tracking_uri
    location = locate(uri)
    return str(uri) if location is None else str(location.path)


def _uri(tracking_uri: str | os.PathLike[str] | None) -> str | None:
    return config.resolve(tracking_uri=None if tracking_uri is None else os.fspath(tracking_uri)).tracking_uri


def _place(tracking_uri: str | os.PathLike[str] | None) -> Place:
    uri = _uri(tracking_uri)
    location = locate(uri)
    if location is not None and not location.is_explicit and not is_made(location):
        return open_nothing()  # to look for runs makes no store
    return open_place(uri)


def open_store(tracking_uri: str | os.PathLike[str] | None = None) -> Store:
    """The store of a URI (default: where runs go now), for the `Store` protocol itself."""
    return open_place(_uri(tracking_uri)).store


# -- reading -------------------------------------------------------------------------------------------------------------


def get_run(run: str, *, tracking_uri: str | os.PathLike[str] | None = None) -> RunView:
    """One run, by full id, unique prefix or suffix of at least 4 characters, unique name, or ``@1`` for the latest.

    Raises
    ------
    RunNotFoundError
    AmbiguousRunError
        If several fit; it lists them.
    """
    return _search.resolve(_place(tracking_uri), run)


def last_run(*, tracking_uri: str | os.PathLike[str] | None = None) -> RunView | None:
    """The run this process started last, or else the store's latest; None when there is none."""
    run = active.last() if tracking_uri is None else None
    if run is not None:
        return run
    runs = search_runs(limit=1, tracking_uri=tracking_uri)
    return runs[0] if runs else None


def search_runs(
    filter: str | None = None,  # noqa: A002 - the public name of api.md
    *,
    experiment: str | None = None,
    order_by: str | Sequence[str] | None = None,
    limit: int | None = None,
    offset: int = 0,
    columns: Sequence[str] | None = None,
    tracking_uri: str | os.PathLike[str] | None = None,
) -> Runs:
    """Runs of a store, children too, newest first.

    Parameters
    ----------
    filter : str, optional
        Only runs that fit: ``"metrics.val/acc.max > 0.9 and params.C < 10"``. The language is in
        ``docs/guides/filter-language.md``.
    experiment : str, optional
        Only runs of that experiment.
    order_by : str or sequence of str, optional
        ``"metrics.acc.best DESC, start_time"``; missing values and NaN last in either direction.
    limit, offset : int, optional
    columns : sequence of str, optional
        Columns of the tables made from the result, in that order: ``["name", "params.C", "metrics.acc.max"]``.
    tracking_uri : str or path, optional

    Raises
    ------
    FilterSyntaxError
        If the filter or the order cannot be read, or a key is unknown to the store and close to one that is known; carries
        the column.
    QueryTimeoutError
        If the filter takes more than 10 s.

    References
    ----------
    .. [1] ``docs/adr/0006-filter-language.md``
    """
    runs = _search.search(
        _place(tracking_uri), filter, experiment=experiment, order_by=order_by, limit=limit, offset=offset
    )
    return runs.with_columns(columns)


def compare(
    *items: Any,
    metric: str | Sequence[str] | None = None,
    mode: str = "auto",
    test: str = "auto",
    alpha: float = 0.05,
    by: str = "last",
    seed: str | Sequence[str] = ("seed", "random_state"),
    test_size: float | None = None,
    tracking_uri: str | os.PathLike[str] | None = None,
) -> Comparison:
    """What differs between runs or groups of runs, the most telling first, and whether it is more than noise.

    Parameters
    ----------
    *items : run, str, or sequence of runs
        Two or more runs (or ids, names, ``@1``), or groups: `Runs`, `RunGroups`, lists. The first is the reference. A lone
        sequence is taken for its items.
    metric : str or sequence of str, optional
        Judged by statistics: groups, or two runs with logged predictions. Groups need one.
    mode : {"auto", "max", "min"}
        Which way the metric gets better. "auto": what `define_metric` said, or else what a common name says; where neither
        does, the verdict is "greater" or "less".
    test : {"auto", "welch", "paired_t", "wilcoxon", "bootstrap", "corrected", "mcnemar"}
        "auto" takes what fits: "corrected" (Nadeau and Bengio) where both groups have the same folds (params or tags
        ``fold``, ``split``), "wilcoxon" (below 6 pairs "paired_t") where both have the same seeds, "welch" otherwise; for
        two runs that logged predictions "mcnemar".
    alpha : float
        Level of significance; intervals are those of 1 - alpha.
    by : {"last", "best", "min", "max", "mean", "first"}
        Which summary of the metric is the value of a run.
    seed : str or sequence of str
        Params (or tags) that number repetitions.
    test_size : float, optional
        Share of the data that each split tests on, for "corrected" where the runs do not say it.
    tracking_uri : str or path, optional
        Where ids are looked up.

    Returns
    -------
    Comparison
        ``params metrics datasets code environment system duration`` hold what differs, ``changes`` all of it ranked,
        ``verdicts`` what statistics say; ``summary()``, ``to_pandas()``, ``plot()``.

    Raises
    ------
    RunNotFoundError, AmbiguousRunError
    InvalidValueError
        If there is one run only, groups without a metric, or a metric that no run has.
    MissingDependencyError
        If statistics are asked for and scipy is not installed.

    Notes
    -----
    Fewer than 3 values of one side, folds that do not match and values that do not vary are refused: the verdict says why.
    The p-values of several comparisons are corrected by Holm's procedure.

    References
    ----------
    .. [1] `mlops_sdk.comparison.statistics` names the sources of the tests.
    """
    from mlops_sdk.query import comparing

    options = comparing.Options(metric, mode, test, alpha, by, seed, test_size)
    return comparing.compare(items, options, lambda run: get_run(run, tracking_uri=tracking_uri))


def load_model(
    run: str,
    name: str = "model",
    *,
    trust: bool = False,
    check: bool = False,
    into: Any = None,
    tracking_uri: str | os.PathLike[str] | None = None,
) -> Any:
    """`RunView.load_model` of a run."""
    return get_run(run, tracking_uri=tracking_uri).load_model(name, trust=trust, check=check, into=into)


def list_experiments(*, tracking_uri: str | os.PathLike[str] | None = None) -> list[Experiment]:
    """Experiments by name."""
    place = _place(tracking_uri)
    _search.catch_up(place)
    return place.store.experiments()


# -- the trash -----------------------------------------------------------------------------------------------------------


def delete_run(run: str, *, tracking_uri: str | os.PathLike[str] | None = None) -> None:
    """Move a run to the trash; `restore_run` brings it back, ``mlops gc`` frees the disk.

    Raises
    ------
    RunNotFoundError, AmbiguousRunError
    """
    _trash(run, tracking_uri, deleted=True)


def restore_run(run: str, *, tracking_uri: str | os.PathLike[str] | None = None) -> None:
    """Bring a run back from the trash.

    Raises
    ------
    RunNotFoundError, AmbiguousRunError
    """
    _trash(run, tracking_uri, deleted=False)


def _trash(run: str, tracking_uri: str | os.PathLike[str] | None, *, deleted: bool) -> None:
    place = _place(tracking_uri)
    view = _search.resolve(place, run, deleted=not deleted)
    place.store.append(edit(view.run_id, (Kind.TRASH, {"deleted": deleted})))


def delete_experiment(name: str, *, tracking_uri: str | os.PathLike[str] | None = None) -> None:
    """Move an experiment and its runs to the trash.

    Raises
    ------
    ExperimentNotFoundError
    """
    _trash_experiment(name, tracking_uri, deleted=True)


def restore_experiment(name: str, *, tracking_uri: str | os.PathLike[str] | None = None) -> None:
    """Bring an experiment and its runs back from the trash.

    Raises
    ------
    ExperimentNotFoundError
    """
    _trash_experiment(name, tracking_uri, deleted=False)


def _trash_experiment(name: str, tracking_uri: str | os.PathLike[str] | None, *, deleted: bool) -> None:
    place = _place(tracking_uri)
    _search.catch_up(place)
    store = place.store
    if name not in {experiment.name for experiment in store.experiments(deleted=not deleted)}:
        raise ExperimentNotFoundError(name)
    for head in store.find(RunQuery(experiment=name, deleted=not deleted)):
        store.append(edit(head.run_id, (Kind.TRASH, {"deleted": deleted})))
    store.append(edit("", (Kind.EXPERIMENT, {"name": name, "deleted": deleted})))
