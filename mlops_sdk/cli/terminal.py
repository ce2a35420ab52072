"""What the output goes to: a terminal with colours and a width, or a file that somebody reads later."""

from __future__ import annotations

import codecs
import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Iterable
from typing import Any

import click

from mlops_sdk.cli.text import ascii_ornaments, escape

_WIDTH_OF_A_FILE = 200
_COLOURS = {"RUNNING": "cyan", "FINISHED": "green", "FAILED": "red", "KILLED": "magenta", "LOST": "yellow"}
_ERROR_HANDLER = "mlops_sdk.cli"


def prepare() -> None:
    """Make the streams take every character, and the library's log readable: once, before anything is written."""
    codecs.register_error(_ERROR_HANDLER, ascii_ornaments)
    for stream in (sys.stdout, sys.stderr):
        # a code page lacks most characters; losing one must not end the command
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors=_ERROR_HANDLER)  # type: ignore[union-attr]
    log = logging.getLogger("mlops_sdk")
    if not log.handlers:
        log.addHandler(_EscapingHandler(logging.WARNING))
        log.propagate = False


class _EscapingHandler(logging.Handler):
    """Shows log records on stderr, with the stored text in them escaped."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def width() -> int:
    """Cells in a line: the terminal's; COLUMNS, or else 200, where nobody sees it now."""
    if os.environ.get("COLUMNS", "").isdigit() or has_terminal():
        return shutil.get_terminal_size((80, 24)).columns
    return _WIDTH_OF_A_FILE


def has_terminal() -> bool:
    """Whether standard output is a terminal."""
    with contextlib.suppress(AttributeError, ValueError):
        return sys.stdout.isatty()
    return False


def is_coloured() -> bool:
    """Whether to write colours: on a terminal, unless NO_COLOR or a dumb terminal says otherwise.

    References
    ----------
    .. [1] https://no-color.org
    """
    return has_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, **style: Any) -> str:
    """Text in colours, where there are any; see `click.style`."""
    return click.style(text, **style) if is_coloured() else text


def paint_status(status: str, text: str) -> str:
    """Text about a run of that status."""
    return paint(text, fg=_COLOURS.get(status))


def title(text: str) -> str:
    """A heading."""
    return paint(text, bold=True)


def write(lines: str | Iterable[str]) -> None:
    """Lines to standard output."""
    for line in [lines] if isinstance(lines, str) else lines:
        click.echo(line)


def say(text: str) -> None:
    """One line to standard error, whatever stored text it quotes."""
    click.echo(escape(text), err=True)


def silence() -> None:
    """Nobody reads standard output any more: let what is still buffered go nowhere."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
