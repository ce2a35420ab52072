"""Candidates and folds of a search or a cross-validation, as they can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError, MetricNotFoundError

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
        try:
            import pandas as pd
        except ImportError as error:
            from mlops_sdk.errors import MissingDependencyError

            raise MissingDependencyError("pandas", extra="pandas", purpose="to_pandas()") from error
        return pd.DataFrame(self.to_dicts())

    # -- pictures --------------------------------------------------------------------------------------------------------

    def plot(self, param: str | None = None, *, scorer: str | None = None, ax: Axes | None = None) -> Axes:
        """Mean score against a param, a dot a candidate; without `param`, against the time to fit.

        Parameters
        ----------
        param : str, optional
        scorer : str, optional
        ax : Axes, optional

        Raises
        ------
        MetricNotFoundError
            If there is no such scorer.
        InvalidValueError
            If no candidate has the param.
        """
        name = self._scorer(scorer)
        scores = self._columns[f"mean_test_{name}"]
        if param is None:
            x, label = self._columns["mean_fit_time"], "mean fit time (s)"
        else:
            if not any(param in params for params in self._params):
                raise InvalidValueError(f"no candidate has a param {param!r}", key=param)
            x, label = [params.get(param) for params in self._params], param
        return _scatter(x, scores, label, f"mean {name}", ax)

    def __repr__(self) -> str:
        return f"<CVResults of {self.kind}: {len(self)} candidates, scorers {', '.join(self.scorers)}>"


def _scatter(x: list[Any], y: list[Any], x_label: str, y_label: str, ax: Axes | None) -> Axes:
    if ax is None:
        from mlops_sdk.plots.axes import new_axes

        ax = new_axes()  # which shows itself in a notebook
    are_numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in x)
    values = x if are_numbers else [str(value) for value in x]
    ax.scatter(values, y, s=18)
    if are_numbers and min(x) > 0 and max(x) > 50 * min(x):
        ax.set_xscale("log")
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    return ax


def _number(value: Any) -> Any:
    return _NAMED_FLOATS.get(value, value) if isinstance(value, str) else value


def read(run: RunView) -> CVResults:
    """See `RunView.cv_results`."""
    return CVResults(json.loads(run.artifact(FILE).read_text(encoding="utf-8")))
