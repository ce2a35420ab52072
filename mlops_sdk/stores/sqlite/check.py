"""Looking for damage: the file's structure, every stored point, summaries, references, the bytes of artifacts."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mlops_sdk.entities import PARTS
from mlops_sdk.errors import ArtifactNotFoundError, IntegrityError, InvalidValueError, StoreError
from mlops_sdk.journal.summaries import summarise
from mlops_sdk.stores.sqlite import schema, summary
from mlops_sdk.stores.sqlite.history import standing_points

if TYPE_CHECKING:
    from mlops_sdk.stores.sqlite.store import SQLiteStore

_RESTORE = "restore it from a backup (`mlops backup` makes them); everything else stays readable"


@dataclass(frozen=True, slots=True)
class Problem:
    """Damage that was found.

    Attributes
    ----------
    place : str
        What is damaged: a file, a table and row, a run.
    what : str
    advice : str
        What to do.
    """

    place: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}. {self.advice[:1].upper()}{self.advice[1:]}"


def check(store: SQLiteStore, progress: Callable[[int, int], None] | None) -> list[Problem]:
    """See `SQLiteStore.fsck`."""
    problems: list[Problem] = []
    runs = _try(problems, partial(_runs, store)) or []
    digests = _try(problems, partial(_digests, store)) or []
    steps: list[Callable[[], Iterable[Problem]]] = [
        partial(_check_structure, store),
        partial(_check_references, store),
        *(partial(_check_run, store, run, run_id, problems) for run, run_id in runs),
        *(partial(_check_blob, store, *each) for each in digests),
    ]
    for done, step in enumerate(steps):
        if progress is not None:
            progress(done, len(steps))
        problems += _try(problems, step) or []
    if progress is not None:
        progress(len(steps), len(steps))
    return list(dict.fromkeys(problems))


def _try(problems: list[Problem], step: Callable[[], Iterable[Any]]) -> list[Any] | None:
    """What a step finds; damage that keeps it from finding it is a problem itself, and the other steps go on."""
    try:
        return list(step())
    except StoreError as error:
        what = error.__cause__ if isinstance(error.__cause__, sqlite3.Error) else error
        problems.append(Problem(getattr(error, "place", "") or "the store", str(what), _RESTORE))
        return None


def _runs(store: SQLiteStore) -> list[tuple[int, str]]:
    with store.database.reading("table runs") as connection:
        return connection.execute("SELECT id, run_id FROM runs ORDER BY id").fetchall()


def _digests(store: SQLiteStore) -> list[tuple[str, str, str]]:
    with store.database.reading("table artifacts") as connection:
        return connection.execute(
            """SELECT a.sha256, min(a.path), min(r.run_id) FROM artifacts a JOIN runs r ON r.id = a.run
            GROUP BY a.sha256 ORDER BY a.sha256"""
        ).fetchall()


def _check_structure(store: SQLiteStore) -> Iterator[Problem]:
    with store.database.reading("its structure") as connection:
        for (message,) in connection.execute("PRAGMA integrity_check").fetchall():
            if message != "ok":
                yield Problem(str(store.database.path), message, _RESTORE)


# -- references --------------------------------------------------------------------------------------------------------

_REFERENCES = {
    **{
        f"rows of table {table} belong to a run": f"SELECT count(*) FROM {table} WHERE run NOT IN (SELECT id FROM runs)"  # noqa: S608
        for table in schema.OF_RUN
    },
    "chunks belong to a writer": "SELECT count(*) FROM chunks WHERE writer NOT IN (SELECT id FROM writers)",
    "tails belong to a writer": "SELECT count(*) FROM tails WHERE writer NOT IN (SELECT id FROM writers)",
    "chunks belong to a metric": "SELECT count(*) FROM chunks WHERE metric NOT IN (SELECT id FROM metric_keys)",
    "summaries belong to a metric": "SELECT count(*) FROM metrics WHERE metric NOT IN (SELECT id FROM metric_keys)",
    "runs belong to an experiment": "SELECT count(*) FROM runs WHERE experiment NOT IN (SELECT id FROM experiments)",
    "packages are there": """SELECT count(*) FROM environment WHERE packages IS NOT NULL
        AND packages NOT IN (SELECT digest FROM packages)""",
    "points were acknowledged": """SELECT (SELECT count(*) FROM tails t JOIN writers w ON w.id = t.writer
        WHERE t.last_sequence > w.sequence) + (SELECT count(*) FROM chunks c JOIN writers w ON w.id = c.writer
        WHERE c.last_sequence > w.sequence)""",
}


def _check_references(store: SQLiteStore) -> Iterator[Problem]:
    for claim, sql in _REFERENCES.items():
        with store.database.reading("its references") as connection:
            (count,) = connection.execute(sql).fetchone()
        if count:
            yield Problem(str(store.database.path), f"not all {claim}: {count} do not", _RESTORE)


# -- points ------------------------------------------------------------------------------------------------------------


def _check_run(store: SQLiteStore, run: int, run_id: str, problems: list[Problem]) -> Iterator[Problem]:
    for part in PARTS:
        _try(problems, partial(store.load, [run_id], [part]))
    yield from _check_points(store, run, run_id)


def _check_points(store: SQLiteStore, run: int, run_id: str) -> Iterator[Problem]:
    """Every point can be read, and the summaries are those of the points."""
    with (
        store.database.reading(f"points of run {run_id}") as connection,
        closing(_scratch(connection, run_id)) as scratch,
    ):
        owners = {row[0] for row in scratch.execute("SELECT id FROM writers WHERE role = 'owner'")}
        for writer, points in standing_points(connection, run, None):
            summary.merge(scratch, run, writer, summarise(points), is_owner=writer in owners)
        stored, expected = _summaries(connection, run), _summaries(scratch, run)
        names = dict(connection.execute("SELECT id, name FROM metric_keys"))
    for metric in sorted(stored.keys() | expected.keys()):
        if not _agree(stored.get(metric), expected.get(metric)):
            yield Problem(
                f"run {run_id}, metric {names.get(metric, metric)!r}",
                "its summary is not that of its points",
                "trust the points: the metric's history is sound, its first, last, min, max or mean is not",
            )


def _scratch(connection: sqlite3.Connection, run_id: str) -> sqlite3.Connection:
    """A database in memory in which summaries are made anew."""
    scratch = sqlite3.connect(":memory:")
    scratch.execute(schema.METRICS)
    scratch.execute(schema.WRITERS)
    rows = connection.execute("SELECT * FROM writers WHERE run_id = ?", (run_id,)).fetchall()
    if rows:
        scratch.executemany(f"INSERT INTO writers VALUES ({', '.join('?' * len(rows[0]))})", rows)  # noqa: S608
    return scratch


def _summaries(connection: sqlite3.Connection, run: int) -> dict[int, dict[str, Any]]:
    cursor = connection.execute("SELECT * FROM metrics WHERE run = ?", (run,))
    names = [column[0] for column in cursor.description]
    return {row[1]: dict(zip(names, row, strict=True)) for row in cursor}


def _agree(stored: dict[str, Any] | None, expected: dict[str, Any] | None) -> bool:
    if stored is None or expected is None:
        return False
    rounded = ("total", "mean")  # sums depend on how the points were cut into batches
    exact = all(stored[name] == expected[name] for name in expected if name not in rounded)
    scale = max(abs(expected["min"] or 0.0), abs(expected["max"] or 0.0))
    return exact and all(_is_close(stored[name], expected[name], scale * expected["count"]) for name in rounded)


def _is_close(one: float | None, two: float | None, scale: float) -> bool:
    if one is None or two is None:
        return one is two
    return one == two or math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-12 * scale)


# -- artifacts ---------------------------------------------------------------------------------------------------------


def _check_blob(store: SQLiteStore, sha256: str, path: str, run_id: str) -> Iterator[Problem]:
    place = f"run {run_id}, artifact {path!r}"
    try:
        store.blobs.path(sha256)
    except (ArtifactNotFoundError, InvalidValueError):
        yield Problem(place, "its bytes are gone", "restore them from a backup, or log the artifact again")
    except IntegrityError as error:
        yield Problem(
            place,
            f"its bytes have changed (they hash to {error.found[:12]})",
            "restore them from a backup, or log it again",
        )
