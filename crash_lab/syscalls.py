"""G6: the n-th system call of a kind fails, in any thread, once or from then on; the training notices nothing.

A child of this process trains; strace has its system calls fail. No call raises, no signal comes, nothing hangs; what is
read back afterwards is an unbroken prefix of what was logged, up to what was counted as dropped.
"""

from __future__ import annotations

import logging
import mmap
import os
import random
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlops_sdk
from crash_lab.isolated import in_child
from crash_lab.journals import keep_segments_small
from crash_lab.report import Findings, Task
from crash_lab.tracing import tampered
from mlops_sdk.courier.courier import courier
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES

CALLS = (
    "openat", "read", "write", "pread64", "pwrite64", "lseek", "newfstatat", "fstatfs,statfs", "getdents64", "close",
    "fsync", "fdatasync", "fallocate", "ftruncate", "rename", "link", "unlink", "mkdir", "rmdir", "flock", "fcntl",
    "copy_file_range", "sendfile", "utimensat", "chmod,fchmod", "fstat", "clone3,clone",
)  # fmt: skip
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EACCES", "EINTR", "EAGAIN", "EMFILE", "EROFS", "ENOMEM", "ESTALE")
MOST = 40
"""The highest n."""
N_POINTS = 1_500
SEGMENT = HEADER_BYTES + 256 * SLOT_BYTES
HANG_S = 60.0
LATE = 0.75
"""Share of the trials in which the faults begin after `start_run` has returned."""


class Shared:
    """What the child tells, in memory: a pipe would be one more system call to fail."""

    READY, GO, STARTED, LOGGED, DROPPED, FLUSHED, RAISED = range(7)

    def __init__(self) -> None:
        memory = mmap.mmap(-1, 1 << 14)
        self._numbers = memoryview(memory)[: 8 * 8].cast("q")
        self._text = memoryview(memory)[64:]

    def __getitem__(self, place: int) -> int:
        return int(self._numbers[place])

    def __setitem__(self, place: int, number: int) -> None:
        self._numbers[place] = number

    def clear(self) -> None:
        """Before each trial."""
        self._numbers[:] = memoryview(bytes(64)).cast("q")
        self._text[:] = bytes(len(self._text))

    def say(self, text: str) -> None:
        """Keep a text."""
        data = text.encode()[: len(self._text) - 1]
        self._text[: len(data)] = data

    @property
    def said(self) -> str:
        """The text."""
        return bytes(self._text).partition(b"\0")[0].decode(errors="replace")

    def wait_for(self, place: int, pid: int | None = None) -> bool:
        """Whether a number became non-zero before a time-out, or before the process ended."""
        deadline = time.monotonic() + HANG_S
        while not self[place] and time.monotonic() < deadline:
            if pid is not None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.0005)
        return bool(self[place])


@dataclass(frozen=True)
class Plan:
    """What is to fail."""

    calls: str
    error: str
    when: str
    mode: str
    is_late: bool

    @classmethod
    def chosen(cls, choose: random.Random) -> Plan:
        """Any."""
        n, error = min(int(choose.expovariate(1 / 6)) + 1, MOST), choose.choice(ERRORS)
        for_good = (
            "+" if choose.random() < 0.5 and error != "EINTR" else ""
        )  # CPython tries again after EINTR, for ever
        return cls(
            choose.choice(CALLS),
            error,
            f"{n}{for_good}",
            choose.choice(("mmap", "append")),
            choose.random() < LATE,
        )

    @property
    def injections(self) -> list[str]:
        """For strace."""
        return [f"{call}:error={self.error}:when={self.when}" for call in self.calls.split(",")]


# -- the child -------------------------------------------------------------------------------------------------------


def _train(store: Path, plan: Plan, shared: Shared) -> None:
    """Never returns."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        keep_segments_small(SEGMENT)
        courier().period_s = 0.01
        if not plan.is_late:
            _wait_for_faults(shared)
        try:
            run = mlops_sdk.start_run(tracking_uri=store, run_id="r", capture=False, system_metrics=False)
        except (mlops_sdk.MlopsError, OSError, ImportError):  # the last two: of modules of ours that cannot be read
            if plan.is_late:
                raise
            os._exit(0)  # it may
        if plan.is_late:
            _wait_for_faults(shared)
        shared[Shared.STARTED] = 1
        for call in _calls(run, store.parent / "file.txt", shared):
            _do(call, shared)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - told in memory, and by the exit status
        shared.say(_words(error))
    os._exit(1)


def _wait_for_faults(shared: Shared) -> None:
    shared[Shared.READY] = 1
    if not shared.wait_for(Shared.GO):
        raise TimeoutError


def _do(call: Callable[[], object], shared: Shared) -> None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - what must not happen
        shared[Shared.RAISED] += 1
        shared.say(_words(error))


def _words(error: BaseException) -> str:
    """The error, and where in our code it came up."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "mlops_sdk" in frame.filename]
    return f"{type(error).__name__}: {error} at {' > '.join(ours[-4:])}"


def _calls(run: mlops_sdk.Run, file: Path, shared: Shared) -> list[Callable[[], object]]:
    def train(first: int) -> None:
        for step in range(first, first + N_POINTS):
            run.log_metric("loss", step / 3, step=step)
            shared[Shared.LOGGED] = step + 1

    def flush() -> None:
        try:
            run.flush(2.0)
            shared[Shared.FLUSHED] = shared[Shared.LOGGED]
        except mlops_sdk.MlopsError:  # it says what went wrong
            return

    def finish() -> None:
        run.finish()
        shared[Shared.DROPPED] = run.health()["dropped"]

    return [
        partial(run.log_params, {"lr": 0.1, "model": {"depth": 3}}),
        partial(train, 0),
        partial(run.log_text, "some text", "text.txt"),
        partial(run.log_artifact, file),
        partial(run.set_tag, "team", "growth"),
        partial(run.log_metrics, {"a": 1.0, "b": 2.0}),
        flush,
        partial(train, N_POINTS),
        partial(run.log_dict, {"a": [1, 2]}, "dict.json"),
        finish,
    ]


# -- what is left ----------------------------------------------------------------------------------------------------


def _read(store: Path, logged: int, dropped: int, flushed: int, found: Findings) -> None:
    """In a process without faults."""
    try:
        view = mlops_sdk.get_run("r", tracking_uri=store)
        steps, values = [], []
        if "loss" in view.metrics:
            series = view.metric("loss")
            steps, values = series.step.tolist(), series.value.tolist()
    except LookupError:
        found.expect(logged <= dropped, f"{logged} logged, {dropped} dropped, and no such run")
        return
    found.expect(steps == sorted(set(steps)), "steps are doubled or out of order")
    found.expect(values == [step / 3 for step in steps], "a value that was never logged")
    missing = logged - len(steps)
    found.expect(missing <= dropped, f"{missing} of {logged} are missing, {dropped} were counted")
    found.expect(len(steps) <= logged, f"{len(steps)} records, {logged} were logged")
    if dropped == 0:
        found.expect(steps[:flushed] == list(range(flushed)), "what was flushed is not there")


def _end_of(pid: int) -> int | None:
    """How the child ended; None when it had to be killed."""
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _trial(found: Findings, root: Path, plan: Plan, shared: Shared) -> None:
    shared.clear()
    (root / "file.txt").write_text("a file\n")
    store = root / "store"
    pid = os.fork()
    if pid == 0:
        os.environ["MLOPS_JOURNAL"] = plan.mode
        _train(store, plan, shared)
    shared.wait_for(Shared.READY, pid)
    with tampered(pid, *plan.injections):
        shared[Shared.GO] = 1
        end = _end_of(pid)
    found.expect(end is not None, f"{plan}: hung for {HANG_S} s")
    found.expect(end in (0, None), f"{plan}: ended with {end}: {shared.said}")
    found.expect(not shared[Shared.RAISED], f"{plan}: {shared[Shared.RAISED]} calls raised: {shared.said}")
    if end == 0 and shared[Shared.STARTED]:
        before = len(found.violations)
        told = shared[Shared.LOGGED], shared[Shared.DROPPED], shared[Shared.FLUSHED]
        in_child(partial(_read, store, *told), found, limit_s=HANG_S)
        found.violations[before:] = [f"{plan}: {each}" for each in found.violations[before:]]


def run(task: Task) -> Findings:
    """Each trial is one training and one fault."""
    logging.getLogger("mlops_sdk").setLevel(logging.CRITICAL)
    found, shared, started, dropped = Findings(), Shared(), 0, Counter[bool]()
    in_child(partial(_warm, task.root), found, limit_s=HANG_S)
    for number in range(task.trials):
        found.trials += 1
        root = task.root / str(number)
        root.mkdir()
        _trial(found, root, Plan.chosen(task.random), shared)
        started += shared[Shared.STARTED]
        dropped[bool(shared[Shared.DROPPED])] += 1
        shutil.rmtree(root)
    found.notes = f"{started} trainings, {dropped[True]} of them dropped records and said so"
    return found


def _warm(root: Path, _found: Findings) -> None:
    """Whether everything can be done at all."""
    with mlops_sdk.start_run(tracking_uri=root / "warm", capture=False, system_metrics=False) as run:
        run.log_metric("loss", 0.5)
