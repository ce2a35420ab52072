"""A training that dies without a word at step 60, and goes on from its checkpoint as the same run.

Run it: python examples/resume_after_crash.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import mlops_sdk

N_STEPS, CHECKPOINT_EVERY, DIES_AT = 100, 25, 60


def train(run: mlops_sdk.Run, weight: float, first_step: int, dies_at: int | None = None) -> None:
    """Move a weight towards 3; the state that counts goes into a checkpoint now and then."""
    for step in range(first_step, N_STEPS):
        if step == dies_at:
            os._exit(9)  # no exception, no handler, nothing runs any more: as SIGKILL, or the out-of-memory killer
        weight += 0.1 * (3 - weight)
        run.log_metric("loss", (3 - weight) ** 2, step=step)
        if step % CHECKPOINT_EVERY == CHECKPOINT_EVERY - 1:
            run.log_dict({"weight": weight, "next_step": step + 1}, "checkpoint.json", step=step)


def first_part(run_id: str) -> None:
    """What the process that crashes does."""
    train(mlops_sdk.start_run(experiment="resume", run_id=run_id), weight=0.0, first_step=0, dies_at=DIES_AT)


def second_part(run_id: str) -> None:
    """Go on at the checkpoint: the points after it belong to an attempt that came to nothing."""
    state = json.loads(mlops_sdk.get_run(run_id).artifact("checkpoint.json").read_text())
    with mlops_sdk.start_run(run_id=run_id, resume="must", from_step=state["next_step"]) as run:
        train(run, state["weight"], state["next_step"])


def main() -> None:
    run_id = f"resume-{os.getpid()}-{os.urandom(3).hex()}"
    crashed = subprocess.run([sys.executable, __file__, run_id], check=False)
    run = mlops_sdk.get_run(run_id)
    print(f"exit code {crashed.returncode}: {run.status} ({run.end_reason}), {len(run.metric('loss'))} points safe")
    second_part(run_id)
    run = mlops_sdk.get_run(run_id)
    steps = run.metric("loss").step.tolist()
    print(f"resumed: {run.status}, steps {steps[0]} to {steps[-1]}, each once: {steps == list(range(N_STEPS))}")
    print(f"the attempt that died is kept: {len(run.metric('loss', attempts='all'))} points in all")


if __name__ == "__main__":
    first_part(sys.argv[1]) if len(sys.argv) > 1 else main()
