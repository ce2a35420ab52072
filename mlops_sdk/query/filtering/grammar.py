"""From pieces of text to conditions: sqlglot finds the shape, an allow-list of its nodes takes what has a meaning here.

sqlglot gets tokens of ours that hold numbers of pieces: which field, which value. Nothing that it makes of text (escapes,
numbers, names) can come back, and every piece of its tree has a place in the text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_sdk.conditions import Condition, Every, IsNull, Operator, Some
from mlops_sdk.errors import FilterSyntaxError
from mlops_sdk.query.filtering.lexemes import MAX_DEPTH, Lexeme, read, refusal
from mlops_sdk.query.filtering.meaning import Conditions, negated

_COMPARISONS: dict[str, tuple[Operator, bool]] = {
    "EQ": ("=", False),
    "NEQ": ("=", True),
    "LT": ("<", False),
    "LTE": ("<=", False),
    "GT": (">", False),
    "GTE": (">=", False),
}
"""By node: the operator, and whether it is negated."""

_TOKENS = {
    "=": "EQ", "==": "EQ", "!=": "NEQ", "<>": "NEQ", "<": "LT", "<=": "LTE", ">": "GT", ">=": "GTE",
    "(": "L_PAREN", ")": "R_PAREN", ",": "COMMA",
}  # fmt: skip
_FORM = "a comparison is KEY OPERATOR VALUE, such as metrics.acc > 0.9"


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was read.

    Attributes
    ----------
    text : str
    condition : Condition
    compared : tuple of Lexeme
        The fields that are compared with a value, and not only asked for whether they are there.
    """

    text: str
    condition: Condition
    compared: tuple[Lexeme, ...]


def parse(text: str, now_ns: int | None = None) -> Filter | None:
    """Read a filter; None when it is empty.

    Parameters
    ----------
    text : str
        At most 4,096 bytes, nested at most 32 deep, at most 500 values.
    now_ns : int, optional
        When a silent run counts as LOST; default now.

    Raises
    ------
    FilterSyntaxError
        Carries the column, and says what was expected there.

    Examples
    --------
    >>> parse("metrics.val/acc.max > 0.9").condition
    Compare(field=Field(kind='metrics', key='val/acc', part='max', mode=None), operator='>', value=0.9)
    """
    lexemes = read(text)
    if not lexemes:
        return None
    _check_neighbours(text, lexemes)
    root = _shape(text, lexemes)
    reader = _Grammar(text, lexemes, time.time_ns() if now_ns is None else now_ns)
    try:
        return Filter(text, reader.condition(root, 0), tuple(reader.compared))
    except RecursionError as error:
        raise refusal(text, 0, f"nested too deeply: {MAX_DEPTH} levels at most") from error


def _check_neighbours(text: str, lexemes: Sequence[Lexeme]) -> None:
    """Refuse what sqlglot would take for granted: a comma behind the last value, ``NOT NULL`` without ``IS``.

    Raises
    ------
    FilterSyntaxError
    """
    for index, lexeme in enumerate(lexemes):
        said = [each.text for each in lexemes[max(0, index - 2) : index]]
        if lexeme.kind == "keyword" and lexeme.text == "NULL" and said[-1:] != ["IS"] and said != ["IS", "NOT"]:
            raise refusal(text, lexeme.start, "nothing is equal to NULL: use IS NULL or IS NOT NULL")
        if lexeme.kind == "symbol" and lexeme.text == ")" and said[-1:] == [","]:
            raise refusal(text, lexeme.start, "a value is missing here")
        if lexeme.kind == "value" and index and lexemes[index - 1].kind == "value":
            raise refusal(text, lexeme.start, f"{lexeme.text} is not expected here: {_FORM}")


def _shape(text: str, lexemes: Sequence[Lexeme]) -> Any:
    """What sqlglot makes of the pieces.

    Raises
    ------
    FilterSyntaxError
    """
    from sqlglot import exp
    from sqlglot.errors import ErrorLevel, ParseError
    from sqlglot.parser import Parser

    tokens = [_token(lexeme, index) for index, lexeme in enumerate(lexemes)]
    try:
        (root,) = Parser(error_level=ErrorLevel.RAISE).parse_into(exp.Condition, tokens, text)
    except ParseError as error:
        raise _explained(text, lexemes, error.errors[0] if error.errors else {}) from error
    except RecursionError as error:
        raise refusal(text, 0, f"nested too deeply: {MAX_DEPTH} levels at most") from error
    if root is None:
        raise refusal(text, lexemes[0].start, _FORM)
    return root


def _token(lexeme: Lexeme, index: int) -> Any:
    import sqlglot.tokens

    tokens: Any = sqlglot.tokens  # where the classes come from differs between releases

    if lexeme.kind == "field":
        kind, said = tokens.TokenType.VAR, f"f{index}"
    elif lexeme.kind == "value":
        kind, said = tokens.TokenType.NUMBER, f"{index}"
    else:
        kind, said = tokens.TokenType[_TOKENS.get(lexeme.text, lexeme.text)], lexeme.text
    return tokens.Token(kind, said, 1, lexeme.start + 1, lexeme.start, lexeme.end - 1)


def _explained(text: str, lexemes: Sequence[Lexeme], error: dict[str, Any]) -> FilterSyntaxError:
    """Sqlglot's complaint in our words, at the piece that it stopped at."""
    said, column = str(error.get("description", "")), int(error.get("col") or 1) - 1
    at = next((lexeme for lexeme in lexemes if lexeme.start <= column < lexeme.end), lexemes[-1])
    following = [lexeme for lexeme in lexemes if lexeme.start >= at.end]
    if "Expecting )" in said:
        place = following[0].start if following else at.end
        return refusal(text, place, "a closing parenthesis is expected here")
    if "Required" in said and at is lexemes[-1]:
        return refusal(text, at.end, f"something is missing here: {_FORM}")
    if at.kind == "value" and at.start and lexemes[lexemes.index(at) - 1].kind == "field":
        return refusal(text, at.start, f"an operator is missing before {at.text}: {_FORM}")
    return refusal(text, at.start, f"{at.text} is not expected here: {_FORM}")


class _Grammar:
    """Turns nodes into conditions; a node that is not listed has no meaning here."""

    def __init__(self, text: str, lexemes: Sequence[Lexeme], now_ns: int) -> None:
        self.text = text
        self.lexemes = lexemes
        self.make = Conditions(self._error, now_ns)
        self.compared: list[Lexeme] = []

    def _error(self, column: int, message: str) -> FilterSyntaxError:
        return refusal(self.text, column, message)

    def condition(self, node: Any, depth: int) -> Condition:
        """The condition of a node.

        Raises
        ------
        FilterSyntaxError
        """
        name = type(node).__name__
        if depth > 4 * MAX_DEPTH:
            raise self._error(self._column(node), f"nested more than {MAX_DEPTH} deep")
        if name in _COMPARISONS:
            operator, is_negated = _COMPARISONS[name]
            made = self.make.compare(self._left(node), operator, self._value(node.args.get("expression")))
            return negated(made) if is_negated else made
        allowed = _ALLOWED.get(name)
        if allowed is None:
            raise self._error(self._column(node), _FORM)
        return allowed(self, node, depth + 1)

    def _paren(self, node: Any, depth: int) -> Condition:
        return self.condition(node.this, depth)

    def _not(self, node: Any, depth: int) -> Condition:
        return negated(self.condition(node.this, depth))

    def _every(self, node: Any, depth: int) -> Condition:
        return Every(tuple(self.condition(each, depth) for each in _operands(node)))

    def _some(self, node: Any, depth: int) -> Condition:
        return Some(tuple(self.condition(each, depth) for each in _operands(node)))

    def _in(self, node: Any, _depth: int) -> Condition:
        field, values = self._left(node), node.args.get("expressions") or []
        if not values:
            raise self._error(field.end, "IN is followed by values in parentheses: IN ('a', 'b')")
        return self.make.one_of(field, [self._value(value) for value in values])

    def _like(self, node: Any, _depth: int) -> Condition:
        pattern = self._value(node.args.get("expression"))
        made = self.make.like(self._left(node), pattern, ignores_case=type(node).__name__ == "ILike")
        return negated(made) if node.args.get("negate") else made

    def _between(self, node: Any, _depth: int) -> Condition:
        field, low, high = self._left(node), self._value(node.args.get("low")), self._value(node.args.get("high"))
        return Every((self.make.compare(field, ">=", low), self.make.compare(field, "<=", high)))

    def _is(self, node: Any, _depth: int) -> Condition:
        field, what = self._left(node, is_compared=False), node.args.get("expression")
        is_negated = type(what).__name__ == "Not"
        if is_negated and what is not None:
            what = what.this
        if type(what).__name__ != "Null":
            raise self._error(field.end, "IS is followed by NULL or NOT NULL")
        assert field.field is not None, "`_left` gives fields"
        return negated(IsNull(field.field)) if is_negated else IsNull(field.field)

    # -- pieces ----------------------------------------------------------------------------------------------------

    def _left(self, node: Any, *, is_compared: bool = True) -> Lexeme:
        """The field on the left of an operator."""
        left = node.this
        name = getattr(left, "name", "") if type(left).__name__ == "Column" else ""
        if not (name[:1] == "f" and name[1:].isdigit()):
            raise self._error(self._column(node), f"the key stands on the left: {_FORM}")
        lexeme = self.lexemes[int(name[1:])]
        if is_compared:
            self.compared.append(lexeme)
        return lexeme

    def _value(self, node: Any) -> Lexeme:
        """The value on the right of an operator."""
        name = type(node).__name__
        if node is not None and name == "Literal" and str(node.this).isdigit():
            return self.lexemes[int(str(node.this))]
        if node is None:
            raise self._error(self.lexemes[-1].end, "a value is missing here")
        if name == "Column":
            raise self._error(
                self._column(node), "a value is expected here, not another key; text stands in single quotes"
            )
        raise self._error(
            self._column(node), "a value is expected here: a number, a text in single quotes, true, false or NaN"
        )

    def _column(self, node: Any) -> int:
        """Where a node begins: at the first piece in it."""
        starts = [
            self.lexemes[int(digits)].start
            for each in node.walk()
            if type(each).__name__ in ("Identifier", "Literal") and (digits := str(each.this).lstrip("f")).isdigit()
        ]
        return min(starts, default=self.lexemes[0].start)


def _operands(node: Any) -> list[Any]:
    """Operands of a chain of one operator, which leans to the left and may be hundreds long."""
    operands, kind = [], type(node)
    while type(node) is kind:
        operands.append(node.args["expression"])
        node = node.this
    return [node, *reversed(operands)]


_ALLOWED: dict[str, Callable[[_Grammar, Any, int], Condition]] = {
    "Paren": _Grammar._paren,
    "Not": _Grammar._not,
    "And": _Grammar._every,
    "Or": _Grammar._some,
    "In": _Grammar._in,
    "Like": _Grammar._like,
    "ILike": _Grammar._like,
    "Between": _Grammar._between,
    "Is": _Grammar._is,
}
"""Nodes that have a meaning here, besides `_COMPARISONS`; everything else is refused."""
