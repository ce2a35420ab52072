"""The patch of scikit-learn: reversible, invisible to classes, and out of the way inside a recorded call.

A method of a class is replaced by a descriptor. Looked up on the class it gives what stood there, so that introspection,
metadata routing and `super()` see nothing; looked up on an instance while a scope watches this context, it gives a
callable that records. A function is replaced inside its own wrapper (scikit-learn validates the params of its functions
in one), so that a name imported before counts too.
"""

from __future__ import annotations

import copy
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from mlops_sdk.integrations.sklearn.watching import inside, is_library, watched

FITS = ("fit", "fit_transform", "fit_predict")
PREDICTIONS = ("predict", "predict_proba", "predict_log_proba", "decision_function")
METHODS = (*FITS, *PREDICTIONS, "score")
CV_FUNCTIONS = (
    "cross_validate", "cross_val_score", "cross_val_predict", "learning_curve", "validation_curve",
    "permutation_test_score",
)  # fmt: skip
SPLIT_FUNCTIONS = ("train_test_split",)
_TRUTHS = ("y_true", "labels_true")

_lock = threading.RLock()
_holders = 0
_undo: list[Callable[[], None]] = []


class PatchedMethod:
    """Stands in a class in the place of a method."""

    def __init__(self, original: Any, name: str) -> None:
        self.original = original
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        getter = getattr(type(self.original), "__get__", None)
        bound = self.original if getter is None else getter(self.original, instance, owner)
        if instance is None or watched() is None:
            return bound
        return RecordedMethod(bound, instance, self.name)

    def __getattr__(self, name: str) -> Any:
        if name in ("original", "name"):  # not yet set: a copy in the making
            raise AttributeError(name)
        return getattr(self.original, name)

    def __reduce__(self) -> Any:
        return copy.copy, (self.original,)  # a class that is pickled by value takes the original along


class RecordedMethod:
    """A bound method whose call is recorded; pickled, it is the plain method."""

    __slots__ = ("__self__", "__wrapped__", "_name")

    def __init__(self, bound: Any, instance: Any, name: str) -> None:
        self.__wrapped__ = bound
        self.__self__ = instance
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        scope = watched()
        frame = sys._getframe(1)
        if scope is None:
            return self.__wrapped__(*args, **kwargs)
        if is_library(frame, scope.options.include):
            with inside():
                return self.__wrapped__(*args, **kwargs)
        return scope.method_called(self.__wrapped__, self.__self__, self._name, args, kwargs, frame)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __eq__(self, other: object) -> bool:
        return bool(self.__wrapped__ == (other.__wrapped__ if isinstance(other, RecordedMethod) else other))

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __reduce__(self) -> Any:
        return getattr, (self.__self__, self._name)


# -- on and off ----------------------------------------------------------------------------------------------------------


def hold() -> None:
    """Patch, if nobody else has; `release` as often as this."""
    global _holders
    with _lock:
        _holders += 1
        if _holders == 1:
            _install()


def release() -> None:
    """Undo the patch when the last who held it lets go."""
    global _holders
    with _lock:
        _holders -= 1
        while _holders == 0 and _undo:
            _undo.pop()()


def _install() -> None:
    from sklearn.base import BaseEstimator

    for kind in _subclasses(BaseEstimator):
        _patch_class(kind, METHODS)
    _watch_new_classes(BaseEstimator)
    for kind in _scorers():
        _patch_class(kind, ("__call__",))
    _patch_functions()
    from mlops_sdk.integrations.sklearn import progress, splits, warned

    for part in (splits, warned, progress):
        _undo.extend(part.install())


def _subclasses(root: type) -> Iterator[type]:
    """Every class below `root`, and what else they inherit from: mixins define methods too."""
    seen: set[type] = set()
    waiting = [root]
    while waiting:
        kind = waiting.pop()
        below: list[type] = type.__subclasses__(kind)
        waiting += [sub for sub in below if sub not in seen]
        for base in kind.__mro__:
            if base not in seen and base is not object:
                seen.add(base)
                yield base


def _patch_class(kind: type, names: tuple[str, ...]) -> None:
    for name in names:
        original = vars(kind).get(name)
        if original is None or isinstance(original, (PatchedMethod, property, staticmethod, classmethod)):
            continue
        if getattr(original, "__isabstractmethod__", False):
            continue
        patched = PatchedMethod(original, name)
        try:
            setattr(kind, name, patched)
        except (AttributeError, TypeError):  # a class that cannot be changed: of C, say
            continue
        _undo.append(functools.partial(_restore, kind, name, patched))


def _restore(kind: type, name: str, patched: PatchedMethod) -> None:
    if vars(kind).get(name) is patched:  # somebody else may have patched over it: then it passes calls through
        setattr(kind, name, patched.original)


def _watch_new_classes(root: Any) -> None:
    """Patch classes made while this is on: modules that are imported in the block, estimators defined there."""
    standing = vars(root).get("__init_subclass__")

    def init_subclass(cls: type, /, **options: Any) -> None:
        if standing is not None:
            standing.__get__(None, cls)(**options)
        else:
            super(root, cls).__init_subclass__(**options)
        with _lock:
            if _holders:
                _patch_class(cls, METHODS)

    def undo() -> None:
        if standing is None:
            del root.__init_subclass__
        else:
            root.__init_subclass__ = standing

    root.__init_subclass__ = classmethod(init_subclass)
    _undo.append(undo)


def _scorers() -> list[type]:
    from sklearn.metrics import _scorer

    names = ("_BaseScorer", "_PassthroughScorer", "_MultimetricScorer")
    return [kind for name in names if (kind := getattr(_scorer, name, None)) is not None]


# -- functions -----------------------------------------------------------------------------------------------------------


def _patch_functions() -> None:
    import sklearn.metrics
    import sklearn.model_selection

    for name in CV_FUNCTIONS:
        _patch_function(sklearn.model_selection, name, "cv_called")
    for name in SPLIT_FUNCTIONS:
        _patch_function(sklearn.model_selection, name, "split_called")
    for name in sklearn.metrics.__all__:
        function = getattr(sklearn.metrics, name, None)
        if _is_metric(function):
            _patch_function(sklearn.metrics, name, "metric_called")


def _is_metric(function: Any) -> bool:
    from inspect import isfunction, signature

    if not isfunction(function):
        return False
    names = [*signature(function).parameters][:2]
    return len(names) == 2 and (names[0] in _TRUTHS or names == ["X", "labels"])


def _patch_function(module: Any, name: str, handler: str) -> None:
    function = getattr(module, name)
    cell = _inner_cell(function)
    if cell is not None:
        original = cell.cell_contents
        recorded = _recording(original, handler, depth=2)
        cell.cell_contents = recorded
        _undo.append(lambda: setattr(cell, "cell_contents", original) if cell.cell_contents is recorded else None)
        return
    recorded = _recording(function, handler, depth=1)
    setattr(module, name, recorded)
    _undo.append(lambda: setattr(module, name, function) if getattr(module, name) is recorded else None)


def _inner_cell(function: Any) -> Any:
    """The cell in which the wrapper that validates params keeps the function; None where there is no such wrapper."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    if "func" not in names or not hasattr(function, "__wrapped__"):
        return None
    cell = function.__closure__[names.index("func")]
    return cell if cell.cell_contents is function.__wrapped__ else None


def _recording(original: Any, handler: str, *, depth: int) -> Any:
    @functools.wraps(original)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        scope = watched()
        if scope is None:
            return original(*args, **kwargs)
        frame: FrameType = sys._getframe(depth)
        if is_library(frame, scope.options.include):
            with inside():
                return original(*args, **kwargs)
        return getattr(scope, handler)(original, args, kwargs, frame)

    return recorded
