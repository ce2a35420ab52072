"""A run in a notebook: everything about it on one card; no cell of a saved notebook runs anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import MetricNotFoundError, StoreError
from mlops_sdk.markup.cards import card, code, facts, faint, lines, preformatted, section, table
from mlops_sdk.markup.charts import sparkline
from mlops_sdk.markup.elements import Html, element, join, text
from mlops_sdk.markup.values import duration, is_number, shown, size

if TYPE_CHECKING:
    from mlops_sdk.entities import MetricSummary
    from mlops_sdk.query.view import RunView

_MOST_ROWS = 30
_MOST_CURVES = 12
_MOST_POINTS = 2_000_000
"""Points that are read for the curves of one card; beyond it the numbers stand alone."""


def run_card(run: RunView) -> Html:
    """One run: how it went, its params, metrics with their curves, files, and what went wrong.

    Parameters
    ----------
    run : RunView

    Notes
    -----
    A part that cannot be read is told in its place; the others are shown.
    """
    description = element("div", lines(run.description), style="margin-bottom:6px") if run.description else Html()
    parts = [
        description,
        _facts(run),
        *(_guarded(title, read, run, is_open=is_open) for title, (read, is_open) in _SECTIONS.items()),
    ]
    return card(run.name, *parts, subtitle=run.experiment, status=run.status)


def _guarded(title: str, read: Callable[[RunView], tuple[Html, int]], run: RunView, *, is_open: bool) -> Html:
    try:
        body, n = read(run)
    except StoreError as error:  # damage to one part leaves the others readable
        body, n, is_open = text(f"cannot be read: {error}"), 0, True
    return section(join([title, faint(f" ({n:,})") if n > 1 else ""]), body, is_open=is_open)


def _facts(run: RunView) -> Html:
    head = run._head()
    pairs = {
        "id": code(run.run_id),
        "started": shown(run.start_time),
        "duration": duration(run.duration_s) + ("" if run.end_time else " so far"),
        "ended by": _reason(run),
        "by": f"{head.user}@{head.host}" if head.user or head.host else "",
        "git": _git(head.git_commit, head.git_branch, is_dirty=bool(head.git_dirty)),
        "parent": code(run.parent) if run.parent else "",
    }
    return facts(pairs)


def _reason(run: RunView) -> str:
    return run.end_reason or ""


def _git(commit: str | None, branch: str | None, *, is_dirty: bool) -> str | Html:
    if not commit:
        return ""
    about = f" on {branch}" if branch else ""
    return join([code(commit[:12]), about, ", with uncommitted changes" if is_dirty else ""])


def _params(run: RunView) -> tuple[Html, int]:
    params = run.params
    return _pairs({key: shown(value) for key, value in params.items()}), len(params)


def _tags(run: RunView) -> tuple[Html, int]:
    return _pairs(run.tags), len(run.tags)


def _pairs(pairs: Mapping[str, str]) -> Html:
    kept = list(pairs.items())[:_MOST_ROWS]
    if not kept:
        return Html()
    more = len(pairs) - len(kept)
    return join([facts(kept), faint(f"… and {more:,} more") if more else ""])


def _metrics(run: RunView) -> tuple[Html, int]:
    summaries = [run.summary(key) for key in run.metrics]
    own = [each for each in summaries if not each.key.startswith("system/")]
    if not own:
        return Html(), 0
    kept = own[:_MOST_ROWS]
    curves = dict(curves_of(run, [each for each in kept if each.count > 1][:_MOST_CURVES]))
    rows = [
        (each.key, curves.get(each.key, ""), shown(each.last), shown(each.min), shown(each.max),
         f"{each.count:,}" + (f" ({each.nan_count:,} NaN)" if each.nan_count else ""))
        for each in kept
    ]  # fmt: skip
    body = table(("metric", "", "last", "min", "max", "points"), rows, numbers=(2, 3, 4, 5),
                 n_left_out=len(own) - len(kept), noun="metric")  # fmt: skip
    n_system = len(summaries) - len(own)
    note = faint(f"{n_system} system metrics: run.plot(kind='system')") if n_system else ""
    return join([body, note]), len(own)


def curves_of(
    run: RunView, summaries: Sequence[MetricSummary], budget: int = _MOST_POINTS
) -> Iterator[tuple[str, Html]]:
    """Sparklines by key, as many as the points that may be read allow.

    Parameters
    ----------
    run : RunView
    summaries : sequence of MetricSummary
    budget : int
        Points.
    """
    for each in summaries:
        budget -= each.count
        if budget < 0:
            return
        try:
            values = run.metric(each.key).value
        except MetricNotFoundError:  # every point is hidden by a rewind
            continue
        title = f"{each.key}: {shown(each.first)} to {shown(each.last)} over {each.count:,} points"
        yield each.key, sparkline(values, title=title)


def _datasets(run: RunView) -> tuple[Html, int]:
    found = run.datasets
    rows = [
        (each.get("context") or "", each.get("name") or "", code(str(each.get("digest") or "")[:24])) for each in found
    ]
    kept = rows[:_MOST_ROWS]
    more = len(rows) - len(kept)
    return table(("context", "dataset", "digest"), kept, n_left_out=more, noun="dataset") if rows else Html(), len(rows)


def _artifacts(run: RunView) -> tuple[Html, int]:
    found = run.artifacts
    if not found:
        return Html(), 0
    kept = found[:_MOST_ROWS]
    rows = [(each.path, size(each.size_bytes), each.version, code(each.sha256[:12])) for each in kept]
    body = table(
        ("path", "size", "version", "sha256"), rows, numbers=(1, 2), n_left_out=len(found) - len(kept), noun="file"
    )
    return body, len(found)


def _children(run: RunView) -> tuple[Html, int]:
    found = run.children
    kept = [code(each) for each in found[:_MOST_ROWS]]
    if len(found) > len(kept):
        kept.append(faint(f"… and {len(found) - len(kept):,} more"))
    return join(kept, ", "), len(found)


def _environment(run: RunView) -> tuple[Html, int]:
    environment = run.environment
    python: dict[str, Any] = environment.get("python") or {}
    packages = (environment.get("packages") or {}).get("packages") or []
    pairs = {
        "command": code(" ".join(map(str, environment["argv"]))) if environment.get("argv") else "",
        "directory": code(environment["cwd"]) if environment.get("cwd") else "",
        "python": f"{python.get('implementation', '')} {python.get('python', '')}".strip(),
        "packages": f"{len(packages)}" if packages else "",
        **{str(key): shown(value) for key, value in run.system.items() if is_number(value) or isinstance(value, str)},
    }
    return facts(pairs), 0


def _warnings(run: RunView) -> tuple[Html, int]:
    found = run.warnings[:_MOST_ROWS]
    said = [f"{each.get('count')} x {each.get('cause')}: {each.get('message')}" for each in found]
    return join([element("div", line) for line in said]), len(run.warnings)


def _traceback(run: RunView) -> tuple[Html, int]:
    found = run.traceback
    return (preformatted(found[-20_000:]) if found else Html()), 0


_SECTIONS: dict[str, tuple[Callable[[RunView], tuple[Html, int]], bool]] = {
    "traceback": (_traceback, True),
    "warnings": (_warnings, True),
    "metrics": (_metrics, True),
    "params": (_params, True),
    "tags": (_tags, False),
    "datasets": (_datasets, False),
    "artifacts": (_artifacts, False),
    "children": (_children, False),
    "environment": (_environment, False),
}
"""Parts of a card in their order: what reads it, and whether it is open at first."""
