"""A comparison as static HTML for notebooks; `mlops_sdk.markup` escapes every text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from mlops_sdk.comparison.report import MAX_SENTENCE, Block, blocks, groups_block
from mlops_sdk.markup.cards import card, faint, section, table
from mlops_sdk.markup.charts import interval
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
    """A table of groups, with their intervals drawn on one scale."""
    block = groups_block(groups)
    ends = [end for each in groups for end in _ends(each) if math.isfinite(end)]
    limits = (min(ends), max(ends)) if ends else (0.0, 0.0)
    rows = [[*row, _drawn(each, limits)] for row, each in zip(block.rows, groups, strict=True)]
    return card(block.title, table((*block.columns, ""), rows, numbers=(2, 3, 4)))


def _ends(group: GroupSummary) -> tuple[float, float, float]:
    found = group.description
    return found.low, found.mean, found.high


def _drawn(group: GroupSummary, limits: tuple[float, float]) -> Html:
    """The interval as a picture; a group of one has a dot alone."""
    low, mean, high = _ends(group)
    is_known = not (math.isnan(low) or math.isnan(high))
    title = f"{group.label}: {mean:.4g}" + (f", {low:.4g} to {high:.4g}" if is_known else "")
    return interval(low if is_known else mean, mean, high if is_known else mean, limits, title=title)
