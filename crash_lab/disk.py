"""G10: a disk that fills up and is freed again, over and over, while a process logs as fast as it can.

No SIGBUS, no damage, no gap in what is kept; logging goes on by itself; and every record is either read back or counted
as dropped, exactly, also after SIGKILL.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from crash_lab.isolated import in_child
from crash_lab.journals import MODES, keep_segments_small, open_journal
from crash_lab.mounts import tmpfs
from crash_lab.report import Findings, Task
from mlops_sdk.journal import reader
from mlops_sdk.journal.records import Batch, Kind, decode
from mlops_sdk.journal.writer import Journal, JournalFullError

SIZE = "4m"
CYCLES_PER_CHILD = 20
MOST_CALLS = 4_000_000
SEVERAL = 5
"""Slots of every fiftieth call: all of them are kept, or none."""
RESUME_S = 5.0
NOTICE_S = 60.0
"""A busy machine takes a while to fill the segments that are there already."""
KEPT, DROPPED = 1, 2


class Ledger:
    """What became of each call, in memory that survives the child."""

    def __init__(self) -> None:
        self.outcomes = mmap.mmap(-1, MOST_CALLS)
        self.seen = mmap.mmap(-1, MOST_CALLS)
        self._numbers = memoryview(mmap.mmap(-1, 24)).cast("Q")

    @property
    def calls(self) -> int:
        """Calls that returned."""
        return self._numbers[0]

    @calls.setter
    def calls(self, count: int) -> None:
        self._numbers[0] = count

    @property
    def delivered(self) -> int:
        """Sequence number up to which the records were taken over."""
        return self._numbers[1]

    @delivered.setter
    def delivered(self, sequence: int) -> None:
        self._numbers[1] = sequence

    @property
    def announced(self) -> int:
        """The highest count of dropped slots that a record said."""
        return self._numbers[2]

    def take(self, batch: Batch) -> None:
        """Tick off what a batch holds."""
        decoded = decode(batch)
        for step in decoded.points.step:
            self.seen[int(step)] += 1
        for event in decoded.events:
            if event.kind == Kind.DROPPED:
                self._numbers[2] = max(self._numbers[2], event.payload["total"])
        self.delivered = batch.last


def slots(call: int) -> int:
    """How many slots a call takes."""
    return SEVERAL if call % 50 == 0 else 1


def log(journal: Journal, call: int) -> int:
    """One call; returns what became of it."""
    try:
        if slots(call) == 1:
            journal.point("k0", 0.5, call)
        else:
            journal.points({f"k{n}": 0.5 for n in range(SEVERAL)}, call)
    except JournalFullError:
        return DROPPED
    return KEPT


def child(root: Path, mode: str, ledger: Ledger, seed: float) -> None:
    """Log until told to stop (SIGTERM), and deliver now and then as the courier would."""
    choose, is_over = random.Random(seed), []
    signal.signal(signal.SIGTERM, lambda *_: is_over.append(True))
    keep_segments_small(choose.choice((64, 64, 256, 4096)) << 10)
    journal = open_journal(root, mode, first_bytes=64 << 10)
    for n in range(SEVERAL):
        journal.define(f"k{n}")
    for call in itertools.count():
        ledger.outcomes[call] = log(journal, call)
        ledger.calls = call + 1
        if is_over or call + 2 >= MOST_CALLS:
            break
        if call % 100 == 0:
            time.sleep(0.0005)
        if choose.random() < 0.0005:
            keep_house(journal, ledger)
    keep_house(journal, ledger)
    os._exit(0 if journal.last == ledger.delivered else 3)


def keep_house(journal: Journal, ledger: Ledger) -> None:
    """What the courier does each second."""
    journal.retry_room()
    for step in (journal.prepare_spare, journal.sync):
        with contextlib.suppress(OSError):
            step()
    while batch := journal.batch_after(ledger.delivered):
        ledger.take(batch)
    journal.release(ledger.delivered)


# -- the other side --------------------------------------------------------------------------------------------------


def fill(path: Path) -> None:
    """Take all the space that is left."""
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


def wait_for(
    outcome: int, ledger: Ledger, pid: int, meanwhile: Callable[[], object] = bool, limit_s: float = RESUME_S
) -> bool:
    """Whether a call with that outcome came in time.

    Raises
    ------
    ChildProcessError
        If the process is gone.
    """
    start, deadline = ledger.calls, time.monotonic() + limit_s
    while time.monotonic() < deadline:
        calls = ledger.calls
        if ledger.outcomes.find(bytes([outcome]), start, calls) >= 0:
            return True
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            raise ChildProcessError
        meanwhile()
        time.sleep(0.002)
    return False


def _cycles(found: Findings, disk: Path, mode: str, cycles: int, seed: float) -> None:
    choose, ledger = random.Random(seed), Ledger()
    (disk / "journals").mkdir()
    pid = os.fork()
    if pid == 0:
        try:
            child(disk / "journals", mode, ledger, choose.random())
        except BaseException:  # noqa: BLE001 - told on stderr, and by the exit status
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(99)
    with contextlib.suppress(ChildProcessError):  # how it ended is looked at below
        wait_for(KEPT, ledger, pid)
        for _ in range(cycles):
            found.trials += 1
            _cycle(found, disk / "filler", ledger, pid, choose)
    is_killed = choose.random() < 0.5
    os.kill(pid, signal.SIGKILL if is_killed else signal.SIGTERM)
    end = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    found.expect(
        end == (-signal.SIGKILL if is_killed else 0), "SIGBUS" if end == -signal.SIGBUS else f"ended with {end}"
    )
    _balance(found, disk / "journals", ledger)


def _cycle(found: Findings, filler: Path, ledger: Ledger, pid: int, choose: random.Random) -> None:
    time.sleep(choose.uniform(0, 0.02))
    # Again and again: what is delivered frees room, which the journal uses.
    is_noticed = wait_for(DROPPED, ledger, pid, lambda: fill(filler), NOTICE_S)
    found.expect(is_noticed, "a full disk was not noticed")
    time.sleep(choose.uniform(0, 0.01))
    filler.unlink()
    found.expect(wait_for(KEPT, ledger, pid), f"logging did not go on within {RESUME_S} s of free space")


def _balance(found: Findings, root: Path, ledger: Ledger) -> None:
    """Every call was kept whole or is counted; one that did not return may be either."""
    in_header = 0
    for orphan in reader.orphans(root):
        for batch in orphan.recovered.batches(ledger.delivered):
            ledger.take(batch)
        found.expect(not orphan.recovered.damage, f"damage: {orphan.recovered.damage}")
        in_header = orphan.recovered.dropped
        orphan.close()
    calls = ledger.calls
    kept_wrong = [c for c in range(calls) if ledger.seen[c] != (slots(c) if ledger.outcomes[c] == KEPT else 0)]
    found.expect(not kept_wrong, f"{len(kept_wrong)} calls kept in part or not as told, the first {kept_wrong[:3]}")
    found.expect(ledger.seen[calls] in (0, slots(calls)), "the call in flight was kept in part")
    dropped = sum(slots(c) for c in range(calls) if ledger.outcomes[c] == DROPPED)
    counted, in_flight = max(in_header, ledger.announced), 0 if ledger.seen[calls] else slots(calls)
    found.expect(dropped <= counted <= dropped + in_flight, f"{dropped} slots dropped, {counted} counted")
    found.notes = f"{calls:,} calls, {dropped:,} slots dropped and counted"


def run(task: Task, mode: str) -> Findings:
    """Fill and free a tmpfs; each trial is one cycle."""
    found = Findings()
    while found.trials < task.trials and not found.violations:
        cycles = min(CYCLES_PER_CHILD, task.trials - found.trials)
        with tmpfs(task.root / "disk", size=SIZE) as disk:
            work = partial(_cycles, disk=disk, mode=mode, cycles=cycles, seed=task.random.random())
            in_child(work, found, limit_s=NOTICE_S + cycles * 2 * RESUME_S)
        (task.root / "disk").rmdir()
    return found


def mapped(task: Task) -> Findings:
    """In a mapped journal, where a store to a page without a block is a SIGBUS."""
    return run(task, MODES[0])


def appended(task: Task) -> Findings:
    """In an appended journal, where a write may be cut short."""
    return run(task, MODES[1])
