"""G4, G5: every record arrives once, whatever the network does, and however often the server is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from crash_lab.chaos import Chaos, proxy
from mlops_sdk.courier.route import Route, Sink
from mlops_sdk.entities import RunQuery
from mlops_sdk.journal.chain import JournalOptions
from mlops_sdk.journal.records import Kind
from mlops_sdk.journal.writer import Journal
from mlops_sdk.stores.http.client import Patience
from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.stores.sqlite.store import SQLiteStore
from tests.server.running import server


class Place:
    def __init__(self, uri: str, secret: str | None = None) -> None:
        self.store = HTTPStore(uri, token=secret, patience=Patience(connect_s=1.0, read_s=2.0, budget_s=0.0))


def client(root: Path, number: int, place: Place, rounds: int, sent: list[int]) -> Route:
    """Log and deliver so many small batches, whatever goes wrong."""
    root.mkdir(exist_ok=True)
    journal = Journal(root, f"run-{number}", options=JournalOptions(is_mapped=False))
    journal.event(Kind.RUN, {"name": f"run-{number}", "experiment": "chaos"})
    journal.define("loss")
    route = Route(journal, [Sink(place=place)])
    for step in range(rounds):
        journal.point("loss", number + step / 7, step)
        if step % 10 == 0:
            journal.event(Kind.DATASET, {"name": f"d{step}"})
        before = route.acknowledged
        route.deliver(now=True)
        sent[number] += route.acknowledged > before
    return route


def settle_all(routes: list[Route]) -> None:
    deadline = time.monotonic() + 30
    while any(route.waiting for route in routes):
        assert time.monotonic() < deadline, "it does not drain"
        for route in routes:
            route.deliver(now=True)


def check(store: SQLiteStore, clients: int, rounds: int) -> int:
    """Multiset of records in = multiset out."""
    assert sorted(head.run_id for head in store.find(RunQuery())) == [f"run-{number}" for number in range(clients)]
    for number in range(clients):
        series = store.series(f"run-{number}", "loss")
        assert series.step.tolist() == list(range(rounds))
        assert series.value.tolist() == [number + step / 7 for step in range(rounds)]
        names = [each["name"] for each in store.load([f"run-{number}"], ["datasets"])[f"run-{number}"].datasets]
        assert names == [f"d{step}" for step in range(0, rounds, 10)]
    assert store.rejected() == []
    return clients * rounds


def test_every_toxic_of_a_network(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store")
    with server(store, tmp_path / "s") as running, proxy(Chaos(running.port, seed=4, weights={"hole": 0.2})) as chaos:
        place, sent = Place(f"http://127.0.0.1:{chaos.port}", running.secret), [0, 0]
        routes = [client(tmp_path / "journals", number, place, 60, sent) for number in range(2)]
        chaos.is_calm = True
        settle_all(routes)
        total = check(store, 2, 60)
        place.store.close()
        assert len(chaos.seen) == 9, "each of them has come"
    print(
        f"G4: {total} records through {sum(chaos.seen.values())} requests of which {chaos.seen['none']} went well: 0 lost"
    )
    for route in routes:
        route.journal.remove()
    store.close()


class Process:
    """`mlops server` in a process of its own, to be killed."""

    def __init__(self, store: Path) -> None:
        self.store = store
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mlops_sdk.cli",
                "server",
                "--store",
                self.store,
                "--port",
                str(self.port),
                "--no-auth",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the server does not start")

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_server_that_is_killed_all_the_time(tmp_path: Path) -> None:
    """The short form: 2,000 batches of four clients through the proxy, a kill about every second."""
    clients, rounds = 4, 1000
    running = Process(tmp_path / "store")
    weights = {"none": 12.0, "hole": 0.1, "slow": 0.3}
    with proxy(Chaos(running.port, seed=6, weights=weights)) as chaos:
        place, sent = Place(f"http://127.0.0.1:{chaos.port}"), [0] * clients
        routes: dict[int, Route] = {}

        def work(number: int) -> None:
            routes[number] = client(tmp_path / "journals", number, place, rounds, sent)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(1.0)
            running.kill()
            running.start()
        chaos.is_calm = True
        settle_all([routes[number] for number in range(clients)])
        place.store.close()
        for route in routes.values():
            route.journal.remove()
    running.kill()
    store = SQLiteStore(tmp_path / "store")
    total = check(store, clients, rounds)
    assert store.fsck() == []
    print(f"G4/G5: {total} records in {sum(sent)} batches, server killed {running.starts} times: 0 lost, 0 doubled")
    store.close()
