"""Tables of runs for papers and reports: LaTeX, Markdown, HTML. Whatever was logged is shown, never acted on."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from html import escape as escape_html
from typing import Any

from mlops_sdk.markup.visible import visible
from mlops_sdk.query.tables import Table, as_text

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
}  # fmt: skip
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$&])")
_RIGHT = ' align="right"'
_SHORT = ("params.", "metrics.", "tags.")


def differing(table: Table) -> list[str]:
    """Titles of the columns of a report: the name, and what is not the same in all runs."""
    titles = [
        title
        for title in table.columns
        if title.startswith(_SHORT) and len({repr(value) for value in table.columns[title]}) > 1
    ]
    return ["name", *titles] if len(table.columns["run_id"]) > 1 else ["name", *(t for t in table.columns if "." in t)]


def to_latex(table: Table, titles: Sequence[str], digits: int) -> str:
    """A ``tabular`` with the rules of booktabs."""
    shown = _cells(table, titles, digits)
    columns = "".join("r" if is_number else "l" for is_number in _are_numbers(table, titles))
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(_headings(titles)), r"\midrule"]
    lines += [_latex_row(row) for row in shown]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join("".join(_LATEX.get(character, character) for character in cell) for cell in cells) + r" \\"


def to_markdown(table: Table, titles: Sequence[str], digits: int) -> str:
    """A table of GitHub's Markdown."""
    lines = [_markdown_row(_headings(titles))]
    lines.append("|" + "|".join("---:" if is_number else "---" for is_number in _are_numbers(table, titles)) + "|")
    lines += [_markdown_row(row) for row in _cells(table, titles, digits)]
    return "\n".join([*lines, ""])


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_MARKDOWN.sub(r"\\\1", cell) for cell in cells) + " |"


def to_html(table: Table, titles: Sequence[str], digits: int) -> str:
    """A plain ``<table>`` without style or script."""
    rights = _are_numbers(table, titles)
    head = "".join(f"<th>{escape_html(title)}</th>" for title in _headings(titles))
    rows = [
        "".join(
            f"<td{_RIGHT if is_right else ''}>{escape_html(cell)}</td>"
            for cell, is_right in zip(row, rights, strict=True)
        )
        for row in _cells(table, titles, digits)
    ]
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"


def _headings(titles: Sequence[str]) -> list[str]:
    """Titles without their kind, where what is left stands for one column only."""
    bare = [title.split(".", 1)[1] if title.startswith(_SHORT) else title for title in titles]
    return [visible(short if bare.count(short) == 1 else title) for short, title in zip(bare, titles, strict=True)]


def _cells(table: Table, titles: Sequence[str], digits: int) -> list[list[str]]:
    columns = [[_cell(value, digits) for value in table.plain(title)] for title in titles]
    return [list(row) for row in zip(*columns, strict=True)]


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{digits}g}" if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return visible(as_text(value))


def _are_numbers(table: Table, titles: Sequence[str]) -> list[bool]:
    return [all(isinstance(value, int | float | None) and not isinstance(value, bool) for value in table.plain(title))
            for title in titles]  # fmt: skip
