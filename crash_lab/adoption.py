"""G4: many processes recover the same dead writers at once: every record arrives exactly once.

The store is a file: an append under a lock, idempotent by number, as every store is.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from crash_lab.journals import MODES, open_journal
from crash_lab.report import Findings, Task
from mlops_sdk.courier.recovery import sweep
from mlops_sdk.entities import WriterState
from mlops_sdk.errors import SequenceGapError
from mlops_sdk.journal import reader
from mlops_sdk.journal.records import Batch, Kind, decode
from mlops_sdk.stores.protocol import Store

N_PROCESSES = 8
N_WRITERS = 12
PER_WRITER = 60


class FileStore:
    """Keeps a line per record."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    @contextmanager
    def _locked(self) -> Iterator[list[Any]]:
        with self._path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            lines = [json.loads(line) for line in file]
            before = len(lines)
            yield lines
            file.writelines(json.dumps(line) + "\n" for line in lines[before:])

    def append(self, batch: Batch) -> int:
        """See `Store.append`."""
        decoded = decode(batch)
        with self._locked() as lines:
            known = _known(lines, batch.writer.writer_id)
            if batch.first > known + 1:
                raise SequenceGapError(batch.writer.writer_id, known + 1, batch.first)
            for event in decoded.events:
                if event.kind == Kind.LOST:
                    lines.append(["lost", event.payload["writer"]])
            for sequence, step in zip(decoded.points.sequence, decoded.points.step, strict=True):
                if sequence > known:
                    lines.append(["point", batch.writer.writer_id, int(step)])
            lines.append(["up to", batch.writer.writer_id, max(known, batch.last)])
        return max(known, batch.last)

    def acknowledged(self, writer_id: str) -> WriterState | None:
        """See `Store.acknowledged`."""
        with self._locked() as lines:
            known, is_lost = _known(lines, writer_id), ["lost", writer_id] in lines
        state = WriterState(writer_id, "run", sequence=known)
        return (replace(state, end_status="KILLED") if is_lost else state) if known else None

    def settle(self, run_id: str) -> None:
        """See `Store.settle`."""

    def steps(self) -> dict[str, list[int]]:
        """Steps of the points of each writer, in the order of their arrival."""
        with self._locked() as lines:
            found: dict[str, list[int]] = {}
            for line in lines:
                if line[0] == "point":
                    found.setdefault(line[1], []).append(line[2])
            return found


def _known(lines: list[Any], writer_id: str) -> int:
    return max((line[2] for line in lines if line[:2] == ["up to", writer_id]), default=0)


def _sweeper(root: Path, store: FileStore, go: int) -> int:
    """Fork a process that sweeps as soon as `go` is closed; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.read(go, 1)
        status = 0 if not sweep(cast(Store, store), root).errors else 2
    except BaseException:  # noqa: BLE001 - told on stderr, and by the exit status
        traceback.print_exc()
    finally:
        os._exit(status)


def _round(found: Findings, root: Path, number: int) -> None:
    journals = root / "journals"
    journals.mkdir(parents=True)
    alive = open_journal(journals, MODES[number % 2])
    alive.define("a")
    alive.point("a", 0.5, 0)
    left = []
    for _ in range(N_WRITERS):
        journal = open_journal(journals, MODES[number % 2])
        journal.define("a")
        for step in range(PER_WRITER):
            journal.point("a", 0.5, step)
        journal.leave()
        left.append(journal.writer_id)
    store = FileStore(root / "store")
    waiting, go = os.pipe()
    pids = [_sweeper(journals, store, waiting) for _ in range(N_PROCESSES)]
    os.close(waiting)
    os.write(go, b"x" * N_PROCESSES)
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    os.close(go)
    found.expect(not any(ends), f"sweepers ended with {ends}")
    expected = {writer_id: list(range(PER_WRITER)) for writer_id in left}
    found.expect(store.steps() == expected, "records are lost, doubled or out of order")
    found.expect(reader.writers(journals) == [alive.directory], "journals were left, or a living one was taken")
    alive.remove()
    shutil.rmtree(root)


def run(task: Task) -> Findings:
    """Each trial is a round of eight processes on twelve dead writers and a living one."""
    found = Findings()
    for number in range(task.trials):
        found.trials += 1
        _round(found, task.root / str(number), number)
    found.notes = f"{N_PROCESSES} processes, {N_WRITERS} journals a round"
    return found
