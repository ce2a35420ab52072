"""The store protocol: where runs are kept, whatever lies below.

One method writes: `append` takes a writer's consecutive journal records, all or none. What a record means is the same in
every store, and is defined here by kind (payloads are JSON objects, see `mlops_sdk.journal.records.Kind`):

``RUN``
    First record of a writer. ``{experiment, name, parent, user, host, entry_point, description, from_step}``. Creates the
    run (and the experiment) when it is not there: `start_ns` is the record's time. An owner's RUN on a run that is there
    resumes it: status RUNNING, no end; name and description stay. ``from_step`` (owner only) begins a new attempt:
    points of earlier attempts at and after that step are kept, and hidden from series and summaries, also when they
    arrive later. An attached writer's RUN changes nothing of a run that is there; what an attached writer's RUN created
    takes name, experiment and the like from its first owner's.
``PARAMS``
    ``{params: [[key, kind, text, number], ...], overwrite, config}``. A different value for a set key is rejected unless
    `overwrite`, then the old one goes to the history. Equal values (numbers by value) are not a conflict. ``config``, the
    nested original, is merged at its top level.
``TAGS``
    ``{set: {key: text}, delete: [key]}``; the later record wins.
``INFO``
    ``{name, description, experiment}``: those given are replaced; ``experiment`` moves the run.
``ARTIFACT``
    ``{path, sha256, size_bytes, media_type, step, metadata}``: each is a new version of its path.
``DATASET``
    ``{name, context, digest, ...}``: kept as it is, in order.
``DEFINE``
    ``{key, mode, unit, x}``: replaces what was said of the metric.
``STATUS``
    ``{status, end_reason, traceback, attributes}``: the writer's ending. An owner's ends the run: `end_ns` is the
    record's time. Any later record of an owner but STATUS, WARNING, DROPPED, ARTIFACT, ENVIRONMENT, TAGS or a point
    does not reopen it; only RUN does.
``ENVIRONMENT``
    ``{git, system, packages, seeds, argv, output, ...}``: merged by top-level key; ``packages`` (with its own ``digest``)
    is stored once per digest.
``HEARTBEAT``
    ``{}``: the writer lives.
``DROPPED``
    ``{total}``: how many records the writer could not keep so far.
``LOST``
    ``{writer, status, end_reason, dropped}``, by an editor: that writer was found dead; ``dropped`` is its own count. Sets a provisional ending (`end_ns` is
    the newest time heard of it) unless it had ended, which any later record of that writer takes back.
``TRASH``
    ``{deleted}``: into the trash, or out of it. Late records of a deleted run are acknowledged and kept, and do not
    revive it.
``EXPERIMENT``
    ``{name, deleted}``: makes, deletes or restores an experiment; belongs to no run.
``WARNING``
    ``{cause, count, message}``: trouble counted by the run; the greatest count per cause stands.

References
----------
.. [1] ``docs/adr/0002-store-protocol.md``
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

if TYPE_CHECKING:
    from mlops_sdk.blobs.local import Blob
    from mlops_sdk.blobs.progress import Progress
    from mlops_sdk.conditions import FieldKind
    from mlops_sdk.entities import Experiment, MetricSeries, Part, RunHead, RunParts, RunQuery, WriterState
    from mlops_sdk.journal.records import Batch


@runtime_checkable
class Blobs(Protocol):
    """Content-addressed bytes that belong to a store."""

    def put_bytes(self, data: bytes | memoryview) -> Blob:
        """Keep `data`; durable when it returns, idempotent."""
        ...

    def put_file(self, path: str | Path, *, progress: Progress | None = None) -> Blob:
        """Keep a copy of a regular file; durable when it returns, idempotent."""
        ...

    def put_open(self, source: BinaryIO, *, progress: Progress | None = None) -> Blob:
        """Keep a copy of an open regular file, from its beginning; durable when it returns, idempotent."""
        ...

    def has(self, sha256: str) -> bool:
        """Whether the bytes are there."""
        ...

    def path(self, sha256: str, *, verify: bool = True) -> Path:
        """A local, read-only file with the bytes, re-hashed when `verify`."""
        ...

    def open(self, sha256: str) -> BinaryIO:
        """The bytes as a stream, not verified."""
        ...

    def digests(self) -> Iterator[str]:
        """Every digest kept."""
        ...

    def remove(self, sha256: str) -> int:
        """Drop the bytes; returns how many were freed."""
        ...


class Store(Protocol):
    """Where runs are kept.

    Attributes
    ----------
    uri : str
        Opens this store again.
    store_id : str
        Random, made with the store; tells a store that was replaced from the one that was opened.
    is_remote : bool
    blobs : Blobs

    Notes
    -----
    Values come back as they were logged: float64 bit for bit, params with their type, names unchanged. Every method is
    thread-safe. A store object must not be used in a forked child: open another.
    """

    uri: str
    store_id: str
    is_remote: bool

    @property
    def blobs(self) -> Blobs:
        """Bytes of artifacts."""
        ...

    def append(self, batch: Batch) -> int:
        """Apply one writer's batch of records, all of them or none.

        Parameters
        ----------
        batch : Batch
            Records of one writer, n >= 1, in log order.

        Returns
        -------
        int
            The sequence number up to which this writer is now stored.

        Raises
        ------
        SequenceGapError
            If `batch.first` lies beyond what is stored; nothing was written. Carries `.expected`.
        DivergedError
            If other records are stored under the numbers of the batch (a copied journal that went another way); nothing
            was written. Carries `.common`, the last number up to which both are the same, and `.keys`.
        StoreCorruptError
            If the bytes are not the sound records they claim to be; nothing was written.
        StoreUnavailableError
            If the store could not be reached or written; nothing was written, try again.

        Notes
        -----
        Durable when it returns. Idempotent: records at or below the stored sequence number are compared with what is
        stored and skipped; equal records under other numbers are other records. Total: a well-formed record that cannot be applied (a param conflict, an unknown kind, a
        payload that lacks what it needs) is kept as rejected, with the reason, acknowledged, and the rest goes on.
        """
        ...

    def acknowledged(self, writer_id: str) -> WriterState | None:
        """What is stored of a writer, `sequence` above all; None when nothing is."""
        ...

    def find(self, query: RunQuery) -> list[RunHead]:
        """Runs that fit, in order.

        Parameters
        ----------
        query : RunQuery
            ``where`` is a tree of conditions, with the meaning that `mlops_sdk.conditions` gives them on every store.

        Raises
        ------
        InvalidValueError
            If an attribute or a summary is asked for that there is not.
        QueryTimeoutError
            If it took longer than ``timeout_s``.
        """
        ...

    def keys(self, kind: FieldKind) -> list[str]:
        """Keys of params, tags or metrics, or contexts of datasets, that any run has, in the trash or not; sorted.

        A key that no run has any more may be among them.
        """
        ...

    def load(self, run_ids: Sequence[str], parts: Sequence[Part]) -> dict[str, RunParts]:
        """Parts of many runs at once, in a constant number of statements; unknown ids are left out."""
        ...

    def series(
        self, run_id: str, key: str, *, rank: int | str | None = None, attempt: int | str | None = None
    ) -> MetricSeries:
        """Every point of a metric, ordered by (step, time, writer, sequence).

        Parameters
        ----------
        run_id, key : str
        rank : int, "all" or None
            Points of one rank; of all, with a rank column (-1 where a writer has none); or (None) of the owners if they
            logged the key, else of everybody.
        attempt : int, "all" or None
            Points of one attempt, hidden ones included; of all attempts; or (None) those that stand.

        Raises
        ------
        RunNotFoundError, MetricNotFoundError
        """
        ...

    def experiments(self, *, deleted: bool | None = False) -> list[Experiment]:
        """Experiments by name."""
        ...

    def settle(self, run_id: str) -> None:
        """A writer of the run has ended: a good moment for housekeeping (compaction, checkpoint).

        Raises
        ------
        StoreUnavailableError
            If it was not the moment; nothing is lost.
        """
        ...

    def close(self) -> None:
        """Release files and connections; idempotent."""
        ...
