"""Logged predictions: a table artifact that says, example by example, what was right and what a model said.

The convention: an artifact ``predictions.csv`` (or ``.json``, ``.parquet``), as `Run.log_table` writes it, with the columns
``y_true`` and ``y_pred`` and, where the order of examples may differ between runs, a column ``id``::

    run.log_table({"id": ids, "y_true": y_test, "y_pred": model.predict(X_test)}, "predictions.csv")
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_sdk.comparison.difference import same
from mlops_sdk.errors import InvalidValueError, MissingDependencyError

FILES = ("predictions.csv", "predictions.json", "predictions.parquet")
MAX_BYTES = 1 << 28
_TRUTH, _PREDICTED, _ID = "y_true", "y_pred", "id"


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model said of n examples.

    Attributes
    ----------
    truth : mapping
        The right answer by example: by its id, or by its place.
    is_right : mapping
        Whether the model's answer was right, likewise.
    """

    truth: Mapping[Any, Any]
    is_right: Mapping[Any, bool]


def parse(file: str, content: bytes) -> Predictions:
    """Read predictions.

    Parameters
    ----------
    file : str
        Its name, whose extension says the format.
    content : bytes

    Raises
    ------
    InvalidValueError
        If it is no such table, lacks ``y_true`` or ``y_pred``, or two rows have one id.
    MissingDependencyError
        If a Parquet file cannot be read here.
    """
    try:
        columns = _READERS[file.rpartition(".")[2].lower()](content)
    except (ValueError, LookupError, TypeError, RecursionError, csv.Error) as error:
        raise InvalidValueError(f"{file} could not be read as a table: {error}") from error
    if _TRUTH not in columns or _PREDICTED not in columns:
        raise InvalidValueError(f"{file} needs the columns {_TRUTH} and {_PREDICTED}")
    truth, predicted = columns[_TRUTH], columns[_PREDICTED]
    ids = columns.get(_ID, range(len(truth)))
    if not len(ids) == len(truth) == len(predicted) or len(set(map(str, ids))) < len(truth):
        raise InvalidValueError(f"{file} has rows without an {_ID} of their own")
    names = [str(each) for each in ids]
    is_right = [_is_one(a, b) for a, b in zip(truth, predicted, strict=True)]
    return Predictions(dict(zip(names, truth, strict=True)), dict(zip(names, is_right, strict=True)))


def discordance(reference: Predictions, candidate: Predictions) -> tuple[int, int, int]:
    """On how many examples only the one, only the other is right, and how many examples there are.

    Raises
    ------
    InvalidValueError
        If the two are not about the same examples.
    """
    if reference.truth.keys() != candidate.truth.keys():
        raise InvalidValueError("the predictions of the two are not about the same examples")
    if not all(_is_one(truth, candidate.truth[key]) for key, truth in reference.truth.items()):
        raise InvalidValueError("the predictions of the two do not agree on what is right")
    pairs = [(right, candidate.is_right[key]) for key, right in reference.is_right.items()]
    return pairs.count((True, False)), pairs.count((False, True)), len(pairs)


def _is_one(one: Any, other: Any) -> bool:
    """Whether two labels are one; in CSV a number is text, and may be written in two ways."""
    if isinstance(one, str) and isinstance(other, str) and one != other:
        try:
            return float(one) == float(other)
        except ValueError:
            return False
    return same(one, other)


# -- formats ---------------------------------------------------------------------------------------------------------------


def _csv_columns(content: bytes) -> dict[str, Sequence[Any]]:
    rows = list(csv.reader(io.StringIO(content.decode("utf-8", "replace"), newline="")))
    return {name: [row[place] for row in rows[1:]] for place, name in enumerate(rows[0])} if rows else {}


def _json_columns(content: bytes) -> dict[str, Sequence[Any]]:
    rows = json.loads(content)
    names = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    return {name: [row[name] for row in rows] for name in names}


def _parquet_columns(content: bytes) -> dict[str, Sequence[Any]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", purpose="predictions in Parquet") from error
    table = parquet.read_table(io.BytesIO(content))
    return {name: table.column(name).to_pylist() for name in table.column_names}


_READERS = {"csv": _csv_columns, "json": _json_columns, "parquet": _parquet_columns}
