"""`HTTPStore`: the store protocol over a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlops_sdk.entities import PARTS, Experiment, RunHead, RunParts, WriterState
from mlops_sdk.errors import InvalidValueError, StoreCorruptError, StoreError, StoreVersionError
from mlops_sdk.journal.records import SLOT_BYTES, Batch, record_bytes
from mlops_sdk.stores.http import coding, faults, wire
from mlops_sdk.stores.http.blobs import HTTPBlobs
from mlops_sdk.stores.http.client import API, Client, Patience

if TYPE_CHECKING:
    from mlops_sdk.conditions import FieldKind
    from mlops_sdk.entities import MetricSeries, Part, RunQuery

_T = TypeVar("_T")
_BATCH_SLOTS = 131_072
"""4 MiB: a segment."""
_LOAD_RUNS = 2000
_MOST_RATIO = 50
"""The server takes no body that inflates to more than a hundred times its size."""
_BEFORE_IT_IS_KNOWN = "deflate"


class HTTPStore:
    """Runs on a server.

    Parameters
    ----------
    uri : str
        ``http://host:port`` or ``https://...``.
    token : str, optional
        Default: ``MLOPS_TOKEN``, else the one that is kept for that address.
    patience : Patience, optional
        Timeouts and how long a call is tried again.
    cache : Path, optional
        Where downloaded artifacts are kept; default ``$XDG_CACHE_HOME/mlops/blobs``.

    Attributes
    ----------
    uri : str
    store_id : str
        Of the server's store; asks it when it was not asked yet.
    is_remote : bool
        True.
    blobs : HTTPBlobs

    Notes
    -----
    Making the object sends nothing. Thread-safe; a forked child uses connections of its own.

    References
    ----------
    .. [1] ``docs/adr/0009-remote.md``
    """

    def __init__(
        self, uri: str, *, token: str | None = None, patience: Patience | None = None, cache: Path | None = None
    ) -> None:
        self.client = Client(uri, token, patience)
        self.uri = self.client.uri
        self.is_remote = True
        self.blobs = HTTPBlobs(self.client, cache)
        self._store_id = ""
        self._encoding = _BEFORE_IT_IS_KNOWN

    def __repr__(self) -> str:
        return f"HTTPStore({self.uri!r})"

    @property
    def store_id(self) -> str:
        """Random, made with the server's store."""
        if not self._store_id:
            self.hello()
        return self._store_id

    @store_id.setter
    def store_id(self, value: str) -> None:
        raise AttributeError("the id of a store is made with it")

    def hello(self, *, patience: Patience | None = None) -> dict[str, Any]:
        """Ask the server what it is.

        Raises
        ------
        StoreUnavailableError
            If it cannot be reached.
        AccessDeniedError
            If it refuses the token.
        StoreError, StoreVersionError
            If something else than a server of ours answers, or one that speaks another protocol.
        """
        answer = self.client.request("GET", f"{API}/hello", patience=patience)
        said: dict[str, Any] = self.client.understand(answer, "protocol", "store_id")
        if said["protocol"] != wire.PROTOCOL:
            raise StoreVersionError(f"the server at {self.uri}", said["protocol"], wire.PROTOCOL)
        self._store_id = str(said["store_id"])
        return said

    # -- writing -------------------------------------------------------------------------------------------------

    def append(self, batch: Batch) -> int:
        """Apply one writer's batch of records: see `Store.append`.

        Raises
        ------
        SequenceGapError, DivergedError, StoreCorruptError, StoreUnavailableError, InvalidValueError
        AccessDeniedError
            If the token is none, or may not write.
        """
        sequence = 0
        for part in _cut(batch):
            sequence = self._append(part)
        return sequence

    def _append(self, batch: Batch) -> int:
        body = wire.encode_batch(batch)
        try:
            return self._send(body, self._encoding)
        except faults.EncodingRefusedError:  # another server than the one that said what it takes
            self._encoding = _BEFORE_IT_IS_KNOWN
            return self._send(body, "")

    def _send(self, body: bytes, encoding: str) -> int:
        headers = {"Content-Type": "application/octet-stream"}
        if encoding and len(body) >= coding.COMPRESS_FROM:
            packed = coding.compress(body, encoding)
            if len(packed) * _MOST_RATIO > len(body) and len(packed) < len(body):
                body, headers = packed, {**headers, "Content-Encoding": encoding}
        # not tried again here: the courier does that, and has other things to do meanwhile
        patience = replace(self.client.patience, budget_s=min(1.0, self.client.patience.budget_s))
        answer = self.client.request("POST", f"{API}/batches", body, headers, patience=patience)
        taken = coding.accepted(answer.headers.get("Accept-Encoding", ""))
        self._encoding = "zstd" if "zstd" in taken and coding.zstd() is not None else _BEFORE_IT_IS_KNOWN
        return int(self.client.understand(answer, "sequence")["sequence"])

    def settle(self, run_id: str) -> None:
        """See `Store.settle`.

        Raises
        ------
        StoreUnavailableError
        """
        self.client.call("settle", {"run_id": run_id})

    # -- reading -------------------------------------------------------------------------------------------------

    def acknowledged(self, writer_id: str) -> WriterState | None:
        """See `Store.acknowledged`."""
        found = self.client.call("acknowledged", {"writer_id": writer_id})
        return None if found is None else self._is_a(found, WriterState)

    def find(self, query: RunQuery) -> list[RunHead]:
        """See `Store.find`.

        Raises
        ------
        InvalidValueError
            If it cannot be ordered by that.
        """
        found = self._is_a(self.client.call("find", {"query": query}), list)
        return [self._is_a(head, RunHead) for head in found]

    def keys(self, kind: FieldKind) -> list[str]:
        """See `Store.keys`."""
        found = self._is_a(self.client.call("keys", {"kind": kind}), list)
        return [self._is_a(key, str) for key in found]

    def load(self, run_ids: Sequence[str], parts: Sequence[Part]) -> dict[str, RunParts]:
        """See `Store.load`.

        Raises
        ------
        InvalidValueError
            If there is no such part.
        """
        if unknown := set(parts) - set(PARTS):
            raise InvalidValueError(f"no such parts: {sorted(unknown)}; there are {', '.join(PARTS)}")
        found: dict[str, RunParts] = {}
        for start in range(0, len(run_ids), _LOAD_RUNS):
            some = list(run_ids[start : start + _LOAD_RUNS])
            some_parts = self._is_a(self.client.call("load", {"run_ids": some, "parts": list(parts)}), dict)
            found |= {run_id: self._is_a(each, RunParts) for run_id, each in some_parts.items()}
        return found

    def series(
        self, run_id: str, key: str, *, rank: int | str | None = None, attempt: int | str | None = None
    ) -> MetricSeries:
        """See `Store.series`."""
        asked = wire.dumps({"run_id": run_id, "key": key, "rank": rank, "attempt": attempt})
        answer = self.client.request("POST", f"{API}/series", asked, {"Content-Type": "application/json"})
        try:
            return wire.decode_series(answer.content)
        except (InvalidValueError, KeyError, TypeError, ValueError) as error:
            raise StoreError(f"what {self.uri} sent is no series") from error

    def experiments(self, *, deleted: bool | None = False) -> list[Experiment]:
        """See `Store.experiments`."""
        found = self._is_a(self.client.call("experiments", {"deleted": deleted}), list)
        return [self._is_a(each, Experiment) for each in found]

    def _is_a(self, value: Any, kind: type[_T]) -> _T:
        if not isinstance(value, kind):
            raise StoreError(f"what answers at {self.uri} does not speak as this mlops_sdk does")
        return value

    def close(self) -> None:
        """Close every connection; idempotent. The next call opens what it needs."""
        self.client.close()


def _cut(batch: Batch) -> Iterator[Batch]:
    """A batch in pieces that a server takes, each of whole records."""
    view, start = memoryview(batch.data), 0
    while len(view) - start > _BATCH_SLOTS * SLOT_BYTES:
        end = start
        while (size := record_bytes(view, end)) and end + size - start <= _BATCH_SLOTS * SLOT_BYTES:
            end += size
        if end == start:
            raise StoreCorruptError(f"batch of writer {batch.writer.writer_id}: its bytes are no records")
        yield Batch(batch.writer, batch.first + start // SLOT_BYTES, batch.data[start:end])
        start = end
    yield Batch(batch.writer, batch.first + start // SLOT_BYTES, batch.data[start:]) if start else batch
