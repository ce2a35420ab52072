"""The harnesses by name, with their numbers of trials."""

from __future__ import annotations

from crash_lab import (
    adoption,
    clock,
    clock_run,
    damage,
    disk,
    forks,
    kill,
    kill_run,
    network,
    power,
    server_power,
    shared_home,
    signals,
    simulation,
    stalls,
    storms,
    sync,
    syscalls,
    threads,
)
from crash_lab.report import Harness

_ALL = [
    Harness("kill-mapped", "G1", kill.mapped, short=250, long=10_000),
    Harness("kill-appended", "G1", kill.appended, short=250, long=10_000),
    Harness("other-deaths", "G1", kill.other_deaths, short=60, long=6_000),
    Harness("kill-run", "G1", kill_run.run, short=20, long=2_000),
    Harness("truncate", "G3", damage.truncations, short=65_536, long=65_536),
    Harness("flip", "G3", damage.flips, short=34_000, long=557_056),
    Harness("damage", "G3", damage.directories, short=300, long=100_000),
    Harness("future", "G27", damage.future_versions, short=40, long=2_000),
    Harness("fork", "G9", forks.while_threads_log, short=200, long=20_000),
    Harness("multiprocessing", "G9", forks.workers, short=6, long=300),
    Harness("full-disk-mapped", "G10", disk.mapped, short=12, long=2_000),
    Harness("full-disk-appended", "G10", disk.appended, short=12, long=2_000),
    Harness("handler-logs", "G1", signals.handler_logs, short=2_000, long=200_000),
    Harness("ctrl-c", "G3", signals.ctrl_c, short=2_000, long=200_000),
    Harness("threads", "G1", threads.run, short=1_000, long=100_000),
    Harness("failed-sync", "G11", sync.run, short=160, long=2_000),
    Harness("power-cut", "G2", power.run, short=10, long=2_000),
    Harness("adoption", "G4", adoption.run, short=6, long=1_000),
    Harness("system-calls", "G6", syscalls.run, short=12, long=3_000),
    Harness("network", "G4", network.run, short=200, long=100_000),
    Harness("server-power", "G5", server_power.run, short=2, long=5_000),
    Harness("shared-home", "G4", shared_home.run, short=1, long=500),
    Harness("simulation", "G4", simulation.run, short=10_000, long=1_000_000),
    Harness("clock", "G18", clock.run, short=50, long=2_000),
    Harness("clock-run", "G18", clock_run.run, short=2, long=300),
    Harness("fork-storm", "G9", storms.run, short=48, long=20_000),
    Harness("stalled-exit", "G7", stalls.run, short=8, long=1_000),
]
HARNESSES = {harness.name: harness for harness in _ALL}
