"""Kinds of pictures by name: what `RunView.plot` and `Runs.plot` draw."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.plots.bands import bands
from mlops_sdk.plots.bars import Bar, bars
from mlops_sdk.plots.curves import curves
from mlops_sdk.plots.panels import overview, system
from mlops_sdk.plots.parallel import parallel
from mlops_sdk.plots.plotted import Plotted, grouped, known_metrics, labels
from mlops_sdk.plots.scatter import scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Draw = Callable[..., "Axes"]


def draw_runs(
    runs: Sequence[Plotted], keys: Sequence[str], kind: str, ax: Axes | None, options: dict[str, Any]
) -> Axes:
    """See `mlops_sdk.Runs.plot`."""
    return _call(_RUNS, runs, keys, kind, ax, options)


def draw_run(run: Plotted, keys: Sequence[str], kind: str, ax: Axes | None, options: dict[str, Any]) -> Axes:
    """See `mlops_sdk.RunView.plot`."""
    return _call(_RUN, run, keys, kind, ax, options)


def _call(
    kinds: dict[str, Draw], subject: Any, keys: Sequence[str], kind: str, ax: Axes | None, options: dict[str, Any]
) -> Axes:
    if kind not in kinds:
        raise InvalidValueError(f"kind is {kind!r}; use one of {', '.join(kinds)}")
    known = [name for name, each in inspect.signature(kinds[kind]).parameters.items() if each.kind is each.KEYWORD_ONLY]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise TypeError(f"plot(kind={kind!r}) takes no {unknown[0]!r}; it takes {', '.join(known)}")
    return kinds[kind](subject, keys, ax=ax, **options)


def _band(
    runs: Sequence[Plotted],
    keys: Sequence[str],
    *,
    by: str | Sequence[str] = "name",
    band: str = "std",
    x: str | None = None,
    smooth: float = 0.0,
    xscale: str = "linear",
    yscale: str = "linear",
    ax: Axes | None = None,
) -> Axes:
    key = _one(runs, keys, "band")
    return bands(grouped(runs, by), key, band=band, x=x, smooth=smooth, xscale=xscale, yscale=yscale, ax=ax)


def _bars(
    runs: Sequence[Plotted],
    keys: Sequence[str],
    *,
    by: str | Sequence[str] | None = None,
    style: str = "auto",
    xscale: str = "linear",
    ax: Axes | None = None,
) -> Axes:
    """Without `by` a row a run; with it a row a group, its mean and standard deviation."""
    key = _one(runs, keys, "bars")
    having = [run for run in runs if key in run.metrics]
    if by is None:
        rows = [Bar(label, run.metrics[key]) for label, run in zip(labels(having), having, strict=True)]
        return bars(rows, xlabel=key, style=style, xscale=xscale, ax=ax)
    rows = [_mean(label, [run.metrics[key] for run in members]) for label, members in grouped(having, by).items()]
    return bars(rows, xlabel=f"{key} (mean ± standard deviation)", style=style, xscale=xscale, ax=ax)


def _mean(label: str, values: Sequence[float]) -> Bar:
    import math
    import statistics

    finite = [value for value in values if math.isfinite(value)]
    mean = statistics.fmean(finite) if finite else math.nan
    spread = statistics.stdev(finite) if len(finite) > 1 else math.nan
    return Bar(label, mean, mean - spread, mean + spread, finite, f"n={len(finite)}")


def _parallel(
    runs: Sequence[Plotted], keys: Sequence[str], *, metric: str | None = None, ax: Axes | None = None
) -> Axes:
    """Keys are params and, last, the metric, unless `metric` names it."""
    from mlops_sdk.plots.axes import refuse_nothing

    if metric is None and not keys:
        raise refuse_nothing([], known_metrics(runs))
    return parallel(runs, keys[:-1] if metric is None else keys, keys[-1] if metric is None else metric, ax=ax)


def _scatter(
    runs: Sequence[Plotted],
    keys: Sequence[str],
    *,
    by: str | Sequence[str] | None = None,
    xscale: str = "auto",
    yscale: str = "linear",
    ax: Axes | None = None,
) -> Axes:
    if len(keys) != 2:
        raise InvalidValueError("kind='scatter' takes two names: what lies along x (a param, say), and a metric")
    return scatter(runs, keys[0], keys[1], by=by, xscale=xscale, yscale=yscale, ax=ax)


def _system_of_one(runs: Sequence[Plotted], keys: Sequence[str], *, ax: Axes | None = None) -> Axes:
    if len(runs) == 1:
        return system(runs[0], keys, ax=ax)
    if not keys:
        raise InvalidValueError("of several runs name the system metrics to draw, such as 'cpu_percent'")
    return curves(runs, [key if key.startswith("system/") else f"system/{key}" for key in keys], x="time", ax=ax)


def _one(runs: Sequence[Plotted], keys: Sequence[str], kind: str) -> str:
    if len(keys) == 1 and (kind != "bars" or keys[0] in known_metrics(runs)):
        return keys[0]
    from mlops_sdk.plots.axes import refuse_nothing

    if len(keys) > 1:
        raise InvalidValueError(f"kind={kind!r} draws one metric, not {len(keys)}")
    raise refuse_nothing(keys, known_metrics(runs))


_RUNS: dict[str, Draw] = {
    "curves": curves,
    "band": _band,
    "bars": _bars,
    "scatter": _scatter,
    "parallel": _parallel,
    "system": _system_of_one,
}
_RUN: dict[str, Draw] = {"curves": overview, "system": system}
KINDS = tuple(_RUNS)
"""Kinds of pictures of several runs."""
