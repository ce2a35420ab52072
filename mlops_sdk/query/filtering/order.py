"""Orders: ``metrics.acc.best DESC, start_time``, with the keys of the filter language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from mlops_sdk.conditions import Field
from mlops_sdk.entities import OrderBy
from mlops_sdk.query.filtering.lexemes import Lexeme, read_terms, refusal

_FORM = "use metrics.KEY, params.KEY, tags.KEY or an attribute, then ASC or DESC, then a comma"


def parse_order(text: str | Sequence[str] | None) -> tuple[OrderBy, ...]:
    """Read an order.

    Parameters
    ----------
    text : str or sequence of str, optional
        Terms, separated by commas; each may end in ASC or DESC.

    Raises
    ------
    FilterSyntaxError
        If a term is neither a metric, a param, a tag nor an attribute.

    Examples
    --------
    >>> parse_order("metrics.val/acc.max DESC")
    (OrderBy(kind='metrics', key='val/acc', summary='max', descending=True, mode=None),)
    """
    if text is None:
        return ()
    return tuple(term for part in ([text] if isinstance(text, str) else text) for term in _terms(part))


def fields_in(texts: Sequence[str]) -> list[Field]:
    """Fields as they are given by hand, one or several in each text: ``["params.lr", "metrics.acc.max, host"]``.

    Raises
    ------
    FilterSyntaxError
    """
    return [_field(term[0]) for text in texts for term in _groups(text)]


def _terms(text: str) -> list[OrderBy]:
    return [_term(text, group) for group in _groups(text)]


def _groups(text: str) -> list[list[Lexeme]]:
    """The pieces of each term; empty terms are nothing."""
    groups: list[list[Lexeme]] = [[]]
    for lexeme in read_terms(text):
        if lexeme.text == "," and lexeme.kind == "symbol":
            groups.append([])
        elif groups[-1] and lexeme.kind == "field":
            raise refusal(text, lexeme.start, f"a comma is missing here: {_FORM}")
        elif not groups[-1] and lexeme.field is None:
            raise refusal(text, lexeme.start, f"an order begins with a key: {_FORM}")
        else:
            groups[-1].append(lexeme)
    return [group for group in groups if group]


def _term(text: str, group: list[Lexeme]) -> OrderBy:
    lexeme, *rest = group
    field = _field(lexeme)
    if field.kind == "datasets":
        raise refusal(text, lexeme.start, f"a run has any number of datasets: {_FORM}")
    if len(rest) > 1 or any(each.text not in ("ASC", "DESC") for each in rest):
        raise refusal(text, rest[-1].start, f"{rest[-1].text} is not expected here: {_FORM}")
    is_descending = bool(rest) and rest[0].text == "DESC"
    return OrderBy(cast(Any, field.kind), field.key, field.part or "last", is_descending, field.mode)


def _field(lexeme: Lexeme) -> Field:
    assert lexeme.field is not None, "`_groups` lets only fields begin"
    return lexeme.field
