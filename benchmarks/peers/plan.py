"""The order of measurements, and how long they will still take."""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlops_sdk
from benchmarks import report
from benchmarks.peers import environments, killing
from benchmarks.peers.laboratory import Laboratory
from benchmarks.peers.results import Results
from benchmarks.peers.systems import SYSTEMS, System
from benchmarks.peers.workloads import WORKLOADS, Workload, scratch_directory

_AT_ONCE = 3
"""Systems under the kill harness at one time: it times nothing, and mostly waits."""


@dataclass(frozen=True)
class Choice:
    """What is measured."""

    systems: Sequence[str]
    workloads: Sequence[str]
    repeats: int | None
    is_quick: bool
    seed: int
    cache: Path
    is_isolated: bool = False


@dataclass(frozen=True)
class Step:
    """One repeat of a workload: of one system, or, where nothing is timed, of several at once."""

    workload: Workload
    systems: tuple[System, ...]
    repeat: int

    @property
    def key(self) -> str:
        """Under which its duration is remembered."""
        return f"{self.workload.name} {' '.join(system.name for system in self.systems)}"


def steps_of(choice: Choice, systems: Sequence[System]) -> list[Step]:
    """Repeats are interleaved: each system once, in another order each time."""
    order = random.Random(choice.seed)
    steps = []
    for name in choice.workloads:
        workload = WORKLOADS[name]
        those = [each for each in systems if not (workload.shared and each.base in choice.systems)]
        for repeat in range(choice.repeats or (1 if choice.is_quick else workload.repeats)):
            shuffled = order.sample(those, len(those))
            if workload.run is killing.kill:
                steps.append(Step(workload, tuple(shuffled), repeat))
            else:
                steps += [Step(workload, (system,), repeat) for system in shuffled]
    return steps


def measure(choice: Choice, say: Callable[[str], None], known: dict[str, System] | None = None) -> Results:
    """Do all of it; what fails is noted, and the rest goes on."""
    systems = [(known or SYSTEMS)[name] for name in choice.systems]
    began = time.monotonic()
    scratch = scratch_directory(choice.cache)
    results = Results(_about(choice), {system.name: _described(system, choice.cache) for system in systems})
    lab = Laboratory(scratch, choice.cache, results, choice.is_quick)
    try:
        _servers_first(lab, systems, choice.workloads, say)
        _go_through(lab, steps_of(choice, systems), say)
        _share(results, systems)
    finally:
        lab.close()
        shutil.rmtree(scratch, ignore_errors=True)
    results.about["seconds"] = time.monotonic() - began
    return results


def _servers_first(
    lab: Laboratory, systems: list[System], workloads: Sequence[str], say: Callable[[str], None]
) -> None:
    """Start them before anything is timed; a system whose server does not come up is noted and left out."""
    for system in [each for each in systems if each.server]:
        say(f"starting the server of {system.label}")
        try:
            lab.server(system)
        except (environments.EnvironmentFailedError, OSError) as error:
            systems.remove(system)
            for workload in workloads:
                lab.results.trouble(system.name, workload, "failed", str(error)[:300])


def _go_through(lab: Laboratory, steps: list[Step], say: Callable[[str], None]) -> None:
    memory = _Durations(lab.cache / f"durations{'-quick' if lab.is_quick else ''}.json")
    for at, step in enumerate(steps):
        left = sum(memory.expected(each) for each in steps[at:])
        names = step.systems[0].label if len(step.systems) == 1 else f"{len(step.systems)} systems"
        say(f"[{at + 1}/{len(steps)}] about {left / 60:.1f} min left; {step.workload.what}: {names}")
        began = time.monotonic()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(partial(_guarded, lab, step.workload), step.systems))
        memory.note(step, time.monotonic() - began)
        memory.save()
        _tidy(lab)
        lab.results.save(lab.cache / "last.json")  # whatever happens to the rest


def _share(results: Results, systems: Sequence[System]) -> None:
    """What a server does not change was measured without it."""
    for system in (each for each in systems if each.base in results.systems):
        for workload in WORKLOADS.values():
            for metric in workload.shared:
                if not results.values(system.name, metric):
                    results.add(system.name, metric, *results.values(system.base, metric))
            trouble = results.troubles.get(system.base, {}).get(workload.name)
            if workload.shared and trouble:
                results.trouble(system.name, workload.name, trouble["kind"], trouble["reason"])


def _guarded(lab: Laboratory, workload: Workload, system: System) -> None:
    try:
        workload.run(lab, system)
    except (OSError, environments.EnvironmentFailedError) as error:
        lab.results.trouble(system.name, workload.name, "failed", f"{type(error).__name__}: {error}"[:300])


def _tidy(lab: Laboratory) -> None:
    """Old stores are no use; the servers' directories stay."""
    for directory in lab.scratch.iterdir():
        if (directory / "notes").exists():
            shutil.rmtree(directory, ignore_errors=True)


class _Durations:
    """How long each step took the last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._seconds: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._seconds = {}

    def expected(self, step: Step) -> float:
        return self._seconds.get(step.key, step.workload.seconds)

    def note(self, step: Step, seconds: float) -> None:
        self._seconds[step.key] = round(seconds, 2)

    def save(self) -> None:
        self._path.write_text(json.dumps(self._seconds, indent=1, sort_keys=True), encoding="utf-8")


def _about(choice: Choice) -> dict[str, Any]:
    return {
        "machine": report.machine(),
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "mlops_sdk": mlops_sdk.__version__,
        "quick": choice.is_quick,
        "seed": choice.seed,
        "network": "loopback only" if choice.is_isolated else "not isolated",
    }


def _described(system: System, cache: Path) -> dict[str, Any]:
    return {
        "label": system.label,
        "version": environments.version_of(system, cache),
        "note": system.note,
        "is_ours": system.is_ours,
    }
