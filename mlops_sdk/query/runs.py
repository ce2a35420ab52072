"""A sequence of runs and its tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, overload

from mlops_sdk.entities import Part, RunHead, RunParts
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.query.view import RunView, derived_status

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from mlops_sdk.stores.protocol import Store

_TABLE_PARTS: tuple[Part, ...] = ("params", "tags", "metrics")


class Runs(Sequence[RunView]):
    """Runs in the order they were asked for; params, tags and metrics of all are read together, when first needed."""

    def __init__(self, store: Store, heads: Sequence[RunHead], columns: Sequence[str] | None = None) -> None:
        self._store = store
        self._columns = columns
        self._heads = list(heads)
        self._views: dict[int, RunView] = {}
        self._parts: dict[str, RunParts] | None = None

    def __len__(self) -> int:
        return len(self._heads)

    @overload
    def __getitem__(self, index: int) -> RunView: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> RunView | Runs:
        if isinstance(index, slice):
            return Runs(self._store, self._heads[index], self._columns)
        position = range(len(self._heads))[index]
        if position not in self._views:
            self._views[position] = RunView(self._store, self._heads[position])
        return self._views[position]

    def __iter__(self) -> Iterator[RunView]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"<Runs: {len(self)}>"

    def _load(self) -> dict[str, RunParts]:
        if self._parts is None:
            self._parts = self._store.load([head.run_id for head in self._heads], _TABLE_PARTS)
        return self._parts

    def with_columns(self, columns: Sequence[str] | None) -> Runs:
        """The same runs, with tables of these columns; None: all that occur."""
        return self if columns is None else Runs(self._store, self._heads, tuple(columns))

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat dict a run: ``run_id name status ... params.* metrics.* tags.*``; ``system/`` metrics are left out."""
        parts = self._load()
        rows = [_row(head, parts.get(head.run_id, RunParts()), self._columns or ()) for head in self._heads]
        if self._columns is None:
            return rows
        return [{"run_id": row["run_id"]} | {name: row.get(name) for name in self._columns} for row in rows]

    def to_pandas(self) -> pd.DataFrame:
        """The same as a pandas frame with index ``run_id``.

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
        rows = self.to_dicts()
        columns = list(dict.fromkeys(key for row in rows for key in row))
        return pd.DataFrame(rows, columns=columns or ["run_id"]).set_index("run_id")

    def best(self, key: str, mode: str = "auto", by: str = "last") -> RunView:
        """The run with the best value of a metric.

        Parameters
        ----------
        key : str
        mode : {"auto", "max", "min"}
            "auto" takes what `define_metric` said.
        by : {"last", "best", "min", "max", "mean", "first"}
            Which summary is compared; "best" is the best step.

        Raises
        ------
        InvalidValueError
            If no run has the metric, or its direction is unknown.
        """
        parts = self._load()
        direction = self._direction(key) if mode == "auto" else mode
        if direction not in ("max", "min"):
            raise InvalidValueError(f"mode is {mode!r}; use 'max', 'min' or 'auto'", key=key)
        summary = direction if by == "best" else by
        values = [
            (getattr(parts[head.run_id].metrics[key], summary), index)
            for index, head in enumerate(self._heads)
            if head.run_id in parts and key in parts[head.run_id].metrics
        ]
        values = [(value, index) for value, index in values if not math.isnan(value)]
        if not values:
            raise InvalidValueError(f"none of these {len(self)} runs has a value of metric {key!r}", key=key)
        sign = -1 if direction == "max" else 1
        return self[min(values, key=lambda item: (sign * item[0], item[1]))[1]]

    def _direction(self, key: str) -> str:
        modes = {p.definitions[key].mode for p in self._load().values() if key in p.definitions} - {None}
        if len(modes) != 1:
            raise InvalidValueError(
                f"whether more or less of {key!r} is better is not known: pass mode='max' or 'min', "
                f"or say run.define_metric({key!r}, mode=...) when logging",
                key=key,
            )
        return str(modes.pop())

    def plot(self, *keys: str, kind: str = "curves", ax: Axes | None = None, **options: Any) -> Axes:
        """Draw these runs.

        Parameters
        ----------
        *keys : str
            Metrics; for "scatter" a param and a metric; for "parallel" params and, last, a metric.
        kind : {"curves", "band", "bars", "scatter", "parallel", "system"}
            Metrics over steps, a line a run; mean and spread of groups (``by=``); values, a row a run or group; a param
            against a metric; params and a metric side by side; the load of the machines.
        ax : matplotlib.axes.Axes, optional
            Where to draw; default a new figure, which a notebook shows.
        **options
            Of the kind: ``x smooth xscale yscale`` of curves and bands, ``by band`` of bands, and so on; see the guide.

        Returns
        -------
        matplotlib.axes.Axes
            ``ax.figure.savefig(...)`` saves it.

        Raises
        ------
        InvalidValueError
            If there is nothing to draw, or an option has no meaning.

        Notes
        -----
        pyplot is not touched; pass ``ax=plt.gca()`` to draw into its figures.
        """
        from mlops_sdk.plots.kinds import draw_runs

        return draw_runs(self._filled(), keys, kind, ax, options)

    def _filled(self) -> list[RunView]:
        """Every run, with the params, tags and metrics that were read for all together."""
        parts = self._load()
        views = list(self)
        for view in views:
            for part in _TABLE_PARTS:
                if view.run_id in parts:
                    view._parts.setdefault(part, parts[view.run_id])
        return views

    def _repr_html_(self) -> str:
        """A table for notebooks: static, escaped, without a script."""
        from mlops_sdk.query.listing import listing

        return listing(self)


def _row(head: RunHead, parts: RunParts, named: Sequence[str]) -> dict[str, Any]:
    end_ns = head.heard_ns if head.end_ns is None else head.end_ns
    row: dict[str, Any] = {
        "run_id": head.run_id,
        "name": head.name,
        "experiment": head.experiment,
        "status": derived_status(head),
        "start_time": datetime.fromtimestamp(head.start_ns / 1e9, UTC),
        "end_time": None if head.end_ns is None else datetime.fromtimestamp(head.end_ns / 1e9, UTC),
        "duration_s": max(0, end_ns - head.start_ns) / 1e9,
        "parent": head.parent,
        "user": head.user,
        "host": head.host,
    }
    row |= {f"params.{key}": value for key, value in parts.params.items()}
    for key, summary in parts.metrics.items():
        if not key.startswith("system/") or f"metrics.{key}" in named:
            row[f"metrics.{key}"] = summary.last
    return row | {f"tags.{key}": value for key, value in parts.tags.items()}
