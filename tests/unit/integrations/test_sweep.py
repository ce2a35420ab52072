"""`run.map`: a child run for every point, on every backend; resumed, failed, killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import joblib
import pytest

import mlops_sdk
from mlops_sdk import Run
from mlops_sdk.errors import InvalidValueError

QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}
GRID = {"a": [1, 2, 3], "b": [0, 1]}


def train(a: int, b: int, run: Run) -> dict[str, float]:
    mlops_sdk.log_metric("loss", a * b)  # the trial's run is the active one
    assert mlops_sdk.active_run() is run
    if (a, b) == (2, 1):
        raise ValueError("this one is bad")
    return {"score": a + b}


def deadly(a: int, b: int, flags: str) -> int:
    """Dies at (1, 1) always, and at (3, 1) the first time."""
    flag = Path(flags, f"{a}{b}")
    if (a, b) == (1, 1) or ((a, b) == (3, 1) and not flag.exists()):
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return a + b


@pytest.mark.parametrize(
    "backend", ["sequential", "threading", "multiprocessing", pytest.param("loky", marks=pytest.mark.slow)]
)
def test_a_failed_trial_does_not_stop_the_sweep(tmp_path: Path, backend: str) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run, joblib.parallel_config(backend, n_jobs=2):
        trials = {(t.point["a"], t.point["b"]): t for t in run.map(train, GRID)}
        assert mlops_sdk.active_run() is run
    assert len(trials) == 6
    assert {key for key, trial in trials.items() if trial.status == "FAILED"} == {(2, 1)}
    assert trials[2, 1].error == "ValueError: this one is bad"
    assert trials[3, 1].value == {"score": 4}
    views = {key: mlops_sdk.get_run(trial.run_id, tracking_uri=tmp_path) for key, trial in trials.items()}
    assert {view.parent for view in views.values()} == {run.run_id}
    assert views[3, 1].metrics == {"loss": 3.0, "score": 4.0}
    assert views[3, 1].params == {"a": 3, "b": 1}
    assert (views[2, 1].status, views[2, 1].metrics) == ("FAILED", {"loss": 2.0})
    assert "this one is bad" in str(views[2, 1].traceback)
    assert run.status == "FINISHED"
    assert run.metrics["trials_done"] == 6
    assert run.metrics["trials_failed"] == 1
    assert run.health()["errors"] == {}


def test_finished_trials_are_not_run_again(tmp_path: Path) -> None:
    options = {"tracking_uri": tmp_path, "run_id": "sweep", "resume": "allow", **QUIET}
    with mlops_sdk.start_run(**options) as run:
        seen = [next(results) for results in [run.map(train, GRID)] for _ in range(2)]
    calls = []

    def counted(a: int, b: int) -> float:
        calls.append((a, b))
        return a / 2

    counted.__qualname__ = "train"  # a new version of the same function
    with mlops_sdk.start_run(**options) as run:
        trials = list(run.map(counted, {**GRID, "a": [1, 2, 3, 4]}))
    assert [(trial.point, trial.value) for trial in trials[:2]] == [(trial.point, trial.value) for trial in seen]
    assert [trial.is_resumed for trial in trials] == [True] * 2 + [False] * 6
    assert calls == [(2, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1)]
    assert len(run.children) == 8


def test_a_trial_that_failed_begins_anew(tmp_path: Path) -> None:
    options = {"tracking_uri": tmp_path, "run_id": "sweep", "resume": "allow", **QUIET}
    with mlops_sdk.start_run(**options) as run:
        (failed,) = run.map(train, [{"a": 2, "b": 1}])

    def mended(a: int, b: int) -> float:
        return a * 10.0

    mended.__qualname__ = "train"
    with mlops_sdk.start_run(**options) as run:
        (trial,) = run.map(mended, [{"a": 2, "b": 1}])
    assert (failed.run_id, trial.status, trial.value) == (trial.run_id, "FINISHED", 20.0)
    view = mlops_sdk.get_run(trial.run_id, tracking_uri=tmp_path)
    assert (view.status, view.metrics) == ("FINISHED", {"value": 20.0}), "the failed attempt's points are hidden"


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_only_its_own_trial(tmp_path: Path) -> None:
    grid = {**GRID, "flags": [str(tmp_path)]}
    with mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET) as run:
        trials = {(t.point["a"], t.point["b"]): t for t in run.map(deadly, grid, n_jobs=2, backend="loky")}
    assert {key: trial.status for key, trial in trials.items() if trial.status != "FINISHED"} == {(1, 1): "KILLED"}
    assert {key: trial.value for key, trial in trials.items() if key != (1, 1)} == {
        (a, b): a + b for a, b in trials if (a, b) != (1, 1)
    }
    view = mlops_sdk.get_run(trials[1, 1].run_id, tracking_uri=tmp_path / "store")
    assert (view.status, view.end_reason) == ("KILLED", "lost:process")


def test_values_and_points_of_every_kind(tmp_path: Path) -> None:
    def work(x: Any) -> Any:
        return x

    points = [{"x": 1}, {"x": 1}, {"x": float("inf")}, {"x": [1, 2]}, {"x": lambda: None}, {"x": "s" * 100_000}]
    with mlops_sdk.start_run(tracking_uri=tmp_path, run_id="r", **QUIET) as run:
        trials = list(run.map(work, points, name="kinds"))
    assert [trial.value for trial in trials] == [point["x"] for point in points]
    assert len({trial.run_id for trial in trials}) == 6, "equal points are two trials"
    with mlops_sdk.start_run(tracking_uri=tmp_path, run_id="r", resume="must", **QUIET) as run:
        again = list(run.map(work, points[:4], name="kinds"))
    assert [trial.value for trial in again] == [1, 1, float("inf"), [1, 2]]
    assert all(trial.is_resumed for trial in again)


def test_what_is_no_grid_is_refused_at_once(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        for grid in ({"a": 3}, {"a": "abc"}, [1, 2]):
            with pytest.raises(InvalidValueError):
                run.map(train, grid)
        with pytest.raises(InvalidValueError, match="called"):
            run.map("train", GRID)


def test_a_disabled_run_sweeps_and_records_nothing(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path / "never", mode="disabled") as run:
        assert [trial.value for trial in run.map(lambda a: a * 2, {"a": [1, 2]})] == [2, 4]
    assert not (tmp_path / "never").exists()
