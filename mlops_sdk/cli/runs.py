"""``mlops runs`` and ``mlops experiments``: what there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from mlops_sdk.cli import columns as table_columns
from mlops_sdk.cli import terminal
from mlops_sdk.cli.columns import Chosen, Row
from mlops_sdk.cli.formats import csv_lines, markdown_lines, to_json
from mlops_sdk.cli.options import HOW_TO_START, command, find_place, json_option, store_option
from mlops_sdk.cli.table import Column, lay_out
from mlops_sdk.cli.text import count, moment
from mlops_sdk.entities import Part, RunQuery

if TYPE_CHECKING:
    from mlops_sdk.conditions import Condition
    from mlops_sdk.query.view import RunView
    from mlops_sdk.stores.opening import Place

_PAGE = 500
_ROWS_FOR_PEOPLE = 20
_PARTS: tuple[Part, ...] = ("params", "tags", "metrics", "children")


@dataclass(frozen=True, slots=True)
class Ask:
    """Which runs are asked for."""

    filter: str | None
    experiment: str | None
    sort: str | None
    limit: int | None
    children: bool
    deleted: bool


@command(
    "runs",
    "mlops runs -e digits --sort 'metrics.acc.max DESC' -n 10",
    "mlops runs \"metrics.acc > 0.9 and params.model = 'svc'\"",
    "mlops runs -c params.lr -c metrics.loss.min --csv > runs.csv",
)
@click.argument("filter", required=False)
@click.option("-e", "--experiment", help="Only runs of this experiment.")
@click.option("--sort", metavar="ORDER", help="Such as 'metrics.acc.max DESC, start_time'; without it newest first.")
@click.option(
    "-n",
    "limit",
    metavar="N",
    type=click.IntRange(min=0),
    help=f"At most so many, 0 for all; without it {_ROWS_FOR_PEOPLE}, and all with --json, --csv and --md.",
)
@click.option(
    "-c",
    "names",
    metavar="COLUMN",
    multiple=True,
    help="Show this column, such as metrics.acc.max, params.lr, tags.team or host; may be repeated. "
    "Without it those in which the runs differ.",
)
@click.option("--children", is_flag=True, help="Nested runs too, not only their number.")
@click.option("--deleted", is_flag=True, help="The runs in the trash.")
@click.option("--json", "form", flag_value="json", help="For programs: JSON, exact to the last digit.")
@click.option("--csv", "form", flag_value="csv", help="All columns as CSV.")
@click.option("--md", "form", flag_value="md", help="A Markdown table.")
@store_option
def runs(
    filter: str | None,  # noqa: A002 - what it is called in the help
    experiment: str | None,
    sort: str | None,
    limit: int | None,
    names: tuple[str, ...],
    *,
    children: bool,
    deleted: bool,
    form: str | None,
    store: str | None,
) -> None:
    """List runs, newest first.

    FILTER chooses: metrics.acc.max > 0.9 and params.lr < 0.1 and not tags.team is null
    """
    chosen = table_columns.parse(names) if names else None
    if limit is None and form is None:
        limit = _ROWS_FOR_PEOPLE
    ask = Ask(filter, experiment, sort, limit or None, children or deleted, deleted)
    place = find_place(store)
    rows, has_more = ([], False) if place is None else _collect(place, ask)
    if form == "json":
        terminal.write(to_json([table_columns.record(row, chosen) for row in rows]))
    elif form == "csv":
        terminal.write(csv_lines(*table_columns.flat(rows, chosen), say=terminal.say))
    elif not rows:
        _say_empty(place, ask)
    else:
        _write_table(rows, chosen, ask, as_markdown=form == "md")
    if has_more:
        terminal.say(f"there are more than {count(len(rows), 'run')}: -n N shows more, -n 0 all")


def _collect(place: Place, ask: Ask) -> tuple[list[Row], bool]:
    """The rows, and whether there would be more."""
    views: list[RunView] = []
    for view in _found(place, ask):
        if ask.limit is not None and len(views) == ask.limit:
            return _with_parts(place, views), True
        views.append(view)
    if not views and ask.experiment is not None:
        _refuse_unknown(place, ask.experiment)
    return _with_parts(place, views), False


def _found(place: Place, ask: Ask) -> Iterator[RunView]:
    """Runs in order, a page at a time; nested ones only where they are asked for, or their parent is not listed."""
    from mlops_sdk.query.search import search

    seen: set[str] = set()  # a run that begins meanwhile shifts the pages
    size = None if ask.limit is None else max(_PAGE, 2 * ask.limit)
    offset = 0
    while True:
        page = search(
            place,
            ask.filter,
            experiment=ask.experiment,
            order_by=ask.sort,
            limit=size,
            offset=offset,
            deleted=ask.deleted,
        )
        hidden = set() if ask.children else _nested(place, ask, list(page))
        for view in page:
            if view.run_id not in hidden | seen:
                seen.add(view.run_id)
                yield view
        if size is None or len(page) < size:
            return
        offset += size


def _nested(place: Place, ask: Ask, page: Sequence[RunView]) -> set[str]:
    """Ids of the runs whose parent stands in the same listing."""
    parents = {view.parent for view in page if view.parent and view.parent != view.run_id}
    if not parents:
        return set()
    heads = place.store.find(RunQuery(run_ids=tuple(parents), experiment=ask.experiment, where=_condition(ask.filter)))
    listed = {head.run_id for head in heads}
    return {view.run_id for view in page if view.parent in listed and view.parent != view.run_id}


def _condition(text: str | None) -> Condition | None:
    from mlops_sdk.query.filtering.grammar import parse

    found = parse(text) if text else None
    return None if found is None else found.condition


def _with_parts(place: Place, views: Sequence[RunView]) -> list[Row]:
    ids = [view.run_id for view in views]
    parts = place.store.load(ids, _PARTS) if ids else {}
    heads = {head.run_id: head for head in place.store.find(RunQuery(run_ids=tuple(ids), deleted=None))} if ids else {}
    # a run that was deleted for good meanwhile is in neither
    return [Row(view, heads[view.run_id], parts[view.run_id]) for view in views if view.run_id in heads.keys() & parts]


def _refuse_unknown(place: Place, experiment: str) -> None:
    from mlops_sdk.errors import ExperimentNotFoundError

    if experiment not in {each.name for each in place.store.experiments(deleted=None)}:
        raise ExperimentNotFoundError(experiment)


def _say_empty(place: Place | None, ask: Ask) -> None:
    if place is None:
        terminal.write(HOW_TO_START)
    elif ask.deleted:
        terminal.write("the trash is empty")
    elif ask.filter or ask.experiment:
        terminal.write("no run fits")
    else:
        where = place.location.path if place.location else place.store.uri
        terminal.say(f"no runs yet in {where}")
        terminal.write(
            "start one with\n\n    with mlops_sdk.start_run() as run:\n        run.log_metric('loss', 0.1)\n"
        )


def _write_table(rows: Sequence[Row], chosen: Sequence[Chosen] | None, ask: Ask, *, as_markdown: bool) -> None:
    shown = table_columns.differing(rows) if chosen is None else chosen
    now = datetime.now(UTC)
    columns = table_columns.for_people(rows, shown, now, children=ask.children, is_asked=chosen is not None)
    if as_markdown:
        cells = zip(*(column.cells for column in columns), strict=True)
        terminal.write(markdown_lines([column.title for column in columns], list(cells)))
        return
    layout = lay_out(columns, terminal.width(), terminal.title)
    terminal.write(layout.lines)
    if layout.left_out:
        names = ", ".join(layout.left_out[:8]) + (" ..." if len(layout.left_out) > 8 else "")
        left_out = count(len(layout.left_out), "more column")
        terminal.say(f"{left_out} would not fit: {names}; -c COLUMN picks some, --csv shows all")


@command("experiments", "mlops experiments", "mlops experiments --json")
@json_option
@store_option
def experiments(*, as_json: bool, store: str | None) -> None:
    """List experiments with the number of their runs."""
    import mlops_sdk

    place = find_place(store)
    found = [] if place is None else mlops_sdk.list_experiments(tracking_uri=store)
    created = [datetime.fromtimestamp(each.created_ns / 1e9, UTC) for each in found]
    if as_json:
        rows = zip(found, created, strict=True)
        terminal.write(to_json([{"name": e.name, "n_runs": e.n_runs, "created": time} for e, time in rows]))
    elif not found:
        terminal.write(HOW_TO_START if place is None else "no experiments yet: the first run makes one")
    else:
        columns = [
            Column("experiment", [each.name for each in found], max_width=60),
            Column("runs", [f"{each.n_runs:,}" for each in found], is_right=True),
            Column("created", [moment(time) for time in created]),
        ]
        terminal.write(lay_out(columns, terminal.width(), terminal.title).lines)
