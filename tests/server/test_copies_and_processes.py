"""A34 over a server: copies of a spool that went different ways, processes that fork and die."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

import mlops_sdk
from mlops_sdk.cli.program import mlops
from mlops_sdk.courier import outbound
from mlops_sdk.stores.remote import directories
from tests.guarantees import processes
from tests.guarantees.test_a_hostile_stores import _diverge
from tests.server.running import Running
from tests.server.test_remote_runs import QUIET

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and signals")

_LEAVE = """
import os, sys, signal, mlops_sdk
run = mlops_sdk.start_run(tracking_uri=sys.argv[1] or None, run_id=sys.argv[2], capture=False, system_metrics=False)
run.log_text("left behind", "note.txt")
for step in range(100):
    run.log_metric("common", float(step), step=step)
if sys.argv[3] == "flush":
    run.flush()
    run.log_metric("late", 1.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def sync(*words: object) -> str:
    result = CliRunner().invoke(mlops, ["sync", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.output


def test_two_machines_send_copies_that_went_different_ways(
    served: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_MODE", "offline")
    assert processes.run(_LEAVE, "", "r", "no").returncode == -signal.SIGKILL
    monkeypatch.delenv("MLOPS_MODE")
    ((root, uri),) = directories(tmp_path / ".mlops")
    assert uri == ""
    homes = [tmp_path / "one" / ".mlops", tmp_path / "two" / ".mlops", tmp_path / "again" / ".mlops"]
    for home in homes:
        shutil.copytree(tmp_path / ".mlops", home)
    for home, key in zip(homes, ("first", "second", "second"), strict=True):
        (directory,) = (home / "remote" / root.name).iterdir()
        _diverge(directory, key)
    for home in homes:
        assert "sent 1 journal" in sync("--to", served.uri, "--store", home)
    sync("--to", served.uri)  # and the one that all were copied from
    view = mlops_sdk.get_run("r", tracking_uri=served.uri)
    assert {key: view.metric(key, rank="all").value.tolist() for key in view.metrics} == {
        "common": [float(step) for step in range(100)],
        "first": [99.0] * 300,
        "second": [99.0] * 300,
    }
    assert (view.status, view.artifact("note.txt").read_text()) == ("KILLED", "left behind")
    for home in homes:
        assert outbound.waiting(home / "remote" / root.name) == 0


def test_what_a_killed_process_left_is_sent_by_the_next(served: Running, tmp_path: Path) -> None:
    assert processes.run(_LEAVE, served.uri, "dead", "flush").returncode == -signal.SIGKILL
    assert served.store.series("dead", "common").value.tolist() == [float(step) for step in range(100)]
    sync()
    view = mlops_sdk.get_run("dead", tracking_uri=served.uri)
    assert (view.status, view.metric("late").value.tolist()) == ("KILLED", [1.0])
    here = mlops_sdk.get_run("dead", tracking_uri=tmp_path / ".mlops")
    assert (here.status, here.metric("late").value.tolist()) == ("KILLED", [1.0])


def test_a_forked_child_logs_to_the_server_too(served: Running) -> None:
    run = mlops_sdk.start_run(tracking_uri=served.uri, run_id="r", **QUIET)
    run.log_metric("parent", 1.0)
    run.flush()
    child = os.fork()
    if child == 0:
        try:
            run.log_metric("child", 2.0)
            run.flush(20)
            run.finish()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    run.log_metric("parent", 3.0)
    run.finish()
    view = mlops_sdk.get_run("r", tracking_uri=served.uri)
    assert (view.metric("parent").value.tolist(), view.metric("child").value.tolist()) == ([1.0, 3.0], [2.0])
    assert view.status == "FINISHED"
