"""What a filter and an order can name: attributes, and keys of params, tags, metrics and datasets."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal, NamedTuple

from mlops_sdk.conditions import DATASET_PARTS, SUMMARIES, Field, FieldKind
from mlops_sdk.values.directions import known_direction

Type = Literal["text", "time", "number", "truth", "status", "digest", "any"]


class Attribute(NamedTuple):
    """An attribute: what stores call it, and what it holds."""

    name: str
    type: Type


ATTRIBUTES: dict[str, Attribute] = {
    **{name: Attribute(name, "text") for name in ("experiment", "run_id", "name", "user", "host", "description")},
    **{name: Attribute(name, "text") for name in ("parent", "root", "entry_point")},
    "status": Attribute("status", "status"),
    "start_time": Attribute("start_ns", "time"),
    "end_time": Attribute("end_ns", "time"),
    "duration_s": Attribute("duration_s", "number"),
    "git.commit": Attribute("git_commit", "text"),
    "git.branch": Attribute("git_branch", "text"),
    "git.dirty": Attribute("git_dirty", "truth"),
}
"""By public name."""

KEYED: tuple[FieldKind, ...] = ("metrics", "params", "tags", "datasets")
PREFIXES = (*KEYED, "attributes")
_TYPES: dict[FieldKind, Type] = {"metrics": "number", "params": "any", "tags": "text"}
_PARTS: dict[FieldKind, tuple[str, ...]] = {"metrics": SUMMARIES, "datasets": DATASET_PARTS}
_LOOKED_AT = 2000
_LONGEST = 200


def is_key_character(character: str) -> bool:
    """Whether a key may hold it without backticks."""
    return character.isalnum() or character in "_./@:+-[]"


def parts_of(kind: FieldKind) -> tuple[str, ...]:
    """What may follow a key: summaries of a metric, parts of a dataset; the first is meant where none is named."""
    return _PARTS.get(kind, ())


def split_part(kind: FieldKind, key: str) -> tuple[str, str]:
    """Key and part of an unquoted key, by syntax alone: ``acc.max`` is the greatest value of ``acc``.

    Examples
    --------
    >>> split_part("metrics", "val/acc.max"), split_part("metrics", "max"), split_part("params", "a.max")
    (('val/acc', 'max'), ('max', ''), ('a.max', ''))
    """
    head, _, last = key.rpartition(".")
    return (head, last) if head and last in parts_of(kind) else (key, "")


def keyed_field(kind: FieldKind, key: str, part: str) -> Field:
    """The field of a key; of a metric's best value, with what is known of its direction."""
    part = part or next(iter(parts_of(kind)), "")
    return Field(kind, key, part, known_direction(key) if part == "best" else None)


def type_of(field: Field) -> Type:
    """What a field holds."""
    if field.kind == "attribute":
        return next(each.type for each in ATTRIBUTES.values() if each.name == field.key)
    if field.kind == "datasets":
        return "text" if field.part == "name" else "digest"
    return _TYPES[field.kind]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Of known names the one that `word` was probably meant to be.

    Names that differ in digits only are different on purpose.

    Examples
    --------
    >>> nearest("acuracy", ["loss", "accuracy"]), nearest("layer2", ["layer1"])
    ('accuracy', None)
    """
    if len(word) > _LONGEST:
        return None
    letters = _letters(word)
    near: dict[str, str] = {}
    for name in known:
        if len(near) >= _LOOKED_AT:
            break
        is_meant = _letters(name) == letters and name.casefold() != word.casefold()
        if not is_meant and abs(len(name) - len(word)) <= max(3, len(word) // 2):
            near.setdefault(name.casefold(), name)
    found = difflib.get_close_matches(word.casefold(), near, n=1, cutoff=0.7)
    return near[found[0]] if found else None


def _letters(name: str) -> str:
    return "".join(character for character in name if not character.isdigit())
