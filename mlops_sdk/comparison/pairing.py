"""Which runs of two groups belong together: those of one fold, or of one seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_sdk.comparison.difference import MISSING, Varies
from mlops_sdk.comparison.question import FOLDS, REPEATS, SPLITS, Question
from mlops_sdk.comparison.statistics import RefusedError
from mlops_sdk.comparison.subject import RunRecord, Subject
from mlops_sdk.values.directions import Direction

if TYPE_CHECKING:
    from mlops_sdk._types import FloatArray


@dataclass(frozen=True, slots=True)
class Pair:
    """Two groups, the values of their runs, and which belong together.

    Attributes
    ----------
    reference, candidate : sequence of float
        Finite values of the runs.
    pairs : sequence of (float, float), or None
        Values of one fold or seed, finite on both sides; None where the groups are no pairs.
    is_folds : bool
        Whether runs say which fold they are.
    mismatch : str
        Why they are no pairs.
    notes : list of str
    """

    reference: Sequence[float]
    candidate: Sequence[float]
    pairs: Sequence[tuple[float, float]] | None
    is_folds: bool
    mismatch: str
    notes: list[str]


def paired(reference: Subject, candidate: Subject, question: Question, direction: Direction | None) -> Pair:
    """The values of two groups, paired where their folds, or else their seeds, are the same."""
    values = [values_of(subject, question, direction) for subject in (reference, candidate)]
    is_folds = has_any(reference, (*FOLDS, *SPLITS)) or has_any(candidate, (*FOLDS, *SPLITS))
    keys = _keys((reference, candidate), question, is_folds=is_folds)
    mismatch = _mismatch(keys, "folds" if is_folds else "seeds")
    pairs = None
    if not mismatch:
        by_key = dict(zip(keys[1], values[1], strict=True))
        both = [(old, by_key[key]) for key, old in zip(keys[0], values[0], strict=True)]
        pairs = [(old, new) for old, new in both if math.isfinite(old) and math.isfinite(new)]
    old, new = (finite(each) for each in values)
    return Pair(old, new, pairs, is_folds, mismatch, _notes((reference, candidate), (old, new)))


def _mismatch(keys: Sequence[Sequence[Any]], what: str) -> str:
    """Why two groups are not pairs; nothing where they are."""
    if any(MISSING in key for key in (*keys[0], *keys[1])):
        return f"not all runs say their {what}, so they cannot be paired"
    if any(map(_has_twice, keys)):
        return f"runs of one group have the same {what}, so they cannot be paired"
    return "" if set(keys[0]) == set(keys[1]) else f"the {what} of the two groups are not the same"


def _keys(subjects: Sequence[Subject], question: Question, *, is_folds: bool) -> list[list[tuple[Any, ...]]]:
    """What a run of one group has in common with one of the other: its fold and repetition, or else its seed.

    The seed counts with folds only where a fold occurs several times.
    """
    names: list[Sequence[str]] = [(*FOLDS, *SPLITS)] if is_folds else [question.seed]
    for further in (REPEATS, question.seed):
        is_said = any(has_any(subject, further) for subject in subjects)
        if is_folds and is_said and any(map(_has_twice, _labels(subjects, names))):
            names.append(further)
    return _labels(subjects, names)


def _labels(subjects: Sequence[Subject], names: Sequence[Sequence[str]]) -> list[list[tuple[Any, ...]]]:
    return [[tuple(label_of(record, each) for each in names) for record in subject.records] for subject in subjects]


def _has_twice(keys: Sequence[tuple[Any, ...]]) -> bool:
    return len(set(keys)) < len(keys)


def label_of(record: RunRecord, names: Sequence[str]) -> Any:
    """The value of a run's param (or tag) of one of these names, hashable; `MISSING` where it has none."""
    value = record.labelled(names)
    return value if value is MISSING or isinstance(value, bool | int | float) else str(value)


def _notes(subjects: Sequence[Subject], used: Sequence[Sequence[float]]) -> list[str]:
    notes = [
        f"{len(subject.records) - len(values)} of {len(subject.records)} runs of {subject.label} have no finite value"
        for subject, values in zip(subjects, used, strict=True)
        if len(values) < len(subject.records)
    ]
    digests = [
        {str(data.get("digest")) for data in subject.datasets.values() if _is_known(data)} for subject in subjects
    ]
    if digests[0] and digests[0] == digests[1]:
        notes.append("all runs saw the same data: this says nothing of other data")
    return notes


def _is_known(dataset: Mapping[str, Any]) -> bool:
    return bool(dataset.get("digest")) and not isinstance(dataset.get("digest"), Varies)


def values_of(subject: Subject, question: Question, direction: Direction | None) -> list[float]:
    """The value of each run; NaN where it has none."""
    summary = str(direction) if question.by == "best" else question.by
    found = (record.value(question.metric, summary) for record in subject.records)
    return [math.nan if value is None else value for value in found]


def finite(values: Sequence[float]) -> list[float]:
    """Values without NaN and infinities."""
    return [value for value in values if math.isfinite(value)]


def as_array(values: Sequence[float]) -> FloatArray:
    """Values as float64, shape (n,)."""
    import numpy as np

    return np.asarray(values, dtype=np.float64)


def has_any(subject: Subject, names: Sequence[str]) -> bool:
    """Whether a run of it has a param (or tag) of one of these names."""
    return any(record.labelled(names) is not MISSING for record in subject.records)


# -- folds -----------------------------------------------------------------------------------------------------------------


def test_ratio(subjects: Sequence[Subject], question: Question) -> float:
    """n_test / n_train of the folds: as given, 1 / (k - 1) of k folds, from a param `test_size`, or from row counts.

    Raises
    ------
    RefusedError
        If nothing says it.
    """
    records = [record for subject in subjects for record in subject.records]
    size = question.test_size
    if size is None:
        folds = {label_of(record, FOLDS) for record in records}
        if MISSING not in folds and len(folds) > 1:
            return 1 / (len(folds) - 1)
        size = _common_fraction([record.labelled(("test_size",)) for record in records])
    if size is not None:
        return size / (1 - size)
    ratios = [ratio for record in records if (ratio := _row_ratio(record)) is not None]
    if len(ratios) == len(records):
        return sum(ratios) / len(ratios)
    raise RefusedError("how much of the data each split tests on is not known: pass test_size=, such as 0.2")


def _common_fraction(values: Sequence[Any]) -> float | None:
    first = values[0]
    return first if isinstance(first, float) and 0 < first < 1 and all(each == first for each in values) else None


def _row_ratio(record: RunRecord) -> float | None:
    rows: dict[str, Any] = {}
    for dataset in record.parts.datasets:
        rows[str(dataset.get("context"))] = dataset.get("n_rows")
    n_train = rows.get("train")
    n_test = next((rows[name] for name in ("test", "validation", "val", "eval") if name in rows), None)
    return n_test / n_train if isinstance(n_train, int) and isinstance(n_test, int) and n_train and n_test else None
