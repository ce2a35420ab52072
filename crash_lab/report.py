"""What a harness finds, and the line that says so."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


class SkipError(Exception):
    """The machine does not allow this harness; the text says what is missing."""


@dataclass
class Findings:
    """What one harness found.

    Attributes
    ----------
    trials : int
    violations : list of str
        One line each: the trial, and what was wrong.
    notes : str
        What was counted beside.
    """

    trials: int = 0
    violations: list[str] = field(default_factory=list)
    notes: str = ""

    def expect(self, is_so: object, what: str) -> bool:
        """Note a violation unless `is_so`; returns whether it is."""
        if not is_so:
            self.violations.append(f"trial {self.trials}: {what}")
        return bool(is_so)


@dataclass(frozen=True)
class Task:
    """What a harness is given.

    Attributes
    ----------
    trials : int
    random : random.Random
        Every choice of the harness comes from here.
    root : Path
        An empty directory on the file system under test.
    """

    trials: int
    random: random.Random
    root: Path


@dataclass(frozen=True)
class Harness:
    """A guarantee made into a figure.

    Attributes
    ----------
    name : str
    guarantee : str
        As numbered in the documentation of the guarantees.
    run : callable
        Raises SkipError where the machine does not allow it.
    short, long : int
        Trials of either form.
    """

    name: str
    guarantee: str
    run: Callable[[Task], Findings]
    short: int
    long: int


def line(harness: Harness, found: Findings, *, seed: int, seconds: float) -> str:
    """The result in one line."""
    bound = f"{3 / found.trials:.1e}" if found.trials and not found.violations else "-"
    notes = f"  ({found.notes})" if found.notes else ""
    return (
        f"{harness.name:<18} {harness.guarantee:<4} trials {found.trials:<8} violations {len(found.violations):<4} "
        f"bound {bound:<8} seed {seed:<6} {seconds:7.1f} s{notes}"
    )


def skipped_line(harness: Harness, reason: SkipError, *, seed: int) -> str:
    """Why there is no result, in one line."""
    return f"{harness.name:<18} {harness.guarantee:<4} skipped: {reason}  seed {seed}"
