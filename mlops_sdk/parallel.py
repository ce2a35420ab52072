"""Sweeps on any joblib backend: a child run for every point of a grid.

>>> from mlops_sdk import parallel
>>> for trial in parallel.map(train, {"C": [0.1, 1.0]}, n_jobs=2):  # doctest: +SKIP
...     print(trial.point, trial.value, trial.status)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mlops_sdk.errors import NoActiveRunError
from mlops_sdk.run import active
from mlops_sdk.run.integrations import load
from mlops_sdk.run.run import Run

__all__ = ["Trial", "map"]  # noqa: F822 - Trial is found by `__getattr__`


def map(  # noqa: A001 - what it does, under the name of the method of a run
    function: Callable[..., Any],
    grid: Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]],
    *,
    run: Run | None = None,
    n_jobs: int | None = None,
    **options: Any,
) -> Iterator[Any]:
    """Call a function for every point of a grid, each in a child run: `Run.map` of a run, or of the active one.

    Parameters
    ----------
    function : callable
    grid : mapping of str to iterable, or iterable of mappings
    run : Run, optional
        Default: the active run.
    n_jobs : int, optional
    **options
        As of `Run.map`: ``name``, ``backend``, ``retries``.

    Returns
    -------
    iterator of Trial

    Raises
    ------
    NoActiveRunError
        If there is no run.
    InvalidValueError
        If the grid is none, or names no params.
    """
    used = run or active.current()
    if used is None:
        raise NoActiveRunError("a sweep belongs to a run: start one (mlops_sdk.start_run), or name it with run=")
    return used.map(function, grid, n_jobs=n_jobs, **options)


def __getattr__(name: str) -> Any:
    """`Trial` loads when it is first used."""
    if name == "Trial":
        return load("trial")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
