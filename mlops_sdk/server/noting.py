"""What the server puts into the audit log: who began to write, changed, deleted, and was refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from mlops_sdk.errors import StoreCorruptError, StoreUnavailableError
from mlops_sdk.journal.records import Kind, decode

if TYPE_CHECKING:
    from mlops_sdk.journal.records import Batch
    from mlops_sdk.server.audit import Audit
    from mlops_sdk.server.bodies import RefusedError

_log = logging.getLogger("mlops_sdk.server")
_MOST_KINDS = 1000
_EDITS = {Kind.TRASH: "run.trash", Kind.EXPERIMENT: "experiment.change", Kind.INFO: "run.change"}
_EDITS |= {Kind.TAGS: "run.tag", Kind.LOST: "run.lost"}


def actor(scope: Mapping[str, Any]) -> str:
    """Whoever asks."""
    token = scope.get("state", {}).get("token")
    return token.principal if token is not None else f"address:{(scope.get('client') or ('',))[0]}"


def note(
    audit: Audit, scope: Mapping[str, Any], action: str, subject: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Put a request into the audit log.

    Notes
    -----
    Never raises: what was done is done; that it could not be noted is said in the server's log.
    """
    state = scope.get("state", {})
    token, client = state.get("token"), (scope.get("client") or ("",))[0]
    said = {
        "token": token.id if token else None,
        "client": client,
        "request_id": state.get("request_id"),
        **(detail or {}),
    }
    try:
        audit.add(actor(scope), action, subject, said)
    except StoreUnavailableError as error:
        _log.error("%s", error)


def note_batch(audit: Audit, scope: Mapping[str, Any], batch: Batch) -> None:
    """Put the beginning of a writer into the audit log, or what an editor changed."""
    writer = batch.writer
    if writer.role != "editor":
        note(audit, scope, "run.write", writer.run_id, {"writer": writer.writer_id, "role": writer.role})
        return
    try:
        events = decode(batch).events
    except StoreCorruptError:
        return
    for event in events:
        action = _EDITS.get(Kind(event.kind), "run.edit") if event.kind in set(Kind) else "run.edit"
        payload = event.payload if isinstance(event.payload, dict) else {}
        subject = str(payload.get("name", "")) if event.kind == Kind.EXPERIMENT else writer.run_id
        note(audit, scope, action, subject, {"said": payload})


class Refusals:
    """Who was turned away, once a while for each address and reason: a guesser must not fill the disk."""

    def __init__(self, audit: Audit | None, every_s: float) -> None:
        self._audit = audit
        self._every_s = every_s
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    async def note(self, scope: Mapping[str, Any], error: RefusedError) -> None:
        """Note a request that was refused at the door."""
        if self._audit is None or error.status not in (401, 403, 429):
            return
        key, now = ((scope.get("client") or ("",))[0], error.code), time.monotonic()
        since, count = self._seen.get(key, (-self._every_s, 0))
        if now - since < self._every_s:
            self._seen[key] = (since, count + 1)
            return
        if len(self._seen) >= _MOST_KINDS:
            self._seen.clear()
        self._seen[key] = (now, 0)
        audit, detail = self._audit, {"status": error.status, "more_since_the_last": count}
        await anyio.to_thread.run_sync(lambda: note(audit, scope, f"refused.{error.code}", scope["path"][:200], detail))
