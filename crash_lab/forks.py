"""G9: forks at any instant, from any thread, while threads log and the courier works: no hang, no record mixed.

Every child finds its parent's journal closed to it, logs to one of its own, delivers it, and may fork again. The ending
of a parent's journal in a child must not touch the parent's files.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from crash_lab.isolated import in_child
from crash_lab.journals import (
    MODES,
    Record,
    Sink,
    bits,
    keep_segments_small,
    open_journal,
    recovered_records,
    value,
)
from crash_lab.report import Findings, Task
from mlops_sdk.courier.courier import courier
from mlops_sdk.journal import reader
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES, Kind
from mlops_sdk.journal.writer import Journal, JournalAbandonedError

N_THREADS = 4
PER_CHILD = 20
BATCH = 100
HANG_S = 20


class Loggers:
    """Threads that log to one journal until they are stopped."""

    def __init__(self, journal: Journal) -> None:
        self.counts = [0] * N_THREADS
        self._journal = journal
        self._is_over = False
        self._threads = [threading.Thread(target=self._log, args=(n,)) for n in range(N_THREADS)]
        for number in range(N_THREADS):
            journal.define(f"thread {number}")
        for thread in self._threads:
            thread.start()

    def _log(self, thread: int) -> None:
        key = f"thread {thread}"
        while not self._is_over:
            for _ in range(20):
                number = self.counts[thread]
                self._journal.point(key, value(number), number)
                self.counts[thread] = number + 1
            time.sleep(0.002)

    def stop(self) -> None:
        """Wait for their end."""
        self._is_over = True
        for thread in self._threads:
            thread.join()

    def check(self, found: Findings, records: list[Record]) -> None:
        """Every thread's points are there once and in order, and nothing else is but heartbeats."""
        records = [each for each in records if each[0] != Kind.HEARTBEAT]
        for thread, count in enumerate(self.counts):
            key = f"thread {thread}"
            expected = [(key, number, bits(value(number))) for number in range(count)]
            found.expect([each for each in records if each[0] == key] == expected, f"{key}: not what was logged")
        found.expect(len(records) == sum(self.counts), f"{len(records)} records, {sum(self.counts)} were logged")


# -- the child -------------------------------------------------------------------------------------------------------


def _child(theirs: Journal, root: Path, mode: str, depth: int, how: int) -> int:
    """What a forked child does; returns its exit status."""
    signal.alarm(HANG_S)
    key = next(iter(theirs._ids))
    calls: list[Callable[[], object]] = [
        lambda: theirs.point(key, 6.66, 0),
        lambda: theirs.points({key: 6.66}, 0),
        lambda: theirs.event(Kind.TAGS, {}),
        lambda: theirs.define("new"),
    ]
    for call in calls:
        try:
            call()
        except JournalAbandonedError:
            continue
        return 2
    for end in ((), (theirs.close,), (theirs.leave,), (theirs.remove,), (partial(theirs.release, 10**9),))[how % 5]:
        end()
    mine, sink = open_journal(root, mode), Sink()
    mine.define("child")
    for number in range(PER_CHILD):
        mine.point("child", value(number), number)
    grandchild = fork(mine, root, mode, depth - 1, how // 5) if depth else None
    route = courier().add(mine, [sink])
    if not courier().deliver(route, HANG_S / 2) or sink.records(mine.writer_id) != child_records():
        return 3
    if grandchild is not None and os.waitpid(grandchild, 0)[1] != 0:
        return 4
    mine.leave()
    return 0


def child_records() -> list[Record]:
    """What each child logs."""
    return [("child", number, bits(value(number))) for number in range(PER_CHILD)]


def fork(theirs: Journal, root: Path, mode: str, depth: int, how: int) -> int:
    """Fork a child; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = _child(theirs, root, mode, depth, how)
    finally:
        os._exit(status)


# -- the parent ------------------------------------------------------------------------------------------------------


def _parent(found: Findings, root: Path, mode: str, forks: int, seed: str) -> None:
    """Threads log, and two of the process's threads fork."""
    keep_segments_small(HEADER_BYTES + 512 * SLOT_BYTES)
    choose, sink = random.Random(seed), Sink()
    (root / "parent").mkdir(parents=True)
    (root / "children").mkdir()
    courier().period_s = 0.005
    journal = open_journal(root / "parent", mode)
    route = courier().add(journal, [sink])
    loggers = Loggers(journal)
    ends: list[int] = []

    def fork_some(count: int, mine: random.Random) -> None:
        for _ in range(count):
            time.sleep(mine.uniform(0, 0.003))
            depth = int(mine.random() < 0.2)
            pid = fork(journal, root / "children", mode, depth, mine.randrange(25))
            ends.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    other = threading.Thread(target=fork_some, args=(forks // 3, random.Random(choose.random())))
    other.start()
    fork_some(forks - forks // 3, choose)
    other.join()
    loggers.stop()
    found.trials += len(ends)
    for end in ends:
        found.expect(end == 0, "a child hung" if end == -signal.SIGALRM else f"a child ended with {end}")
    found.expect(courier().deliver(route, HANG_S), "the parent's records could not be delivered")
    loggers.check(found, sink.records(journal.writer_id))
    _check_children(found, root / "children")
    found.expect(journal.directory.is_dir(), "a child removed its parent's journal")


def _check_children(found: Findings, root: Path) -> None:
    for directory in reader.writers(root):
        found.expect(recovered_records(directory) == child_records(), f"{directory.name}: not what the child logged")


def while_threads_log(task: Task) -> Findings:
    """Plain forks, both modes."""
    found, number = Findings(), 0
    while found.trials < task.trials and not found.violations:
        root, mode = task.root / str(number), MODES[number % 2]
        forks = min(BATCH, task.trials - found.trials)
        seed = f"{task.random.random()} {number}"
        in_child(partial(_parent, root=root, mode=mode, forks=forks, seed=seed), found, limit_s=BATCH * HANG_S)
        shutil.rmtree(root, ignore_errors=True)
        number += 1
    return found


# -- multiprocessing -------------------------------------------------------------------------------------------------


def work(theirs: Journal | None, root: Path, mode: str) -> None:
    """In a worker process: log to a journal of its own."""
    if theirs is not None and not theirs.is_abandoned:
        raise AssertionError("the parent's journal is open in a worker")
    mine = open_journal(root, mode)
    mine.define("child")
    for number in range(PER_CHILD):
        mine.point("child", value(number), number)
    mine.leave()


def _workers(found: Findings, root: Path, count: int) -> None:
    (root / "parent").mkdir()
    (root / "children").mkdir()
    journal, sink = open_journal(root / "parent", "mapped"), Sink()
    route = courier().add(journal, [sink])
    loggers = Loggers(journal)
    methods = multiprocessing.get_all_start_methods()
    for number in range(count):
        found.trials += 1
        method = methods[number % len(methods)]
        theirs = journal if method == "fork" else None  # a journal cannot be pickled
        context: Any = multiprocessing.get_context(method)
        process = context.Process(target=work, args=(theirs, root / "children", MODES[number % 2]))
        process.start()
        process.join(HANG_S)
        found.expect(process.exitcode == 0, f"{method}: ended with {process.exitcode}")
        if process.exitcode is None:
            process.kill()
    loggers.stop()
    found.expect(courier().deliver(route, HANG_S), "the parent's records could not be delivered")
    loggers.check(found, sink.records(journal.writer_id))
    children = reader.writers(root / "children")
    found.expect(len(children) == count, f"{len(children)} journals of {count} workers")
    _check_children(found, root / "children")
    found.notes = ", ".join(methods)


def workers(task: Task) -> Findings:
    """Processes of multiprocessing, by every start method, while threads log."""
    found = Findings()
    in_child(partial(_workers, root=task.root, count=task.trials), found, limit_s=60 + task.trials * 5)
    return found
