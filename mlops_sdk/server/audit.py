"""The audit log: who did what to a served store, in an order that cannot be rewritten unseen.

``audit.db`` beside the store is a small SQLite database, its owner's only. Each entry holds the SHA-256 of the one before it
and of itself; triggers refuse changes and deletions, so that they take intent, and then the chain shows them. What a chain
cannot show, that its end was cut off together with the count that SQLite keeps, a hash shows that was noted elsewhere.

References
----------
.. [1] ``docs/adr/0014-server-hardening.md``
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlops_sdk.errors import StoreUnavailableError

FILE = "audit.db"
FIRST = "0" * 64
"""What stands before the first entry."""

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ns INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
)""",
    """CREATE TRIGGER IF NOT EXISTS audit_stays BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END""",
    """CREATE TRIGGER IF NOT EXISTS audit_keeps BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END""",
)
_LONGEST = 500
_COLUMNS = "number, time_ns, actor, action, subject, detail, previous, hash"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done.

    Attributes
    ----------
    number : int
        From 1, without gaps.
    time_ns : int
        On the server's clock.
    actor : str
        ``name:...`` or ``token:...`` of a token, ``local:USER`` at the server's machine, ``address:...`` of somebody without.
    action : str
        ``token.create``, ``run.write``, ...
    subject : str
        What it was done to.
    detail : str
        A JSON object.
    previous, hash : str
        SHA-256 in hex.
    """

    number: int
    time_ns: int
    actor: str
    action: str
    subject: str
    detail: str
    previous: str
    hash: str

    def expected_hash(self) -> str:
        """The hash of everything else in it."""
        content = [value for name, value in asdict(self).items() if name != "hash"]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the chain.

    Attributes
    ----------
    count : int
        Entries that stand.
    head : str
        Hash of the last one: noted elsewhere, it shows later that nothing was cut off.
    problems : list of str
    """

    count: int
    head: str
    problems: list[str]


class Audit:
    """The audit log of the store in `directory`.

    Notes
    -----
    Thread-safe; several processes may add. An entry is durable when `add` returns.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE
        self._lock = threading.Lock()

    def add(self, actor: str, action: str, subject: str = "", detail: Mapping[str, Any] | None = None) -> None:
        """Add an entry.

        Raises
        ------
        StoreUnavailableError
            If it cannot be written.
        """
        said = json.dumps(dict(detail or {}), ensure_ascii=True, default=str)
        said = said if len(said) <= 4 * _LONGEST else json.dumps({"cut": said[: 2 * _LONGEST]})
        try:
            with self._lock, self._open() as connection:
                connection.execute("BEGIN IMMEDIATE")
                row = connection.execute("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1").fetchone()
                number, previous = (row[0] + 1, row[1]) if row else (1, FIRST)
                entry = Entry(number, time.time_ns(), _text(actor), _text(action), _text(subject), said, previous, "")
                connection.execute(
                    f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
                    (*list(asdict(entry).values())[:-1], entry.expected_hash()),
                )
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(f"the audit log {self.path} cannot be written: {error}") from error

    def entries(self, *, last: int | None = None) -> list[Entry]:
        """The entries, or the `last` of them, oldest first.

        Raises
        ------
        StoreUnavailableError
            If it cannot be read.
        """
        if not self.path.exists():
            return []
        try:
            with contextlib.closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as connection:
                rows = connection.execute(
                    f"SELECT {_COLUMNS} FROM audit ORDER BY number DESC LIMIT ?",  # noqa: S608 - a constant
                    (-1 if last is None else last,),
                ).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"the audit log {self.path} cannot be read: {error}") from error
        return [Entry(*row) for row in reversed(rows)]

    def verify(self, *, noted: str | None = None) -> Verdict:
        """Check every entry and its place in the chain.

        Parameters
        ----------
        noted : str, optional
            A hash that was the head once: it has to be there.
        """
        entries, problems, previous = self.entries(), [], FIRST
        for place, entry in enumerate(entries, start=1):
            if entry.number != place:
                problems.append(f"entry {place} is missing")
                break
            if entry.previous != previous:
                problems.append(f"entry {entry.number} does not follow the one before it")
            if entry.hash != entry.expected_hash():
                problems.append(f"entry {entry.number} was changed")
            previous = entry.hash
        if not problems and self._ever() != len(entries):
            problems.append(f"{self._ever() - len(entries)} entries were cut off the end")
        if noted is not None and noted not in {entry.hash for entry in entries}:
            problems.append(f"no entry has the hash {noted[:64]}: the end was cut off, or the log replaced")
        return Verdict(len(entries), previous, problems)

    def _ever(self) -> int:
        """How many entries SQLite counted."""
        if not self.path.exists():
            return 0
        with contextlib.closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
        return int(row[0]) if row else 0

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if not self.path.exists():
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            os.chmod(self.path, 0o600)
        with contextlib.closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            for statement in _SCHEMA:
                connection.execute(statement)
            yield connection


def local_user() -> str:
    """The actor that works at the server's machine."""
    try:
        return f"local:{getpass.getuser()}"
    except (KeyError, OSError):
        return "local:unknown"


def _text(value: str) -> str:
    return value[:_LONGEST].encode("utf-8", "backslashreplace").decode()
