"""Bodies of requests, read within bounds: of size, of time, and of what a compressed one may become."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

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
    if encoding not in ("identity", "deflate", "gzip"):
        raise RefusedError(415, "encoding", "the body may be encoded as identity, deflate or gzip")
    data = bytearray()
    async for piece in pieces(request, limits, most_bytes):
        data += piece
    return bytes(data) if encoding == "identity" else _inflate(data, limits, min(limits.inflated_bytes, most_bytes * 4))


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


def _inflate(data: bytearray, limits: Limits, most_bytes: int) -> bytes:
    """Inflate step by step, so that a bomb is noticed while it is small."""
    most_bytes = min(most_bytes, max(_PIECE, len(data) * limits.ratio))
    inflater, parts, size = zlib.decompressobj(47), [], 0  # 47: zlib or gzip, as its first bytes say
    rest = bytes(data)
    try:
        while rest and not inflater.eof:
            part = inflater.decompress(rest, _PIECE)
            rest = inflater.unconsumed_tail
            size += len(part)
            if size > most_bytes:
                raise RefusedError(413, "too_large", f"the body inflates to more than {most_bytes} bytes")
            parts.append(part)
        tail = inflater.flush()
    except zlib.error:
        raise RefusedError(400, "encoding", "the body is not encoded as its header says") from None
    if not inflater.eof or inflater.unused_data:
        raise RefusedError(400, "encoding", "the compressed body is cut short, or something follows it")
    return b"".join((*parts, tail))
