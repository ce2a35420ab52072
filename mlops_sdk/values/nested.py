"""Nested mappings: taken as a snapshot, keys made text, flattened within bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from itertools import islice
from typing import Any, TypeAlias

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.describing import Refusing, shown, text_of, type_name

MAX_DEPTH = 64
"""Deepest nesting that is accepted, of mappings and lists together."""

MAX_KEY_BYTES = 1024
"""Longest name of a param, metric, tag or run, in UTF-8 bytes."""

_TRIES = 5

Path: TypeAlias = tuple[str, ...]
"""Keys from the outermost mapping to a value."""


def key_text(key: object) -> str:
    """Turn a mapping's key into text: a str unchanged, anything else as `str` gives it."""
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, (bool, int, float, Enum)):
        with Refusing("a key of type {} has no text", key):
            return str.__str__(str(key))
    return text_of(key)


def named_items(mapping: Mapping[Any, Any], max_keys: int) -> dict[str, Any]:
    """Take a snapshot of one level of a mapping, with text for keys, in order.

    Parameters
    ----------
    mapping : Mapping
        Another thread may change it meanwhile: it is read again a few times.
    max_keys : int

    Raises
    ------
    InvalidValueError
        If it has more than `max_keys` keys, if two keys have the same text (`1` and `"1"`), if it kept changing, or if
        its own code raises.
    """
    items = _snapshot(mapping, max_keys)
    if len(items) > max_keys:
        raise InvalidValueError(f"a mapping of more than {max_keys:,} keys: log large data with log_dict or log_table")
    named: dict[str, Any] = {}
    for key, value in items:
        name = key_text(key)
        if name in named:
            first = next(other for other, _ in items if key_text(other) == name)
            both = " and ".join(f"{shown(text_of(k))} ({type_name(k)})" for k in (first, key))
            raise InvalidValueError(f"keys {both} are the same name {shown(name)}: rename one", key=name)
        named[name] = value
    return named


def _snapshot(mapping: Mapping[Any, Any], max_keys: int) -> list[tuple[Any, Any]]:
    with Refusing("a mapping of type {} could not be read; if another thread changes it, pass a copy", mapping):
        pairs: list[Any] = []
        for attempt in range(1, _TRIES + 1):
            try:
                pairs = list(islice(mapping.items(), max_keys + 1))  # of a dict: one call, in which no thread comes in
                break
            except RuntimeError:  # changed size during iteration
                if attempt == _TRIES:
                    raise
        return [(key, value) for key, value in pairs]


def flatten(
    root: Mapping[Any, Any],
    *,
    separator: str,
    max_keys: int,
    children: Callable[[Any], Mapping[Any, Any] | None],
) -> dict[str, tuple[Path, Any]]:
    """Flatten nested mappings.

    Parameters
    ----------
    root : Mapping
    separator : str
        Stands between the keys of a path.
    max_keys : int
        Most values, and most mappings, that are accepted.
    children : callable
        Gives the mapping that a value stands for, None where it is a value.

    Returns
    -------
    dict of str to (Path, object)
        Value and path of each joined key, in order; the values untouched. Keys are not checked: one that cannot be
        stored shall cost only itself.

    Raises
    ------
    InvalidValueError
        If a mapping contains itself, nests deeper than `MAX_DEPTH`, is too large, or if two paths give the same key.

    Notes
    -----
    Time and memory are bounded by `max_keys`, but for code of the user's own mappings.
    """
    walk = _Walk(separator, max_keys, children)
    walk.enter(root, root, (), "")
    return walk.leaves


class _Walk:
    def __init__(self, separator: str, max_keys: int, children: Callable[[Any], Mapping[Any, Any] | None]) -> None:
        self.leaves: dict[str, tuple[Path, Any]] = {}
        self._separator = separator
        self._max_keys = max_keys
        self._children = children
        self._above: set[int] = set()
        self._n_mappings = 0
        self._n_chars = 0

    def enter(self, owner: object, mapping: Mapping[Any, Any], path: Path, prefix: str) -> None:
        self._check_way(owner, path)
        self._above.add(id(owner))
        for name, value in named_items(mapping, self._max_keys).items():
            key, below = prefix + name, (*path, name)
            self._spend(key)
            inner = self._children(value)
            if inner is None:
                self._claim(key, below, value)
            else:
                self.enter(value, inner, below, key + self._separator)
        self._above.discard(id(owner))

    def _check_way(self, owner: object, path: Path) -> None:
        self._n_mappings += 1
        if id(owner) in self._above:
            raise InvalidValueError(f"the mapping at {_subscripts(path)} contains itself")
        if len(path) >= MAX_DEPTH:
            raise InvalidValueError(f"mappings nest deeper than {MAX_DEPTH} levels at {_subscripts(path)}")
        if self._n_mappings > self._max_keys:
            raise InvalidValueError(f"more than {self._max_keys:,} nested mappings: log large data with log_dict")

    def _claim(self, key: str, path: Path, value: object) -> None:
        if key in self.leaves:
            both = f"{_subscripts(self.leaves[key][0])} and {_subscripts(path)}"
            raise InvalidValueError(f"{both} are the same name {shown(key)}: rename one", key=key)
        if len(self.leaves) >= self._max_keys:
            raise InvalidValueError(f"more than {self._max_keys:,} values: log large data with log_dict or log_table")
        self.leaves[key] = (path, value)

    def _spend(self, key: str) -> None:
        # joined keys are copies: without a bound a long key above many values would fill the memory
        self._n_chars += len(key)
        if self._n_chars > 2 * self._max_keys * MAX_KEY_BYTES:
            raise InvalidValueError(f"the keys are too long: a name has at most {MAX_KEY_BYTES:,} bytes")


def _subscripts(path: Path) -> str:
    """``['model']['units']``, shortened in the middle of a long path."""
    parts = [f"[{shown(name)}]" for name in path]
    return "".join(parts if len(parts) <= 8 else [*parts[:4], "...", *parts[-3:]]) or "the top"
