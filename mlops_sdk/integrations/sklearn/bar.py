"""A progress bar while a search runs: one line of the terminal, or the cell's output, with the time that is left."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, Protocol

from mlops_sdk.markup.values import duration
from mlops_sdk.run import active

_EVERY_S = 0.2
_CELLS = 30


class Bar(Protocol):
    """Where progress is shown."""

    def show(self, n_done: int, n_all: int | None, *, is_over: bool) -> None:
        """Replace what was shown."""
        ...


class Progress:
    """Counts tasks and shows them, at most five times a second.

    Parameters
    ----------
    bar : Bar
    n_all : int or None
        Tasks there will be; None: nobody knows.

    Notes
    -----
    No method raises: a display that fails is not tried again.
    """

    def __init__(self, bar: Bar, n_all: int | None) -> None:
        self._bar: Bar | None = bar
        self._n_all = n_all
        self._shown_s = 0.0
        self._n_done = 0

    def update(self, n_done: int) -> None:
        """So many are done."""
        self._n_done = n_done
        now_s = time.monotonic()
        if now_s - self._shown_s >= _EVERY_S:
            self._shown_s = now_s
            self._show(is_over=False)

    def close(self) -> None:
        """Show the last state."""
        if self._n_done:
            self._show(is_over=True)

    def _show(self, *, is_over: bool) -> None:
        try:
            if self._bar is not None:
                self._bar.show(self._n_done, self._n_all, is_over=is_over)
        except Exception:  # noqa: BLE001 - a closed stream, a kernel that went: no matter of the search
            self._bar = None


def make(title: str, wanted: bool | str) -> Bar | None:
    """A bar for where the program runs; None where nobody sees it.

    Parameters
    ----------
    title : str
    wanted : bool or "auto"
        True: on a stream that is no terminal too.
    """
    with contextlib.suppress(Exception):
        if wanted is not False and active.in_notebook():
            return Cell(title)
        if wanted is True or (wanted == "auto" and sys.stderr is not None and sys.stderr.isatty()):
            return Line(title)
    return None


class _Clock:
    """When it began, and how long it will take."""

    def __init__(self) -> None:
        self._begun_s = time.monotonic()

    def words(self, n_done: int, n_all: int | None, *, is_over: bool) -> str:
        """``12/500, 3 s, about 2 min left``."""
        passed_s = time.monotonic() - self._begun_s
        count = f"{n_done:,}" if n_all is None else f"{n_done:,}/{n_all:,}"
        if is_over or n_all is None or n_done >= n_all:
            return f"{count}, {duration(passed_s)}"
        return f"{count}, {duration(passed_s)}, about {duration(passed_s / n_done * (n_all - n_done))} left"


class Line:
    """The last line of the terminal, written over in place."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._clock = _Clock()
        self._width = 0

    def show(self, n_done: int, n_all: int | None, *, is_over: bool) -> None:
        """Replace the line; the last one stays."""
        share = "" if n_all is None else _bar(n_done / max(n_all, 1)) + " "
        text = f"{self._title} {share}{self._clock.words(n_done, n_all, is_over=is_over)}"
        sys.stderr.write("\r" + text.ljust(self._width) + ("\n" if is_over else ""))
        sys.stderr.flush()
        self._width = len(text)


def _bar(share: float) -> str:
    filled = min(round(share * _CELLS), _CELLS)
    return "█" * filled + "░" * (_CELLS - filled)


class Cell:
    """The output of the cell that called, replaced in place; HTML without scripts."""

    def __init__(self, title: str) -> None:
        from IPython import display

        self._ipython: Any = display  # it has no types
        self._title = title
        self._clock = _Clock()
        self._handle: Any = None

    def show(self, n_done: int, n_all: int | None, *, is_over: bool) -> None:
        """Replace the picture."""
        shown = self._ipython.HTML(self._html(n_done, n_all, is_over=is_over))
        if self._handle is None:
            self._handle = self._ipython.display(shown, display_id=True)
        else:
            self._handle.update(shown)

    def _html(self, n_done: int, n_all: int | None, *, is_over: bool) -> str:
        from html import escape

        known = "" if n_all is None else f' value="{n_done}" max="{max(n_all, 1)}"'
        bar = (
            ""
            if n_all is None and is_over
            else f'<progress style="width:16em;vertical-align:middle"{known}></progress> '
        )
        words = self._clock.words(n_done, n_all, is_over=is_over)
        return f"<div>{escape(self._title)} {bar}<small>{escape(words)}</small></div>"
