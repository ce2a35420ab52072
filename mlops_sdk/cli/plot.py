"""``mlops plot``: a metric of runs, as a file or in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.options import command, find_run, store_option
from mlops_sdk.cli.text import escape, fit
from mlops_sdk.errors import InvalidValueError, MetricNotFoundError

if TYPE_CHECKING:
    from mlops_sdk.plots.series import Points
    from mlops_sdk.query.view import RunView

_FORMATS = ("png", "svg", "pdf")
_COLOURS = ("blue", "yellow", "green", "magenta", "cyan", "red", "white")
_HEIGHT = 14
_WIDEST = 120


@command("plot", "mlops plot loss @1", "mlops plot val/acc @1 @2 @3 --smooth 0.9 -o acc.png")
@click.argument("metric")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="FILE", help="A .png, .svg or .pdf to write; without it, a curve in the terminal."
)
@click.option("--smooth", metavar="W", type=float, default=0.0, help="Weight of a moving average, from 0 to below 1.")
@click.option("--log", "is_log", is_flag=True, help="A logarithmic y axis.")
@click.option(
    "-x", "over", metavar="step|time|METRIC", help="What lies along x; without it what define_metric said, or the step."
)
@store_option
def plot(
    metric: str,
    runs: tuple[str, ...],
    output: str | None,
    smooth: float,
    over: str | None,
    *,
    is_log: bool,
    store: str | None,
) -> None:
    """Draw a metric of one or several runs, one line a run."""
    from mlops_sdk.plots.plotted import defined_x

    views = [find_run(store, run)[1] for run in runs]
    over = over or defined_x(views, [metric])
    if output is None:
        _draw_here(views, metric, over, smooth, is_log=is_log)
        return
    suffix = Path(output).suffix.lower().removeprefix(".")
    if suffix not in _FORMATS:
        raise InvalidValueError(
            f"{output}: the name of the file ends with {', '.join(f'.{each}' for each in _FORMATS)}"
        )
    from mlops_sdk.plots.curves import curves

    ax = curves(views, [metric], x=over, smooth=smooth, yscale="log" if is_log else "linear")
    figure = ax.get_figure(root=True)
    assert figure is not None, "axes belong to a figure"
    figure.savefig(output, format=suffix)
    terminal.write(escape(output))


def _draw_here(views: Sequence[RunView], metric: str, over: str, smooth: float, *, is_log: bool) -> None:
    """All curves in one picture where colours tell them apart; else one below the other, on one scale."""
    from mlops_sdk.cli.braille import Frame, draw, frame_of
    from mlops_sdk.plots.axes import refuse_nothing
    from mlops_sdk.plots.plotted import known_metrics, labels
    from mlops_sdk.plots.series import time_unit

    curves: list[Points] = []
    names: list[str] = []
    for name, view in zip(labels(views), views, strict=True):
        try:
            curves.append(_points(view, metric, over, smooth))
            names.append(name)
        except MetricNotFoundError as error:
            if error.key != metric:
                raise
    if not curves:
        raise refuse_nothing([metric], known_metrics(views))
    frame = frame_of(curves, is_log=is_log)
    if frame is None:
        raise InvalidValueError(
            f"there is nothing to draw: {metric!r} has no {'value above 0' if is_log else 'finite value'}"
        )
    width = min(terminal.width(), _WIDEST)
    unit = f" [{time_unit(frame.right)[1]}]" if over == "time" else ""
    if over == "time":
        factor = time_unit(frame.right)[0]
        curves = [type(curve)(curve.x / factor, curve.y) for curve in curves]
        frame = Frame(frame.left / factor, frame.right / factor, frame.bottom, frame.top, is_log)
    smoothing = f" (smoothed, {smooth:g})" if smooth else ""
    terminal.write(terminal.title(fit(f"{metric}{smoothing} over {over}{unit}", width)))
    if terminal.is_coloured() or len(curves) == 1:
        terminal.write(draw(curves, frame, width=width, height=_HEIGHT, paint=_paint))
        terminal.write(_paint(f"⣿ {fit(name, width - 2)}", index) for index, name in enumerate(names))
        return
    for name, curve in zip(names, curves, strict=True):
        terminal.write(["", fit(name, width), *draw([curve], frame, width=width, height=max(4, _HEIGHT // 2))])


def _points(view: RunView, metric: str, over: str, smooth: float) -> Points:
    from mlops_sdk.plots.series import Points, read, smoothed, thinned

    points = read(view, metric, over)
    return thinned(Points(points.x, smoothed(points.y, smooth)))


def _paint(text: str, index: int) -> str:
    return terminal.paint(text, fg=_COLOURS[index % len(_COLOURS)])
