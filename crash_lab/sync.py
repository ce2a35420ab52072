"""G2, G11: what `sync` called durable survives a power cut, whichever sync of a file or directory fails, once or for good.

The disk is simulated: it has what was synced, and nothing else. A sync that fails makes it forget, as Linux does: the
pages count as clean, so that a later sync of the same file succeeds without writing them.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from crash_lab.journals import (
    MODES,
    Record,
    Step,
    define_keys,
    mixed,
    open_journal,
    recovered_records,
    where_it_differs,
)
from crash_lab.report import Findings, Task
from mlops_sdk.journal import reader
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES
from mlops_sdk.journal.writer import Journal

ROUNDS = 12
PER_ROUND = 40
SEGMENT = HEADER_BYTES + 48 * SLOT_BYTES


@dataclass
class Disk:
    """What would be there after a power cut.

    Attributes
    ----------
    fails : range
        Which syncs fail, by their number.
    contents : dict of int to bytes
        Of each inode, as of its last sync.
    names : dict of str to int
        Entries of the writer's directory, as of its last sync.
    """

    fails: range
    syncs: int = 0
    contents: dict[int, bytes] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    _forgotten: set[int] = field(default_factory=set)
    _held: list[int] = field(default_factory=list)

    def sync(self, fd: int) -> None:
        """Stands for fsync(2) and fdatasync(2)."""
        self.syncs += 1
        path, inode = os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd).st_ino
        if os.path.isdir(path):
            self._sync_directory(Path(path))
            return
        if inode not in self._forgotten and inode not in self.contents:
            self._held.append(os.dup(fd))  # so that no other file gets the number
        if self.syncs in self.fails:
            self._forgotten.add(inode)
            raise OSError(errno.EIO, "Input/output error")
        if inode not in self._forgotten:
            self.contents[inode] = Path(path).read_bytes()

    def _sync_directory(self, path: Path) -> None:
        if self.syncs in self.fails:
            raise OSError(errno.EIO, "Input/output error")
        self.names = {entry.name: entry.inode() for entry in os.scandir(path) if entry.name.endswith(".seg")}

    def write_to(self, directory: Path) -> None:
        """Have what survived in `directory`."""
        directory.mkdir(parents=True)
        for name, inode in self.names.items():
            (directory / name).write_bytes(self.contents.get(inode, b""))

    def close(self) -> None:
        """Let go of the files."""
        for fd in self._held:
            os.close(fd)


@contextmanager
def standing_for(disk: Disk) -> Iterator[None]:
    """Have `os.fsync` and `os.fdatasync` go to `disk`."""
    with mock.patch.object(os, "fsync", disk.sync), mock.patch.object(os, "fdatasync", disk.sync, create=True):
        yield


def _log(journal: Journal, numbers: Iterator[int], said: list[Record]) -> None:
    for number in itertools.islice(numbers, PER_ROUND):
        step: Step = mixed(number)
        step.call(journal)
        said += step.records


def _workload(found: Findings, journal: Journal, choose: random.Random) -> tuple[list[Record], int]:
    """Log and sync in turn; returns what was said, and how many of these records were called durable."""
    said: list[Record] = []
    durable, numbers = 0, itertools.count()
    define_keys(journal)
    for _ in range(ROUNDS):
        _log(journal, numbers, said)
        if choose.random() < 0.3:
            journal.prepare_spare()
        try:
            journal.sync()
        except OSError:
            found.expect(journal.sync_error is not None, "the error was not kept")
            continue
        durable = len(said)
    return said, durable


def _trial(found: Findings, root: Path, mode: str, fails: range, seed: str) -> int:
    """One run and one power cut; returns how many syncs there were."""
    journal, disk = open_journal(root, mode, first_bytes=SEGMENT), Disk(fails)
    with standing_for(disk):
        said, durable = _workload(found, journal, random.Random(seed))
    survived = root / "after the cut" / journal.writer_id
    disk.write_to(survived)
    what = f"{mode}, syncs {fails.start} to {min(fails.stop - 1, disk.syncs)} of {disk.syncs} failed"
    differs = where_it_differs(recovered_records(journal.directory), said)
    found.expect(differs is None, f"{what}: in memory {differs}")
    after = recovered_records(survived) if reader.recover(survived).segments else []
    differs = where_it_differs(after, said)
    found.expect(differs is None, f"{what}: after the cut {differs}")
    found.expect(len(after) >= durable, f"{what}: {durable} records were called durable, {len(after)} survived")
    journal.remove()
    disk.close()
    shutil.rmtree(root / "after the cut")
    return disk.syncs


def run(task: Task) -> Findings:
    """Every sync of a run fails once, then that one and all behind it; each trial is one of these."""
    found, times = Findings(), 0
    while found.trials < task.trials:
        times += 1
        seed = str(task.random.random())
        for mode, is_persistent in itertools.product(MODES, (False, True)):
            number, last = 1, 1
            while number <= last + 1 and found.trials < task.trials:
                found.trials += 1
                fails = range(number, 10**9 if is_persistent else number + 1)
                last = max(last, _trial(found, task.root, mode, fails, seed))
                number += 1
    found.notes = f"{times} workloads, each until no sync of it was left to fail"
    return found
