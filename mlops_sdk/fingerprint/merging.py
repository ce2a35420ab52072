"""Fingerprints of the rows of two data sets together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.digest import Hashing
from mlops_sdk.fingerprint.fingerprint import ColumnFingerprint, Fingerprint, content_digest, schema_digest
from mlops_sdk.fingerprint.mixing import MASK

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_comparable(mine: Fingerprint, theirs: Fingerprint) -> None:
    """Refuse fingerprints whose hashes mean different things.

    Raises
    ------
    InvalidValueError
    """
    if mine.salt_id != theirs.salt_id:
        raise InvalidValueError("these fingerprints have different salts: fingerprint both with the same salt=")
    if mine.nan_is_null != theirs.nan_is_null:
        raise InvalidValueError("one fingerprint takes NaN for missing, the other does not: use the same nan_is_null=")


def merge(mine: Fingerprint, theirs: Fingerprint) -> Fingerprint:
    """See `Fingerprint.__add__`.

    Raises
    ------
    InvalidValueError
        If the columns are not the same, or the hashes mean different things.
    """
    check_comparable(mine, theirs)
    if mine.parts or theirs.parts:
        raise InvalidValueError("collections cannot be added: add the fingerprints in their `parts`")
    if not mine.n_columns or not theirs.n_columns:
        return mine if mine.n_columns else theirs
    names, others = ([column.name for column in each.fields] for each in (mine, theirs))
    if names != others:
        raise InvalidValueError(f"fingerprints of other columns cannot be added: {names} and {others}")
    if not theirs.n_rows or not mine.n_rows:
        return mine if mine.n_rows else theirs
    return _merged(mine, theirs)


def _merged(mine: Fingerprint, theirs: Fingerprint) -> Fingerprint:
    hashing = Hashing(mine.salt or theirs.salt)
    if mine.salt_id and not (mine.salt or theirs.salt):
        raise InvalidValueError("the salt is not stored with a fingerprint: add fingerprints made in this process")
    fields = tuple(_column(*pair) for pair in zip(mine.fields, theirs.fields, strict=True))
    n_rows = mine.n_rows + theirs.n_rows
    lanes = content = state = None
    if mine.lanes is not None and theirs.lanes is not None:
        lanes = (mine.lanes[0] + theirs.lanes[0]) & MASK, (mine.lanes[1] + theirs.lanes[1]) & MASK
        if mine.secure_state is not None and theirs.secure_state is not None:
            state = mine.secure_state + theirs.secure_state
        content = content_digest(hashing, n_rows, fields, lanes, state)
    has_sketches = all(each.table is not None and each.smallest is not None for each in (mine, theirs))
    return replace(
        mine, digest=None, content_digest=content, schema_digest=schema_digest(fields), n_rows=n_rows, fields=fields,
        lanes=lanes, table=mine.table + theirs.table if has_sketches and mine.table and theirs.table else None,
        smallest=mine.smallest + theirs.smallest if has_sketches and mine.smallest and theirs.smallest else None,
        secure_state=state, row_hashes=_both(mine, theirs), source=None, files={},
    )  # fmt: skip


def _both(mine: Fingerprint, theirs: Fingerprint) -> np.ndarray[tuple[int], np.dtype[np.uint64]] | None:
    if mine.row_hashes is None or theirs.row_hashes is None:
        return None
    return np.concatenate([mine.row_hashes, theirs.row_hashes])


def _column(mine: ColumnFingerprint, theirs: ColumnFingerprint) -> ColumnFingerprint:
    lane = None if mine.lane is None or theirs.lane is None else (mine.lane + theirs.lane) & MASK
    profile = None if mine.profile is None or theirs.profile is None else mine.profile + theirs.profile
    return ColumnFingerprint(
        mine.name, _joined([mine.type, theirs.type], "object"), _joined([mine.kind, theirs.kind], "mixed"), None,
        mine.n_nulls + theirs.n_nulls, lane, profile,
    )  # fmt: skip


def _joined(names: Sequence[str], otherwise: str) -> str:
    """What both are; ``null`` yields to anything."""
    known = set(names) - {"null"}
    return "null" if not known else next(iter(known)) if len(known) == 1 else otherwise
