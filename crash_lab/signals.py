"""Signal handlers that log, and Ctrl-C, at random instants through roll-overs: nothing lost, doubled or stuck."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from crash_lab.isolated import in_child
from crash_lab.journals import (
    MODES,
    Record,
    bits,
    exponential,
    keep_segments_small,
    open_journal,
    records_of,
    value,
)
from crash_lab.report import Findings, Task
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES, Batch, Kind
from mlops_sdk.journal.writer import Journal

SEGMENT = HEADER_BYTES + 16 * SLOT_BYTES
DELIVER_EVERY = 40
"""Segments, so that descriptors do not run out."""
MEAN_S = 0.0003
BATCH = 500
HANG_S = 120


class Taker:
    """Takes over what a journal holds, and has it release the segments."""

    def __init__(self, journal: Journal) -> None:
        self.batches: list[Batch] = []
        self._journal = journal

    @property
    def last(self) -> int:
        """Sequence number of the last record taken."""
        return self.batches[-1].last if self.batches else 0

    def take(self) -> None:
        """Everything there is."""
        while batch := self._journal.batch_after(self.last):
            self.batches.append(batch)
        self._journal.release(self.last)


@contextlib.contextmanager
def timer(handler: Callable[[], object], choose: random.Random) -> Iterator[None]:
    """Have `handler` run in the main thread again and again, after random times."""

    is_over: list[bool] = []

    def rearm(*_: object) -> None:
        if is_over:  # it was on its way when the timer was stopped
            return
        try:
            handler()
        finally:
            signal.setitimer(signal.ITIMER_REAL, exponential(choose, MEAN_S) + 1e-5)

    signal.signal(signal.SIGALRM, rearm)
    signal.setitimer(signal.ITIMER_REAL, MEAN_S)
    try:
        yield
    finally:
        is_over.append(True)
        signal.setitimer(signal.ITIMER_REAL, 0)


# -- a handler that logs ---------------------------------------------------------------------------------------------


def _handler(found: Findings, root: Path, mode: str, rolls: int, seed: float) -> None:
    keep_segments_small(SEGMENT)
    journal = open_journal(root, mode, first_bytes=SEGMENT)
    for key in ("main", "handler"):
        journal.define(key)
    taker, rolled = Taker(journal), [0]
    journal.on_roll(lambda: rolled.__setitem__(0, rolled[0] + 1))
    inside = itertools.count()
    logged = []

    def handler() -> None:
        number = next(inside)
        journal.point("handler", value(number), number)
        logged.append(number)

    main = 0
    with timer(handler, random.Random(seed)):
        while rolled[0] < rolls:
            journal.point("main", value(main), main)
            main += 1
            if len(journal._segments) > DELIVER_EVERY:
                taker.take()
    taker.take()
    records = records_of(taker.batches)
    for key, count in (("main", main), ("handler", len(logged))):
        expected = [(key, number, bits(value(number))) for number in range(count)]
        found.expect([each for each in records if each[0] == key] == expected, f"{key}: not what was logged")
    found.expect(len(records) == main + len(logged), f"{len(records)} records of {main + len(logged)}")
    found.trials += rolled[0]
    found.notes = f"{len(logged):,} records logged by handlers in the last process"
    journal.remove()


def handler_logs(task: Task) -> Findings:
    """SIGALRM handlers log while the main thread does; each trial is one roll-over."""
    return _in_parts(task, _handler)


def _in_parts(task: Task, work: Callable[..., None]) -> Findings:
    found, number = Findings(), 0
    while found.trials < task.trials and not found.violations:
        root, mode = task.root / str(number), MODES[number % 2]
        root.mkdir()
        some = min(BATCH, task.trials - found.trials)
        in_child(partial(work, root=root, mode=mode, rolls=some, seed=task.random.random()), found, limit_s=HANG_S)
        number += 1
    return found


# -- Ctrl-C ----------------------------------------------------------------------------------------------------------


def _interrupted(found: Findings, root: Path, mode: str, rolls: int, seed: float) -> None:
    """`rolls` interruptions of calls of every kind."""
    keep_segments_small(SEGMENT)
    journal = open_journal(root, mode, first_bytes=SEGMENT)
    for key in ("a", "b"):
        journal.define(key)
    taker = Taker(journal)
    returned: set[int] = set()
    interruptions, is_inside = [0], [False]

    def interrupt() -> None:
        if is_inside[0]:
            is_inside[0] = False
            raise KeyboardInterrupt

    number = 0
    with timer(interrupt, random.Random(seed)):
        while interruptions[0] < rolls:
            number += 1
            try:
                is_inside[0] = True
                _call(journal, number)
                is_inside[0] = False
                returned.add(number)
            except KeyboardInterrupt:
                interruptions[0] += 1
            if number % 300 == 0:
                taker.take()
    _call(journal, number + 1)
    returned.add(number + 1)
    taker.take()
    found.trials += interruptions[0]
    _check_calls(found, records_of(taker.batches), returned)
    found.notes = f"{number:,} calls in the last process"
    journal.remove()


def _call(journal: Journal, number: int) -> None:
    kind = number % 4
    if kind == 0:
        journal.points({"a": 1.0, "b": 2.0}, number)
    elif kind == 1:
        journal.event(Kind.TAGS, {"n": number, "text": "x" * (number % 90)})
    elif kind == 2:
        journal.define(f"key {number}")
        journal.point(f"key {number}", 1.0, number)
    else:
        journal.point("a", 1.0, number)


def _check_calls(found: Findings, records: list[Record], returned: set[int]) -> None:
    counts: dict[int, int] = {}
    for record in records:
        number = _number(record)
        counts[number] = counts.get(number, 0) + 1
    order = [_number(record) for record in records]
    found.expect(order == sorted(order), "the order of the calls was not kept")
    lost = [number for number in returned if counts.get(number, 0) != (2 if number % 4 == 0 else 1)]
    found.expect(not lost, f"{len(lost)} calls that returned are not there once: {lost[:5]}")
    partly = [number for number, count in counts.items() if count != (2 if number % 4 == 0 else 1)]
    found.expect(not set(partly) - returned, f"calls kept in part or twice: {partly[:5]}")


def _number(record: Record) -> int:
    said: Any = record[1]
    return int(said["n"] if isinstance(said, dict) else said)


def ctrl_c(task: Task) -> Findings:
    """KeyboardInterrupt in the middle of calls; each trial is one interruption."""
    return _in_parts(task, _interrupted)
