"""G4, G5: every record reaches the server exactly once, whatever the network does, and however often the server is killed.

Clients log and deliver small batches through a proxy that cuts, delays, doubles, corrupts, resets and swallows requests, to
`mlops server` in a process that is killed every two seconds or so. Then the trouble ends, everything drains, and what the
server's store holds is compared with what was logged.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from crash_lab.chaos import Chaos, proxy
from crash_lab.report import Findings, SkipError, Task
from mlops_sdk.courier.route import Route, Sink
from mlops_sdk.journal.records import Kind
from mlops_sdk.journal.writer import Journal, JournalOptions
from mlops_sdk.stores.http.client import Patience
from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.stores.sqlite.store import SQLiteStore

_CLIENTS = 4
_WEIGHTS = {"none": 12.0, "hole": 0.1, "slow": 0.3}
_DRAIN_S = 120.0
_START_S = 60.0


class Place:
    """A server as a courier sees it: every call is tried once."""

    def __init__(self, uri: str) -> None:
        self.store = HTTPStore(uri, patience=Patience(connect_s=1.0, read_s=3.0, budget_s=0.0))


class ServerProcess:
    """`mlops server` over a store, to be killed and started again at the same address."""

    def __init__(self, store: Path) -> None:
        self._store = store
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = int(listener.getsockname()[1])
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens.

        Raises
        ------
        SkipError
            If it does not: the extra `server` is missing, say.
        """
        self.starts += 1
        words = ["server", "--store", str(self._store), "--port", str(self.port), "--no-auth"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlops_sdk.cli", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.kill()
        raise SkipError("mlops server does not start: is the extra `server` installed?")

    def kill(self) -> None:
        """SIGKILL."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Client(threading.Thread):
    """Logs and delivers until so many batches were acknowledged."""

    def __init__(self, root: Path, number: int, place: Place, batches: int) -> None:
        super().__init__(daemon=True)
        self.run_id, self.points, self.sent = f"run-{number}", 0, 0
        self._wanted = batches
        self.journal = Journal(root, self.run_id, options=JournalOptions(is_mapped=False))
        self.journal.event(Kind.RUN, {"name": self.run_id, "experiment": "chaos"})
        self.journal.define("loss")
        self.route = Route(self.journal, [Sink(place=place)])

    def run(self) -> None:
        """In the thread."""
        while self.sent < self._wanted:
            self.journal.point("loss", self.points / 7, self.points)
            self.points += 1
            before = self.route.acknowledged
            self.route.deliver(now=True)
            self.sent += self.route.acknowledged > before


def run(task: Task) -> Findings:
    """Deliver `task.trials` batches."""
    found = Findings()
    journals = task.root / "journals"
    journals.mkdir()
    server = ServerProcess(task.root / "store")
    try:
        with proxy(Chaos(server.port, seed=task.random.getrandbits(32), weights=_WEIGHTS)) as chaos:
            place = Place(f"http://127.0.0.1:{chaos.port}")
            clients = [Client(journals, number, place, -(-task.trials // _CLIENTS)) for number in range(_CLIENTS)]
            for each in clients:
                each.start()
            while any(each.is_alive() for each in clients):
                time.sleep(task.random.uniform(1.0, 3.0))
                server.kill()
                server.start()
            chaos.is_calm = True
            _drain(clients, found)
            place.store.close()
        requests, well = sum(chaos.seen.values()), chaos.seen["none"]
    finally:
        server.kill()
    found.trials = sum(each.sent for each in clients)
    _compare(task.root / "store", clients, found)
    for each in clients:
        each.journal.remove()
    points = sum(each.points for each in clients)
    found.notes = f"{points:,} records, {requests - well:,} of {requests:,} requests hurt, {server.starts} starts"
    return found


def _drain(clients: list[Client], found: Findings) -> None:
    deadline = time.monotonic() + _DRAIN_S
    while any(each.route.waiting for each in clients) and time.monotonic() < deadline:
        for each in clients:
            each.route.deliver(now=True)
    found.expect(not any(each.route.waiting for each in clients), "it does not drain")


def _compare(path: Path, clients: list[Client], found: Findings) -> None:
    store = SQLiteStore(path)
    try:
        for each in clients:
            series = store.series(each.run_id, "loss")
            found.expect(
                series.step.tolist() == list(range(each.points)), f"{each.run_id}: {len(series)} of {each.points}"
            )
            found.expect(series.value.tolist() == [step / 7 for step in range(len(series))], f"{each.run_id}: values")
        found.expect(not store.rejected(), "records were rejected")
        found.expect(not store.fsck(), f"fsck: {store.fsck()[:1]}")
    finally:
        store.close()
