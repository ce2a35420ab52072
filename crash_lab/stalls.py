"""G7: `finish()` and the end of the interpreter are bounded in time, whatever hangs, and lose nothing.

Each trial is an interpreter of its own. strace has system calls hang for an hour each, in every thread, as on a disk or a
network file system that does not answer; or another process that was stopped holds the store's lock. Many at a time: they
sleep. The training logs less than would fill a segment meanwhile: a new one is asked for by the thread that logs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlops_sdk
from crash_lab.isolated import in_child
from crash_lab.report import Findings, SkipError, Task
from crash_lab.tracing import tampered

BOUND_S = 5.0
SLACK_S = 5.0
"""For connections that are closed in the last second, the tracer, and a machine that is busy."""
AT_ONCE = 12
N_POINTS = 1_300
HOUR = "delay_enter=3600000000"
STALLS = {
    "syncs": ("fsync", "fdatasync"),
    "syncs of files": ("fdatasync",),
    "writes to the store": ("pwrite64",),
    "reads": ("pread64",),
    "locks": ("flock",),
    "locks of the database": ("fcntl",),
    "removals": ("unlink", "rmdir", "rename"),
    "look-ups": ("newfstatat",),
    "everything": ("fsync", "fdatasync", "pwrite64", "pread64", "flock", "fcntl", "unlink", "rename"),
}
HOLDER = "a stopped process holds the store"
ENDS = {
    "finish": "run.finish()\n",
    "with": "run.__exit__(None, None, None)\n",
    "exit": "",
    "exit while a thread logs": (
        "threading.Thread(target=lambda: [run.log_metric('t', 1.0) or time.sleep(0.01) for _ in range(30)]).start()\n"
    ),
    "exception": "raise ValueError('the training failed')\n",
}
NOT_OURS = {("look-ups", "exception")}
"""Python itself looks for the lines of its traceback."""
_PROGRAM = """
import sys, threading, time
import mlops_sdk
run = mlops_sdk.start_run(run_id="r", tracking_uri=sys.argv[1], capture=False, system_metrics=False)
for step in range(1000):
    run.log_metric("loss", step / 3, step=step)
run.flush()
print("ready", flush=True)
sys.stdin.readline()
for step in range(1000, {n}):
    run.log_metric("loss", step / 3, step=step)
{end}
"""
_HOLDER = """
import sys
from pathlib import Path
from mlops_sdk.stores.sqlite.lock import locked
with locked(Path(sys.argv[1]) / "store.lock", timeout_s=20, mode=0o600):
    print("held", flush=True)
    sys.stdin.read()
"""


@dataclass
class _Case:
    stall: str
    end: str
    store: Path
    process: subprocess.Popen[str]
    began: float = 0.0

    def __str__(self) -> str:
        return f"{self.stall}, {self.end}"


def _start(code: str, store: Path) -> subprocess.Popen[str]:
    """Wait until it has said a line."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=environ,
    )  # fmt: skip
    assert process.stdout is not None
    if not process.stdout.readline():
        raise RuntimeError(process.communicate()[1])
    return process


@contextlib.contextmanager
def _holder(store: Path) -> Iterator[None]:
    process = _start(_HOLDER, store)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
        process.communicate("")


def _group(found: Findings, cases: list[_Case]) -> float:
    """Have all of them end in their stalls; returns the slowest time."""
    slowest = 0.0
    with contextlib.ExitStack() as stalled:
        for case in cases:
            if case.stall == HOLDER:
                stalled.enter_context(_holder(case.store))
            else:
                injections = [f"{call}:{HOUR}" for call in STALLS[case.stall]]
                stalled.enter_context(tampered(case.process.pid, *injections))
        for case in cases:
            assert case.process.stdin is not None
            case.began = time.monotonic()
            case.process.stdin.write("go\n")
            case.process.stdin.flush()
        waiting = list(cases)
        while waiting:
            for case in list(waiting):
                took_s = time.monotonic() - case.began
                if not _is_over(case.process.pid) and took_s < BOUND_S + SLACK_S:
                    continue
                waiting.remove(case)
                slowest = max(slowest, took_s)
                found.trials += 1
                if not found.expect(_is_over(case.process.pid), f"{case}: still there after {took_s:.0f} s"):
                    case.process.kill()
            time.sleep(0.01)
    for case in cases:
        expected = 1 if case.end == "exception" else 0
        err = case.process.communicate()[1]
        found.expect(case.process.returncode == expected, f"{case}: ended with {case.process.returncode}: {err[-500:]}")
    return slowest


def _is_over(pid: int) -> bool:
    """Whether the process has ended, for all that its program can tell; strace holds on to threads that it delays."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"


def _read(case: _Case, found: Findings) -> None:
    view = mlops_sdk.get_run("r", tracking_uri=case.store)
    status = "FAILED" if case.end == "exception" else "FINISHED"
    found.expect(view.status == status, f"{case}: status {view.status}")
    steps = view.metric("loss").step.tolist()
    found.expect(steps == list(range(N_POINTS)), f"{case}: {len(steps)} of {N_POINTS} points")


def run(task: Task) -> Findings:
    """Each trial is an interpreter that ends while something hangs."""
    found, slowest, number = Findings(), 0.0, 0
    kinds = [(stall, end) for stall in [*STALLS, HOLDER] for end in ENDS if (stall, end) not in NOT_OURS]
    task.random.shuffle(kinds)
    while found.trials < task.trials and len(found.violations) < 20:
        cases = []
        for _ in range(min(AT_ONCE, task.trials - found.trials)):
            stall, end = kinds[number % len(kinds)]
            store = task.root / str(number)
            code = _PROGRAM.format(n=N_POINTS, end=ENDS[end])
            cases.append(_Case(stall, end, store, _start(code, store)))
            number += 1
        try:
            slowest = max(slowest, _group(found, cases))
        finally:
            for case in cases:
                case.process.kill()
                case.process.communicate()
        for case in cases:
            in_child(partial(_read, case), found, limit_s=60)
    if not found.trials:
        raise SkipError("no trials")
    found.notes = f"slowest {slowest:.1f} s, {len(kinds)} kinds"
    return found
