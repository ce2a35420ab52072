"""What to do with a history that is not the one that is stored: the rest goes under a writer of its own.

A journal can be copied (a cloned spool, a restored snapshot of the machine), and both copies can go on. They share an
identity, (writer, sequence), and from some record on they say different things under the same numbers. The store keeps
what it saw first and refuses the other with `DivergedError`; what the other has beyond the common records is delivered as
a *branch*: a further writer of the same run, whose id follows from the old one and the first record that differs. So two
deliveries of one copy, by whomever, are one branch, and are recognised by number as ever.

References
----------
.. [1] ``docs/adr/0010-diverged-histories.md``
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops_sdk.errors import DivergedError
from mlops_sdk.journal.records import SLOT_BYTES, Batch, Kind, WriterHeader, encode_frame, record_bytes

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

_FRAME_HEAD_BYTES = 16


@dataclass(frozen=True, slots=True)
class Branch:
    """The way of records into a writer of their own.

    Attributes
    ----------
    common : int
        Sequence number up to which the old writer's history is shared.
    opening : Batch
        The first records of the new writer: RUN, as an attached writer, and the keys that the old one had defined.
    """

    common: int
    opening: Batch

    @classmethod
    def off(cls, batch: Batch, error: DivergedError) -> Branch | None:
        """The branch for the records behind `error.common`; None when `batch` does not hold the first of them.

        Parameters
        ----------
        batch : Batch
            Of the old writer.
        error : DivergedError
        """
        offset = (error.common + 1 - batch.first) * SLOT_BYTES
        size = record_bytes(memoryview(batch.data), offset) if offset >= 0 else 0
        if not size:
            return None
        first = batch.data[offset : offset + size]
        header = _header(batch.writer, error.common, first)
        time = int.from_bytes(first[8:16] if _is_frame(first) else first[4:12], "little", signed=True)
        opening = encode_frame(Kind.RUN, time, {"branch_of": batch.writer.writer_id}, header.seed)
        for key_id, name in sorted(error.keys.items()):
            opening += encode_frame(Kind.KEY, time, {"id": key_id, "name": name}, header.seed)
        return cls(error.common, Batch(header, 1, opening))

    def translate(self, batch: Batch) -> Batch:
        """Records of the old writer, all of them behind `common`, as the new one's."""
        header = replace(self.opening.writer, clock_offset_ns=batch.writer.clock_offset_ns)
        header = replace(header, first=max(1, self._number(batch.writer.first)), index=batch.writer.index)
        return Batch(header, self._number(batch.first), _resealed(batch.data, header.seed))

    def _number(self, sequence: int) -> int:
        return sequence - self.common + self.opening.last

    def original(self, sequence: int) -> int:
        """The old writer's number of a record of the new one; `common` for the opening."""
        return max(self.common, sequence - self.opening.last + self.common)


def _header(old: WriterHeader, common: int, first: bytes) -> WriterHeader:
    # without the checksum: of a branch of a branch it depends on the branch
    content = f"{old.writer_id}/{common}/".encode("utf-8", "surrogatepass") + first[:-4]
    writer_id = hashlib.blake2b(content, digest_size=16).hexdigest()
    return replace(old, writer_id=writer_id, role=old.role if old.role == "editor" else "attached", first=1, index=1)


def _is_frame(record: bytes) -> bool:
    return bool(record[3] & 0x80)


def _resealed(data: bytes, seed: int) -> bytes:
    """The same records under the checksums of another writer."""
    view, offset, parts = memoryview(data), 0, []
    while size := record_bytes(view, offset):
        body = data[offset : offset + size - 4]
        parts += [body, zlib.crc32(body, seed).to_bytes(4, "little")]
        offset += size
    return b"".join(parts)


def deliver(store: Store, batches: Callable[[int], Iterable[Batch]], writer_id: str, *, stored: int = 0) -> str:
    """Append every batch of one writer, those of another history as a branch.

    Parameters
    ----------
    store : Store
    batches : callable
        Returns the batches from the first that is kept, given up to where all of it is stored already; called again for
        each branch.
    writer_id : str
    stored : int
        Up to where the store has the writer.

    Returns
    -------
    str
        Id of the writer that has the last of the records.

    Raises
    ------
    StoreError
        As `Store.append`.
    """
    try:
        for batch in batches(stored):
            store.append(batch)
    except DivergedError as error:
        branch = Branch.off(batch, error)
        if branch is None:
            raise
        store.append(branch.opening)
        return deliver(store, lambda _: _beyond(batches(0), branch), branch.opening.writer.writer_id)
    return writer_id


def _beyond(batches: Iterable[Batch], branch: Branch) -> Iterator[Batch]:
    for batch in batches:
        known = max(0, branch.common + 1 - batch.first)
        if known < batch.count:
            rest = Batch(batch.writer, batch.first + known, batch.data[known * SLOT_BYTES :])
            yield branch.translate(rest)
