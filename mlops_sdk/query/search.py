"""Finding runs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from mlops_sdk.courier import recovery
from mlops_sdk.courier.courier import courier, uplink
from mlops_sdk.entities import OrderBy, RunHead, RunQuery
from mlops_sdk.errors import AmbiguousRunError, FilterSyntaxError, InvalidValueError, RunNotFoundError
from mlops_sdk.query.runs import Runs
from mlops_sdk.query.view import RunView

if TYPE_CHECKING:
    from mlops_sdk.stores.opening import Place
    from mlops_sdk.stores.protocol import Store

ATTRIBUTES = {
    name: name
    for name in ("run_id", "name", "experiment", "status", "user", "host", "description", "parent", "entry_point")
} | {
    "start_time": "start_ns",
    "end_time": "end_ns",
    "duration_s": "duration_s",
    "git.commit": "git_commit",
    "git.branch": "git_branch",
    "git.dirty": "git_dirty",
}
"""Public names, and what the store protocol calls them."""
SUMMARIES = {"min", "max", "mean", "first", "last", "count", "last_step"}
_TERM = re.compile(r"^(?:(metrics|params|tags|attributes)\.)?(.+?)(?:\s+(asc|desc))?$", re.IGNORECASE | re.DOTALL)


def catch_up(place: Place) -> None:
    """Before reading: deliver what this process still has, and what dead writers left, within a quarter second."""
    if place.home is not place:
        catch_up_remote(place)
        return
    courier().deliver_to(place, recovery.READER_LIMIT_S)
    for root in place.journal_roots():
        if place.is_merged_by_readers:
            recovery.merge(place.store, root)
        else:
            recovery.sweep(place.store, root, limit_s=recovery.READER_LIMIT_S)
    for root in place.roots_for_servers():
        recovery.sweep(place.store, root, limit_s=recovery.READER_LIMIT_S, keep=True)


def catch_up_remote(place: Place) -> None:
    """As `catch_up`, of a server: what this process has goes there first, or is at least in the local store."""
    uplink().deliver_to(None, recovery.READER_LIMIT_S)
    if os.path.isdir(place.home.uri):
        catch_up(place.home)


def search(
    place: Place,
    filter: str | None = None,  # noqa: A002 - the public name of api.md
    *,
    experiment: str | None = None,
    order_by: str | Sequence[str] | None = None,
    limit: int | None = None,
    offset: int = 0,
    parent: str | None = None,
    deleted: bool | None = False,
) -> Runs:
    """Runs of a store, newest first unless `order_by` says otherwise; see `mlops_sdk.search_runs`."""
    if filter is not None and filter.strip():
        raise FilterSyntaxError("filters come with a later version; leave it out", text=filter, column=0)
    if limit is not None and limit < 0:
        raise InvalidValueError(f"limit is {limit}; give 0 or more")
    if offset < 0:
        raise InvalidValueError(f"offset is {offset}; give 0 or more")
    query = RunQuery(
        experiment=experiment,
        parent=parent,
        deleted=deleted,
        order_by=parse_order(order_by),
        limit=limit,
        offset=offset,
    )
    catch_up(place)
    return Runs(place.store, place.store.find(query))


def parse_order(text: str | Sequence[str] | None) -> tuple[OrderBy, ...]:
    """Read an ordering: ``"metrics.acc.max DESC, start_time"``.

    Raises
    ------
    FilterSyntaxError
        If a term is neither a metric, a param, a tag nor an attribute.
    """
    if text is None:
        return ()
    terms = [*_split(text)] if isinstance(text, str) else [term for part in text for term in _split(part)]
    return tuple(_parse_term(term) for term in terms)


def _split(text: str) -> list[str]:
    """Split at commas that are not inside backticks."""
    parts = re.findall(r"(?:`[^`]*`|[^,`])+", text)
    return [part.strip() for part in parts if part.strip()]


def _parse_term(term: str) -> OrderBy:
    found = _TERM.match(term)
    assert found is not None, "the pattern matches every non-empty text"
    kind, key = (found.group(1) or "attributes").lower(), found.group(2).strip()
    descending = (found.group(3) or "").lower() == "desc"
    if kind == "attributes":
        if key not in ATTRIBUTES:
            raise FilterSyntaxError(f"cannot order by {key!r}: use metrics.KEY, params.KEY, tags.KEY or an attribute",
                                    text=term, column=0)  # fmt: skip
        return OrderBy("attribute", ATTRIBUTES[key], descending=descending)
    summary = "last"
    if key.startswith("`") and "`" in key[1:]:
        key, _, rest = key[1:].partition("`")
        summary = rest.removeprefix(".") or "last"
    elif kind == "metrics" and key.rpartition(".")[2] in SUMMARIES and "." in key:
        key, _, summary = key.rpartition(".")
    if summary not in SUMMARIES:
        raise FilterSyntaxError(f"{summary!r} is no summary: use {', '.join(sorted(SUMMARIES))}", text=term, column=0)
    return OrderBy(cast(Any, kind), key, summary, descending)


def head_of(store: Store, run_id: str) -> RunHead:
    """The run of exactly that id, in the trash or not.

    Raises
    ------
    RunNotFoundError
    """
    heads = store.find(RunQuery(run_ids=(run_id,), deleted=None))
    if not heads:
        raise RunNotFoundError(run_id)
    return heads[0]


def resolve(place: Place, text: str, *, deleted: bool | None = False) -> RunView:
    """A run by full id, unique prefix or suffix of at least 4 characters, unique name, or ``@n`` (the n-th latest).

    Raises
    ------
    RunNotFoundError, AmbiguousRunError
    """
    catch_up(place)
    if re.fullmatch(r"@[1-9][0-9]{0,8}", text):
        heads = place.store.find(RunQuery(deleted=deleted, limit=1, offset=int(text[1:]) - 1))
    else:
        heads = place.store.find(RunQuery(id_like=text, deleted=deleted))
        exact = [head for head in heads if head.run_id == text]
        heads = exact or heads
    if not heads:
        raise RunNotFoundError(text)
    if len(heads) > 1:
        raise AmbiguousRunError(text, [f"{head.run_id} ({head.name})" for head in heads])
    return RunView(place.store, heads[0])
