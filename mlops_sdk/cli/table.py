"""Tables for people: one line a row, measured in terminal cells, as many columns as the width holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mlops_sdk.cli.text import escape, fit

GAP = "  "
_MIN_WIDTH = 6


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    title : str
    cells : sequence of str
        Stored text as it is: the table escapes it.
    max_width : int
        In cells; what is longer is cut.
    is_right : bool
        Aligned to the right, for numbers.
    is_rigid : bool
        Never made narrower: half an id is of no use.
    is_optional : bool
        Left out where the width does not hold it.
    paint : callable, optional
        Takes (cell, padded cell) and returns the latter with colour, or without.
    """

    title: str
    cells: Sequence[str]
    max_width: int = 24
    is_right: bool = False
    is_rigid: bool = False
    is_optional: bool = False
    paint: Callable[[str, str], str] | None = None

    def natural_width(self) -> int:
        """Width that the longest cell asks for, within `max_width`."""
        from rich.cells import cell_len

        bound = 4 * self.max_width
        longest = 0
        for cell in (self.title, *self.cells):
            is_plain = cell.isascii() and cell.isprintable()
            longest = max(longest, len(cell) if is_plain else cell_len(escape(cell[:bound])))
        return min(longest, self.max_width)


@dataclass(frozen=True, slots=True)
class Layout:
    """The lines of a table and the titles of what they have no room for."""

    lines: list[str]
    left_out: list[str]


def lay_out(columns: Sequence[Column], width: int, paint_title: Callable[[str], str] = str) -> Layout:
    """Arrange columns in lines of at most `width` cells.

    Parameters
    ----------
    columns : sequence of Column
        All of one length, n rows.
    width : int
        Optional columns that do not fit are left out, the others are made narrower, down to 6 cells unless they are rigid.
    paint_title : callable, optional
        Colours the line of titles.
    """
    needed = [column for column in columns if not column.is_optional]
    widths = _narrowed(needed, width)
    shown, left_out = list(zip(needed, widths, strict=True)), []
    free = width - sum(widths) - len(GAP) * (len(widths) - 1)
    for column in (column for column in columns if column.is_optional):
        wanted = column.natural_width() + len(GAP)
        if wanted <= free:
            shown.append((column, wanted - len(GAP)))
            free -= wanted
        else:
            left_out.append(column.title)
    return Layout([paint_title(_line(shown, None)), *_rows(shown)], left_out)


def _narrowed(columns: Sequence[Column], width: int) -> list[int]:
    """Widths, taken from the widest until the columns fit, or nothing can be taken any more."""
    widths = [column.natural_width() for column in columns]
    least = [
        natural if column.is_rigid else min(natural, _MIN_WIDTH)
        for column, natural in zip(columns, widths, strict=True)
    ]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while excess > 0:
        can_give = [index for index, natural in enumerate(widths) if natural > least[index]]
        if not can_give:
            break
        widths[max(can_give, key=lambda index: widths[index])] -= 1
        excess -= 1
    return widths


def _rows(shown: Sequence[tuple[Column, int]]) -> Iterator[str]:
    n_rows = len(shown[0][0].cells) if shown else 0
    return (_line(shown, row) for row in range(n_rows))


def _line(shown: Sequence[tuple[Column, int]], row: int | None) -> str:
    """A row, or (None) the titles."""
    return GAP.join(_cell(column, width, row) for column, width in shown).rstrip()


def _cell(column: Column, width: int, row: int | None) -> str:
    from rich.cells import cell_len

    text = column.title if row is None else column.cells[row]
    shown = fit(text, width)
    padding = " " * (width - (len(shown) if shown.isascii() else cell_len(shown)))
    padded = padding + shown if column.is_right else shown + padding
    return padded if row is None or column.paint is None else column.paint(text, padded)
