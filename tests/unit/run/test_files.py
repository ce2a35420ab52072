"""Files, figures, tables, models: what is logged is what is read, and nothing is loaded without trust."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlops_sdk
from mlops_sdk import ArtifactNotFoundError, IntegrityError, Run, UntrustedModelError

QUIET = {"capture": False, "system_metrics": False}


@pytest.fixture(params=["memory", "sqlite"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    uri = f"memory:{tmp_path.name}" if request.param == "memory" else str(tmp_path / "store")
    with mlops_sdk.start_run(tracking_uri=uri, **QUIET) as run:
        yield run


def test_the_original_may_vanish(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("<p>hello</p>")
    ref = run.log_artifact(file, "reports")
    file.unlink()
    assert (ref.path, ref.version, ref.media_type) == ("reports/report.html", 1, "text/html")
    assert run.artifact("reports/report.html").read_text() == "<p>hello</p>"


def test_the_same_path_again_is_a_new_version_and_the_last_wins(run: Run) -> None:
    assert [run.log_text(text, "notes.txt").version for text in ("one", "two", "one")] == [1, 2, 3]
    assert run.artifact("notes.txt").read_text() == "one"
    assert [ref.version for ref in run.artifact_versions] == [1, 2, 3]
    assert len(run.artifacts) == 1


def test_a_directory_keeps_its_tree_and_nothing_from_outside(run: Run, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a.txt").write_text("a")
    (tree / "sub" / "b.txt").write_text("b")
    (tmp_path / "secret").write_text("outside")
    (tree / "link").symlink_to(tmp_path / "secret")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tree / "pipe")
    refs = run.log_artifacts(tree, "data")
    assert [ref.path for ref in refs] == ["data/a.txt", "data/sub/b.txt"]
    assert run.health()["errors"]["SkippedFile"] >= 1


def test_log_sorts_values_by_their_type(run: Run) -> None:
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    run.log(
        {
            "loss": 0.5,
            "acc": np.float32(0.25),
            "curve": figure,
            "picture": np.zeros((4, 4, 3), np.uint8),
            "table": pd.DataFrame({"a": [1]}),
            "note": "text",
            "config": {"a": 1},
            "odd": object(),
        },
        step=3,
    )
    assert run.metrics == {"loss": 0.5, "acc": 0.25}
    assert run.metric("loss").step.tolist() == [3]
    names = [ref.path for ref in run.artifacts]
    assert names == ["config.json", "curve.png", "note.txt", "picture.png", "table.csv"]
    assert {ref.step for ref in run.artifacts} == {3}
    assert json.loads(run.artifact("config.json").read_text()) == {"a": 1}
    assert run.health()["errors"] == {"InvalidValueError": 1}


def test_a_promised_file_becomes_an_artifact_at_the_end(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        run.artifact_path("out/weights.bin").write_bytes(b"w")
        run.artifact_path("never-written.bin")
    assert run.artifact("out/weights.bin").read_bytes() == b"w"
    assert run.health()["errors"] == {"PromisedFileMissing": 1}


def test_a_missing_file_is_a_falsy_reference_that_says_why(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mlops_sdk"):
        ref = run.log_artifact("/nowhere/at-all.bin")
    assert not ref
    assert "at-all.bin" in str(ref.error)
    assert "at-all.bin" in caplog.text
    with pytest.raises(ArtifactNotFoundError):
        run.artifact("at-all.bin")


def test_bytes_that_could_not_be_kept_are_tried_again_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mlops_sdk.blobs.local import LocalBlobs
    from mlops_sdk.errors import StoreUnavailableError

    def refuse(*_arguments: object, **_options: object) -> None:
        raise StoreUnavailableError("disk full: free some space")

    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        with monkeypatch.context() as broken, caplog.at_level(logging.WARNING, "mlops_sdk"):
            broken.setattr(LocalBlobs, "put_bytes", refuse)
            assert not run.log_text("precious", "notes.txt")
        assert "its bytes are in" in caplog.text
    assert run.artifact("notes.txt").read_text() == "precious"


def test_a_model_comes_back_with_its_signature(run: Run) -> None:
    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "z": [1.0, 0.0, 1.0, 0.0]})
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, [0, 0, 1, 1])
    ref = run.log_model(model, "classifier", input_example=frame[:2], metadata={"why": "test"})
    model.set_params(logisticregression=LogisticRegression(C=7.0))  # what was logged is what it was
    assert ref.metadata["signature"]["inputs"] == {"columns": [["x", "float64"], ["z", "float64"]]}
    assert ref.metadata["signature"]["outputs"]["dtype"] == "int64"
    assert ref.metadata["packages"]["scikit-learn"]
    with pytest.raises(UntrustedModelError, match="trust=True"):
        run.load_model("classifier")
    loaded = run.load_model("classifier", trust=True, check=True)
    assert loaded.predict(frame).tolist() == [0, 0, 1, 1]
    assert json.loads(run.artifact("classifier/model.json").read_text())["metadata"] == {"why": "test"}


def test_a_model_that_cannot_be_serialised_is_counted(run: Run) -> None:
    assert not run.log_model(lambda: 0)
    assert sum(run.health()["errors"].values()) == 1


def test_a_damaged_model_is_not_loaded(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        ref = run.log_model({"weights": [1, 2, 3]})
    blob = tmp_path / "blobs" / "sha256" / ref.sha256[:2] / ref.sha256
    blob.chmod(0o600)
    data = bytearray(blob.read_bytes())
    data[5] ^= 1
    blob.write_bytes(data)
    with pytest.raises(IntegrityError):
        mlops_sdk.load_model(run.run_id, trust=True, tracking_uri=tmp_path)


def test_reading_interprets_no_stored_byte(tmp_path: Path) -> None:
    script = (
        "import sys, os, mlops_sdk\n"
        "class Evil:\n"
        "    def __reduce__(self): return os.system, ('touch ' + sys.argv[1] + '/fired',)\n"
        "with mlops_sdk.start_run(tracking_uri=sys.argv[1], run_id='r', capture=False, system_metrics=False) as run:\n"
        "    run.log_model(Evil())\n"
        "def hook(event, args):\n"
        "    if event.startswith(('pickle.', 'os.system', 'subprocess.')): print('FIRED', event)\n"
        "sys.addaudithook(hook)\n"
        "run = mlops_sdk.get_run('r', tracking_uri=sys.argv[1])\n"
        "run.artifacts, run.artifact('model/model.joblib'), run.params, repr(run)\n"
        "mlops_sdk.search_runs(tracking_uri=sys.argv[1]).to_dicts()\n"
        "try: run.load_model()\n"
        "except mlops_sdk.UntrustedModelError: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.split() == ["refused"], done.stderr
    assert not (tmp_path / "fired").exists()


def test_downloads_stay_in_their_directory(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET) as run:
        run.log_text("fine", "a/b.txt")
        run.log_text("evil", "../../escape.txt")
    target = tmp_path / "out"
    assert run.download("a/b.txt", target).read_text() == "fine"
    assert run.artifact("../../escape.txt").read_text() == "evil"
    with pytest.raises(mlops_sdk.InvalidValueError):
        run.download("../../escape.txt", target)
    assert not (tmp_path.parent / "escape.txt").exists()
