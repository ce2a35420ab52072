"""A comparison as static HTML for notebooks; `mlops_sdk.markup` escapes every text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_sdk.comparison.report import Block, blocks, groups_block
from mlops_sdk.markup.cards import card, faint, section, table
from mlops_sdk.markup.elements import Html, element, join

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
    tones = [*block.tones, *([""] * (len(block.rows) - len(block.tones)))]
    rows = [[*row[:-1], _toned(row[-1], tone)] for row, tone in zip(block.rows, tones, strict=True)]
    body = table(block.columns, rows) if rows else Html()
    return join([body, element("div", faint(block.more))]) if block.more else body


def _toned(text: str, tone: str) -> str | Html:
    """The last cell with a mark in the colour of its tone; the words say the same."""
    if tone not in _COLOURS:
        return text
    return join([element("span", "● ", style=f"color:{_COLOURS[tone]}"), text])


def groups_page(groups: Sequence[GroupSummary]) -> Html:
    """A table of groups."""
    block = groups_block(groups)
    return card(block.title, table(block.columns, block.rows))
