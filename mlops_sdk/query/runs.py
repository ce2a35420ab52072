"""A sequence of runs and its tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from mlops_sdk.entities import MetricSeries, Part, RunHead, RunParts
from mlops_sdk.errors import InvalidValueError, MetricNotFoundError, RunNotFoundError
from mlops_sdk.query.histories import Frame, Long
from mlops_sdk.query.reports import differing, to_html, to_latex, to_markdown
from mlops_sdk.query.tables import Table, as_arrow, as_pandas, as_polars, parts_needed, tabulate
from mlops_sdk.query.view import RunView
from mlops_sdk.values.directions import agreed_direction

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from matplotlib.axes import Axes

    from mlops_sdk.comparison.comparison import Comparison
    from mlops_sdk.query.groups import RunGroups
    from mlops_sdk.stores.protocol import Store

_BY = ("last", "best", "min", "max", "mean", "first")
_TABLE_PARTS: tuple[Part, ...] = ("params", "tags", "metrics")


class Runs(Sequence[RunView]):
    """Runs in the order they were asked for; params, tags and metrics of all are read together, when first needed."""

    def __init__(self, store: Store, heads: Sequence[RunHead], columns: Sequence[str] | None = None) -> None:
        self._store = store
        self._columns = columns
        self._heads = list(heads)
        self._views: dict[int, RunView] = {}
        self._parts: dict[str, RunParts] | None = None
        self._tabulated: Table | None = None

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

    def __str__(self) -> str:
        """A table of the first 20, as wide as the terminal: what `print` shows."""
        import shutil

        from mlops_sdk.query.listing import plain

        return plain(self, shutil.get_terminal_size().columns)

    def _load(self) -> dict[str, RunParts]:
        if self._parts is None:
            self._parts = self._store.load([head.run_id for head in self._heads], _TABLE_PARTS)
        return self._parts

    @property
    def store(self) -> Store:
        """Where they are kept."""
        return self._store

    @property
    def heads(self) -> Sequence[RunHead]:
        """Their rows, as they were found."""
        return self._heads

    def with_columns(self, columns: Sequence[str] | None) -> Runs:
        """The same runs, with tables of these columns; None: all that occur."""
        return self if columns is None else Runs(self._store, self._heads, tuple(columns))

    def _table(self) -> Table:
        if self._tabulated is None:
            ids = [head.run_id for head in self._heads]
            parts = self._store.load(ids, parts_needed(self._columns))
            self._tabulated = tabulate(self._heads, parts, self._columns)
        return self._tabulated

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat dict a run: ``run_id name status ... params.* metrics.* tags.*``; ``system/`` metrics are left out.

        A run has no entry for a param, metric or tag that it lacks, unless `columns` names it.
        """
        return self._table().rows(sparse=self._columns is None)

    def to_pandas(self) -> pd.DataFrame:
        """The same as a pandas frame with index ``run_id``; metrics are float64.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        return as_pandas(self._table())

    def to_polars(self) -> pl.DataFrame:
        """The same as a polars frame whose first column is ``run_id``.

        A column has one type: ints beside floats become floats where that changes none, values of other mixtures and lists
        become text.

        Raises
        ------
        MissingDependencyError
            If polars is not installed.
        """
        return as_polars(self._table())

    def to_arrow(self) -> pa.Table:
        """The same as an arrow table, with columns as `to_polars` has them.

        Raises
        ------
        MissingDependencyError
            If pyarrow is not installed.
        """
        return as_arrow(self._table())

    def to_latex(self, *, digits: int = 4) -> str:
        """A LaTeX ``tabular`` with the rules of the package booktabs.

        Parameters
        ----------
        digits : int
            Significant digits of floats.

        Notes
        -----
        Columns are those of `columns`, or else the name and what is not the same in all runs.
        """
        return self._report(to_latex, digits)

    def to_markdown(self, *, digits: int = 4) -> str:
        """A table in Markdown; columns and digits as in `to_latex`."""
        return self._report(to_markdown, digits)

    def to_html(self, *, digits: int = 4) -> str:
        """An HTML ``<table>`` without style or script, every text escaped; columns and digits as in `to_latex`."""
        return self._report(to_html, digits)

    def _report(self, write: Callable[[Table, Sequence[str], int], str], digits: int) -> str:
        table = self._table()
        return write(table, list(self._columns) if self._columns is not None else differing(table), digits)

    def history(self, *keys: str, max_points: int | None = None, frame: Frame = "pandas") -> Any:
        """Every point of some metrics of all runs, under each other.

        Parameters
        ----------
        *keys : str
            Metrics; a run that lacks one has no rows of it.
        max_points : int, optional
            Of each series, as in `RunView.metric`; default: every point.
        frame : {"pandas", "polars", "arrow"}

        Returns
        -------
        frame with columns ``run_id`` and ``key`` (categories), ``step`` (int64), ``value`` (float64), ``time`` (UTC, ns)
            Ordered by run, key, step.

        Raises
        ------
        InvalidValueError
            If no key is given.
        MissingDependencyError
            If the package of `frame` is not installed.
        """
        if not keys:
            raise InvalidValueError("which metrics? history('loss', 'acc')")
        return Long([head.run_id for head in self._heads], keys, self._series(keys, max_points)).as_frame(frame)

    def _series(self, keys: Sequence[str], max_points: int | None) -> Iterator[tuple[int, int, MetricSeries]]:
        for row, head in enumerate(self._heads):
            for column, key in enumerate(keys):
                try:
                    series = self._store.series(head.run_id, key)
                except (MetricNotFoundError, RunNotFoundError):
                    continue
                if max_points is not None:
                    from mlops_sdk.query.reduce import min_max

                    series = min_max(series, max_points)
                yield row, column, series

    def best(self, key: str, mode: str = "auto", by: str = "last") -> RunView:
        """The run with the best value of a metric.

        Parameters
        ----------
        key : str
        mode : {"auto", "max", "min"}
            "auto" takes what `define_metric` said, or what the name tells: see `mlops_sdk.query.directions`.
        by : {"last", "best", "min", "max", "mean", "first"}
            Which summary is compared; "best" is the best step.

        Raises
        ------
        InvalidValueError
            If no run has the metric, or its direction is unknown.
        """
        if by not in _BY:
            raise InvalidValueError(f"by is {by!r}; use {', '.join(_BY)}", key=key)
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
        having = [each for each in self._load().values() if key in each.metrics]
        said = [each.definitions[key].mode if key in each.definitions else None for each in having]
        direction = agreed_direction(said, key)
        if direction is None:
            raise InvalidValueError(
                f"whether more or less of {key!r} is better is not known: pass mode='max' or 'min', "
                f"or say run.define_metric({key!r}, mode=...) when logging",
                key=key,
            )
        return direction

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

    # -- comparing -----------------------------------------------------------------------------------------------

    def compare(self, **options: Any) -> Comparison:
        """What differs between these runs; the first is the reference.

        Parameters
        ----------
        **options
            Of `mlops_sdk.compare`.

        Raises
        ------
        InvalidValueError
            If there are fewer than two.
        """
        from mlops_sdk.query.comparing import compare_views

        return compare_views(list(self), **options)

    def group_by(self, *keys: str) -> RunGroups:
        """Groups of runs that agree in some keys.

        Parameters
        ----------
        *keys : str
            ``params.KEY``, ``tags.KEY``, ``datasets.CONTEXT`` (the digest), or an attribute such as ``git.commit``; a bare
            key is a param's. A run without a value belongs to a group of its own kind, ``-``.

        Raises
        ------
        InvalidValueError
            If a key is unknown, or no run has it.
        """
        from mlops_sdk.query.groups import group_by

        return group_by(self, keys)

    def group_seeds(self, seed: str | Sequence[str] = ("seed", "random_state")) -> RunGroups:
        """Groups of runs whose params are all the same but the seed.

        Parameters
        ----------
        seed : str or sequence of str
            Names of params that number repetitions, also as the last part of a nested key (``model.random_state``).
        """
        from mlops_sdk.query.groups import group_seeds

        return group_seeds(self, seed)
