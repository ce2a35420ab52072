"""Existing scikit-learn code, recorded: `fit`, `track` and `autolog` by one name.

>>> import mlops_sdk.sklearn
>>> with mlops_sdk.sklearn.track(figures=True):  # doctest: +SKIP
...     GridSearchCV(SVC(), {"C": [1, 10]}).fit(X_train, y_train)

Importing it raises `MissingDependencyError` where scikit-learn is not installed; scikit-learn itself loads at the first call.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from mlops_sdk.api import autolog
from mlops_sdk.errors import MissingDependencyError
from mlops_sdk.query.cv import CVResults
from mlops_sdk.run import active
from mlops_sdk.run.integrations import load
from mlops_sdk.run.run import Run
from mlops_sdk.run.start import start_run

__all__ = ["CVResults", "RunCallback", "autolog", "fit", "track"]  # noqa: F822 - RunCallback is found by `__getattr__`

if find_spec("sklearn") is None:
    raise MissingDependencyError("scikit-learn", extra="sklearn", purpose="mlops_sdk.sklearn")


@contextmanager
def track(run: Run | None = None, **options: Any) -> Iterator[Run]:
    """Record what scikit-learn does in a ``with`` block: `Run.sklearn` of a run, the active one, or one made for the block.

    Parameters
    ----------
    run : Run, optional
        Default: the active run; when there is none, one is started, and ends with the block.
    **options
        As of `mlops_sdk.autolog`; ``experiment``, ``tracking_uri`` and ``start`` are for the run that is started.

    Yields
    ------
    Run

    Raises
    ------
    InvalidValueError
        If an option is unknown.
    """
    with _run_of(run, options) as (used, rest), used.sklearn(**rest):
        yield used


def fit(
    estimator: Any, X: Any, y: Any = None, *, run: Run | None = None, validation: Any = None, **fit_params: Any
) -> Any:
    """Fit an estimator and record all of it: `Run.fit` of a run, the active one, or one made for it.

    Parameters
    ----------
    estimator : estimator
    X : array or frame of shape (n_samples, n_features)
    y : array of shape (n_samples,) or (n_samples, n_outputs), optional
    run : Run, optional
        Default: the active run; when there is none, one is started, and ends with the fit.
    validation : tuple (X, y) or mapping of str to such tuples, optional
    **fit_params
        Handed to `estimator.fit`.

    Returns
    -------
    estimator
        What `estimator.fit` returned.
    """
    with _run_of(run, {}) as (used, _):
        return used.fit(estimator, X, y, validation=validation, **fit_params)


@contextmanager
def _run_of(run: Run | None, options: dict[str, Any]) -> Iterator[tuple[Run, dict[str, Any]]]:
    """A run, and the options that are not for starting one."""
    used = run or active.current()
    if used is not None:
        yield used, options
        return
    rest = dict(options)
    place = {name: rest.pop(name) for name in ("experiment", "tracking_uri") if name in rest}
    with start_run(**place, **rest.pop("start", {})) as made:
        yield made, rest


def __getattr__(name: str) -> Any:
    """`RunCallback` loads when it is first used."""
    if name == "RunCallback":
        return load("sklearn callback")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
