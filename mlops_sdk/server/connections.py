"""Connections that wait are bounded in time and number: uvicorn itself waits for ever for the head of a request.

References
----------
.. [1] ``docs/adr/0014-server-hardening.md``
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from mlops_sdk.server.limits import Limits

_FILES_FOR_OTHERS = 64
_SAID = b'{"error": {"code": "connections", "message": "too many connections: come again later"}}'
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_SAID), _SAID)
)


def make_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """A protocol for uvicorn, one for each server.

    Parameters
    ----------
    limits : Limits
        ``header_s``, ``send_s``, ``connections``.
    """
    shared = {"limits": limits, "most": most_connections(limits.connections), "resting": {}}
    return type("ServerProtocol", (BoundedProtocol,), shared)


class BoundedProtocol(H11Protocol):
    """An HTTP/1.1 connection that does not wait for ever.

    Attributes
    ----------
    limits : Limits
    most : int
        Connections at once.
    resting : dict
        Those on which no request is being answered, in the order of their last one.
    """

    limits: Limits
    most: int
    resting: dict[Any, None]
    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.most and not self._make_room():
            transport.write(_BUSY)
            transport.close()
            return
        self.resting[self] = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self.resting.pop(self, None)
        self._stop_waiting_for_head()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()
        if self._rests and self._head_timer is None and not self.transport.is_closing():
            self._await_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_timer = self.loop.call_later(self.limits.send_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_waiting_for_reader()

    @property
    def _rests(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _look(self) -> None:
        """Note whether a request is being answered now."""
        if self._rests and self in self.resting:
            return
        self._stop_waiting_for_head()
        if self._rests and self in self.connections:
            self.resting[self] = None
        else:
            self.resting.pop(self, None)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.header_s, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if self._rests and not self.transport.is_closing():
            self.transport.close()

    def _make_room(self) -> bool:
        """Close the connection that rests longest; False when none does."""
        oldest = next(iter(self.resting), None)
        if oldest is None:
            return False
        self.resting.pop(oldest)
        oldest.transport.close()
        return True

    def _stop_waiting_for_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_waiting_for_reader(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None


def most_connections(wanted: int) -> int:
    """How many connections the process can hold, asking the system for as many as are wanted."""
    if sys.platform == "win32":  # it has no such limit
        return wanted
    import resource

    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = wanted + _FILES_FOR_OTHERS
        if soft != resource.RLIM_INFINITY and soft < needed:
            soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    except (OSError, ValueError):
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else max(8, min(wanted, soft - _FILES_FOR_OTHERS))
