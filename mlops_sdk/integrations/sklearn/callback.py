"""A callback for scikit-learn 1.9 and later: what goes on inside a fit, as it goes on, from whatever process.

Its interface is marked experimental there: nothing else here stands on it. `RunCallback` is set by the user, on an estimator
that has ``set_callbacks``; recording fits and searches does not need it.

References
----------
.. [1] https://scikit-learn.org/stable/developers/develop_callback.html
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.run import active
from mlops_sdk.run.run import Run


class RunCallback:
    """Logs each finished task of a fit to a run, live.

    Parameters
    ----------
    run : Run, optional
        Default: the active run.
    max_propagation_depth : int or None
        How deep into nested estimators; None: all the way, into the fits of each candidate of a search.

    Raises
    ------
    InvalidValueError
        If no run is given and none is active.

    Notes
    -----
    Per kind of task the metric ``<estimator>.<task>_done`` counts how many have ended. In workers the run is attached
    (it is pickled as its id), and each of them counts for itself. Nothing that goes wrong here reaches the fit.

    Examples
    --------
    >>> model = LogisticRegression().set_callbacks(RunCallback(run))  # doctest: +SKIP
    """

    def __init__(self, run: Run | None = None, max_propagation_depth: int | None = None) -> None:
        used = run or active.current()
        if used is None:
            raise InvalidValueError("no run is active: name one", key="run")
        self.run: Run = used
        self.max_propagation_depth = max_propagation_depth
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"run": self.run, "max_propagation_depth": self.max_propagation_depth}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # counts begin anew in each process

    def setup(self, estimator: Any, context: Any) -> None:
        """The fit begins."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """A task begins."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """A task has ended."""
        key = f"{context.estimator_name}.{context.task_name}_done".replace(" ", "_")
        with self._lock:
            self._counts[key] += 1
            count = self._counts[key]
        if not self.run._is_over:
            self.run.log_metric(key, count, count)

    def teardown(self, estimator: Any, context: Any) -> None:
        """The fit has ended."""
