"""``mlops watch``: a run, followed while it goes on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.formats import to_json
from mlops_sdk.cli.options import command, find_run, json_option, store_option
from mlops_sdk.cli.sparkline import sparkline
from mlops_sdk.cli.table import Column, lay_out
from mlops_sdk.cli.text import duration, escape, fit, short
from mlops_sdk.errors import MetricNotFoundError

if TYPE_CHECKING:
    from mlops_sdk.entities import MetricSummary
    from mlops_sdk.query.view import RunView
    from mlops_sdk.stores.opening import Place

_MOST_METRICS = 12
_LEAST_S = 0.1
_SHARE = 20
"""Of the time at most one part in so many is spent on reading, however long the histories are."""


@dataclass(frozen=True, slots=True)
class State:
    """A run at one moment."""

    view: RunView
    status: str
    duration_s: float
    metrics: Sequence[MetricSummary]
    n_more: int


@command("watch", "mlops watch @1", "mlops watch 3f2a9c1e -m val/loss --interval 5")
@click.argument("run")
@click.option("-m", "--metric", "keys", metavar="METRIC", multiple=True, help="Only this metric; may be repeated.")
@click.option("--interval", "interval_s", metavar="S", type=click.FloatRange(min=_LEAST_S), default=1.0, show_default=True,
              help="Seconds between two looks.")  # fmt: skip
@json_option
@store_option
def watch(run: str, keys: tuple[str, ...], interval_s: float, *, as_json: bool, store: str | None) -> None:
    """Follow a run until it ends; Ctrl-C stops watching, not the run.

    On a terminal one picture is kept up to date; elsewhere a line is written whenever something is new.
    """
    place, view = find_run(store, run)
    with _display(as_json=as_json) as show:
        state = _follow(place, view, keys, interval_s, show)
    if state.status != "FINISHED":
        raise click.exceptions.Exit(1)


def _follow(
    place: Place, view: RunView, keys: Sequence[str], interval_s: float, show: Callable[[State], None]
) -> State:
    from mlops_sdk.query.search import catch_up

    while True:
        begun = time.monotonic()
        catch_up(place)
        view.refresh()
        state = _look(view, keys)
        show(state)
        if state.status != "RUNNING":
            return state
        time.sleep(max(interval_s, _SHARE * (time.monotonic() - begun)))


def _look(view: RunView, keys: Sequence[str]) -> State:
    known = view.metrics
    if keys and view.status != "RUNNING":
        for key in keys:  # a run that has ended will not log it any more
            view.summary(key)
    wanted = [key for key in keys if key in known] if keys else [key for key in known if not key.startswith("system/")]
    shown = [view.summary(key) for key in wanted[:_MOST_METRICS]]
    return State(view, view.status, view.duration_s or 0.0, shown, len(wanted) - len(shown))


@contextlib.contextmanager
def _display(*, as_json: bool) -> Iterator[Callable[[State], None]]:
    if as_json or not terminal.has_terminal():
        yield _Lines(as_json=as_json)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(markup=False, highlight=False, emoji=False, color_system=None, soft_wrap=True)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        console.show_cursor(True)  # a process that is killed would leave it hidden
        yield lambda state: live.update(Text("\n".join(_picture(state)), no_wrap=True), refresh=True)


class _Lines:
    """For a file or a pipe: a line whenever something is new."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._last: Any = None

    def __call__(self, state: State) -> None:
        news = (state.status, [(each.key, each.count) for each in state.metrics])
        if news == self._last:
            return
        self._last = news
        terminal.write(to_json(_record(state), indent=None) if self._as_json else _line(state))
        _flush()


def _flush() -> None:
    import sys

    sys.stdout.flush()


def _line(state: State) -> str:
    steps = [each.last_step for each in state.metrics]
    parts = [state.status, duration(state.duration_s)] + ([f"step {max(steps)}"] if steps else [])
    return "  ".join(parts + [f"{escape(each.key[:60])} {short(each.last)}" for each in state.metrics])


def _record(state: State) -> dict[str, Any]:
    metrics = {each.key: {"last": each.last, "step": each.last_step, "count": each.count} for each in state.metrics}
    return {
        "run_id": state.view.run_id,
        "status": state.status,
        "duration_s": state.duration_s,
        "metrics": metrics,
    }


def _picture(state: State) -> list[str]:
    width = terminal.width()
    heading = f"{fit(state.view.name, max(20, width - 40))}  {state.status}  {duration(state.duration_s)}"
    metrics = state.metrics
    columns = [
        Column("metric", [each.key for each in metrics], max_width=30),
        Column("last", [short(each.last) for each in metrics], is_right=True),
        Column("step", [f"{each.last_step:,}" for each in metrics], is_right=True),
        Column("min", [short(each.min) for each in metrics], is_right=True, is_optional=True),
        Column("max", [short(each.max) for each in metrics], is_right=True, is_optional=True),
        Column("", [_curve(state.view, each) for each in metrics], is_optional=True),
    ]
    lines = lay_out(columns, width).lines if metrics else ["no metric yet"]
    return [heading, *lines] + ([f"... and {state.n_more} more: -m METRIC picks some"] if state.n_more > 0 else [])


def _curve(view: RunView, summary: MetricSummary) -> str:
    try:
        return sparkline(view.metric(summary.key).value)
    except MetricNotFoundError:  # every point is hidden by a rewind
        return ""
