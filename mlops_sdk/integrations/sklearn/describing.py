"""An estimator as params and as a tree, read before the fit, without touching it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from mlops_sdk.values.describing import text_of

_MAX_DEPTH = 20
_MAX_TEXT = 2000


def is_estimator(value: object) -> bool:
    """Whether `value` is an instance with scikit-learn's `get_params`."""
    return hasattr(type(value), "get_params") and not isinstance(value, type)


def params_of(estimator: Any) -> dict[str, Any]:
    """Params of one level; empty where the object's own code fails or keeps to no convention."""
    try:
        params = estimator.get_params(deep=False) if is_estimator(estimator) else {}
    except Exception:  # noqa: BLE001 - an estimator that breaks the conventions is recorded as far as it goes
        return {}
    return dict(params) if isinstance(params, dict) else {}


def changed_params(estimator: Any) -> dict[str, Any]:
    """Params that differ from their defaults, of the estimator and its parts, under scikit-learn's names (``clf__C``).

    Notes
    -----
    A part is its class name; an array is its shape. Of a search, params of the estimator that it clones are included.
    """
    return dict(_changed(estimator, "", 0))


def _changed(estimator: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    defaults = _defaults(type(estimator))
    for name, value in params_of(estimator).items():
        parts = list(_parts(value))
        if is_estimator(value):
            yield f"{prefix}{name}", type(value).__name__
        elif not parts and not _is_same(value, defaults.get(name, inspect.Parameter.empty)):
            yield f"{prefix}{name}", plain(value)
        if depth < _MAX_DEPTH:
            for part_name, part in parts:
                inner = f"{prefix}{part_name or name}"
                if part_name:
                    yield inner, type(part).__name__ if is_estimator(part) else plain(part)
                if is_estimator(part):
                    yield from _changed(part, f"{inner}__", depth + 1)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Estimators in a param: itself (without a name), or those of a list of (name, estimator, ...)."""
    if is_estimator(value):
        yield "", value
    elif isinstance(value, list) and value and all(_is_named_part(item) for item in value):
        yield from ((item[0], item[1]) for item in value)


def _is_named_part(item: Any) -> bool:
    named = isinstance(item, tuple) and len(item) >= 2 and isinstance(item[0], str)
    return named and (is_estimator(item[1]) or item[1] is None or isinstance(item[1], str))


def _defaults(kind: type) -> dict[str, Any]:
    try:
        parameters = inspect.signature(kind.__init__).parameters  # type: ignore[misc]  # read, never called
    except (TypeError, ValueError):
        return {}
    return {name: parameter.default for name, parameter in parameters.items()}


def _is_same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    if type(value) is not type(default) or hasattr(value, "__array__"):
        return False
    try:
        return bool(value == default) or (value != value and default != default)
    except Exception:  # noqa: BLE001 - whatever comparing two of the user's objects raises: they are not the same
        return False


def plain(value: Any) -> Any:
    """A param that can be stored: plain data as it is, everything else in words that do not change from run to run."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} of shape {shape}"
    if isinstance(value, (list, tuple)) and len(value) <= 1000:
        return [plain(item) for item in value]
    if isinstance(value, dict) and len(value) <= 1000:
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    if is_estimator(value):
        return type(value).__name__
    text = text_of(value)
    return f"{type(value).__name__}(...)" if " at 0x" in text else text[:_MAX_TEXT]


def tree_of(estimator: Any, depth: int = 0) -> dict[str, Any]:
    """The estimator as JSON: class, every param, parts as trees of their own."""
    kind = type(estimator)
    params: dict[str, Any] = {}
    for name, value in params_of(estimator).items():
        parts = dict(_parts(value)) if depth < _MAX_DEPTH else {}
        if not parts:
            params[name] = plain(value)
        elif "" in parts:
            params[name] = tree_of(value, depth + 1)
        else:
            params[name] = [
                {"name": part_name, **(tree_of(part, depth + 1) if is_estimator(part) else {"value": plain(part)})}
                for part_name, part in parts.items()
            ]
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "params": params}


def title_of(estimator: Any) -> str:
    """The estimator in a line: ``Pipeline(StandardScaler, LogisticRegression)``."""
    inner = [
        title_of(part) if is_estimator(part) else str(part)
        for value in params_of(estimator).values()
        for _, part in _parts(value)
        if part is not None
    ]
    return type(estimator).__name__ + (f"({', '.join(inner)})" if inner else "")


def html_of(estimator: Any) -> str | None:
    """scikit-learn's own drawing of it; None where it cannot draw."""
    try:
        from sklearn.utils import estimator_html_repr

        return str(estimator_html_repr(estimator))
    except Exception:  # noqa: BLE001 - a drawing is no reason to fail, and the JSON has all of it
        return None


def final_of(estimator: Any) -> Any:
    """The estimator that decides: of a search its best one, of a pipeline its last step; else itself."""
    for _ in range(_MAX_DEPTH):
        best = vars(estimator).get("best_estimator_") if hasattr(estimator, "__dict__") else None
        steps = getattr(estimator, "steps", None)
        if best is not None:
            estimator = best
        elif isinstance(steps, list) and steps and isinstance(steps[-1], tuple) and is_estimator(steps[-1][1]):
            estimator = steps[-1][1]
        else:
            break
    return estimator


def attribute(estimator: Any, name: str) -> Any:
    """An attribute, None where its code fails: optuna's `cv_results_` does when a trial was pruned."""
    try:
        return getattr(estimator, name, None)
    except Exception:  # noqa: BLE001 - whatever a property raises
        return None


def is_a(kind: str, estimator: Any) -> bool:
    """Whether it is a ``classifier``, ``regressor`` or ``outlier_detector``; what has no tags is none of these."""
    from sklearn import base

    try:
        if getattr(estimator, "_estimator_type", None) == kind:  # searches of other libraries say it in this way
            return True
        return bool(getattr(base, f"is_{kind}")(estimator))
    except Exception:  # noqa: BLE001 - what only looks like an estimator has no tags
        return False


def is_preparation(estimator: Any) -> bool:
    """Whether it only transforms: it predicts nothing and has no labels of its own."""
    names = ("predict", "fit_predict", "score", "cv_results_")
    return hasattr(type(estimator), "transform") and not any(hasattr(type(estimator), name) for name in names)
