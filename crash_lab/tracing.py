"""System calls of a living process that fail or stall, by strace."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from crash_lab.report import SkipError

_ATTACH_S = 20.0


@contextlib.contextmanager
def tampered(pid: int, *injections: str) -> Iterator[None]:
    """Have strace tamper with the system calls of `pid`, its threads and its children, while the block runs.

    Parameters
    ----------
    pid : int
    *injections : str
        As behind ``strace -e inject=``: ``fdatasync:error=EIO:when=3``. Each thread is counted for itself.

    Raises
    ------
    SkipError
        If there is no strace, or it may not trace.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise SkipError("strace is not installed")
    names = ",".join(sorted({injection.partition(":")[0] for injection in injections}))
    options = [option for injection in injections for option in ("-e", f"inject={injection}")]
    command = [strace, "-f", "-q", "-o", os.devnull, "-e", f"trace={names}", *options, "-p", str(pid)]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait_until_traced(pid, tracer)
        yield
    finally:
        tracer.kill()  # asked to end, it would wait for delays that it has begun
        tracer.communicate()


def _wait_until_traced(pid: int, tracer: subprocess.Popen[bytes]) -> None:
    """Every thread, or the one that matters might be free still."""
    deadline = time.monotonic() + _ATTACH_S
    while not all(_tracer(task) for task in Path(f"/proc/{pid}/task").iterdir()):
        if tracer.poll() is not None or time.monotonic() > deadline:
            said = tracer.communicate(timeout=5)[1].decode() if tracer.poll() is not None else "it did not attach"
            raise SkipError(f"strace may not trace here: {said.strip()}")
        time.sleep(0.001)


def _tracer(task: Path) -> int:
    try:
        status = (task / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # a thread that has ended
        return 1
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("TracerPid:"))
