"""Harder settings: many names, threads, hours, runs, points, and a slow disk. What counts is how the cost grows.

Each line compares the processor time per item of a small and a large setting in the same process, so that a busy machine
changes little: 1.0 x is linear. Calls on the slow disk are compared with calls on the quick one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import mlops_sdk
from benchmarks.queries import _fill as fill
from benchmarks.workloads import Row, _run, scratch
from benchmarks.yardstick import latencies, quantile

LINEAR = 1.5
"""Times the cost per item that ten or a hundred times as many may take."""


def _cpu(work: Callable[[], object]) -> float:
    """Processor seconds of all threads of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _growth(what: str, small: float, large: float, limit: float = LINEAR) -> Row:
    ratio = large / small if small else float("inf")
    return Row(f"{what}, cost per item / that of few", f"{ratio:.2f} x", f"<= {limit:g} x", ratio <= limit)


def names(few: int = 10, many: int = 1_000, points: int = 200_000) -> list[Row]:
    """As many points under a thousand names as under ten: log, finish, read the summaries."""
    log, finish, read = {}, {}, {}
    for n in (few, many):
        with scratch() as path:
            run = _run(path)
            values = {f"group/{number}/m{number}": 0.5 + number for number in range(n)}

            def train(run: mlops_sdk.Run = run, values: dict[str, float] = values, n: int = n) -> None:
                for step in range(points // n):
                    run.log_metrics(values, step=step)

            log[n] = _cpu(train)
            finish[n] = _cpu(run.finish)
            view = mlops_sdk.get_run(run.run_id, tracking_uri=path / "store")
            read[n] = _cpu(lambda view=view: view.metrics) / n  # type: ignore[misc]
            assert len(view.metrics) == n
            assert len(view.metric("group/3/m3")) == points // n
    return [
        _growth(f"{many:,} metric names, {points:,} points, log_metrics", log[few], log[many]),
        Row(
            f"{many:,} metric names, finish()",
            f"{finish[many] * 1000:.0f} ms of a core",
            "<= 2000 ms",
            finish[many] <= 2,
        ),
        _growth(f"{many:,} metric names, reading all last values", read[few], read[many]),
    ]


def threads(few: int = 4, many: int = 64, points: int = 256_000) -> list[Row]:
    """As many points from 64 threads as from four."""
    cost = {}
    for n in (few, many):
        with scratch() as path:
            run = _run(path)

            def log(number: int, run: mlops_sdk.Run = run, n: int = n) -> None:
                for step in range(points // n):
                    run.log_metric(f"t{number}", 0.5 + step, step=step)

            def train(log: Callable[[int], None] = log, n: int = n) -> None:
                started = [threading.Thread(target=log, args=(number,)) for number in range(n)]
                for thread in started:
                    thread.start()
                for thread in started:
                    thread.join()

            cost[n] = _cpu(train)
            run.finish()
            view = mlops_sdk.get_run(run.run_id, tracking_uri=path / "store")
            assert sum(view.summary(f"t{number}").count for number in range(n)) == points, "a point was lost"
    return [_growth(f"{many} threads, {points:,} points", cost[few], cost[many])]


def hours(short: float = 0.5, long: float = 5.0, rate_hz: int = 10, n_metrics: int = 10) -> list[Row]:
    """Ten metrics at 10 Hz for hours of a simulated clock: the time of each point is given."""
    cost, size = {}, {}
    for length in (short, long):
        with scratch() as path:
            run = _run(path)
            ticks = int(length * 3600 * rate_hz)
            began = time.time() - length * 3600

            def train(run: mlops_sdk.Run = run, ticks: int = ticks, began: float = began) -> None:
                for tick in range(ticks):
                    values = {f"m{number}": number + tick / 7 for number in range(n_metrics)}
                    run.log_metrics(values, step=tick, timestamp=began + tick / rate_hz)
                run.finish()

            cost[length] = _cpu(train) / ticks
            size[length] = sum(file.stat().st_size for file in (path / "store").rglob("*") if file.is_file()) / ticks
            view = mlops_sdk.get_run(run.run_id, tracking_uri=path / "store")
            assert len(view.metric("m3")) == ticks
    return [
        _growth(f"{n_metrics} metrics at {rate_hz} Hz for {long:g} h, with finish()", cost[short], cost[long]),
        Row("the same, bytes a point on disk", f"{size[long] / n_metrics:.1f}", "<= 16", size[long] / n_metrics <= 16),
    ]


def _look(store: Path, run_id: str) -> object:
    return mlops_sdk.get_run(run_id, tracking_uri=store).metrics


def _best(store: Path) -> object:
    return mlops_sdk.search_runs(tracking_uri=store, order_by="metrics.acc DESC", limit=100)


def many_runs(few: int = 2_000, many: int = 100_000) -> list[Row]:
    """What a run costs, and a look at one, in a store that has 100,000 others."""
    start, finish, look, best = {}, {}, {}, {}
    for n in (few, many):
        with scratch() as path:
            fill(path / "store", n)
            with _run(path) as first:
                first.log_metric("acc", 0.5)
            started, finished = [], []
            for _ in range(20):
                runs: list[mlops_sdk.Run] = []
                started.append(_cpu(lambda runs=runs, path=path: runs.append(_run(path))))  # type: ignore[misc]
                runs[0].log_metric("acc", 0.5)
                finished.append(_cpu(runs[0].finish))
            start[n], finish[n] = sorted(started)[10], sorted(finished)[10]
            look[n] = min(_cpu(partial(_look, path / "store", first.run_id)) for _ in range(10))
            best[n] = min(_cpu(partial(_best, path / "store")) for _ in range(5))
    said = f"a store of {many:,} runs"
    return [
        _growth(f"{said}, start_run", start[few], start[many]),
        _growth(f"{said}, finish()", finish[few], finish[many]),
        _growth(f"{said}, get_run and its metrics", look[few], look[many]),
        _growth(f"{said}, the best 100 by a metric", best[few], best[many], 3.0),
    ]


def points(few: int = 1_000_000, many: int = 10_000_000) -> list[Row]:
    """A history of ten million points: log and finish, read whole, read reduced."""
    log, read, reduced = {}, {}, {}
    for n in (few, many):
        with scratch() as path:
            run = _run(path)

            def train(run: mlops_sdk.Run = run, n: int = n) -> None:
                for step in range(n):
                    run.log_metric("loss", step / 7, step=step)
                run.finish()

            log[n] = _cpu(train) / n
            view = mlops_sdk.get_run(run.run_id, tracking_uri=path / "store")
            read[n] = min(_cpu(lambda view=view: view.metric("loss")) for _ in range(2)) / n  # type: ignore[misc]
            reduced[n] = _cpu(lambda view=view: view.metric("loss", max_points=1000)) / n  # type: ignore[misc]
            assert len(view.metric("loss")) == n
    said = f"a history of {many:,} points"
    return [
        _growth(f"{said}, log_metric and finish()", log[few], log[many]),
        _growth(f"{said}, read whole", read[few], read[many]),
        _growth(f"{said}, reduced to 1,000 points", reduced[few], reduced[many]),
    ]


@contextlib.contextmanager
def _slow_disk(delay_ms: float) -> Iterator[None]:
    """Every write and sync of this process's waits first, in the thread that asks."""
    from crash_lab.tracing import tampered

    calls = ("fsync", "fdatasync", "pwrite64", "rename", "unlink", "fallocate")
    with tampered(os.getpid(), *(f"{call}:delay_enter={int(delay_ms * 1000)}" for call in calls)):
        yield


def _wait_for(store: Path, run_id: str, n: int) -> None:
    deadline = time.monotonic() + 60
    while len(mlops_sdk.get_run(run_id, tracking_uri=store).metric("loss")) < n:
        if time.monotonic() > deadline:
            raise AssertionError("points are missing")
        time.sleep(0.2)


def slow_disk(delay_ms: float = 20.0, n: int = 100_000) -> list[Row]:
    """A disk whose every answer takes 20 ms: what a loop notices, and how long the end takes."""
    from crash_lab.report import SkipError

    try:
        with scratch() as path:
            with _run(path) as run:
                quick = latencies(lambda index: run.log_metric("loss", index / 7, step=index), n)
            with _run(path) as run, _slow_disk(delay_ms):
                slow = latencies(lambda index: run.log_metric("loss", index / 7, step=index), n)
                began = time.perf_counter()
                run.finish()
                finish = time.perf_counter() - began
            _wait_for(path / "store", run.run_id, n)  # what finish() left for the next reader
    except SkipError as reason:
        return [Row("a slow disk", f"skipped: {reason}", "", None)]
    p50, p999 = (quantile(slow, q) / quantile(quick, q) for q in (0.5, 0.999))
    said = f"a disk that takes {delay_ms:g} ms"
    return [
        Row(f"{said}, log_metric p50 / that on a quick one", f"{p50:.2f} x", "<= 1.5 x", p50 <= 1.5),
        Row(f"{said}, p99.9", f"{p999:.1f} x, largest {slow[-1] / 1e6:.0f} ms", "reported", None),
        Row(f"{said}, finish() with {n:,} points", f"{finish:.2f} s", "<= 5.5 s", finish <= 5.5),
    ]


WORKLOADS: dict[str, Callable[[], list[Row]]] = {
    "names": names,
    "threads": threads,
    "hours": hours,
    "many-runs": many_runs,
    "points": points,
    "slow-disk": slow_disk,
}
LIMIT_S = 600


def bounded(name: str) -> Callable[[], list[Row]]:
    """A workload that ends with a row, not a hang."""

    def work() -> list[Row]:
        def stop(*_: object) -> None:
            raise TimeoutError

        before = signal.signal(signal.SIGALRM, stop)
        signal.alarm(LIMIT_S)
        try:
            return WORKLOADS[name]()
        except TimeoutError:
            return [Row(name, f"not done in {LIMIT_S} s", "", False)]
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    return work
