"""G18: a wall clock that jumps changes neither the order of records nor the time between them."""

from __future__ import annotations

import random
import time
from pathlib import Path
from unittest import mock

from crash_lab.journals import MODES, batches_of, open_journal
from crash_lab.report import Findings, Task
from mlops_sdk.journal.records import Kind, decode
from mlops_sdk.journal.writer import Journal

YEAR_NS = 365 * 86_400 * 10**9
JUMPS_NS = (0, 1, -1, 10**6, -(10**6), 3_600 * 10**9, -3_600 * 10**9, 10 * YEAR_NS, -10 * YEAR_NS)
N_RECORDS = 300


class Clock:
    """A wall clock that somebody keeps setting; also one that stands, or runs ten times too fast."""

    def __init__(self, choose: random.Random) -> None:
        self._choose = choose
        self._offset_ns = 0
        self._speed = choose.choice((0, 1, 1, 10))
        self._start_ns = time.time_ns()
        self._began_ns = time.monotonic_ns()

    def time_ns(self) -> int:
        """Stands for `time.time_ns`."""
        if self._choose.random() < 0.05:
            self._offset_ns += self._choose.choice(JUMPS_NS)
        return max(0, self._start_ns + self._offset_ns + self._speed * (time.monotonic_ns() - self._began_ns))

    def time(self) -> float:
        """Stands for `time.time`."""
        return self.time_ns() / 1e9


def _log(journal: Journal, clock: Clock, explicit: dict[int, int]) -> list[int]:
    """Log points and events; returns the monotonic times between which each was logged."""
    journal.define("a")
    between = [time.monotonic_ns()]
    for number in range(N_RECORDS):
        if number % 50 == 49:
            explicit[number] = clock.time_ns()
            journal.points({"a": 0.5}, number, explicit[number])
        elif number % 7 == 3:
            journal.event(Kind.TAGS, {"n": number})
        else:
            journal.point("a", 0.5, number)
        between.append(time.monotonic_ns())
    return between


def _trial(found: Findings, root: Path, mode: str, choose: random.Random) -> None:
    clock, explicit = Clock(choose), dict[int, int]()
    with mock.patch.object(time, "time_ns", clock.time_ns), mock.patch.object(time, "time", clock.time):
        journal = open_journal(root, mode)
        between = _log(journal, clock, explicit)
        times: dict[int, int] = {}
        for batch in batches_of(journal):
            decoded = decode(batch)
            times |= zip(decoded.points.step, decoded.points.time_ns, strict=True)
            times |= {event.payload["n"]: event.time_ns for event in decoded.events}
    told = {number: times.pop(number) for number in explicit}
    found.expect(told == explicit, "an explicit timestamp was changed")
    stamped = [times[number] for number in sorted(times)]
    found.expect(stamped == sorted(stamped), "times go backwards")
    is_right = all(
        between[number] - between[1] <= at - times[0] <= between[number + 1] - between[0]
        for number, at in times.items()
    )
    found.expect(is_right, "a duration is not what the monotonic clock says")
    found.expect(len(times) + len(explicit) == N_RECORDS, "records are missing")
    journal.remove()


def run(task: Task) -> Findings:
    """Each trial is a journal under a clock that is set again and again."""
    found = Findings()
    for number in range(task.trials):
        found.trials += 1
        _trial(found, task.root, MODES[number % 2], task.random)
    return found
