"""What a request says: its body, its fields, whose it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from starlette.requests import Request

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.server.bodies import RefusedError, read_body
from mlops_sdk.server.ingest import BusyError
from mlops_sdk.stores.http import wire

if TYPE_CHECKING:
    from mlops_sdk.server.app import Service
    from mlops_sdk.server.limits import Limits
    from mlops_sdk.server.tokens import Token


def token_of(request: Request) -> Token | None:
    """The token that opened the door; None on a server without authentication."""
    token: Token | None = request.scope.get("state", {}).get("token")
    return token


async def in_thread(work: Callable[[], Any]) -> Any:
    """Do what waits for a disk beside the event loop."""
    return await anyio.to_thread.run_sync(work)


async def asked(request: Request, service: Service) -> dict[str, Any]:
    """The body of a request that reads: one JSON object."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, "type", "the body has to be application/json")
    body = wire.loads(await read_body(request, service.limits, most_bytes=service.limits.json_bytes))
    if not isinstance(body, dict):
        raise InvalidValueError("the body is no JSON object")
    return body


def text_of(body: dict[str, Any], name: str, limits: Limits) -> str:
    """A field of a body that is a text of no more than `limits.key_bytes`."""
    value = body.get(name)
    if not isinstance(value, str):
        raise InvalidValueError(f"{name} is missing, or no text", key=name)
    if len(value.encode("utf-8", "surrogatepass")) > limits.key_bytes:
        raise InvalidValueError(f"{name} has more than {limits.key_bytes} bytes", key=name)
    return value


class Readers:
    """So many questions are answered at once, and so many may wait: the others are told to come again.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._limiter: anyio.CapacityLimiter | None = None
        self._waiting = 0

    async def run(self, work: Callable[[], Any]) -> Any:
        """Do the work in a thread.

        Raises
        ------
        BusyError
            If too many wait.
        """
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._limits.reads)
        if self._waiting >= self._limits.reads + self._limits.reads_waiting:
            raise BusyError("the server has too many questions to answer")
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._waiting -= 1
