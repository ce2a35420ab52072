"""The folds that a search or a cross-validation really used, caught as its splitter hands them out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple


class Fold(NamedTuple):
    """One split: sizes, and a digest of the row numbers of either side."""

    n_train: int
    n_test: int
    train: str
    test: str


_caught: ContextVar[list[list[Fold]] | None] = ContextVar("mlops_sdk_sklearn_splits", default=None)


class PatchedSplit:
    """Stands in a splitter's class in the place of `split`."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        bound = self.original.__get__(instance, owner)
        caught = _caught.get()
        if instance is None or caught is None:
            return bound

        @functools.wraps(self.original)
        def split(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with _unseen():
                splits = iter(bound(*args, **kwargs))
            return _catching(splits, caught)

        return split

    def __reduce__(self) -> Any:
        import copy

        return copy.copy, (self.original,)


@contextmanager
def _unseen() -> Iterator[None]:
    """A splitter that uses another one is caught once. Around each step: a generator has its consumer's context."""
    token = _caught.set(None)
    try:
        yield
    finally:
        _caught.reset(token)


def install() -> list[Callable[[], None]]:
    """Patch the splitters; returns what undoes it."""
    from sklearn.model_selection import _split

    undo: list[Callable[[], None]] = []
    waiting = [_split.BaseCrossValidator, getattr(_split, "BaseShuffleSplit", _split.BaseCrossValidator)]
    seen: set[type] = set()
    while waiting:
        kind = waiting.pop()
        if kind in seen:
            continue
        seen.add(kind)
        waiting += type.__subclasses__(kind)
        original = vars(kind).get("split")
        if callable(original):
            patched = PatchedSplit(original)
            kind.split = patched
            undo.append(functools.partial(_restore, kind, patched))
    return undo


def _restore(kind: Any, patched: PatchedSplit) -> None:
    if vars(kind).get("split") is patched:
        kind.split = patched.original


def _catching(splits: Iterator[Any], caught: list[list[Fold]]) -> Iterator[Any]:
    folds: list[Fold] = []
    caught.append(folds)
    while True:
        with _unseen():
            pair = next(splits, None)
        if pair is None:
            return
        train, test = pair
        try:
            folds.append(Fold(len(train), len(test), digest_of(train), digest_of(test)))
        except (TypeError, ValueError):  # what is no list of row numbers has no digest; it is split all the same
            folds.append(Fold(-1, -1, "", ""))
        yield train, test


def digest_of(rows: Any) -> str:
    """BLAKE3 of row numbers, as hexadecimal of 128 bits; a mask and the numbers it stands for are the same."""
    import numpy as np
    from blake3 import blake3

    numbers = np.asarray(rows)
    if numbers.dtype == bool:
        numbers = np.flatnonzero(numbers)
    return str(blake3(np.ascontiguousarray(numbers, dtype="<i8").tobytes()).hexdigest(length=16))


@contextmanager
def catching() -> Iterator[list[list[Fold]]]:
    """The list that receives one list of folds for each time a splitter is used in the block."""
    caught: list[list[Fold]] = []
    token = _caught.set(caught)
    try:
        yield caught
    finally:
        _caught.reset(token)
