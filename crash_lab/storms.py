"""G9 for whole runs: bursts of forks from several threads while others log; children log, fork, exec and die.

Every child logs through the very run of its parent, to a key of its own; some fork again, some become another program, some
are killed in the middle. Whatever was acknowledged anywhere is there once; nobody hangs.
"""

from __future__ import annotations

import itertools
import logging
import mmap
import os
import random
import shutil
import signal
import threading
import time
from functools import partial
from pathlib import Path

import mlops_sdk
from crash_lab.isolated import in_child
from crash_lab.report import Findings, Task
from mlops_sdk.courier.courier import courier

BURST = 8
PER_STORM = 48
N_FORKERS = 3
N_LOGGERS = 2
PER_CHILD = 30
HANG_S = 60
_PAGE = 8 * (2 * PER_STORM + N_LOGGERS + 1)


class _Counts:
    """Calls that returned, by key, in memory that survives children."""

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, _PAGE)).cast("Q")

    def __getitem__(self, place: int) -> int:
        return self._numbers[place]

    def __setitem__(self, place: int, count: int) -> None:
        self._numbers[place] = count


def _log(run: mlops_sdk.Run, place: int, counts: _Counts, numbers: range) -> None:
    for number in numbers:
        run.log_metric(f"k{place}", place + number / 3, step=number)
        counts[place] = number + 1


def _child(run: mlops_sdk.Run, place: int, counts: _Counts, way: str) -> None:
    """Never returns."""
    status = 1
    try:
        signal.alarm(HANG_S)
        _log(run, place, counts, range(PER_CHILD))
        if way == "fork":
            status = os.waitstatus_to_exitcode(os.waitpid(_fork(run, place + PER_STORM, counts, "end"), 0)[1])
        elif way == "exec":
            os.execv("/bin/true", ["true"])
        elif way == "killed":
            for number in itertools.count(PER_CHILD):
                _log(run, place, counts, range(number, number + 1))
        elif way == "flush":
            run.flush(HANG_S / 2)
            status = 0
        else:
            status = 0
    finally:
        os._exit(status)


def _fork(run: mlops_sdk.Run, place: int, counts: _Counts, way: str) -> int:
    pid = os.fork()
    if pid == 0:
        _child(run, place, counts, way)
    return pid


def _burst(
    run: mlops_sdk.Run, places: list[int], counts: _Counts, seed: float, ends: dict[int, tuple[str, int]]
) -> None:
    choose = random.Random(seed)
    for first in range(0, len(places), BURST):
        started = []
        for place in places[first : first + BURST]:
            way = choose.choice(("end", "end", "fork", "exec", "killed", "flush"))
            started.append((place, way, _fork(run, place, counts, way)))
        time.sleep(choose.uniform(0, 0.02))
        for place, way, pid in started:
            if way == "killed":
                os.kill(pid, signal.SIGKILL)
            ends[place] = way, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _storm(found: Findings, store: Path, seed: float) -> None:
    logging.getLogger("mlops_sdk").setLevel(logging.ERROR)
    choose, counts, ends = random.Random(seed), _Counts(), dict[int, tuple[str, int]]()
    courier().period_s = 0.01
    os.environ["MLOPS_JOURNAL"] = choose.choice(("mmap", "append"))
    run = mlops_sdk.start_run(run_id="r", tracking_uri=store, capture=False, system_metrics=False)
    is_over: list[bool] = []

    def log(place: int) -> None:
        for number in itertools.count():
            _log(run, place, counts, range(number, number + 1))
            if is_over:
                return
            time.sleep(0.0005)

    loggers = [threading.Thread(target=log, args=(2 * PER_STORM + n,)) for n in range(N_LOGGERS)]
    forkers = [
        threading.Thread(target=_burst, args=(run, list(range(n, PER_STORM, N_FORKERS)), counts, choose.random(), ends))
        for n in range(N_FORKERS)
    ]
    for thread in loggers + forkers:
        thread.start()
    for thread in forkers:
        thread.join()
    is_over.append(True)
    for thread in loggers:
        thread.join()
    run.finish()
    found.trials += len(ends)
    for place, (way, end) in ends.items():
        expected = -signal.SIGKILL if way == "killed" else 0
        what = "hung" if end == -signal.SIGALRM else f"ended with {end}"
        found.expect(end == expected, f"child {place} ({way}) {what}")
    view = _when_recovered(store, counts)
    found.expect(view.status == "FINISHED", f"status {view.status}")
    for place in range(2 * PER_STORM + N_LOGGERS):
        if counts[place]:
            _compare(found, view, place, counts[place])
    found.notes = f"{sum(counts[place] for place in range(2 * PER_STORM + N_LOGGERS)):,} records in the last storm"


def _when_recovered(store: Path, counts: _Counts) -> mlops_sdk.RunView:
    """A reader takes over what the dead left for a quarter of a second at most: on a busy machine it takes several."""
    deadline = time.monotonic() + HANG_S
    while True:
        view = mlops_sdk.get_run("r", tracking_uri=store)
        missing = [
            place
            for place in range(2 * PER_STORM + N_LOGGERS)
            if counts[place] and (f"k{place}" not in view.metrics or view.summary(f"k{place}").count < counts[place])
        ]
        if not missing or time.monotonic() > deadline:
            return view
        time.sleep(0.1)


def _compare(found: Findings, view: mlops_sdk.RunView, place: int, count: int) -> None:
    series = view.metric(f"k{place}", rank="all") if f"k{place}" in view.metrics else None
    steps, values = (series.step.tolist(), series.value.tolist()) if series is not None else ([], [])
    in_flight = len(steps) - count
    found.expect(in_flight in (0, 1), f"k{place}: {count} acknowledged, {len(steps)} found")
    found.expect(steps == list(range(len(steps))), f"k{place}: steps are missing, doubled or out of order")
    found.expect(values == [place + step / 3 for step in steps], f"k{place}: values of another process")


def run(task: Task) -> Findings:
    """Each trial is one fork."""
    found = Findings()
    for number in itertools.count():
        if found.trials >= task.trials or found.violations:
            return found
        store = task.root / str(number)
        in_child(partial(_storm, store=store, seed=task.random.random()), found, limit_s=HANG_S * 5)
        shutil.rmtree(store, ignore_errors=True)
    return found
