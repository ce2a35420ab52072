"""When which check looks at what, as the calls of a scope go by."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlops_sdk._logging import warn
from mlops_sdk.integrations.sklearn import checks, search
from mlops_sdk.integrations.sklearn.checks import Finding
from mlops_sdk.integrations.sklearn.describing import final_of, is_a

if TYPE_CHECKING:
    from mlops_sdk.integrations.sklearn.record import Record

_MOST_PREPARED = 8


class _Prepared:
    """What a transformer gave back for the data that it was fitted on."""

    def __init__(self, transformer: str, output: Any) -> None:
        self.transformer = transformer
        self._output = weakref.ref(output)
        self._hashes = checks.row_hashes(output)

    def is_source_of(self, data: Any) -> bool:
        """Whether `data` is that output, a view of it, or rows drawn from it."""
        output, base = self._output(), data
        while base is not None and output is not None:
            if base is output:
                return True
            base = getattr(base, "base", None)
        return self._hashes is not None and checks.is_drawn_from(data, self._hashes)


class Checker:
    """Checks of one scope.

    Parameters
    ----------
    is_on : bool

    Notes
    -----
    A finding is a warning of the run, with the check as its cause, once a check and run; and one line of the log.
    """

    def __init__(self, *, is_on: bool) -> None:
        self.is_on = is_on
        self._lock = threading.Lock()
        self._prepared: list[_Prepared] = []
        self._pending: list[Finding] = []

    def _report(self, record: Record, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding.check in record.reported or record.run._is_over:
                continue
            record.reported.add(finding.check)
            record.run._record_trouble(finding.check, 1, finding.text)
            warn("mlops_sdk: run %s: %s: %s", record.run.name_hint, finding.check, finding.text)

    # -- calls -----------------------------------------------------------------------------------------------------------

    def prepared(self, transformer: Any, output: Any) -> None:
        """A transformer was fitted, and gave this back."""
        if not self.is_on or not checks.learns_values(transformer):
            return
        try:
            made = _Prepared(type(transformer).__name__, output)
        except TypeError:  # a list, say
            return
        with self._lock:
            self._prepared = [*self._prepared[1 - _MOST_PREPARED :], made]

    def split(self, what: str, given: Mapping[str, Any]) -> None:
        """A function that splits was called: said with the fit that follows."""
        if self.is_on and given.get("shuffle", True) is not False and given.get("random_state") is None:
            with self._lock:
                self._pending.append(checks.unseeded_call(what))

    def before(self, record: Record, estimator: Any, data: Mapping[str, Any], *, cv: Any, scoring: Any) -> None:
        """A fit, or a search or cross-validation (`cv` is not ``False``), begins."""
        if not self.is_on or record.prefix:
            return
        with self._lock:
            pending, self._pending = self._pending, []
        self._report(record, pending)
        X, y = data.get("X"), data.get("y")
        inner = final_of(getattr(estimator, "estimator", estimator)) if cv is not False else estimator
        is_classification = is_a("classifier", inner)
        if is_classification or is_a("regressor", inner):
            self._report(record, checks.target_among(X, y, is_classification=is_classification))
        if cv is False:
            return
        self._report(record, checks.unseeded(cv))
        if is_classification and scoring in (None, "accuracy"):
            self._report(record, checks.misleading("accuracy", None, y))
        sources = [each.transformer for each in self._prepared if each.is_source_of(X)]
        if sources:
            self._report(record, [checks.prepared_before(sources[-1], "this cross-validation holds out")])

    def judged_on(self, record: Record, X: Any, context: str) -> None:
        """A model predicts, or is scored on, data that is not its training data."""
        train = record.training_data()
        if not self.is_on or context == "train" or record.prefix or X is None or train is None:
            return
        if id(X) in record.judged:
            return
        record.judged.add(id(X))
        self._report(record, checks.rows_shared(train, X))
        for each in self._prepared:
            if each.is_source_of(train) and each.is_source_of(X):
                self._report(record, [checks.prepared_before(each.transformer, "the model is now judged on")])

    def scored(self, record: Record, metric: str, value: float, y: Any) -> None:
        """A metric was computed."""
        if self.is_on:
            self._report(record, checks.misleading(metric, value, y))

    def searched(self, record: Record, estimator: Any) -> None:
        """A search has ended."""
        grid, best = getattr(estimator, "param_grid", None), getattr(estimator, "best_params_", None)
        if self.is_on and search.is_search(estimator) and grid is not None and isinstance(best, Mapping):
            self._report(record, checks.best_at_edge(grid, best))
