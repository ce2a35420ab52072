"""Pictures of what changed; loaded with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from mlops_sdk.markup.pictures import as_png

if TYPE_CHECKING:
    from mlops_sdk.fingerprint.diff import Diff
    from mlops_sdk.fingerprint.profile import Profile

_MOST = 12
_BEFORE, _AFTER = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermilion: told apart by everybody


class NotebookFigure(Figure):
    """A figure that a notebook shows where it is the last value of a cell."""

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        return as_png(self)


def draw_diff(diff: Diff, ax: Any = None) -> Any:
    """One small picture a changed column (or every column, where none changed): the distribution before and after.

    Parameters
    ----------
    diff : Diff
    ax : matplotlib Axes, optional
        For the first of the columns only.

    Returns
    -------
    matplotlib Figure
    """
    before = {} if diff.before is None else diff.before.profile
    after = {} if diff.after is None else diff.after.profile
    shared = [name for name in before if name in after]
    names = [name for name in diff.columns_changed if name in shared] or shared
    names = names[: 1 if ax is not None else _MOST]
    if ax is None:
        n_across = min(3, max(1, len(names)))
        n_down = max(1, -(-len(names) // n_across))
        figure = NotebookFigure(figsize=(3.6 * n_across, 2.4 * n_down), layout="constrained")
        axes = list(np.atleast_1d(figure.subplots(n_down, n_across, squeeze=False)).ravel())
    else:
        figure, axes = ax.figure, [ax]
    for axis in axes[len(names) or 1 :]:
        axis.set_axis_off()
    for axis, name in zip(axes, names, strict=False):
        _draw(axis, name, before[name], after[name])
    if names and ax is None:  # outside: within, it would lie on some of the bars
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8, frameon=False
        )
    elif names:
        axes[0].legend(fontsize=7, frameon=False)
    else:
        axes[0].text(0.5, 0.5, "no profiles to draw", ha="center", va="center")
        axes[0].set_axis_off()
    return figure


def _draw(axis: Any, name: str, before: Profile, after: Profile) -> None:
    axis.set_title(name.replace("$", r"\$"), fontsize=9)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    steps = np.linspace(0, 1, 257)
    if before.quantiles is not None and after.quantiles is not None:
        for seen, style, label, colour in ((before, "-", "before", _BEFORE), (after, "--", "after", _AFTER)):
            values = np.where(np.isfinite(seen.quantiles), seen.quantiles, np.nan)  # type: ignore[arg-type]  # is not None
            axis.plot(values, steps, style, label=label, linewidth=1.4, color=colour)
        axis.set_ylabel("share below", fontsize=7)
    else:
        _draw_top(axis, before, after)


def _draw_top(axis: Any, before: Profile, after: Profile) -> None:
    counts = [{str(value): count for value, count in seen.top} for seen in (before, after)]
    values = list(dict.fromkeys([*counts[0], *counts[1]]))[:8]
    places = np.arange(len(values))
    kinds = ((-0.2, counts[0], before, "before", _BEFORE), (0.2, counts[1], after, "after", _AFTER))
    for shift, count, seen, label, colour in kinds:
        shares = [count.get(value, 0) / max(1, seen.n) for value in values]
        axis.barh(places + shift, shares, 0.4, label=label, color=colour)
    axis.set_yticks(places, [value[:16].replace("$", r"\$") for value in values])
    axis.invert_yaxis()
    axis.set_xlabel("share of rows", fontsize=7)
