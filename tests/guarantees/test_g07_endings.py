"""G7: finish() and the end of the interpreter are bounded in time, and what was not delivered is not lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mlops_sdk
from tests.guarantees import processes
from tests.guarantees.every_call import QUIET

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="stalls are made the POSIX way")]

BOUND_S = 5.0
SLACK_S = 2.5
"""For the start of Python, the last second in which connections are closed, and a busy machine."""

_HEAD = """
import os, signal, sys, threading, time
import mlops_sdk
options = dict(tracking_uri=sys.argv[1], system_metrics=False)
run = mlops_sdk.start_run(run_id="r", capture=CAPTURE, **options)
run.log_metric("loss", 1.0, step=0)
def began():
    print(time.monotonic(), flush=True)
"""
_HANG = """
import mlops_sdk.stores.sqlite.store as s
real = s.SQLiteStore.append
def hang(*_):
    while True:
        time.sleep(60)
s.SQLiteStore.append = hang
"""
_SYNC_HANGS = """
for name in ("fsync", "fdatasync"):
    setattr(os, name, lambda fd: time.sleep(3600))
"""
_NO_STORE = """
import mlops_sdk.errors as e, mlops_sdk.stores.sqlite.store as s
def refuse(*_):
    raise e.StoreUnavailableError("not now")
s.SQLiteStore.append = refuse
"""
_COURIER_HANGS = """
from mlops_sdk.courier import courier, route
def hang(self, **_):
    time.sleep(3600)
route.Route.keep_safe = hang
time.sleep(0.2)
"""
_BLOBS_HANG = """
from mlops_sdk.blobs.local import LocalBlobs
from mlops_sdk.errors import StoreUnavailableError
def fail(*_, **__):
    raise StoreUnavailableError("no room")
def hang(*_, **__):
    time.sleep(3600)
LocalBlobs.put_bytes = fail
run.log_text("kept", "kept.txt")
LocalBlobs.put_file = hang
"""
_NESTED = "runs = [mlops_sdk.start_run(run_id=f'n{i}', capture=False, nested=True, **options) for i in range(3)]\n"
_THREAD = (
    "threading.Thread(target=lambda: [run.log_metric('t', 1.0) for _ in range(50) if not time.sleep(0.01)]).start()\n"
)
_CLOSE = "run.log_metric('loss', 0.5, step=1)\nbegan()\nrun.finish()\nprint(time.monotonic(), flush=True)\n"
_EXIT = "run.log_metric('loss', 0.5, step=1)\nbegan()\n"

STALLS = {
    "store hangs": (_HANG, "False"),
    "store hangs, while things are captured": (_HANG, "True"),
    "store hangs, several runs": (_HANG + _NESTED, "False"),
    "syncs hang": (_SYNC_HANGS, "False"),
    "store refuses": (_NO_STORE, "False"),
    "store refuses and syncs hang": (_NO_STORE + _SYNC_HANGS, "False"),
    "courier hangs": (_COURIER_HANGS, "False"),
    "artifacts hang": (_BLOBS_HANG, "False"),
    "a thread of the program still logs": (_THREAD, "False"),
}


def _program(stall: str, end: str) -> str:
    code, capture = STALLS[stall]
    return _HEAD.replace("CAPTURE", capture) + code + end


def _times(out: str) -> list[float]:
    return [float(line) for line in out.split()]


@pytest.mark.parametrize("form", ["finish", "exit"])
def test_endings_are_bounded_and_nothing_is_lost(tmp_path: Path, form: str) -> None:
    """All stalls at once, each in a process and a store of its own: they sleep."""
    end = _CLOSE if form == "finish" else _EXIT
    children = {
        stall: processes.start(_program(stall, end), tmp_path / str(number)) for number, stall in enumerate(STALLS)
    }
    slowest = 0.0
    for number, (stall, child) in enumerate(children.items()):
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, (stall, err)
        ended = time.monotonic()  # of the same clock; children that ended earlier wait here for their turn
        times = _times(out)
        if form == "finish":
            slowest = max(slowest, times[1] - times[0])
            assert times[1] - times[0] < BOUND_S + 1.0, stall
        elif number == 0:
            slowest = ended - times[0]
            assert slowest < BOUND_S + SLACK_S, stall
    for number, stall in enumerate(STALLS):
        view = mlops_sdk.get_run("r", tracking_uri=tmp_path / str(number))
        assert (view.status, view.end_reason) == ("FINISHED", None), stall
        assert view.metric("loss").value.tolist() == [1.0, 0.5], stall
    print(f"G7 {form}: {len(STALLS)} stalls, slowest {slowest:.2f} s, lost 0, hangs 0")


@pytest.mark.parametrize(
    "stall", ["store hangs", "store hangs, several runs", "store hangs, while things are captured"]
)
def test_the_interpreter_ends_in_time(tmp_path: Path, stall: str) -> None:
    child = processes.start(_program(stall, _EXIT), tmp_path)
    out, err = child.communicate(timeout=60)
    took_s = time.monotonic() - _times(out)[0]
    assert child.returncode == 0, err
    assert took_s < BOUND_S + SLACK_S
    print(f"G7 exit, {stall}: {took_s:.2f} s")


@contextmanager
def _stopped_holder(store: Path) -> Iterator[None]:
    """A process that was stopped while it held the store's lock."""
    holder = processes.start(
        "import sys\nfrom pathlib import Path\nfrom mlops_sdk.stores.sqlite.lock import locked\n"
        "with locked(Path(sys.argv[1]) / 'store.lock', timeout_s=5, mode=0o600):\n"
        "    print('held', flush=True); sys.stdin.read()\n",
        store,
        stdin=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        yield
    finally:
        holder.send_signal(signal.SIGCONT)
        holder.communicate("")


def test_a_stopped_process_that_holds_the_store_stops_nobody_else(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET):
        pass
    with _stopped_holder(tmp_path):
        child = processes.start(_program("syncs hang", _EXIT).replace(_SYNC_HANGS, ""), tmp_path)
        out, err = child.communicate(timeout=60)
        took_s = time.monotonic() - _times(out)[0]
        assert child.returncode == 0, err
        assert took_s < BOUND_S + SLACK_S
    view = mlops_sdk.get_run("r", tracking_uri=tmp_path)
    assert (view.status, view.metrics) == ("FINISHED", {"loss": 0.5})
    print(f"G7 lock held by a stopped process: exit in {took_s:.2f} s")


def test_ctrl_c_during_finish_ends_it_and_loses_nothing(tmp_path: Path) -> None:
    # as in a terminal, also where whoever runs the tests ignores Ctrl-C
    listen = "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program = _program("store hangs", f"{listen}run.log_metric('loss', 0.5, step=1)\nbegan()\nrun.finish()\n")
    child = processes.start(program, tmp_path)
    assert child.stdout is not None
    began = float(child.stdout.readline())
    time.sleep(0.3)  # it is inside finish(), which takes 5 s
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == -signal.SIGINT, err
    assert time.monotonic() - began < 4.0
    view = mlops_sdk.get_run("r", tracking_uri=tmp_path)
    assert (view.status, view.metric("loss").value.tolist()) == ("FINISHED", [1.0, 0.5])


def test_a_run_that_ends_while_a_signal_arrives_is_killed_once(tmp_path: Path) -> None:
    program = _program("store hangs", _EXIT + "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)\n")
    began = time.monotonic()
    done = processes.run(program, tmp_path)
    assert done.returncode == -signal.SIGTERM
    assert time.monotonic() - began < BOUND_S
    view = mlops_sdk.get_run("r", tracking_uri=tmp_path)
    assert (view.status, view.end_reason) == ("KILLED", f"signal:{int(signal.SIGTERM)}")
