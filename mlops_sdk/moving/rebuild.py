"""The records that make a run again, from what a store tells of it.

A store keeps what records said, not the records: so a copy is written by writers of its own, whose ids follow from the run
and its content. The same run gives the same records, which makes copying again harmless; and what arrives was made by the
same code as every other run.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_sdk.journal.records import Batch, Kind, WriterHeader, encode_frame, pack_body, pack_slot
from mlops_sdk.moving.identity import head_of, metric_keys, parts_of
from mlops_sdk.values.params import encode_param

if TYPE_CHECKING:
    from mlops_sdk.entities import MetricSeries, RunHead, RunParts, WriterState
    from mlops_sdk.moving.identity import Identity
    from mlops_sdk.stores.protocol import Store

_BATCH_BYTES = 2 << 20
_CHUNK_CHARS = 200_000
"""Of JSON in one record, about: half a megabyte of UTF-8 at most."""
_NEVER = 2**63 - 1


@dataclass
class _Writer:
    """Records of one writer on their way into batches."""

    header: WriterHeader
    next: int = 1
    waiting: list[bytes] = field(default_factory=list)
    size: int = 0
    keys: dict[str, int] = field(default_factory=dict)

    def event(self, kind: Kind, time_ns: int, payload: dict[str, Any]) -> None:
        self._take(encode_frame(kind, time_ns, payload, self.header.seed))

    def key(self, name: str, time_ns: int) -> int:
        if name not in self.keys:
            self.keys[name] = len(self.keys) + 1
            self.event(Kind.KEY, time_ns, {"id": self.keys[name], "name": name})
        return self.keys[name]

    def points(self, key_id: int, rows: Iterable[tuple[int, int, float]]) -> Iterator[Batch]:
        seed, crc = self.header.seed, zlib.crc32
        for step, time_ns, value in rows:
            body = pack_body(key_id, time_ns, step, value)
            self._take(pack_slot(body, crc(body, seed)))
            if self.size >= _BATCH_BYTES:
                yield from self.batches()

    def batches(self) -> Iterator[Batch]:
        """What waits, as a batch; none when nothing does."""
        if self.waiting:
            batch = Batch(self.header, self.next, b"".join(self.waiting))
            self.next, self.waiting, self.size = batch.last + 1, [], 0
            yield batch

    def _take(self, record: bytes) -> None:
        self.waiting.append(record)
        self.size += len(record)


def rebuild(store: Store, identity: Identity) -> Iterator[Batch]:
    """Batches that make the run of `identity` in a store that does not have it, in the order to append them.

    Parameters
    ----------
    store : Store
        Which has it.
    identity : Identity

    Yields
    ------
    Batch

    Notes
    -----
    What no store tells is not in them: earlier values of params that were overwritten, and which of several writers of one
    rank logged a point.
    """
    head, parts = head_of(store, identity.run_id), parts_of(store, identity.run_id)
    assert head is not None, "it was identified"
    cast = _cast(head, parts, identity)
    owner, *others = cast
    first = owner.header
    owner.event(Kind.RUN, head.start_ns, _run_payload(head))
    _describe(owner, head, parts)
    yield from owner.batches()
    for other in others:
        other.event(Kind.RUN, head.start_ns, {})
        yield from other.batches()
    yield from _history(store, head, parts, cast)
    _end(cast, head, parts)
    for each in cast:
        yield from each.batches()
    if head.is_provisional and head.status != "RUNNING":
        lost = {"writer": first.writer_id, "status": head.status, "end_reason": head.end_reason, "dropped": 0}
        editor = _Writer(_header(identity, len(cast), "editor", None, None))
        editor.event(Kind.LOST, head.heard_ns, lost)
        yield from editor.batches()


def writer_ids(identity: Identity) -> set[str]:
    """Ids that writers of a copy can have: up to 4,096 of them."""
    return {_writer_id(identity, index) for index in range(4096)}


def _writer_id(identity: Identity, index: int) -> str:
    content = f"copy/1/{identity.digest}/{index}/{identity.run_id}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _header(identity: Identity, index: int, role: str, rank: int | None, state: WriterState | None) -> WriterHeader:
    host, pid = (state.host, state.pid) if state else ("", 0)
    return WriterHeader(identity.run_id, _writer_id(identity, index), role=role, rank=rank, host=host, pid=pid)


def _cast(head: RunHead, parts: RunParts, identity: Identity) -> list[_Writer]:
    """The writers of the copy: one owner, and an attached one for each rank that others had."""
    owners = [each for each in parts.writers if each.role == "owner"]
    found = [_Writer(_header(identity, 0, "owner", owners[0].rank if owners else None, owners[-1] if owners else None))]
    ranks = dict.fromkeys(each.rank for each in parts.writers if each.role == "attached")
    for index, rank in enumerate(ranks, 1):
        state = next(each for each in parts.writers if each.role == "attached" and each.rank == rank)
        found.append(_Writer(_header(identity, index, "attached", rank, state)))
    return found


def _run_payload(head: RunHead) -> dict[str, Any]:
    names = ("experiment", "name", "parent", "user", "host", "entry_point", "description")
    return {name: getattr(head, name) for name in names}


def _describe(owner: _Writer, head: RunHead, parts: RunParts) -> None:
    """Everything but points and the ending."""
    now = head.start_ns
    params = [[key, *encode_param(value)] for key, value in sorted(parts.params.items())]
    for some in _chunks(params):
        owner.event(Kind.PARAMS, now, {"params": some, "overwrite": False})
    for key, value in parts.config.items():
        owner.event(Kind.PARAMS, now, {"params": [], "overwrite": False, "config": {key: value}})
    for pairs in _chunks(sorted(parts.tags.items())):
        owner.event(Kind.TAGS, now, {"set": dict(pairs)})
    for definition in sorted(parts.definitions.values(), key=lambda each: each.key):
        said = {"key": definition.key, "mode": definition.mode, "unit": definition.unit, "x": definition.x}
        owner.event(Kind.DEFINE, now, said)
    for key, value in sorted(parts.environment.items()):
        owner.event(Kind.ENVIRONMENT, now, {key: value})
    for dataset in parts.datasets:
        owner.event(Kind.DATASET, now, dict(dataset))
    for ref in parts.artifacts:
        names = ("path", "sha256", "size_bytes", "media_type", "step")
        said = {name: getattr(ref, name) for name in names}
        owner.event(Kind.ARTIFACT, now, {**said, "metadata": dict(ref.metadata)})
    for warning in parts.warnings:
        owner.event(Kind.WARNING, now, dict(warning))
    if dropped := sum(each.dropped for each in parts.writers):
        owner.event(Kind.DROPPED, now, {"total": dropped})


def _chunks(entries: Sequence[Any]) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    size = 0
    for entry in entries:
        length = len(json.dumps(entry))
        if chunk and size + length > _CHUNK_CHARS:
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += length
    if chunk:
        yield chunk


# -- points --------------------------------------------------------------------------------------------------------------


def _history(store: Store, head: RunHead, parts: RunParts, cast: Sequence[_Writer]) -> Iterator[Batch]:
    """Points, attempt by attempt; between two of them the owner rewinds."""
    keys = metric_keys(parts)
    last = max((each.attempt for each in parts.writers), default=0)
    rewinds = _rewinds(store, head.run_id, keys, last)
    for attempt in range(last + 1):
        if attempt:
            cast[0].event(Kind.RUN, head.start_ns, {**_run_payload(head), "from_step": rewinds[attempt]})
            yield from cast[0].batches()
            for other in cast[1:]:
                other.event(Kind.RUN, head.start_ns, {})  # joins the attempt
                yield from other.batches()
        for key in keys:
            every = store.series(head.run_id, key, rank="all", attempt=attempt if last else "all")
            if not len(every):
                continue
            of_owner = store.series(head.run_id, key, attempt=attempt if last else "all")
            for writer, rows in _dealt(every, of_owner, cast):
                yield from writer.points(writer.key(key, head.start_ns), rows)
        for each in cast:
            yield from each.batches()


def _rewinds(store: Store, run_id: str, keys: Sequence[str], last: int) -> dict[int, int]:
    """Steps from which each attempt after the first hides the earlier ones' points, so that the same points stand."""
    found: dict[int, int] = {}
    beyond = _NEVER
    for attempt in range(last, 0, -1):
        least = min((_least_hidden(store, run_id, key, attempt - 1) for key in keys), default=_NEVER)
        found[attempt] = least if least < beyond else _NEVER
        beyond = min(beyond, least)
    return found


def _least_hidden(store: Store, run_id: str, key: str, attempt: int) -> int:
    """Least step of an attempt's points that do not stand; of equal steps all are hidden, or none."""
    logged = store.series(run_id, key, rank="all", attempt=attempt)
    standing = set(_rows(store.series(run_id, key, rank="all")))
    return min((row[0] for row in _rows(logged) if row not in standing), default=_NEVER)


def _rows(series: MetricSeries) -> list[tuple[int, int, int, int]]:
    import numpy as np

    ranks = np.full(len(series), -1) if series.rank is None else series.rank
    bits = np.ascontiguousarray(series.value).view(np.int64)
    return list(zip(series.step.tolist(), series.time_ns.tolist(), bits.tolist(), ranks.tolist(), strict=True))


def _dealt(
    every: MetricSeries, of_owner: MetricSeries, cast: Sequence[_Writer]
) -> Iterator[tuple[_Writer, list[tuple[int, int, float]]]]:
    """Points by the writer of the copy that has them."""
    owner, others = cast[0], {_as_column(each.header.rank): each for each in cast[1:]}
    if not others:
        yield owner, list(zip(every.step.tolist(), every.time_ns.tolist(), every.value.tolist(), strict=True))
        return
    owned: dict[tuple[int, int, int], int] = {}
    for step, time_ns, bits, _ in _rows(of_owner):
        owned[step, time_ns, bits] = owned.get((step, time_ns, bits), 0) + 1
    own_rank = _as_column(owner.header.rank)
    dealt: dict[int, list[tuple[int, int, float]]] = {}
    for (step, time_ns, bits, rank), value in zip(_rows(every), every.value.tolist(), strict=True):
        is_own = rank == own_rank and owned.get((step, time_ns, bits), 0) > 0
        if is_own:
            owned[step, time_ns, bits] -= 1
        place = -2 if is_own or rank not in others else rank
        dealt.setdefault(place, []).append((step, time_ns, value))
    for place, rows in dealt.items():
        yield others.get(place, owner), rows


def _as_column(rank: int | None) -> int:
    return -1 if rank is None else rank


def _end(cast: Sequence[_Writer], head: RunHead, parts: RunParts) -> None:
    for each in cast[1:]:
        state = next(w for w in parts.writers if w.role == "attached" and w.rank == each.header.rank)
        if state.end_status is not None:
            said = {"status": state.end_status, "end_reason": state.end_reason}
            each.event(Kind.STATUS, state.heard_ns, said)
    cast[0].event(Kind.HEARTBEAT, head.heard_ns, {})
    if head.status != "RUNNING" and not head.is_provisional:
        said = {"status": head.status, "end_reason": head.end_reason}
        cast[0].event(Kind.STATUS, head.heard_ns if head.end_ns is None else head.end_ns, said)
