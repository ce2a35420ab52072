"""Runs over a server: the same script, with nothing lost or doubled, whatever the network does."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

import mlops_sdk
from mlops_sdk.courier import outbound
from mlops_sdk.entities import RunQuery
from mlops_sdk.errors import AccessDeniedError, StoreError, StoreUnavailableError
from mlops_sdk.stores.remote import directories
from mlops_sdk.stores.sqlite.store import SQLiteStore
from tests.server.running import Running, server

QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_script_logs_to_a_server_and_reads_it_back(served: Running, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("fine")
    with mlops_sdk.start_run(tracking_uri=served.uri, name="r", params={"lr": 0.1}, tags={"a": "b"}, **QUIET) as run:
        for step in range(50):
            run.log_metric("loss", 1 / (1 + step), step=step)
        assert len(run.metric("loss")) == 50
        run.log_artifact(tmp_path / "report.txt")
        run.flush()
        assert run.health()["waiting"] == 0
    assert served.store.find(RunQuery())[0].status == "FINISHED"
    (found,) = mlops_sdk.search_runs(tracking_uri=served.uri, order_by="metrics.loss DESC")
    assert (found.name, found.params, dict(found.tags), found.status) == ("r", {"lr": 0.1}, {"a": "b"}, "FINISHED")
    assert found.metric("loss").value.tolist() == [1 / (1 + step) for step in range(50)]
    assert found.artifact("report.txt").read_text() == "fine"
    found.set_tag("c", "d")
    assert dict(mlops_sdk.get_run("r", tracking_uri=served.uri).tags) == {"a": "b", "c": "d"}
    assert [each.name for each in mlops_sdk.list_experiments(tracking_uri=served.uri)] == ["default"]
    here = mlops_sdk.get_run("r", tracking_uri=tmp_path / ".mlops")
    assert here.metric("loss").value.tolist() == found.metric("loss").value.tolist(), "the local store has it too"
    assert outbound.waiting(directories(tmp_path / ".mlops")[0][0]) == 0


def test_a_server_that_is_not_there_starts_the_run_offline_and_gets_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    (tmp_path / "model.bin").write_bytes(b"weights")
    began = time.monotonic()
    run = mlops_sdk.start_run(tracking_uri=uri, run_id="offline-run", **QUIET)
    assert time.monotonic() - began < 1.5
    for step in range(500):
        run.log_metric("loss", float(step), step=step)
    run.log_artifact(tmp_path / "model.bin")
    began = time.monotonic()
    run.finish()
    assert time.monotonic() - began < 5.0
    assert [each for each in caplog.messages if "wait for http" in each and "mlops sync" in each]
    assert len(caplog.messages) == 2, "one warning at the start, one line at the end"
    view = mlops_sdk.get_run("offline-run", tracking_uri=uri)
    assert (view.status, len(view.metric("loss"))) == ("FINISHED", 500)
    with pytest.raises(StoreUnavailableError):
        view.set_tag("a", "b")
    ((root, known),) = directories(tmp_path / ".mlops")
    assert (known, outbound.waiting(root)) == (uri, 1)
    store = SQLiteStore(tmp_path / "served")
    with server(store, tmp_path / "server", port=port) as running:
        monkeypatch.setenv("MLOPS_TOKEN", running.secret)
        from mlops_sdk.stores.opening import open_place

        place = open_place(uri)
        for _ in range(2):
            report = outbound.send(place.home, place.remote, root)
            assert report.errors == []
        assert outbound.waiting(root) == 0
        found = mlops_sdk.get_run("offline-run", tracking_uri=tmp_path / "served")
        assert found.metric("loss").value.tolist() == [float(step) for step in range(500)]
        assert (found.status, found.artifact("model.bin").read_bytes()) == ("FINISHED", b"weights")
    store.close()


@pytest.mark.slow
def test_a_server_that_swallows_everything_holds_nobody(tmp_path: Path) -> None:
    """It takes connections and never answers."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(50)
        uri = f"http://127.0.0.1:{hole.getsockname()[1]}"
        began = time.monotonic()
        run = mlops_sdk.start_run(tracking_uri=uri, **QUIET)
        assert time.monotonic() - began < 1.5
        run.log_metric("loss", 1.0)
        began = time.monotonic()
        run.finish()
        assert time.monotonic() - began < 5.5
    view = mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path / ".mlops")
    assert (view.status, view.metric("loss").value.tolist()) == ("FINISHED", [1.0])


def test_a_wrong_token_and_another_program_are_errors_of_the_start(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_TOKEN", "wrong")
    with pytest.raises(AccessDeniedError, match="mlops token create"):
        mlops_sdk.start_run(tracking_uri=served.uri, **QUIET)
    monkeypatch.delenv("MLOPS_TOKEN")
    with pytest.raises(AccessDeniedError):
        mlops_sdk.search_runs(tracking_uri=served.uri)
    with pytest.raises(StoreError):
        mlops_sdk.start_run(tracking_uri=f"{served.uri}/elsewhere", **QUIET)


def test_offline_mode_sends_nothing_and_sync_sends_it(
    served: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from mlops_sdk.cli.program import mlops

    monkeypatch.setenv("MLOPS_MODE", "offline")
    with mlops_sdk.start_run(run_id="no-server-named", **QUIET) as run:
        run.log_metric("loss", 1.0)
    with mlops_sdk.start_run(tracking_uri=served.uri, run_id="server-named", **QUIET) as run:
        run.log_metric("loss", 2.0)
    assert [each.run_id for each in mlops_sdk.search_runs(tracking_uri=served.uri)] == [
        "server-named",
        "no-server-named",
    ]
    assert served.store.find(RunQuery()) == []
    monkeypatch.delenv("MLOPS_MODE")
    result = CliRunner().invoke(mlops, ["sync"])
    assert result.exit_code == 0, result.output
    assert [each.run_id for each in served.store.find(RunQuery())] == ["server-named"]
    result = CliRunner().invoke(mlops, ["sync", "--to", served.uri])
    assert result.exit_code == 0, result.output
    assert sorted(each.run_id for each in served.store.find(RunQuery())) == ["no-server-named", "server-named"]
    assert served.store.series("no-server-named", "loss").value.tolist() == [1.0]


def test_a_run_resumes_over_a_server(served: Running) -> None:
    with mlops_sdk.start_run(tracking_uri=served.uri, run_id="job", **QUIET) as run:
        run.log_metric("loss", 1.0)
    with pytest.raises(mlops_sdk.RunExistsError):
        mlops_sdk.start_run(tracking_uri=served.uri, run_id="job", **QUIET)
    with mlops_sdk.start_run(tracking_uri=served.uri, run_id="job", resume="must", **QUIET) as run:
        run.log_metric("loss", 2.0)
    series = mlops_sdk.get_run("job", tracking_uri=served.uri).metric("loss")
    assert (series.step.tolist(), series.value.tolist()) == ([0, 1], [1.0, 2.0])


def test_a_server_that_goes_and_comes_back_gets_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, store = free_port(), SQLiteStore(tmp_path / "served")
    monkeypatch.setattr("mlops_sdk.courier.route._RETRY_LONGEST_S", 0.3)
    with server(store, tmp_path / "server", port=port) as running:
        monkeypatch.setenv("MLOPS_TOKEN", running.secret)
        run = mlops_sdk.start_run(tracking_uri=running.uri, run_id="r", **QUIET)
        for step in range(100):
            run.log_metric("loss", float(step), step=step)
        run.flush()
    for step in range(100, 200):
        run.log_metric("loss", float(step), step=step)
    assert len(run.metric("loss")) == 200, "what a run reads of itself needs no network"
    with pytest.raises(StoreUnavailableError):
        run.flush(2.0)
    with server(store, tmp_path / "server", port=port):
        for step in range(200, 300):
            run.log_metric("loss", float(step), step=step)
        run.finish()
        assert store.series("r", "loss").value.tolist() == [float(step) for step in range(300)]
    assert run.health()["waiting"] == 0
    store.close()
