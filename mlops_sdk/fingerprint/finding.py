"""Rows looked up by their hashes in data that is at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint import making, tables
from mlops_sdk.fingerprint.canonical import Chunk, Rules
from mlops_sdk.fingerprint.digest import Hashing
from mlops_sdk.fingerprint.streaming import Options, row_hashes

if TYPE_CHECKING:
    from mlops_sdk.fingerprint.diff import Diff
    from mlops_sdk.fingerprint.fingerprint import Fingerprint


def find_rows(diff: Diff, before: Any, after: Any, limit: int) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """See `Diff.rows`."""
    sides = (("removed", before, diff.rows_removed, diff.before), ("added", after, diff.rows_added, diff.after))
    found = {}
    for name, data, wanted, made in sides:
        if data is not None:
            if wanted is None or made is None:
                raise InvalidValueError("the rows are not known one by one: fingerprint both with a larger capacity=")
            found[name] = list(_matching(data, wanted, made, limit))
    return found


def _matching(
    data: Any, wanted: Mapping[int, int], made: Fingerprint, limit: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    seed = Hashing(made.salt).words("seed")[0] if made.salt else 0
    options = Options(rules=Rules(made.nan_is_null, seed), salt=made.salt)
    left = dict(wanted)
    keys = np.array(sorted(left), dtype=np.uint64)
    start = 0
    for chunk in chunks_again(data, made.target):
        (hashes,) = row_hashes([chunk], options)
        for row in np.flatnonzero(np.isin(hashes, keys)).tolist():
            key = int(hashes[row])
            if left[key] > 0 and limit > 0:
                left[key] -= 1
                limit -= 1
                yield start + row, row_of(chunk, row)
        start += chunk.n_rows
        if limit <= 0:
            return


def chunks_again(data: Any, target: Any = None) -> Iterator[Chunk]:
    """Chunks of the data that a fingerprint was made of.

    Raises
    ------
    InvalidValueError
        If it is no table.
    """
    import os
    from pathlib import Path

    if isinstance(data, (str, os.PathLike)):
        from mlops_sdk.fingerprint.files import table_of_file

        chunks = table_of_file(Path(data))
    else:
        chunks = tables.table_chunks(data)
    if chunks is None:
        raise InvalidValueError("rows can be looked up in a table only")
    named, column = making.target_of(target)
    return chunks if column is None else making.with_target(chunks, named, column)


def row_of(chunk: Chunk, row: int) -> dict[str, Any]:
    """The values of one row, for people."""
    values = {}
    for name, column in zip(chunk.names, chunk.columns, strict=True):
        cells = column.cells(row, row + 1, Rules())
        values[name] = None if cells.nulls is not None else cells.label(0)
    return values
