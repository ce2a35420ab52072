"""What a store answers to a batch, by what it has of the writer: the rule of exactly once, without a disk or a network.

References
----------
.. [1] ``docs/adr/0002-store-protocol.md``, ``docs/adr/0010-diverged-histories.md``
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mlops_sdk.errors import DivergedError, SequenceGapError
from mlops_sdk.journal.records import SLOT_BYTES, Batch

if TYPE_CHECKING:
    from mlops_sdk.journal.records import Decoded


def news(
    batch: Batch,
    decoded: Decoded,
    stored: int,
    history: Mapping[int, int],
    keys_before: Callable[[int], dict[int, str]],
) -> Batch | None:
    """The part of a batch that is not stored yet; None when all of it is.

    Parameters
    ----------
    batch : Batch
    decoded : Decoded
        All of it.
    stored : int
        Sequence number up to which the writer is stored.
    history : mapping of int to int
        Checksum of each stored record, by its number.
    keys_before : callable
        Metric names that the writer had defined before a record, by key id.

    Raises
    ------
    SequenceGapError
        If it begins beyond what is stored.
    DivergedError
        If other records are stored under its numbers.
    """
    writer_id = batch.writer.writer_id
    if batch.first > stored + 1:
        raise SequenceGapError(writer_id, stored + 1, batch.first)
    if batch.first <= stored:
        for number, checksum in zip(decoded.numbers, decoded.checksums, strict=True):
            if number > stored:
                break
            if history.get(int(number)) != int(checksum):
                raise DivergedError(writer_id, int(number) - 1, keys_before(int(number)))
    if batch.last <= stored:
        return None
    known = max(0, stored + 1 - batch.first)
    return Batch(batch.writer, batch.first + known, batch.data[known * SLOT_BYTES :])
