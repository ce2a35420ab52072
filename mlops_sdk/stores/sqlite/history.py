"""Metric points read back: a series in its order, or all points of a run, piece by piece."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_sdk.entities import MetricSeries
from mlops_sdk.errors import MetricNotFoundError, RunNotFoundError
from mlops_sdk.journal.records import Points
from mlops_sdk.journal.summaries import is_ascending
from mlops_sdk.stores.sqlite import columns
from mlops_sdk.stores.sqlite.points import CHUNK_TYPES, TAIL_TYPES

if TYPE_CHECKING:
    from mlops_sdk._types import IntArray


class Writer(NamedTuple):
    """A writer whose points are asked for."""

    id: int
    writer_id: str
    is_owner: bool
    rank: int | None


@dataclass(slots=True)
class Piece:
    """Points of one metric by one writer in one attempt that are stored together.

    Attributes
    ----------
    writer, attempt : int
    first_sequence, last_sequence : int
    n : int
    blob : bytes
    place : str
        Where they stand, in words.
    chosen : numpy.ndarray of bool, or None
        Of a tail: which points are the metric's.
    """

    writer: int
    attempt: int
    first_sequence: int
    last_sequence: int
    n: int
    blob: bytes
    place: str
    chosen: Any = None
    decoded: Any = None

    def __len__(self) -> int:
        return self.n

    def read_into(self, out: Sequence[Any]) -> None:
        """Decode step, time, value (and sequence, if `out` has a fourth) into arrays of length n."""
        if self.chosen is None:
            columns.decode(self.blob, CHUNK_TYPES[: len(out)], place=self.place, out=out)
            return
        for column, values in zip(out, self.decoded, strict=False):
            column[:] = values[self.chosen]


def read_series(
    connection: sqlite3.Connection, run_id: str, key: str, *, rank: int | str | None, attempt: int | str | None
) -> MetricSeries:
    """See `Store.series`; `connection` is in a read transaction."""
    run, metric = _find(connection, run_id, key)
    writers = _writers(connection, run_id)
    pieces = list(_pieces(connection, run, metric))
    if not pieces:
        raise MetricNotFoundError(key, known_keys(connection, run))
    hidden = {} if attempt == "all" or isinstance(attempt, int) else hidden_from(connection, run)
    if isinstance(attempt, int):
        pieces = [piece for piece in pieces if piece.attempt == attempt]
    if rank is None:
        owners = [writer for writer in writers if writer.is_owner]
        series = _assemble(key, pieces, owners, hidden, with_rank=False)
        return series if len(series) else _assemble(key, pieces, writers, hidden, with_rank=False)
    if rank != "all":
        writers = [writer for writer in writers if writer.rank == rank]
    return _assemble(key, pieces, writers, hidden, with_rank=rank == "all")


def _find(connection: sqlite3.Connection, run_id: str, key: str) -> tuple[int, int]:
    row = connection.execute("SELECT id FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise RunNotFoundError(run_id)
    metric = connection.execute("SELECT id FROM metric_keys WHERE name = ?", (key,)).fetchone()
    if metric is None:
        raise MetricNotFoundError(key, known_keys(connection, row[0]))
    return row[0], metric[0]


def known_keys(connection: sqlite3.Connection, run: int) -> list[str]:
    """Names of the metrics of a run that have points that stand."""
    rows = connection.execute(
        "SELECT k.name FROM metrics m JOIN metric_keys k ON k.id = m.metric WHERE m.run = ?", (run,)
    )
    return [name for (name,) in rows]


def _writers(connection: sqlite3.Connection, run_id: str) -> list[Writer]:
    rows = connection.execute(
        "SELECT id, writer_id, role = 'owner', rank FROM writers WHERE run_id = ? ORDER BY writer_id", (run_id,)
    )
    return [Writer(*row) for row in rows]


def hidden_from(connection: sqlite3.Connection, run: int) -> dict[int, int]:
    """By attempt: the step at and after which later attempts hide its points; attempts that nothing hides are left out."""
    rewinds = connection.execute("SELECT attempt, from_step FROM rewinds WHERE run = ?", (run,)).fetchall()
    return {
        attempt: min(step for later, step in rewinds if later > attempt)
        for attempt in range(max((number for number, _ in rewinds), default=0))
    }


def _pieces(connection: sqlite3.Connection, run: int, metric: int) -> Iterator[Piece]:
    yield from chunk_pieces(connection, run, metric)
    for tail in tail_pieces(connection, run):
        decoded = decode_tail(tail)
        chosen = decoded[4] == metric
        if n := int(chosen.sum()):
            yield metric_of_tail(tail, decoded, chosen, n)


def chunk_pieces(connection: sqlite3.Connection, run: int, metric: int) -> Iterator[Piece]:
    """The chunks of a metric, one at a time."""
    rows = connection.execute(
        """SELECT writer, attempt, first_sequence, last_sequence, n, points, 'chunks, row ' || id
        FROM chunks WHERE run = ? AND metric = ? ORDER BY writer, first_sequence""",
        (run, metric),
    )
    return (Piece(*row) for row in rows)


def tail_pieces(connection: sqlite3.Connection, run: int) -> Iterator[Piece]:
    """The tails of a run, of all metrics, one at a time."""
    rows = connection.execute(
        """SELECT writer, attempt, first_sequence, last_sequence, n, points, 'tails, row ' || id
        FROM tails WHERE run = ? ORDER BY writer, first_sequence""",
        (run,),
    )
    return (Piece(*row) for row in rows)


def decode_tail(tail: Piece) -> list[Any]:
    """Columns step, time, value, sequence, metric of a tail."""
    return columns.decode(tail.blob, TAIL_TYPES, place=tail.place, n=tail.n)


def metric_of_tail(tail: Piece, decoded: list[Any], chosen: Any, n: int) -> Piece:
    """The part of a tail that is one metric's."""
    sequence = decoded[3][chosen]
    return Piece(
        *(tail.writer, tail.attempt, int(sequence.min()), int(sequence.max()), n, tail.blob, tail.place),
        chosen=chosen,
        decoded=decoded,
    )


def _assemble(
    key: str, pieces: list[Piece], writers: list[Writer], hidden: dict[int, int], *, with_rank: bool
) -> MetricSeries:
    """The points of some writers as a series."""
    import numpy as np

    parts = [_of_writer([piece for piece in pieces if piece.writer == writer.id], hidden) for writer in writers]
    rank = _ranks(parts, writers) if with_rank else None
    parts = [part for part in parts if len(part[0])] or [[np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)]]
    together = zip(*parts, strict=True)
    step, time_ns, value = parts[0] if len(parts) == 1 else [np.concatenate(column) for column in together]
    if not is_ascending(step, time_ns):
        # stable: ties stay in the order of writer and sequence
        order = np.lexsort((time_ns, step))
        step, time_ns, value = step[order], time_ns[order], value[order]
        rank = None if rank is None else rank[order]
    return MetricSeries(key, step, value, time_ns, rank, len(step))


def _ranks(parts: list[list[Any]], writers: list[Writer]) -> IntArray:
    import numpy as np

    ranks = [-1 if writer.rank is None else writer.rank for writer in writers]
    return np.repeat(np.array(ranks, np.int64), [len(part[0]) for part in parts])


def _of_writer(pieces: list[Piece], hidden: dict[int, int]) -> list[Any]:
    """Columns step, time, value of one writer in order of sequence, without what is hidden."""
    import numpy as np

    pieces.sort(key=lambda piece: piece.first_sequence)
    overlap = any(one.last_sequence >= two.first_sequence for one, two in itertools.pairwise(pieces))
    total = sum(len(piece) for piece in pieces)
    out: list[Any] = [np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total)]
    if overlap:
        out.append(np.empty(total, np.int64))
    start = 0
    for piece in pieces:
        start += _read_standing(piece, [column[start : start + len(piece)] for column in out], hidden)
    out = [column[:start] for column in out]
    if overlap:
        order = np.argsort(out.pop(), kind="stable")
        out = [column[order] for column in out]
    return out


def _read_standing(piece: Piece, out: list[Any], hidden: dict[int, int]) -> int:
    """Read a piece to the start of `out` without its hidden points; returns how many stand."""
    piece.read_into(out)
    if piece.attempt not in hidden:
        return len(piece)
    stands = out[0] < hidden[piece.attempt]
    n = int(stands.sum())
    for column in out:
        column[:n] = column[stands]
    return n


def standing_points(
    connection: sqlite3.Connection, run: int, metrics: Sequence[int] | None
) -> Iterator[tuple[int, Points]]:
    """Points that stand, of some metrics or (None) all, as (writer, points), a stored piece at a time.

    `key_id` of the points is the row id of the metric.
    """
    import numpy as np

    hidden = hidden_from(connection, run)
    is_all = metrics is None
    if metrics is None:
        metrics = [row[0] for row in connection.execute("SELECT DISTINCT metric FROM chunks WHERE run = ?", (run,))]
    for metric in metrics:
        for piece in chunk_pieces(connection, run, metric):
            step, time_ns, value, sequence = columns.decode(piece.blob, CHUNK_TYPES, place=piece.place, n=piece.n)
            points = Points(sequence, np.full(piece.n, metric), step, time_ns, value)
            yield piece.writer, _standing(points, np.ones(piece.n, bool), hidden.get(piece.attempt))
    for tail in tail_pieces(connection, run):
        step, time_ns, value, sequence, metric = decode_tail(tail)
        points = Points(sequence, metric, step, time_ns, value)
        chosen = np.ones(tail.n, bool) if is_all else np.isin(metric, metrics)
        yield tail.writer, _standing(points, chosen, hidden.get(tail.attempt))


def _standing(points: Points, chosen: Any, hidden_at: int | None) -> Points:
    import numpy as np

    if hidden_at is not None:
        chosen = chosen & (points.step < hidden_at)
    # a merged tail is in the order of metrics; summaries want the order of the log
    order = np.flatnonzero(chosen)
    order = order[np.argsort(points.sequence[order], kind="stable")]
    return Points(
        *(column[order] for column in (points.sequence, points.key_id, points.step, points.time_ns, points.value))
    )
