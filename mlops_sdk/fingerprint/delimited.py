"""Delimited text (CSV, TSV), typed by a rule of our own: no reader's inference takes part in an identity.

References
----------
.. [1] ``docs/fingerprint-spec.md``, "Delimited text"
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import math
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.canonical import BLOCK_ROWS, Chunk, Column
from mlops_sdk.fingerprint.objects import Objects

_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}
MAX_FIELD_CHARACTERS = 1 << 24


def chunks_of_delimited(path: Path) -> Iterator[Chunk]:
    """Chunks of a CSV or TSV file with a header line, perhaps compressed by gzip; read twice: for the types, for the values.

    Raises
    ------
    InvalidValueError
        If it has no header, or a row has another number of fields.
    """
    with _reading(path) as (names, batches):
        kinds = [0] * len(names)
        for batch in batches:
            for place, cells in enumerate(zip(*batch, strict=True)):
                kinds[place] = _narrow(kinds[place], cells)
    with _reading(path) as (names, batches):
        is_empty = True
        for batch in batches:
            is_empty = False
            columns = [_column(cells, kind) for cells, kind in zip(zip(*batch, strict=True), kinds, strict=True)]
            yield Chunk(names, columns, len(batch))
        if is_empty:
            yield Chunk(names, [Objects([], "null") for _ in names], 0)


class _reading:  # noqa: N801 - reads as a function
    """Names and batches of rows of a file; a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> tuple[tuple[str, ...], Iterator[list[list[str]]]]:
        name = self._path.name.lower()
        raw: Any = gzip.open(self._path, "rb") if name.endswith(".gz") else self._path.open("rb")
        self._file = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        self._limit = csv.field_size_limit(MAX_FIELD_CHARACTERS)  # of the process: put back at the end
        try:
            rows = csv.reader(self._file, delimiter="\t" if ".tsv" in name else ",", strict=True)
            header = next(rows, None)
            if not header:
                raise InvalidValueError(f"{str(self._path)!r} has no header line with the names of the columns")
        except BaseException:
            self.__exit__()
            raise
        return tuple(header), self._batches(rows, len(header))

    def _batches(self, rows: Any, width: int) -> Iterator[list[list[str]]]:
        while batch := list(islice(rows, BLOCK_ROWS)):
            batch = [row for row in batch if row]  # a blank line is no row; a missing value alone is written ""
            for row in batch:
                if len(row) != width:
                    raise InvalidValueError(
                        f"{str(self._path)!r} has a row of {len(row)} fields near line {rows.line_num}, of {width} columns"
                    )
            if batch:
                yield batch

    def __exit__(self, *_: object) -> None:
        csv.field_size_limit(self._limit)
        self._file.close()


def _integers(cells: Any) -> list[Any]:
    return [None if cell == "" else int(cell) for cell in cells]


def _floats(cells: Any) -> list[Any]:
    values = [None if cell == "" else float(cell) for cell in cells]
    if math.inf in values or -math.inf in values:
        for cell, value in zip(cells, values, strict=True):
            if value in (math.inf, -math.inf) and any(map(str.isdigit, cell)):
                raise ValueError(cell)  # too large for a float64: as one, it would be any other such number
    return values


def _booleans(cells: Any) -> list[Any]:
    return [None if cell == "" else _BOOLEANS[cell.lower()] for cell in cells]


def _naive(cells: Any) -> list[Any]:
    return [None if cell == "" else _moment(cell, is_aware=False) for cell in cells]


def _aware(cells: Any) -> list[Any]:
    return [None if cell == "" else _moment(cell, is_aware=True) for cell in cells]


def _moment(cell: str, *, is_aware: bool) -> dt.datetime:
    if not _TIME.fullmatch(cell):
        raise ValueError(cell)
    moment = dt.datetime.fromisoformat(cell)
    if (moment.tzinfo is not None) != is_aware:
        raise ValueError(cell)
    return moment


def _texts(cells: Any) -> list[Any]:
    return [None if cell == "" else cell for cell in cells]


_KINDS: list[tuple[str, Callable[[Any], list[Any]]]] = [
    ("null", _texts), ("bool", _booleans), ("int64", _integers), ("float64", _floats), ("datetime", _naive),
    ("datetime, tz", _aware), ("text", _texts),
]  # fmt: skip
"""From narrow to wide: a column is of the first that reads all its cells."""


def _narrow(kind: int, cells: tuple[str, ...]) -> int:
    """The first kind from `kind` on that reads every cell, and every cell before."""
    if not any(cells):
        return kind
    if kind == 0:
        return next(each for each in range(1, len(_KINDS)) if _reads(each, cells))
    if _reads(kind, cells):
        return kind
    return 3 if kind == 2 and _reads(3, cells) else len(_KINDS) - 1


def _reads(kind: int, cells: tuple[str, ...]) -> bool:
    if kind in (2, 3) and any("_" in cell for cell in cells):  # Python's, not a number's
        return False
    try:
        _KINDS[kind][1](cells)
    except (ValueError, KeyError):
        return False
    return True


def _column(cells: tuple[str, ...], kind: int) -> Column:
    name, read = _KINDS[kind]
    return Objects(read(cells), name)
