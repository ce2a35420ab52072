"""Metrics out of the user's own calls: names of scores, of scorers and of metric functions, and whose predictions they judge."""

from __future__ import annotations

import inspect
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_sdk.integrations.sklearn.describing import final_of, is_a, plain

if TYPE_CHECKING:
    from mlops_sdk.integrations.sklearn.record import Record

_KEPT = 512
_NAMING = ("average", "beta", "multi_class")


class Origin(NamedTuple):
    """Where predictions come from."""

    record: Record
    context: str


class Predictions:
    """Predictions that were made, told again by identity; a column or a slice of them too."""

    def __init__(self) -> None:
        self._made: OrderedDict[int, tuple[Any, Origin]] = OrderedDict()

    def remember(self, predicted: Any, origin: Origin) -> None:
        """These predictions were made by that model on that data."""
        try:
            reference = weakref.ref(predicted)
        except TypeError:
            return
        self._made[id(predicted)] = (reference, origin)
        while len(self._made) > _KEPT:
            self._made.popitem(last=False)

    def find(self, data: Any) -> Origin | None:
        """Where data comes from; None when it was not predicted here."""
        if isinstance(data, list) and len(data) == 1:  # one query of a ranking metric
            (data,) = data
        while data is not None:
            made = self._made.get(id(data))
            if made is not None and made[0]() is data:
                return made[1]
            data = getattr(data, "base", None)
        return None


def score_name(estimator: Any) -> str:
    """What `estimator.score` computes, by its kind; ``score`` where only its own class knows."""
    scoring = getattr(estimator, "scoring", None)
    if scoring is not None:
        return scoring_name(scoring, getattr(estimator, "refit", None))
    from sklearn.base import ClassifierMixin, RegressorMixin

    kind = type(final_of(estimator))
    own = getattr(kind, "score", None)
    if not (kind.__module__.startswith("sklearn.") or own in (ClassifierMixin.score, RegressorMixin.score)):
        return "score"
    if is_a("classifier", estimator):
        return "accuracy"
    return "r2" if is_a("regressor", estimator) else "score"


def scoring_name(scoring: Any, refit: Any = None) -> str:
    """What the scores of a search or cross-validation are that was given this ``scoring``."""
    if isinstance(scoring, str):
        return scoring
    if isinstance(refit, str):  # one of several
        return refit
    return scorer_name(scoring) if callable(scoring) else "score"


def scorer_name(scorer: Any) -> str:
    """The name that a scorer is registered under, or its function's."""
    from sklearn.metrics import _scorer

    described = _described(scorer)
    for name, each in _scorer._SCORERS.items():
        if _described(each) == described:
            return str(name)
    function = getattr(scorer, "_score_func", None)
    if function is None:
        return "score"
    name = metric_name(getattr(function, "__name__", "score"), getattr(scorer, "_kwargs", {}))
    return f"neg_{name}" if getattr(scorer, "_sign", 1) < 0 else name


def _described(scorer: Any) -> tuple[Any, ...]:
    kwargs = getattr(scorer, "_kwargs", {})
    return getattr(scorer, "_score_func", None), getattr(scorer, "_sign", 1), sorted(kwargs.items()), type(scorer)


def metric_name(function: str, arguments: dict[str, Any]) -> str:
    """``accuracy`` for `accuracy_score`, ``f1_macro`` for `f1_score` with ``average="macro"``."""
    parts = [function.removesuffix("_score")]
    parts += [str(plain(arguments[name])) for name in _NAMING if arguments.get(name) is not None]
    return "_".join(parts)


def arguments_of(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a call by name, ``**`` ones among them; those that could not be told apart by position only."""
    try:
        signature = inspect.signature(function)
        bound = dict(signature.bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return dict(zip(("X", "y"), args, strict=False)) | kwargs
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            bound |= bound.pop(name, {})
    return bound
