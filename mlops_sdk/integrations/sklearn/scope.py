"""A scope: a run, or the whole process, whose outermost scikit-learn calls are recorded."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from mlops_sdk._logging import warn
from mlops_sdk.integrations.sklearn import (
    bar,
    contexts,
    describing,
    progress,
    ranking,
    scores,
    search,
    searching,
    splits,
    totals,
    warned,
)
from mlops_sdk.integrations.sklearn.checking import Checker
from mlops_sdk.integrations.sklearn.evaluating import (
    Origin,
    Predictions,
    arguments_of,
    metric_name,
    score_name,
    scorer_name,
)
from mlops_sdk.integrations.sklearn.options import Options
from mlops_sdk.integrations.sklearn.patches import FITS, PREDICTIONS
from mlops_sdk.integrations.sklearn.record import QUIET, Record
from mlops_sdk.integrations.sklearn.slots import signature_of, slots_of
from mlops_sdk.integrations.sklearn.watching import inside
from mlops_sdk.run import active
from mlops_sdk.run.disabled import DisabledRun
from mlops_sdk.run.start import start_run
from mlops_sdk.run.trouble import words_of

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

_MAX_OPEN = 8


class Scope:
    """Records calls.

    Parameters
    ----------
    run : Run or None
        None: the active run at each call, or one made for it.
    options : Options

    Notes
    -----
    Calls go through whatever happens here: every step of the recording is guarded. Thread-safe.
    """

    def __init__(self, run: Run | None, options: Options) -> None:
        self.run = run
        self.options = options
        self.pid = os.getpid()
        self._lock = threading.RLock()
        self._records: dict[int, tuple[Any, Record]] = {}
        self._open: list[Run] = []
        self._own: Run | None = None
        self._predictions = Predictions()
        self._checker = Checker(is_on=options.checks)

    # -- calls -----------------------------------------------------------------------------------------------------------

    def method_called(
        self, bound: Any, instance: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType
    ) -> Any:
        """A method of an estimator or a scorer was called by the user."""
        if name in FITS:
            return self.fit(bound, instance, name, args, kwargs, frame)
        with inside():
            result = bound(*args, **kwargs)
        if name in PREDICTIONS:
            self._attempt(lambda: self._predicted(instance, result, arguments_of(bound, args, kwargs), frame))
        elif name == "score":
            self._attempt(lambda: self._scored(instance, result, arguments_of(bound, args, kwargs), frame))
        else:
            self._attempt(lambda: self._scorer_called(instance, result, arguments_of(bound, args, kwargs), frame))
        return result

    def fit(
        self,
        bound: Any,
        estimator: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        frame: FrameType | None,
    ) -> Any:
        """Fit, recorded."""
        if self.options.excludes(estimator):
            with inside():
                return bound(*args, **kwargs)
        data = self._attempt(lambda: _data_of(bound, args, kwargs)) or {}
        record = self._attempt(lambda: self._begin("fit", estimator, data, frame))
        if record is not None:
            cv = getattr(estimator, "cv", None) if search.searches(estimator) else False
            scoring = getattr(estimator, "scoring", None)
            self._attempt(lambda: self._checker.before(record, estimator, data, cv=cv, scoring=scoring))
        shown = (
            self._shown(estimator, lambda: totals.of_search(estimator, data)) if search.searches(estimator) else None
        )
        result, fit_s, kept, folds = self._call(
            record, bound, args, kwargs, counts=search.searches(estimator), shown=shown
        )
        if record is not None:
            self._know(estimator, record)
            record.finish(data, fit_s, kept)
            if search.is_search(estimator):
                record.attempt("search", lambda: searching.write_search(record, estimator, folds))
                self._know(vars(estimator).get("best_estimator_"), record)
                record.attempt("checks", lambda: self._checker.searched(record, estimator))
            if record.prefix and name == "fit_transform":
                record.attempt("checks", lambda: self._checker.prepared(estimator, result))
            if name == "fit_predict":
                self._predictions.remember(result, Origin(record, "train"))
        return result

    def cv_called(self, original: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType) -> Any:
        """A function of `sklearn.model_selection` was called by the user."""
        given = self._attempt(lambda: arguments_of(original, args, kwargs)) or {}
        estimator = given.get("estimator")
        record = None
        if not self.options.excludes(estimator):
            record = self._attempt(lambda: self._begin("cv", estimator, given, frame))
        if record is not None:
            asked = {"cv": given.get("cv"), "scoring": given.get("scoring")}
            self._attempt(lambda: self._checker.before(record, estimator, given, **asked))
        shown = self._shown(estimator, lambda: totals.of_validation(original.__name__, given))
        result, _, kept, folds = self._call(record, original, args, kwargs, counts=True, shown=shown)
        if record is not None:
            kind = original.__name__
            record.attempt("warnings", lambda: record.write_warnings(kept))
            record.attempt(kind, lambda: searching.write_validation(record, kind, given, result, folds))
            if kind == "cross_val_predict":
                record.has_predicted = True
                self._predictions.remember(result, Origin(record, "cv"))
        return result

    def _shown(self, estimator: Any, n_all: Callable[[], int | None]) -> bar.Progress | None:
        """A progress bar, where somebody sees it."""

        def made() -> bar.Progress | None:
            place = bar.make(type(estimator).__name__, self.options.progress)
            return None if place is None else bar.Progress(place, self._attempt(n_all))

        with inside():
            shown: bar.Progress | None = self._attempt(made)
        return shown

    def _call(
        self,
        record: Record | None,
        bound: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        counts: bool,
        shown: bar.Progress | None = None,
    ) -> tuple[Any, float, list[warned.Warned], list[list[splits.Fold]]]:
        """Call what the user called; what is raised goes on to the user as it is."""

        def report(n_done: int) -> None:
            if record is not None and counts:  # the trees of a forest are no progress worth a metric
                record.attempt("progress", lambda: record.run.log_metric("tasks_done", n_done))

        with inside(), warned.keeping() as kept, splits.catching() as folds, progress.reporting(report, shown):
            started = time.perf_counter()
            try:
                result = bound(*args, **kwargs)
            except BaseException as error:
                if record is not None:
                    record.failed(error, kept)
                raise
            return result, time.perf_counter() - started, kept, folds

    def metric_called(self, original: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType) -> Any:
        """A metric function was called by the user."""
        with inside():
            result = original(*args, **kwargs)
        self._attempt(lambda: self._judged(original, result, arguments_of(original, args, kwargs), frame))
        return result

    def split_called(self, original: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType) -> Any:
        """A function that splits data was called by the user."""
        self._attempt(lambda: self._checker.split(original.__name__, kwargs))
        with inside():
            return original(*args, **kwargs)

    # -- what they mean --------------------------------------------------------------------------------------------------

    def _predicted(self, estimator: Any, predicted: Any, given: dict[str, Any], frame: FrameType) -> None:
        record = self._record_of(estimator)
        if record is not None and not record.prefix:
            record.has_predicted = True
            origin = Origin(record, _context_of(record, given.get("X"), None, frame))
            self._predictions.remember(predicted, origin)
            self._checker.judged_on(record, given.get("X"), origin.context)

    def _scored(self, estimator: Any, value: Any, given: dict[str, Any], frame: FrameType) -> None:
        record = self._record_of(estimator)
        if record is None or not isinstance(value, (int, float)):
            return
        X, y = given.get("X"), given.get("y")
        context = _context_of(record, X, y, frame)
        record.log_metrics({score_name(estimator): float(value)}, context=context)
        self._checker.judged_on(record, X, context)
        self._checker.scored(record, score_name(estimator), float(value), y)
        if context != "train":
            with record.apart():
                record.write_judgement(estimator, X, y, context, given.get("sample_weight"))

    def _scorer_called(self, scorer: Any, value: Any, given: dict[str, Any], frame: FrameType) -> None:
        record = self._record_of(given.get("estimator"))
        if record is None:
            return
        context = _context_of(record, given.get("X"), given.get("y_true", given.get("y")), frame)
        values = value if isinstance(value, dict) else {scorer_name(scorer): value}
        record.log_metrics({name: float(each) for name, each in values.items()}, context=context)

    def _judged(self, function: Any, value: Any, given: dict[str, Any], frame: FrameType) -> None:
        arguments = list(given.values())
        truth, predicted = [*arguments, None, None][:2]
        origin = self._predictions.find(predicted) or self._only_origin(truth, frame)
        if origin is None:
            return
        name = metric_name(function.__name__, given)
        record, context = origin
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            record.log_metrics({name: float(value)}, context=context)
            self._checker.scored(record, name, float(value), truth)
        elif isinstance(value, str):
            record.run.log_text(value, f"{context}_{name}.txt")
        elif getattr(value, "size", 1) <= 10_000:
            record.run.log_dict({"value": describing_value(value)}, f"{context}_{name}.json")

    def _only_origin(self, truth: Any, frame: FrameType) -> Origin | None:
        """Of derived predictions (a threshold, say): the model, where only one of this scope has predicted."""
        with self._lock:
            records = {id(record): record for _, record in self._records.values() if record.has_predicted}
        if len(records) != 1:
            return None
        (record,) = records.values()
        return Origin(record, _context_of(record, truth, None, frame))

    # -- records ---------------------------------------------------------------------------------------------------------

    def _begin(self, kind: str, estimator: Any, data: dict[str, Any], frame: FrameType | None) -> Record | None:
        is_preparation = kind == "fit" and describing.is_preparation(estimator)
        signature = "" if is_preparation else signature_of(estimator)
        base = self._base(kind, signature, is_preparation)
        if isinstance(base, DisabledRun):
            return None
        slots = slots_of(base)
        if is_preparation:
            record = Record(base, estimator, self.options, prefix=slots.prepare(type(estimator).__name__))
        else:
            name = slots.take(kind, signature)
            is_ours = name is not None or base is self._own
            record = Record(base if name is None else self._child(base, name), estimator, self.options, is_ours=is_ours)
        data_name = contexts.name_in(frame, data.get("X"))
        with record.apart():
            record.begin(data, data_name)
        return record

    def _base(self, kind: str, signature: str, is_preparation: bool) -> Run:
        """The run that this goes to, or into a child of which."""
        if self.run is not None:
            return self.run
        with self._lock:
            run = active.current() or self._only_open()
            if run is not None:
                return run
            own = self._own
            if own is not None and not own._is_over:
                if is_preparation or slots_of(own).is_free(kind, signature):
                    return own
                own.finish()
            with active.aside(is_last=True):
                self._own = start_run(
                    experiment=self.options.experiment, tracking_uri=self.options.tracking_uri, **self.options.start
                )
            return self._own

    def _only_open(self) -> Run | None:
        """The one run that the user has open in another context; None when there are none or several."""
        runs = [run for run in active.all_open() if run is not self._own and run not in self._open and not run._is_over]
        return runs[0] if len(runs) == 1 else None

    def _child(self, base: Run, name: str) -> Run:
        with self._lock:
            while len(self._open) >= _MAX_OPEN:
                self._open.pop(0).finish()
            with active.aside():
                child = base.child(name, **QUIET)
            self._open.append(child)
            return child

    def _know(self, estimator: Any, record: Record) -> None:
        """Tell what is done with this estimator to that record from now on."""
        if estimator is None:
            return
        key = id(estimator)
        try:
            reference = weakref.ref(estimator, lambda _: self._records.pop(key, None))
        except TypeError:
            return
        with self._lock:
            self._records[key] = (reference, record)

    def _record_of(self, estimator: Any) -> Record | None:
        known = self._records.get(id(estimator))
        return known[1] if known is not None and known[0]() is estimator else None

    def _attempt(self, action: Callable[[], Any]) -> Any:
        """Run `action`; what it raises is said, and never reaches the user's code."""
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - nothing of the tracker may reach the user's fit
            run = self.run or self._own
            if run is not None and not isinstance(run, DisabledRun):
                run._troubles.count(f"sklearn:{type(error).__name__}", words_of(error))
            else:
                warn("mlops_sdk: a scikit-learn call could not be recorded: %s", words_of(error))
            return None

    def evaluate(self, estimator: Any, validation: dict[str, tuple[Any, Any]]) -> None:
        """Score a fitted estimator on data by name."""
        record = self._record_of(estimator)
        if record is None:
            return
        with record.apart():
            for context, (X, y) in validation.items():
                record.known.remember(X, context)
                record.attempt(context, lambda X=X, context=context: self._checker.judged_on(record, X, context))  # type: ignore[misc]
                record.attempt(context, lambda X=X, y=y, context=context: record.log_metrics(  # type: ignore[misc]
                    scores.scores_of(estimator, X, y), context=context
                ))  # fmt: skip
                record.write_judgement(estimator, X, y, context)

    def close(self) -> None:
        """End the children, and the run that was made here."""
        with self._lock:
            for run in [*self._open, *([self._own] if self._own is not None else [])]:
                self._attempt(run.finish)
            self._open, self._own = [], None


def describing_value(value: Any) -> Any:
    """A metric's value that is no number, as plain data."""
    if isinstance(value, tuple):
        return [describing_value(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _data_of(bound: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """X, y and sample_weight of a fit."""
    given = arguments_of(bound, args, kwargs)
    found = {"X": given.get("X"), "y": given.get("y", given.get("Y")), "sample_weight": given.get("sample_weight")}
    if found["X"] is None and args:
        found["X"] = args[0]
    if found["sample_weight"] is None:
        weights = [value for name, value in given.items() if name.endswith("__sample_weight")]
        found["sample_weight"] = weights[-1] if weights else None
    found["groups"] = ranking.groups_of(given)
    return found


def _context_of(record: Record, X: Any, y: Any, frame: FrameType | None) -> str:
    """``train``, the context that the data was logged under, what the variables are called, or ``eval``."""
    context = (
        record.known.find(X)
        or contexts.logged_context(record.run, X, y)
        or contexts.word_in(contexts.name_in(frame, X))
        or contexts.word_in(contexts.name_in(frame, y))
        or contexts.UNKNOWN
    )
    record.known.remember(X, context)
    return context
