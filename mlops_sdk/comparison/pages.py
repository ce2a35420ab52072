"""A comparison as static HTML for notebooks; `mlops_sdk.markup` escapes every text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from mlops_sdk.comparison.report import MAX_SENTENCE, Block, blocks, groups_block
from mlops_sdk.markup.cards import card, faint, section, table
from mlops_sdk.markup.elements import Html, element, join, text

if TYPE_CHECKING:
    from mlops_sdk.comparison.comparison import Comparison
    from mlops_sdk.comparison.verdict import GroupSummary

_COLOURS = {"better": "#009E73", "worse": "#D55E00"}
_LINES = 60
_MOST_LABELS = 6


def page(comparison: Comparison) -> Html:
    """Tables in the order of `mlops_sdk.comparison.report.blocks`; notes are closed at first."""
    labels = comparison.labels
    more = f" and {len(labels) - _MOST_LABELS:,} more" if len(labels) > _MOST_LABELS else ""
    title = "Comparison of " + ", ".join(label[:80] for label in labels[:_MOST_LABELS]) + more
    parts = [section(block.title, _body(block), is_open=block.title != "notes") for block in blocks(comparison, _LINES)]
    return card(title, *(part or faint("nothing differs") for part in parts))


def _body(block: Block) -> Html:
    rows = [[*row[:-1], _toned(row[-1], tone)] for row, tone in zip_longest(block.rows, block.tones, fillvalue="")]
    if len(block.columns) == 1:
        body = join(element("div", *row) for row in rows)
    else:
        body = table(block.columns, rows) if rows else Html()
    return join([body, element("div", faint(block.more))]) if block.more else body


def _toned(content: str, tone: str) -> Html:
    """The last cell with a mark in the colour of its tone; the words say the same."""
    shown = text(content, MAX_SENTENCE)
    mark = element("span", "● ", style=f"color:{_COLOURS[tone]}") if tone in _COLOURS else ""
    return join([mark, shown])


def groups_page(groups: Sequence[GroupSummary]) -> Html:
    """A table of groups."""
    block = groups_block(groups)
    return card(block.title, table(block.columns, block.rows))
