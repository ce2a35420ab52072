"""Trouble at the start: bad arguments, stores that are none, and what the calls after an end do."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import mlops_sdk
from mlops_sdk.courier import recovery
from mlops_sdk.errors import ForeignStoreError, InvalidValueError, RunFinishedError
from mlops_sdk.stores.opening import open_place

QUIET: dict[str, Any] = {"system_metrics": False, "capture": False}


@pytest.mark.parametrize(
    "arguments",
    [
        {"tags": 5},
        {"tags": "baseline"},
        {"tags": ["fine", ""]},
        {"params": 5},
        {"params": ["C"]},
        {"name": 5},
        {"description": 5},
        {"capture": "git"},
        {"capture": 5},
        {"experiment": ""},
    ],
    ids=str,
)
def test_a_bad_argument_leaves_no_run_behind(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        mlops_sdk.start_run(tracking_uri=tmp_path, **{**QUIET, **arguments})
    assert mlops_sdk.active_run() is None
    assert len(mlops_sdk.search_runs(tracking_uri=tmp_path)) == 0


def test_a_strict_run_whose_params_are_refused_has_ended(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError):
        mlops_sdk.start_run(tracking_uri=tmp_path, params={"": 1}, strict=True, **QUIET)
    assert mlops_sdk.active_run() is None
    assert [run.status for run in mlops_sdk.search_runs(tracking_uri=tmp_path)] == ["FAILED"]


@pytest.mark.parametrize(
    "uri", ["ftp://host/x", "s3://bucket/key", "postgresql://host/db", "sqlite:x.db", "sqlite://x"]
)
def test_a_store_that_nobody_knows_is_refused_at_the_start(uri: str) -> None:
    with pytest.raises(InvalidValueError):
        mlops_sdk.start_run(tracking_uri=uri, **QUIET)
    assert mlops_sdk.active_run() is None


def test_a_database_of_another_program_is_refused_and_nothing_is_made_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE runs (run_uuid TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    for uri in (f"sqlite:///{path}", str(path)):
        with pytest.raises(ForeignStoreError, match=r"mlflow\.db"):
            mlops_sdk.start_run(tracking_uri=uri, **QUIET)
    assert os.listdir(tmp_path) == ["mlflow.db"]
    assert path.read_bytes() == before


def test_two_names_of_databases_are_two_stores(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        with mlops_sdk.start_run(tracking_uri=f"sqlite:///{tmp_path / name}", name=name, **QUIET):
            pass
    for name in ("a.db", "b.db"):
        found = mlops_sdk.search_runs(tracking_uri=f"sqlite:///{tmp_path / name}")
        assert [run.name for run in found] == [name]
        inside = mlops_sdk.search_runs(tracking_uri=f"sqlite:///{tmp_path / name / 'store.db'}")
        assert [run.name for run in inside] == [name]


def test_looking_for_runs_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert len(mlops_sdk.search_runs()) == 0
    assert mlops_sdk.list_experiments() == []
    assert os.listdir(empty) == []
    with mlops_sdk.start_run(**QUIET):
        pass
    assert len(mlops_sdk.search_runs()) == 1


def test_the_place_that_started_a_run_is_the_users(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mlops_sdk.set_tracking_uri(tmp_path)
    try:
        line = sys._getframe().f_lineno + 1
        mlops_sdk.log_param("p", 1)
        assert f"{__file__}:{line} started run" in caplog.text
    finally:
        mlops_sdk.end_run()
        mlops_sdk.set_tracking_uri(None)


@pytest.mark.parametrize("is_captured", [True, False])
def test_a_run_that_is_over_takes_nothing_more(tmp_path: Path, is_captured: bool) -> None:
    """With capture, the journal stays open a moment after the end, for what the capture brings."""
    with mlops_sdk.start_run(tracking_uri=tmp_path, system_metrics=False, capture=is_captured) as run:
        run.log_metric("loss", 1.0)
    run.log_metric("loss", 2.0)
    run.log_metrics({"loss": 3.0, "late": 1.0})
    run.log_param("late", 1)
    run.set_tag("late", "1")
    assert not run.log_text("late", "late.txt")
    assert run.health()["errors"] == {"RunFinishedError": 5}
    view = mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path)
    assert list(view.metric("loss").value) == [1.0]
    assert (list(view.metrics), dict(view.params), dict(view.tags), list(view.artifacts)) == (["loss"], {}, {}, [])


def test_a_strict_run_that_is_over_raises(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, system_metrics=False, strict=True) as run:
        pass
    for call in (
        lambda: run.log_metric("loss", 1.0),
        lambda: run.log_metrics({"loss": 1}),
        lambda: run.log_param("p", 1),
        lambda: run.log_text("t", "t.txt"),
        lambda: run.define_metric("loss", mode="min"),
    ):
        with pytest.raises(RunFinishedError):
            call()


def test_each_cause_is_said_once_whatever_the_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        for number in range(50):
            run.log_metric(f"text{number}", "0.5")
        run.log_metric("", 1.0)
        run.define_metric("acc", mode="upwards")  # type: ignore[arg-type]
        said = [record.getMessage() for record in caplog.records if "said once" in record.getMessage()]
    assert len(said) == 3, said
    assert run.health()["errors"] == {"InvalidValueError": 52}


def test_a_cause_in_ever_new_words_is_not_said_for_ever(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        for number in range(200):
            run._troubles.count("Odd", "word " + "x" * number)
        said = [record for record in caplog.records if "said once" in record.getMessage()]
    assert len(said) == 20
    assert run.health()["errors"] == {"Odd": 200}


def test_log_metrics_takes_its_mapping_by_name(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        run.log_metrics(mapping={"a": 1.0})
        mlops_sdk.log_metrics(mapping={"b": 1}, step=3)
    assert dict(mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path).metrics) == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize("arguments", [{"limit": 1.5}, {"limit": "2"}, {"offset": None}, {"filter": 5}], ids=str)
def test_a_search_says_what_is_wrong_with_its_arguments(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        mlops_sdk.search_runs(tracking_uri=tmp_path, **arguments)


@pytest.mark.parametrize("max_points", [0, -1, "100", 1.5])
def test_a_curve_of_no_points_cannot_be_asked_for(tmp_path: Path, max_points: Any) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        run.log_metric("loss", 1.0)
        with pytest.raises(InvalidValueError, match="max_points"):
            run.metric("loss", max_points=max_points)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_reader_waits_for_the_sweep_of_its_own_courier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker logged before it died is there for who reads next, though the courier has its journal in hand."""
    mlops_sdk.set_tracking_uri(tmp_path)
    with mlops_sdk.start_run(run_id="r", **QUIET) as run:
        pid = os.fork()
        if pid == 0:
            run.log_metric("of_worker", 1.0)
            os._exit(0)
        os.waitpid(pid, 0)
        is_held, may_go_on = threading.Event(), threading.Event()
        deliver = recovery._deliver

        def slow(*arguments: Any, **options: Any) -> None:
            is_held.set()
            may_go_on.wait(10)
            deliver(*arguments, **options)

        monkeypatch.setattr(recovery, "_deliver", slow)
        place = open_place(tmp_path)
        sweeper = threading.Thread(target=lambda: recovery.sweep(place.store, place.journal_roots()[0]))
        sweeper.start()
        assert is_held.wait(10)
        monkeypatch.setattr(recovery, "READER_LIMIT_S", 10.0)
        threading.Timer(0.05, may_go_on.set).start()
        view = mlops_sdk.get_run("r")
        assert list(view.metric("of_worker").value) == [1.0]
        sweeper.join()
    mlops_sdk.set_tracking_uri(None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_reader_of_one_run_gets_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However many writers died; whoever lists runs is answered soon, and told that some of it is still to come."""
    mlops_sdk.set_tracking_uri(tmp_path)
    said, say = os.pipe()
    children = []
    for number in range(3):
        children.append(os.fork())
        if children[-1] == 0:
            run = mlops_sdk.start_run(run_id=f"r{number}", **QUIET)
            run.log_metric("m", float(number))
            os.write(say, b"x")
            signal.pause()
    for _ in children:
        os.read(said, 1)  # so that none of them finds the others dead
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for end in (said, say):
        os.close(end)
    monkeypatch.setattr(recovery, "READER_LIMIT_S", 0.0)
    mlops_sdk.search_runs()
    assert "still being read in" in caplog.text
    assert [list(mlops_sdk.get_run(f"r{number}").metric("m").value) for number in range(3)] == [[0.0], [1.0], [2.0]]
    caplog.clear()
    assert len(mlops_sdk.search_runs()) == 3
    assert caplog.text == ""
    mlops_sdk.set_tracking_uri(None)
