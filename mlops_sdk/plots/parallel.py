"""Parallel coordinates: a line a run through its params to its metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.plots.axes import HEIGHT, WIDTH, new_axes, plain, refuse_nothing, scale
from mlops_sdk.plots.palette import SEQUENTIAL
from mlops_sdk.plots.plotted import known_metrics, number, text_of, value
from mlops_sdk.plots.series import GREATEST

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlops_sdk._types import ParamValue
    from mlops_sdk.plots.plotted import Plotted

_MOST_AXES = 10
_MOST_TEXTS = 12
_TICKS = 5
_MOST_VALUES = 6
"""Of so few different numbers each has its label, instead of round ones."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """One vertical line: heights from 0 to 1 of every run, NaN where it has no value, and labels at heights."""

    title: str
    heights: list[float]
    labels: list[tuple[float, str]]


def parallel(runs: Iterable[Plotted], params: Sequence[str], metric: str, *, ax: Axes | None = None) -> Axes:
    """A line a run, through its params to its metric, in the colour of the metric.

    Parameters
    ----------
    runs : iterable of Plotted
        Runs without the metric are left out.
    params : sequence of str
        Keys of params (or ``metrics.KEY``, ``tags.KEY``), in this order; none: those in which the runs differ, at most 9.
        Numbers above 0 of which the greatest is 30 times the least are on a logarithmic scale; texts stand one above the other.
    metric : str
        Its last value is the last line, linear, and the colour.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidValueError
        If no run has a finite value of the metric, or the runs differ in no param.
    """
    runs = list(runs)
    key = metric.removeprefix("metrics.")
    shown = [run for run in runs if abs(number(run.metrics.get(key))) <= GREATEST]
    if not shown:
        raise refuse_nothing([key], known_metrics(runs))
    names = list(params) or _differing(shown)
    if not names:
        raise InvalidValueError("these runs differ in no param: there is nothing to set side by side")
    last = [run.metrics[key] for run in shown]
    scales = [_scale(name, [value(run, name) for run in shown]) for name in names] + [
        _numbers(key, last, name="linear")
    ]
    if ax is None:
        ax = new_axes(max(WIDTH, 1.6 * len(scales)), HEIGHT)
    _draw_lines(ax, scales, last)
    _draw_scales(ax, scales)
    ax.set_xticks(range(len(scales)), [plain(each.title, 22) for each in scales])
    _dress(ax, len(scales))
    _colour_bar(ax, last, key)
    return ax


def _differing(runs: Sequence[Plotted]) -> list[str]:
    """Params whose values differ; those with most values stand next to the metric."""
    keys = dict.fromkeys(key for run in runs for key in run.params)
    counts = {f"params.{key}": len({text_of(run.params.get(key)) for run in runs}) for key in keys}
    texts = {f"params.{key}" for key in keys if any(isinstance(run.params.get(key), str) for run in runs)}
    fitting = [name for name, n in counts.items() if n > 1 and not (name in texts and n > _MOST_TEXTS)]
    return sorted(fitting, key=lambda name: counts[name])[-(_MOST_AXES - 1) :]


def _scale(name: str, values: Sequence[ParamValue]) -> _Scale:
    title = name.removeprefix("params.")
    numbers = [number(each) for each in values]
    if all(each is None or abs(place) <= GREATEST for each, place in zip(values, numbers, strict=True)):
        if any(math.isfinite(each) for each in numbers):
            return _numbers(title, numbers)
        return _Scale(title, [math.nan] * len(values), [])
    texts = sorted({text_of(each) for each in values if each is not None})
    if len(texts) > 3 * _MOST_TEXTS:
        raise InvalidValueError(
            f"{len(texts)} different texts of {title!r} are too many for a line; it holds {3 * _MOST_TEXTS}"
        )
    place = {text: (index + 0.5) / len(texts) for index, text in enumerate(texts)}
    heights = [math.nan if each is None else place[text_of(each)] for each in values]
    return _Scale(title, heights, [(height, text) for text, height in place.items()])


def _numbers(title: str, values: Sequence[float], *, name: str = "auto") -> _Scale:
    """Numbers on a linear or logarithmic scale, with round labels."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    finite = [each for each in values if math.isfinite(each)]
    is_log = scale(name, title, finite) == "log"
    low, high = min(finite), max(finite)
    if low == high:
        return _Scale(title, [0.5 if math.isfinite(each) else math.nan for each in values], [(0.5, _short(low))])
    locator = LogLocator(numticks=_TICKS) if is_log else MaxNLocator(_TICKS)
    ticks = set(finite) if len(set(finite)) <= _MOST_VALUES else locator.tick_values(low, high)
    convert = math.log10 if is_log else float
    span = convert(high) / 2 - convert(low) / 2

    def height(each: float) -> float:
        return (convert(each) / 2 - convert(low) / 2) / span if math.isfinite(each) else math.nan

    chosen = sorted({low, high, *(float(tick) for tick in ticks if low < tick < high)})
    labels = [(height(each), _short(each)) for each in chosen]
    ends = [labels[0], labels[-1]]
    between = [each for each in labels[1:-1] if 0.07 < each[0] < 0.93]
    return _Scale(title, [height(each) for each in values], [ends[0], *between, ends[1]])


def _short(each: float) -> str:
    return f"{each:.3g}"


def _draw_lines(ax: Axes, scales: Sequence[_Scale], values: Sequence[float]) -> None:
    import numpy as np
    from matplotlib import colormaps

    colours = colormaps[SEQUENTIAL]
    low, high = min(values), max(values)
    order = sorted(range(len(values)), key=lambda index: values[index])
    alpha = max(0.25, min(0.9, 30 / len(values)))
    for index in order:
        share = (values[index] / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
        x, y = _wave([each.heights[index] for each in scales])
        ax.plot(x, y, color=colours(share * 0.92), linewidth=1.4, alpha=alpha, zorder=2 + 0.5 * share)
        lone = np.array([each.heights[index] for each in scales])
        ax.plot(np.arange(len(scales)), lone, ".", color=colours(share * 0.92), markersize=5, alpha=alpha, zorder=2.6)


def _wave(heights: Sequence[float]) -> tuple[list[float], list[float]]:
    """A line that leaves and meets every scale level, so that lines that meet at one value can be told apart."""
    x, y = [0.0], [heights[0]]
    for index in range(len(heights) - 1):
        start, end = heights[index], heights[index + 1]
        for part in range(1, 17):
            share = part / 16
            x.append(index + share)
            y.append(start + (end - start) * share * share * (3 - 2 * share))
    return x, y


def _draw_scales(ax: Axes, scales: Sequence[_Scale]) -> None:
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.0}
    for index, each in enumerate(scales):
        ax.axvline(index, color="#444444", linewidth=1.0, zorder=3)
        limit = 18
        for height, label in each.labels:
            ax.annotate(plain(label, limit), (index, height), xytext=(5, 0), textcoords="offset points", va="center",
                        fontsize=8, bbox=box, zorder=4)  # fmt: skip


def _dress(ax: Axes, n_scales: int) -> None:
    ax.set_xlim(-0.08, n_scales - 1 + 0.25)
    ax.set_ylim(-0.04, 1.04)
    ax.spines[["top", "right", "bottom", "left"]].set_visible(False)
    ax.tick_params(axis="both", length=0)
    ax.set_yticks([])


def _colour_bar(ax: Axes, values: Sequence[float], key: str) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    low, high = min(values), max(values)
    if low == high or (figure := ax.get_figure(root=True)) is None:
        return
    colours = ListedColormap([colormaps[SEQUENTIAL](share / 255 * 0.92) for share in range(256)])
    bar = figure.colorbar(ScalarMappable(Normalize(low, high), colours), ax=ax, fraction=0.03, pad=0.02)
    bar.set_label(plain(key, 60))
    bar.outline.set_visible(False)
