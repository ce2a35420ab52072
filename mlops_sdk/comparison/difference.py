"""One thing that differs between runs or groups, and when two values are the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["added", "removed", "changed"]
MOST_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands for a value that a run does not have; falsy."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "-"


MISSING = Missing()


@dataclass(frozen=True, slots=True)
class Varies:
    """Stands for the values of a group whose runs differ among themselves.

    Attributes
    ----------
    n_values : int
        How many different ones there are; a run without a value counts as one.
    """

    n_values: int

    def __repr__(self) -> str:
        return f"{self.n_values} values"


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs under one name.

    Attributes
    ----------
    section : str
        ``params metrics datasets code packages environment system duration``.
    key : str
    values : tuple
        One for each run or group, in their order; `MISSING` where there is none, `Varies` within a group.
    note : str
        What the values do not say by themselves.
    """

    section: str
    key: str
    values: tuple[Any, ...]
    note: str = ""

    @property
    def kind(self) -> Kind:
        """Whether the last has it and the first does not, the other way round, or both have it."""
        first, last = self.values[0], self.values[-1]
        return "added" if first is MISSING and last is not MISSING else (
            "removed" if last is MISSING and first is not MISSING else "changed"
        )  # fmt: skip


def same(one: Any, other: Any, depth: int = 0) -> bool:
    """Whether two values are one: numbers by value, NaN is itself, True is no number, nested data part by part.

    Examples
    --------
    >>> same(1, 1.0), same(True, 1), same("1", 1), same(float("nan"), float("nan"))
    (True, False, False, True)
    """
    if _is_number(one) and _is_number(other):
        return bool(one == other or (one != one and other != other))
    if depth < MOST_DEPTH and isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key], depth + 1) for key in one)
    if depth < MOST_DEPTH and _is_sequence(one) and _is_sequence(other):
        return len(one) == len(other) and all(same(a, b, depth + 1) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def all_same(values: Sequence[Any]) -> bool:
    """Whether every value is the first."""
    return all(same(values[0], value) for value in values[1:])


def common(mappings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What mappings have in common, key by key; `Varies` where they do not agree."""
    if len(mappings) == 1:
        return dict(mappings[0])
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for mapping in mappings for key in mapping):
        distinct: list[Any] = []
        for mapping in mappings:
            value = mapping.get(key, MISSING)
            if not any(same(value, other) for other in distinct[:_MOST_DISTINCT]):
                distinct.append(value)
        merged[key] = distinct[0] if len(distinct) == 1 else Varies(len(distinct))
    return merged


_MOST_DISTINCT = 100
"""Beyond so many values, equal ones are counted twice: what varies so much is not looked at in square time."""


def differing(section: str, mappings: Sequence[Mapping[str, Any]]) -> Iterator[Difference]:
    """What differs between mappings, in the order of their keys."""
    for key in dict.fromkeys(key for mapping in mappings for key in mapping):
        values = tuple(mapping.get(key, MISSING) for mapping in mappings)
        if not all_same(values):
            yield Difference(section, key, values)


def relative_change(old: float, new: float) -> float:
    """Change in units of the greater of both, 0 to 2; infinite where one of them is not finite."""
    if old == new:
        return 0.0
    if not (math.isfinite(old) and math.isfinite(new)):
        return math.inf
    size = max(abs(old), abs(new))
    return abs(new / size - old / size)
