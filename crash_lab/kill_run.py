"""G1 for a whole run: `start_run`, a loop, the courier and the SQLite store at work, and SIGKILL at any instant.

Whoever reads the run next sees every acknowledged value, wherever it was: in the journal, in the store, or in between.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import time
from functools import partial
from pathlib import Path

import mlops_sdk
from crash_lab.isolated import in_child
from crash_lab.journals import bits, value
from crash_lab.kill import Acknowledged
from crash_lab.report import Findings, Task
from mlops_sdk.courier.courier import courier

LONGEST_LIFE_S = 0.12
EARLY = 0.2
BATCH = 50
LIMIT_S = 300


def _train(store: Path, run_id: str, noted: Acknowledged) -> None:
    """Log until killed."""
    courier().period_s = 0.005  # deliveries all the time, so that many are cut in the middle
    run = mlops_sdk.start_run(
        run_id=run_id, tracking_uri=str(store), params={"lr": 0.1}, capture=False, system_metrics=False
    )
    noted.begin()
    for number in itertools.count():
        run.log_metric("loss", value(number), step=number)
        noted.set(0, number + 1)


def _kill_one(store: Path, run_id: str, noted: Acknowledged, life_s: float, *, is_early: bool) -> int:
    noted.clear()
    pid = os.fork()
    if pid == 0:
        try:
            _train(store, run_id, noted)
        finally:
            os._exit(99)
    deadline = time.monotonic() + 20
    while not (is_early or noted.has_begun or time.monotonic() > deadline):
        time.sleep(0.0005)
    time.sleep(life_s)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _read(found: Findings, store: Path, acknowledged: dict[str, int]) -> None:
    """Read the runs as a user would, in a process that never logged."""
    total = 0
    for run_id, count in acknowledged.items():
        found.trials += 1
        try:
            run = mlops_sdk.get_run(run_id, tracking_uri=str(store))
            series = run.metric("loss")
        except LookupError:
            found.expect(count == 0, f"{count} acknowledged records, and no such run or metric")
            continue
        found.expect(run.status == "KILLED", f"status {run.status}")
        found.expect(count <= len(series.step) <= count + 1, f"{count} acknowledged, {len(series.step)} found")
        found.expect(series.step.tolist() == list(range(len(series.step))), "steps are missing or doubled")
        is_same = series.value.tobytes() == b"".join(bits(value(number)) for number in range(len(series.step)))
        found.expect(is_same, "values are not what was logged")
        found.expect(run.params == {"lr": 0.1}, f"params {run.params}")
        total += count
    found.notes = f"{total:,} calls acknowledged in the last {len(acknowledged)}"


def run(task: Task) -> Findings:
    """Each trial is one run."""
    found, noted = Findings(), Acknowledged()
    store = task.root / "store"
    in_child(partial(_make, store=store), found, limit_s=LIMIT_S)
    for first in range(0, task.trials, BATCH):
        acknowledged: dict[str, int] = {}
        for number in range(first, min(first + BATCH, task.trials)):
            life_s, is_early = task.random.uniform(0, LONGEST_LIFE_S), task.random.random() < EARLY
            end = _kill_one(store, f"run-{number}", noted, life_s, is_early=is_early)
            found.expect(end == -signal.SIGKILL, f"run-{number} ended with {end} before it was killed")
            acknowledged[f"run-{number}"] = noted.counts()[0]
        in_child(partial(_read, store=store, acknowledged=acknowledged), found, limit_s=LIMIT_S)
    return found


def _make(_found: Findings, store: Path) -> None:
    """A store that is there already; and every module is loaded once, in a process that may have threads."""
    logging.getLogger("mlops_sdk").setLevel(logging.ERROR)
    with mlops_sdk.start_run(tracking_uri=str(store), capture=False, system_metrics=False) as first:
        first.log_metric("loss", 0.5)
