"""A26: a connection that waits is closed in time, their number is bounded, and whoever works is not kept waiting."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import InvalidValueError, StoreUnavailableError
from mlops_sdk.server.connections import most_connections
from mlops_sdk.server.guard import API
from mlops_sdk.server.limits import Limits, with_changes
from mlops_sdk.stores.http.client import Patience
from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.stores.memory import MemoryStore
from tests.server.running import Running, server
from tests.server.test_door import ask

HASTY = Limits(header_s=0.3, send_s=0.3, keep_alive_s=5, idle_s=30.0)


def connect(running: Running, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", running.port), timeout=10)
    connection.sendall(sent)
    return connection


def is_closed(connection: socket.socket, within_s: float = 5.0) -> bool:
    connection.settimeout(within_s)
    try:
        while connection.recv(4096):
            pass
        return True
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def read_answer(connection: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b"}"):
        piece = connection.recv(4096)
        assert piece, answer
        answer += piece
    return answer


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /health HTTP/1.1\r\nHost: local", b"\r\n\r\n"])
def test_the_head_of_a_request_has_to_come_in_time(tmp_path: Path, sent: bytes) -> None:
    with server(MemoryStore(), tmp_path / "s", limits=HASTY) as running, connect(running, sent) as connection:
        began = time.monotonic()
        assert is_closed(connection)
        assert time.monotonic() - began < 3


def test_a_header_that_drips_is_not_waited_for_longer(tmp_path: Path) -> None:
    with server(MemoryStore(), tmp_path / "s", limits=HASTY) as running, connect(running, HEALTH[:-2]) as connection:
        began = time.monotonic()
        try:
            while not is_closed(connection, within_s=0.05):
                connection.sendall(b"x: y\r\n")
                assert time.monotonic() - began < 5
        except OSError:
            pass  # reset or broken pipe, as the system has it
        assert time.monotonic() - began < 3


def test_the_next_request_of_a_connection_has_the_same_time(tmp_path: Path) -> None:
    with server(MemoryStore(), tmp_path / "s", limits=HASTY) as running, connect(running) as connection:
        for _ in range(3):
            connection.sendall(HEALTH)
            assert read_answer(connection).startswith(b"HTTP/1.1 200")
            time.sleep(0.2)  # together longer than `header_s`: a connection may rest between requests
        connection.sendall(HEALTH[:20])
        assert is_closed(connection)


def test_whoever_rests_longest_makes_room(tmp_path: Path) -> None:
    limits = dataclasses.replace(HASTY, header_s=30.0, connections=10)
    with server(MemoryStore(), tmp_path / "s", limits=limits) as running:
        resting = [connect(running) for _ in range(10)]
        resting[0].sendall(HEALTH)
        read_answer(resting[0])  # it has worked since: now the second rests longest
        with connect(running, HEALTH) as late:
            assert read_answer(late).startswith(b"HTTP/1.1 200")
        assert is_closed(resting[1])
        resting[0].sendall(HEALTH)
        assert read_answer(resting[0]).startswith(b"HTTP/1.1 200")
        for each in resting:
            each.close()


def test_when_all_work_a_new_one_is_told_to_come_later(tmp_path: Path) -> None:
    limits = dataclasses.replace(HASTY, connections=8, idle_s=30.0)
    with server(MemoryStore(), tmp_path / "s", limits=limits) as running:
        head = (
            f"POST {API}/batches HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.secret}\r\n"
            "Content-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\nabc"
        )
        busy, answer, deadline = [], b"", time.monotonic() + 10
        while not answer and time.monotonic() < deadline:  # one that has said nothing yet makes room for the next
            busy.append(connect(running, head.encode()))
            busy[-1].settimeout(0.1)
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                answer = busy[-1].recv(4096)
        assert len(busy) > 8
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 1" in answer
        for each in busy:
            each.close()


def test_a_client_that_does_not_read_is_left(tmp_path: Path) -> None:
    store = MemoryStore()
    digest = store.blobs.put_bytes(b"x" * (30 << 20)).sha256
    with server(store, tmp_path / "s", limits=HASTY) as running:
        request = (
            f"GET {API}/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.secret}\r\n\r\n"
        )
        with connect(running, request.encode()) as connection:
            connection.recv(100)
            time.sleep(1.0)  # the subject of the test: it does not read
            size = 0
            try:
                while piece := connection.recv(1 << 20):
                    size += len(piece)
            except ConnectionResetError:
                pass
        assert size < 30 << 20


def ask_until(store: HTTPStore, deadline: float) -> None:
    while time.monotonic() < deadline:
        store.experiments()


def test_questions_beyond_the_bound_are_answered_later(tmp_path: Path) -> None:
    store = MemoryStore()
    is_let_go, find = threading.Event(), store.find
    store.find = lambda query: (is_let_go.wait(10), find(query))[1]  # type: ignore[method-assign]
    with (
        server(store, tmp_path / "s", limits=Limits(reads=1, reads_waiting=1)) as running,
        ThreadPoolExecutor(3) as pool,
    ):
        patient = HTTPStore(running.uri, token=running.secret)
        hasty = HTTPStore(running.uri, token=running.secret, patience=Patience(budget_s=0))
        asked = [pool.submit(patient.find, RunQuery()) for _ in range(3)]
        with pytest.raises(StoreUnavailableError, match="too many questions"):
            ask_until(hasty, time.monotonic() + 8)  # some may be quicker than the two that wait
        assert ask(running.port, "GET", "/health", [("Host", "localhost")])[0] == 200, "that is no question"
        is_let_go.set()
        assert [each.result() for each in asked] == [[]] * 3, "whoever came again was answered"


def test_limits_are_set_by_name() -> None:
    changed = with_changes(Limits(), ["connections=7", "body_s=1.5"])
    assert (changed.connections, changed.body_s, changed.ratio) == (7, 1.5, Limits().ratio)
    for wrong in ("nothing=1", "connections", "connections=-1", "body_s=nan", "connections=1.5", "body_s=inf"):
        with pytest.raises(InvalidValueError, match="the limits are body_bytes"):
            with_changes(Limits(), [wrong])


def test_as_many_connections_as_the_system_has_files_for() -> None:
    assert 8 <= most_connections(1000) <= 1000


def test_every_limit_is_tested() -> None:
    """A limit that no test of this folder sets is none."""
    texts = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    missing = [each.name for each in dataclasses.fields(Limits) if not re.search(rf"\b{each.name}=", texts)]
    tested_at_their_size = {"ratio", "headers", "header_bytes", "query_s", "waiting_bytes", "failures"}
    assert set(missing) <= tested_at_their_size | {"quarantine_bytes", "quarantine_batches"}, missing
