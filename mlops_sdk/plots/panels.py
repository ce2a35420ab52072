"""Several metrics of one run, a panel for those that share a unit: its own curves, or the load of the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.plots.axes import add_axes, new_figure, plain, refuse_nothing
from mlops_sdk.plots.curves import curves
from mlops_sdk.plots.plotted import with_unit
from mlops_sdk.plots.series import GREATEST

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlops_sdk.plots.plotted import Plotted

SYSTEM = "system/"
_MOST_PANELS = 12
_UNITS = {
    "_percent": "percent",
    "_bytes": "GiB",
    "temperature_c": "°C",
    "power_w": "watt",
    "load_average": "load average",
    "threads": "threads",
}
_GIB = 1024**3


def overview(run: Plotted, keys: Sequence[str] = (), *, x: str | None = None, smooth: float = 0.0, yscale: str = "linear",
             ax: Axes | None = None) -> Axes:  # fmt: skip
    """All metrics of a run: those with the same last part of their name share a panel (``train/loss``, ``val/loss``).

    Parameters
    ----------
    run : Plotted
    keys : sequence of str
        Only these metrics; none: all but those of the system, of at most 12 panels.
    x, smooth, yscale
        See `mlops_sdk.plots.curves.curves`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; only where one panel holds everything.

    Returns
    -------
    matplotlib.axes.Axes
        Of the first panel; ``ax.figure.axes`` has all.

    Raises
    ------
    InvalidValueError
        If the run has no such metric with a finite value, or `ax` cannot hold all.
    """
    known = [key for key in run.metrics if not key.startswith(SYSTEM)]
    chosen = list(keys) or known
    panels: dict[str, list[str]] = {}
    for key in chosen:
        panels.setdefault(key.rpartition("/")[2], []).append(key)
    if not panels:
        raise refuse_nothing([], known)
    if ax is not None or len(panels) == 1:
        if len(panels) > 1:
            raise InvalidValueError(f"{len(panels)} panels do not fit into one Axes: name metrics of one unit")
        return curves([run], next(iter(panels.values())), x=x, smooth=smooth, yscale=yscale, ax=ax)
    drawn = [(title, members) for title, members in panels.items() if _has_points(run, members)][:_MOST_PANELS]
    if not drawn:
        raise refuse_nothing(chosen, known)
    n_columns = 1 if len(drawn) < 2 else 2 if len(drawn) < 7 else 3
    n_rows = -(-len(drawn) // n_columns)
    figure = new_figure(4.6 * n_columns, 2.5 * n_rows)
    for place, (_, members) in enumerate(drawn):
        panel = add_axes(figure, n_rows, n_columns, place + 1)
        curves([run], members, x=x, smooth=smooth, yscale=yscale, ax=panel)
        _legend_inside(panel, run, members, smooth)
        if place < len(drawn) - n_columns:
            panel.set_xlabel("")
    return figure.axes[0]


def system(run: Plotted, keys: Sequence[str] = (), *, ax: Axes | None = None) -> Axes:
    """The load of machine and process over time, a panel a unit: percent, GiB, degrees, watt, the rest.

    Parameters
    ----------
    run : Plotted
    keys : sequence of str
        Only these, with or without the leading ``system/``; none: all that the run has.
    ax : matplotlib.axes.Axes, optional
        Where to draw; only where one panel holds everything.

    Returns
    -------
    matplotlib.axes.Axes
        Of the first panel; ``ax.figure.axes`` has all.

    Raises
    ------
    InvalidValueError
        If the run has none of them, or `ax` cannot hold all.
    """
    known = [key for key in run.metrics if key.startswith(SYSTEM)]
    wanted = [key if key.startswith(SYSTEM) else f"{SYSTEM}{key}" for key in keys] or known
    panels = {unit: members for unit, members in _by_unit(wanted).items() if _has_points(run, members)}
    if not panels:
        raise refuse_nothing(wanted, known, "system metric")
    if ax is not None and len(panels) > 1:
        raise InvalidValueError(f"{len(panels)} units do not fit into one Axes: name metrics of one unit")
    figure = None if ax is not None else new_figure(8.0, 0.7 + 2.0 * len(panels))
    first = ax
    for place, (unit, members) in enumerate(panels.items()):
        panel = ax if figure is None else add_axes(figure, len(panels), 1, place + 1)
        assert panel is not None, "one of the two was given"
        curves([run], members, x="time", ax=panel)
        _dress_system(panel, unit, [key for key in members if key in run.metrics])
        if place < len(panels) - 1:
            panel.set_xlabel("")
            panel.tick_params(axis="x", labelbottom=False)
        first = first or panel
    assert first is not None, "there is at least one panel"
    return first


def _by_unit(keys: Iterable[str]) -> Mapping[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key in keys:
        unit = next((name for part, name in _UNITS.items() if part in key), "other")
        groups.setdefault(unit, []).append(key)
    order = [*_UNITS.values(), "other"]
    return {unit: groups[unit] for unit in sorted(groups, key=order.index)}


def _has_points(run: Plotted, keys: Sequence[str]) -> bool:
    import numpy as np

    known = run.metrics
    present = (run.metric(key).value for key in keys if key in known)
    return any(bool((np.abs(values) <= GREATEST).any()) for values in present)


def _dress_system(panel: Axes, unit: str, members: Sequence[str]) -> None:
    panel.set_ylabel("" if unit == "other" else unit)
    top = panel.get_ylim()[1]
    if unit == "percent":
        panel.set_ylim(0, max(105.0, top))
    elif unit == "GiB":
        from matplotlib.ticker import MaxNLocator

        ticks = [float(tick) for tick in MaxNLocator(5).tick_values(0, top / _GIB) if 0 <= tick <= top / _GIB]
        panel.set_ylim(0, top)
        panel.set_yticks([tick * _GIB for tick in ticks], [f"{tick:.6g}" for tick in ticks])
    legend = panel.get_legend()
    for text, key in zip(legend.get_texts() if legend is not None else (), members, strict=False):
        text.set_text(plain(key.removeprefix(SYSTEM)))


def _legend_inside(panel: Axes, run: Plotted, members: Sequence[str], smooth: float) -> None:
    """A panel of one line needs no legend; of several a small one where there is room: outside is another panel."""
    legend = panel.get_legend()
    if legend is not None:
        legend.remove()
    if len(members) > 1:
        panel.legend(loc="best", frameon=False, fontsize="x-small")
    else:
        name = plain(with_unit(members[0], [run], members), 30)
        panel.set_ylabel(f"{name} (smoothed, {smooth:g})" if smooth else name)
