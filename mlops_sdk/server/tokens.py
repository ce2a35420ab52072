"""Tokens of a server: only their SHA-256 is kept, beside the store.

The file is a small SQLite database of its own, ``access.db``: readable by its owner only, and no part of what a backup of
the store or a reader of it sees.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlops_sdk.errors import InvalidValueError, NotFoundError

Role = Literal["reader", "writer", "admin"]
ROLES: tuple[Role, ...] = ("reader", "writer", "admin")
"""Each may do what the ones before it may."""

FILE = "access.db"
PREFIX = "mlops_"
"""So that scanners for secrets know one when they see it."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    created_ns INTEGER NOT NULL,
    expires_ns INTEGER,
    revoked_ns INTEGER,
    experiments TEXT
) WITHOUT ROWID
"""
_COLUMNS = "id, name, role, sha256, created_ns, expires_ns, revoked_ns, experiments"


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; not the token.

    Attributes
    ----------
    id : str
        Names it in `mlops token revoke`.
    name : str
        Whose or what for.
    role : {"reader", "writer", "admin"}
    sha256 : str
    created_ns : int
    expires_ns, revoked_ns : int or None
    experiments : tuple of str or None
        It opens only what belongs to these; None: everything.
    """

    id: str
    name: str
    role: Role
    sha256: str
    created_ns: int
    expires_ns: int | None = None
    revoked_ns: int | None = None
    experiments: tuple[str, ...] | None = None

    @property
    def principal(self) -> str:
        """Who it stands for: its name, so that a new token goes on where an old one ended; its id where it has none."""
        return f"name:{self.name}" if self.name else f"token:{self.id}"

    def is_open_to(self, experiment: str) -> bool:
        """Whether it opens that experiment."""
        return self.experiments is None or experiment in self.experiments

    def is_valid(self, now_ns: int) -> bool:
        """Whether it opens anything at that time, on the server's clock."""
        return self.revoked_ns is None and (self.expires_ns is None or now_ns < self.expires_ns)

    def may(self, role: Role) -> bool:
        """Whether its role includes `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Tokens:
    """The tokens of the store in `directory`.

    Notes
    -----
    Thread-safe. What another process changes is seen by the next `check`.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._known: list[Token] = []

    def create(
        self, name: str, role: str = "writer", *, lasts_s: float | None = None, experiments: Iterable[str] = ()
    ) -> tuple[Token, str]:
        """Make a token; returns what is kept of it, and the token itself, which is not.

        Raises
        ------
        InvalidValueError
            If there is no such role, it would never be valid, or an admin's would be bound to experiments.
        """
        only = tuple(dict.fromkeys(experiments)) or None
        if only is not None and role == "admin":
            raise InvalidValueError("an admin answers for the whole store: bind a reader or a writer to experiments")
        if role not in ROLES:
            raise InvalidValueError(f"role is {role!r}; use one of {', '.join(ROLES)}")
        if lasts_s is not None and lasts_s <= 0:
            raise InvalidValueError("a token has to last for some time")
        secret = PREFIX + secrets.token_urlsafe(32)
        now = time.time_ns()
        expires = None if lasts_s is None else now + int(lasts_s * 1e9)
        token = Token(secrets.token_hex(4), name, role, digest(secret), now, expires, None, only)
        with self.writing() as connection:
            connection.execute(
                f"INSERT INTO tokens ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, NULL, ?)",  # noqa: S608 - a constant
                (
                    *(token.id, token.name, token.role, token.sha256, token.created_ns, token.expires_ns),
                    None if only is None else json.dumps(only),
                ),
            )
        return token, secret

    def revoke(self, token_id: str) -> Token:
        """End a token's validity now.

        Raises
        ------
        NotFoundError
        """
        with self.writing() as connection:
            connection.execute(
                "UPDATE tokens SET revoked_ns = ? WHERE id = ? AND revoked_ns IS NULL", (time.time_ns(), token_id)
            )
        for token in self.listed():
            if token.id == token_id:
                return token
        raise NotFoundError(f"no token {token_id!r}: `mlops token list` shows them")

    def listed(self) -> list[Token]:
        """Every token, oldest first."""
        if not self.path.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            there = {row[1] for row in connection.execute("PRAGMA table_info(tokens)")}
            columns = _COLUMNS if "experiments" in there else _COLUMNS.replace("experiments", "NULL")
            rows = connection.execute(
                f"SELECT {columns} FROM tokens ORDER BY created_ns, id"  # noqa: S608 - a constant
            ).fetchall()
        return [_token(*row) for row in rows]

    def check(self, secret: str) -> Token | None:
        """The valid token that `secret` is, None if it is none.

        Notes
        -----
        Takes the same time whatever is wrong with it: SHA-256 first, then a comparison with every token in constant time.
        """
        found, given = None, digest(secret)
        for token in self._current():
            if hmac.compare_digest(token.sha256, given):
                found = token
        return found if found is not None and found.is_valid(time.time_ns()) else None

    def _current(self) -> list[Token]:
        try:
            status = os.stat(self.path)
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            seen = (0, 0, 0)
        with self._lock:
            if seen != self._seen:
                self._known, self._seen = self.listed(), seen
            return self._known

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection to the file, which is made where it is missing; every statement is a transaction."""
        if not self.path.exists():
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            os.chmod(self.path, 0o600)
        with contextlib.closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as connection:
            connection.execute(_SCHEMA)
            with contextlib.suppress(sqlite3.OperationalError):  # it is there, but in files of earlier versions
                connection.execute("ALTER TABLE tokens ADD COLUMN experiments TEXT")
            yield connection


def _token(*row: Any) -> Token:
    *known, experiments = row
    return Token(*known, None if experiments is None else tuple(json.loads(experiments)))  # type: ignore[call-arg]  # as selected


def digest(secret: str) -> str:
    """SHA-256 of a token, lower-case hex; 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
