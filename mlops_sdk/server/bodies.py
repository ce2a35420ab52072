"""Bodies of requests, read within bounds: of size, of time, and of what a compressed one may become."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.stores.http import coding

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlops_sdk.server.limits import Limits

_PIECE = 1 << 16


class RefusedError(Exception):
    """A request that is not processed.

    Attributes
    ----------
    status : int
    code, message : str
    headers : dict of str to str
    """

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


async def read_body(request: Request, limits: Limits, *, most_bytes: int | None = None) -> bytes:
    """The whole body of a request, inflated.

    Parameters
    ----------
    request : Request
    limits : Limits
    most_bytes : int, optional
        On the wire; `limits.body_bytes` when not given.

    Raises
    ------
    RefusedError
        413 when it is too large, or inflates to too much; 415 for an encoding we do not know; 408 when it takes too long;
        400 when it is not what its headers say.
    """
    most_bytes = limits.body_bytes if most_bytes is None else most_bytes
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in coding.encodings():
        raise RefusedError(415, "encoding", f"the body may be encoded as identity, {', '.join(coding.encodings())}")
    data = bytearray()
    async for piece in pieces(request, limits, most_bytes):
        data += piece
    if encoding == "identity":
        return bytes(data)
    return _inflate(data, encoding, limits, min(limits.inflated_bytes, most_bytes * 4))


async def pieces(request: Request, limits: Limits, most_bytes: int) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises as `read_body` does."""
    announced = request.headers.get("content-length", "")
    if announced and (not announced.isdigit() or int(announced[:20]) > most_bytes):
        raise _too_large(most_bytes)
    now = asyncio.get_running_loop().time
    deadline, size = now() + limits.body_s, 0
    try:
        async with asyncio.timeout(
            None
        ) as patience:  # one for all: a task and a timer for each piece cost more than the piece
            patience.reschedule(min(now() + limits.idle_s, deadline))
            async for piece in request.stream():
                patience.reschedule(None)
                size += len(piece)
                if size > most_bytes:
                    raise _too_large(most_bytes)
                yield piece
                patience.reschedule(min(now() + limits.idle_s, deadline))
    except TimeoutError:
        raise RefusedError(408, "slow", "the body took too long", {"Connection": "close"}) from None


def _too_large(most_bytes: int) -> RefusedError:
    return RefusedError(413, "too_large", f"a body has at most {most_bytes} bytes", {"Connection": "close"})


def _inflate(data: bytearray, encoding: str, limits: Limits, most_bytes: int) -> bytes:
    most_bytes = min(most_bytes, max(_PIECE, len(data) * limits.ratio))
    try:
        return coding.decompress(bytes(data), encoding, most_bytes)
    except coding.TooLargeError as error:
        raise RefusedError(413, "too_large", str(error)) from None
    except InvalidValueError as error:
        raise RefusedError(400, "encoding", str(error)) from None
