"""G12 and G16: no call fails because another process uses the store; what is made at once by many is made once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import mlops_sdk
from tests.guarantees import processes

_WRITER = """
import random, sys, mlops_sdk
uri, number = sys.argv[1], int(sys.argv[2])
rng = random.Random(number)
for k in range(2):
    with mlops_sdk.start_run(tracking_uri=uri, run_id=f"w{number}-{k}", experiment=f"e{number % 4}",
                             capture=False, system_metrics=False) as run:
        run.log_params({"number": number, "k": k})
        for step in range(300):
            run.log_metric("loss", number * 1000.0 + step, step=step)
            if rng.random() < 0.01:
                run.flush()
        run.log_text(f"artifact of {number % 3}", "a.txt")
        run.set_tag("done", "yes")
    assert run.health()["errors"] == {}, run.health()
"""
_READER = """
import sys, mlops_sdk
from pathlib import Path
from mlops_sdk import MlopsError
uri, flag = sys.argv[1], Path(sys.argv[2])
n = 0
while not flag.exists() or n < 3:
    for run in mlops_sdk.search_runs(tracking_uri=uri, order_by="metrics.loss DESC", limit=5):
        series = run.metric("loss")
        assert (series.step == range(len(series))).all()
        assert dict(run.params).keys() <= {"number", "k"}
    store = mlops_sdk.open_store(uri)
    if n % 3 == 0:
        for head in mlops_sdk.search_runs(tracking_uri=uri, limit=2):
            store.compact(head.run_id, final=n % 2 == 0)
    n += 1
print(n)
"""


@pytest.mark.slow
def test_writers_readers_and_compactions_share_a_store(tmp_path: Path) -> None:
    flag, store, n_writers = tmp_path / "over", tmp_path / "store", 16
    writers = [processes.start(_WRITER, store, number) for number in range(n_writers)]
    readers = [processes.start(_READER, store, flag) for _ in range(4)]
    failed = [err for child in writers for _, err in [child.communicate(timeout=100)] if child.returncode]
    flag.touch()
    results = [child.communicate(timeout=100) for child in readers]
    failed += [err for child, (_, err) in zip(readers, results, strict=True) if child.returncode]
    assert failed == []
    runs = mlops_sdk.search_runs(tracking_uri=store)
    assert len(runs) == 2 * n_writers
    for run in runs:
        series = run.metric("loss")
        assert series.value.tolist() == [run.params["number"] * 1000.0 + step for step in range(300)]
        assert (run.status, dict(run.tags)) == ("FINISHED", {"done": "yes"})
        assert run.artifact("a.txt").read_text() == f"artifact of {run.params['number'] % 3}"
    assert {each.name for each in mlops_sdk.list_experiments(tracking_uri=store)} == {"e0", "e1", "e2", "e3"}
    assert list((store / "journals").iterdir()) == []
    assert mlops_sdk.open_store(store).fsck() == []  # type: ignore[attr-defined]
    print(f"G12: {n_writers} writers, 4 readers ({sum(int(out) for out, _ in results)} rounds), 0 errors, 0 lost")


_TOGETHER = """
import json, sys, time
import mlops_sdk
import mlops_sdk.stores.sqlite.store
uri, what, at, number = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
options = {"experiment": "same"} if what == "experiment" else {"run_id": "same", "resume": "allow"}
while time.time() < at:
    pass
run = mlops_sdk.start_run(tracking_uri=uri, capture=False, system_metrics=False, **options)
run.log_metric(f"m{number}", float(number), step=0)
run.log_metric("shared", float(number), step=number)
run.finish()
print(json.dumps(run.health()["errors"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["experiment", "run"])
def test_what_many_make_at_once_is_made_once(tmp_path: Path, what: str) -> None:
    n = 32
    at = time.time() + 3.0
    children = [processes.start(_TOGETHER, tmp_path, what, at, number) for number in range(n)]
    done = [child.communicate(timeout=100) for child in children]
    assert [err for child, (_, err) in zip(children, done, strict=True) if child.returncode] == []
    assert [json.loads(out) for out, _ in done] == [{}] * n
    runs = mlops_sdk.search_runs(tracking_uri=tmp_path)
    (experiment,) = mlops_sdk.list_experiments(tracking_uri=tmp_path)
    assert experiment.n_runs == len(runs) == (n if what == "experiment" else 1)
    assert sorted({key for run in runs for key in run.metrics}) == sorted([*(f"m{i}" for i in range(n)), "shared"])
    if what == "run":
        assert runs[0].metric("shared", rank="all").step.tolist() == list(range(n))
        assert runs[0].status == "FINISHED"
    print(f"G16 {what}: {n} processes at once, {len(runs)} runs, 1 experiment, 0 errors")


@pytest.mark.slow
def test_a_run_that_is_resumed_twice_at_once_keeps_both(tmp_path: Path) -> None:
    """A34."""
    with mlops_sdk.start_run(tracking_uri=tmp_path, run_id="same", capture=False, system_metrics=False) as run:
        run.log_metric("shared", -1.0, step=-1)
    at = time.time() + 2.0
    children = [processes.start(_TOGETHER, tmp_path, "run", at, number) for number in range(4)]
    assert all(child.wait(60) == 0 for child in children), [child.communicate() for child in children]
    for child in children:
        child.communicate()
    view = mlops_sdk.get_run("same", tracking_uri=tmp_path)
    assert view.metric("shared", rank="all").step.tolist() == [-1, 0, 1, 2, 3]
    assert len(mlops_sdk.search_runs(tracking_uri=tmp_path)) == 1


_DELETER = """
import sys, mlops_sdk
for _ in range(15):
    mlops_sdk.delete_run("target", tracking_uri=sys.argv[1])
    mlops_sdk.restore_run("target", tracking_uri=sys.argv[1])
mlops_sdk.delete_run("target", tracking_uri=sys.argv[1])
mlops_sdk.open_store(sys.argv[1]).gc(grace_s=0)
"""


@pytest.mark.slow
def test_a_run_that_is_deleted_while_it_is_read_is_read_whole_or_not_found(tmp_path: Path) -> None:
    """A34."""
    with mlops_sdk.start_run(tracking_uri=tmp_path, run_id="target", capture=False, system_metrics=False) as run:
        for step in range(5_000):
            run.log_metric("loss", float(step), step=step)
    view = mlops_sdk.get_run("target", tracking_uri=tmp_path)
    deleter = processes.start(_DELETER, tmp_path)
    whole = gone = 0
    while deleter.poll() is None:
        try:
            assert len(view.metric("loss")) == 5_000
            whole += 1
        except mlops_sdk.NotFoundError:
            gone += 1
    _, err = deleter.communicate()
    assert deleter.returncode == 0, err
    assert whole > 0
    with pytest.raises(LookupError):
        mlops_sdk.get_run("target", tracking_uri=tmp_path)
    print(f"A34 delete while reading: {whole} whole, {gone} not found")
