"""Trackers for the harness of the benchmarks: each has one fault that it must find."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.peers.adapters.base import MissingError
from benchmarks.peers.adapters.lines import Lines


class Buffered(Lines):
    """Loses what is in its buffer."""

    buffering = 8192


class Early(Lines):
    """Writes every tenth point when it comes, and the others at the end: what a kill leaves has gaps."""

    def start(self, name: str) -> str:
        self._held: list[tuple[str, float, int]] = []
        return super().start(name)

    def log(self, key: str, value: float, step: int) -> None:
        if step % 10 == 0:
            super().log(key, value, step)
        else:
            self._held.append((key, value, step))

    def finish(self) -> None:
        for held in self._held:
            super().log(*held)
        super().finish()


class Late(Lines):
    """A first reader of a process sees nothing."""

    _has_read = False

    def read(self, ref: str, key: str) -> list[float]:
        if not self._has_read:
            self._has_read = True
            return []
        return super().read(ref, key)


class Hangs(Lines):
    """Waits for a server that is not there, with a helper process."""

    def start(self, name: str) -> str:
        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        unfinished = Path(self.place, "helper.part")
        unfinished.write_text(str(helper.pid), encoding="utf-8")
        unfinished.rename(self.place + "/helper")
        time.sleep(600)
        return name


class Fails(Lines):
    """Cannot start."""

    def start(self, name: str) -> str:
        raise OSError("no space for | this `tracker`")


class Exits(Lines):
    """Ends the process of its user."""

    def log(self, key: str, value: float, step: int) -> None:
        print("goodbye")
        sys.stdout.flush()
        import os

        os._exit(3)


class Lacks(Lines):
    """Has no way to read a metric."""

    def read(self, ref: str, key: str) -> list[float]:
        raise MissingError("no reader")


class Rounds(Lines):
    """Keeps two digits."""

    def log(self, key: str, value: float, step: int) -> None:
        super().log(key, round(value, 2), step)
