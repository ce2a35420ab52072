"""A progress bar for large files, where a person can see it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

BAR_FROM_BYTES = 64 * 1024**2
"""Size from which a transfer is worth a bar."""

_REDRAW_S = 0.1
_MAX_LABEL = 60


class Progress(Protocol):
    """What a transfer reports to."""

    def update(self, n_bytes: int) -> None:
        """`n_bytes` more were transferred."""

    def close(self) -> None:
        """No more will come. May be called twice."""


@contextmanager
def transfer_progress(total_bytes: int, label: str) -> Iterator[Progress]:
    """Show a bar with speed and time left during a large transfer; nothing for small ones or without a viewer.

    Parameters
    ----------
    total_bytes : int
        Size of the whole transfer; below `BAR_FROM_BYTES` nothing is shown.
    label : str
        Any text, an artifact name say: shortened, control characters escaped, never read as markup.

    Yields
    ------
    Progress
        To be told of each piece; closed at the end, in an error too.

    Notes
    -----
    Drawn on stderr if that is a terminal, or in a notebook. No thread, no change of ``sys.stdout``: safe before a fork.
    A terminal that goes away ends the bar, not the transfer. rich is imported only to draw.
    """
    progress: Progress = _Bar(total_bytes, label) if total_bytes >= BAR_FROM_BYTES and _is_watched() else _Nothing()
    try:
        yield progress
    finally:
        progress.close()


class _Nothing:
    """Progress that nobody watches."""

    def update(self, n_bytes: int) -> None:
        pass

    def close(self) -> None:
        pass


class _Bar:
    """Progress drawn by rich, at most ten times a second."""

    def __init__(self, total_bytes: int, label: str) -> None:
        self._bar: RichProgress | None = _make_bar(_make_console())
        self._task = self._bar.add_task(_shown(label), total=total_bytes)
        self._drawn_s = time.monotonic()
        self._draw(self._bar.start)

    def update(self, n_bytes: int) -> None:
        if self._bar is None:
            return
        self._bar.advance(self._task, n_bytes)
        if time.monotonic() - self._drawn_s >= _REDRAW_S:
            self._drawn_s = time.monotonic()
            self._draw(self._bar.refresh)

    def close(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            self._draw(bar.stop)

    def _draw(self, step: Any) -> None:
        try:
            step()
        except (OSError, ValueError):  # the terminal hung up, or stderr was closed: the transfer matters, not its bar
            self._bar = None


def _make_bar(console: Console) -> RichProgress:
    from rich import progress as rich

    return rich.Progress(
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),
        rich.DownloadColumn(binary_units=True),
        rich.TransferSpeedColumn(),
        rich.TimeRemainingColumn(),
        console=console,
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _make_console() -> Console:
    from rich.console import Console

    if not _in_notebook():
        return Console(file=sys.stderr)
    # without ipywidgets rich shows a warning in place of a bar; a notebook understands a returning carriage too
    has_widgets = find_spec("ipywidgets") is not None
    return Console(file=sys.stderr, force_jupyter=has_widgets, force_terminal=not has_widgets)


def _is_watched() -> bool:
    try:
        return _in_notebook() or sys.stderr.isatty()
    except (AttributeError, ValueError):  # no stderr (pythonw), or a closed one
        return False


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code; imports nothing."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _shown(label: str) -> str:
    short = label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL // 2]}…{label[1 - _MAX_LABEL // 2 :]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in short)
