"""A proxy that does to connections what networks do: seeded, so that a failure can be had again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections import Counter
from collections.abc import Iterator

TOXICS = ("none", "delay", "cut before", "cut after", "duplicate", "reset", "slow", "corrupt", "hole")
"""Per request: as it is; late; lost; done, and the answer lost; sent twice; reset; byte by byte; a bit flipped; swallowed."""


class Chaos:
    """Forwards from `port` to `upstream`; `is_calm` ends the trouble."""

    def __init__(self, upstream: int, seed: int, weights: dict[str, float] | None = None) -> None:
        self.upstream = upstream
        self.is_calm = False
        self.seen: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._weights = weights or {}
        self.port = 0

    def draw(self) -> str:
        """What happens to the next request."""
        if self.is_calm:
            return "none"
        chosen = self._rng.choices(TOXICS, [self._weights.get(each, 1.0) for each in TOXICS])[0]
        self.seen[chosen] += 1
        return chosen

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, EOFError, ValueError, TimeoutError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await _message(reader)
        toxic = self.draw()
        if toxic == "cut before":
            return False
        if toxic == "reset":
            writer.transport.abort()
            return False
        if toxic == "hole":
            await asyncio.sleep(0.3)
            return False
        if toxic == "delay":
            await asyncio.sleep(self._rng.uniform(0, 0.05))
        if toxic == "corrupt":
            request = self._flipped(request)
        if toxic == "duplicate":
            await self._ask(request)
        answer = await self._ask(request)
        if toxic == "cut after" or not answer:
            return False
        for piece in [answer[i : i + 1] for i in range(len(answer))] if toxic == "slow" else [answer]:
            writer.write(piece)
            await writer.drain()
        return True

    def _flipped(self, request: bytes) -> bytes:
        head = request.index(b"\r\n\r\n") + 4
        if head == len(request):
            return request
        place = self._rng.randrange(head, len(request))
        return request[:place] + bytes([request[place] ^ 1 << self._rng.randrange(8)]) + request[place + 1 :]

    async def _ask(self, request: bytes) -> bytes:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            return b""
        try:
            writer.write(request)
            return await asyncio.wait_for(_message(reader), 10)
        except (OSError, EOFError, TimeoutError):
            return b""
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One HTTP message with a Content-Length, or without a body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(length)


@contextlib.contextmanager
def proxy(chaos: Chaos) -> Iterator[Chaos]:
    """Run the proxy in a thread."""
    loop = asyncio.new_event_loop()
    is_up = threading.Event()

    async def run() -> None:
        server = await asyncio.start_server(chaos.serve, "127.0.0.1", 0)
        chaos.port = server.sockets[0].getsockname()[1]
        is_up.set()
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve_forever()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.05)  # transports are closed by the turn after

    def work() -> None:
        nonlocal task
        task = loop.create_task(run())
        loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    task: asyncio.Task[None] | None = None
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    is_up.wait(10)
    try:
        yield chaos
    finally:
        assert task is not None
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
