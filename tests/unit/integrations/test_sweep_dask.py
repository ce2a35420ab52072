"""A sweep on a Dask cluster of several processes, a worker of which is killed in the middle."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import joblib
import pytest

import mlops_sdk

distributed = pytest.importorskip("distributed")

# What Dask itself leaves to the interpreter when its processes are killed.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def work(number: int, flags: str, run: Any) -> int:
    run.log_metric("begun", 1.0, step=0)
    flag = Path(flags, str(number))
    if number == 3 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 4:
        raise ValueError("four")
    time.sleep(0.05)
    return number * number


def test_a_killed_dask_worker_stops_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                                 local_directory=str(tmp_path / "dask")) as cluster,
        distributed.Client(cluster),
        mlops_sdk.start_run(tracking_uri=store, capture=False, system_metrics=False) as run,
        joblib.parallel_config("dask"),
    ):  # fmt: skip
        trials = {
            trial.point["number"]: trial for trial in run.map(work, {"number": range(8), "flags": [str(tmp_path)]})
        }
    assert {number: trial.value for number, trial in trials.items() if number != 4} == {
        n: n * n for n in range(8) if n != 4
    }
    assert (trials[4].status, trials[4].error) == ("FAILED", "ValueError: four")
    views = {number: mlops_sdk.get_run(trial.run_id, tracking_uri=store) for number, trial in trials.items()}
    assert {number for number, view in views.items() if view.status != "FINISHED"} == {4}
    assert {view.parent for view in views.values()} == {run.run_id}
    assert all(view.metrics["begun"] == 1.0 for view in views.values())
    assert (tmp_path / "3").exists(), "the worker was killed"
