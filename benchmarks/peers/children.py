"""Children that are started, bounded in time, killed, and tidied up with whatever they started themselves."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MARK = "MLOPS_BENCH_CHILD"
_GRACE_S = 5.0
"""For a child that has answered and does not end: some trackers' exit handlers wait for a network."""
_numbers = itertools.count(1)


@dataclass
class Child:
    """A process, its log, and the mark by which its descendants are found, in whichever session they are."""

    process: subprocess.Popen[bytes]
    mark: str
    log: Path

    def wait(self, limit_s: float) -> int | None:
        """Its exit status, or None if it is still running after so long."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None

    def relatives(self) -> list[int]:
        """Living processes with its mark."""
        wanted = f"{_MARK}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if wanted in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def linger(self, limit_s: float) -> None:
        """Give what it started so long to end by itself."""
        deadline = time.monotonic() + limit_s
        while self.relatives() and time.monotonic() < deadline:
            time.sleep(0.05)

    def end(self) -> None:
        """Kill it and what it started."""
        for _ in range(20):
            living = self.relatives()
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if not living:
                return
            time.sleep(0.01)

    def last_words(self) -> str:
        """The end of what it said."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " / ".join(lines[-3:])[-300:]


def start(command: Sequence[str | Path], environ: Mapping[str, str], directory: Path, log: Path) -> Child:
    """Start a child in a session of its own."""
    mark = f"{os.getpid()}-{next(_numbers)}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(each) for each in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**environ, _MARK: mark},
            start_new_session=True,
        )
    return Child(process, mark, log)


def start_probe(
    python: Path, request: dict[str, Any], environ: Mapping[str, str], directory: Path, notes: Path
) -> tuple[Child, Path]:
    """Start `benchmarks.peers.inside` with a request; returns the child and the file of its answer."""
    stem = f"{request['probe']}-{next(_numbers)}"
    answer = notes / f"{stem}.answer.json"
    asked = notes / f"{stem}.request.json"
    asked.write_text(json.dumps({**request, "answer": str(answer)}), encoding="utf-8")
    command = [python, "-m", "benchmarks.peers.inside", asked]
    return start(command, environ, directory, notes / f"{stem}.log"), answer


def result_of(child: Child, answer: Path, limit_s: float) -> dict[str, Any]:
    """Wait for the answer, at most so long; a child that gives none has failed. It is gone afterwards."""
    deadline = time.monotonic() + limit_s
    try:
        while not answer.exists():
            status = child.wait(0.02)
            if answer.exists():
                break
            if status is not None:
                return {"failed": f"ended with {status}: {child.last_words()}"}
            if time.monotonic() > deadline:
                return {"failed": f"no answer in {limit_s:.0f} s: {child.last_words()}"}
        child.wait(_GRACE_S)
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return found
    finally:
        child.end()
