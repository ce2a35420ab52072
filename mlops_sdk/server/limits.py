"""Hard limits of the server: what lies beyond is refused before it costs anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from mlops_sdk.errors import InvalidValueError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost.

    Attributes
    ----------
    body_bytes : int
        On the wire.
    inflated_bytes : int
        Of a compressed body, once it is inflated.
    ratio : int
        Inflated to compressed; zlib alone reaches 1,032.
    json_bytes : int
        Body of a request that reads.
    batch_slots : int
        Of 32 bytes, in one batch.
    key_bytes : int
        Of run ids, metric names and the like in a request that reads.
    runs : int
        Ids in one request.
    query_s : float
        For one search.
    header_bytes, headers : int
    body_s : float
        Until the whole body is there.
    idle_s : float
        Between two pieces of a body.
    waiting_bytes : int
        Of batches that wait to be applied; beyond, clients are told to come later.
    blob_bytes : int
        Of one artifact.
    chunk_bytes : int
        Of one piece of an artifact.
    failures, failures_s : int, float
        Refused tokens per address and time before it has to wait.
    quarantine_bytes, quarantine_batches : int
        Of batches that could not be applied.
    header_s : float
        Until the whole head of a request is there.
    keep_alive_s : int
        That a connection may rest between two requests.
    send_s : float
        That an answer may wait for a client that does not read.
    connections : int
        At once; beyond, those that rest longest are closed, and when none rests, new ones.
    reads, reads_waiting : int
        Questions that are answered at once, and that may wait for that.
    """

    body_bytes: int = 16 << 20
    inflated_bytes: int = 64 << 20
    ratio: int = 100
    json_bytes: int = 1 << 20
    batch_slots: int = 200_000
    key_bytes: int = 4096
    runs: int = 10_000
    query_s: float = 10.0
    header_bytes: int = 16 << 10
    headers: int = 100
    body_s: float = 60.0
    idle_s: float = 10.0
    waiting_bytes: int = 128 << 20
    blob_bytes: int = 1 << 40
    chunk_bytes: int = 64 << 20
    failures: int = 20
    failures_s: float = 60.0
    quarantine_bytes: int = 256 << 20
    quarantine_batches: int = 1000
    header_s: float = 10.0
    keep_alive_s: int = 75
    send_s: float = 60.0
    connections: int = 1000
    reads: int = 16
    reads_waiting: int = 200


def with_changes(limits: Limits, changes: Iterable[str]) -> Limits:
    """The limits with some set otherwise.

    Parameters
    ----------
    limits : Limits
    changes : iterable of str
        ``NAME=NUMBER``, as ``mlops server --limit`` takes it.

    Raises
    ------
    InvalidValueError
        If one names what is no limit, or no positive number.

    Examples
    --------
    >>> with_changes(Limits(), ["body_s=90"]).body_s
    90.0
    """
    kinds, found = {each.name: type(getattr(limits, each.name)) for each in fields(Limits)}, {}
    for change in changes:
        name, _, text = change.partition("=")
        try:
            found[name] = kinds[name](text)
            if not 0 < found[name] < 2**62:
                raise ValueError
        except (KeyError, ValueError):
            raise InvalidValueError(
                f"--limit {change!r}: give NAME=NUMBER, a positive one; the limits are {', '.join(kinds)}"
            ) from None
    return replace(limits, **found)
