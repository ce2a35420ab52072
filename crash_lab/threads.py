"""Eight threads through roll-overs: every record exactly once, in the order of its thread."""

from __future__ import annotations

import sys
import threading
from functools import partial
from pathlib import Path

from crash_lab.isolated import in_child
from crash_lab.journals import MODES, bits, keep_segments_small, open_journal, records_of, value
from crash_lab.report import Findings, Task
from crash_lab.signals import SEGMENT, Taker

N_THREADS = 8
BATCH = 500
HANG_S = 120


def _threads(found: Findings, root: Path, mode: str, rolls: int) -> None:
    sys.setswitchinterval(1e-5)
    keep_segments_small(SEGMENT)
    journal = open_journal(root, mode, first_bytes=SEGMENT)
    taker, rolled, counts = Taker(journal), [0], [0] * N_THREADS
    journal.on_roll(lambda: rolled.__setitem__(0, rolled[0] + 1))

    def log(thread: int) -> None:
        key = f"thread {thread}"
        while rolled[0] < rolls:
            number = counts[thread]
            journal.define(key)
            journal.point(key, value(number), number)
            counts[thread] = number + 1

    threads = [threading.Thread(target=log, args=(n,)) for n in range(N_THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        journal.prepare_spare()
        taker.take()
    taker.take()
    records = records_of(taker.batches)
    for number, count in enumerate(counts):
        key = f"thread {number}"
        expected = [(key, number, bits(value(number))) for number in range(count)]
        found.expect([each for each in records if each[0] == key] == expected, f"{key}: not what was logged")
    found.expect(len(records) == sum(counts), f"{len(records)} records of {sum(counts)}")
    found.trials += rolled[0]
    found.notes = f"{sum(counts):,} records in the last process"
    journal.remove()


def run(task: Task) -> Findings:
    """Each trial is one roll-over."""
    found, number = Findings(), 0
    while found.trials < task.trials and not found.violations:
        root, mode = task.root / str(number), MODES[number % 2]
        root.mkdir()
        some = min(BATCH, task.trials - found.trials)
        in_child(partial(_threads, root=root, mode=mode, rolls=some), found, limit_s=HANG_S)
        number += 1
    return found
