"""The metric-logging methods of a run: the hot path, and the careful one behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.journal.records import Kind
from mlops_sdk.journal.writer import JournalClosedError, JournalFullError
from mlops_sdk.run.emitting import Emitting
from mlops_sdk.values.metrics import flatten_metrics, to_float, to_step, to_time_ns
from mlops_sdk.values.params import check_key

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

_FLOATS = {float}


class MetricLogging(Emitting):
    """What `Run` offers for metrics; mixed into it."""

    _point: Callable[..., None]
    _points: Callable[..., None]

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
            self._log_again(error, lambda: {key: value}, step, timestamp)

    def log_metrics(
        self, mapping: Mapping[str, Any], step: int | None = None, *, timestamp: datetime | float | None = None
    ) -> None:
        """Log values of several metrics at one step; nested mappings flatten with ``/``.

        Parameters
        ----------
        mapping : mapping of str to float
        step : int, optional
            Default: 1 + the highest step of any of these keys by this writer, 0 at first.
        timestamp : datetime or float, optional
        """
        try:
            if timestamp is None and set(map(type, mapping.values())) == _FLOATS:
                self._points(mapping, step)
            else:
                self._log_values(flatten_metrics(mapping), step, timestamp)
        except Exception as error:
            self._log_again(error, lambda: mapping, step, timestamp)

    def _log_again(
        self, error: Exception, metrics: Callable[[], Any], step: Any, timestamp: datetime | float | None
    ) -> None:
        """The careful path: what the fast one could not do, or could not do yet."""
        if isinstance(error, (JournalFullError, InvalidValueError)):
            self._troubles.report(error)
            return
        try:
            if self._recorder.journal.is_abandoned and not self._is_over:
                self._reattach()
            self._log_values(flatten_metrics(self._named(metrics())), step, timestamp)
        except JournalClosedError:
            self._refuse()
        except Exception as second:
            self._troubles.report(second)

    def _named(self, metrics: Any) -> Any:
        """Those whose name is text; a number or None as a name is most likely a mistake."""
        if not isinstance(metrics, Mapping):
            return metrics  # which is refused in words
        for key in metrics:
            if not isinstance(key, str):
                error = InvalidValueError(f"metric name {key!r} is a {type(key).__name__}; give text")
                self._troubles.report(error)
        return {key: value for key, value in metrics.items() if isinstance(key, str)}

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

        def by_type() -> None:
            from mlops_sdk.run.dispatch import log_by_type

            log_by_type(cast("Run", self), mapping, step)

        self._guard(None, by_type)
