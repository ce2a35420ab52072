"""Work in a process of its own, whose threads, signals and crashes stay there."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable

from crash_lab.report import Findings


def in_child(work: Callable[[Findings], None], found: Findings, *, limit_s: float) -> None:
    """Fork, have the child do `work` on findings of its own, and add these to `found`.

    A child that dies, raises or takes longer than `limit_s` is a violation.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _report(work, write)
    os.close(write)
    text, is_in_time = _read_all(read, limit_s)
    os.close(read)
    if not is_in_time:
        os.kill(pid, signal.SIGKILL)
    end = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if found.expect(is_in_time, f"hung for {limit_s} s") and found.expect(end == 0, f"ended with {end}"):
        trials, violations, notes = json.loads(text)
        found.violations += [f"from trial {found.trials}, {each}" for each in violations]
        found.trials += trials
        found.notes = notes or found.notes


def _report(work: Callable[[Findings], None], write: int) -> None:
    """Never returns."""
    code = 1
    try:
        found = Findings()
        work(found)
        text = json.dumps([found.trials, found.violations, found.notes]).encode()
        while text:
            text = text[os.write(write, text) :]
        code = 0
    except BaseException:  # noqa: BLE001 - told on stderr, and by the exit status
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _read_all(fd: int, limit_s: float) -> tuple[bytes, bool]:
    parts: list[bytes] = []
    deadline = time.monotonic() + limit_s
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(fd, 1 << 16)
        if not part:
            return b"".join(parts), True
        parts.append(part)
    return b"".join(parts), False
