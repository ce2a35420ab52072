"""Histories of many runs as one long table: a row for every point."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mlops_sdk.entities import MetricSeries
from mlops_sdk.errors import InvalidValueError, MissingDependencyError

if TYPE_CHECKING:
    from mlops_sdk._types import FloatArray, IntArray

Frame = Literal["pandas", "polars", "arrow"]


class Long:
    """Series under each other.

    Attributes
    ----------
    run_ids, keys : list of str
        What the codes stand for.
    run, key : numpy.ndarray of int32, shape (n,)
        Codes.
    step, time_ns : numpy.ndarray of int64, shape (n,)
    value : numpy.ndarray of float64, shape (n,)
    """

    def __init__(self, run_ids: Sequence[str], keys: Sequence[str], series: Iterable[tuple[int, int, MetricSeries]]):
        import numpy as np

        found = list(series)
        lengths = [len(each) for _, _, each in found]
        self.run_ids, self.keys = list(run_ids), list(keys)
        self.run: IntArray = np.repeat(np.array([run for run, _, _ in found], np.int32), lengths)
        self.key: IntArray = np.repeat(np.array([key for _, key, _ in found], np.int32), lengths)
        self.step: IntArray = np.concatenate([each.step for _, _, each in found] or [np.empty(0, np.int64)])
        self.value: FloatArray = np.concatenate([each.value for _, _, each in found] or [np.empty(0)])
        self.time_ns: IntArray = np.concatenate([each.time_ns for _, _, each in found] or [np.empty(0, np.int64)])

    def as_frame(self, frame: Frame) -> Any:
        """A frame of columns run_id, key, step, value, time."""
        makers = {"pandas": self._as_pandas, "polars": self._as_polars, "arrow": self._as_arrow}
        if frame not in makers:
            raise InvalidValueError(f"frame is {frame!r}; use {', '.join(makers)}")
        return makers[frame]()

    def _as_pandas(self) -> Any:
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError("pandas", extra="pandas", purpose="history()") from error
        columns = {
            "run_id": pd.Categorical.from_codes(self.run, self.run_ids),
            "key": pd.Categorical.from_codes(self.key, self.keys),
            "step": self.step,
            "value": self.value,
            "time": pd.DatetimeIndex(self.time_ns.view("datetime64[ns]")).tz_localize("UTC"),
        }
        return pd.DataFrame(columns, copy=False)

    def _as_arrow(self) -> Any:
        try:
            import pyarrow as pa
        except ImportError as error:
            raise MissingDependencyError("pyarrow", extra="arrow", purpose="history(frame='arrow')") from error
        columns = {
            "run_id": pa.DictionaryArray.from_arrays(pa.array(self.run), pa.array(self.run_ids, pa.string())),
            "key": pa.DictionaryArray.from_arrays(pa.array(self.key), pa.array(self.keys, pa.string())),
            "step": pa.array(self.step),
            "value": pa.array(self.value),
            "time": pa.array(self.time_ns.view("datetime64[ns]"), pa.timestamp("ns", "UTC")),
        }
        return pa.table(columns)

    def _as_polars(self) -> Any:
        try:
            import polars as pl
        except ImportError as error:
            raise MissingDependencyError("polars", extra="polars", purpose="history(frame='polars')") from error
        run_ids, keys = pl.Series(self.run_ids, dtype=pl.String), pl.Series(self.keys, dtype=pl.String)
        columns = {
            "run_id": run_ids.gather(self.run).cast(pl.Categorical) if len(run_ids) else run_ids,
            "key": keys.gather(self.key).cast(pl.Categorical) if len(keys) else keys,
            "step": pl.Series(self.step),
            "value": pl.Series(self.value),
            "time": pl.Series(self.time_ns).cast(pl.Datetime("ns", "UTC")),
        }
        return pl.DataFrame(columns)
