"""What every picture shares: a figure without pyplot, plain text, scales, a legend outside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.markup.visible import ELLIPSIS, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlops_sdk._types import FloatArray

WIDTH, HEIGHT = 8.0, 4.5
"""Inches of a picture, its legend included."""
DPI = 120
MAX_LEGEND = 20
"""Lines of a legend; what is more is counted in its last line."""
_LABEL_CHARACTERS = 34
_TEX = {each: f"\\{each}" for each in "{}$&#%_"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\u200b": "",
}
_WIDE = 30
_SCALES = ("auto", "linear", "log", "symlog")


def new_figure(width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """A figure of its own: pyplot, and with it a window system, is not needed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float = WIDTH, height: float = HEIGHT) -> Axes:
    """Axes of a figure of their own, which a notebook shows."""
    return add_axes(new_figure(width, height))


def add_axes(figure: Figure, *place: Any, **options: Any) -> Axes:
    """Axes that a notebook shows; takes what ``Figure.add_subplot`` takes."""
    from mlops_sdk.plots.notebook import NotebookAxes

    ax = figure.add_subplot(*(place or (1, 1, 1)), axes_class=NotebookAxes, **options)
    assert isinstance(ax, NotebookAxes)
    return ax


def plain(text: object, limit: int = _LABEL_CHARACTERS) -> str:
    r"""Text as matplotlib shows it unchanged: no mathematics between dollars, no hidden labels, the middle of long ones cut.

    Examples
    --------
    >>> print(plain("cost in $ and _"))
    cost in \$ and _
    >>> plain("a-very-long-name-" * 5 + "end", 20)
    'a-very-lon…-name-end'
    """
    shown = visible(str(text)[: 20 * limit] if len(str(text)) > 40 * limit else str(text))
    if len(shown) > limit:
        head = limit // 2
        shown = shown[:head] + ELLIPSIS + shown[len(shown) - (limit - head - 1) :]
    shown = "".join(_TEX.get(character, character) for character in shown) if _is_tex() else shown.replace("$", r"\$")
    return f"\u200b{shown}" if shown.startswith("_") else shown


def _is_tex() -> bool:
    """Whether the user has TeX set all text, which would read stored text as commands."""
    import matplotlib as mpl

    return bool(mpl.rcParams["text.usetex"])


def dress(ax: Axes, *, x: str = "", y: str = "") -> None:
    """Names of the axes, a faint grid, no frame above and to the right."""
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.grid(alpha=0.25, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def legend_outside(ax: Axes, *, n_more: int = 0, title: str = "") -> None:
    """A legend to the right of the axes; nothing where one line needs no name.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    n_more : int
        Lines drawn that have no label: counted in the last line of the legend.
    title : str
    """
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return
    if n_more:
        from matplotlib.lines import Line2D

        handles.append(Line2D([], [], linestyle="none"))
        labels.append(f"… and {n_more:,} more")
    ax.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False,
        fontsize="small", title=plain(title, 80) or None, title_fontsize="small", alignment="left", handlelength=2.2,
    )  # fmt: skip


def scale(name: str, which: str, values: Iterable[float]) -> str:
    """The scale that fits values.

    Parameters
    ----------
    name : {"auto", "linear", "log", "symlog"}
        "auto": logarithmic where all values are above 0 and the greatest is at least 30 times the least.
    which : str
        Name of the axis, for the error.
    values : iterable of float

    Raises
    ------
    InvalidValueError
        If the name is none of these, or no value is above 0 on a "log" axis.
    """
    if name not in _SCALES:
        raise InvalidValueError(f"{which} is {name!r}; use one of {', '.join(_SCALES)}")
    if name not in ("auto", "log"):
        return name
    finite = [value for value in values if math.isfinite(value)]
    above = [value for value in finite if value > 0]
    if name == "log":
        if finite and not above:
            raise InvalidValueError(
                f"{which}='log' shows only values above 0, and here is none; 'symlog' shows them all"
            )
        return name
    is_wide = bool(above) and len(above) == len(finite) and max(above) / _WIDE >= min(above)
    return "log" if is_wide else "linear"


def set_scales(ax: Axes, xscale: str, yscale: str) -> None:
    """Scales that `scale` has found fitting."""
    if xscale != "linear":
        ax.set_xscale(xscale)
    if yscale != "linear":
        ax.set_yscale(yscale)


def whole_steps(ax: Axes) -> None:
    """Steps are whole numbers; long ones are read in groups of three digits."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def dress_over(ax: Axes, x: str, unit: str, *, y: str, xscale: str, yscale: str) -> None:
    """Labels and scales of what is drawn over steps, time or another metric.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : str
        "step", "time", or a metric.
    unit : str
        Of time; empty for what is not over time.
    y : str
        Label.
    xscale, yscale : str
        As `set_scales` takes them.
    """
    dress(ax, x=f"time since the start [{unit}]" if unit else plain(x, 60), y=y)
    set_scales(ax, xscale, yscale)
    if x == "step" and xscale == "linear":
        whole_steps(ax)


def refuse_nothing(keys: Sequence[str], known: Iterable[str], what: str = "metric") -> InvalidValueError:
    """The error where none of the runs has what is to be drawn; names what they have."""
    import difflib

    names = sorted(set(known))
    close = [name for key in keys for name in difflib.get_close_matches(key, names, n=2, cutoff=0.5)]
    shown = list(dict.fromkeys([*close, *(name for name in names if not name.startswith("system/"))]))[:12]
    have = f"they have {', '.join(map(repr, shown))}" if shown else f"they have no {what}"
    asked = " or ".join(map(repr, keys))
    wanted = f"none of these runs has {what} {asked}" if keys else f"name at least one {what} to plot"
    return InvalidValueError(f"{wanted}: {have}" + (", ..." if len(names) > len(shown) > 0 else ""))


def refuse_invisible(keys: Sequence[str], values: Iterable[FloatArray]) -> None:
    """Refuse to draw an empty picture.

    Raises
    ------
    InvalidValueError
        If no value is finite.
    """
    import numpy as np

    if not any(np.isfinite(each).any() for each in values):
        asked = " and ".join(map(repr, keys))
        raise InvalidValueError(f"there is nothing to draw: every value of {asked} is NaN, infinite or beyond 1e300")
