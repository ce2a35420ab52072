"""The server and its clients on one machine, over loopback: all share its cores, and the yardsticks run in between."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlops_sdk
from benchmarks.workloads import Row, scratch
from benchmarks.yardstick import latencies, quantile
from mlops_sdk.journal.records import Kind
from mlops_sdk.stores.http.client import Patience
from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.stores.opening import open_place
from mlops_sdk.testing import WriterScript

_QUIET = {"capture": False, "system_metrics": False}


class _Server:
    """`mlops server` over a fresh store."""

    def __init__(self, root: Path) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = int(listener.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self.port}"
        words = ["server", "--store", str(root / "served"), "--port", str(self.port), "--no-auth"]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlops_sdk.cli", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not self._listens():
            time.sleep(0.01)
        self.start_s = time.perf_counter() - began

    def _listens(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("the server ended")
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    @property
    def resident_mib(self) -> float:
        """Its memory now."""
        import psutil

        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20


@contextmanager
def _serving(root: Path) -> Iterator[_Server]:
    server = _Server(root)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait()


def remote(*, quick: bool) -> list[Row]:
    """All of it, on one server; about a minute and a half on two cores that nobody else uses."""
    with scratch() as root, _serving(root) as server:
        home = Path.cwd()
        os.chdir(root)
        open_place(root / ".mlops", make=True)  # the local store beside the server's: else one further up is found
        try:
            idle = server.resident_mib
            rows = [
                Row("server: start to listening", f"{server.start_s:.2f} s", "<= 1.5 s", server.start_s <= 1.5),
                Row("server: resident memory, idle", f"{idle:.0f} MiB", "<= 150 MiB", idle <= 150),
            ]
            rows += _latency(server, root, 20_000 if quick else 100_000)
            rows += _million(server, 100_000 if quick else 1_000_000)
            rows += _small_runs(server, 5 if quick else 15)
            rows += _clients(server, 10 if quick else 50)
            rows += _artifacts(server, root, 64 if quick else 1024)
            rows += _search(server, 1_000 if quick else 10_000)
        finally:
            os.chdir(home)
    return rows


def _latency(server: _Server, root: Path, n: int) -> list[Row]:
    ratios = []
    for _ in range(3):
        with mlops_sdk.start_run(tracking_uri=root / "beside", **_QUIET) as run:  # type: ignore[arg-type]
            local = quantile(latencies(lambda index, run=run: run.log_metric("a", 0.5, step=index), n), 0.5)
        with mlops_sdk.start_run(tracking_uri=server.uri, **_QUIET) as run:  # type: ignore[arg-type]
            there = quantile(latencies(lambda index, run=run: run.log_metric("a", 0.5, step=index), n), 0.5)
            run.flush(60)
        ratios.append(there / local)
    ratio = statistics.median(ratios)
    return [Row("log_metric with a server, p50 / with the local store", f"{ratio:.2f} x", "<= 1.2 x", ratio <= 1.2)]


def _million(server: _Server, n: int) -> list[Row]:
    with mlops_sdk.start_run(tracking_uri=server.uri, **_QUIET) as run:  # type: ignore[arg-type]
        began = time.perf_counter()
        for step in range(n):
            run.log_metric("loss", 1 / (1 + step), step=step)
        run.flush(300)
        took = time.perf_counter() - began
    found = len(HTTPStore(server.uri).series(run.run_id, "loss"))
    ok = took <= 4 and found == n
    return [Row(f"{n:,} points until durable on the server", f"{took:.2f} s, {found:,} there", "<= 4 s, all", ok)]


def _small_runs(server: _Server, n: int) -> list[Row]:
    taken = []
    for _ in range(n):
        began = time.perf_counter()
        params = {f"p{number}": number for number in range(20)}
        run = mlops_sdk.start_run(tracking_uri=server.uri, params=params, **_QUIET)  # type: ignore[arg-type]
        for step in range(100):
            run.log_metrics({f"m{number}": number / (1 + step) for number in range(50)}, step=step)
        run.log_text("report", "report.txt")
        run.finish()
        taken.append(1000 * (time.perf_counter() - began))
    took = statistics.median(taken)
    what = "a run on a server: 20 params, 50 metrics x 100 steps, an artifact"
    return [Row(what, f"{took:.0f} ms", "<= 150 ms", took <= 150)]


_CLIENT = """
import sys, mlops_sdk
run = mlops_sdk.start_run(tracking_uri=sys.argv[1], run_id=sys.argv[2], capture=False, system_metrics=False)
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
for step in range(20_000):
    run.log_metric("loss", float(step), step=step)
run.flush(300)
sys.stdout.write("durable\\n"); sys.stdout.flush()
run.finish()
"""


def _clients(server: _Server, n: int) -> list[Row]:
    """Processes that log at once; timed from when all have a run until all is durable on the server."""
    command = [sys.executable, "-c", _CLIENT, server.uri]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    children = [subprocess.Popen([*command, f"client-{number}"], text=True, **pipes) for number in range(n)]  # type: ignore[call-overload]
    for child in children:
        assert child.stdout.readline() == "ready\n", child.stderr.read()
    began, greatest = time.perf_counter(), 0.0
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        child.stdout.readline()
        greatest = max(greatest, server.resident_mib)
    took = time.perf_counter() - began
    errors = sum(child.communicate()[1].count("Traceback") + (child.returncode != 0) for child in children)
    store = HTTPStore(server.uri)
    wrong = sum(store.series(f"client-{i}", "loss").step.tolist() != list(range(20_000)) for i in range(n))
    speed = n * 20_000 / took
    return [
        Row(
            f"{n} clients at once, 20,000 points each",
            f"{errors} errors, {wrong} runs not as logged, {speed:,.0f} points/s",
            "0, 0, >= 150,000 points/s",
            not errors and not wrong and speed >= 150_000,
        ),
        Row("server: resident memory under them", f"{greatest:.0f} MiB", "<= 400 MiB", greatest <= 400),
    ]


def _artifacts(server: _Server, root: Path, mib: int) -> list[Row]:
    """The yardstick: the file copied, and the copy hashed; before each transfer."""
    store = HTTPStore(server.uri, cache=root / "cache")
    up, down = [], []
    for number in range(3):
        file = root / f"file{number}"
        with file.open("wb") as target:
            for _ in range(mib):
                target.write(os.urandom(1 << 20))
        yard, digest = _copied_and_hashed(file, root / "copy")
        began = time.perf_counter()
        store.blobs.put_known(file, digest)
        up.append(yard / (time.perf_counter() - began))
        yard, _ = _copied_and_hashed(file, root / "copy")
        began = time.perf_counter()
        store.blobs.path(digest)
        down.append(yard / (time.perf_counter() - began))
        file.unlink()
        store.blobs.remove(digest)
    a, b = statistics.median(up), statistics.median(down)
    return [
        Row(f"{mib} MiB to the server / copied and hashed (SHA-256)", f"{a:.2f} x its speed", ">= 0.5 x", a >= 0.5),
        Row(f"{mib} MiB from the server / copied and hashed", f"{b:.2f} x its speed", ">= 0.5 x", b >= 0.5),
    ]


def _copied_and_hashed(file: Path, copy: Path) -> tuple[float, str]:
    began = time.perf_counter()
    shutil.copyfile(file, copy)
    with copy.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    took = time.perf_counter() - began
    copy.unlink()
    return took, digest


def _search(server: _Server, n: int) -> list[Row]:
    store = HTTPStore(server.uri, patience=Patience())
    for number in range(n):
        script = WriterScript(f"search-{number}").run(name=f"s{number}", experiment="search")
        script.params({f"p{each}": number * each for each in range(5)}).points("acc", [number / n, number / (n + 1)])
        store.append(script.event(Kind.STATUS, {"status": "FINISHED"}).batch())
    taken = []
    for _ in range(7):
        began = time.perf_counter()
        found = mlops_sdk.search_runs(
            "metrics.acc > 0.2", experiment="search", order_by="metrics.acc DESC", limit=100, tracking_uri=server.uri
        )
        taken.append(1000 * (time.perf_counter() - began))
        assert len(found) == 100
    took = statistics.median(taken)
    return [Row(f"search_runs over HTTP, top 100 of {n:,}", f"{took:.0f} ms", "<= 60 ms", took <= 60)]
