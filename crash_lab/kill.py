"""G1: a record whose call returned is read back after the process died, however and whenever it died.

This process forks children; each logs known values and notes, in memory shared with us, what it logged after the call
returned. At a uniformly random instant, the creation of the journal included, it dies; then its journal is adopted.
"""

from __future__ import annotations

import itertools
import mmap
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from crash_lab.journals import (
    MODES,
    TINY,
    Record,
    Step,
    define_keys,
    keep_segments_small,
    mixed,
    open_journal,
    points_only,
    records_of,
    value,
    where_it_differs,
)
from crash_lab.report import Findings, Task
from mlops_sdk.journal import reader
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES
from mlops_sdk.journal.writer import Journal

LONGEST_LIFE_S = 0.010
EARLY = 0.2
"""Share of the children whose time runs from the fork, so that some die while their journal is made."""
N_THREADS = 3


class Acknowledged:
    """Counts of calls that returned, in memory that survives the child."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * (N_THREADS + 1))
        self._counts = memoryview(self._memory).cast("Q")  # one aligned store each

    def clear(self) -> None:
        """Before each trial."""
        for slot in range(N_THREADS + 1):
            self._counts[slot] = 0

    def begin(self) -> None:
        """The journal is there."""
        self._counts[N_THREADS] = 1

    @property
    def has_begun(self) -> bool:
        """Whether it is."""
        return bool(self._counts[N_THREADS])

    def set(self, slot: int, count: int) -> None:
        """So many calls have returned."""
        self._counts[slot] = count

    def counts(self) -> list[int]:
        """Per slot."""
        return self._counts.tolist()[:N_THREADS]


# -- what a child does -----------------------------------------------------------------------------------------------


def log_steps(journal: Journal, noted: Acknowledged, kind: Callable[[int], Step]) -> None:
    """One thread, for ever."""
    define_keys(journal)
    for number in itertools.count():
        kind(number).call(journal)
        noted.set(0, number + 1)


def log_beside_a_courier(journal: Journal, noted: Acknowledged) -> None:
    """Like the courier's thread: spares are prepared, and segments synced."""

    def keep_safe() -> None:
        while True:
            journal.prepare_spare()
            journal.sync()

    threading.Thread(target=keep_safe, daemon=True).start()
    log_steps(journal, noted, mixed)


def log_in_threads(journal: Journal, noted: Acknowledged) -> None:
    """Several threads, each with a key of its own."""

    def log(thread: int) -> None:
        key = f"thread {thread}"
        journal.define(key)
        for number in itertools.count():
            journal.point(key, value(number), number)
            noted.set(thread, number + 1)

    threads = [threading.Thread(target=log, args=(n,), daemon=True) for n in range(N_THREADS)]
    for thread in threads:
        thread.start()
    while True:  # awake now and then: a signal that another thread took has its Python handler run by this one
        time.sleep(0.002)


WORK: dict[str, Callable[[Journal, Acknowledged], None]] = {
    "points": partial(log_steps, kind=points_only),
    "mixed": partial(log_steps, kind=mixed),
    "courier": log_beside_a_courier,
    "threads": log_in_threads,
}


# -- how it dies -----------------------------------------------------------------------------------------------------


def send(number: signal.Signals) -> Callable[[int], None]:
    """Killed by a signal from outside."""
    return lambda pid: os.kill(pid, number)


WAYS: dict[str, tuple[Callable[[], object], Callable[[int], None]]] = {
    "SIGKILL": (lambda: None, send(signal.SIGKILL)),
    "SIGSEGV": (lambda: None, send(signal.SIGSEGV)),
    "abort": (lambda: signal.signal(signal.SIGUSR1, lambda *_: os.abort()), send(signal.SIGUSR1)),
    "_exit": (lambda: signal.signal(signal.SIGUSR1, lambda *_: os._exit(0)), send(signal.SIGUSR1)),
}
"""What the child sets up, and what its parent does."""


def start_child(root: Path, mode: str, work: str, way: str, noted: Acknowledged, *, is_tiny: bool) -> int:
    """Fork a child that logs until it dies; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        WAYS[way][0]()
        if is_tiny:
            keep_segments_small(HEADER_BYTES + 256 * SLOT_BYTES)
        journal = open_journal(root, mode, first_bytes=TINY)
        noted.begin()
        WORK[work](journal, noted)
    finally:
        os._exit(99)


def die(pid: int, way: str, life_s: float, noted: Acknowledged, *, is_early: bool) -> int:
    """End the child after `life_s`; returns how it ended, as `os.waitstatus_to_exitcode` does."""
    deadline = time.monotonic() + 10
    while not (is_early or noted.has_begun or time.monotonic() > deadline):
        time.sleep(0.0002)
    time.sleep(life_s)
    WAYS[way][1](pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# -- what is left ----------------------------------------------------------------------------------------------------


def check(found: Findings, records: list[Record], counts: list[int], work: str) -> None:
    """Everything acknowledged is there, bit for bit, in order, and at most one call more per thread."""
    if work != "threads":
        check_stream(found, records, counts[0], points_only if work == "points" else mixed)
        return
    for thread, count in enumerate(counts):
        key = f"thread {thread}"

        def kind(number: int, key: str = key) -> Step:
            plain = points_only(number)
            return Step(plain.call, [(key, *record[1:]) for record in plain.records])

        check_stream(found, [record for record in records if record[0] == key], count, kind)


def check_stream(found: Findings, records: list[Record], count: int, kind: Callable[[int], Step]) -> None:
    """Check one thread's records, `count` of whose calls returned."""
    acknowledged = [record for number in range(count) for record in kind(number).records]
    in_flight = kind(count).records
    found.expect(len(records) >= len(acknowledged), f"{len(acknowledged) - len(records)} acknowledged records are lost")
    too_many = len(records) - len(acknowledged) - len(in_flight)
    found.expect(too_many <= 0, f"{too_many} records more than were logged")
    differs = where_it_differs(records, acknowledged + in_flight)
    found.expect(differs is None, differs or "")


def read_back(found: Findings, root: Path) -> list[Record]:
    """Adopt what the child left, read it and remove it."""
    records: list[Record] = []
    for orphan in reader.orphans(root):
        found.expect(orphan.verdict == "lost:process", f"verdict {orphan.verdict}")
        try:
            records = records_of(orphan.recovered.batches(0))
        except AssertionError as error:
            found.expect(False, str(error))
        torn = [damage for damage in orphan.recovered.damage if "damaged record" not in damage.what]
        found.expect(not torn, f"damage: {torn}")
        orphan.recovered.damage.clear()  # a record cut by the kill is no reason to keep the files
        orphan.remove()
        orphan.close()
    found.expect(reader.writers(root) == [], "a dead writer's journal could not be adopted")
    for hidden in root.iterdir():
        shutil.rmtree(hidden, ignore_errors=True)
    return records


def run(task: Task, mode: str, ways: tuple[str, ...]) -> Findings:
    """One child per trial."""
    found, noted = Findings(), Acknowledged()
    total = without_journal = 0
    expected_ends = {-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGUSR1, 0}
    for number in range(task.trials):
        found.trials += 1
        work, way = task.random.choice(list(WORK)), ways[number % len(ways)]
        noted.clear()
        is_tiny = task.random.random() < 0.5
        pid = start_child(task.root, mode, work, way, noted, is_tiny=is_tiny)
        life_s, is_early = task.random.uniform(0, LONGEST_LIFE_S), task.random.random() < EARLY
        end = die(pid, way, life_s, noted, is_early=is_early)
        found.expect(end in expected_ends, f"the child ended with {end} before it was killed")
        counts = noted.counts()
        total += sum(counts)
        records = read_back(found, task.root)
        without_journal += not records
        check(found, records, counts, work)
    found.notes = f"{total:,} calls acknowledged, {without_journal} children died before the first"
    return found


def mapped(task: Task) -> Findings:
    """SIGKILL, mapped journal."""
    return run(task, "mapped", ("SIGKILL",))


def appended(task: Task) -> Findings:
    """SIGKILL, appended journal."""
    return run(task, "appended", ("SIGKILL",))


def other_deaths(task: Task) -> Findings:
    """SIGSEGV, abort() and os._exit, both modes."""
    parts = [Task(task.trials // 2, task.random, task.root) for _ in MODES]
    both = [run(part, mode, ("SIGSEGV", "abort", "_exit")) for part, mode in zip(parts, MODES, strict=True)]
    return Findings(
        sum(part.trials for part in both),
        [violation for part in both for violation in part.violations],
        "; ".join(part.notes for part in both),
    )
