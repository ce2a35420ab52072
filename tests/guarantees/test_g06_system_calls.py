"""G6: every call to the operating system fails at its n-th use, once and from then on; nothing reaches the program."""

from __future__ import annotations

import builtins
import errno
import logging
import mmap
import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import mlops_sdk
from mlops_sdk import MlopsError
from tests.guarantees import processes
from tests.guarantees.every_call import QUICK, QUIET, call_all

NAMES = [
    name
    for name in [
        "open",
        "write",
        "pread",
        "lseek",
        "fstat",
        "stat",
        "lstat",
        "rename",
        "replace",
        "link",
        "unlink",
        "mkdir",
        "rmdir",
        "fsync",
        "fdatasync",
        "posix_fallocate",
        "ftruncate",
        "scandir",
        "listdir",
        "utime",
        "chmod",
        "fchmod",
        "access",
        "copy_file_range",
        "sendfile",
    ]
    if hasattr(os, name)
]
ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES]
_OURS = ("mlops_sdk.journal", "mlops_sdk.blobs", "mlops_sdk.run", "mlops_sdk.courier", "mlops_sdk.stores")
_DEEP = 6


class Injector:
    """Counts the calls that come from our modules, and has the n-th of one name fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        self.plan: tuple[str, int, int, bool] | None = None
        self.is_on = False
        self.failed = 0
        for name in NAMES:
            monkeypatch.setattr(os, name, self._watched(f"os.{name}", getattr(os, name)))
        monkeypatch.setattr(builtins, "open", self._watched("open", builtins.open))
        monkeypatch.setattr(mmap, "mmap", self._watched("mmap", mmap.mmap))

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.is_on and _is_from_us():
                self.counts[name] += 1
                if self.plan is not None and self._is_hit(name):
                    self.failed += 1
                    raise OSError(self.plan[2], f"{os.strerror(self.plan[2])} (injected into {name})")
            return real(*arguments, **options)

        return call

    def _is_hit(self, name: str) -> bool:
        assert self.plan is not None
        wanted, n, _, is_persistent = self.plan
        return name == wanted and (self.counts[name] == n or (is_persistent and self.counts[name] > n))


def _is_from_us() -> bool:
    frame = sys._getframe(2)
    for _ in range(_DEEP):
        if frame.f_globals.get("__name__", "").startswith(_OURS):
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False


def _session(place: Path, injector: Injector) -> int:
    """A run in which everything happens: roll-overs, every call, deliveries, an end; returns the calls made."""
    run = mlops_sdk.start_run(tracking_uri=place / "store", **QUIET)
    injector.counts.clear()
    injector.failed, injector.is_on = 0, True
    try:
        n_calls = call_all(run, place / "files", QUICK)
        for step in range(3_000):
            run.log_metric("loss", 0.5, step=step)
        with suppress(MlopsError):
            run.flush(5.0)
        n_calls += 3_000 + call_all(run, place / "files", ["log_metric", "log_text", "set_tag"])
        run.finish()
    finally:
        injector.is_on = False
    return n_calls


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the calls are those of POSIX")
@pytest.mark.parametrize("journal", ["mmap", "append"])
def test_no_failing_system_call_reaches_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, journal: str
) -> None:
    monkeypatch.setenv("MLOPS_JOURNAL", journal)
    caplog.set_level(logging.CRITICAL, "mlops_sdk")
    uncaught: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: uncaught.append(f"{args.thread}: {args.exc_value!r}"))
    injector = Injector(monkeypatch)
    _session(tmp_path / "plain", injector)
    reached = dict(injector.counts)
    raised, n_sessions, n_calls, n_failed = [], 0, 0, 0
    for name, uses in sorted(reached.items()):
        for n in sorted({1, 2, 5, 13, max(1, uses // 2), uses}):
            if n > uses:
                continue
            injector.plan = (name, n, ERRORS[n_sessions % 3], n_sessions % 2 == 0)
            try:
                n_calls += _session(tmp_path / str(n_sessions), injector)
            except Exception as error:  # noqa: BLE001 - collected, and asserted below
                raised.append(f"{injector.plan}: {type(error).__name__}: {error}")
                mlops_sdk.end_run()
            shutil.rmtree(tmp_path / str(n_sessions), ignore_errors=True)
            n_sessions += 1
            n_failed += injector.failed
    assert raised == []
    assert uncaught == []
    assert n_failed > n_sessions / 2
    print(f"G6 system calls ({journal}): {n_sessions} sessions, {n_failed} failures, {n_calls} calls, 0 exceptions")


_NO_DESCRIPTOR = """
import os, resource, sys, threading
from pathlib import Path
import joblib, matplotlib.figure, numpy  # what the calls are given
import mlops_sdk
from tests.guarantees import processes
from tests.guarantees.every_call import CALLS, QUIET, a_file, a_tree, call_all
files = Path(sys.argv[1]) / "files"
a_file(files), a_tree(files)
uncaught = []
threading.excepthook = lambda args: uncaught.append(args.exc_value)
run = mlops_sdk.start_run(tracking_uri=Path(sys.argv[1]) / "store", run_id="r", **QUIET)
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
print(call_all(run, files, [name for name in CALLS if "artifact" not in name]))
refs = [run.log_artifact(files / "report.txt"), run.log_artifacts(files / "tree")]
assert not any(refs), refs
for step in range(5_000):
    run.log_metric("loss", step / 3, step=step)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
run.finish()
dropped = run.health()["dropped"]
assert dropped or mlops_sdk.get_run("r", tracking_uri=Path(sys.argv[1]) / "store").summary("loss").count > 5_000
assert not uncaught, uncaught
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the limit is POSIX's")
def test_a_process_without_a_descriptor_left_trains_on(tmp_path: Path) -> None:
    """In a fresh interpreter: modules that are loaded when they are first used cannot be read either."""
    done = processes.run(_NO_DESCRIPTOR, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
