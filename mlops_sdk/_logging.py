"""The package's logger, found when something is said: `logging` takes a while to load."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

_LONGEST = 1000


def log() -> logging.Logger:
    """The logger ``mlops_sdk``; without a configuration its warnings go to stderr."""
    import logging

    return logging.getLogger("mlops_sdk")


def warn(message: str, *arguments: object) -> None:
    """Log a warning, each argument on one line and without control characters.

    Notes
    -----
    Never raises: a handler of the program's own may, and training must not end by that.
    """
    with contextlib.suppress(Exception):
        log().warning(message, *(escape(str(argument)) for argument in arguments))


def escape(text: str) -> str:
    """Text for a log line: control characters made visible, at most 1,000 characters."""
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode("ascii") for ch in shown)
