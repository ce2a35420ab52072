"""Fingerprints and diffs as static HTML: no script, nothing loaded; `mlops_sdk.markup` escapes every stored text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.markup.cards import card, code, facts, faint, section, table
from mlops_sdk.markup.charts import ACCENT
from mlops_sdk.markup.elements import Html, element, join

if TYPE_CHECKING:
    from mlops_sdk.fingerprint.diff import Diff
    from mlops_sdk.fingerprint.fingerprint import ColumnFingerprint, Fingerprint
    from mlops_sdk.fingerprint.profile import Profile

MOST_COLUMNS = 50
_BARS = 24
_TITLES = ("column", "type", "missing", "distinct", "min", "max", "mean", "values")
_NUMBERS = (2, 3, 4, 5, 6)


def of_fingerprint(made: Fingerprint) -> str:
    """A card: digests, a table of the columns with small histograms, the parts of a collection."""
    digests = [("digest", made.digest), ("content", made.content_digest), ("schema", made.schema_digest)]
    shown = list(made.columns.items())[:MOST_COLUMNS]
    columns = table(
        _TITLES, [_column(name, column, made.target) for name, column in shown], numbers=_NUMBERS,
        n_left_out=made.n_columns - len(shown), noun="column",
    ) if shown else Html()  # fmt: skip
    parts = [(name, part) for name, part in made.parts.items()][:MOST_COLUMNS]
    rows = [(name, f"{part.n_rows:,}", code((part.digest or "none")[:16])) for name, part in parts]
    listed = table(("part", "rows", "digest"), rows, numbers=(1,), n_left_out=len(made.parts) - len(rows), noun="part")
    return card(
        made.name or "data set", facts((name, code(digest or "none")) for name, digest in digests),
        section(f"columns ({made.n_columns:,})", columns), section(f"parts ({len(made.parts):,})", listed if rows else Html()),
        subtitle=f"{made.n_rows:,} rows, {made.n_columns:,} columns",
    )  # fmt: skip


def _column(name: str, column: ColumnFingerprint, target: str | None) -> list[object]:
    seen = column.profile
    label: object = join([name, " ", faint("target")]) if name == target else name
    shown: list[object] = [label, column.type, f"{column.n_nulls:,}"]
    if seen is None:
        return [*shown, "", "", "", "", ""]
    exact = "" if seen.smallest.is_whole else "~"
    numbers = (_short(seen.min), _short(seen.max), _short(seen.mean))
    return [*shown, f"{exact}{seen.distinct:,.0f}", *numbers, _histogram(seen) or _frequent(seen)]


def _frequent(seen: Profile) -> Html:
    """The three most frequent values of a column that has no histogram."""
    n = max(1, seen.n - seen.n_nulls)
    shown = [f"{_short(value)} ({count / n:.0%})" for value, count in seen.top[:3] if count > 1]
    return faint(", ".join(shown) + (", ..." if len(seen.top) > 3 else "")) if shown else Html()


def _histogram(seen: Profile) -> Html:
    """Bars of the share of values in equal stretches between the 1 % and the 99 % quantile."""
    quantiles = seen.quantiles
    if quantiles is None or len(quantiles) < 3:
        return Html()
    known = quantiles[np.isfinite(quantiles)]
    if len(known) < 3 or known[-1] == known[0]:
        return Html()
    low, high = (float(value) for value in np.quantile(known, [0.01, 0.99]))
    if not high > low or not np.isfinite(high - low):
        return Html()
    counts = np.histogram(known, bins=_BARS, range=(low, high))[0]
    heights = counts / max(1, counts.max()) * 16
    bars = [
        element("rect", x=place * 4, y=f"{16 - height:.1f}", width=3, height=f"{height:.1f}")
        for place, height in enumerate(heights.tolist())
    ]
    title = f"from {_short(low)} to {_short(high)}, 98 % of the values"
    size = {"width": _BARS * 4, "height": 16}
    style = "vertical-align:middle"
    return element(
        "svg", element("title", title), *bars, fill=ACCENT, role="img", aria_label=title, style=style, **size
    )


def of_diff(diff: Diff) -> str:
    """The lines of the summary."""
    verdict, *lines = diff.summary().splitlines()
    return card(verdict, *(element("div", line) for line in lines))


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)[:40]
