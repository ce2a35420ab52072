"""Columns of the runs table: those that were asked for, or those in which the runs differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from mlops_sdk.cli.table import Column
from mlops_sdk.cli.terminal import paint_status
from mlops_sdk.cli.text import ago, duration, exact, is_number, short
from mlops_sdk.entities import OrderBy, RunHead, RunParts
from mlops_sdk.errors import FilterSyntaxError

if TYPE_CHECKING:
    from mlops_sdk.query.view import RunView

Kind = Literal["metrics", "params", "tags"]
KINDS: tuple[Kind, ...] = ("metrics", "params", "tags")
_DERIVED = {"status", "start_time", "end_time", "duration_s", "root"}
_TIMES = {"start_ns": "start_time", "end_ns": "end_time"}
_ATTRIBUTES = ("experiment", "status", "start_time", "end_time", "duration_s", "parent", "user", "host")


@dataclass(frozen=True, slots=True)
class Row:
    """A run and what its row shows of it."""

    view: RunView
    head: RunHead
    parts: RunParts

    def of(self, kind: Kind) -> Mapping[str, Any]:
        """Its metrics (last values, without ``system/``), params or tags."""
        if kind != "metrics":
            return self.parts.params if kind == "params" else self.parts.tags
        return {key: found.last for key, found in self.parts.metrics.items() if not key.startswith("system/")}

    def value(self, term: OrderBy) -> Any:
        """Value of an attribute, param, tag or metric summary; None where the run has none."""
        if term.kind == "params":
            return self.parts.params.get(term.key)
        if term.kind == "tags":
            return self.parts.tags.get(term.key)
        if term.kind == "metrics":
            return self._summary(term)
        return self.attribute(_TIMES.get(term.key, term.key))

    def attribute(self, name: str) -> Any:
        """Value of an attribute; times, durations and the status as a reader should see them."""
        return getattr(self.view if name in _DERIVED else self.head, name.replace(".", "_"))

    def _summary(self, term: OrderBy) -> Any:
        summary = term.summary
        if summary == "best":
            definition = self.parts.definitions.get(term.key)
            summary = (definition.mode if definition else None) or term.mode or "best"
        return getattr(self.parts.metrics.get(term.key), summary, None)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A column under a title."""

    title: str
    term: OrderBy


def parse(texts: Sequence[str]) -> list[Chosen]:
    """Columns as they are given by hand: ``metrics.acc.max``, ``params.lr``, ``host``.

    Raises
    ------
    FilterSyntaxError
        If one is neither a metric, a param, a tag nor an attribute.
    """
    from mlops_sdk.query.filtering.names import ATTRIBUTES
    from mlops_sdk.query.filtering.order import parse_order

    try:
        terms = parse_order(texts)
    except FilterSyntaxError as error:
        raise FilterSyntaxError(
            f"no such column: use metrics.KEY (.min .max .mean ...), params.KEY, tags.KEY, {', '.join(sorted(ATTRIBUTES))}",
            text=error.text,
        ) from error
    return [Chosen(_title(term), term) for term in terms]


def _title(term: OrderBy) -> str:
    if term.kind == "attribute":
        return _TIMES.get(term.key, term.key)
    return f"{term.kind}.{term.key}" + (f".{term.summary}" if term.summary != "last" else "")


def all_of(rows: Sequence[Row]) -> list[Chosen]:
    """Every metric, param and tag that occurs, those of most runs first within each kind."""
    return [Chosen(f"{kind}.{key}", OrderBy(kind, key)) for kind in KINDS for key in _by_frequency(rows, kind)]


def _by_frequency(rows: Sequence[Row], kind: Kind) -> list[str]:
    counts: dict[str, int] = {}
    for row in rows:
        for key in row.of(kind):
            counts[key] = counts.get(key, 0) + 1
    return sorted(counts, key=lambda key: -counts[key])


def differing(rows: Sequence[Row]) -> list[Chosen]:
    """Of `all_of` those in which the runs differ, under titles without their kind where that is clear."""
    chosen = [each for each in all_of(rows) if len(rows) == 1 or len(set(_identities(rows, each))) > 1]
    bare = [each.term.key for each in chosen]
    taken = {"id", "name", *_ATTRIBUTES}
    return [
        Chosen(key, each.term) if bare.count(key) == 1 and key not in taken else each
        for key, each in zip(bare, chosen, strict=True)
    ]


def _identities(rows: Sequence[Row], chosen: Chosen) -> Iterator[tuple[str, str]]:
    """What tells the values apart: NaN is one value, 1 and True are two."""
    return ((type(value).__name__, exact(value)) for value in (row.value(chosen.term) for row in rows))


# -- for people ----------------------------------------------------------------------------------------------------------


def for_people(
    rows: Sequence[Row], chosen: Sequence[Chosen], now: datetime, *, children: bool, is_asked: bool
) -> list[Column]:
    """The table: what every run has, then the chosen columns; as far as they fit, unless they were asked for."""
    views = [row.view for row in rows]
    columns = [
        Column("id", [view.short_id for view in views], 8, is_rigid=True),
        Column("name", [view.name for view in views], max_width=28),
        Column("experiment", [view.experiment for view in views], max_width=20),
        Column("status", [view.status for view in views], 8, is_rigid=True, paint=paint_status),
        Column("started", [ago(view.start_time, now) for view in views], 10, is_right=True, is_rigid=True),
        Column("duration", [duration(view.duration_s) for view in views], 12, is_right=True, is_rigid=True),
    ]
    if children and any(view.parent for view in views):
        columns.append(Column("parent", [(view.parent or "")[-8:] for view in views], 8, is_rigid=True))
    if not children and any(row.parts.children for row in rows):
        columns.append(Column("children", [str(len(row.parts.children) or "") for row in rows], is_right=True))
    return columns + [_column(each, rows, is_optional=not is_asked) for each in chosen]


def _column(chosen: Chosen, rows: Sequence[Row], *, is_optional: bool) -> Column:
    values = [row.value(chosen.term) for row in rows]
    is_right = all(value is None or is_number(value) for value in values)
    return Column(chosen.title, [short(value) for value in values], 20, is_right, is_optional=is_optional)


# -- for programs --------------------------------------------------------------------------------------------------------


def record(row: Row, chosen: Sequence[Chosen] | None) -> dict[str, Any]:
    """A run as a JSON object; `chosen` columns only, where some were asked for."""
    if chosen is not None:
        return {"run_id": row.view.run_id} | {each.title: row.value(each.term) for each in chosen}
    head = {name: row.attribute(name) for name in ("run_id", "name", *_ATTRIBUTES, "end_reason", "description")}
    head["n_children"] = len(row.parts.children)
    return head | {kind: dict(row.of(kind)) for kind in ("params", "metrics", "tags")}


def flat(rows: Sequence[Row], chosen: Sequence[Chosen] | None) -> tuple[list[str], list[list[Any]]]:
    """Titles and rows of a CSV file: everything there is, or the `chosen` columns."""
    attributes = ["run_id"] if chosen is not None else ["run_id", "name", *_ATTRIBUTES]
    columns = all_of(rows) if chosen is None else chosen
    titles = [*attributes, *(each.title for each in columns)]
    return titles, [[*map(row.attribute, attributes), *(row.value(each.term) for each in columns)] for row in rows]
