"""The run: what users hold while they train."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mlops_sdk.entities import ENDED, Part, RunHead, RunParts
from mlops_sdk.errors import InvalidValueError, MlopsError, NotDurableError, StoreUnavailableError
from mlops_sdk.journal.records import Kind
from mlops_sdk.journal.writer import JournalClosedError
from mlops_sdk.query.search import head_of
from mlops_sdk.query.view import RunView
from mlops_sdk.run import active, background, endings, integrations
from mlops_sdk.run.artifacts import Artifacts
from mlops_sdk.run.datasets import DatasetLogging
from mlops_sdk.run.endings import Ending
from mlops_sdk.run.files import FileLogging
from mlops_sdk.run.integrated import Integrated
from mlops_sdk.run.metrics import MetricLogging
from mlops_sdk.run.params import ParamLogging
from mlops_sdk.run.recorder import Recorder
from mlops_sdk.run.trouble import Troubles
from mlops_sdk.values.params import encode_param

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.stores.protocol import Store

_READ_LIMIT_S = 30.0


class Run(MetricLogging, ParamLogging, FileLogging, DatasetLogging, Integrated, RunView):
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
        self._run_id = recorder.opening.run_id
        self.name_hint = name_hint
        self._is_over = False
        self._is_attached = recorder.opening.role == "attached"
        self._previous: Run | None = None
        self._end_lock = threading.RLock()
        self._ending: Ending | None = None
        self._cell_ending: Ending | None = None  # in a notebook: what `mlops_sdk.run.cells` saw
        self._logged_before: Any = None
        self._live: Any = None
        self._background: background.Background | None = None
        self._closing: threading.Thread | None = None
        self._params_seen = {key: encode_param(value) for key, value in (previous_params or {}).items()}
        label = f"{name_hint or self._run_id}"
        self._troubles = Troubles(label, is_strict=recorder.settings.strict, record=self._record_trouble)
        self._artifacts = Artifacts(lambda: self._store.blobs, self._emit, self._troubles, self._run_id)
        self._seen_datasets = []
        self._bind()

    def _bind(self) -> None:
        """The hot path without detours: bound methods of the journal."""
        self._point = self._recorder.journal.point
        self._points = self._recorder.journal.points

    # -- plumbing ------------------------------------------------------------------------------------------------

    def _emit_system(self, values: Mapping[str, float]) -> None:
        """System metrics; quiet, for they are not the user's."""
        if not self._is_over:
            for key in values:
                self._define(key)
            self._points({key: float(value) for key, value in values.items()})

    def _record_trouble(self, cause: str, count: int, message: str) -> None:
        """Into the store too, where there is room; the count stands in `health` in any case."""
        with contextlib.suppress(MlopsError, ValueError, OSError):
            self._recorder.journal.event(Kind.WARNING, {"cause": cause, "count": count, "message": message[:2000]})

    def _become_attached(self) -> None:
        """In a forked child: the run is the parent's; nothing is written until something is logged here."""
        self._end_lock = threading.RLock()
        self._is_attached = True
        self._background = None
        self._live = None  # its thread stayed in the parent

    def _reattach(self) -> None:
        from mlops_sdk.run.start import open_attached

        with self._end_lock:
            if self._recorder.journal.is_abandoned:
                self._recorder = open_attached(self._recorder, self._run_id)
                self._bind()

    @property
    def _store(self) -> Store:  # type: ignore[override]  # a RunView is given its store, a run finds it when first read
        return self._recorder.place.home.store  # of a run on a server, what this machine logged

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
        if self._closing is not None and self._closing.is_alive():
            self._closing.join(background.CLOSING_LIMIT_S)
        if not self._is_over and not self._recorder.journal.is_abandoned:
            self._flush_home(_READ_LIMIT_S)
            self._recorder.collect()

    def _flush_home(self, timeout_s: float) -> None:
        """As `flush`, to the local store: what a run reads of itself never waits for a network."""
        if self._recorder.to_server is None:
            self.flush(timeout_s, count_dropped=False)
        elif not self._recorder.deliver_home(timeout_s):
            error = self._recorder.route.last_error
            raise error if isinstance(error, MlopsError) else NotDurableError(f"not stored after {timeout_s} s")

    def health(self) -> dict[str, Any]:
        """Counts: ``logged``, ``delivered``, ``waiting``, ``dropped`` (records of 32 bytes), ``errors`` by cause."""
        journal, route = self._recorder.journal, self._recorder.route
        second = self._recorder.to_server
        errors = dict(self._troubles.counts) | dict(route.errors + (second.errors if second else Counter()))
        return {
            "logged": journal.last,
            "delivered": self._recorder.acknowledged,
            "waiting": max(0, journal.last - self._recorder.acknowledged),
            "dropped": journal.dropped,
            "errors": errors,
            "messages": dict(self._troubles.messages),
            "last_error": next(
                (str(each.last_error) for each in (second, route) if each and each.last_error is not None), None
            ),
        }

    # -- showing -------------------------------------------------------------------------------------------------

    def live(self, *keys: str) -> None:
        """Show metrics while the run goes on: in this cell of a notebook, or in the last line of a terminal.

        Parameters
        ----------
        *keys : str
            Metrics; none: the first eight that are logged.

        Notes
        -----
        Updated at most twice a second from what the store has already; the training is not slowed down, and an error of
        the display does not reach it. What is shown last stays when the run ends. Called again, it moves to that cell.
        Where there is neither a notebook nor a terminal, nothing happens.
        """

        def show() -> None:
            if self._live is not None:
                self._live.end()
            self._live = integrations.load("live")(self, keys)

        self._guard("live", show)

    # -- ending --------------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 30.0, *, count_dropped: bool = True) -> None:
        """Return when everything logged so far is durable in the store.

        Parameters
        ----------
        timeout_s : float
        count_dropped : bool
            Whether records that had to be dropped earlier are an error too.

        Raises
        ------
        StoreError
            What stopped it, when something did.
        NotDurableError
            If time ran out, or records had to be dropped; carries `.waiting`.
        """
        try:
            dropped = self._flush(timeout_s)
        except OSError as error:
            raise StoreUnavailableError(f"{error}: not all of it is in the store yet, try again") from error
        if dropped and count_dropped:
            raise NotDurableError(f"{dropped} records were dropped for want of space", waiting=0)

    def _flush(self, timeout_s: float) -> int:
        """Deliver; returns how many records had been dropped before."""
        journal, route = self._recorder.journal, self._recorder.route
        target, dropped = journal.last, journal.dropped
        self._recorder.deliver(timeout_s)
        if route.sinks and self._recorder.acknowledged < target:
            waiting = target - self._recorder.acknowledged
            raise self._recorder.delivery_error or NotDurableError(
                f"{waiting} records are in the journal only after {timeout_s} s", waiting=waiting
            )
        return dropped

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

    def _finish(self, ending: Ending, *, deadline: float | None = None) -> None:
        """End the run by `deadline`, on the monotonic clock; by default within the bound of the settings."""
        with self._end_lock:
            if self._is_over or self._recorder.journal.is_abandoned:
                self._is_over = True
                active.leave(self)
                return
            try:
                if deadline is None:
                    deadline = time.monotonic() + self._recorder.settings.finish_timeout_s
                if self._live is not None:
                    self._live.end(ending.status)
                self._artifacts.keep_promised()
                if self._artifacts.has_pending:
                    background.bounded(self._artifacts.retry, _left_s(deadline))
                self._record_surroundings(ending)
            except Exception as error:
                self._troubles.count(type(error).__name__, f"at the end: {error}")
            self._record_end(ending)
            self._is_over = True
            self._point = self._points = _refuse_points
            active.leave(self)
            self._close(deadline or 0.0)

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

    def _close(self, deadline: float) -> None:
        """Deliver and tidy up now, or, while the capture still goes on, in the background."""
        captured = self._background
        if captured is None or captured.wait(0):
            self._close_journal(_left_s(deadline))
            return
        self._recorder.deliver(_left_s(deadline))

        def close() -> None:
            captured.wait(background.CLOSING_LIMIT_S)
            self._close_journal(self._recorder.settings.finish_timeout_s)

        self._closing = background.close_later(close)

    def _close_journal(self, timeout_s: float) -> None:
        try:
            arrived = self._recorder.close(timeout_s)
        except Exception as error:  # a disk that refuses everything must not end the program
            arrived = False
            self._troubles.count(type(error).__name__, f"at the end: {error}")
        dropped = self._recorder.journal.dropped
        if not arrived or dropped or self._troubles.total:
            parts = [f"{count} x {cause}" for cause, count in self._troubles.counts.items()]
            parts += [f"{dropped} records dropped"] if dropped else []
            parts += [] if arrived else [self._recorder.what_waits]
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
        options.setdefault("tracking_uri", place.uri or None)
        options.setdefault("experiment", self._recorder.opening.payload.get("experiment"))
        return start_run(name=name, parent=self._run_id, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        from mlops_sdk.run.start import unpickle

        return unpickle, (
            self._run_id,
            self._recorder.place.uri,
            self._recorder.opening.payload.get("experiment"),
        )

    def __repr__(self) -> str:
        state = (self._ending.status if self._ending else "FINISHED") if self._is_over else "RUNNING"
        return f"<Run {self.name_hint!r} {self._run_id} {state}>"


def _refuse_points(*_: Any) -> None:
    """Stands in for the journal of a run that is over: it may stay open a moment for what the capture brings."""
    raise JournalClosedError("the run is over")


def _left_s(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
