"""``mlops show``: one run on one screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from mlops_sdk.cli import terminal
from mlops_sdk.cli.formats import to_json
from mlops_sdk.cli.options import command, find_run, json_option, store_option
from mlops_sdk.cli.table import GAP, Column, lay_out
from mlops_sdk.cli.text import ago, count, duration, exact, fit, moment, short, size
from mlops_sdk.errors import MetricNotFoundError, StoreError

if TYPE_CHECKING:
    from mlops_sdk.entities import ArtifactRef, MetricSummary, RunHead, WriterState
    from mlops_sdk.query.view import RunView
    from mlops_sdk.stores.protocol import Store

_MOST_METRICS = 20
_MOST_ROWS = 30
_TRACEBACK_LINES = 12


@command("show", "mlops show @1", "mlops show 3f2a9c1e --json")
@click.argument("run")
@json_option
@store_option
def show(run: str, *, as_json: bool, store: str | None) -> None:
    """Show a run: how it went, its params, metrics, artifacts, and what went wrong.

    RUN is an id, its beginning or end (4 characters or more), a name, or @1 for the latest, @2 for the one before.
    """
    place, view = find_run(store, run)
    subject = _Subject(place.store, view)
    if as_json:
        terminal.write(to_json(_record(subject)))
        return
    for title, lines in _SECTIONS.items():
        try:
            shown = list(lines(subject))
        except StoreError as error:  # damage to one part leaves the others readable
            subject.troubles.append(str(error))
            continue
        if shown:
            terminal.write(["", terminal.title(title), *shown] if title else shown)
    for trouble in dict.fromkeys(subject.troubles):
        terminal.say(f"mlops: {trouble}")
    if subject.troubles:
        raise click.exceptions.Exit(1)


class _Subject:
    """The run that is shown, and what of it cannot be read."""

    def __init__(self, store: Store, view: RunView) -> None:
        self.view = view
        self.troubles: list[str] = []
        self._store = store

    def head(self) -> RunHead:
        from mlops_sdk.query.search import head_of

        return head_of(self._store, self.view.run_id)

    def writers(self) -> Sequence[WriterState]:
        return self._store.load([self.view.run_id], ["writers"])[self.view.run_id].writers


# -- for people ----------------------------------------------------------------------------------------------------------


def _head(subject: _Subject) -> Iterator[str]:
    view, width = subject.view, terminal.width()
    status = terminal.paint_status(view.status, view.status)
    yield f"{terminal.title(fit(view.name, max(20, width - 20)))}{GAP}{status}{_reason(view)}"
    if view.description:
        yield from (fit(line, width) for line in view.description.splitlines()[:5])
    yield from _facts(_surroundings(subject))


def _reason(view: RunView) -> str:
    if view.end_reason is None:
        return ""
    lines = (view.traceback or "").strip().splitlines()
    error = f": {lines[-1]}" if lines and view.end_reason == "exception" else ""
    return f" ({fit(view.end_reason + error, 100)})"


def _surroundings(subject: _Subject) -> Iterator[tuple[str, str]]:
    view, head = subject.view, subject.head()
    yield "id", view.run_id
    yield "experiment", view.experiment
    yield "started", f"{moment(view.start_time)}, {ago(view.start_time, datetime.now(UTC))}"
    yield "duration", duration(view.duration_s) + ("" if view.end_time else " so far")
    environment = view.environment
    yield "by", f"{head.user or '?'}@{head.host or '?'}"
    yield "command", " ".join(map(str, environment.get("argv") or [head.entry_point]))
    yield "directory", str(environment.get("cwd") or "")
    yield "git", _git(view.git)
    python = environment.get("python") or {}
    packages = (environment.get("packages") or {}).get("packages") or []
    version = f"{python.get('implementation', '')} {python.get('python', '')}".strip()
    yield "python", version + (f", {count(len(packages), 'package')}" if version and packages else "")
    yield "parent", view.parent or ""


def _git(git: Mapping[str, Any]) -> str:
    if not git.get("commit"):
        return ""
    branch = f" on {git['branch']}" if git.get("branch") else ""
    return f"{str(git['commit'])[:12]}{branch}{', with uncommitted changes' if git.get('dirty') else ''}"


def _facts(facts: Iterator[tuple[str, str]]) -> Iterator[str]:
    """Lines of "name value", names of one width; facts without a value are left out."""
    known = [(name, text) for name, text in facts if text]
    indent = max((len(name) for name, _ in known), default=0)
    for name, text in known:
        yield f"  {name:<{indent}}  {fit(text, max(20, terminal.width() - indent - 4))}"


def _cut(text: str) -> str:
    return f"  {fit(text, max(20, terminal.width() - 2))}"


def _table(columns: Sequence[Column], n_left_out: int = 0) -> list[str]:
    lines = [f"  {line}" for line in lay_out(columns, terminal.width() - 2).lines]
    return lines + ([f"  ... and {n_left_out:,} more: --json has all"] if n_left_out > 0 else [])


def _pairs(pairs: Mapping[str, str]) -> list[str]:
    shown = list(pairs.items())[:_MOST_ROWS]
    if not shown:
        return []
    widest = max(20, terminal.width() - 34)
    columns = [
        Column("key", [key for key, _ in shown], max_width=30),
        Column("value", [value for _, value in shown], max_width=widest),
    ]
    return _table(columns, len(pairs) - len(shown))


def _metrics(subject: _Subject) -> list[str]:
    view = subject.view
    summaries = {key: view.summary(key) for key in view.metrics}
    own = [summary for key, summary in summaries.items() if not key.startswith("system/")]
    shown, n_system = own[:_MOST_METRICS], len(summaries) - len(own)
    lines = _metric_table(subject, shown, len(own) - len(shown)) if shown else []
    return lines + ([f"  {count(n_system, 'system metric')}: --json has them"] if n_system else [])


def _metric_table(subject: _Subject, shown: Sequence[MetricSummary], n_left_out: int) -> list[str]:
    columns = [
        Column("metric", [each.key for each in shown], max_width=30),
        *(Column(name, [short(getattr(each, name)) for each in shown], is_right=True) for name in ("last", "min", "max")),
        Column("points", [f"{each.count:,}" + (f" ({each.nan_count:,} NaN)" if each.nan_count else "") for each in shown],
               is_right=True),
        Column("steps", [_steps(each) for each in shown], is_right=True),
        Column("", [_curve(subject, each) for each in shown], is_optional=True),
    ]  # fmt: skip
    return _table(columns, n_left_out)


def _steps(summary: MetricSummary) -> str:
    first, last = summary.first_step, summary.last_step
    return str(last) if first == last else f"{first}..{last}"


def _curve(subject: _Subject, summary: MetricSummary) -> str:
    """The curve of a metric; without numpy there is none, and damage is told instead of drawn."""
    if summary.count < 2:
        return ""
    try:
        from mlops_sdk.cli.sparkline import sparkline

        return sparkline(subject.view.metric(summary.key).value)
    except ImportError:
        return ""
    except MetricNotFoundError:  # every point is hidden by a rewind
        return ""
    except StoreError as error:
        subject.troubles.append(str(error))
        return "damaged"


def _dataset(dataset: Mapping[str, Any]) -> str:
    named = [str(dataset[key]) for key in ("context", "name", "digest") if dataset.get(key)]
    return GAP.join(named)


def _artifacts(subject: _Subject) -> list[str]:
    view = subject.view
    shown = view.artifacts[:_MOST_ROWS]
    if not shown:
        return []
    columns = [
        Column("path", [ref.path for ref in shown], max_width=60),
        Column("size", [size(ref.size_bytes) for ref in shown], is_right=True),
        Column("version", [str(ref.version) for ref in shown], is_right=True),
        Column("sha256", [ref.sha256[:12] for ref in shown]),
    ]
    return _table(columns, len(view.artifacts) - len(shown))


def _children(subject: _Subject) -> list[str]:
    view = subject.view
    shown = view.children[:_MOST_ROWS]
    left_out = len(view.children) - len(shown)
    return [_cut(child) for child in shown] + ([f"  ... and {left_out:,} more: --json has all"] if left_out else [])


def _writers(subject: _Subject) -> list[str]:
    """The processes that wrote to the run, where there is something to tell of them."""
    writers = subject.writers()
    dropped = sum(writer.dropped for writer in writers)
    lines = [_cut(f"{count(dropped, 'record')} dropped: they are not in this run")] if dropped else []
    if len(writers) < 2:
        return lines
    shown = writers[:_MOST_ROWS]
    ended = [" ".join(filter(None, (each.end_status, each.end_reason))) or "not ended" for each in shown]
    columns = [
        Column("writer", [each.writer_id[-8:] for each in shown], max_width=8),
        Column("role", [each.role for each in shown]),
        Column("rank", ["" if each.rank is None else str(each.rank) for each in shown], is_right=True),
        Column("host", [each.host for each in shown]),
        Column("pid", [str(each.pid) for each in shown], is_right=True),
        Column("ended", ended, max_width=40),
        Column("dropped", [f"{each.dropped:,}" for each in shown], is_right=True),
    ]
    return lines + _table(columns, len(writers) - len(shown))


def _warnings(subject: _Subject) -> list[str]:
    return [_cut(f"{each.get('count')} x {each.get('cause')}: {each.get('message')}") for each in subject.view.warnings]


def _traceback(subject: _Subject) -> list[str]:
    lines = (subject.view.traceback or "").rstrip().splitlines()
    return [_cut(line) for line in lines[-_TRACEBACK_LINES:]]


_SECTIONS: dict[str, Callable[[_Subject], Iterable[str]]] = {
    "": _head,
    "params": lambda subject: _pairs({key: exact(value) for key, value in subject.view.params.items()}),
    "metrics": _metrics,
    "tags": lambda subject: _pairs(subject.view.tags),
    "datasets": lambda subject: [_cut(_dataset(dataset)) for dataset in subject.view.datasets[:_MOST_ROWS]],
    "artifacts": _artifacts,
    "children": _children,
    "writers": _writers,
    "warnings": _warnings,
    "traceback": _traceback,
}


# -- for programs --------------------------------------------------------------------------------------------------------


def _record(subject: _Subject) -> dict[str, Any]:
    view, head = subject.view, subject.head()
    writers = [_fields(each) for each in subject.writers()]
    of_view = ("run_id", "name", "experiment", "status", "start_time", "end_time", "duration_s")
    of_head = ("end_reason", "description", "parent", "user", "host", "entry_point", "is_deleted")
    record = {name: getattr(view, name) for name in of_view} | {name: getattr(head, name) for name in of_head}
    record |= {name: getattr(view, name) for name in ("params", "config", "tags", "datasets", "children", "warnings")}
    return record | {
        "metrics": {key: _fields(view.summary(key)) for key in view.metrics},
        "artifacts": [_fields(ref) for ref in view.artifacts],
        "writers": writers,
        "dropped": sum(writer["dropped"] for writer in writers),
        "git": view.git,
        "system": view.system,
        "environment": view.environment,
    }


def _fields(thing: MetricSummary | ArtifactRef | WriterState) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in thing.__slots__}
