"""The results as a picture: a panel per figure, a logarithmic axis, ours in colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.columns import BYTES, FIRST, ONE, PACED, READ, TABLE, TEN, TIGHT, Column, short
from benchmarks.peers.results import Results

OURS, THEIRS, FLOOR = "#0072b2", "#7f7f7f", "#bbbbbb"
_PANELS: tuple[tuple[Column, str], ...] = (
    (ONE, "one metric (p50)"),
    (TEN, "ten metrics in one call (p50)"),
    (FIRST, "import and start"),
    (BYTES, "bytes a point on disk"),
    (READ, "read a long metric"),
    (TABLE, "table of all runs"),
)


def draw(results: Results, path: Path) -> None:
    """Write the chart as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(results.systems)
    figure = Figure(figsize=(13, 4.1 + 0.42 * len(names)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 4).ravel().tolist()
    for panel, (column, title) in zip(axes, _PANELS, strict=False):
        _dots(panel, results, column, title)
    for panel, (column, title) in zip(
        axes[len(_PANELS) :],
        ((TIGHT, "lost to SIGKILL, tight loop"), (PACED, "lost to SIGKILL, 100 a second")),
        strict=True,
    ):
        _bars(panel, results, column, title)
    for at, panel in enumerate(axes):
        if at % 4:
            panel.set_yticklabels([])
    figure.suptitle(
        f"{results.about['machine']}. Medians, with least and greatest; less is better everywhere.",
        fontsize=9,
        color="#444444",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _colour(results: Results, name: str) -> str:
    return OURS if results.systems[name]["is_ours"] else FLOOR if name == "lines" else THEIRS


def _prepare(panel: Any, results: Results, title: str) -> list[str]:
    names = list(results.systems)[::-1]  # the first one on top
    panel.set_title(title, fontsize=9.5, loc="left")
    panel.set_yticks(range(len(names)), [results.systems[name]["label"] for name in names], fontsize=9)
    panel.set_ylim(-0.6, len(names) - 0.4)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.tick_params(axis="y", length=0)
    panel.tick_params(axis="x", labelsize=8)
    panel.grid(axis="x", color="#e6e6e6", linewidth=0.7)
    panel.set_axisbelow(True)
    return names


def _dots(panel: Any, results: Results, column: Column, title: str) -> None:
    names = _prepare(panel, results, f"{title}, {column.unit}" if column.unit not in title else title)
    panel.set_xscale("log")
    shown = {name: value for name in names if (value := column.number(results, name))}
    if shown:
        seen = [value for name in shown for value in (*results.values(name, column.metric), shown[name])]
        panel.set_xlim(min(seen) / 2, max(seen) * 12)  # room for the last figure
    for at, name in enumerate(names):
        colour = _colour(results, name)
        if name in shown:
            panel.plot([panel.get_xlim()[0], shown[name]], [at, at], color=colour, linewidth=1, alpha=0.45)
            values = results.values(name, column.metric)
            if len(values) > 1:
                panel.plot([min(values), max(values)], [at, at], color=colour, linewidth=3.5, solid_capstyle="round")
            panel.plot(shown[name], at, "o", color=colour, markersize=6)
            weight = "bold" if results.systems[name]["is_ours"] else "normal"
            panel.annotate(short(shown[name]), (max([shown[name], *values]), at), xytext=(7, 0), textcoords="offset points",
                           va="center", fontsize=8, color="#222222", weight=weight)  # fmt: skip
        else:
            panel.annotate(column.cell(results, name), (0.02, at), xycoords=("axes fraction", "data"), va="center",
                           fontsize=7.5, color="#999999", style="italic")  # fmt: skip


def _bars(panel: Any, results: Results, column: Column, title: str) -> None:
    names = _prepare(panel, results, f"{title}, %")
    panel.set_xlim(0, 125)
    panel.set_xticks([0, 50, 100])
    for at, name in enumerate(names):
        share = column.number(results, name)
        if share is None:
            panel.annotate(
                column.cell(results, name), (2, at), va="center", fontsize=7.5, color="#999999", style="italic"
            )
            continue
        panel.barh(at, 100 * share, color=_colour(results, name), height=0.6)
        text = "0" if share == 0 else "<1" if share < 0.01 else f"{100 * share:.0f}"
        panel.annotate(text, (100 * share, at), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
