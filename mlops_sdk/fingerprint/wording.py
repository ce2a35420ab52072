"""A diff in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlops_sdk.fingerprint.diff import names_of

if TYPE_CHECKING:
    from mlops_sdk.fingerprint.diff import Diff

_VERDICTS = {
    "identical": "identical",
    "retyped": "the same values in other types",
    "reordered": "the same rows, in another order of rows or columns",
    "renamed": "the same values under other names of columns",
    "changed": "changed",
}


def lines_of(diff: Diff) -> Iterator[str]:
    """The verdict, then a line for each thing that changed."""
    yield _VERDICTS[diff.verdict]
    before, after = diff.n_rows
    if before != after:
        yield f"rows: {before:,} -> {after:,}"
    yield from _columns(diff)
    if diff.n_added is not None and diff.n_removed is not None and diff.verdict == "changed":
        yield f"rows removed: {diff.n_removed}"
        yield f"rows added: {diff.n_added}"
    for word, files in (("added", diff.files_added), ("dropped", diff.files_dropped), ("changed", diff.files_changed)):
        if files:
            yield f"files {word}: {names_of(files)}"
    for name, part in diff.parts.items():
        yield from (f"{name}: {line}" for line in lines_of(part))


def _columns(diff: Diff) -> Iterator[str]:
    changes = (("added", diff.columns_added), ("dropped", diff.columns_dropped), ("changed", diff.columns_changed))
    for word, columns in changes:
        if columns:
            yield f"columns {word}: {names_of(columns)}"
    if diff.columns_renamed:
        yield f"columns renamed: {names_of(f'{old} -> {new}' for old, new in diff.columns_renamed.items())}"
    if diff.columns_retyped:
        yield f"columns retyped: {names_of(f'{name} {old} -> {new}' for name, (old, new) in diff.columns_retyped.items())}"
