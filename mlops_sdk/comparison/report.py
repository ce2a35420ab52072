"""A comparison as titled tables of text, for terminals, pages and programs.

Cells are stored text as it is: who shows them makes them harmless (`plain_lines` here, the command line's tables, the
notebook's elements).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from mlops_sdk.comparison.difference import MISSING, Difference, Varies
from mlops_sdk.comparison.metrics import SUMMARIES, MetricDifference
from mlops_sdk.comparison.verdict import GroupSummary, Verdict
from mlops_sdk.markup.visible import ELLIPSIS, clipped

if TYPE_CHECKING:
    from mlops_sdk.comparison.comparison import Comparison

MAX_CELL = 120
MAX_SENTENCE = 1000
_MOST_RESULTS = 8
_MOST_COLUMNS = 6
_MOST_VERDICTS = 15
_MOST_NOTES = 8
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Block:
    """A titled table.

    Attributes
    ----------
    title : str
    columns : tuple of str
        Titles of the columns; an empty one belongs to a column that needs none.
    rows : tuple of tuple of str
    tones : tuple of str
        One for each row: ``better``, ``worse`` or nothing; rows beyond them have none.
    more : str
        What was left out.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tones: tuple[str, ...] = ()
    more: str = ""


def blocks(comparison: Comparison, limit: int | None = None) -> list[Block]:
    """The tables of a comparison in reading order: verdicts, groups, results, what changed, notes; empty ones left out.

    Parameters
    ----------
    comparison : Comparison
    limit : int or None
        At most about so many differences; None: all.
    """
    results = _results(comparison, None if limit is None else min(limit, _MOST_RESULTS))
    left = None if limit is None else max(1, limit - len(results.rows))
    found = [
        _verdicts(comparison.verdicts, None if limit is None else _MOST_VERDICTS),
        groups_block(comparison.groups),
        results,
        _changes(comparison, left),
        _notes(comparison.notes, None if limit is None else _MOST_NOTES),
    ]
    if not (results.rows or comparison.changes or comparison.verdicts):
        found.append(Block("nothing differs", (), ()))
    return [block for block in found if block.rows or block.title == "nothing differs"]


def _verdicts(verdicts: Sequence[Verdict], limit: int | None) -> Block:
    order = sorted(verdicts, key=lambda each: each.p_adjusted if each.finding else math.inf)
    rows = tuple((str(verdict),) for verdict in order[:limit])
    tones = tuple(verdict.outcome if verdict.outcome in ("better", "worse") else "" for verdict in order[:limit])
    return Block("verdict", ("",), rows, tones, _more(len(order) - len(rows), "comparison"))


def groups_block(groups: Sequence[GroupSummary]) -> Block:
    """Groups, one row each: n, mean, std, interval."""
    columns = ("", "metric", "n", "mean", "std", "interval")
    return Block("groups", columns, tuple(_group_cells(each) for each in groups))


def _group_cells(group: GroupSummary) -> tuple[str, ...]:
    found = group.description
    missing = f" (+{group.n_missing} without)" if group.n_missing else ""
    interval = "" if math.isnan(found.low) else f"[{found.low:.4g}, {found.high:.4g}] at {group.level:.0%}"
    mean, std = ("" if math.isnan(value) else f"{value:.4g}" for value in (found.mean, found.std))
    return (group.label, group.metric, f"{found.n}{missing}", mean, std, interval)


# -- runs side by side -----------------------------------------------------------------------------------------------------


def _columns(comparison: Comparison) -> tuple[str, ...]:
    return tuple(comparison.labels[:_MOST_COLUMNS])


def _results(comparison: Comparison, limit: int | None) -> Block:
    shown = comparison.results[:limit]
    rows = tuple((each.key, *_cells(each.values), _result_note(each)) for each in shown)
    if comparison.duration is not None and not comparison.is_of_groups:
        duration = comparison.duration
        rows += (("duration", *(f"{seconds:.4g} s" for seconds in duration.values[:_MOST_COLUMNS]), duration.note),)
    tones = tuple(each.trend if each.trend in ("better", "worse") else "" for each in shown)
    more = _more(len(comparison.results) - len(shown), "metric")
    return Block("results", ("metric", *_columns(comparison), ""), rows, tones, more)


def _result_note(each: MetricDifference) -> str:
    old, new = each.values[0], each.values[-1]
    if not each.trend:
        return _best_note(each) or ("" if MISSING in (old, new) else _summary_note(each))
    relative = f" ({(new - old) / abs(old):+.2%})" if old and math.isfinite(new - old) else ""
    unknown = "" if each.direction else ", direction not known"
    best = _best_note(each)
    return f"{each.trend}: {new - old:+.4g}{relative}{unknown}" + (f", {best}" if best else "")


def _best_note(each: MetricDifference) -> str:
    old, new = each.of("best")[0], each.of("best")[-1]
    has_own = not (old == each.values[0] and new == each.values[-1])
    return f"best {shown(old)} -> {shown(new)}" if MISSING not in (old, new) and has_own else ""


def _summary_note(each: MetricDifference) -> str:
    """Which summaries differ where the last values do not."""
    for name in ("mean", "min", "max", "first", "count", "nan_count", "last_step"):
        old, new = each.of(name)[0], each.of(name)[-1]
        if old != new and not (old != old and new != new):
            return f"{name} {shown(old)} -> {shown(new)}"
    return ""


_SECTIONS = {"datasets": "data", "packages": "package"}


def _changes(comparison: Comparison, limit: int | None) -> Block:
    shown_here = comparison.changes[:limit]
    rows = tuple(
        (_SECTIONS.get(each.section, each.section.removesuffix("s")), each.key, *_cells(each.values), each.note)
        for each in shown_here
    )
    left_out = comparison.changes[len(shown_here) :]
    counts: dict[str, int] = {}
    for each in left_out:
        counts[each.section] = counts.get(each.section, 0) + 1
    parts = ", ".join(f"{n:,} of {section}" for section, n in counts.items())
    more = f"... and {len(left_out):,} more: {parts}" if left_out else ""
    return Block("what changed", ("", "", *_columns(comparison), ""), rows, (), more)


def _notes(notes: Sequence[str], limit: int | None) -> Block:
    rows = tuple((note,) for note in notes[:limit])
    return Block("notes", ("",), rows, (), _more(len(notes) - len(rows), "note"))


def _more(n: int, noun: str) -> str:
    return f"... and {n:,} more {noun}{'s' if n > 1 else ''}" if n > 0 else ""


# -- values as text --------------------------------------------------------------------------------------------------------


_DIGEST = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
"""Of SHA-1, SHA-256 and BLAKE3."""


def _cells(values: Sequence[Any]) -> list[str]:
    """Values as text; where two that differ would look the same, text is quoted, and floats are exact."""
    texts = [shown(value) for value in values[:_MOST_COLUMNS]]
    if len(set(texts)) < 2:
        texts = [clipped(repr(value), MAX_CELL) if value is not MISSING else "-" for value in values[:_MOST_COLUMNS]]
    return texts


def shown(value: Any) -> str:
    """A value as text of at most 120 characters: six digits of a float, twelve of a digest, a dataset by name and digest."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return value[:12] if _DIGEST.fullmatch(value) else _cut(value)
    if isinstance(value, Mapping):
        return _cut(_dataset(value) if value.get("digest") or value.get("name") else _json(value))
    if isinstance(value, list | tuple):
        return _cut(_listed(value))
    return str(value) if value in (MISSING, None) or isinstance(value, Varies | bool | int) else _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + ELLIPSIS


def _dataset(value: Mapping[str, Any]) -> str:
    name, digest = value.get("name"), value.get("digest")
    rows = f"{value['n_rows']:,} rows" if isinstance(value.get("n_rows"), int) else ""
    parts = (_cut(str(name)) if name else "", str(digest)[:12] if digest else "", rows)
    return " ".join(part for part in parts if part)


def _listed(values: Sequence[Any]) -> str:
    if not values:
        return "none"
    if all(isinstance(value, Mapping) and "name" in value for value in values):
        names = [str(value["name"]) for value in values]  # GPUs
        return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    if all(isinstance(value, str) for value in values):
        return ", ".join(values[:20])
    return _json(values)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


# -- plain text ------------------------------------------------------------------------------------------------------------


def plain_lines(
    tables: Iterable[Block], width: int, paint: Callable[[str, str], str] = lambda text, tone: text
) -> Iterator[str]:
    """Tables as lines of at most about `width` cells, every text without hidden characters.

    Parameters
    ----------
    tables : iterable of Block
    width : int
        In cells of a terminal.
    paint : callable, optional
        Takes (line, tone) and returns the line in colour; tones are those of rows, and ``title``.
    """
    for number, block in enumerate(tables):
        if number:
            yield ""
        yield paint(block.title, "title")
        widths = _widths(block, width - len(_GAP))
        if any(block.columns[2:]):
            yield _line(block.columns, widths)
        for row, tone in zip_longest(block.rows, block.tones, fillvalue=""):
            lines = [_line(row, widths)] if len(row) > 1 else _wrapped(row[0], width)
            yield from (paint(line, str(tone)) for line in lines)
        if block.more:
            yield f"{_GAP}{block.more}"


def _widths(block: Block, width: int) -> list[int]:
    """Natural widths, taken from the widest until they fit."""
    from rich.cells import cell_len

    columns = zip(*(block.rows + ((block.columns,) if block.columns else ())), strict=True)
    widths = [max(cell_len(clipped(cell, MAX_CELL)) for cell in column) for column in columns]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width and max(widths, default=0) > 8:
        widths[widths.index(max(widths))] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return (_GAP + _GAP.join(_padded(cell, width) for cell, width in zip(cells, widths, strict=True))).rstrip()


def _padded(cell: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    text = clipped(cell, MAX_CELL)
    if cell_len(text) > width:
        return set_cell_size(text, max(0, width - 1)) + ELLIPSIS
    return text + " " * (width - cell_len(text))


def _wrapped(text: str, width: int) -> list[str]:
    """A sentence in lines of at most `width` cells, broken between words."""
    from rich.cells import cell_len, chop_cells

    lines = [""]
    for word in clipped(text, MAX_SENTENCE).split(" "):
        for part in chop_cells(word, max(20, width - 3 * len(_GAP))) or [""]:
            if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(part) > width - 2 * len(_GAP):
                lines.append("")
            lines[-1] += f" {part}" if lines[-1] else part
    return [f"{_GAP * (1 if number == 0 else 2)}{line}" for number, line in enumerate(lines)]


# -- for programs ----------------------------------------------------------------------------------------------------------


def difference_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Everything that differs: section, key, the value of each run, kind, trend, note; missing values are None."""
    every = [*comparison.results, *comparison.changes, *([comparison.duration] if comparison.duration else [])]
    names = _value_columns(comparison.labels)
    return [_difference_row(each, names) for each in every]


_FIXED_COLUMNS = ("section", "key", "kind", "trend", "note")


def _value_columns(labels: Sequence[str]) -> list[str]:
    """A column for each run, named after it; with its number where that name is taken."""
    return [
        label if labels.count(label) == 1 and label not in _FIXED_COLUMNS else f"{label} [{number}]"
        for number, label in enumerate(labels)
    ]


def _difference_row(each: Difference, names: Sequence[str]) -> dict[str, Any]:
    values = {name: _plain(value) for name, value in zip(names, each.values, strict=True)}
    trend = each.trend if isinstance(each, MetricDifference) else ""
    return {"section": each.section, "key": each.key, "kind": each.kind, **values, "trend": trend, "note": each.note}


def metric_rows(metrics: Iterable[MetricDifference]) -> list[dict[str, Any]]:
    """Metrics that differ, with every summary of every run."""
    return [
        {
            "key": each.key,
            "direction": each.direction,
            "trend": each.trend,
            **{name: [_plain(value) for value in each.of(name)] for name in SUMMARIES},
        }
        for each in metrics
    ]


def _plain(value: Any) -> Any:
    return None if value is MISSING else str(value) if isinstance(value, Varies) else value


def verdict_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Verdicts, one row each."""
    return [_verdict_row(verdict) for verdict in comparison.verdicts]


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    found = verdict.finding
    named = ("difference", "low", "high", "p_value", "effect_size", "effect", "test")
    return {
        "metric": verdict.metric,
        "reference": verdict.reference,
        "candidate": verdict.candidate,
        "outcome": verdict.outcome,
        **{name: None if found is None else getattr(found, name) for name in named},
        "p_adjusted": None if found is None else verdict.p_adjusted,
        "n_reference": verdict.n_reference,
        "n_candidate": verdict.n_candidate,
        "level": verdict.level,
        "reason": verdict.reason,
    }


def group_rows(groups: Sequence[GroupSummary]) -> list[dict[str, Any]]:
    """Groups, one row each: n, mean, std, interval."""
    return [
        {
            "group": each.label,
            "metric": each.metric,
            "n": each.description.n,
            "n_missing": each.n_missing,
            "mean": each.description.mean,
            "std": each.description.std,
            "low": each.description.low,
            "high": each.description.high,
            "level": each.level,
        }
        for each in groups
    ]
