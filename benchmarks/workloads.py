"""What is measured; each function returns rows of (what, figure, target)."""

from __future__ import annotations

import gc
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import mlops_sdk
from benchmarks.yardstick import LineWriter, latencies, p50, quantile
from mlops_sdk.journal.records import Kind


class Row(NamedTuple):
    """One line of the report; `ok` is None where nothing is asked."""

    what: str
    figure: str
    target: str
    ok: bool | None
    in_readme: bool = False


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory on the disk the checkout is on."""
    path = Path(tempfile.mkdtemp(prefix=".bench-", dir=Path.cwd()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _run(path: Path, **options: object) -> mlops_sdk.Run:
    options = {"capture": False, "system_metrics": False, **options}
    return mlops_sdk.start_run(tracking_uri=path / "store", **options)  # type: ignore[arg-type]


def one_call(n: int, journal: str = "auto") -> list[Row]:
    """`log_metric` and `log_metrics` of ten, beside the yardstick, in alternating blocks."""
    ratios, tens, appended = [], [], []
    with scratch() as path:
        os.environ["MLOPS_JOURNAL"] = journal
        with _run(path) as run:
            ten = [{f"m{number}": 0.5 + number + index for number in range(10)} for index in range(100)]
            for _ in range(5):
                line = p50(path, n // 5)
                taken = latencies(lambda index: run.log_metric("loss", 0.12345 + index, step=index), n // 5)
                ratios.append(quantile(taken, 0.5) / line)
                appended.append(quantile(taken, 0.999))
                taken = latencies(lambda index: run.log_metrics(ten[index % 100], step=index), n // 50)
                tens.append(quantile(taken, 0.5) / line)
        del os.environ["MLOPS_JOURNAL"]
    ratio, ten_ratio = statistics.median(ratios), statistics.median(tens)
    if journal == "append":
        tail = statistics.median(appended) / 1000
        return [
            Row("log_metric, appended journal, p50 / that line", f"{ratio:.2f} x", "<= 1.2 x", ratio <= 1.2),
            Row("log_metric, appended journal, p99.9", f"{tail:.0f} us", "<= 250 us", tail <= 250),
        ]
    return [
        Row(
            "log_metric, p50 / a line written to a file",
            f"{ratio:.2f} x (line {line / 1000:.2f} us)",
            "<= 0.45 x",
            ratio <= 0.45,
            True,
        ),
        Row("log_metrics of 10, p50 / that line", f"{ten_ratio:.2f} x", "<= 2.2 x", ten_ratio <= 2.2, True),
    ]


def tail(n: int = 1_000_000) -> list[Row]:
    """Latencies of a tight loop with the courier at work; the line-buffered write's beside them."""
    with scratch() as path:
        writer = LineWriter(path)
        lines = latencies(writer, n)
        writer.close()
        with _run(path) as run:
            taken = latencies(lambda index: run.log_metric("loss", 0.12345 + index, step=index), n)
    p99, p999 = quantile(taken, 0.99) / 1000, quantile(taken, 0.999) / 1000
    return [
        Row(
            "p99 of 1,000,000 log_metric calls in a loop",
            f"{p99:.1f} us (line {quantile(lines, 0.99) / 1000:.1f})",
            "<= 5 us",
            p99 <= 5,
        ),
        Row(
            "p99.9 of them", f"{p999:.1f} us (line {quantile(lines, 0.999) / 1000:.1f})", "<= 100 us", p999 <= 100, True
        ),
        Row("largest stall among them", f"{taken[-1] / 1e6:.1f} ms (line {lines[-1] / 1e6:.1f})", "reported", None),
    ]


def paced(seconds: float = 60.0) -> list[Row]:
    """100 metrics at 10 Hz."""
    taken: list[int] = []
    with scratch() as path, _run(path) as run:
        began = time.perf_counter()
        for tick in range(int(seconds * 10)):
            for number in range(100):
                start = time.perf_counter_ns()
                run.log_metric(f"m{number}", 0.5 + tick, step=tick)
                taken.append(time.perf_counter_ns() - start)
            time.sleep(max(0.0, began + (tick + 1) * 0.1 - time.perf_counter()))
    taken.sort()
    p99 = quantile(taken, 0.99) / 1000
    stalls = sum(value for value in taken if value > 100_000) / 1e6
    return [
        Row(f"paced, 100 metrics at 10 Hz for {seconds:.0f} s, p99", f"{p99:.1f} us", "<= 50 us", p99 <= 50),
        Row("sum of their stalls above 100 us", f"{stalls:.1f} ms", "reported", None),
    ]


def million() -> list[Row]:
    """A million noisy points with `finish()`, their bytes on disk, and reading them back."""
    noise = random.Random(1)
    values = [math.exp(-step / 2e4) + noise.gauss(0, 0.01) for step in range(1_000_000)]
    with scratch() as path:
        run = _run(path)
        began = time.perf_counter()
        for step, value in enumerate(values):
            run.log_metric("loss", value, step=step)
        run.finish()
        total = time.perf_counter() - began
        size = sum(file.stat().st_size for file in (path / "store").rglob("*") if file.is_file())
        view = mlops_sdk.get_run(run.run_id, tracking_uri=path / "store")
        reads = []
        for _ in range(5):
            began = time.perf_counter()
            series = view.metric("loss")
            reads.append(time.perf_counter() - began)
        assert series.value.tolist() == values, "what was logged is what is read"
    read = statistics.median(reads) * 1000
    return [
        Row("1,000,000 noisy points with finish()", f"{total:.2f} s", "<= 2.5 s", total <= 2.5, True),
        Row("bytes a point on disk", f"{size / 1e6:.2f}", "<= 9", size / 1e6 <= 9, True),
        Row("read them back as arrays", f"{read:.0f} ms", "<= 50 ms", read <= 50, True),
    ]


def imports() -> list[Row]:
    """Import time above bare Python, whole processes in turn, byte code cached as in an installed package."""
    with scratch() as path:
        alone = _above_bare("import mlops_sdk", path)
        whole = _above_bare("from mlops_sdk import start_run", path)
    return [
        Row("import mlops_sdk, above bare Python", f"{alone:.1f} ms", "<= 25 ms", alone <= 25),
        Row("the same with all that start_run needs", f"{whole:.1f} ms", "reported", None),
    ]


def _above_bare(code: str, cache: Path) -> float:
    _process_ms(code, cache)
    return statistics.median(_process_ms(code, cache) - _process_ms("pass", cache) for _ in range(15))


def _process_ms(code: str, cache: Path) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=_with_byte_code(cache))
    return (time.perf_counter() - began) * 1000


def _with_byte_code(cache: Path) -> dict[str, str]:
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**environ, "PYTHONPYCACHEPREFIX": str(cache / "byte-code")}


_START = """
import json, sys, time, mlops_sdk
from mlops_sdk import start_run
def once(store):
    t0 = time.perf_counter()
    run = start_run(tracking_uri=store)
    t1 = time.perf_counter()
    run.log_param("lr", 0.1)
    for step in range(100):
        run.log_metric("loss", 1 / (1 + step), step=step)
    t2 = time.perf_counter()
    run.finish()
    t3 = time.perf_counter()
    return [1000 * (t1 - t0), 1000 * (t3 - t2)]
print(json.dumps([once(sys.argv[1]), once(sys.argv[1])]))
"""


def start_and_finish() -> list[Row]:
    """In fresh processes: the first run on a fresh store, then one on a store that is there."""
    fresh, first, standing, finish = [], [], [], []
    with scratch() as path:
        _start_once(path / "first", path)
        for number in range(7):
            (f0, _), _ = _start_once(path / f"fresh{number}", path)
            fresh.append(f0)
        for _ in range(7):
            (f0, end0), (f1, end1) = _start_once(path / "fresh0", path)
            first.append(f0)
            standing.append(f1)
            finish += [end0, end1]
    a, b, c, d = (statistics.median(values) for values in (fresh, first, standing, finish))
    return [
        Row("start_run on a fresh store, first in the process", f"{a:.1f} ms", "<= 60 ms", a <= 60),
        Row("start_run on an existing store, first in the process", f"{b:.1f} ms", "<= 15 ms", b <= 15, True),
        Row("start_run on an existing store, second", f"{c:.1f} ms", "<= 15 ms", c <= 15),
        Row("finish() of a short run", f"{d:.1f} ms", "<= 50 ms", d <= 50, True),
    ]


def _start_once(store: Path, cache: Path) -> list[list[float]]:
    done = subprocess.run(
        [sys.executable, "-c", _START, str(store)],
        check=True,
        capture_output=True,
        text=True,
        env=_with_byte_code(cache),
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


_WRITER = """
import sys, mlops_sdk
run = mlops_sdk.start_run(tracking_uri=sys.argv[1])
for step in range(5000):
    run.log_metric("loss", float(step), step=step)
run.finish()
"""


def processes(n: int = 8) -> list[Row]:
    """Processes that start at once on a fresh store."""
    with scratch() as path:
        store = path / "store"
        began = time.perf_counter()
        children = [
            subprocess.Popen([sys.executable, "-c", _WRITER, str(store)], stderr=subprocess.PIPE) for _ in range(n)
        ]
        errors = sum(child.communicate()[1].count(b"Traceback") + (child.returncode != 0) for child in children)
        total = time.perf_counter() - began
        runs = mlops_sdk.search_runs(tracking_uri=store)
        lost = n * 5000 - sum(run.summary("loss").count for run in runs)
    ok = not errors and not lost and total <= 4
    return [Row(f"{n} processes at once, fresh store, 5,000 points each", f"{errors} errors, {lost} lost, {total:.1f} s",
                "0, 0, <= 4 s", ok)]  # fmt: skip


def memory(n: int = 10_000_000) -> list[Row]:
    """Resident memory added by a tight loop, greatest seen."""
    import psutil

    me = psutil.Process()
    with scratch() as path, _run(path) as run:
        for step in range(200_000):
            run.log_metric("loss", 0.5, step=step)
        run.flush()
        gc.collect()
        before = greatest = me.memory_info().rss
        for step in range(n):
            run.log_metric("loss", 0.1 * step, step=step)
            if step % 100_000 == 0:
                greatest = max(greatest, me.memory_info().rss)
    added = (greatest - before) / 2**20
    return [Row(f"resident memory added by {n:,} points", f"{added:.0f} MiB", "<= 64 MiB", added <= 64, True)]


def share(seconds: float = 20.0) -> list[Row]:
    """Processor time of the courier's thread, 1,000 metrics at 1 Hz."""
    with scratch() as path, _run(path) as run:
        for tick in range(3):
            run.log_metrics({f"m{number}": 0.5 + tick for number in range(1000)}, step=tick)
            time.sleep(1)
        before, began = _courier_seconds(), time.perf_counter()
        for tick in range(int(seconds)):
            run.log_metrics({f"m{number}": 0.5 + tick for number in range(1000)}, step=tick + 3)
            time.sleep(max(0.0, began + tick + 1 - time.perf_counter()))
        used = (_courier_seconds() - before) / (time.perf_counter() - began)
    return [Row("courier's share of a core, 1,000 metrics at 1 Hz", f"{100 * used:.1f} %", "<= 3 %", used <= 0.03)]


def _courier_seconds() -> float:
    import psutil

    for thread in threading.enumerate():
        if thread.name == "mlops-courier":
            times = {t.id: t.user_time + t.system_time for t in psutil.Process().threads()}
            return float(times.get(thread.native_id or -1, 0.0))
    raise RuntimeError("no courier")


def compare_two(n_params: int = 200, n_packages: int = 200, n_metrics: int = 100) -> list[Row]:
    """`compare` of two runs that differ in half of what they have, with its one-screen summary; both read from the store."""
    with scratch() as path:
        for number in range(2):
            params = {f"p{each}": each * (1 + number * (each % 2)) for each in range(n_params)}
            packages = [f"package{each}==1.{number * (each % 2)}.0" for each in range(n_packages)]
            with _run(path, name=f"run{number}", params=params) as run:
                run._emit(Kind.ENVIRONMENT, {"packages": {"digest": str(number), "packages": packages}})
                run.log_metrics({f"val/m{each}": each + number * (each % 2) for each in range(n_metrics)}, step=0)
        taken = []
        for _ in range(20):
            start = time.perf_counter()
            mlops_sdk.compare("run0", "run1", tracking_uri=path / "store").summary()
            taken.append(time.perf_counter() - start)
    figure = 1000 * statistics.median(taken)
    what = f"compare two runs: {n_params} params, {n_packages} packages, {n_metrics} metrics; summary"
    return [Row(what, f"{figure:.1f} ms", "<= 50 ms", figure <= 50)]
