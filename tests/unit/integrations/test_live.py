"""A live view shows what the store has, costs little, ends with the run, and raises nothing into it."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import mlops_sdk
from mlops_sdk.entities import MetricSummary
from mlops_sdk.integrations.live import Live, live_card, live_line, start
from mlops_sdk.query.view import RunView
from tests.unit.markup.safety import HOSTILE, Checked
from tests.unit.terminals import HAS_TERMINALS, shown_on_a_terminal

QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}


class Recorded:
    """A display that keeps what it was shown, and may fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.shown: list[tuple[str, dict[str, float]]] = []
        self.is_closed = False
        self.fails = fails
        self.calls = 0

    def show(self, view: RunView, metrics: Sequence[MetricSummary], status: str) -> None:
        self.calls += 1
        if self.fails:
            raise RuntimeError("the display is gone")
        self.shown.append((status, {each.key: each.last for each in metrics}))

    def close(self) -> None:
        self.is_closed = True
        if self.fails:
            raise RuntimeError("still gone")


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_follows_the_run_to_its_end(tmp_path: Path) -> None:
    display = Recorded()
    with pytest.raises(ValueError, match="on purpose"), mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:  # noqa: PT012 - the end of the block is the subject
        run._live = Live(run, ["loss", "later"], display, interval_s=0.01)
        run.log_metrics({"loss": 1.0, "other": 2.0})
        run.flush()
        _until(lambda: display.shown)
        run.log_metrics({"loss": 0.5, "later": 3.0})
        raise ValueError("on purpose")
    assert display.shown[0] == ("RUNNING", {"loss": 1.0})
    assert display.shown[-1] == ("FAILED", {"loss": 0.5, "later": 3.0})
    assert display.is_closed


def test_nothing_new_is_not_shown_again(tmp_path: Path) -> None:
    display = Recorded()
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        live = run._live = Live(run, [], display, interval_s=0.01)
        run.log_metrics({"loss": math.nan, "system/cpu": 1.0})
        run.flush()
        _until(lambda: display.shown)
        for _ in range(5):
            live._look()
        assert len(display.shown) == 1
        assert list(display.shown[0][1]) == ["loss"]
    assert [status for status, _ in display.shown] == ["RUNNING", "FINISHED"]


def test_a_display_that_fails_is_no_matter_of_the_training(tmp_path: Path) -> None:
    display = Recorded(fails=True)
    with mlops_sdk.start_run(tracking_uri=tmp_path, strict=True, **QUIET) as run:
        live = run._live = Live(run, [], display, interval_s=0.01)
        run.log_metric("loss", 1.0)
        run.flush()
        _until(lambda: display.calls)
    assert isinstance(live.last_error, RuntimeError)
    assert run.health()["errors"] == {}
    assert mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path).status == "FINISHED"


def test_a_display_that_hangs_holds_the_end_up_for_a_second_at_most(tmp_path: Path) -> None:
    gate = threading.Event()

    class Hanging(Recorded):
        def show(self, view: RunView, metrics: Sequence[MetricSummary], status: str) -> None:
            gate.wait(30)

    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        run._live = Live(run, [], Hanging(), interval_s=0.01)
        run.log_metric("loss", 1.0)
        run.flush()
        begun = time.monotonic()
    assert time.monotonic() - begun < 1.8
    gate.set()
    assert mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path).status == "FINISHED"


def test_where_nobody_sees_it_nothing_happens(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        before = threading.active_count()
        run.live("loss")
        assert run._live is None
        assert start(run, ["loss"]) is None
        assert threading.active_count() == before
    with mlops_sdk.start_run(mode="disabled") as run:
        run.live("loss")


def test_called_again_it_moves(tmp_path: Path) -> None:
    first = Recorded()
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        run._live = Live(run, [], first, interval_s=0.01)
        run.live()
        assert first.is_closed
        assert [status for status, _ in first.shown if status != "RUNNING"] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_none(tmp_path: Path) -> None:
    display = Recorded()
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        run._live = Live(run, [], display, interval_s=0.01)
        run.log_metric("loss", 1.0)
        pid = os.fork()
        if pid == 0:
            is_well = run._live is None
            run.log_metric("child", 2.0)
            run.finish()
            os._exit(0 if is_well else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert display.shown[-1][0] == "FINISHED"
    assert mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path).metrics == {"loss": 1.0, "child": 2.0}


@pytest.mark.parametrize("hostile", [each for each in HOSTILE if len(each.encode()) < 1000])
def test_stored_text_is_only_text(tmp_path: Path, hostile: str) -> None:
    with mlops_sdk.start_run(name=hostile, tracking_uri=tmp_path, **QUIET) as run:
        run.log_metric(hostile, 1.0)
        run.log_metric(hostile, 2.0)
    view = mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path)
    metrics = [view.summary(hostile)]
    Checked(live_card(view, metrics, "RUNNING"))
    line = live_line(view, metrics, "RUNNING")
    assert all(character.isprintable() or character in "\u200c\u200d" for character in line)


SCRIPT = """
import sys, time, mlops_sdk
with mlops_sdk.start_run(name="seen", run_id="seen", tracking_uri=sys.argv[1], system_metrics=False) as run:
    run.live("loss")
    for step in range(3):
        run.log_metric("loss", 1.0 / (1 + step), step=step)
        print("epoch", step)
    run.flush()
    time.sleep(0.7)
print("after")
"""


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TERMINALS, reason="a terminal is needed")
def test_in_a_terminal_what_is_printed_stands_above_the_line(tmp_path: Path) -> None:
    text = shown_on_a_terminal([sys.executable, "-c", SCRIPT, str(tmp_path)])
    assert "epoch 2" in text
    assert text.rstrip().endswith("after")
    assert "seen  FINISHED" in text
    assert "loss" in text.split("seen  FINISHED")[1]
    output = mlops_sdk.get_run("seen", tracking_uri=tmp_path).environment["output"]
    assert output.splitlines()[:3] == ["epoch 0", "epoch 1", "epoch 2"]
