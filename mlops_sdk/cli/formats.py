"""The forms of output that programs read: JSON, CSV, Markdown.

JSON is exact: floats and ints as they are, NaN and the infinities as the strings "NaN", "Infinity", "-Infinity", because
JSON has no numbers for them. Everything beyond ASCII is escaped, so that it survives every code page and terminal.

CSV and Markdown may be opened by programs that act on what they read: a spreadsheet runs a cell that begins with "=", so
text that begins like a formula gets an apostrophe in front. Numbers never do. One that splits at semicolons, as in many
countries, also pays no heed to quotes that do not end at one: text that would begin like a formula behind a semicolon or a
line break within a cell gets an apostrophe there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from mlops_sdk.cli.text import escape, exact, is_number

SPREADSHEET_CHARACTERS, SPREADSHEET_ROWS = 32_767, 1_048_576
"""What Excel holds in a cell, and in a sheet with its heading; the rest it leaves out without asking."""
# the wide ones are read as the others by spreadsheets of languages that have them on the keyboard
_FORMULA = re.compile(r"""(^|[;\n])(?=["\s]*[=+\-@＝＋－＠])|^(?=[\t\r\n])""")
_QUOTED = re.compile(r"""[,;|"'\t\r\n]|^\s|\s$""")
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


def csv_lines(
    titles: Sequence[str], rows: Iterable[Sequence[Any]], say: Callable[[str], None] | None = None
) -> Iterable[str]:
    """A table as lines of CSV, exact to the last digit; the lines bring no line end.

    Parameters
    ----------
    titles : sequence of str
    rows : iterable of sequences
    say : callable, optional
        Told at the end what Excel would leave out: programs read it all.
    """
    n_rows = n_long = 0
    for row in chain([titles], rows):
        cells = [_csv_cell(value) for value in row]
        n_rows += 1
        n_long += sum(len(cell) > SPREADSHEET_CHARACTERS for cell in cells)
        yield ",".join(cells) or '""' * len(cells)
    if say is not None and n_long:
        say(f"{n_long:,} cells have more than {SPREADSHEET_CHARACTERS:,} characters: Excel cuts them, programs do not")
    if say is not None and n_rows > SPREADSHEET_ROWS:
        say(f"{n_rows:,} lines: Excel shows the first {SPREADSHEET_ROWS:,}; -n and a filter make it fewer")


def _csv_cell(value: Any) -> str:
    text = exact(value)
    if is_number(value):
        return text
    shown = "\n".join(escape(line) for line in _FORMULA.sub(r"\1'", text).split("\n"))
    return f'"{shown.replace(chr(34), chr(34) * 2)}"' if _QUOTED.search(shown) else shown


def markdown_lines(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """A table as lines of Markdown; nothing stored is read as markup."""
    for index, row in enumerate(chain([titles], rows)):
        yield "".join(f"| {_MARKDOWN.sub(_BACKSLASHED, escape(cell))} " for cell in row) + "|"
        if index == 0:
            yield "|" + "---|" * len(titles)
