"""Conditions of fields and values: which values a field takes, what times and statuses mean."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, cast

from mlops_sdk.conditions import Compare, Condition, Every, Field, Like, Not, OneOf, Operator, Some, Value, is_like
from mlops_sdk.entities import ENDED, SILENT_AFTER_S
from mlops_sdk.errors import FilterSyntaxError
from mlops_sdk.query.filtering.lexemes import Lexeme
from mlops_sdk.query.filtering.names import Type, nearest, type_of

Refuse: TypeAlias = Callable[[int, str], FilterSyntaxError]
"""Takes a column and what is wrong there, gives the error that refuses the filter."""

STATUSES = ("RUNNING", "FINISHED", "FAILED", "KILLED", "LOST")
SHORTEST_DIGEST = 8
_DIGEST = re.compile(r"[0-9A-Za-z:]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_NS, _MS_NS = 1_000, 1_000_000
_LAST_NS = 2**63 - 1
_ORDERS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_A_VALUE: dict[Type, str] = {
    "text": "text: put it in single quotes",
    "status": "text: put it in single quotes",
    "digest": "text: put it in single quotes",
    "number": "a number",
    "truth": "true or false",
    "time": "a time: an ISO time in quotes ('2026-01-31', '2026-01-31T12:00:00Z') or integer milliseconds",
}


class Conditions:
    """Makes conditions; what makes no sense is refused at its place.

    Parameters
    ----------
    error : callable
    now_ns : int
        When a run that is silent counts as LOST.
    """

    def __init__(self, error: Refuse, now_ns: int) -> None:
        self._error = error
        self._silent_ns = now_ns - int(SILENT_AFTER_S * 1e9)

    def compare(self, field: Lexeme, operator: Operator, value: Lexeme) -> Condition:
        """``KEY OPERATOR VALUE``; "!=" is `Not` of "="."""
        of = _field(field)
        self._check(field, value, is_order=operator != "=")
        kind = type_of(of)
        if kind == "time":
            return _compare_time(of, operator, *self._time(value))
        if kind == "status":
            if operator == "=":
                self._check_status(value)
            return self._status(of, (status for status in STATUSES if _ORDERS[operator](status, str(value.value))))
        if kind == "digest":
            return self._digest(of, value)
        return Compare(of, operator, _value(value))

    def one_of(self, field: Lexeme, values: Sequence[Lexeme]) -> Condition:
        """``KEY IN (VALUE, ...)``."""
        of = _field(field)
        if type_of(of) in ("time", "status", "digest"):
            return Some(tuple(self.compare(field, "=", value) for value in values))
        for value in values:
            self._check(field, value, is_order=False)
        return OneOf(of, tuple(_value(value) for value in values))

    def like(self, field: Lexeme, pattern: Lexeme, *, ignores_case: bool) -> Condition:
        """``KEY LIKE PATTERN``."""
        of, text = _field(field), pattern.value
        kind = type_of(of)
        if kind in ("number", "truth", "time"):
            raise self._error(field.start, f"{field.text} is no text: LIKE and ILIKE are for text")
        if not isinstance(text, str):
            raise self._error(pattern.start, "a pattern is text: put it in single quotes")
        if kind == "status":
            wanted = text.upper() if ignores_case else text
            return self._status(of, (status for status in STATUSES if is_like(status, wanted)))
        return Like(of, text.casefold() if ignores_case else text, ignores_case)

    # -- which values ----------------------------------------------------------------------------------------------

    def _check(self, field: Lexeme, value: Lexeme, *, is_order: bool) -> None:
        of, given = _field(field), value.value
        kind = type_of(of)
        if not _takes(kind, given):
            quoted = f": write '{value.text}'" if kind == "text" and value.text[:1] not in "'\"" else ""
            raise self._error(value.start, f"{field.text} is {_A_VALUE[kind].partition(':')[0] if quoted else _A_VALUE[kind]}{quoted}")  # fmt: skip
        if not is_order:
            return
        if kind == "truth" or isinstance(given, bool):
            raise self._error(value.start, "true and false compare by = and !=")
        if isinstance(given, float) and math.isnan(given):
            raise self._error(value.start, "NaN is neither less nor greater than anything: it compares by = and !=")
        if of.kind == "datasets":
            raise self._error(value.start, "a dataset compares by =, !=, IN and LIKE")

    # -- times -----------------------------------------------------------------------------------------------------

    def _time(self, value: Lexeme) -> tuple[int, int]:
        """The first nanosecond of a time, and how many it has."""
        given = value.value
        if isinstance(given, int):
            if abs(given) > _LAST_NS // _MS_NS:
                raise self._error(value.start, "a time is in milliseconds since 1970")
            return given * _MS_NS, _MS_NS
        try:
            moment = datetime.fromisoformat(str(given).strip())
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            us = (moment - _EPOCH) // timedelta(microseconds=1)
        except (ValueError, OverflowError) as error:
            message = "not a time: write '2026-01-31', '2026-01-31T12:00:00Z' or integer milliseconds"
            raise self._error(value.start, message) from error
        bound = _LAST_NS // _US_NS - 1
        return max(-bound, min(bound, us)) * _US_NS, _US_NS

    # -- statuses --------------------------------------------------------------------------------------------------

    def _check_status(self, value: Lexeme) -> None:
        if value.value not in STATUSES:
            near = nearest(str(value.value), STATUSES)
            hint = f"did you mean '{near}'?" if near else f"there are {', '.join(STATUSES)}"
            raise self._error(value.start, f"there is no status {value.text}: {hint}")

    def _status(self, of: Field, wanted: Iterable[str]) -> Condition:
        """Stores know no LOST: it is RUNNING and silent."""
        chosen = set(wanted)
        running = Compare(of, "=", "RUNNING")
        ways: list[Condition] = [OneOf(of, tuple(sorted(chosen & ENDED)))]
        if {"RUNNING", "LOST"} <= chosen:
            ways.append(running)
        elif chosen & {"RUNNING", "LOST"}:
            heard = Compare(Field("attribute", "heard_ns"), "<" if "LOST" in chosen else ">=", self._silent_ns)
            ways.append(Every((running, heard)))
        return Some(tuple(ways))

    # -- datasets --------------------------------------------------------------------------------------------------

    def _digest(self, of: Field, value: Lexeme) -> Condition:
        """A digest, or how it begins."""
        text = str(value.value)
        if len(text) < SHORTEST_DIGEST:
            raise self._error(value.start, f"a digest is told by {SHORTEST_DIGEST} characters or more")
        return Like(of, f"{text}%") if _DIGEST.fullmatch(text) else Compare(of, "=", text)


def _field(lexeme: Lexeme) -> Field:
    assert lexeme.field is not None, "the grammar tells fields from values"
    return lexeme.field


def _value(lexeme: Lexeme) -> Value:
    return cast(Value, lexeme.value)


def _takes(kind: Type, given: Value | None) -> bool:
    if kind in ("text", "status", "digest"):
        return isinstance(given, str)
    if kind == "truth":
        return isinstance(given, bool)
    if kind == "number":
        return isinstance(given, int | float) and not isinstance(given, bool)
    if kind == "time":
        return isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool))
    return True


def _compare_time(of: Field, operator: Operator, first_ns: int, n_ns: int) -> Condition:
    """A stored time is compared in whole microseconds, or in whole milliseconds with integers."""
    if operator == "=":
        return Every((Compare(of, ">=", first_ns), Compare(of, "<", first_ns + n_ns)))
    if operator == "<":
        return Compare(of, "<", first_ns)
    if operator == "<=":
        return Compare(of, "<", first_ns + n_ns)
    return Compare(of, ">=", first_ns if operator == ">=" else first_ns + n_ns)


def negated(condition: Condition) -> Condition:
    """The contrary."""
    return condition.condition if isinstance(condition, Not) else Not(condition)
