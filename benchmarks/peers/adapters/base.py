"""What an adapter is. Standard library only: it is imported in every system's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

N_PARAMS = 5
N_METRICS = 5


class MissingError(Exception):
    """The system has no such thing; the text says what is missing."""


class Adapter:
    """A tracker, reduced to what is measured.

    A run is started with its defaults: what a user gets who writes the two lines of the quick start. Only what would leave
    the machine is turned off.
    """

    def __init__(self, place: str, url: str | None = None) -> None:
        self.place = place  # a directory that is this store's alone; may not exist yet
        self.url = url  # of the server, for systems that have one

    def load(self) -> None:
        """Import what a script imports at its top; not timed."""

    def start(self, name: str) -> str:
        """Start a run; returns what finds it again in another process."""
        raise NotImplementedError

    def log(self, key: str, value: float, step: int) -> None:
        """Log one metric."""
        raise NotImplementedError

    def log_many(self, values: dict[str, float], step: int) -> None:
        """Log several metrics of one step, with one call where there is one."""
        for key, value in values.items():
            self.log(key, value, step)

    def fill(self, key: str, values: Sequence[float]) -> None:
        """Log a whole history, by the fastest way that the documentation shows."""
        for step, value in enumerate(values):
            self.log(key, value, step)

    def finish(self) -> None:
        """End the run."""
        raise NotImplementedError

    def recover(self) -> None:
        """Do what the system asks for before runs of other, perhaps dead, processes can be read. Nothing, mostly."""

    def read(self, ref: str, key: str) -> list[float]:
        """Every value of a metric, by step."""
        raise NotImplementedError

    def params(self, values: dict[str, float]) -> None:
        """Record params of the run that is open."""
        raise NotImplementedError

    def build(self, n_runs: int) -> None:
        """Make a store of many short runs: 5 params, 5 metrics of one point each."""
        for number in range(n_runs):
            self.start(f"run{number}")
            self.params({f"p{each}": number / (each + 1) for each in range(N_PARAMS)})
            self.log_many({f"m{each}": number / n_runs for each in range(N_METRICS)}, 0)
            self.finish()

    def table(self) -> int:
        """Read all runs with their params and last metrics; returns the number of runs."""
        raise MissingError("no table of runs")

    def digest(self, data: object) -> str:
        """Digest of a numpy array, as the system records it with a run."""
        raise MissingError("no digest of data")

    def command(self, *arguments: str, timeout_s: float = 60) -> None:
        """Run a program of the system's own environment."""
        program = Path(sys.executable).with_name(arguments[0])
        done = subprocess.run(
            [program, *arguments[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=os.environ,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: exit {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
