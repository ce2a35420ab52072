"""Filter text taken apart; every piece knows where it stood.

Keys are one piece: sqlglot alone would read ``metrics.val/acc`` as a division. Nothing of SQL beyond what is listed here
gets through: no comments, no functions, no arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlops_sdk.conditions import Field, FieldKind, Value, comparable
from mlops_sdk.errors import FilterSyntaxError
from mlops_sdk.query.filtering.names import (
    ATTRIBUTES,
    KEYED,
    PREFIXES,
    is_key_character,
    keyed_field,
    nearest,
    parts_of,
    split_part,
)

MAX_BYTES = 4096
MAX_DEPTH = 32
MAX_TERMS = 500

KEYWORDS = ("AND", "OR", "NOT", "IN", "LIKE", "ILIKE", "BETWEEN", "IS", "NULL")
_CONSTANTS: dict[str, Value] = {
    "true": True,
    "false": False,
    "nan": float("nan"),
    "inf": float("inf"),
    "infinity": float("inf"),
}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITY = re.compile(r"[+-]inf(?:inity)?(?![0-9A-Za-z_])", re.IGNORECASE)
_OPERATOR = re.compile(r"==|!=|<>|<=|>=|[=<>(),]")
_BEFORE_VALUES = frozenset({"=", "==", "!=", "<>", "<", "<=", ">", ">=", ",", "LIKE", "ILIKE", "BETWEEN"})
_INSTEAD = {
    "≤": "<=", "≥": ">=", "≠": "!=", "&": "AND", "|": "OR", "!": "NOT", "~": "LIKE", "‘": "'", "’": "'", "“": "'",
    "”": "'", "´": "'", "*": None, "/": None, "%": None, "+": None, "-": None,
}  # fmt: skip

Kind = Literal["field", "value", "keyword", "symbol"]


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A piece of the text.

    Attributes
    ----------
    kind : {"field", "value", "keyword", "symbol"}
    text : str
        As it stands there; keywords in upper case.
    start, end : int
        Where, in characters.
    field : Field or None
        Of a field.
    value : str, int, float, bool or None
        Of a value.
    """

    kind: Kind
    text: str
    start: int
    end: int
    field: Field | None = None
    value: Value | None = None


def read(text: str) -> list[Lexeme]:
    """Take a filter apart.

    Raises
    ------
    FilterSyntaxError
        If it is too long, too deep or has too many terms; if a character, a word or a quote cannot be read.
    """
    check_text(text)
    return _Reader(text).lexemes()


def read_terms(text: str) -> list[Lexeme]:
    """Take an order apart: like `read`, with ``ASC`` and ``DESC`` for keywords.

    Raises
    ------
    FilterSyntaxError
    """
    check_text(text)
    return _Reader(text, ("ASC", "DESC")).lexemes()


def check_text(text: str) -> None:
    """Refuse text that is too long or that no store could hold.

    Raises
    ------
    FilterSyntaxError
    """
    try:
        n_bytes = len(text.encode())
    except UnicodeEncodeError as error:
        raise FilterSyntaxError("a lone surrogate is no text", text=_shown(text), column=error.start) from error
    if n_bytes > MAX_BYTES:
        raise FilterSyntaxError(f"a filter has at most {MAX_BYTES:,} bytes, this one has {n_bytes:,}")
    if "\0" in text:
        raise FilterSyntaxError("a NUL is no part of a filter", text=_shown(text), column=text.index("\0"))


def refusal(text: str, column: int, message: str) -> FilterSyntaxError:
    """The error that refuses a filter; the text is shown without characters that a terminal would act on."""
    return FilterSyntaxError(message, text=_shown(text), column=column)


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "·" for character in text.replace("\n", " "))


def is_plain_key(kind: FieldKind, key: str) -> bool:
    """Whether a key stands for itself without backticks."""
    return all(map(is_key_character, key)) and split_part(kind, key) == (key, "")


class _Reader:
    def __init__(self, text: str, keywords: Sequence[str] = KEYWORDS) -> None:
        self.text = text
        self.keywords = keywords
        self.at = 0
        self.found: list[Lexeme] = []
        self.levels = [0]
        self.n_nots = 0
        self.n_terms = 0

    def lexemes(self) -> list[Lexeme]:
        """All of them."""
        while self._skip_space():
            lexeme = self._next()
            self.at = lexeme.end
            self._count(lexeme)
            self.found.append(lexeme)
        return self.found

    def _skip_space(self) -> bool:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at < len(self.text)

    def _error(self, message: str, column: int | None = None) -> FilterSyntaxError:
        return refusal(self.text, self.at if column is None else column, message)

    def _count(self, lexeme: Lexeme) -> None:
        """Keep the limits; ``NOT`` and an open parenthesis each go one level down."""
        if lexeme.text == "NOT":
            self.n_nots += 1
        elif lexeme.text == "(" and lexeme.kind == "symbol":
            self.levels.append(self.levels[-1] + self.n_nots + 1)
            self.n_nots = 0
        elif lexeme.text == ")" and lexeme.kind == "symbol" and len(self.levels) > 1:
            self.levels.pop()
        elif lexeme.kind in ("field", "value"):
            self.n_nots = 0
            self.n_terms += lexeme.kind == "value"
        if self.levels[-1] + self.n_nots > MAX_DEPTH:
            raise self._error(f"nested more than {MAX_DEPTH} deep", lexeme.start)
        if self.n_terms > MAX_TERMS:
            raise self._error(f"more than {MAX_TERMS} terms", lexeme.start)

    def _next(self) -> Lexeme:
        character = self.text[self.at]
        if character in "'\"":
            end = self._end_of_quoted(self.at)
            value = self.text[self.at + 1 : end - 1].replace(character * 2, character)
            return Lexeme("value", self.text[self.at : end], self.at, end, value=value)
        for pattern, make in ((_INFINITY, _infinity), (_NUMBER, self._number)):
            if (found := pattern.match(self.text, self.at)) is not None:
                return make(found)
        if character.isalpha() or character == "_":
            return self._word()
        if (found := _OPERATOR.match(self.text, self.at)) is not None:
            return Lexeme("symbol", found[0], self.at, found.end())
        raise self._stranger(character)

    def _stranger(self, character: str) -> FilterSyntaxError:
        instead = _INSTEAD.get(character, "")
        if instead is None:
            return self._error("there is no arithmetic in a filter; a key with other characters stands in backticks")
        if character == "`":
            return self._error("a key in backticks begins with metrics. params. tags. or datasets.")
        return self._error(f"{character!r} is not expected here" + (f": use {instead}" if instead else ""))

    def _end_of_quoted(self, start: int) -> int:
        """Behind the closing quote; a doubled quote stands for itself."""
        quote, at = self.text[start], start + 1
        while (at := self.text.find(quote, at)) >= 0:
            if self.text[at + 1 : at + 2] != quote:
                return at + 1
            at += 2
        raise self._error(f"this {quote} is not closed", start)

    def _number(self, found: re.Match[str]) -> Lexeme:
        text, end = found[0], found.end()
        if end < len(self.text) and (self.text[end].isalnum() or self.text[end] in "_."):
            raise self._error("not a number: text stands in single quotes")
        value: int | float = int(text) if text.lstrip("+-").isdigit() else float(text)
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            raise self._error("no float64 is that large: write Infinity if you mean it")
        return Lexeme("value", text, self.at, end, value=comparable(value))

    # -- words -----------------------------------------------------------------------------------------------------

    def _word(self) -> Lexeme:
        end = self.at
        while end < len(self.text) and is_key_character(self.text[end]):
            end += 1
        word = self.text[self.at : end]
        if word.upper() in self.keywords:
            return Lexeme("keyword", word.upper(), self.at, end)
        if word.lower() in _CONSTANTS and "IN" in self.keywords:
            return Lexeme("value", word, self.at, end, value=_CONSTANTS[word.lower()])
        prefix, dot, rest = word.partition(".")
        if dot and prefix.lower() in PREFIXES:
            return self._prefixed(prefix.lower(), rest, end)
        return self._attribute(word, self.at, end)

    def _prefixed(self, prefix: str, rest: str, end: int) -> Lexeme:
        if prefix == "attributes":
            return self._attribute(rest, end - len(rest), end)
        kind = next(kind for kind in KEYED if kind == prefix)
        if not rest and self.text[end : end + 1] == "`":
            return self._quoted_key(kind, end)
        if not rest:
            raise self._error("a key is missing here; one with other characters stands in backticks", end)
        key, part = split_part(kind, rest)
        return Lexeme("field", self.text[self.at : end], self.at, end, keyed_field(kind, key, part))

    def _quoted_key(self, kind: FieldKind, start: int) -> Lexeme:
        end = self._end_of_quoted(start)
        key = self.text[start + 1 : end - 1].replace("``", "`")
        if not key:
            raise self._error("the key is empty", start)
        part = ""
        if self.text[end : end + 1] == ".":
            begin = end = end + 1
            while end < len(self.text) and is_key_character(self.text[end]):
                end += 1
            part = self._part(kind, begin, end)
        return Lexeme("field", self.text[self.at : end], self.at, end, keyed_field(kind, key, part))

    def _part(self, kind: FieldKind, start: int, end: int) -> str:
        part, known = self.text[start:end], parts_of(kind)
        if part in known:
            return part
        if not known:
            raise self._error(f"nothing follows a key of {kind}", start)
        what = "summary" if kind == "metrics" else "part of a dataset"
        raise self._error(f"{part!r} is no {what}: use {', '.join(known)}", start)

    def _attribute(self, name: str, start: int, end: int) -> Lexeme:
        found = ATTRIBUTES.get(name)
        if found is None:
            raise self._error(self._no_attribute(name), start)
        return Lexeme("field", self.text[self.at : end], self.at, end, Field("attribute", found.name))

    def _no_attribute(self, name: str) -> str:
        before = self.found[-1] if self.found else None
        if before is not None and (before.text in _BEFORE_VALUES and before.kind != "value"):
            return f"text stands in single quotes: '{name}'"
        said = f"there is no attribute {name!r}"
        head, dot, rest = name.partition(".")
        prefix = nearest(head, PREFIXES) if dot and head not in PREFIXES else None
        near = f"{prefix}.{rest}" if prefix else nearest(name, [*ATTRIBUTES, *self.keywords])
        if near is not None:
            return f"{said}: did you mean {near}?"
        return (
            f"{said}: use metrics.KEY, params.KEY, tags.KEY, datasets.CONTEXT or one of {', '.join(sorted(ATTRIBUTES))}"
        )


def _infinity(found: re.Match[str]) -> Lexeme:
    return Lexeme("value", found[0], found.start(), found.end(), value=float(found[0]))
