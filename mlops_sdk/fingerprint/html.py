"""Fingerprints and diffs as static HTML: no script, nothing loaded, every stored text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mlops_sdk.fingerprint.diff import Diff
    from mlops_sdk.fingerprint.fingerprint import ColumnFingerprint, Fingerprint

MOST_COLUMNS = 50
_BARS = 24
_CELL = 'style="text-align:left;padding:1px 8px"'


def of_fingerprint(made: Fingerprint) -> str:
    """A heading, and a table of the columns with small histograms."""
    title = f"{_text(made.name or 'data set')}: {made.n_rows:,} rows, {made.n_columns:,} columns"
    digests = [("digest", made.digest), ("content", made.content_digest), ("schema", made.schema_digest)]
    lines = [f"<div>{name} <code>{_text(digest or 'none')}</code></div>" for name, digest in digests]
    head = ("column", "type", "missing", "distinct", "min", "max", "mean", "")
    rows = [_column(name, column) for name, column in list(made.columns.items())[:MOST_COLUMNS]]
    parts = [f"<div>{_text(name)}: {part.n_rows:,} rows <code>{_text(part.digest or '')}</code></div>"
             for name, part in list(made.parts.items())[:MOST_COLUMNS]]  # fmt: skip
    more = made.n_columns - len(rows)
    note = f"<div>... and {more:,} more columns</div>" if more > 0 else ""
    return (
        f"<div><strong>{title}</strong>{''.join(lines)}{_table(head, rows) if rows else ''}{note}{''.join(parts)}</div>"
    )


def _column(name: str, column: ColumnFingerprint) -> list[str]:
    seen = column.profile
    shown = [_text(name), _text(column.type), f"{column.n_nulls:,}"]
    if seen is None:
        return [*shown, "", "", "", "", ""]
    exact = "" if seen.smallest.is_whole else "~"
    return [
        *shown, f"{exact}{seen.distinct:,.0f}", _text(_short(seen.min)), _text(_short(seen.max)), _text(_short(seen.mean)),
        _histogram(seen.quantiles),
    ]  # fmt: skip


def _histogram(quantiles: Any) -> str:
    """Bars of the share of values in equal stretches between the 1 % and the 99 % quantile."""
    if quantiles is None or len(quantiles) < 3:
        return ""
    known = quantiles[np.isfinite(quantiles)]
    if len(known) < 3 or known[-1] == known[0]:
        return ""
    low, high = (float(value) for value in np.quantile(known, [0.01, 0.99]))
    if not high > low or not np.isfinite(high - low):
        return ""
    counts = np.histogram(known, bins=_BARS, range=(low, high))[0]
    heights = counts / max(1, counts.max()) * 16
    bars = "".join(
        f'<rect x="{place * 4}" y="{16 - height:.1f}" width="3" height="{height:.1f}"/>'
        for place, height in enumerate(heights)
    )
    return f'<svg width="{_BARS * 4}" height="16" fill="currentColor" role="img">{bars}</svg>'


def of_diff(diff: Diff) -> str:
    """The lines of the summary."""
    verdict, *lines = diff.summary().splitlines()
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<div><strong>{_text(verdict)}</strong>{f'<ul>{items}</ul>' if items else ''}</div>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th {_CELL}>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td {_CELL}>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)[:40]


def _text(value: str) -> str:
    return escape(value.encode("utf-8", "replace").decode(), quote=True)
