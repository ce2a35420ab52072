"""The run that a callback logs to, and the library that it is for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import MissingDependencyError, NoActiveRunError
from mlops_sdk.run import active

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run


def needed(module: str, *, package: str | None = None) -> Any:
    """A module of the framework that an integration is for.

    Raises
    ------
    MissingDependencyError
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = package or module.partition(".")[0]
        raise MissingDependencyError(name, purpose=f"the callback for {name}") from error


def run_or_active(run: Run | None) -> Run:
    """The run given, else the one that is active when training begins.

    Raises
    ------
    NoActiveRunError
        If there is none, or several: at the start of the training, not in the middle of it.
    """
    found = run if run is not None else active.find()
    if found is None:
        raise NoActiveRunError("no run is active: put the training into `with mlops_sdk.start_run():`, or pass run=")
    return found
