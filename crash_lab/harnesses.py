"""The harnesses by name, with their numbers of trials."""

from __future__ import annotations

from crash_lab import kill
from crash_lab.report import Harness

_ALL = [
    Harness("kill-mapped", "G1", kill.mapped, short=250, long=10_000),
    Harness("kill-appended", "G1", kill.appended, short=250, long=10_000),
    Harness("other-deaths", "G1", kill.other_deaths, short=60, long=6_000),
]
HARNESSES = {harness.name: harness for harness in _ALL}
