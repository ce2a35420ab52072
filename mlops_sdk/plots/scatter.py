"""A param (or another metric) against a metric, a dot a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.plots.axes import MAX_LEGEND, dress, legend_outside, new_axes, plain, refuse_nothing, scale
from mlops_sdk.plots.palette import PALETTE, marker
from mlops_sdk.plots.plotted import grouped, known_metrics, number, text_of, value
from mlops_sdk.plots.series import GREATEST

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlops_sdk._types import ParamValue
    from mlops_sdk.plots.plotted import Plotted

_MOST_CATEGORIES = 30


@dataclass(frozen=True, slots=True)
class _Dot:
    x: ParamValue
    y: float


def scatter(
    runs: Iterable[Plotted],
    x: str,
    y: str,
    *,
    by: str | Sequence[str] | None = None,
    xscale: str = "auto",
    yscale: str = "linear",
    ax: Axes | None = None,
) -> Axes:
    """What a metric is where a param is so: a dot a run.

    Parameters
    ----------
    runs : iterable of Plotted
        Runs that lack one of the two are left out, and counted in the title.
    x : str
        ``params.KEY``, ``metrics.KEY``, ``tags.KEY`` or an attribute; another bare key is a param's, or a metric's. Where it
        is not a number in every run, its values stand side by side.
    y : str
        A metric: its last value.
    by : str or sequence of str, optional
        What gives the dots their colour and shape, named like `x`.
    xscale, yscale : {"linear", "log", "symlog", "auto"}
        "auto": "log" where all are above 0 and the greatest is 30 times the least.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidValueError
        If no run has both, or an option is unknown.
    """
    runs = list(runs)
    groups: dict[str, list[Plotted]] = {"": runs} if by is None else grouped(runs, by)
    dots = {label: _dots(members, x, y) for label, members in groups.items()}
    every = [dot for members in dots.values() for dot in members]
    if not every:
        raise _refusal(runs, x, y)
    categories = _categories(every)
    numbers = [number(dot.x) for dot in every]
    xscale = "linear" if categories else scale(xscale, "xscale", numbers)
    yscale = scale(yscale, "yscale", [dot.y for dot in every])
    ax = new_axes() if ax is None else ax
    drawn = [(label, members) for label, members in dots.items() if members]
    for index, (label, members) in enumerate(drawn):
        aside = (index - (len(drawn) - 1) / 2) * min(0.14, 0.7 / len(drawn))
        places = [categories.index(text_of(dot.x)) + aside if categories else number(dot.x) for dot in members]
        name = plain(label) if label and index < MAX_LEGEND else None
        ax.scatter(
            places, [dot.y for dot in members], s=46, color=PALETTE[index % len(PALETTE)], marker=marker(index),
            alpha=0.8, edgecolors="white", linewidths=0.7, label=name, zorder=3,
        )  # fmt: skip
    _dress(ax, x, y, categories, xscale, yscale)
    if len(every) < len(runs):
        ax.set_title(f"{len(runs) - len(every)} of {len(runs)} runs lack one of them", loc="right", fontsize="small")
    if by is not None:
        legend_outside(ax, n_more=max(0, len(drawn) - MAX_LEGEND))
    return ax


def _dots(runs: Sequence[Plotted], x: str, y: str) -> list[_Dot]:
    found = ((value(run, x), number(run.metrics.get(y.removeprefix("metrics.")))) for run in runs)
    return [
        _Dot(place, height) for place, height in found if place is not None and abs(height) <= GREATEST and _fits(place)
    ]


def _fits(place: ParamValue) -> bool:
    return not isinstance(place, float) or abs(place) <= GREATEST


def _categories(dots: Sequence[_Dot]) -> list[str]:
    """Values that are no numbers, in order; none where all are numbers."""
    if all(not math.isnan(number(dot.x)) for dot in dots):
        return []
    found = {text_of(dot.x): number(dot.x) for dot in dots}
    ordered = sorted(
        found, key=lambda text: (math.isnan(found[text]), 0.0 if math.isnan(found[text]) else found[text], text)
    )
    if len(ordered) > _MOST_CATEGORIES:
        raise InvalidValueError(f"{len(ordered)} different texts are too many for an axis; it holds {_MOST_CATEGORIES}")
    return ordered


def _dress(ax: Axes, x: str, y: str, categories: Sequence[str], xscale: str, yscale: str) -> None:
    dress(ax, x=plain(x.removeprefix("params."), 60), y=plain(y.removeprefix("metrics."), 60))
    if categories:
        is_long = sum(min(len(text), 34) for text in categories) > 70
        ax.set_xticks(range(len(categories)), [plain(text) for text in categories])
        ax.tick_params(axis="x", labelrotation=30 if is_long else 0)
        for label in ax.get_xticklabels():
            label.set_horizontalalignment("right" if is_long else "center")
            label.set_rotation_mode("anchor")
        ax.set_xlim(-0.6, len(categories) - 0.4)
    elif xscale != "linear":
        ax.set_xscale(xscale)
    if yscale != "linear":
        ax.set_yscale(yscale)


def _refusal(runs: Sequence[Plotted], x: str, y: str) -> InvalidValueError:
    key = y.removeprefix("metrics.")
    metrics = known_metrics(runs)
    if key not in metrics:
        return refuse_nothing([key], metrics)
    params = {name for run in runs for name in run.params}
    if not any(value(run, x) is not None for run in runs):
        return refuse_nothing([x.removeprefix("params.")], params | metrics, "param")
    return InvalidValueError(f"no run has both {x!r} and a finite value of {y!r}")
