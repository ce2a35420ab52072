"""The run: what users hold while they train."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from mlops_sdk.entities import ENDED, Part, RunHead, RunParts
from mlops_sdk.errors import InvalidValueError, NotDurableError, ParamConflictError, RunFinishedError
from mlops_sdk.journal.records import Kind
from mlops_sdk.journal.writer import JournalAbandonedError, JournalClosedError, JournalFullError
from mlops_sdk.query.search import head_of
from mlops_sdk.query.view import RunView
from mlops_sdk.run import active, background, endings
from mlops_sdk.run.artifacts import Artifacts
from mlops_sdk.run.endings import Ending
from mlops_sdk.run.files import FileLogging
from mlops_sdk.run.recorder import Recorder
from mlops_sdk.run.trouble import Troubles
from mlops_sdk.values.metrics import flatten_metrics, to_float, to_step, to_time_ns
from mlops_sdk.values.params import EncodedParam, check_key, decode_param, encode_param, flatten_params, same_param

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict

_FLOATS = {float}
_CHUNK_BYTES = 200_000
_MAX_TEXT_BYTES = 1 << 16
_CAPTURE_GRACE_S = 0.01
_READ_LIMIT_S = 5.0


class Run(FileLogging, RunView):
    """A run being recorded; made by `mlops_sdk.start_run` or `attach_run`.

    A context manager: leaving the block ends the run with the status that the way out means. Every read member of
    `RunView` works too, values not yet delivered included.

    Notes
    -----
    When a ``log_*`` call returns, what it logged survives the death of the process, however it dies. ``log_*``, ``set_*``
    and `define_metric` never raise unless the run is strict: trouble is counted (`health`), and said once per cause.
    Thread-safe. In a forked child, or unpickled in another process, the run attaches: a writer of its own to the same
    run.
    """

    def __init__(
        self, recorder: Recorder, *, name_hint: str = "", previous_params: Mapping[str, Any] | None = None
    ) -> None:
        self._recorder = recorder
        self._store = recorder.place.store
        self._run_id = recorder.opening.run_id
        self.name_hint = name_hint
        self._is_over = False
        self._is_attached = recorder.opening.role == "attached"
        self._previous: Run | None = None
        self._end_lock = threading.RLock()
        self._ending: Ending | None = None
        self._background: background.Background | None = None
        self._params_seen = {key: encode_param(value) for key, value in (previous_params or {}).items()}
        label = f"{name_hint or self._run_id}"
        self._troubles = Troubles(label, is_strict=recorder.settings.strict, record=self._record_trouble)
        self._artifacts = Artifacts(self._store.blobs, self._emit, self._troubles, self._run_id)
        self._bind()

    def _bind(self) -> None:
        """The hot path without detours: bound methods of the journal."""
        self._point = self._recorder.journal.point
        self._points = self._recorder.journal.points

    # -- metrics -------------------------------------------------------------------------------------------------

    def log_metric(
        self, key: str, value: Any, step: int | None = None, *, timestamp: datetime | float | None = None
    ) -> None:
        """Log one value of a metric.

        Parameters
        ----------
        key : str
            1 to 1,024 bytes, any script.
        value : float
            Anything with ``__float__``, kept as float64, NaN and infinities too.
        step : int, optional
            In any order, repeats are kept. Default: 1 + the highest step of the key by this writer, 0 at first.
        timestamp : datetime or float, optional
            Time of the point (seconds since the epoch); default now.

        Notes
        -----
        Durable against the death of the process when it returns; in the store about a second later.

        References
        ----------
        .. [1] ``docs/adr/0001-journal-format.md``
        """
        try:
            if type(value) is float and timestamp is None:
                self._point(key, value, step)
            else:
                self._log_values({key: value}, step, timestamp)
        except Exception as error:
            self._log_again(error, {key: value}, step, timestamp)

    def log_metrics(
        self, metrics: Mapping[str, Any], step: int | None = None, *, timestamp: datetime | float | None = None
    ) -> None:
        """Log values of several metrics at one step; nested mappings flatten with ``/``.

        Parameters
        ----------
        metrics : mapping of str to float
        step : int, optional
            Default: 1 + the highest step of any of these keys by this writer, 0 at first.
        timestamp : datetime or float, optional
        """
        try:
            if timestamp is None and set(map(type, metrics.values())) == _FLOATS:
                self._points(metrics, step)
            else:
                self._log_values(flatten_metrics(metrics), step, timestamp)
        except Exception as error:
            self._log_again(error, metrics, step, timestamp)

    def _log_again(
        self, error: Exception, metrics: Mapping[str, Any], step: Any, timestamp: datetime | float | None
    ) -> None:
        """The careful path: what the fast one could not do, or could not do yet."""
        if isinstance(error, (JournalFullError, InvalidValueError)):
            self._troubles.report(error, key=next(iter(metrics), None))
            return
        try:
            if isinstance(error, JournalAbandonedError):
                self._reattach()
            self._log_values(flatten_metrics(metrics), step, timestamp)
        except JournalClosedError:
            self._refuse()
        except Exception as second:
            self._troubles.report(second, key=str(next(iter(metrics), None)))

    def _log_values(self, values: Mapping[str, Any], step: Any, timestamp: datetime | float | None) -> None:
        """Convert, define what is new, and log. One bad value costs only itself."""
        numbers: dict[str, float] = {}
        for key, value in values.items():
            try:
                numbers[self._define(key)] = self._number(key, value)
            except InvalidValueError as error:
                self._troubles.report(error, key=str(key))
        if numbers:
            step = None if step is None else to_step(step)
            self._points(numbers, step, None if timestamp is None else to_time_ns(timestamp))

    def _define(self, key: str) -> str:
        journal = self._recorder.journal
        if not (isinstance(key, str) and journal.knows(key)):
            journal.define(check_key(key, "metric"))
        return key

    def _number(self, key: str, value: Any) -> float:
        try:
            number, is_exact = to_float(value)
        except InvalidValueError as error:
            raise InvalidValueError(f"metric {key!r}: {error}", key=key) from error
        if not is_exact:
            self._troubles.count(
                "InexactInteger", f"metric {key!r}: {value} does not fit a float64, it became {number!r}"
            )
        return number

    def define_metric(
        self, key: str, *, mode: Literal["max", "min"] | None = None, unit: str | None = None, x: str | None = None
    ) -> None:
        """Say whether more or less of a metric is better, its unit, and the metric it is drawn over."""

        def define() -> None:
            if mode not in (None, "max", "min"):
                raise InvalidValueError(f"mode is {mode!r}; use 'max' or 'min'", key=key)
            self._emit(Kind.DEFINE, {"key": check_key(key, "metric"), "mode": mode, "unit": unit, "x": x})

        self._guard(key, define)

    def log(self, mapping: Mapping[str, Any], step: int | None = None) -> None:
        """Log values by their type.

        Real numbers and 0-d arrays become metrics of one step; figures, images, tables, text and mappings artifacts
        named after their key. Anything else is counted, with the method that fits.
        """
        from mlops_sdk.run.dispatch import log_by_type

        self._guard(None, lambda: log_by_type(self, mapping, step))

    # -- params and tags -----------------------------------------------------------------------------------------

    def log_param(self, key: str, value: Any, *, overwrite: bool = False) -> None:
        """Log one param; a different value for a set key is a conflict unless `overwrite` (the history is kept)."""
        self.log_params({key: value}, overwrite=overwrite)

    def log_params(self, mapping: Any, *, overwrite: bool = False) -> None:
        """Log params.

        Parameters
        ----------
        mapping : mapping, dataclass, pydantic model, namespace, OmegaConf config or scikit-learn estimator
            Nested mappings flatten with dots; lists are one value.
        overwrite : bool
            Replace values that are set already.
        """
        self._guard("params", lambda: self._log_params(mapping, overwrite))

    def _log_params(self, mapping: Any, overwrite: bool) -> None:
        flat, config = flatten_params(mapping)
        rows: list[list[Any]] = []
        for key, value in flat.items():
            try:
                encoded = encode_param(value)
                if self._is_new_param(check_key(key, "param"), encoded, overwrite):
                    rows.append([key, encoded.kind, encoded.text, encoded.number])
            except (InvalidValueError, ParamConflictError) as error:
                self._troubles.report(error, key=key)
        for start, end in _chunks(rows):
            self._emit(Kind.PARAMS, {"params": rows[start:end], "overwrite": overwrite})
        if rows and _fits(config):
            self._emit(Kind.PARAMS, {"params": [], "config": config})

    def _is_new_param(self, key: str, encoded: EncodedParam, overwrite: bool) -> bool:
        seen = self._params_seen.get(key)
        if seen is not None and not overwrite:
            if same_param(seen, encoded):
                return False
            raise ParamConflictError(key, decode_param(seen.kind, seen.text), decode_param(encoded.kind, encoded.text))
        self._params_seen[key] = encoded
        return True

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag; the last value wins."""
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags."""

        def set_them() -> None:
            texts = {check_key(key, "tag"): _text(value, f"tag {key!r}") for key, value in tags.items()}
            if texts:
                self._emit(Kind.TAGS, {"set": texts})

        self._guard("tags", set_them)

    def delete_tag(self, key: str) -> None:
        """Remove a tag; quiet when it is not there."""
        self._guard(key, lambda: self._emit(Kind.TAGS, {"delete": [check_key(key, "tag")]}))

    def rename(self, name: str) -> None:
        """Give the run another name."""
        self._guard("name", lambda: self._emit(Kind.INFO, {"name": check_key(name, "name")}))

    def set_description(self, text: str) -> None:
        """Replace the description."""
        self._guard("description", lambda: self._emit(Kind.INFO, {"description": _text(text, "description")}))

    def move(self, experiment: str) -> None:
        """Move the run to another experiment, made when it is not there."""
        self._guard("experiment", lambda: self._emit(Kind.INFO, {"experiment": check_key(experiment, "experiment")}))

    # -- plumbing ------------------------------------------------------------------------------------------------

    def _guard(self, key: str | None, action: Any) -> None:
        try:
            action()
        except JournalClosedError:
            self._refuse()
        except Exception as error:
            self._troubles.report(error, key=key)

    def _refuse(self) -> None:
        self._troubles.report(RunFinishedError(self._run_id))

    def _emit(self, kind: Kind, payload: JsonDict) -> None:
        """Log a framed record, attaching first in a forked child."""
        try:
            self._recorder.journal.event(kind, payload)
        except JournalAbandonedError:
            self._reattach()
            self._recorder.journal.event(kind, payload)

    def _emit_system(self, values: Mapping[str, float]) -> None:
        """System metrics; quiet, for they are not the user's."""
        if not self._is_over:
            for key in values:
                self._define(key)
            self._points({key: float(value) for key, value in values.items()})

    def _record_trouble(self, cause: str, count: int, message: str) -> None:
        if not self._recorder.journal.is_closed and cause != "JournalFullError":
            self._recorder.journal.event(Kind.WARNING, {"cause": cause, "count": count, "message": message[:2000]})

    def _become_attached(self) -> None:
        """In a forked child: the run is the parent's; nothing is written until something is logged here."""
        self._end_lock = threading.RLock()
        self._is_attached = True
        self._background = None

    def _reattach(self) -> None:
        from mlops_sdk.run.start import open_attached

        with self._end_lock:
            if self._recorder.journal.is_abandoned:
                self._recorder = open_attached(self._recorder, self._run_id)
                self._store = self._recorder.place.store
                self._artifacts = Artifacts(self._store.blobs, self._emit, self._troubles, self._run_id)
                self._bind()

    # -- reading -------------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._run_id

    def _head(self) -> RunHead:
        self._catch_up()
        return head_of(self._store, self._run_id)

    def _part(self, part: Part) -> RunParts:
        self._catch_up()
        return self._store.load([self._run_id], [part]).get(self._run_id, RunParts())

    def metric(self, key: str, **options: Any) -> Any:  # same contract as RunView.metric
        """See `RunView.metric`; values not yet delivered included."""
        self._catch_up()
        return super().metric(key, **options)

    def refresh(self) -> None:
        """Nothing to do: a run being recorded is read anew each time."""

    def _catch_up(self) -> None:
        if not self._is_over and not self._recorder.journal.is_abandoned:
            self._recorder.deliver(_READ_LIMIT_S)
            self._recorder.collect()

    def health(self) -> dict[str, Any]:
        """Counts: ``logged``, ``delivered``, ``waiting``, ``dropped`` (records of 32 bytes), ``errors`` by cause."""
        journal, route = self._recorder.journal, self._recorder.route
        errors = dict(self._troubles.counts) | dict(route.errors)
        return {
            "logged": journal.last,
            "delivered": route.acknowledged,
            "waiting": route.waiting,
            "dropped": journal.dropped,
            "errors": errors,
            "messages": dict(self._troubles.messages),
            "last_error": None if route.last_error is None else str(route.last_error),
        }

    # -- ending --------------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 30.0) -> None:
        """Return when everything logged so far is durable in the store.

        Raises
        ------
        StoreError
            What stopped it, when something did.
        NotDurableError
            If time ran out, or records had to be dropped; carries `.waiting`.
        """
        journal = self._recorder.journal
        target, dropped = journal.last, journal.dropped
        self._recorder.deliver(timeout_s)
        route = self._recorder.route
        if route.sinks and route.acknowledged < target:
            error = self._recorder.delivery_error
            waiting = target - route.acknowledged
            raise error or NotDurableError(
                f"{waiting} records are in the journal only after {timeout_s} s", waiting=waiting
            )
        if dropped:
            raise NotDurableError(f"{dropped} records were dropped for want of space", waiting=0)

    def finish(self, status: str | None = None) -> None:
        """End the run.

        Parameters
        ----------
        status : {"FINISHED", "FAILED", "KILLED"}, optional
            Default FINISHED.

        Raises
        ------
        InvalidValueError
            If the status is none of these.

        Notes
        -----
        Idempotent. Returns within 5 s whatever the disk does; what was not delivered stays in the journal, and the next
        process that opens the store delivers it.
        """
        if status is not None and status not in ENDED:
            raise InvalidValueError(f"status is {status!r}; use one of {', '.join(sorted(ENDED))}")
        self._finish(Ending(status or "FINISHED"))

    def _finish(self, ending: Ending) -> None:
        with self._end_lock:
            if self._is_over or self._recorder.journal.is_abandoned:
                self._is_over = True
                active.leave(self)
                return
            try:
                self._artifacts.keep_promised()
                self._artifacts.retry()
                self._record_surroundings(ending)
            except Exception as error:
                self._troubles.count(type(error).__name__, f"at the end: {error}")
            self._record_end(ending)
            self._is_over = True
            active.leave(self)
            self._close()

    def _record_surroundings(self, ending: Ending) -> None:
        found: JsonDict = {} if self._background is None else self._background.stop()
        if ending.error is not None and not isinstance(ending.error, SystemExit):
            from mlops_sdk.capture.traceback import format_failure

            found["traceback"] = format_failure(ending.error)
        if endings.signals_seen():
            found["signals"] = list(endings.signals_seen())
        if found:
            self._emit(Kind.ENVIRONMENT, found)

    def _record_end(self, ending: Ending) -> None:
        """Log the final status, once; safe in a signal handler."""
        if self._ending is None and not self._recorder.journal.is_abandoned:
            self._ending = ending
            self._guard(
                "status", lambda: self._emit(Kind.STATUS, {"status": ending.status, "end_reason": ending.reason})
            )

    def _close(self) -> None:
        """Deliver and tidy up now, or, while the capture still goes on, in the background."""
        captured = self._background
        if captured is None or captured.wait(_CAPTURE_GRACE_S):
            self._close_journal()
            return
        self._recorder.deliver(self._recorder.settings.finish_timeout_s)

        def close() -> None:
            captured.wait(background.CLOSING_LIMIT_S)
            self._close_journal()

        background.close_later(close)

    def _close_journal(self) -> None:
        arrived = self._recorder.close(self._recorder.settings.finish_timeout_s)
        dropped = self._recorder.journal.dropped
        if not arrived or dropped or self._troubles.total:
            parts = [f"{count} x {cause}" for cause, count in self._troubles.counts.items()]
            parts += [f"{dropped} records dropped"] if dropped else []
            parts += (
                []
                if arrived
                else ["not all of it is in the store yet: the next process that opens it delivers the rest"]
            )
            background.say_last(self._troubles.label, parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish(endings.of_exception(None if isinstance(error, GeneratorExit) else error))

    def child(self, name: str | None = None, **options: Any) -> Run:
        """Start a run nested in this one; takes what `start_run` takes."""
        from mlops_sdk.run.start import start_run

        place = self._recorder.place
        options.setdefault("tracking_uri", place.store.uri)
        options.setdefault("experiment", self._recorder.opening.payload.get("experiment"))
        return start_run(name=name, parent=self._run_id, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        from mlops_sdk.run.start import unpickle

        return unpickle, (
            self._run_id,
            self._recorder.place.store.uri,
            self._recorder.opening.payload.get("experiment"),
        )

    def __repr__(self) -> str:
        state = (self._ending.status if self._ending else "FINISHED") if self._is_over else "RUNNING"
        return f"<Run {self.name_hint!r} {self._run_id} {state}>"


def _text(value: Any, what: str) -> str:
    text = str(value)
    if len(text.encode("utf-8", "surrogatepass")) > _MAX_TEXT_BYTES:
        raise InvalidValueError(f"{what} is longer than {_MAX_TEXT_BYTES} bytes: log it with log_text")
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _chunks(rows: list[list[Any]]) -> list[tuple[int, int]]:
    """Ranges of rows whose text fits one record."""
    bounds, size = [0], 0
    for index, row in enumerate(rows):
        size += len(row[0]) * 4 + len(row[2]) * 4 + 64
        if size > _CHUNK_BYTES and index > bounds[-1]:
            bounds.append(index)
            size = len(row[0]) * 4 + len(row[2]) * 4 + 64
    bounds.append(len(rows))
    return [(start, end) for start, end in itertools.pairwise(bounds) if end > start]


def _fits(config: JsonDict) -> bool:
    try:
        return len(json.dumps(config)) < _CHUNK_BYTES
    except (TypeError, ValueError):
        return False
