"""Journals that a process left behind, to be read or spoiled."""

from __future__ import annotations

from pathlib import Path

from tests.guarantees import processes

_LEAVE = """
import os, sys, mlops_sdk
run = mlops_sdk.start_run(tracking_uri=sys.argv[1], run_id=sys.argv[2], capture=False, system_metrics=False)
for step in range(int(sys.argv[3])):
    run.log_metric("loss", float(step), step=step)
run.log_param("p", 1)
os._exit(0)
"""


def leave_a_journal(store: Path, run_id: str, n: int = 100) -> Path:
    """The journal of a run whose process vanished after `n` metrics and a param."""
    before = set((store / "journals").iterdir()) if store.exists() else set()
    assert processes.run(_LEAVE, store, run_id, n).returncode == 0
    (left,) = set((store / "journals").iterdir()) - before
    return left
