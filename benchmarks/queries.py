"""Queries, frames and histories over stores of many runs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import mlops_sdk
from benchmarks.workloads import Row, scratch
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript

_START_NS = 1_750_000_000 * 10**9
_N_PARAMS, _N_METRICS = 10, 20
_FILTERS = {
    "a quarter fits": "metrics.acc > 0.5 and params.C < 10",
    "1 in 200 fits": "metrics.acc > 0.9 and params.C < 1",
    "none fits": "metrics.acc > 0.999 and params.C < 0.01",
}


def queries(n_runs: int, limit_ms: float) -> list[Row]:
    """Two conditions, an order by a metric, the best 100, as `Runs`; the slowest of three selectivities counts."""
    with scratch() as path:
        _fill(path / "store", n_runs)
        rows = []
        for order in ("metrics.acc DESC", "metrics.m7 DESC"):
            for said, text in _FILTERS.items():
                taken = 1000 * _least(lambda text=text, order=order: _search(path, text, order, 100))  # type: ignore[misc]
                what = f"{n_runs:,} runs, two conditions ({said}), {order.lower()}, top 100"
                rows.append(Row(what, f"{taken:.1f} ms", f"<= {limit_ms:g} ms", taken <= limit_ms))
        return rows


def frames(n_runs: int = 10_000) -> list[Row]:
    """All runs as a pandas frame of 40 columns, from the search to the frame."""
    with scratch() as path:
        _fill(path / "store", n_runs)
        taken = _least(lambda: mlops_sdk.search_runs(tracking_uri=path / "store").to_pandas(), 3)
        assert mlops_sdk.search_runs(tracking_uri=path / "store").to_pandas().shape == (n_runs, 39)
        return [
            Row(
                f"{n_runs:,} runs to a pandas frame of 40 columns, index included",
                f"{taken:.2f} s",
                "<= 0.6 s",
                taken <= 0.6,
            )
        ]


def history(n_runs: int = 100, n_points: int = 10_000) -> list[Row]:
    """Every point of 3 metrics of all runs, as one frame."""
    with scratch() as path:
        store = SQLiteStore(path / "store")
        rng = np.random.default_rng(1)
        for number in range(n_runs):
            script = WriterScript(f"run-{number}").run()
            for key in ("loss", "acc", "lr"):
                script.points(key, rng.random(n_points).tolist())
            script.status().send(store)
            store.settle(f"run-{number}")
        store.close()
        runs = mlops_sdk.search_runs(tracking_uri=path / "store")
        assert len(runs.history("loss", "acc", "lr")) == 3 * n_runs * n_points
        taken = _least(lambda: runs.history("loss", "acc", "lr"), 3)
        what = f"history of {n_runs} runs x {n_points:,} points x 3 metrics to one frame"
        return [Row(what, f"{taken:.2f} s", "<= 0.5 s", taken <= 0.5)]


def shell(n_runs: int = 1000) -> list[Row]:
    """`mlops runs` over 1,000 runs, the whole process; with a filter, too."""
    rows = []
    with scratch() as path:
        _fill(path / "store", n_runs)
        for more in ([], ["-n", "0"], ["metrics.acc > 0.5 and params.C < 10"]):
            words = ["runs", *more, "--store", str(path / "store")]
            command = [sys.executable, "-m", "mlops_sdk.cli", *words]
            taken = _least(lambda command=command: subprocess.run(command, check=True, capture_output=True))  # type: ignore[misc]
            said = " ".join(["mlops runs", *more])
            what = f"`{said}`, {n_runs:,} runs, whole process"
            rows.append(Row(what, f"{taken:.2f} s", "<= 0.35 s", taken <= 0.35))
    return rows


def _search(path: Path, text: str, order: str, limit: int) -> mlops_sdk.Runs:
    return mlops_sdk.search_runs(text, order_by=order, limit=limit, tracking_uri=path / "store")


def _least(call: Callable[[], object], repeats: int = 5) -> float:
    """The shortest of some calls, in seconds, after one to warm up."""
    call()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken)


def _fill(path: Path, n: int) -> None:
    """Runs with 10 params and 20 metrics each, as rows: through the journal 100,000 would take an hour."""
    store = SQLiteStore(path)
    values = np.random.default_rng(1).random((n, _N_PARAMS + _N_METRICS))
    with store.database.writing() as connection:
        connection.execute("INSERT INTO experiments (id, name, created_ns) VALUES (1, 'bench', 0)")
        keys = [(k + 1, "acc" if k == 0 else f"m{k}") for k in range(_N_METRICS)]
        connection.executemany("INSERT INTO metric_keys (id, name) VALUES (?, ?)", keys)
        connection.executemany(
            """INSERT INTO runs (id, run_id, experiment, name, status, start_ns, end_ns, heard_ns, description, user,
            host, entry_point) VALUES (?, ?, 1, ?, 'FINISHED', ?, ?, ?, '', 'u', 'h', 'train.py')""",
            ((i + 1, f"{i:032x}", f"run-{i}", *_times(i)) for i in range(n)),
        )
        connection.executemany("INSERT INTO params VALUES (?, ?, 'float', ?, ?)", _params(values))
        connection.executemany(f"INSERT INTO metrics VALUES ({', '.join('?' * 23)})", _metrics(values))
    store.reclaim()
    store.close()


def _times(number: int) -> tuple[int, int, int]:
    start_ns = _START_NS + number * 10**9
    return start_ns, start_ns + 5 * 10**8, start_ns + 5 * 10**8


def _params(values: np.ndarray) -> Iterator[tuple[int, str, str, float]]:
    for number, row in enumerate((20 * values[:, :_N_PARAMS]).tolist(), start=1):
        for k, value in enumerate(row):
            yield number, "C" if k == 0 else f"p{k}", repr(value), value


def _metrics(values: np.ndarray) -> Iterator[tuple[object, ...]]:
    for number, row in enumerate(values[:, _N_PARAMS:].tolist(), start=1):
        for k, value in enumerate(row, start=1):
            low, high = (0.9 * value, 0, 0), (1.1 * value, 5, 5)
            yield number, k, 1, 10, 0, 10 * value, value, *low, 1, 1, value, 9, 9, 1, 10, *low, *high
