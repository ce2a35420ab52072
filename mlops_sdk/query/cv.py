"""Candidates and folds of a search or a cross-validation, as they can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError, MetricNotFoundError
from mlops_sdk.query import cv_plots
from mlops_sdk.values.frames import pandas_frame

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

    from mlops_sdk.query.view import RunView

FILE = "cv_results.json"
_SPLIT = re.compile(r"split(\d+)_(train|test)_(.+)")
_NAMED_FLOATS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class CVResults(Sequence[Mapping[str, Any]]):
    """Every candidate that was tried, in that order; an item is one row: params, scores, times, ranks.

    Notes
    -----
    Scores are signed so that more is better, as scikit-learn's scorers are.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._params: list[dict[str, Any]] = table.get("params") or []
        self._columns = {name: [_number(v) for v in values] for name, values in (table.get("columns") or {}).items()}
        self.kind: str = table.get("kind") or ""
        self.scorers: dict[str, str] = table.get("scorers") or {}
        self.best_index: int | None = table.get("best_index")
        self.folds: list[dict[str, Any]] = table.get("folds") or []

    def __len__(self) -> int:
        return len(self._params)

    def __getitem__(self, index: Any) -> Any:  # an int gives a row, a slice a list of rows
        if isinstance(index, slice):
            return [self._row(i) for i in range(len(self))[index]]
        return self._row(range(len(self))[index])

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return (self._row(index) for index in range(len(self)))

    def _row(self, index: int) -> dict[str, Any]:
        return {"params": self._params[index]} | {name: values[index] for name, values in self._columns.items()}

    @property
    def best(self) -> Mapping[str, Any] | None:
        """Row of the candidate that won; None when a function of the user's decided otherwise."""
        return self[self.best_index] if isinstance(self.best_index, int) and len(self) else None

    def fold_scores(self, scorer: str | None = None, *, candidate: int | None = None) -> np.ndarray:
        """Scores on the test side of each fold.

        Parameters
        ----------
        scorer : str, optional
            Default: the first.
        candidate : int, optional
            Default: the best.

        Returns
        -------
        array of float64, shape (n_folds,)

        Raises
        ------
        MetricNotFoundError
            If there is no such scorer.
        InvalidValueError
            If there is no best candidate and none is named.
        """
        import numpy as np

        name = self._scorer(scorer)
        index = self.best_index if candidate is None else candidate
        if index is None:
            raise InvalidValueError("no candidate is known to be the best: name one with candidate=")
        found = [
            (int(match[1]), values[index])
            for column, values in self._columns.items()
            if (match := _SPLIT.fullmatch(column)) and match[2] == "test" and match[3] == name
        ]
        return np.array([value for _, value in sorted(found) if value is not None], dtype=float)

    def _scorer(self, name: str | None) -> str:
        if name is None and self.scorers:
            return next(iter(self.scorers))
        if name not in self.scorers:
            raise MetricNotFoundError(str(name), tuple(self.scorers))
        return str(name)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat dict a candidate, params as ``param_*``."""
        return [
            {f"param_{name}": value for name, value in self._params[index].items()}
            | {name: values[index] for name, values in self._columns.items()}
            for index in range(len(self))
        ]

    def to_pandas(self) -> pd.DataFrame:
        """The same as a pandas frame.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        return pandas_frame(self.to_dicts())

    # -- pictures --------------------------------------------------------------------------------------------------------

    def plot(
        self, param: str | None = None, *, scorer: str | None = None, kind: str | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw the search.

        Parameters
        ----------
        param : str, optional
        scorer : str, optional
            Default: the first.
        kind : {"scatter", "marginal", "parallel", "time"}, optional
            ``scatter``: mean score against `param`, a dot a candidate (the default with `param`). ``marginal``: the same,
            with the mean and the best over all other params. ``parallel``: a line a candidate through all params that
            differ. ``time``: score against the mean time to fit (the default without `param`).
        ax : Axes, optional

        Returns
        -------
        Axes

        Raises
        ------
        MetricNotFoundError
            If there is no such scorer.
        InvalidValueError
            If there is no such kind, no candidate has the param, or nothing is there to be drawn.
        """
        name = self._scorer(scorer)
        scores, label = self._columns[f"mean_test_{name}"], f"mean {name}"
        chosen = kind or ("time" if param is None else "scatter")
        if chosen not in cv_plots.KINDS:
            raise InvalidValueError(f"kind is {kind!r}; use one of {', '.join(cv_plots.KINDS)}", key="kind")
        if chosen == "parallel":
            return cv_plots.parallel(self._params, scores, label, ax=ax)
        if chosen == "time":
            times = self._columns.get("mean_fit_time")
            if times is None:
                raise InvalidValueError("this search did not say how long its fits took", key="kind")
            return cv_plots.scatter(times, scores, "mean fit time (s)", label, best=self.best_index, ax=ax)
        if param is None or not any(param in params for params in self._params):
            known = ", ".join(sorted({each for params in self._params for each in params}))
            raise InvalidValueError(f"no candidate has a param {param!r}; there are {known}", key=param)
        if chosen == "marginal":
            return cv_plots.marginal(self._params, param, scores, label, ax=ax)
        return cv_plots.scatter(
            [params.get(param) for params in self._params], scores, param, label, best=self.best_index, ax=ax
        )

    def __repr__(self) -> str:
        return f"<CVResults of {self.kind}: {len(self)} candidates, scorers {', '.join(self.scorers)}>"


def _number(value: Any) -> Any:
    return _NAMED_FLOATS.get(value, value) if isinstance(value, str) else value


def read(run: RunView) -> CVResults:
    """See `RunView.cv_results`."""
    return CVResults(json.loads(run.artifact(FILE).read_text(encoding="utf-8")))
