"""Several processes in one run: forks, workers, ranks, pickles, resumption."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

import mlops_sdk
from mlops_sdk import Run, RunActiveError, RunExistsError, RunNotFoundError

QUIET = {"capture": False, "system_metrics": False}


def _train(run: Run, number: int) -> int:
    for step in range(200):
        run.log_metric(f"worker{number}", float(step), step=step)
    run.log_param(f"p{number}", number)
    return os.getpid()


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_joblib_workers_attach_to_the_run_they_are_given(tmp_path: Path, backend: str) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        jobs = (joblib.delayed(_train)(run, number) for number in range(4))
        pids = joblib.Parallel(n_jobs=2, backend=backend)(jobs)
        assert (os.getpid() in pids) == (backend == "threading")
        assert all(run.summary(f"worker{number}").count == 200 for number in range(4))
    view = mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path)
    assert view.status == "FINISHED"
    assert view.params == {f"p{number}": number for number in range(4)}


def _in_child(run: Run) -> None:
    run.log_metric("child", 1.0, step=0)
    run.log_metric("child", 2.0, step=1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_attaches_and_leaves_the_status_alone(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        run.log_metric("parent", 1.0, step=0)
        child = multiprocessing.get_context("fork").Process(target=_in_child, args=(run,))
        child.start()
        child.join(30)
        assert child.exitcode == 0
        run.log_metric("parent", 2.0, step=1)
        assert run.status == "RUNNING"
        assert run.metric("child").value.tolist() == [1.0, 2.0]
        assert run.metric("parent").value.tolist() == [1.0, 2.0]
    assert run.status == "FINISHED"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_bare_fork_that_ends_by_os_exit_loses_nothing(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        pid = os.fork()
        if pid == 0:
            run.log_metric("child", 7.0, step=0)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert run.metrics == {"child": 7.0}


def test_a_pickled_run_is_itself_in_its_own_process(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        assert pickle.loads(pickle.dumps(run)) is run


def test_ranks_write_to_one_run_and_the_key_means_the_owner(tmp_path: Path) -> None:
    script = (
        "import sys, mlops_sdk\n"
        "with mlops_sdk.start_run(tracking_uri=sys.argv[1], capture=False, system_metrics=False) as run:\n"
        "    for step in range(10): run.log_metric('loss', float(sys.argv[2]), step=step)\n"
        "    run.log_metric(f'only{sys.argv[2]}', 1.0)\n"
    )
    for rank in ("0", "1", "2"):
        env = {**os.environ, "RANK": rank, "MLOPS_RUN_ID": "job-7", "MLOPS_RESUME": "allow"}
        subprocess.run([sys.executable, "-c", script, str(tmp_path), rank], env=env, check=True)
    run = mlops_sdk.get_run("job-7", tracking_uri=tmp_path)
    assert run.status == "FINISHED"
    assert run.metric("loss").value.tolist() == [0.0] * 10
    assert run.metric("loss", rank=2).value.tolist() == [2.0] * 10
    everybody = run.metric("loss", rank="all")
    assert everybody.rank is not None
    assert sorted(set(everybody.rank.tolist())) == [0, 1, 2]
    assert run.summary("only1").count == 1


def test_an_id_that_is_there_needs_resume(tmp_path: Path) -> None:
    options = {"tracking_uri": tmp_path, "run_id": "mine", **QUIET}
    with mlops_sdk.start_run(**options, params={"lr": 0.1}) as run:
        run.log_metric("loss", 1.0)
        run.log_metric("loss", 0.5)
    with pytest.raises(RunExistsError, match="resume"):
        mlops_sdk.start_run(**options)
    with mlops_sdk.start_run(**options, resume="must") as run:
        assert run.status == "RUNNING"
        run.log_metric("loss", 0.25)
        run.log_param("lr", 0.2)
        assert run.health()["errors"] == {"ParamConflictError": 1}
    assert run.metric("loss").step.tolist() == [0, 1, 2]
    assert run.params == {"lr": 0.1}
    assert len(mlops_sdk.search_runs(tracking_uri=tmp_path)) == 1


def test_resume_must_needs_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="nothing-here"):
        mlops_sdk.start_run(tracking_uri=tmp_path, run_id="nothing-here", resume="must", **QUIET)
    with mlops_sdk.start_run(tracking_uri=tmp_path, run_id="new", resume="allow", **QUIET) as run:
        pass
    assert run.status == "FINISHED"


def test_a_run_still_on_its_way_is_seen_by_another_process(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, run_id="busy", **QUIET):
        script = (
            "import sys, mlops_sdk\n"
            "try: mlops_sdk.start_run(tracking_uri=sys.argv[1], run_id='busy')\n"
            "except mlops_sdk.RunExistsError: print('exists')\n"
        )
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.strip() == "exists"


def test_rewind_hides_what_came_after_and_keeps_it(tmp_path: Path) -> None:
    options = {"tracking_uri": tmp_path, "run_id": "r", **QUIET}
    with mlops_sdk.start_run(**options) as run:
        for step in range(10):
            run.log_metric("loss", float(step), step=step)
    with mlops_sdk.start_run(**options, resume="must", from_step=5) as run:
        run.log_metric("loss", 50.0)
        assert run.metric("loss").value.tolist() == [0, 1, 2, 3, 4, 50]
        assert run.metric("loss").step.tolist() == [0, 1, 2, 3, 4, 5]
        assert run.summary("loss").max == 50.0
        assert len(run.metric("loss", attempts="all")) == 11
    assert run.summary("loss").count == 6


def test_a_second_run_needs_nested(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as outer:
        with pytest.raises(RunActiveError, match="nested"):
            mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET)
        with mlops_sdk.start_run(tracking_uri=tmp_path, nested=True, **QUIET) as inner:
            mlops_sdk.log_metric("x", 1.0)
        assert mlops_sdk.active_run() is outer
        with outer.child(name="third", **QUIET) as third:
            pass
    assert mlops_sdk.active_run() is None
    assert inner.metrics == {"x": 1.0}
    assert inner.parent == third.parent == outer.run_id
    assert set(outer.children) == {inner.run_id, third.run_id}


def test_a_crash_is_recovered_by_resuming(tmp_path: Path) -> None:
    script = (
        "import os, sys, mlops_sdk\n"
        "run = mlops_sdk.start_run(tracking_uri=sys.argv[1], run_id='r', capture=False, system_metrics=False)\n"
        "for step in range(3000): run.log_metric('loss', float(step))\n"
        "os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)]).returncode == 9
    with mlops_sdk.start_run(tracking_uri=tmp_path, run_id="r", resume="must", **QUIET) as run:
        run.log_metric("loss", -1.0)
    series = run.metric("loss")
    assert series.step.tolist() == list(range(3001))
    assert np.array_equal(series.value, [*map(float, range(3000)), -1.0])


def test_eight_processes_start_at_once_on_a_fresh_store(tmp_path: Path) -> None:
    script = (
        "import sys, mlops_sdk\n"
        "with mlops_sdk.start_run(tracking_uri=sys.argv[1]) as run:\n"
        "    for step in range(1000): run.log_metric('loss', float(step), step=step)\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "new")], stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    errors = [child.communicate(timeout=60)[1] for child in children]
    assert [child.returncode for child in children] == [0] * 8, errors
    runs = mlops_sdk.search_runs(tracking_uri=tmp_path / "new")
    assert [run.summary("loss").count for run in runs] == [1000] * 8
    assert {run.experiment for run in runs} == {"default"}


def test_stores_may_share_a_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_SPOOL", str(tmp_path / "spool"))
    script = (
        "import os, sys, mlops_sdk\n"
        "run = mlops_sdk.start_run(tracking_uri=sys.argv[1], name=sys.argv[2], capture=False, system_metrics=False)\n"
        "run.log_metric('loss', 0.5)\n"
        "os._exit(9)\n"
    )
    for name in ("one", "two"):
        assert subprocess.run([sys.executable, "-c", script, str(tmp_path / name), name]).returncode == 9
    for name in ("one", "two"):
        (run,) = mlops_sdk.search_runs(tracking_uri=tmp_path / name)
        assert (run.name, run.status, run.metrics) == (name, "KILLED", {"loss": 0.5})
    assert sum(len(list(root.iterdir())) for root in (tmp_path / "spool").iterdir()) == 0
