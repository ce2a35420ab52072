"""The kill harness over the peers: as `crash_lab.kill_run` does it for ours, through the adapters.

A child logs 0, 1, 2, ... and notes, in a file that is mapped, how many calls have returned. At a random instant it gets
SIGKILL. What it started itself (a helper process) may end by itself; then another process reads what is left.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import children
from benchmarks.peers.laboratory import Laboratory, Site
from benchmarks.peers.systems import System

SEED = 1
LINGER_S = 10.0
"""For a helper process of the tracker to write what it has, once the training is gone."""
_BEGIN_LIMIT_S = 60.0


@dataclass(frozen=True)
class Mode:
    """How a victim logs, and how long it lives after the start of its run."""

    metric: str
    period_s: float
    least_s: float
    most_s: float


MODES = (Mode("kill_tight", 0.0, 0.05, 1.0), Mode("kill_paced", 0.01, 0.3, 2.0))


def kill(lab: Laboratory, system: System) -> None:
    """All trials of a system, in both modes."""
    trials = 2 if lab.is_quick else 4
    for mode in MODES:
        # The instants are the same for every system.
        choose = random.Random(f"{SEED} {mode.metric}")
        site = lab.site(system, mode.metric)
        lives = [choose.uniform(mode.least_s, mode.most_s) for _ in range(trials)]
        killed = [_kill_one(lab, site, mode, number, life_s) for number, life_s in enumerate(lives)]
        _note(lab, site, mode, [each for each in killed if each is not None])


@dataclass(frozen=True)
class _Killed:
    ref: str
    acknowledged: int


def _kill_one(lab: Laboratory, site: Site, mode: Mode, number: int, life_s: float) -> _Killed | None:
    """Start a victim and kill it; None, with the trouble noted, if it never began or ended before."""
    counter, ref_file = (site.root / "notes" / f"{number}.{suffix}" for suffix in ("counter", "ref"))
    counter.write_bytes(bytes(16))
    child, answer = lab.start(
        site,
        "victim",
        name=f"victim{number}",
        counter=str(counter),
        ref_file=str(ref_file),
        period_s=mode.period_s,
    )
    try:
        if not _begins(child, counter):
            result = children.result_of(child, answer, 0.1)
            lab.figures(site.system, "kill", result if "figures" not in result else {"failed": "ended by itself"})
            return None
        time.sleep(life_s)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.process.pid, signal.SIGKILL)
        if child.process.wait() != -signal.SIGKILL:
            lab.results.trouble(site.system.name, "kill", "failed", f"ended by itself: {child.last_words()}")
            return None
        child.linger(LINGER_S)
    finally:
        child.end()
    return _Killed(ref_file.read_text(encoding="utf-8"), struct.unpack_from("Q", counter.read_bytes())[0])


def _begins(child: children.Child, counter: Path) -> bool:
    deadline = time.monotonic() + _BEGIN_LIMIT_S
    while time.monotonic() < deadline and child.process.poll() is None:
        if struct.unpack_from("Q", counter.read_bytes(), 8)[0]:
            return True
        time.sleep(0.002)
    return False


def _note(lab: Laboratory, site: Site, mode: Mode, killed: list[_Killed]) -> None:
    if not killed:
        return
    left = lab.ask(
        site,
        "kill",
        "survivors",
        refs=[each.ref for each in killed],
        acknowledged=[each.acknowledged for each in killed],
    )
    if left is not None:
        lab.results.add(site.system.name, mode.metric, summary(killed, left["kept"]))


def summary(killed: list[Any], kept: list[dict[str, Any]]) -> dict[str, Any]:
    """What was acknowledged, and what of it is lost; a store that cannot be read has lost all of it."""
    pairs = list(zip(killed, kept, strict=True))
    return {
        "trials": len(pairs),
        "acknowledged": sum(each.acknowledged for each, _ in pairs),
        "lost": sum(max(0, each.acknowledged - left.get("n", 0)) for each, left in pairs),
        # What a first reader does not see yet, of that which is there.
        "late": sum(max(0, min(each.acknowledged, left.get("n", 0)) - left["first_n"]) for each, left in pairs),
        "runs_with_loss": sum(each.acknowledged > left.get("n", 0) for each, left in pairs),
        "runs_with_gaps": sum(bool(left.get("gaps")) for _, left in pairs),
        "unreadable": sorted({left["unreadable"] for _, left in pairs if "unreadable" in left}),
        "runs_unreadable": sum("unreadable" in left for _, left in pairs),
    }
