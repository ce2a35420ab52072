"""Pictures of runs; every function returns the matplotlib Axes it drew on.

Colours are Okabe and Ito's, which people with a colour vision deficiency tell apart [1]_.

References
----------
.. [1] M. Okabe and K. Ito, "Color Universal Design" (2008), https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from mlops_sdk.errors import InvalidValueError, MetricNotFoundError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlops_sdk.entities import MetricSeries

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_DASHES = ("-", "--", ":", "-.")
_MAX_POINTS = 2000


class Plotted(Protocol):
    """What is drawn of a run; `mlops_sdk.query.view.RunView` is one."""

    @property
    def name(self) -> str:
        """Label of its curves."""
        ...

    def metric(self, key: str, *, max_points: int | None = None) -> MetricSeries:
        """Points of a metric; raises MetricNotFoundError."""
        ...


def curves(runs: Iterable[Plotted], keys: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Metrics over their steps, a colour a run and a line style a metric.

    Parameters
    ----------
    runs : iterable of Plotted
        Runs without the metric are left out.
    keys : sequence of str
        Metrics, at least one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default a new figure.

    Raises
    ------
    InvalidValueError
        If no metric is named, or no run has one of them.
    """
    if not keys:
        raise InvalidValueError("name at least one metric to plot")
    ax = _new_axes() if ax is None else ax
    n_drawn = 0
    for number, run in enumerate(runs):
        colour = PALETTE[number % len(PALETTE)]
        for key, dash in zip(keys, _DASHES * len(keys), strict=False):
            try:
                series = run.metric(key, max_points=_MAX_POINTS)
            except MetricNotFoundError:
                continue
            label = run.name if len(keys) == 1 else f"{run.name}: {key}"
            marker = "o" if len(series) == 1 else None
            ax.plot(series.step, series.value, dash, color=colour, label=_plain(label), marker=marker, linewidth=1.5)
            n_drawn += 1
    if not n_drawn:
        raise InvalidValueError(f"none of these runs has {' or '.join(map(repr, keys))}")
    _dress(ax, keys, n_drawn)
    return ax


def _new_axes() -> Axes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)  # pyplot, and with it a window system, is not needed
    return figure.add_subplot()


def _dress(ax: Axes, keys: Sequence[str], n_drawn: int) -> None:
    ax.set_xlabel("step")
    ax.set_ylabel(_plain(keys[0]) if len(keys) == 1 else "value")
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    if n_drawn <= 20:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize="small")


def _plain(text: str) -> str:
    """Text that matplotlib shows as it is: no mathematics between dollars, no hidden labels."""
    return text.replace("$", r"\$").lstrip("_")
