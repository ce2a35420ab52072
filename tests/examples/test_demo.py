"""The demo, shortened to a few rounds: what it records, draws and prints is there and right."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

import mlops_sdk
from mlops_sdk import demo

MODELS = {"linear-sgd", "mlp", "random-forest", "boosting"}
ARTIFACTS = {"confusion-matrix.png", "data/test-split.csv", "model/model.joblib", "model/model.json"}
N_ROUNDS = 3


@pytest.mark.slow
def test_demo_records_draws_and_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_N_ROUNDS", N_ROUNDS)
    output, store = tmp_path / "out", tmp_path / "a store"
    demo.run_demo(output, str(store))
    printed = capsys.readouterr().out

    runs = mlops_sdk.search_runs(experiment="digits-demo", tracking_uri=store)
    assert {run.name for run in runs} == MODELS
    for run in runs:
        check_run(run)
        assert run.short_id in printed
    check_files(runs, output)
    check_sql(printed)
    check_commands(printed)


def check_run(run: mlops_sdk.RunView) -> None:
    assert run.status == "FINISHED"
    assert not run.warnings
    assert run.params["random_state"] == 0
    for key in ("train/loss", "train/accuracy", "test/accuracy"):
        assert run.metric(key).step.tolist() == list(range(N_ROUNDS))
    assert run.summary("train/loss").last < run.summary("train/loss").first, "it learns"
    assert {ref.path for ref in run.artifacts} == ARTIFACTS


def check_files(runs: mlops_sdk.Runs, output: Path) -> None:
    assert len({run.artifact("data/test-split.csv") for run in runs}) == 1, "the same file is kept once"
    header, *rows = runs[0].artifact("data/test-split.csv").read_text().splitlines()
    assert (len(header.split(",")), len(rows)) == (65, 450)
    model = runs.best("test/accuracy", by="best").load_model(trust=True)
    assert model.predict([[0.0] * 64]).shape == (1,)
    for picture in (output / "comparison.png", runs[0].artifact("confusion-matrix.png")):
        with Image.open(picture) as image:
            assert image.width > image.height > 300
            assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 10, "something is drawn"


def check_sql(printed: str) -> None:
    database = re.search(r"^  (.*store\.db) ", printed, re.MULTILINE)
    query = re.search(r"SELECT.*?LIMIT 8", printed, re.DOTALL)
    assert database is not None
    assert query is not None
    with closing(sqlite3.connect(database[1])) as connection:
        rows = connection.execute(query[0]).fetchall()
    assert {row[0] for row in rows} == MODELS
    assert all(f"{best:.4f}" in printed for _, _, best, _ in rows)


def check_commands(printed: str) -> None:
    """The commands under "What next" work as they are printed."""
    lines = [line.strip() for line in printed.partition("What next")[2].splitlines()]
    commands = [shlex.split(line) for line in lines if line and not line.startswith("#")]
    assert len(commands) == 4
    for words in commands:
        name = next(index for index, word in enumerate(words) if word.endswith(("mlops", "mlops_sdk.cli")))
        program = [sys.executable, "-m", "mlops_sdk.cli", *words[name + 1 :]]
        outcome = subprocess.run(program, capture_output=True, text=True, timeout=60)
        assert (outcome.returncode, outcome.stderr) == (0, ""), words
        assert outcome.stdout


@pytest.mark.slow
def test_demo_needs_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_N_ROUNDS", 1)
    demo.run_demo(tmp_path / "out", "memory:demo")
    runs = mlops_sdk.search_runs(experiment="digits-demo", tracking_uri="memory:demo")
    assert {run.name for run in runs} == MODELS
    assert "memory:demo" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_without_scikit_learn_it_says_which_extra_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(mlops_sdk.MissingDependencyError, match=r"mlops_sdk\[sklearn\]"):
        demo.run_demo(tmp_path / "out", str(tmp_path / "store"))
    assert list(tmp_path.iterdir()) == [], "nothing was made"
