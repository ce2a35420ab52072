"""Many runs as a table of what differs between them: in a notebook with the curves of their first metric, and printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_sdk.comparison.report import Block, plain_lines
from mlops_sdk.entities import RunParts
from mlops_sdk.errors import StoreError
from mlops_sdk.markup.cards import badge, card, code, faint, table
from mlops_sdk.markup.elements import Html, join, text
from mlops_sdk.markup.values import duration, is_number, shown
from mlops_sdk.markup.visible import clipped
from mlops_sdk.query.card import curves_of

if TYPE_CHECKING:
    from mlops_sdk.query.runs import Runs
    from mlops_sdk.query.view import RunView

_MOST_ROWS = 20
_MOST_METRICS = 6
_MOST_PARAMS = 6
_MOST_POINTS = 100_000
"""Points that are read for the curves of one row."""
_LONGEST = 40
_CURVES = 1
"""Metrics whose curve is drawn: reading it is what takes time."""
_FIRST = ("run", "name", "experiment", "status")


def listing(runs: Runs) -> Html:
    """The first 20 runs: how they ended, their metrics, the params in which they differ, when.

    Parameters
    ----------
    runs : Runs

    Notes
    -----
    A run whose curve cannot be read is shown without it.
    """
    shown_runs = list(runs[:_MOST_ROWS])
    if not shown_runs:
        return card("no runs")
    parts = runs[:_MOST_ROWS]._load()
    params = _differing([parts.get(run.run_id, RunParts()).params for run in shown_runs])
    metrics = _most_common([parts.get(run.run_id, RunParts()).metrics for run in shown_runs])
    titles = [*_FIRST, *_metric_titles(metrics), *params, "started", "duration"]
    rows = [_row(run, parts.get(run.run_id, RunParts()), params, metrics) for run in shown_runs]
    n_before = len(_FIRST) + len(_metric_titles(metrics))
    of_metrics = set(range(len(_FIRST), n_before)) - {len(_FIRST) + 1}
    numbers = {*of_metrics, *_numeric(rows, n_before, n_before + len(params)), len(titles) - 1}
    kept = _without_constant(titles, rows, numbers, column=_FIRST.index("experiment"))
    heading = f"{len(runs):,} run{'s' if len(runs) != 1 else ''}"
    subtitle = shown_runs[0].experiment if kept.is_dropped else ""
    more = len(runs) - len(shown_runs)
    return card(
        heading,
        table(kept.titles, kept.rows, numbers=kept.numbers, n_left_out=more, noun="run", is_wrapped=False),
        subtitle=subtitle,
    )


class _Table:
    """Titles, rows and the columns that hold numbers."""

    def __init__(self, titles: Sequence[object], rows: Sequence[Sequence[object]], numbers: set[int]) -> None:
        self.titles, self.rows, self.numbers = titles, rows, numbers
        self.is_dropped = False


def _without_constant(titles: list[Any], rows: list[list[Any]], numbers: set[int], *, column: int) -> _Table:
    """The table without a column that says the same in every row."""
    if len({str(row[column]) for row in rows}) > 1:
        return _Table(titles, rows, numbers)
    kept = _Table(
        [*titles[:column], *titles[column + 1 :]],
        [[*row[:column], *row[column + 1 :]] for row in rows],
        {index - (index > column) for index in numbers},
    )
    kept.is_dropped = True
    return kept


def plain(runs: Runs, width: int) -> str:
    """The first 20 runs as lines of at most about `width` cells: what `listing` shows, without the curves and the times."""
    some = runs[:_MOST_ROWS]
    if not some:
        return "no runs"
    parts = some._load()
    params = _differing([parts.get(run.run_id, RunParts()).params for run in some])
    metrics = _most_common([parts.get(run.run_id, RunParts()).metrics for run in some])
    rows: list[list[object]] = [_plain_row(run, parts.get(run.run_id, RunParts()), params, metrics) for run in some]
    titles: list[object] = [*_FIRST, *metrics, *params, "duration"]
    kept = _without_constant(titles, rows, set(), column=_FIRST.index("experiment"))
    where = f" in {clipped(some[0].experiment, _LONGEST)}" if kept.is_dropped else ""
    block = Block(
        f"{len(runs):,} run{'s' if len(runs) != 1 else ''}{where}",
        tuple(map(str, kept.titles)),
        tuple(tuple(map(str, row)) for row in kept.rows),
        more=f"and {len(runs) - len(some):,} more" if len(runs) > len(some) else "",
    )
    return "\n".join(plain_lines([block], width))


def _plain_row(run: RunView, parts: RunParts, params: Sequence[str], metrics: Sequence[str]) -> list[object]:
    values = (shown(parts.metrics[key].last) if key in parts.metrics else "" for key in metrics)
    said = (clipped(shown(parts.params.get(key)), _LONGEST) for key in params)
    names = (clipped(run.name, _LONGEST), clipped(run.experiment, _LONGEST))
    return [run.short_id, *names, run.status, *values, *said, duration(run.duration_s)]


def _row(run: RunView, parts: RunParts, params: Sequence[str], metrics: Sequence[str]) -> list[object]:
    cells: list[object] = [
        code(run.short_id),
        text(run.name, _LONGEST),
        text(run.experiment, _LONGEST),
        badge(run.status),
    ]
    for number, key in enumerate(metrics):
        summary = parts.metrics.get(key)
        cells.append("" if summary is None else shown(summary.last))
        if number < _CURVES:
            cells.append(_curve(run, summary))
    cells += [text(shown(parts.params.get(key)), _LONGEST) for key in params]
    return [*cells, text(shown(run.start_time)[:16]), duration(run.duration_s)]


def _curve(run: RunView, summary: Any) -> Html:
    if summary is None or summary.count < 2:
        return Html()
    try:
        return join(curve for _, curve in curves_of(run, [summary], _MOST_POINTS))
    except StoreError as error:
        return faint(text(f"damaged: {error}", 60))


def _metric_titles(metrics: Sequence[str]) -> list[str]:
    return [title for number, key in enumerate(metrics) for title in ((key, "") if number < _CURVES else (key,))]


def _differing(params: Sequence[Mapping[str, Any]]) -> list[str]:
    """Params whose values are not all the same, the first six."""
    keys = dict.fromkeys(key for each in params for key in each)
    return [key for key in keys if len({repr(each.get(key)) for each in params}) > 1][:_MOST_PARAMS]


def _most_common(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Metrics that most of the runs have, without those of the system."""
    counts: dict[str, int] = {}
    for each in metrics:
        for key in each:
            if not key.startswith("system/"):
                counts[key] = counts.get(key, 0) + 1
    return sorted(counts, key=lambda key: -counts[key])[:_MOST_METRICS]


def _numeric(rows: Sequence[Sequence[object]], start: int, end: int) -> set[int]:
    """Columns whose cells all read as numbers."""

    def is_numeric(cell: object) -> bool:
        try:
            float(str(cell) or "0")
        except ValueError:
            return is_number(cell)
        return True

    return {column for column in range(start, end) if all(is_numeric(row[column]) for row in rows)}
