"""G18 for a whole process: libfaketime sets the wall clock of an interpreter that trains, again and again.

Order, durations and deliveries are those of the monotonic clock; the run ends well, and nothing is lost.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import mlops_sdk
from crash_lab.isolated import in_child
from crash_lab.report import Findings, SkipError, Task

_LIBRARIES = ("/usr/lib", "/usr/local/lib", "/usr/lib64")
OFFSETS = ("+0", "-10y", "+10y", "-1h", "+1h", "-1s", "+0.5s", "+1d", "-3d")
N_POINTS = 300
LIMIT_S = 60
_PROGRAM = f"""
import json, sys, time
import mlops_sdk
run = mlops_sdk.start_run(run_id="r", tracking_uri=sys.argv[1], capture=False, system_metrics=False)
print("ready", flush=True)
times = []
for step in range({N_POINTS}):
    before = time.monotonic_ns()
    run.log_metric("loss", step / 3, step=step)
    times.append([before, time.monotonic_ns()])
    if step % 50 == 0:
        run.set_tag("at", step)
    if step == {N_POINTS // 2}:
        run.flush(20)
    until = time.monotonic() + 0.002
    while time.monotonic() < until:  # libfaketime has sleeps fail while the clock is set
        pass
began = time.monotonic()
run.finish()
print(json.dumps([times, time.monotonic() - began, run.health()["waiting"]]))
"""


def _library() -> str:
    for directory in _LIBRARIES:
        for path in sorted(Path(directory).glob("**/faketime/libfaketime.so.1")):
            return str(path)
    raise SkipError("libfaketime is not installed")


def _train(library: str, root: Path, task: Task) -> tuple[str, str, int | None]:
    """Returns what the process said, on both streams, and how it ended."""
    setting = root / "clock"
    setting.write_text("+0\n")
    environ = {
        **os.environ, "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(setting), "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    command = [sys.executable, "-c", _PROGRAM, str(root / "store")]
    child = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    is_over = threading.Event()

    def keep_setting() -> None:
        while not is_over.wait(task.random.uniform(0.005, 0.05)):
            whole = setting.with_suffix(".new")
            whole.write_text(task.random.choice(OFFSETS) + "\n")
            whole.rename(setting)

    child.stdout.readline()
    setter = threading.Thread(target=keep_setting)
    setter.start()
    try:
        out, err = child.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return *child.communicate(), None
    finally:
        is_over.set()
        setter.join()
    return out, err, child.returncode


def _read(store: Path, times: list[tuple[int, int]], found: Findings) -> None:
    view = mlops_sdk.get_run("r", tracking_uri=store)
    series = view.metric("loss")
    found.expect(series.step.tolist() == list(range(N_POINTS)), "steps are missing or out of order")
    stamped = series.time_ns.tolist()
    found.expect(stamped == sorted(stamped), "times go backwards")
    (least, most), passed = times[0], [stamp - stamped[0] for stamp in stamped]
    is_right = all(low - most <= at <= high - least for (low, high), at in zip(times, passed, strict=True))
    found.expect(is_right, "a duration is not what the monotonic clock says")
    duration_s = view.duration_s
    at_least_s = (times[-1][0] - most) / 1e9
    is_right = duration_s is not None and at_least_s <= duration_s < at_least_s + LIMIT_S
    found.expect(is_right, f"duration {duration_s}, not {at_least_s:.2f}")
    found.expect(view.status == "FINISHED", f"status {view.status}")


def run(task: Task) -> Findings:
    """Each trial is one process."""
    found, library, longest = Findings(), _library(), 0.0
    for number in range(task.trials):
        found.trials += 1
        root = task.root / str(number)
        root.mkdir()
        began = time.monotonic()
        out, err, end = _train(library, root, task)
        longest = max(longest, time.monotonic() - began)
        if not found.expect(end == 0, f"hung for {LIMIT_S} s" if end is None else f"ended with {end}: {err[-300:]}"):
            continue
        times, finish_s, waiting = json.loads(out)
        found.expect(finish_s < 5, f"finish() took {finish_s:.1f} s")
        found.expect(waiting == 0, f"{waiting} records were left")
        found.trials -= 1
        in_child(partial(_counted, root / "store", times), found, limit_s=LIMIT_S)
        shutil.rmtree(root)
    found.notes = f"{len(OFFSETS)} settings of the clock; longest process {longest:.1f} s"
    return found


def _counted(store: Path, times: list[tuple[int, int]], found: Findings) -> None:
    found.trials = 1
    _read(store, times, found)
