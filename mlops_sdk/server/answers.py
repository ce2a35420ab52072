"""Answers, compressed where the client takes it and it pays."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from mlops_sdk.stores.http import coding, wire

_IN_THREAD_FROM = 1 << 17
"""Bytes from which compressing would keep the other requests waiting."""


async def answer(request: Request, value: Any) -> Response:
    """A value as JSON."""
    return await answer_bytes(request, wire.dumps(value), "application/json")


async def answer_bytes(request: Request, body: bytes, media_type: str) -> Response:
    """Bytes of a kind.

    Notes
    -----
    Artifacts are not answered like this: they are compressed already or read by ranges, and verified as they are kept.
    """
    headers = {"Vary": "Accept-Encoding"}
    encoding = _choose(request)
    if encoding is not None and len(body) >= coding.COMPRESS_FROM:
        if len(body) < _IN_THREAD_FROM:
            packed = coding.compress(body, encoding)
        else:
            packed = await anyio.to_thread.run_sync(coding.compress, body, encoding)
        if len(packed) < len(body):
            body, headers["Content-Encoding"] = packed, encoding
    return Response(body, headers=headers, media_type=media_type)


def _choose(request: Request) -> str | None:
    """The best encoding that both know; deflate is left out, which clients read in two ways."""
    taken = coding.accepted(request.headers.get("accept-encoding", ""))
    for encoding in coding.encodings():
        if encoding != "deflate" and (encoding in taken or "*" in taken):
            return encoding
    return None
