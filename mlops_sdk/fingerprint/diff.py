"""What changed between two data sets, and what they share, from their fingerprints alone.

References
----------
.. [1] D. Eppstein et al., "What's the difference? Efficient set reconciliation without prior context", SIGCOMM 2011
.. [2] K. Beyer et al., "On synopses for distinct-value estimation under multiset operations", SIGMOD 2007
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.merging import check_comparable

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.fingerprint.fingerprint import ColumnFingerprint, Fingerprint


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, and the interval it lies in with 95 % confidence; exact where both ends are the number.

    Attributes
    ----------
    value, low, high : float
    """

    value: float
    low: float
    high: float

    @property
    def is_exact(self) -> bool:
        """Whether it was counted, not estimated."""
        return self.low == self.value == self.high

    def __str__(self) -> str:
        if self.is_exact:
            return f"{self.value:,.0f}"
        return f"about {self.value:,.0f} ({self.low:,.0f} to {self.high:,.0f})"


@dataclass(frozen=True, slots=True)
class Overlap:
    """Rows that two data sets share.

    Attributes
    ----------
    shared : Estimate
        Distinct rows that are in both.
    share : float
        Of the distinct rows of the other data set.
    """

    shared: Estimate
    share: float

    @property
    def is_exact(self) -> bool:
        """Whether the rows were counted, not estimated."""
        return self.shared.is_exact

    def __bool__(self) -> bool:
        return self.shared.value > 0

    def __str__(self) -> str:
        return f"{self.shared} rows in both ({self.share:.2%} of the other)"


@dataclass(frozen=True)
class Diff:
    """What changed from one data set to another.

    Attributes
    ----------
    verdict : str
        ``identical``; ``retyped`` (the same values in other types); ``reordered`` (the same rows in another order, or the
        same columns); ``renamed`` (only names of columns differ); ``changed``.
    n_rows : tuple of int
        Before, after.
    columns_added, columns_dropped : tuple of str
    columns_renamed, columns_retyped : mapping
        Old name to new; name to (old type, new type).
    columns_changed : tuple of str
        Of the columns on both sides, those whose values are not the same in any order, or, where the rows stand in the
        same order, not the same in place.
    rows_added, rows_removed : mapping of int to int, or None
        Row hashes with how often; None when there are too many for the lookup table, or the columns differ.
    n_added, n_removed : Estimate or None
    parts : mapping of str to Diff
        Of collections.
    files_added, files_dropped, files_changed : tuple of str
    """

    verdict: str
    n_rows: tuple[int, int]
    columns_added: tuple[str, ...] = ()
    columns_dropped: tuple[str, ...] = ()
    columns_renamed: Mapping[str, str] = field(default_factory=dict)
    columns_retyped: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    columns_changed: tuple[str, ...] = ()
    rows_added: Mapping[int, int] | None = None
    rows_removed: Mapping[int, int] | None = None
    n_added: Estimate | None = None
    n_removed: Estimate | None = None
    parts: Mapping[str, Diff] = field(default_factory=dict)
    files_added: tuple[str, ...] = ()
    files_dropped: tuple[str, ...] = ()
    files_changed: tuple[str, ...] = ()
    before: Fingerprint | None = field(default=None, repr=False)
    after: Fingerprint | None = field(default=None, repr=False)

    @property
    def is_identical(self) -> bool:
        """Whether nothing at all changed."""
        return self.verdict == "identical"

    def __bool__(self) -> bool:
        return not self.is_identical

    def rows(self, *, before: Any = None, after: Any = None, limit: int = 50) -> dict[str, Any]:
        """The rows themselves, looked up by hash in the data at hand.

        Parameters
        ----------
        before, after : data, optional
            What the two fingerprints were made of, or one of them.
        limit : int

        Returns
        -------
        dict
            ``removed`` and ``added``: lists of (row number, row as a dict).

        Raises
        ------
        InvalidValueError
            If the rows are not known (`rows_added` is None).
        """
        from mlops_sdk.fingerprint.finding import find_rows

        return find_rows(self, before, after, limit)

    def plot(self, ax: Any = None) -> Any:
        """Profiles of the columns on both sides, one above the other; returns the matplotlib figure."""
        from mlops_sdk.fingerprint.drawing import draw_diff

        return draw_diff(self, ax)

    def summary(self) -> str:
        """In words, a line for each thing that changed."""
        from mlops_sdk.fingerprint.wording import lines_of

        return "\n".join(lines_of(self))

    def to_dict(self) -> JsonDict:
        """As JSON can say it; row hashes as 16 hex digits."""
        estimates = {name: getattr(self, name) for name in ("n_added", "n_removed")}
        hashes = {name: getattr(self, name) for name in ("rows_added", "rows_removed")}
        plain = (
            "verdict", "n_rows", "columns_added", "columns_dropped", "columns_changed", "files_added", "files_dropped",
            "files_changed",
        )  # fmt: skip
        said: JsonDict = {name: getattr(self, name) for name in plain}
        said |= {name: dict(getattr(self, name)) for name in ("columns_renamed", "columns_retyped")}
        said |= {
            name: None if value is None else {"value": value.value, "low": value.low, "high": value.high}
            for name, value in estimates.items()
        }
        said |= {
            name: None if value is None else {f"{key:016x}": count for key, count in value.items()}
            for name, value in hashes.items()
        }
        return said | {"parts": {name: part.to_dict() for name, part in self.parts.items()}}

    def _repr_html_(self) -> str:
        from mlops_sdk.fingerprint.html import of_diff

        return of_diff(self)

    def __str__(self) -> str:
        return self.summary()


def compare(before: Fingerprint, after: Fingerprint) -> Diff:
    """See `Fingerprint.diff`."""
    check_comparable(before, after)
    is_bare = not (before.fields and after.fields)
    if before.parts or after.parts or (is_bare and (before.files or after.files)):
        return _compare_collections(before, after)
    return _compare_tables(before, after)


def _compare_collections(before: Fingerprint, after: Fingerprint) -> Diff:
    shared = [name for name in before.parts if name in after.parts]
    parts = {name: compare(before.parts[name], after.parts[name]) for name in shared}
    names = (set(before.files), set(after.files))
    both = names[0] & names[1]
    tables = before.n_columns and after.n_columns and not parts
    base = _compare_tables(before, after) if tables else Diff("changed", (before.n_rows, after.n_rows))
    is_identical = before.digest == after.digest and before.schema_digest == after.schema_digest
    return replace(
        base,
        verdict=base.verdict if tables else "identical" if is_identical else "changed",
        columns_added=base.columns_added or tuple(name for name in after.parts if name not in before.parts),
        columns_dropped=base.columns_dropped or tuple(name for name in before.parts if name not in after.parts),
        parts={name: part for name, part in parts.items() if part},
        files_added=tuple(sorted(names[1] - names[0])), files_dropped=tuple(sorted(names[0] - names[1])),
        files_changed=tuple(sorted(name for name in both if before.files[name] != after.files[name])),
        before=before, after=after,
    )  # fmt: skip


def _compare_tables(before: Fingerprint, after: Fingerprint) -> Diff:
    old, new = before.columns, after.columns
    dropped = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    renamed = _renamed(old, new, dropped, added)
    shared = [name for name in old if name in new]
    same_content = before.content_digest is not None and before.content_digest == after.content_digest
    same_order = _same_row_order(old, new, shared, renamed)
    changed = () if same_content else tuple(
        name for name in shared if not _same_values(old[name], new[name], in_place=same_order)
    )  # fmt: skip
    retyped = {name: (old[name].type, new[name].type) for name in shared if old[name].type != new[name].type}
    dropped = [name for name in dropped if name not in renamed]
    added = [name for name in added if name not in renamed.values()]
    rows = _rows(before, after) if sorted(old) == sorted(new) else _Rows()
    is_rest_same = not (changed or dropped or added) and before.n_rows == after.n_rows
    verdict = _verdict(before, after, same_content=same_content, renamed=bool(renamed), is_rest_same=is_rest_same)
    return Diff(
        verdict, (before.n_rows, after.n_rows), tuple(added), tuple(dropped), renamed, retyped, changed,
        rows.added, rows.removed, rows.n_added, rows.n_removed, before=before, after=after,
    )  # fmt: skip


def _verdict(before: Fingerprint, after: Fingerprint, *, same_content: bool, renamed: bool, is_rest_same: bool) -> str:
    if before.digest is not None and before.digest == after.digest:
        return "identical" if before.schema_digest == after.schema_digest else "retyped"
    if same_content:
        is_known = before.digest is not None and after.digest is not None
        return "reordered" if is_known or before.schema_digest != after.schema_digest else "identical"
    return "renamed" if renamed and is_rest_same else "changed"


def _renamed(
    old: Mapping[str, ColumnFingerprint], new: Mapping[str, ColumnFingerprint], dropped: list[str], added: list[str]
) -> dict[str, str]:
    """Columns that went and came with the same values."""
    renamed: dict[str, str] = {}
    for in_place in (True, False):
        for name in dropped:
            free = [each for each in added if each not in renamed.values()]
            match = next((each for each in free if _same_values(old[name], new[each], in_place=in_place)), None)
            if name not in renamed and match is not None and old[name].kind != "null":
                renamed[name] = match
    return renamed


def _same_values(mine: ColumnFingerprint, theirs: ColumnFingerprint, *, in_place: bool) -> bool:
    if mine.digest is not None and mine.digest == theirs.digest:
        return True
    if in_place and mine.digest is not None and theirs.digest is not None:
        return False
    return (
        mine.lane is not None
        and (mine.lane, mine.kind, mine.n_nulls) == (theirs.lane, theirs.kind, theirs.n_nulls)
    )  # fmt: skip


def _same_row_order(
    old: Mapping[str, ColumnFingerprint],
    new: Mapping[str, ColumnFingerprint],
    shared: list[str],
    renamed: Mapping[str, str],
) -> bool:
    """Whether a column stayed in place: then the rows did."""
    pairs = [(name, name) for name in shared] + list(renamed.items())
    informative = [(a, b) for a, b in pairs if old[a].kind != "null"]
    return any(old[a].digest is not None and old[a].digest == new[b].digest for a, b in informative)


@dataclass(frozen=True, slots=True)
class _Rows:
    added: dict[int, int] | None = None
    removed: dict[int, int] | None = None
    n_added: Estimate | None = None
    n_removed: Estimate | None = None


def _rows(before: Fingerprint, after: Fingerprint) -> _Rows:
    """Rows that went and came: exactly while the lookup table holds them, else estimated."""
    if before.table is None or after.table is None or before.smallest is None or after.smallest is None:
        return _Rows()
    found = (after.table - before.table).decode()
    if found is not None and sum(found.values()) == after.n_rows - before.n_rows:
        added = {key: count for key, count in found.items() if count > 0}
        removed = {key: -count for key, count in found.items() if count < 0}
        totals = [float(sum(each.values())) for each in (added, removed)]
        return _Rows(added, removed, *(Estimate(total, total, total) for total in totals))
    return _Rows(n_added=_share_of(after, before, is_shared=False), n_removed=_share_of(before, after, is_shared=False))


def overlap(mine: Fingerprint, theirs: Fingerprint) -> Overlap:
    """See `Fingerprint.overlap`."""
    check_comparable(mine, theirs)
    if mine.row_hashes is not None and theirs.row_hashes is not None:
        return _exact_overlap(mine.row_hashes, theirs.row_hashes)
    if mine.smallest is None or theirs.smallest is None:
        raise InvalidValueError("one of these fingerprints has no sketches: leave out sketches=False")
    # the set of the lower limit has the larger sample
    pair = (mine, theirs) if mine.smallest.limit <= theirs.smallest.limit else (theirs, mine)
    shared = _share_of(*pair, is_shared=True)
    n = _size(theirs).value
    return Overlap(shared, min(1.0, shared.value / n) if n else 0.0)


def _exact_overlap(mine: Any, theirs: Any) -> Overlap:
    distinct = np.unique(theirs)
    own = np.unique(mine)
    at = np.minimum(np.searchsorted(own, distinct), max(0, len(own) - 1))
    n = float((own[at] == distinct).sum()) if len(own) else 0.0
    return Overlap(Estimate(n, n, n), n / len(distinct) if len(distinct) else 0.0)


def _share_of(mine: Fingerprint, theirs: Fingerprint, *, is_shared: bool) -> Estimate:
    """Distinct rows of `mine` that are in `theirs` too, or that are not.

    Notes
    -----
    At and below the lower of the two limits both samples are whole. So the rows of `mine` that lie there are a uniform
    sample of its distinct rows, of each of which it is known whether the other has it: a binomial share, times the size.
    """
    assert mine.smallest is not None
    assert theirs.smallest is not None
    limit = np.uint64(min(mine.smallest.limit, theirs.smallest.limit))
    own, other = (each.smallest.hashes[each.smallest.hashes <= limit] for each in (mine, theirs) if each.smallest)
    both = len(np.intersect1d(own, other, assume_unique=True))
    count = both if is_shared else len(own) - both
    if mine.smallest.is_whole and theirs.smallest.is_whole:
        return Estimate(float(count), float(count), float(count))
    size = _size(mine)
    low, high = wilson(count, len(own))
    value = size.value * count / len(own) if len(own) else size.value / 2
    return Estimate(value, size.low * low, size.high * high)


def _size(mine: Fingerprint) -> Estimate:
    """Distinct rows: all of them, where the estimate leaves that possible."""
    assert mine.smallest is not None
    n = mine.smallest.distinct()
    error = 0.0 if mine.smallest.is_whole else 1 / math.sqrt(mine.smallest.k - 2)
    if abs(n - mine.n_rows) <= 3 * error * mine.n_rows:
        return Estimate(float(mine.n_rows), float(mine.n_rows), float(mine.n_rows))
    return Estimate(n, n * (1 - 1.96 * error), n * (1 + 1.96 * error))


def wilson(count: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval, corrected for continuity, of a share `count` / `n`.

    References
    ----------
    .. [1] R. G. Newcombe, "Two-sided confidence intervals for the single proportion", 1998, method 4
    """
    if n == 0:
        return 0.0, 1.0
    z, p = 1.959964, count / n
    centre, scale = 2 * n * p + z * z, 2 * (n + z * z)
    low_root = z * z - 2 - 1 / n + 4 * p * (n * (1 - p) + 1)
    high_root = z * z + 2 - 1 / n + 4 * p * (n * (1 - p) - 1)
    low = 0.0 if count == 0 else (centre - 1 - z * math.sqrt(max(0.0, low_root))) / scale
    high = 1.0 if count == n else (centre + 1 + z * math.sqrt(max(0.0, high_root))) / scale
    return max(0.0, low), min(1.0, high)


def names_of(changes: Iterable[str]) -> str:
    """Names, at most twelve."""
    listed = list(changes)
    return ", ".join(listed[:12]) + (f" and {len(listed) - 12} more" if len(listed) > 12 else "")
