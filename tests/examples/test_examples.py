"""Each example runs as it stands, and records and prints what it is there to show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mlops_sdk

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = {path.stem for path in EXAMPLES.glob("*.py")}
MAX_LINES = 60


def run_example(name: str, directory: Path, **environment: str) -> str:
    """Run an example in `directory`; returns what it printed."""
    outcome = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert outcome.returncode == 0, outcome.stderr
    said = [line for line in outcome.stderr.splitlines() if not line.startswith("mlops_sdk: runs are kept in ")]
    assert said == [], "an example runs without a warning"
    return outcome.stdout


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_every_example_has_a_test_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert len(NAMES) >= 5
    assert [name for name in NAMES if f'run_example("{name}"' not in text] == []


@pytest.mark.parametrize("name", sorted(NAMES))
def test_an_example_fits_on_a_screen_and_says_how_to_run_it(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    assert f"python examples/{name}.py" in text


def test_hello_run(tmp_path: Path) -> None:
    printed = run_example("hello_run", tmp_path)
    run = mlops_sdk.get_run("first", tracking_uri=tmp_path / ".mlops")
    assert run.status == "FINISHED"
    assert run.params == {"lr": 0.1, "layers": [64, 10]}
    assert run.metric("loss").value.tolist() == [1 / (1 + 0.1 * step) for step in range(100)]
    assert run.artifact("notes.txt").read_text() == "The first run.\n"
    assert "first: FINISHED" in printed
    assert f"kept in {tmp_path / '.mlops'}" in printed


def test_numpy_training_loop(tmp_path: Path, store: Path) -> None:
    printed = run_example("numpy_training_loop", tmp_path, MLOPS_TRACKING_URI=str(store))
    (run,) = mlops_sdk.search_runs(experiment="numpy", tracking_uri=store)
    loss = run.summary("train/loss")
    assert (loss.count, loss.last_step) == (300, 299)
    assert loss.last < 0.3 < loss.first
    assert run.summary("test/accuracy").count == 30
    assert run.summary("test/accuracy").max > 0.9
    assert len(run.artifact("weights.csv").read_text().splitlines()) == 5
    assert f"best accuracy {run.summary('test/accuracy').max:.3f}" in printed
    assert not (tmp_path / ".mlops").exists(), "the store named by the environment is the one used"


@pytest.mark.slow
def test_resume_after_crash(tmp_path: Path, store: Path) -> None:
    printed = run_example("resume_after_crash", tmp_path, MLOPS_TRACKING_URI=str(store))
    (run,) = mlops_sdk.search_runs(experiment="resume", tracking_uri=store)
    assert run.status == "FINISHED"
    assert run.metric("loss").step.tolist() == list(range(100))
    weight = 0.0
    expected = [(3 - (weight := weight + 0.1 * (3 - weight))) ** 2 for _ in range(100)]
    assert run.metric("loss").value.tolist() == expected, "as if nothing had happened"
    assert len(run.metric("loss", attempts="all")) == 60 + 50, "what came after the checkpoint is kept"
    assert "exit code 9: KILLED (lost:process), 60 points safe" in printed
    assert "each once: True" in printed


@pytest.mark.slow
def test_many_processes(tmp_path: Path, store: Path) -> None:
    printed = run_example("many_processes", tmp_path, MLOPS_TRACKING_URI=str(store))
    (run,) = mlops_sdk.search_runs(experiment="processes", tracking_uri=store)
    assert run.status == "FINISHED"
    for fold in range(4):
        values = run.metric(f"fold_{fold}/loss").value.tolist()
        assert values == [1 / (1 + step + fold) for step in range(50)]
    for rank in range(2):
        assert run.metric("loss", rank=rank).value.tolist() == [(rank + 1) / (1 + step) for step in range(50)]
    assert "loss: 100 points of ranks [0, 1]" in printed


@pytest.mark.slow
def test_read_with_sqlite3(tmp_path: Path, store: Path) -> None:
    printed = run_example("read_with_sqlite3", tmp_path, MLOPS_TRACKING_URI=str(store))
    lines = printed.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["lr", "1.0"], ["lr", "0.1"], ["lr", "0.01"]], "best first"
    assert "lr=0.1   loss=0.135085 at step 19" in printed
    assert any(line.split() == ["lr", "0.01", "0.01", "sgd"] for line in lines)


@pytest.mark.slow
def test_sklearn_grid_search(tmp_path: Path, store: Path) -> None:
    pytest.importorskip("sklearn")
    printed = run_example("sklearn_grid_search", tmp_path, MLOPS_TRACKING_URI=str(store))
    (run,) = mlops_sdk.search_runs(experiment="sklearn", tracking_uri=store)
    assert run.status == "FINISHED"
    assert len(run.cv_results()) == 4
    assert printed.count("* C=") == 1
    assert run.metrics["test_accuracy"] > 0.9
    assert f"test accuracy {run.metrics['test_accuracy']:.3f}" in printed
