"""G2: after a power cut everything is there that was logged before the last `flush()` returned, or a second earlier.

The power cut is the kernel's own: the ioctl FS_IOC_SHUTDOWN on an ext4 that lies in a file drops all that was not brought
to the disk, pages of mappings included; mounting it again replays the file system's journal, as after a real one. xfstests
does its sudden-shutdown tests this way.

A child trains in that file system: it logs, and flushes now and then. At a random instant the power goes. What is found
afterwards must be an unbroken prefix, bit for bit, that reaches at least to where it was promised.

References
----------
.. [1] https://git.kernel.org/pub/scm/fs/xfs/xfstests-dev.git, ``src/godown.c``
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import mlops_sdk
from crash_lab.isolated import in_child
from crash_lab.report import Findings, SkipError, Task

SHUTDOWN = 0x8004587D
DROP_EVERYTHING, _KEEP_THE_LOG = 2, 1
_IMAGE_BYTES = 96 << 20
_LATE_S = 1.0
"""What was logged longer ago than this is promised without a flush..."""
_SLACK_S = 1.0
"""... and so much later on a machine that is busy."""
_DETACH_S = 30.0
_LONG_EVERY = 5
"""Every so many trials the child lives long enough for the promise without a flush to bind."""
_OPTIONS = ("data=ordered", "data=writeback", "data=ordered,nobarrier")


class _Told:
    """What the child was told is safe, in memory that survives it."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, 16)).cast("Q")

    def clear(self) -> None:
        self._counts[0] = self._counts[1] = 0

    @property
    def logged(self) -> int:
        return int(self._counts[0])

    @logged.setter
    def logged(self, count: int) -> None:
        self._counts[0] = count

    @property
    def flushed(self) -> int:
        return int(self._counts[1])

    @flushed.setter
    def flushed(self, count: int) -> None:
        self._counts[1] = count


def run(task: Task) -> Findings:
    """Cut the power `task.trials` times."""
    found, told = Findings(), _Told()
    image, point = task.root / "disk.img", task.root / "disk"
    make_image(image)
    point.mkdir()
    promised = 0
    for trial in range(1, task.trials + 1):
        told.clear()
        is_long = trial % _LONG_EVERY == 0
        life_s = task.random.uniform(2.2, 2.8) if is_long else task.random.uniform(0.0, 0.3)
        mode, options = task.random.choice(("mmap", "append")), task.random.choice(_OPTIONS)
        flag = task.random.choice((DROP_EVERYTHING, DROP_EVERYTHING, _KEEP_THE_LOG))
        store = point / f"store{trial}"
        with mounted(image, point, options):
            least = _train_and_cut(store, told, mode, life_s, flag)
        with mounted(image, point, options):
            before = len(found.violations)
            in_child(partial(_read, store, least), found, limit_s=60)  # counts the trial
            shutil.rmtree(store, ignore_errors=True)
        found.violations[before:] = [f"{mode}, {options}: {each}" for each in found.violations[before:]]
        promised += least
    found.notes = f"{promised:,} records promised; ext4 in a file, mapped and appended"
    return found


def make_image(image: Path) -> None:
    """Make an ext4 in a file.

    Raises
    ------
    SkipError
        If the tools are missing.
    """
    if not all(map(shutil.which, ("mkfs.ext4", "mount", "losetup"))):
        raise SkipError("mkfs.ext4, mount or losetup is not there")
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-qF", image], check=True)


@contextlib.contextmanager
def mounted(image: Path, point: Path, options: str) -> Iterator[None]:
    """Mount it, and unmount it again, dead or alive.

    Raises
    ------
    SkipError
        If mounting is refused.
    """
    done = subprocess.run(["mount", "-o", f"loop,{options}", image, point], capture_output=True, text=True)
    if done.returncode:
        raise SkipError(f"mounting an ext4 is refused: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", point], check=True)
        _wait_until_detached(image)


def _wait_until_detached(image: Path) -> None:
    """A process that made a mount namespace of its own meanwhile keeps the file system mounted, dead as it is, until it ends.

    Mounting it again before that would give the dead one, or a second one over the same bytes.
    """
    deadline = time.monotonic() + _DETACH_S
    while subprocess.run(["losetup", "-j", image], capture_output=True, text=True, check=True).stdout:
        if time.monotonic() > deadline:
            raise SkipError("another process keeps the file system mounted in a namespace of its own")
        time.sleep(0.01)


def _train_and_cut(store: Path, told: _Told, mode: str, life_s: float, flag: int) -> int:
    """Returns how many records were promised when the power went."""
    disk = os.open(store.parent, os.O_RDONLY)
    pid = os.fork()
    if pid == 0:
        os.close(disk)
        _train(store, told, mode)
    seen: list[tuple[float, int]] = []
    end = time.monotonic() + life_s
    while (now := time.monotonic()) < end:
        seen.append((now, told.logged))
        time.sleep(0.005)
    flushed = told.flushed
    cut = time.monotonic()
    fcntl.ioctl(disk, SHUTDOWN, struct.pack("I", flag))
    os.close(disk)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    old = max((count for at, count in seen if at < cut - _LATE_S - _SLACK_S), default=0)
    return max(flushed, old)


def _train(store: Path, told: _Told, mode: str) -> None:
    """In the child; never returns."""
    os.environ["MLOPS_JOURNAL"] = mode
    try:
        run = mlops_sdk.start_run(tracking_uri=store, run_id="r", capture=False, system_metrics=False)
        number = 0
        while True:
            for _ in range(200):
                run.log_metric("loss", number / 3, step=number)
                number += 1
                told.logged = number
            if number % 1000 == 0:
                run.flush()
                told.flushed = number
            time.sleep(0.002)
    finally:  # the disk is gone: nothing of ours may try to tidy up
        os._exit(1)


def _read(store: Path, least: int, found: Findings) -> None:
    found.trials = 1
    try:
        view = mlops_sdk.get_run("r", tracking_uri=store)
        series = view.metric("loss") if "loss" in view.metrics else None
    except mlops_sdk.MlopsError as error:
        is_fine = least == 0 and isinstance(error, mlops_sdk.NotFoundError | mlops_sdk.StoreUnavailableError)
        found.expect(is_fine, f"{least} records promised: {error}")
        return
    steps, values = (series.step.tolist(), series.value.tolist()) if series is not None else ([], [])
    found.expect(steps == list(range(len(steps))), f"{len(steps)} records are not an unbroken prefix")
    found.expect(values == [step / 3 for step in steps], "a value that was never logged")
    found.expect(len(steps) >= least, f"{len(steps)} records of {least} promised")
    problems = mlops_sdk.open_store(store).fsck()  # type: ignore[attr-defined]
    found.expect(not problems, f"fsck: {problems[:1]}")
