"""What a token opens beyond its role: the writers that are its principal's, the experiments that it is bound to.

The door (`mlops_sdk.server.guard`) knows routes and roles; here is what needs the store to be known.

References
----------
.. [1] ``docs/adr/0014-server-hardening.md``
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops_sdk.conditions import Every, Field, FieldKind, OneOf
from mlops_sdk.entities import RunQuery
from mlops_sdk.journal.records import FRAME_FLAG, SLOT_BYTES, Kind, decode
from mlops_sdk.server.bodies import RefusedError

if TYPE_CHECKING:
    from mlops_sdk.entities import Experiment, Part, RunParts, WriterState
    from mlops_sdk.journal.records import Batch, Event
    from mlops_sdk.server.tokens import Token, Tokens
    from mlops_sdk.stores.protocol import Store

_CLAIMS = """
CREATE TABLE IF NOT EXISTS writers (
    writer_id TEXT NOT NULL PRIMARY KEY,
    principal TEXT NOT NULL,
    claimed_ns INTEGER NOT NULL
) WITHOUT ROWID
"""
_MOST_REMEMBERED = 100_000
_FRESH_S = 1.0
_KEYED: dict[str, Part] = {"params": "params", "tags": "tags", "metrics": "last", "datasets": "datasets"}
_JUDGED = (Kind.RUN, Kind.INFO, Kind.EXPERIMENT, Kind.LOST)
"""Kinds of records that reach beyond their own run."""


class Access:
    """Decides over a store what a token opens. Every method takes None for a server without authentication.

    Notes
    -----
    Thread-safe. Whatever is refused for its experiment is refused in the same words as what is not there.
    """

    def __init__(self, store: Store, tokens: Tokens | None) -> None:
        self._store = store
        self._tokens = tokens
        self._claims: dict[str, str] = {}
        self._digests: dict[str, tuple[float, frozenset[str]]] = {}
        self._lock = threading.Lock()

    # -- writing ---------------------------------------------------------------------------------------------------------

    def check_batch(self, token: Token | None, batch: Batch) -> bool:
        """Refuse a batch that the token may not send; returns whether its writer is new.

        Raises
        ------
        RefusedError
            403.
        StoreCorruptError
            If the records that decide cannot be read.
        """
        if token is None:
            return False
        is_new = self._claim(token, batch.writer.writer_id)
        if token.role == "admin":
            return is_new
        events = [event for event in decode(batch).events if event.kind in _JUDGED] if _has_judged(batch) else []
        for event in events:
            if event.kind == Kind.LOST:
                self._check_lost(token, event)
        if token.experiments is not None:
            self._check_experiments(token, batch, events)
        return is_new

    def _claim(self, token: Token, writer_id: str) -> bool:
        """The first principal that sends a writer's records is the only one that may go on with it."""
        owner, is_new = self._owner(writer_id), False
        if owner is None:
            # a writer of the store's own machine, or of a time without tokens, is nobody's to go on with
            owner = token.principal if self._store.acknowledged(writer_id) is None else ""
            if owner or token.role == "admin":
                owner, is_new = self._keep_claim(writer_id, owner or token.principal), True
        if owner != token.principal and token.role != "admin":
            raise RefusedError(403, "writer", "these records are of a writer that another token began")
        return is_new

    def _owner(self, writer_id: str) -> str | None:
        found = self._claims.get(writer_id)
        if found is None and self._tokens is not None:
            with self._tokens.writing() as connection:
                connection.execute(_CLAIMS)
                row = connection.execute("SELECT principal FROM writers WHERE writer_id = ?", (_as_key(writer_id),))
                found = next((principal for (principal,) in row), None)
        if found is not None:
            self._remember(writer_id, found)
        return found

    def _keep_claim(self, writer_id: str, principal: str) -> str:
        assert self._tokens is not None
        with self._tokens.writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO writers VALUES (?, ?, ?)", (_as_key(writer_id), principal, time.time_ns())
            )
            row = connection.execute("SELECT principal FROM writers WHERE writer_id = ?", (_as_key(writer_id),))
            owner = str(row.fetchone()[0])
        self._remember(writer_id, owner)
        return owner

    def _remember(self, writer_id: str, principal: str) -> None:
        with self._lock:
            if len(self._claims) >= _MOST_REMEMBERED:
                self._claims.clear()
            self._claims[writer_id] = principal

    def _check_lost(self, token: Token, event: Event) -> None:
        """Only a principal's own writers may be declared dead by it."""
        writer_id = event.payload.get("writer") if isinstance(event.payload, dict) else None
        if isinstance(writer_id, str) and self._owner(writer_id) not in (None, token.principal):
            raise RefusedError(403, "writer", "these records are about a writer that another token began")

    def _check_experiments(self, token: Token, batch: Batch, events: Iterable[Event]) -> None:
        run_id = batch.writer.run_id
        is_there = bool(self._store.find(RunQuery(run_ids=(run_id,), deleted=None)))
        if is_there:
            self.need_run(token, run_id)
        named = [name for event in events for name in _experiments_of(event, batch, is_there=is_there)]
        if not is_there and not named:
            raise _outside(token)
        for name in named:
            if not token.is_open_to(name):
                raise _outside(token)

    # -- reading ---------------------------------------------------------------------------------------------------------

    def query(self, token: Token | None, query: RunQuery) -> RunQuery:
        """The same question, asked of what the token opens."""
        if token is None or token.experiments is None:
            return query
        only = OneOf(Field("attribute", "experiment"), token.experiments)
        return replace(query, where=only if query.where is None else Every((only, query.where)))

    def runs(self, token: Token | None, run_ids: Iterable[str]) -> list[str]:
        """Those of the runs that the token opens, in order."""
        asked = list(run_ids)
        if token is None or token.experiments is None or not asked:
            return asked
        found = self._store.find(self.query(token, RunQuery(run_ids=tuple(dict.fromkeys(asked)), deleted=None)))
        is_open = {head.run_id for head in found}
        return [run_id for run_id in asked if run_id in is_open]

    def need_run(self, token: Token | None, run_id: str) -> None:
        """Refuse what is about a run that the token does not open.

        Raises
        ------
        RefusedError
            403.
        """
        if not self.runs(token, [run_id]):
            assert token is not None
            raise _outside(token)

    def load(self, token: Token | None, run_ids: Sequence[str], parts: Sequence[Part]) -> dict[str, RunParts]:
        """`Store.load` of what the token opens."""
        found = self._store.load(self.runs(token, run_ids), parts)
        if token is None or token.experiments is None or "children" not in parts:
            return found
        is_open = set(self.runs(token, {child for each in found.values() for child in each.children}))
        return {
            run_id: replace(each, children=[child for child in each.children if child in is_open])
            for run_id, each in found.items()
        }

    def keys(self, token: Token | None, kind: FieldKind) -> list[str]:
        """`Store.keys` of what the token opens."""
        if token is None or token.experiments is None or kind not in _KEYED:
            return self._store.keys(kind)
        part = _KEYED[kind]
        found = self._store.load(self._all(token), [part])
        return sorted({key for each in found.values() for key in _keys_of(getattr(each, part))})

    def experiments(self, token: Token | None, found: Iterable[Experiment]) -> list[Experiment]:
        """Those of the experiments that the token opens."""
        return [each for each in found if token is None or token.is_open_to(each.name)]

    def acknowledged(self, token: Token | None, state: WriterState | None) -> WriterState | None:
        """What is stored of a writer, where the token may know it.

        Raises
        ------
        RefusedError
            403.
        """
        if token is None or token.role == "admin" or state is None:
            return state
        if self._owner(state.writer_id) != token.principal:
            raise RefusedError(403, "writer", "that is a writer that another token began")
        return state

    def forget(self) -> None:
        """A batch was applied: what runs name may be other bytes now."""
        with self._lock:
            self._digests.clear()

    # -- bytes -----------------------------------------------------------------------------------------------------------

    def has_blob(self, token: Token | None, sha256: str) -> bool:
        """Whether the token opens a run that names these bytes."""
        return token is None or token.experiments is None or sha256 in self.digests(token, sha256)

    def digests(self, token: Token, wanted: str = "") -> frozenset[str]:
        """Of all artifacts that the token opens."""
        with self._lock:
            seen, known = self._digests.get(token.id, (0.0, frozenset()))
        if (wanted and wanted in known) or time.monotonic() - seen < _FRESH_S:
            return known
        loaded = self._store.load(self._all(token), ["artifacts"])
        known = frozenset(each.sha256 for parts in loaded.values() for each in parts.artifacts)
        with self._lock:
            self._digests[token.id] = (time.monotonic(), known)
        return known

    def _all(self, token: Token) -> list[str]:
        return [head.run_id for head in self._store.find(self.query(token, RunQuery(deleted=None)))]


def _keys_of(part: Any) -> Iterable[str]:
    if isinstance(part, Mapping):
        return part
    return [each["context"] for each in part if isinstance(each.get("context"), str)]


def _has_judged(batch: Batch) -> bool:
    """Whether a slot looks like the beginning of a record that reaches beyond its run; few do."""
    import numpy as np

    whole = len(batch.data) // SLOT_BYTES * SLOT_BYTES
    marks = np.frombuffer(batch.data[:whole], "<u4")[:: SLOT_BYTES // 4]
    return bool(np.isin(marks, [FRAME_FLAG + kind for kind in _JUDGED]).any())


def _experiments_of(event: Event, batch: Batch, *, is_there: bool) -> Iterator[str]:
    """The experiments that a record puts something into."""
    if not isinstance(event.payload, dict):
        return
    if event.kind == Kind.RUN:
        if is_there and batch.writer.role != "owner":
            return  # changes nothing of a run that is there
        name = event.payload.get("experiment", "default")
    else:
        name = event.payload.get("name" if event.kind == Kind.EXPERIMENT else "experiment")
    if isinstance(name, str) and event.kind != Kind.LOST:
        yield name


def _outside(token: Token) -> RefusedError:
    known = ", ".join(token.experiments or ())[:500]
    return RefusedError(403, "experiment", f"this token opens only what belongs to: {known}")


def _as_key(writer_id: str) -> str:
    return writer_id.encode("utf-8", "backslashreplace").decode()
