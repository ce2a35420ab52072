"""The laboratory finds what it looks for: each check is shown something that is wrong."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the laboratory forks, mounts and reads /proc", allow_module_level=True)

import mlops_sdk
from crash_lab import damage, disk, forks, kill, signals, stalls, storms, sync, syscalls
from crash_lab.isolated import in_child
from crash_lab.journals import MODES, define_keys, mixed, open_journal, records_of, recovered_records, where_it_differs
from crash_lab.report import Findings, Harness, SkipError, Task, line, skipped_line
from mlops_sdk.journal import columnar, segment, writer
from mlops_sdk.journal.segment import AppendedSegment

pytestmark = pytest.mark.timeout(60)


def logged(count: int) -> list[tuple[object, ...]]:
    return [record for number in range(count) for record in mixed(number).records]


FIFTY = logged(50)


def found_by_kill(records: list[tuple[object, ...]], acknowledged: int) -> list[str]:
    found = Findings()
    kill.check(found, records, [acknowledged, 0, 0], "mixed")
    return found.violations


def test_what_was_logged_and_at_most_one_call_more_is_right() -> None:
    assert found_by_kill(logged(50), 50) == []
    assert found_by_kill(logged(51), 50) == []
    assert found_by_kill([], 0) == []


@pytest.mark.parametrize(
    "records, what",
    [
        (logged(49), "lost"),
        ([], "lost"),
        (logged(53), "more than were logged"),
        ([*FIFTY[:10], *FIFTY[11:]], "lost"),
        ([*FIFTY[:20], FIFTY[19], *FIFTY[20:]], "was logged"),
        ([*FIFTY[:30], FIFTY[31], FIFTY[30], *FIFTY[32:]], "was logged"),
        ([("loss", 0, b"\1" * 8), *FIFTY[1:]], "was logged"),
    ],
    ids=["the last", "all", "too many", "a hole", "a double", "out of order", "a value"],
)
def test_what_was_not_logged_so_is_found(records: list[tuple[object, ...]], what: str) -> None:
    violations = found_by_kill(records, 50)
    assert violations
    assert any(what in violation for violation in violations)


def test_a_prefix_and_what_is_none() -> None:
    records = logged(20)
    assert where_it_differs(records[:7], records) is None
    assert "record 1 of 6" in (where_it_differs([records[0], *records[2:7]], records) or "")
    assert "record 20" in (where_it_differs([*records, records[0]], records[:20]) or "")


def test_a_journal_that_acknowledges_too_early_loses_in_the_kill_harness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a buffer: the last records are not in the file yet."""
    waiting: list[bytes] = []

    def buffer(segment: AppendedSegment, data: bytes) -> None:
        waiting.append(data)
        if len(waiting) > 30:
            whole, waiting[:] = b"".join(waiting), []
            write(segment, whole)

    write = AppendedSegment._write
    monkeypatch.setattr(AppendedSegment, "_write", buffer)
    found = kill.appended(Task(12, random.Random(1), tmp_path))
    assert any("lost" in violation or "nobody defined" in violation for violation in found.violations)


def test_a_decoder_that_trusts_too_much_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "sound_prefix", lambda data, seed: len(data) // 32 * 32)
    task = Task(500, random.Random(1), tmp_path)
    assert damage.truncations(task).violations
    assert damage.flips(Task(damage.SMALL * 8 + 10, random.Random(1), tmp_path)).violations


def test_a_sync_that_is_tried_again_on_the_same_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Trusting(list[segment.Segment]):
        def append(self, item: segment.Segment) -> None:
            """Forgets what failed."""

    init = writer.Journal.__init__

    def trusting(journal: writer.Journal, *args: object, **more: object) -> None:
        init(journal, *args, **more)  # type: ignore[arg-type]
        journal._distrusted = Trusting()

    monkeypatch.setattr(writer.Journal, "__init__", trusting)
    found = sync.run(Task(20, random.Random(1), tmp_path))
    assert any("called durable" in violation for violation in found.violations)


@pytest.mark.parametrize("mode", MODES)
def test_a_disk_that_syncs_loses_nothing_in_a_power_cut(tmp_path: Path, mode: str) -> None:
    found = Findings()
    sync._trial(found, tmp_path, mode, range(0), "1")
    assert found.violations == []


def test_calls_kept_in_part_or_uncounted_are_found(tmp_path: Path) -> None:
    def balance(*outcomes: tuple[int, int]) -> list[str]:
        ledger, found = disk.Ledger(), Findings()
        for call, (outcome, seen) in enumerate(outcomes):
            ledger.outcomes[call], ledger.seen[call] = outcome, seen
        ledger.calls = len(outcomes)
        disk._balance(found, tmp_path, ledger)
        return found.violations

    assert balance((disk.KEPT, disk.SEVERAL), (disk.KEPT, 1)) == []
    assert "kept in part" in balance((disk.KEPT, 3), (disk.KEPT, 1))[0]
    assert "kept in part" in balance((disk.KEPT, disk.SEVERAL), (disk.KEPT, 0))[0]
    assert "dropped, 0 counted" in balance((disk.KEPT, disk.SEVERAL), (disk.DROPPED, 0))[0]


def test_calls_doubled_lost_or_out_of_order_are_found() -> None:
    def check(*numbers: int) -> list[str]:
        found = Findings()
        signals._check_calls(found, [("a", number, b"") for number in numbers], {1, 3, 5})
        return found.violations

    assert check(1, 3, 5) == []
    assert check(1, 2, 3, 5) == [], "an interrupted call may be there"
    assert check(1, 5) != []
    assert check(1, 3, 3, 5) != []
    assert check(3, 1, 5) != []


def test_a_record_of_another_process_is_found() -> None:
    class Silent(forks.Loggers):
        def __init__(self) -> None:
            self.counts = [1, 0, 0, 0]

    found = Findings()
    Silent().check(found, [*forks.child_records()[:1], ("thread 0", 0, b"\0" * 8)])
    assert len(found.violations) == 1
    found = Findings()
    Silent().check(found, [("thread 0", 0, b"\0" * 8), ("child", 0, b"\0" * 8)])
    assert found.violations


def test_what_failing_calls_cost_must_have_been_counted(tmp_path: Path) -> None:
    def read(logged: int, dropped: int, flushed: int) -> list[str]:
        found = Findings()
        syscalls._read(tmp_path, logged, dropped, flushed, found)
        return found.violations

    with mlops_sdk.start_run(tracking_uri=tmp_path, run_id="r", capture=False, system_metrics=False) as run:
        for step in range(10):
            run.log_metric("loss", step / 3, step=step)
        run.log_metric("k3", 3.0, step=0)
    assert read(10, 0, 10) == []
    assert read(12, 2, 10) == []
    assert "2 of 12 are missing, 1 were counted" in read(12, 1, 10)[0]
    assert "10 records, 9 were logged" in read(9, 0, 9)[0]
    view, found = mlops_sdk.get_run("r", tracking_uri=tmp_path), Findings()
    storms._compare(found, view, 3, 1)
    assert found.violations == []
    storms._compare(found, view, 3, 2)
    assert "2 acknowledged, 1 found" in found.violations[0]


def test_a_process_is_over_when_its_program_is(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert not stalls._is_over(child.pid)
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert stalls._is_over(child.pid)


def test_a_hole_between_batches_is_found(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, "appended")
    define_keys(journal)
    for number in range(200):
        mixed(number).call(journal)
    batches = [batch for batch in (journal.batch_after(0), journal.batch_after(100)) if batch is not None]
    with pytest.raises(AssertionError, match="a hole"):
        records_of(batches)
    assert recovered_records(journal.directory) == logged(200)
    journal.abandon()


# -- work in a process of its own ------------------------------------------------------------------------------------


def test_what_a_process_finds_is_told() -> None:
    def work(found: Findings) -> None:
        found.trials, found.notes = 7, "noted"
        found.expect(False, "x" * 200_000)

    found = Findings(trials=3)
    in_child(work, found, limit_s=30)
    assert (found.trials, found.notes) == (10, "noted")
    assert found.violations == ["from trial 3, trial 7: " + "x" * 200_000]


def test_a_process_that_dies_or_hangs_is_a_violation(capfd: pytest.CaptureFixture[str]) -> None:
    def explode(_found: Findings) -> None:
        raise ValueError("a defect")

    found = Findings()
    in_child(lambda _: os.kill(os.getpid(), signal.SIGKILL), found, limit_s=30)
    in_child(explode, found, limit_s=30)
    began = time.monotonic()
    in_child(lambda _: time.sleep(60), found, limit_s=0.2)
    assert time.monotonic() - began < 20
    assert [violation.partition(": ")[2] for violation in found.violations] == [
        "ended with -9",
        "ended with 1",
        "hung for 0.2 s",
    ]
    assert "a defect" in capfd.readouterr().err


def test_the_line_says_all_that_it_should() -> None:
    harness = Harness("kill", "G1", lambda task: Findings(), short=1, long=2)
    text = line(harness, Findings(300, notes="notes"), seed=7, seconds=1.25)
    assert text.split() == [
        "kill",
        "G1",
        "trials",
        "300",
        "violations",
        "0",
        "bound",
        "1.0e-02",
        "seed",
        "7",
        "1.2",
        "s",
        "(notes)",
    ]
    assert "bound - " in line(harness, Findings(300, ["one"]), seed=7, seconds=1.0)
    assert "skipped: no mount" in skipped_line(harness, SkipError("no mount"), seed=7)
