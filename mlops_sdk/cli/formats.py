"""The forms of output that programs read: JSON, CSV, Markdown.

JSON is exact: floats and ints as they are, NaN and the infinities as the strings "NaN", "Infinity", "-Infinity", because
JSON has no numbers for them. Everything beyond ASCII is escaped, so that it survives every code page and terminal.

CSV and Markdown may be opened by programs that act on what they read: a spreadsheet runs a cell that begins with "=", so
text that begins like a formula gets an apostrophe in front. Numbers never do.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from io import StringIO
from itertools import chain
from typing import Any

from mlops_sdk.cli.text import escape, exact, is_number

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_BACKSLASHED = r"\\\1"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """A value as JSON text; see the module's text."""
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return str(value)


def csv_lines(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterable[str]:
    """A table as lines of CSV, exact to the last digit; the lines bring no line end."""
    buffer = StringIO()
    # with another line end, Python before 3.13 would not quote a cell that holds this one
    writer = csv.writer(buffer, lineterminator="\n")
    for row in chain([titles], rows):
        writer.writerow([_csv_cell(value) for value in row])
        yield buffer.getvalue().removesuffix("\n")
        buffer.seek(0)
        buffer.truncate()


def _csv_cell(value: Any) -> str:
    text = exact(value)
    if is_number(value):
        return text
    shown = "\n".join(escape(line) for line in text.split("\n"))
    return f"'{shown}" if text.startswith(_FORMULA) else shown


def markdown_lines(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """A table as lines of Markdown; nothing stored is read as markup."""
    for index, row in enumerate(chain([titles], rows)):
        yield "".join(f"| {_MARKDOWN.sub(_BACKSLASHED, escape(cell))} " for cell in row) + "|"
        if index == 0:
            yield "|" + "---|" * len(titles)
