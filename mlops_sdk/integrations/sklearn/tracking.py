"""The three ways in: `run.fit`, `with run.sklearn()`, `mlops_sdk.autolog`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError, MissingDependencyError
from mlops_sdk.integrations.sklearn import patches, watching
from mlops_sdk.integrations.sklearn.options import Options, options_of
from mlops_sdk.integrations.sklearn.scope import Scope

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

_everywhere: list[Scope] = []


def _need_sklearn() -> None:
    try:
        import sklearn  # noqa: F401 - whether it is there
    except ImportError as error:
        raise MissingDependencyError("scikit-learn", extra="sklearn", purpose="recording its fits") from error


@contextmanager
def tracking(run: Run, **options: Any) -> Iterator[Run]:
    """See `Run.sklearn`."""
    _need_sklearn()
    scope = Scope(run, options_of(options))
    patches.hold()
    try:
        with watching.watching(scope):
            yield run
    finally:
        patches.release()
        scope.close()


def fit(run: Run, estimator: Any, X: Any, y: Any, validation: Any, fit_params: dict[str, Any]) -> Any:
    """See `Run.fit`."""
    _need_sklearn()
    held_out = _validation(validation)
    scope = Scope(run, Options())
    args = (X,) if y is None else (X, y)
    patches.hold()  # for warnings, folds and progress: the fit itself is called here
    try:
        fitted = scope.fit(estimator.fit, estimator, "fit", args, fit_params, sys._getframe(2))
        scope.evaluate(estimator, held_out)
        return fitted
    finally:
        patches.release()
        scope.close()


def _validation(given: Any) -> dict[str, tuple[Any, Any]]:
    if given is None:
        return {}
    named = dict(given) if isinstance(given, Mapping) else {"val": given}
    for name, pair in named.items():
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise InvalidValueError(f"validation {name!r} is no tuple (X, y)", key=str(name))
    return named


def autolog(*, disable: bool = False, **options: Any) -> None:
    """See `mlops_sdk.autolog`."""
    _need_sklearn()
    chosen = options_of(options)
    while _everywhere:
        watching.watch_everywhere(None)
        patches.release()
        _everywhere.pop().close()
    if not disable:
        patches.hold()
        _everywhere.append(Scope(None, chosen))
        watching.watch_everywhere(_everywhere[-1])
