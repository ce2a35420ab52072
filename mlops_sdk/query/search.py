"""Finding runs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING

from mlops_sdk._logging import warn
from mlops_sdk.courier import recovery
from mlops_sdk.courier.courier import courier, uplink
from mlops_sdk.entities import RunHead, RunQuery
from mlops_sdk.errors import AmbiguousRunError, InvalidValueError, RunNotFoundError
from mlops_sdk.query.filtering.grammar import parse
from mlops_sdk.query.filtering.order import parse_order
from mlops_sdk.query.filtering.unknown import check_names
from mlops_sdk.query.runs import Runs
from mlops_sdk.query.view import RunView

if TYPE_CHECKING:
    from mlops_sdk.stores.opening import Place
    from mlops_sdk.stores.protocol import Store

TIMEOUT_S = 10.0
"""How long a search with a filter may take."""

_WHOLE_ID = 32
"""An id that is so long is most likely a whole one."""

_ONE_RUN_S = 10.0
"""How long the reader of one run waits for what dead writers left: it asked for all of it."""


def catch_up(place: Place, *, limit_s: float | None = None) -> None:
    """Before reading: deliver what this process still has, and what dead writers left.

    Parameters
    ----------
    place : Place
    limit_s : float, optional
        No further journal is begun after so many seconds, by default a quarter; that some are left is said.
    """
    limit_s = recovery.READER_LIMIT_S if limit_s is None else limit_s
    if place.home is not place:
        catch_up_remote(place, limit_s=limit_s)
        return
    courier().deliver_to(place, recovery.READER_LIMIT_S)
    is_complete = True
    for root in place.journal_roots():
        if place.is_merged_by_readers:
            recovery.merge(place.store, root)
        else:
            is_complete &= recovery.sweep(place.store, root, limit_s=limit_s).is_complete
    for root in place.roots_for_servers():
        is_complete &= recovery.sweep(place.store, root, limit_s=limit_s, keep=True).is_complete
    if not is_complete:
        warn(
            "mlops_sdk: what processes left that died is still being read in: runs of theirs may lack their last part; "
            "read again, or ask for one run"
        )


def catch_up_remote(place: Place, *, limit_s: float | None = None) -> None:
    """As `catch_up`, of a server: what this process has goes there first, or is at least in the local store."""
    uplink().deliver_to(None, recovery.READER_LIMIT_S)
    if os.path.isdir(place.home.uri):
        catch_up(place.home, limit_s=limit_s)


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
    for name, number in (("limit", 0 if limit is None else limit), ("offset", offset)):
        if not is_whole(number) or number < 0:
            raise InvalidValueError(f"{name} is {number!r}; give a whole number, 0 or more")
    if filter is not None and not isinstance(filter, str):
        raise InvalidValueError(f"the filter is a {type(filter).__name__}; give text such as 'metrics.acc > 0.9'")
    found = parse(filter) if filter else None
    query = RunQuery(
        experiment=experiment,
        parent=parent,
        deleted=deleted,
        where=None if found is None else found.condition,
        timeout_s=TIMEOUT_S,
        order_by=parse_order(order_by),
        limit=None if limit is None else index(limit),
        offset=index(offset),
    )
    catch_up(place)
    if found is not None:
        check_names(place.store, found)
    return Runs(place.store, place.store.find(query))


def is_whole(number: object) -> bool:
    """Whether it is an int, of numpy's too: what SQLite takes for a limit."""
    return hasattr(type(number), "__index__")


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
    catch_up(place, limit_s=_ONE_RUN_S)
    return RunView(place.store, find_run(place.store, text, deleted=deleted))


def find_run(store: Store, text: str, *, deleted: bool | None = False) -> RunHead:
    """The head of the run that `resolve` means, as the store has it now.

    Raises
    ------
    RunNotFoundError, AmbiguousRunError
    """
    if re.fullmatch(r"@[1-9][0-9]{0,8}", text):
        heads = store.find(RunQuery(deleted=deleted, limit=1, offset=int(text[1:]) - 1))
    else:
        # Parts of ids and names are looked for among all runs; a whole id has an index.
        heads = store.find(RunQuery(run_ids=(text,), deleted=deleted)) if len(text) >= _WHOLE_ID else []
        heads = heads or store.find(RunQuery(id_like=text, deleted=deleted))
        exact = [head for head in heads if head.run_id == text]
        heads = exact or heads
    if not heads:
        raise RunNotFoundError(text)
    if len(heads) > 1:
        raise AmbiguousRunError(text, [f"{head.run_id} ({head.name})" for head in heads])
    return heads[0]
