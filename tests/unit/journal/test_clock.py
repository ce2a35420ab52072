"""Time is the monotonic clock with an anchor: a wall clock that jumps reorders nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_sdk.journal import chain
from mlops_sdk.journal.chain import JournalOptions
from mlops_sdk.journal.records import Kind, decode
from mlops_sdk.journal.writer import Journal
from tests.unit.journal.reading import batches_of

YEAR_NS = 365 * 86_400 * 1_000_000_000
Open = Callable[[], Journal]


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[Open]:
    opened: list[Journal] = []

    def open_one() -> Journal:
        opened.append(Journal(tmp_path, "run", options=JournalOptions(first_bytes=2048)))
        opened[-1].define("a")
        return opened[-1]

    yield open_one
    for journal in opened:
        journal.abandon()  # closes its descriptors without syncing anything


def times_of(journal: Journal) -> list[int]:
    """Wall times of points and events, in log order."""
    found: list[tuple[int, int]] = []
    for batch in batches_of(journal):
        decoded = decode(batch)
        found += zip(decoded.points.sequence, decoded.points.time_ns, strict=True)
        found += [(event.sequence, event.time_ns) for event in decoded.events]
    return [time_ns for _, time_ns in sorted(found)]


@pytest.mark.parametrize("jump_ns", [10 * YEAR_NS, -10 * YEAR_NS, 3_600_000_000_000, -1])
def test_a_wall_clock_that_jumps_changes_neither_order_nor_durations(
    open_journal: Open, monkeypatch: pytest.MonkeyPatch, jump_ns: int
) -> None:
    journal = open_journal()
    began = time.time_ns()
    for i in range(50):
        journal.point("a", 0.0, i)
    monkeypatch.setattr(time, "time_ns", lambda: began + jump_ns)
    monkeypatch.setattr(time, "time", lambda: (began + jump_ns) / 1e9)
    for i in range(50, 200):  # through roll-overs
        journal.point("a", 0.0, i)
        journal.event(Kind.HEARTBEAT, {})
    found = times_of(journal)
    assert found == sorted(found)
    assert found[-1] - found[0] < 60_000_000_000
    assert abs(found[0] - began) < 1_000_000_000


def test_a_wall_clock_that_was_wrong_at_the_start_keeps_durations(
    open_journal: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: 0)
        journal = open_journal()
    before = time.monotonic_ns()
    journal.point("a", 0.0, 0)
    journal.points({"a": 0.0}, 1, 1_700_000_000_123_456_789)
    journal.point("a", 0.0, 2)
    after = time.monotonic_ns()
    first, explicit, last = times_of(journal)
    assert 0 <= last - first <= after - before
    assert first < 60_000_000_000  # 1970
    assert explicit == 1_700_000_000_123_456_789


def test_after_a_suspend_times_are_wall_times_again(open_journal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal()
    journal.point("a", 0.0, 0)
    assert not journal.reanchor()
    asleep_ns = 3_600_000_000_000
    now = chain._suspended_ns()
    monkeypatch.setattr(chain, "_suspended_ns", lambda: now + asleep_ns)
    assert journal.reanchor()
    assert not journal.reanchor()
    journal.point("a", 0.0, 1)
    exact = 1_700_000_000_000_000_001
    journal.points({"a": 0.0}, 2, exact)
    before, after, explicit = times_of(journal)
    assert asleep_ns <= after - before < asleep_ns + 60_000_000_000
    assert explicit == exact
    assert len(journal._segments) == 2


def test_a_closed_journal_is_not_anchored_anew(open_journal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal()
    journal.close()
    monkeypatch.setattr(chain, "_suspended_ns", lambda: 10**18)
    assert not journal.reanchor()
    assert len(journal._segments) == 1


FAKETIME = [str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed")
@pytest.mark.parametrize("offset", ["+10y", "-10y", "+1d x10"])
def test_under_libfaketime(tmp_path: Path, offset: str) -> None:
    program = """
        import sys
        from pathlib import Path
        from mlops_sdk.journal.records import decode
        from mlops_sdk.journal.writer import Journal
        journal = Journal(Path(sys.argv[1]), "run")
        journal.define("a")
        for i in range(1000):
            journal.point("a", 0.0, i)
        times = decode(journal.batch_after(0)).points.time_ns
        print(times == sorted(times))
        journal.remove()
    """
    environment = {**os.environ, "LD_PRELOAD": FAKETIME[0], "FAKETIME": offset}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
