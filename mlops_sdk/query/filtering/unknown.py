"""Keys that no run of a store has: a slip of the pen is said, a name that is merely not there yet is not.

A comparison with an unknown key is true of no run. Where a name that the store knows is close to it, the search is refused
with that name: an answer that silently lacks what was meant is worse than none. Where none is close, it is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_sdk.conditions import SUMMARIES, Field, FieldKind, IsNull, Not
from mlops_sdk.entities import RunQuery
from mlops_sdk.query.filtering.grammar import Filter
from mlops_sdk.query.filtering.lexemes import Lexeme, is_plain_key, refusal
from mlops_sdk.query.filtering.names import KEYED, nearest

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

_A: dict[FieldKind, str] = {"metrics": "metric", "params": "param", "tags": "tag", "datasets": "dataset"}


def check_names(store: Store, filter: Filter) -> None:  # noqa: A002 - what it is
    """Refuse a filter whose keys no run has, and that are close to keys that runs have; and a best of unknown direction.

    Raises
    ------
    FilterSyntaxError
        At the column of the key, with the nearest known one.
    """
    known: dict[FieldKind, list[str]] = {}
    for lexeme in filter.compared:
        field = lexeme.field
        if field is None or field.kind not in KEYED:
            continue
        if field.kind not in known:
            known[field.kind] = store.keys(field.kind)
        if field.key not in known[field.kind]:
            _refuse_near(filter.text, lexeme, field, known[field.kind])
        elif field.part == "best" and field.mode is None:
            _need_direction(store, filter.text, lexeme, field)


def _refuse_near(text: str, lexeme: Lexeme, field: Field, known: Sequence[str]) -> None:
    near = nearest(field.key, known)
    if near is None and field.kind == "metrics":
        near = _with_summary(field.key, known)
    elif near is not None:
        near = near if is_plain_key(field.kind, near) else f"`{near.replace('`', '``')}`"
    if near is not None:
        raise refusal(
            text, lexeme.start, f"no run has a {_A[field.kind]} {field.key!r}: did you mean {field.kind}.{near}?"
        )


def _with_summary(key: str, known: Sequence[str]) -> str | None:
    """A known metric with a summary that was misspelt: ``acc.maximum`` is no summary, and was read as a key."""
    head, _, last = key.rpartition(".")
    if head not in known:
        return None
    summary = next((each for each in SUMMARIES if last.lower().startswith(each)), nearest(last, SUMMARIES))
    return f"{head}.{summary}" if summary else None


def _need_direction(store: Store, text: str, lexeme: Lexeme, field: Field) -> None:
    if not store.find(RunQuery(where=Not(IsNull(field)), deleted=None, limit=1)):
        raise refusal(
            text,
            lexeme.start,
            f"whether more or less of {field.key!r} is better is not known: use .max or .min, or say "
            "define_metric(..., mode=) when logging",
        )
