"""``run.live()``: one cell of a notebook, or one line of a terminal, that is kept up to date while a run goes on.

A thread of its own looks at what the store has already, which is a second old at most: nothing is flushed, the training
is not asked for anything, and no error of the display reaches it.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mlops_sdk.entities import MetricSummary
from mlops_sdk.errors import MetricNotFoundError, RunNotFoundError
from mlops_sdk.markup.cards import card, faint, table
from mlops_sdk.markup.charts import sparkline as drawn
from mlops_sdk.markup.elements import Html
from mlops_sdk.markup.values import duration, shown
from mlops_sdk.markup.visible import clipped
from mlops_sdk.query.search import head_of
from mlops_sdk.query.view import RunView
from mlops_sdk.run import active

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

INTERVAL_S = 0.5
_SHARE = 20
"""At most one part in so many of the time is spent on the display, however long the histories are."""
_LAST_S = 1.0
"""How long the end of a run waits for the last picture."""
_MOST_METRICS = 8
_BARS = "▁▂▃▄▅▆▇█"
_LINE_CELLS = 12


class Display(Protocol):
    """Where a live view is shown."""

    def show(self, view: RunView, metrics: Sequence[MetricSummary], status: str) -> None:
        """Replace what was shown."""
        ...

    def close(self) -> None:
        """Leave what is shown last."""
        ...


def start(run: Run, keys: Sequence[str]) -> Live | None:
    """Begin to show a run; None where neither a notebook nor a terminal is there to show it.

    Parameters
    ----------
    run : Run
    keys : sequence of str
        Metrics; none: the first eight that the run logs.
    """
    display: Display | None = None
    if active.in_notebook():
        display = NotebookCell(run.name_hint)
    elif sys.stderr is not None and sys.stderr.isatty():
        display = TerminalLine()
    return None if display is None else Live(run, keys, display)


class Live:
    """A thread that shows a run until it ends.

    Parameters
    ----------
    run : Run
    keys : sequence of str
    display : Display
    interval_s : float
        Between two looks; longer where a look takes more than a twentieth of it.

    Notes
    -----
    No method raises. In a forked child it counts as ended: the thread stayed in the parent.
    """

    def __init__(self, run: Run, keys: Sequence[str], display: Display, interval_s: float = INTERVAL_S) -> None:
        self._run = run
        self._keys = tuple(keys)
        self._display = display
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._status: str | None = "RUNNING"
        self._last: object = None
        self.last_error: Exception | None = None
        self._thread = threading.Thread(target=self._follow, name="mlops-live", daemon=True)
        with contextlib.suppress(RuntimeError):  # the interpreter is ending
            self._thread.start()

    def end(self, status: str | None = None) -> None:
        """Show the last state and stop, within a second.

        Parameters
        ----------
        status : str, optional
            How the run has ended; None: the picture stays as it is.
        """
        self._status = status
        self._ended.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_LAST_S)

    def _follow(self) -> None:
        cost_s = 0.0
        while not self._ended.wait(max(self._interval_s, _SHARE * cost_s)):
            begun = time.monotonic()
            self._look()
            cost_s = time.monotonic() - begun
        if self._status is not None:
            with contextlib.suppress(Exception):
                self._run._recorder.deliver(_LAST_S / 2)
            self._look()
        with contextlib.suppress(Exception):
            self._display.close()

    def _look(self) -> None:
        """Show what is new; a display or store that fails is tried again next time."""
        try:
            view, metrics = self._read()
            status = self._status or "RUNNING"
            news = (status, [(each.key, each.count, each.last) for each in metrics])
            if str(news) != self._last:  # as text, in which NaN is equal to NaN
                self._display.show(view, metrics, status)
                self._last = str(news)
        except RunNotFoundError:
            return  # nothing of the run is in the store yet
        except Exception as error:  # noqa: BLE001 - never into the training
            self.last_error = error

    def _read(self) -> tuple[RunView, list[MetricSummary]]:
        """The run as the store has it now; nothing is delivered for it."""
        store = self._run._store
        view = RunView(store, head_of(store, self._run.run_id))
        known = [key for key in view.metrics if not key.startswith("system/")]
        wanted = [key for key in self._keys if key in view.metrics] if self._keys else known[:_MOST_METRICS]
        return view, [view.summary(key) for key in wanted]


class NotebookCell:
    """The output of the cell that called, replaced in place.

    Parameters
    ----------
    name : str
        Of the run, shown until something of it is in the store.
    """

    def __init__(self, name: str) -> None:
        from IPython import display

        self._ipython: Any = display  # it has no types
        waiting = card(name, faint("nothing has arrived in the store yet"), status="RUNNING")
        self._handle = self._ipython.display(self._ipython.HTML(waiting), display_id=True)

    def show(self, view: RunView, metrics: Sequence[MetricSummary], status: str) -> None:
        """Replace the cell's picture."""
        self._handle.update(self._ipython.HTML(live_card(view, metrics, status)))

    def close(self) -> None:
        """Nothing is to be done."""


def live_card(view: RunView, metrics: Sequence[MetricSummary], status: str) -> Html:
    """The state of a run as static HTML: what a saved notebook shows is the last one."""
    rows = [
        (each.key, drawn(_values(view, each.key), title=each.key), shown(each.last), f"{each.last_step:,}",
         shown(each.min), shown(each.max))
        for each in metrics
    ]  # fmt: skip
    body = (
        table(("metric", "", "last", "step", "min", "max"), rows, numbers=(2, 3, 4, 5))
        if rows
        else faint("no metric yet")
    )
    return card(view.name, body, subtitle=duration(view.duration_s), status=status)


def _values(view: RunView, key: str) -> Any:
    try:
        return view.metric(key).value
    except MetricNotFoundError:  # every point is hidden by a rewind
        return []


class TerminalLine:
    """The last line of a terminal; what the program prints goes above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
        self._live = RichLive(console=console, auto_refresh=False, redirect_stdout=sys.stdout.isatty())
        self._live.start()
        console.show_cursor(True)  # a process that is killed would leave it hidden

    def show(self, view: RunView, metrics: Sequence[MetricSummary], status: str) -> None:
        """Replace the line."""
        from rich.text import Text

        line = live_line(view, metrics, status)
        self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)

    def close(self) -> None:
        """Leave the line, and give the streams back."""
        self._live.stop()


def live_line(view: RunView, metrics: Sequence[MetricSummary], status: str) -> str:
    """The state of a run in one line, of visible characters only."""
    steps = [each.last_step for each in metrics]
    parts = [clipped(view.name, 30), *([] if status == "RUNNING" else [status]), duration(view.duration_s)]
    parts += [f"step {max(steps):,}"] if steps else []
    return "  ".join(parts + [f"{clipped(each.key, 30)} {_bars(view, each)} {shown(each.last)}" for each in metrics])


def _bars(view: RunView, summary: MetricSummary) -> str:
    import numpy as np

    values = np.asarray(_values(view, summary.key), np.float64)
    finite = values[np.isfinite(values)]
    if len(finite) < 2:
        return ""
    means = [float((part / 2).mean()) for part in np.array_split(finite, min(_LINE_CELLS, len(finite)))]
    low, span = min(means), max(means) - min(means)
    return "".join(_BARS[round((mean - low) / span * 7) if span > 0 else 0] for mean in means)
