"""Bytes of artifacts between the network and the disk: one side works while the other does.

The event loop speaks with the network; a thread reads, or writes and hashes. Neither waits for the other as long as there
is a block to work on, and no more than two blocks of a transfer are in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread

from mlops_sdk.errors import InvalidValueError

if TYPE_CHECKING:
    from mlops_sdk.server.transfers import Uploads

_BLOCK_BYTES = 1 << 20


async def receive(uploads: Uploads, sha256: str, offset: int, total: int, body: AsyncIterator[bytes]) -> int:
    """Write a body at `offset` of an upload as it arrives; returns how much is there then.

    Raises
    ------
    InvalidValueError
        If it goes beyond `total`.
    RefusedError
        As `Uploads.write`, and as `body`. What came before is kept, and can be gone on with.
    """
    block: list[bytes] = []
    size, at = 0, offset
    writing: asyncio.Future[int] | None = None
    try:
        async for piece in body:
            block.append(piece)
            size += len(piece)
            if at + size > total:
                raise InvalidValueError("the piece goes beyond the total")
            if size >= _BLOCK_BYTES:
                if writing is not None:
                    await writing
                writing = _start_writing(uploads, sha256, at, block)
                block, at, size = [], at + size, 0
    finally:
        if writing is not None:
            await writing
    if size or at == offset:
        at = await _start_writing(uploads, sha256, at, block)
    return at


def _start_writing(uploads: Uploads, sha256: str, offset: int, block: list[bytes]) -> asyncio.Future[int]:
    return asyncio.ensure_future(anyio.to_thread.run_sync(uploads.write, sha256, offset, block))


async def read_ahead(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes of a file from `start` to `end`: the next are read while these are sent."""
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        left = end - start
        reading = _start_reading(file, left)
        try:
            while piece := await reading:
                left -= len(piece)
                reading = _start_reading(file, left)
                yield piece
        finally:
            await asyncio.wait([reading])  # the file must not be closed under it


def _start_reading(file: object, left: int) -> asyncio.Future[bytes]:
    return asyncio.ensure_future(anyio.to_thread.run_sync(file.read, min(left, _BLOCK_BYTES)))  # type: ignore[attr-defined]
