"""The package's logger, found when something is said: `logging` takes a while to load."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


def log() -> logging.Logger:
    """The logger ``mlops_sdk``; without a configuration its warnings go to stderr."""
    import logging

    return logging.getLogger("mlops_sdk")
