"""Ray behind joblib, for sweeps and searches. Ray is an 80 MB wheel: not in the test extra, so this is skipped in CI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="ray is not installed: pip install ray")

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
import joblib, ray
from ray.util.joblib import register_ray
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
import mlops_sdk

def work(number, run):
    run.log_metric("begun", 1.0)
    if number == 2:
        raise ValueError("two")
    return number * 2

if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20, _temp_dir=sys.argv[2])
    register_ray()
    with mlops_sdk.start_run(tracking_uri=sys.argv[1], capture=False, system_metrics=False) as run, joblib.parallel_config("ray"):
        trials = {each.point["number"]: each for each in run.map(work, {"number": range(4)}, n_jobs=2)}
        assert {n: each.value for n, each in trials.items()} == {0: 0, 1: 2, 2: None, 3: 6}, trials
        assert (trials[2].status, trials[2].error) == ("FAILED", "ValueError: two")
        views = [mlops_sdk.get_run(each.run_id, tracking_uri=sys.argv[1]) for each in trials.values()]
        assert {view.parent for view in views} == {run.run_id}
        assert all(view.metrics["begun"] == 1.0 for view in views)
        with run.sklearn(log_models=False):
            GridSearchCV(LogisticRegression(max_iter=500), {"C": [1, 2]}, cv=2, n_jobs=2).fit(*load_iris(return_X_y=True))
        assert len(run.cv_results()) == 2
        assert run.health()["errors"] == {}
    print("done")
"""


@pytest.mark.timeout(240)
def test_a_sweep_and_a_search_over_ray(tmp_path: Path) -> None:
    import tempfile

    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as short:  # its sockets have names of 107 bytes at most
        done = subprocess.run(
            [sys.executable, program, tmp_path / "store", short], capture_output=True, text=True, timeout=200
        )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "done" in done.stdout
