"""``mlops watch``: a run is followed until it ends, however it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import mlops_sdk
from tests.unit.cli.conftest import HOSTILE, QUIET, Mlops
from tests.unit.terminals import HAS_TERMINALS, shown_on_a_terminal

TRAINING = """
import sys, time, mlops_sdk
with mlops_sdk.start_run(run_id="watched", tracking_uri=sys.argv[1], capture=False, system_metrics=False) as run:
    run.log_metric("loss", 1.0, step=0)
    run.flush()
    print("started", flush=True)
    sys.stdin.readline()
    run.log_metric("loss", 0.5, step=1)
    if sys.argv[2] == "fail":
        raise ValueError("on purpose")
"""


def _start(store: Path, how: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(store), how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "started\n"
    return child


def _watch(store: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlops_sdk.cli", "watch", "watched", "--interval", "0.1", "--store", str(store)]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_run_that_has_ended_is_one_line(mlops: Mlops, made: Path) -> None:
    result = mlops("watch", "fast", "--store", made)
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert line.startswith("FINISHED  0.")
    assert "step 49" in line
    assert "loss 2.28973e-11" in line
    assert "system/" not in line


def test_a_failed_run_has_another_exit_code(mlops: Mlops, made: Path) -> None:
    assert mlops("watch", "broken", "--store", made).exit_code == 1


def test_metrics_can_be_picked_and_a_wrong_one_is_told(mlops: Mlops, made: Path) -> None:
    record = json.loads(mlops("watch", "fast", "-m", "acc", "--json", "--store", made).stdout)
    assert record["metrics"] == {"acc": {"last": 0.25, "step": 49, "count": 1}}
    result = mlops("watch", "fast", "-m", "nope", "--store", made)
    assert (result.exit_code, "no metric 'nope'" in result.stderr) == (1, True)


def test_hostile_names_are_harmless(mlops: Mlops, tmp_path: Path) -> None:
    with mlops_sdk.start_run(name=HOSTILE, run_id="hostile", tracking_uri=tmp_path, **QUIET) as run:
        run.log_metric(HOSTILE, 1.0)
    output = mlops("watch", "hostile", "--store", tmp_path).stdout
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(output)


@pytest.mark.slow
@pytest.mark.parametrize("how, status, code", [("end", "FINISHED", 0), ("fail", "FAILED", 1), ("kill", "KILLED", 1)])
def test_through_a_pipe_until_the_run_ends(tmp_path: Path, how: str, status: str, code: int) -> None:
    training = _start(tmp_path, how)
    watching = _watch(tmp_path, "--json")
    assert watching.stdout is not None
    first = json.loads(watching.stdout.readline())
    assert (first["status"], first["metrics"]["loss"]["last"]) == ("RUNNING", 1.0)
    if how == "kill":
        training.kill()
    else:
        assert training.stdin is not None
        training.stdin.write("\n")
        training.stdin.flush()
    out, err = watching.communicate(timeout=30)
    training.communicate(timeout=30)
    last = json.loads(out.splitlines()[-1])
    assert (last["status"], watching.returncode, err) == (status, code, "")
    assert last["metrics"]["loss"]["last"] == (1.0 if how == "kill" else 0.5)


@pytest.mark.slow
def test_an_interrupt_ends_watching_and_not_the_run(tmp_path: Path) -> None:
    training = _start(tmp_path, "end")
    watching = _watch(tmp_path)
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith("RUNNING")
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=30)
    assert (watching.returncode, out, "Traceback" in err) == (130, "", False)
    training.communicate("\n", timeout=30)
    assert mlops_sdk.get_run("watched", tracking_uri=tmp_path).status == "FINISHED"


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TERMINALS, reason="a terminal is needed")
def test_on_a_terminal_one_picture_is_kept_up_to_date(made: Path) -> None:
    text = shown_on_a_terminal([sys.executable, "-m", "mlops_sdk.cli", "watch", "fast", "--store", str(made)])
    assert "fast  FINISHED" in text
    assert "█" in text
