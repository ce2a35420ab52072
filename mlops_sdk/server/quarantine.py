"""Batches that can never be applied, kept for whoever finds out why: within bounds, each once.

References
----------
.. [1] ``docs/adr/0014-server-hardening.md``
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from mlops_sdk.blobs.durable import make_directories

DIRECTORY = "quarantine"


class Quarantine:
    """Refused batches in a directory of the server: ``ID.batch`` as it came, ``ID.json`` about it.

    Parameters
    ----------
    directory : Path
    most_bytes, most_batches : int
        What is kept. Beyond, the earliest stay, which show how it began, and the others are counted.

    Notes
    -----
    Thread-safe. No name of a client is part of a path: an id is the beginning of the digest of the bytes, so that a batch
    that is sent again and again is kept once.
    """

    def __init__(self, directory: Path, most_bytes: int, most_batches: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._most_batches = most_batches
        self._lock = threading.Lock()
        self.dropped = 0

    def keep(self, body: bytes, *, principal: str, code: str, reason: str, **about: Any) -> str | None:
        """Keep a batch; returns its id, None when there is no room or the disk refuses."""
        name = hashlib.sha256(body).hexdigest()[:16]
        try:
            with self._lock:
                known = self._about(self._directory / f"{name}.json")
                if known is None and not self._has_room(len(body)):
                    self.dropped += 1
                    return None
                said = {"id": name, "principal": principal, "code": code, "reason": reason[:1000], **about}
                said |= {"bytes": len(body), "first_ns": time.time_ns(), "times": 0} if known is None else {}
                said = {**(known or {}), **said, "last_ns": time.time_ns()}
                said["times"] += 1
                if known is None:
                    make_directories(self._directory)
                    self._write(f"{name}.batch", body)
                self._write(f"{name}.json", json.dumps(said).encode())
        except OSError:
            self.dropped += 1
            return None
        return name

    def listed(self) -> list[dict[str, Any]]:
        """What is known of each batch, the earliest first."""
        found = [self._about(path) for path in self._directory.glob("*.json")] if self._directory.is_dir() else []
        return sorted((each for each in found if each is not None), key=lambda each: each["first_ns"])

    def _has_room(self, size: int) -> bool:
        if not self._directory.is_dir():
            return size <= self._most_bytes and self._most_batches > 0
        sizes = [path.stat().st_size for path in self._directory.glob("*.batch")]
        return len(sizes) < self._most_batches and sum(sizes) + size <= self._most_bytes

    @staticmethod
    def _about(path: Path) -> dict[str, Any] | None:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and "times" in found and "first_ns" in found else None

    def _write(self, name: str, content: bytes) -> None:
        temporary = self._directory / f".{name}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, self._directory / name)
