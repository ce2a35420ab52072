"""What a run must be like: a tree of conditions that every store understands.

The filter language is read into this tree by `mlops_sdk.query.filtering`; a store turns it into whatever it searches with,
or evaluates it. It holds values and keys, and never text that a store would have to take apart.

A condition is true, false or unknown of a run, as in SQL, and a run is found where it is true:

- *Missing* is unknown: no such param, tag, metric, dataset or attribute, or a param that is None. ``NOT`` of unknown is
  unknown; ``IsNull`` alone is true of it.
- *Present* is true or false, as in Python. Numbers compare with numbers, text with text (by code point), truth values with
  truth values; what is of another type is not equal and neither less nor greater. Of params, a truth value is a number
  too (1 or 0), never the other way round; a list or mapping is its JSON text. Integers beyond 64 bits are the nearest
  float64.
- NaN is present: equal to NaN and to nothing else, neither less nor greater than anything.
- Of a context's datasets, one that fits is enough; the run has none of them where it is unknown.

References
----------
.. [1] ``docs/adr/0006-filter-language.md``
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

FieldKind = Literal["attribute", "params", "tags", "metrics", "datasets"]
Operator = Literal["=", "<", "<=", ">", ">="]
Mode = Literal["max", "min"]
Value: TypeAlias = str | int | float | bool

SUMMARIES = ("last", "min", "max", "mean", "first", "count", "last_step", "best")
"""Of a metric, in a filter and in an order."""

DATASET_PARTS = ("digest", "content", "name")
"""Of a dataset; `content` is its `content_digest`."""

DATASET_FIELDS = {"digest": "digest", "content": "content_digest", "name": "name"}
"""Where a DATASET record holds them."""


@dataclass(frozen=True, slots=True)
class Field:
    """A value that a run has, or lacks.

    Attributes
    ----------
    kind : {"attribute", "params", "tags", "metrics", "datasets"}
    key : str
        Name of the attribute (of `RunHead`, or ``root``: the run at the top of the nest, itself where it has no parent), of
        the param, tag or metric; context of the datasets.
    part : str
        Of a metric one of `SUMMARIES`, of a dataset one of `DATASET_PARTS`, else "".
    mode : {"max", "min"}, optional
        Of ``best`` of a metric: what is better in runs that did not say it with `define_metric`; None: it is unknown, and
        their best value missing.
    """

    kind: FieldKind
    key: str
    part: str = ""
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class Compare:
    """A field compared with a value; "not equal" is `Not` of "="."""

    field: Field
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """A field that is equal to one of the values."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """Text that fits a pattern: ``%`` stands for any characters, ``_`` for one; there is no escape.

    Attributes
    ----------
    ignores_case : bool
        Both are taken in `str.casefold` form.
    """

    field: Field
    pattern: str
    ignores_case: bool = False


@dataclass(frozen=True, slots=True)
class IsNull:
    """A field that is missing."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary; of unknown, unknown."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Every:
    """All of them: false if one is false, else unknown if one is unknown. At least one condition."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """One of them: true if one is true, else unknown if one is unknown. At least one condition."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = Compare | OneOf | Like | IsNull | Not | Every | Some


def fields_of(condition: Condition) -> Iterator[Field]:
    """Every field of a tree, as often as it stands there."""
    if isinstance(condition, Not):
        yield from fields_of(condition.condition)
    elif isinstance(condition, Every | Some):
        for each in condition.conditions:
            yield from fields_of(each)
    else:
        yield condition.field


def comparable(value: float) -> int | float:
    """A number as stores compare it: an integer beyond 64 bits is the nearest float64, infinite where that ends.

    Examples
    --------
    >>> comparable(2**63), comparable(10**400)
    (9.223372036854776e+18, inf)
    """
    if not isinstance(value, int) or -(2**63) <= value < 2**63:
        return value
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def is_like(text: str, pattern: str) -> bool:
    """Whether text fits a pattern of `Like`, in time proportional to both lengths at most.

    Examples
    --------
    >>> is_like("resnet50", "res%_0"), is_like("resnet", "res_")
    (True, False)
    """
    at, star, mark, position = 0, -1, 0, 0
    while at < len(text):
        if position < len(pattern) and pattern[position] == "%":
            star, mark = position, at
            position += 1
        elif position < len(pattern) and pattern[position] in ("_", text[at]):
            at, position = at + 1, position + 1
        elif star >= 0:  # the last "%" takes one character more
            mark += 1
            at, position = mark, star + 1
        else:
            return False
    return all(character == "%" for character in pattern[position:])
